"""Every host that a request names or is sent to, and what can be said of them before DNS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from callwright.policy.addresses import same_place
from callwright.policy.destination import Decision, Destination, Purpose, Rules, Target, decide
from callwright.sip.uri import Uri

__all__ = ["before_dns", "by_address", "named", "with_maddr"]


def named(uri: Uri) -> tuple[str, ...]:
    """The hosts of a URI: its maddr, where requests go if it has one, and its host. A tel URI has none."""
    return tuple(dict.fromkeys(host for host in (uri.destination, uri.host) if host))


def before_dns(purpose: Purpose, uri: Uri, rules: Rules, proxy: Uri | None = None) -> list[Decision]:
    """A decision for every host of `uri` and of the `proxy` before it, about the number that `uri` dials.

    Names have no addresses yet: `undecided` decisions are asked for again after DNS.
    """
    return [
        with_maddr(decide(purpose, Destination(host, (), hop.port, uri.dialled), rules), host, hop)
        for hop in ((uri,) if proxy is None else (uri, proxy))
        for host in named(hop)
    ]


def by_address(
    purpose: Purpose, uri: Uri, host: str, addresses: Sequence[str], rules: Rules
) -> tuple[Target, ...]:
    """The rules that let a request for `uri` go to each address that somebody's DNS has for `host`, for
    their caps. Nobody goes anywhere by this: whoever sends asks again, by what DNS says there."""
    decisions = [
        decide(purpose, Destination(host, (address,), uri.port, uri.dialled), rules) for address in addresses
    ]
    return tuple(dict.fromkeys(one.target for one in decisions if one.allowed and one.target is not None))


def with_maddr(decision: Decision, host: str, uri: Uri) -> Decision:
    """A refusal of `host` that says why it was asked about: who reads `uri` sees its host first."""
    if decision.allowed or not uri.host or same_place(uri.host, host):
        return decision
    return replace(decision, reason=f"The maddr of {uri.host} sends requests to {host}. {decision.reason}")
