"""IPv4, IPv6, UDP and TCP headers around payloads that were seen above the socket.

A softphone sees payloads, Wireshark wants packets. What is synthetic is said here once: identification, TTL,
flags, TCP sequence numbers and the handshake. Addresses, ports, payload and time are what happened; checksums
are right.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from struct import Struct

Endpoint = tuple[str, int]
"""Numeric address and port."""

SYN, PSH, ACK = 0x02, 0x08, 0x10
MAX_UDP_PAYLOAD = 65_507
MAX_TCP_SEGMENT = 32_768
HOP_LIMIT = 64
_PROTOCOL_TCP, _PROTOCOL_UDP = 6, 17

_IPV4 = Struct("!BBHHHBBH")
_IPV6 = Struct("!IHBB")
_UDP = Struct("!HHHH")
_TCP = Struct("!HHIIBBHHH")


@lru_cache(maxsize=4096)
def _octets(host: str) -> bytes:
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.packed


@lru_cache(maxsize=4096)
def _pair(source: str, destination: str) -> tuple[bytes, bytes]:
    """Both addresses in one family; a wildcard takes the family of the other side.

    Raises ValueError when an address is not numeric or the families cannot meet.
    """
    a, b = _octets(source), _octets(destination)
    if len(a) != len(b):
        if not any(a):
            a = bytes(len(b))
        elif not any(b):
            b = bytes(len(a))
        else:
            raise ValueError(f"{source} and {destination} are of two address families")
    return a, b


def _checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071): a one's complement sum is the number modulo 65535."""
    if len(octets) & 1:
        octets += b"\0"
    return 0xFFFF - int.from_bytes(octets, "big") % 0xFFFF


def _ip(source: bytes, destination: bytes, protocol: int, length: int, identification: int) -> bytes:
    if len(source) == 16:
        return _IPV6.pack(0x60000000, length, protocol, HOP_LIMIT) + source + destination
    head = _IPV4.pack(0x45, 0, 20 + length, identification & 0xFFFF, 0x4000, HOP_LIMIT, protocol, 0)
    check = _checksum(head + source + destination) % 0xFFFF
    return head[:10] + check.to_bytes(2, "big") + source + destination


def udp_packet(source: Endpoint, destination: Endpoint, payload: bytes, identification: int = 0) -> bytes:
    """One IP packet with one datagram; raises ValueError for an address that is not numeric or a payload over
    65,507.
    """
    if len(payload) > MAX_UDP_PAYLOAD:
        raise ValueError(f"{len(payload)} octets do not fit into a UDP datagram")
    a, b = _pair(source[0], destination[0])
    length = 8 + len(payload)
    ports_length = _UDP.pack(source[1], destination[1], length, 0)
    pseudo = a + b + _PROTOCOL_UDP.to_bytes(2, "big") + length.to_bytes(2, "big")
    # RFC 768: a computed zero is sent as ones, which is what the formula gives.
    check = _checksum(pseudo + ports_length + payload)
    return (
        _ip(a, b, _PROTOCOL_UDP, length, identification)
        + ports_length[:6]
        + check.to_bytes(2, "big")
        + payload
    )


def tcp_segment(
    source: Endpoint,
    destination: Endpoint,
    sequence: int,
    acknowledgment: int,
    flags: int,
    payload: bytes = b"",
    identification: int = 0,
) -> bytes:
    """One IP packet with one TCP segment of at most MAX_TCP_SEGMENT octets (RFC 9293, section 3.1)."""
    a, b = _pair(source[0], destination[0])
    head = _TCP.pack(
        source[1],
        destination[1],
        sequence & 0xFFFFFFFF,
        acknowledgment & 0xFFFFFFFF,
        0x50,
        flags,
        0xFFFF,
        0,
        0,
    )
    length = len(head) + len(payload)
    pseudo = a + b + _PROTOCOL_TCP.to_bytes(2, "big") + length.to_bytes(2, "big")
    check = _checksum(pseudo + head + payload) % 0xFFFF
    segment = head[:16] + check.to_bytes(2, "big") + head[18:] + payload
    return _ip(a, b, _PROTOCOL_TCP, length, identification) + segment
