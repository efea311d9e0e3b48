"""One session towards each phone, though its descriptions come from several others (RFC 3264 section 8).

As long as all come from one, they pass octet for octet. From the first that does not, they go under the name
of the one before, with a version that counts up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary, ref

from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import Origin, SdpError
from callwright.sip.call import Call

__all__ = ["Origins"]


@dataclass(slots=True)
class _Known:
    """What a leg was told last: by whom, and under which name where that was read."""

    speaker: ref[object]
    last: bytes
    origin: Origin | None = None


class Origins:
    """What each leg knows of the session."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Call, _Known] = WeakKeyDictionary()

    def told(self, call: Call, description: bytes, speaker: object) -> bytes:
        """The description of `speaker` as this leg is told it now."""
        if not description:
            return description
        known = self._known.get(call)
        if known is None or (known.origin is None and known.speaker() is speaker):
            self._known[call] = _Known(ref(speaker), description)
            return description
        try:
            parsed = SessionDescription.parse(description)
            before = known.origin or SessionDescription.parse(known.last).origin
        except SdpError:
            return description
        origin = replace(before, version=before.version + 1)
        self._known[call] = _Known(ref(speaker), description, origin)
        return replace(parsed, origin=origin).serialize()
