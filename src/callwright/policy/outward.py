"""May a message of the platform, such as a webhook, go to this address? Asked of the address that is
connected to, so that a name cannot lead elsewhere."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from callwright.policy.addresses import impossible, is_inside, is_private, is_shared, numeric

__all__ = ["refusal_of"]


def refusal_of(address: str, networks: Sequence[str] = ()) -> str | None:
    """Why not, as what the address is; None: it may. ``networks``: those that may be reached though they
    are inside of a network."""
    known = numeric(address.partition("%")[0])
    if known is None:
        return "no address"
    found = impossible(known)
    if found is not None:
        return found
    if not is_inside(known) or any(known in ipaddress.ip_network(one, strict=False) for one in networks):
        return None
    if known.is_loopback:
        return "a loopback address"
    if known.is_link_local:
        return "a link-local address"
    if is_private(known):
        return "a private address"
    return "an address of carrier-grade NAT" if is_shared(known) else "an address that is not public"
