"""From packets to messages and streams: framed, seen once, and grouped, without any drawing in mind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from callwright.evidence.wire import Endpoint
from callwright.net.tap import Packet
from callwright.sip.stun import is_stun

_SEQUENCE_CYCLE = 1 << 16

EDGE = 10
"""So many packets that only their sender saw, at the two ends of a stream, are no loss: the first may be
sent before the receiver knows where from, the last after it has left.
"""


@dataclass(slots=True)
class SeenMessage:
    """One SIP message (or what should have been one) as it left or, if only that was seen, as it arrived."""

    at: float
    """Monotonic seconds."""
    wall: float
    source: Endpoint
    destination: Endpoint
    transport: str
    data: bytes
    departed: bool
    """Seen by its sender, in this process."""
    arrived: bool
    """Seen by its receiver, in this process."""
    repeat_of: int | None = None
    """Index of the message of which this is a retransmission."""


@dataclass(slots=True)
class SeenStream:
    """RTP packets with one SSRC from one address to another. Times are monotonic seconds."""

    source: Endpoint
    destination: Endpoint
    ssrc: int
    first: float
    wall: float
    last: float
    departed: int = 0
    arrived: int = 0
    payload_types: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    sequence_first: int | None = None
    sequence_last: int = 0
    distinct: int = 0

    @property
    def packets(self) -> int:
        return max(self.departed, self.arrived)

    @property
    def lost(self) -> int | None:
        """Packets that did not arrive: gaps in the sequence numbers that the receiver saw, and, when the
        sender was seen too, a beginning or an end that never came. None when only the sender was seen.
        """
        if self.arrived == 0 or self.sequence_first is None:
            return None
        span = self.sequence_last - self.sequence_first + 1
        never_came = self.departed - span
        return max(0, span - self.distinct) + (never_came if never_came > EDGE else 0)

    @property
    def expected(self) -> int | None:
        """Of how many packets `lost` tells."""
        if self.lost is None:
            return None
        return max(self.departed, self.distinct + self.lost)

    @property
    def payload_type(self) -> int:
        return max(self.payload_types, key=lambda pt: self.payload_types[pt])


def ends(packet: Packet) -> tuple[Endpoint, Endpoint]:
    """Source and destination."""
    local, remote = (packet.local[0], packet.local[1]), (packet.remote[0], packet.remote[1])
    return (remote, local) if packet.direction == "in" else (local, remote)


def messages_of(packets: Iterable[Packet]) -> list[SeenMessage]:
    """The SIP messages in order of time, each once. Keep-alives are left out; octets that never became a
    message are kept as one, so that a reader sees that garbage came.
    """
    seen: list[SeenMessage] = []
    waiting: dict[tuple[Endpoint, Endpoint, bytes], list[SeenMessage]] = defaultdict(list)
    streams: dict[tuple[Endpoint, Endpoint, str], _Stream] = {}
    for packet in packets:
        if packet.kind != "sip":
            continue
        source, destination = ends(packet)
        transport = packet.transport.upper()
        if transport == "UDP":
            quiet = not packet.data.strip(b"\r\n\0 ") or is_stun(packet.data)
            pieces = [] if quiet else [packet.data]
        else:
            key = (source, destination, packet.direction)
            pieces = streams.setdefault(key, _Stream()).feed(packet.data)
        for data in pieces:
            out = packet.direction == "out"
            twins = waiting[source, destination, data]
            twin = next((t for t in twins if not (t.departed if out else t.arrived)), None)
            if twin is not None:
                twin.departed = twin.departed or out
                twin.arrived = twin.arrived or not out
                twin.at, twin.wall = min(twin.at, packet.now), min(twin.wall, packet.wall)
                continue
            message = SeenMessage(
                packet.now, packet.wall, source, destination, transport, data, departed=out, arrived=not out
            )
            twins.append(message)
            seen.append(message)
    seen.sort(key=lambda message: message.at)
    _mark_repeats(seen)
    return seen


def _mark_repeats(messages: Sequence[SeenMessage]) -> None:
    first: dict[tuple[Endpoint, Endpoint, bytes], int] = {}
    for index, message in enumerate(messages):
        if message.transport == "UDP":
            earlier = first.setdefault((message.source, message.destination, message.data), index)
            if earlier != index:
                message.repeat_of = earlier


class _Stream:
    """Cuts one direction of a stream into messages by Content-Length (RFC 3261, section 18.3).

    Unlike the framer of the endpoint it forgives: it has to show what came, not to defend itself.
    """

    LONGEST_HEAD = 65_536

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        self._held += data
        found: list[bytes] = []
        while True:
            self._held = self._held.lstrip(b"\r\n")
            end = self._held.find(b"\r\n\r\n")
            if end < 0:
                if len(self._held) > self.LONGEST_HEAD:
                    found.append(self._held)
                    self._held = b""
                return found
            length = end + 4 + _content_length(self._held[:end])
            if len(self._held) < length:
                return found
            found.append(self._held[:length])
            self._held = self._held[length:]


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() in {b"content-length", b"l"}:
            digits = value.strip()
            return min(int(digits), 1 << 20) if digits.isdigit() and len(digits) < 10 else 0
    return 0


def streams_of(packets: Iterable[Packet]) -> list[SeenStream]:
    """RTP streams in order of their first packet. What is not RTP version 2 is passed over."""
    streams: dict[tuple[Endpoint, Endpoint, int], SeenStream] = {}
    for packet in packets:
        data = packet.data
        muxed_rtcp = len(data) > 1 and 192 <= data[1] <= 223  # RFC 5761 section 4
        if packet.kind != "rtp" or len(data) < 12 or data[0] >> 6 != 2 or muxed_rtcp:
            continue
        source, destination = ends(packet)
        ssrc = int.from_bytes(data[8:12], "big")
        stream = streams.get((source, destination, ssrc))
        if stream is None:
            stream = SeenStream(source, destination, ssrc, packet.now, packet.wall, packet.now)
            streams[source, destination, ssrc] = stream
        if packet.now < stream.first:
            stream.first, stream.wall = packet.now, packet.wall
        stream.last = max(stream.last, packet.now)
        stream.payload_types[data[1] & 0x7F] += 1
        if packet.direction == "out":
            stream.departed += 1
        else:
            stream.arrived += 1
            _count_sequence(stream, int.from_bytes(data[2:4], "big"))
    return sorted(streams.values(), key=lambda stream: stream.first)


def _count_sequence(stream: SeenStream, number: int) -> None:
    """Extend the sequence number over its cycles, nearest to the last one (RFC 3550, appendix A.1)."""
    if stream.sequence_first is None:
        stream.sequence_first = stream.sequence_last = number
        stream.distinct = 1
        return
    step = (number - stream.sequence_last) % _SEQUENCE_CYCLE
    if step >= _SEQUENCE_CYCLE // 2:
        step -= _SEQUENCE_CYCLE
    if step != 0:
        stream.distinct += 1
    extended = stream.sequence_last + step
    stream.sequence_first = min(stream.sequence_first, extended)
    stream.sequence_last = max(stream.sequence_last, extended)
