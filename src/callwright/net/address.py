"""Which of our addresses a destination sees, and how an address is handed to the kernel."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from functools import lru_cache
from typing import Any

from callwright.sip.transport import Address

WILDCARDS = frozenset({"", "0.0.0.0", "::"})


class Unreachable(Exception):
    """This machine has no way to the destination: no route, or no address of that family.

    `host` is the destination, `reason` a sentence for people.
    """

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(reason)
        self.host = host
        self.reason = reason


@lru_cache(maxsize=512)  # a call asks some dozen times for the same two or three
def numeric_host(host: str) -> str | None:
    """The canonical text of a numeric IPv4 or IPv6 host (brackets dropped), or None when it is a name."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def family_of(host: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6 of a numeric host."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def sockaddr(address: Address) -> tuple[Any, ...]:
    """What the socket calls take. Only a link-local IPv6 address needs more than host and port: its zone."""
    host, port = address
    if "%" not in host:
        return (host, port)
    bare, zone = host.split("%", 1)
    try:
        index = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    except OSError:
        raise Unreachable(host, f"there is no network interface {zone!r} on this machine") from None
    return (bare, port, 0, index)


def from_sockaddr(name: Any) -> Address:
    """The Address of what recvfrom, getsockname or getpeername gave."""
    return Address(str(name[0]), int(name[1]))


def bracketed(address: tuple[str, int]) -> str:
    """`host:port` as people write it, IPv6 in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def source_address(host: str) -> str:
    """The numeric address of ours that the routing table picks towards a numeric host. Sends nothing.

    Connecting a UDP socket makes the kernel look up the route and choose the source, and no more.
    Raises Unreachable when there is no route.
    """
    try:
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
            # The port is of no meaning to the lookup, but BSD refuses 0.
            probe.connect(sockaddr(Address(host, 9)))
            return str(probe.getsockname()[0])
    except OSError as error:
        kind = "IPv6" if ":" in host else "IPv4"
        raise Unreachable(
            host, f"there is no {kind} route to {host} from this machine ({os.strerror(error.errno or 0)})"
        ) from error


def is_local(host: str) -> bool:
    """Whether a numeric host is an address of this machine, one that a socket can be bound to."""
    try:
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
            probe.bind(sockaddr(Address(host, 0)))
    except (OSError, Unreachable):
        return False
    return True


def split_host_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]:port` or a bare IPv6 address. ValueError for a bad port."""
    try:
        return str(ipaddress.ip_address(text)), None
    except ValueError:
        pass
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), None
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{text!r} has no port between 0 and 65535 after its colon")
    return host.strip("[]"), int(port)


def packed(address: tuple[str, int]) -> bytes | None:
    """A struct sockaddr; None for what no packet can be sent to."""
    if numeric_host(address[0]) is None or not 0 < address[1] < 65_536:
        return None
    try:
        host, port, *rest = sockaddr(Address(*address))
        if ":" not in host:
            return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(host))
        packed = socket.inet_pton(socket.AF_INET6, host)
        scope = struct.pack("=I", rest[1] if rest else 0)
        return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16s", port, 0, packed) + scope
    except (OSError, ValueError, struct.error):
        return None
