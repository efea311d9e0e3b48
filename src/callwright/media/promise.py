"""Whether a peer has promised audio, by what was agreed last (RFC 3264 sections 5.1 and 8.4)."""

from __future__ import annotations

from callwright.sdp.negotiation import Negotiated


class Promise:
    """Of one call. A peer that sends alone after both have talked holds us: it need not send at all."""

    def __init__(self) -> None:
        self._talked = False

    def due(self, negotiated: Negotiated) -> bool:
        """Whether audio of the peer is due from now on, once the call is answered."""
        if negotiated.disabled or negotiated.nowhere:
            return False
        if negotiated.direction == "sendrecv" and not negotiated.remote_held:
            self._talked = True
        return negotiated.receives and not (negotiated.remote_held and self._talked)
