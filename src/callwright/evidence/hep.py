"""SIP as datagrams of HEP version 3 (sipcapture/HEP, rev. 12), for a collector such as HOMER.

Each message is one datagram with the addresses, ports and time of the packet that it came in, and its
Call-ID as correlation id. Secrets are taken out first. A message over TCP or TLS goes out once it is
complete; TLS and WebSocket are told as TCP, without their wrapping.
"""

from __future__ import annotations

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from struct import pack

from callwright.evidence.redaction import Redactor
from callwright.net.tap import Packet
from callwright.sip.framing import BrokenStreamError, StreamFramer

__all__ = ["HepEncoder"]

_Place = tuple[str, int]

_SIP = 1  # protocol type
_FAMILY = {4: 2, 6: 10}  # as AF_INET and AF_INET6 are on Linux
_UDP, _TCP = 17, 6
_LONGEST = 65_000  # octets of a message: all of it must go into one datagram
_STREAMS = 1_024  # directions of connections whose messages are put together at once
_TWINS = 1_024  # messages that wait for the other end's view of them
_CALL_ID = re.compile(
    rb"^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]{1,256}?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)


class HepEncoder:
    """`agent_id`: what the collector shows as the capture agent, 0 to 2^32 - 1."""

    def __init__(self, redactor: Redactor, *, agent_id: int = 1) -> None:
        self._redactor, self._agent_id = redactor, agent_id
        self._streams: OrderedDict[tuple[str, _Place, _Place], StreamFramer] = OrderedDict()
        self._twins: OrderedDict[tuple[_Place, _Place, bytes], str] = OrderedDict()

    def encode(self, packets: Sequence[Packet]) -> list[bytes]:
        """The datagrams for the SIP among them, in order; what is no SIP, or not complete yet, gives none."""
        found: list[bytes] = []
        for packet in packets:
            if packet.kind == "sip":
                source, destination = packet.local, packet.remote
                if packet.direction == "in":
                    source, destination = destination, source
                found += [
                    self._datagram(packet, source, destination, message)
                    for message in self._messages(packet)
                    if not self._is_twin(packet.direction, source, destination, message)
                ]
        return found

    def _messages(self, packet: Packet) -> Iterator[bytes]:
        if packet.transport in ("UDP", "WS", "WSS"):
            if packet.data.strip(b"\r\n\0"):  # a keep-alive says nothing
                yield packet.data
            return
        key = packet.direction, packet.local, packet.remote
        framer = self._streams.pop(key, None) or StreamFramer()
        try:
            yield from framer.feed(packet.data)
        except BrokenStreamError as error:
            yield from error.messages
            return
        self._streams[key] = framer
        if len(self._streams) > _STREAMS:
            self._streams.popitem(last=False)

    def _is_twin(self, direction: str, source: _Place, destination: _Place, message: bytes) -> bool:
        """Where both ends are ours each message is seen twice, and mirrored once."""
        key = source, destination, message
        if self._twins.get(key, direction) != direction:
            del self._twins[key]
            return True
        self._twins[key] = direction
        if len(self._twins) > _TWINS:
            self._twins.popitem(last=False)
        return False

    def _datagram(self, packet: Packet, source: _Place, destination: _Place, message: bytes) -> bytes:
        here, there = ipaddress.ip_address(source[0]), ipaddress.ip_address(destination[0])
        seconds, micros = divmod(round(packet.wall * 1_000_000), 1_000_000)
        first = 3 if here.version == 4 else 5
        call_id = _CALL_ID.search(message)
        chunks = [
            _chunk(1, bytes([_FAMILY[here.version]])),
            _chunk(2, bytes([_UDP if packet.transport == "UDP" else _TCP])),
            _chunk(first, here.packed),
            _chunk(first + 1, there.packed),
            _chunk(7, pack("!H", source[1])),
            _chunk(8, pack("!H", destination[1])),
            _chunk(9, pack("!I", seconds)),
            _chunk(10, pack("!I", micros)),
            _chunk(11, bytes([_SIP])),
            _chunk(12, pack("!I", self._agent_id)),
            *([_chunk(17, call_id[1])] if call_id is not None else []),
            _chunk(15, self._redactor.message(message)[:_LONGEST]),
        ]
        body = b"".join(chunks)
        return b"HEP3" + pack("!H", 6 + len(body)) + body


def _chunk(kind: int, value: bytes) -> bytes:
    """Vendor 0: a generic chunk."""
    return pack("!HHH", 0, kind, 6 + len(value)) + value
