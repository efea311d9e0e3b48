"""What an address is, as the policy sees it: IPv4 unwrapped from IPv6, near, far, or out of reach."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

__all__ = [
    "Address",
    "bare",
    "impossible",
    "is_host",
    "is_inside",
    "is_private",
    "is_shared",
    "local_range",
    "numeric",
    "plain",
    "same_place",
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST_NAME = re.compile(
    r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?",
)

_PRIVATE = tuple(
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
_SHARED = ipaddress.ip_network("100.64.0.0/10")
_LOCAL = tuple(  # of the registries of special-purpose addresses (RFC 6890): "globally reachable: false"
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # RFC 6890 section 2.1; some clouds have their metadata there
        "198.18.0.0/15",  # RFC 2544: benchmarks
        "fec0::/10",  # RFC 3879: site-local, deprecated
        "64:ff9b:1::/48",  # RFC 8215: NAT64 within a network
    )
)
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052 section 2.1
_COMPATIBLE = ipaddress.ip_network("::/96")  # RFC 4291 section 2.5.5.1, deprecated and still routed by some
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_RESERVED = ipaddress.ip_network("240.0.0.0/4")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


@lru_cache(maxsize=512)  # a call asks some dozen times for the same two or three
def numeric(text: str) -> Address | None:
    """The address, unwrapped; None for a name."""
    try:
        return plain(ipaddress.ip_address(text))
    except ValueError:
        return None


def plain(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where packets would go to it; else the same without its scope."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return ipaddress.IPv6Address(int(address))


def bare(host: str) -> str:
    """Without the brackets that a URI puts around IPv6."""
    return host.strip().removeprefix("[").removesuffix("]")


def is_host(text: str) -> bool:
    """Whether it is an address or may be a host's name."""
    return numeric(bare(text)) is not None or (len(text) < 254 and _HOST_NAME.fullmatch(text) is not None)


def same_place(one: str, other: str) -> bool:
    """Whether two hosts are the same address, or the same name."""
    literal = numeric(bare(one))
    if literal is not None:
        return literal == numeric(bare(other))
    return one.lower().removesuffix(".") == other.lower().removesuffix(".")


def impossible(address: Address) -> str | None:
    """What nobody may reach, whatever the rules say."""
    if address.is_multicast:
        return "a multicast address"
    if address.is_unspecified:
        return "the unspecified address"
    if address in _THIS_NETWORK:
        return "an address of no host (0.0.0.0/8)"
    if address == _BROADCAST:
        return "the broadcast address"
    return "a reserved address" if address in _RESERVED else None


def is_private(address: Address) -> bool:
    """RFC 1918 and RFC 4193; not shared space (RFC 6598), which belongs to carriers."""
    return any(address in network for network in _PRIVATE)


def is_shared(address: Address) -> bool:
    """Carrier-grade NAT space, RFC 6598."""
    return address in _SHARED


def is_inside(address: Address) -> bool:
    """What only a machine inside of a network reaches: loopback, private, link-local, carrier-grade NAT space
    and the like. A name that a stranger may point anywhere must not lead there.
    """
    return (
        address.is_loopback
        or address.is_link_local
        or is_private(address)
        or is_shared(address)
        or local_range(address) is not None
    )


def local_range(address: Address) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The range of an address that is not reachable globally and is none of the better known kinds."""
    if isinstance(address, ipaddress.IPv6Address) and address.sixtofour is not None:  # RFC 3056
        return _SIX_TO_FOUR if is_inside(address.sixtofour) else None
    return next((network for network in _LOCAL if address in network), None)
