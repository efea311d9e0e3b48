"""A tap sees what passed on the wire, in batches, without being able to change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple


class Packet(NamedTuple):
    """One datagram, one message written to a stream, one message of a WebSocket, or one chunk as it was read
    from a stream.

    `wall` is Unix seconds, `now` is monotonic seconds of the same instant: the arrival as the kernel stamped
    it where it does, else the time of reading or sending. Hosts are numeric; ports are those of the socket.
    """

    wall: float
    now: float
    direction: Literal["in", "out"]
    kind: Literal["sip", "rtp", "rtcp"]
    transport: str
    """As in a Via. TLS is tapped in the clear, WebSocket without its frames."""
    local: tuple[str, int]
    remote: tuple[str, int]
    data: bytes


Tap = Callable[[Sequence[Packet]], None]
"""Called with a whole batch, in order: SIP on the event loop, RTP and RTCP on the media thread. Be quick."""
