"""Which twin of the two streams a session has: the native one where it was built."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callwright.rtp.incoming import IncomingStream
    from callwright.rtp.outgoing import OutgoingStream
else:
    try:
        from callwright.rtp._streams import IncomingStream, OutgoingStream
    except ImportError:
        from callwright.rtp.incoming import IncomingStream
        from callwright.rtp.outgoing import OutgoingStream

__all__ = ["IncomingStream", "OutgoingStream"]
