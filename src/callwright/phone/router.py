"""Where the requests of a phone go: RFC 3263 and the routing table find the hops, the policy permits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from callwright.net.address import WILDCARDS, Unreachable, is_local, numeric_host
from callwright.net.driver import BindFailed, Driver
from callwright.net.resolver import ResolutionFailed
from callwright.phone.addressing import proxy_of, route_to, transport_of, unknown_transport
from callwright.phone.failures import UnknownTransport
from callwright.phone.permission import NotPermitted, Permission, Way
from callwright.policy.addresses import same_place
from callwright.sip.call import Call
from callwright.sip.leading import hosts_of, hosts_of_headers
from callwright.sip.transport import Address, Hop, PermittedHop, Transport
from callwright.sip.uri import NameAddr, SipSyntaxError, Uri

_GO_BACK = "Until then, ACK and BYE go back the way the answer came."


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """The way that a registrar wants a user's requests to take (RFC 3608): Route values, first hop."""

    values: tuple[str, ...]
    hop: PermittedHop


@dataclass(frozen=True, slots=True)
class Router:
    """`transport`: the one to take where neither URI nor DNS names one; None: by RFC 3263. `learned`: the
    service routes of registered users."""

    driver: Driver[Any]
    permission: Permission
    transport: Transport | None
    learned: dict[str, ServiceRoute] = field(default_factory=dict)

    async def locate(self, uri: Uri, transport: Transport | None = None) -> list[Hop]:
        """The hops to a URI, in order (RFC 3263). Raises ResolutionFailed, with a sentence."""
        wanted = transport_of(uri)
        if wanted is None and uri.parameter("transport"):
            raise UnknownTransport(str(uri), unknown_transport(uri))
        if not uri.destination:
            raise ResolutionFailed(str(uri), f"{uri} names no host to send to")
        chosen = wanted or transport or self.transport
        return await self.driver.locate(uri.destination, uri.port, chosen, uri.scheme.lower())

    async def way(self, target: Uri, proxy: Uri | None = None, transport: Transport | None = None) -> Way:
        """The permitted way of a request to `target`, by the `proxy` if there is one. Raises NotPermitted,
        ResolutionFailed, BindFailed."""
        return await self.permission.way(target, _Directory(self, transport), proxy)

    async def preloaded(
        self, target: Uri, proxy: str | None, user: str | None, transport: Transport | None = None
    ) -> tuple[Way, tuple[str, ...]]:
        """The permitted way of a user's request to `target`, and its Route values: by the `proxy`, then by
        the service route of the user. The policy is asked about the target all the same. Raises as `way`."""
        learned = self.learned.get(user or "")
        by, routes = proxy_of(proxy), route_to(proxy)
        way = await self.way(target, by, transport)
        if learned is None:
            return way, routes
        if by is None:
            return Way((learned.hop,), way.targets), learned.values
        first = NameAddr.parse(learned.values[0]).uri
        same = (first.destination.lower(), first.port) == (by.destination.lower(), by.port)
        return way, learned.values if same else (*routes, *learned.values)

    async def permit_hosts(
        self, headers: Sequence[tuple[str, str]], target: Uri, body: bytes = b"", text: str = ""
    ) -> None:
        """Ask the policy about every host that these headers, that body or the `text` of a message lead its
        reader to, but for ours and those of `target`. Raises as `way`, and ValueError."""
        leading = hosts_of(text, body) if text else hosts_of_headers(headers, body)
        for host in leading:
            literal = numeric_host(host)
            if literal is not None and (literal in WILDCARDS or is_local(literal)):
                continue
            if any(same_place(host, known) for known in (target.host, target.destination)):
                continue
            try:
                uri = Uri.parse(f"sip:{host}")
            except SipSyntaxError:
                raise ValueError(f"{host[:80]!r} is no host that the policy could be asked about") from None
            await self.permission.way(uri, _Directory(self, Transport.UDP))

    async def learn(self, user: str, routes: Sequence[str], along: Hop) -> str | None:
        """Take the service route that a registrar at the far end of `along` named, when the policy permits
        every host of it, as it is asked about a Record-Route. Returns why not, in a sentence."""
        self.learned.pop(user, None)
        first: PermittedHop | None = None
        try:
            for text in routes:
                uri = NameAddr.parse(text).uri
                hop = await self._led(uri, along)
                first = first or hop
        except NotPermitted as refused:
            return f"{refused} Its Service-Route is not taken."
        except (SipSyntaxError, ResolutionFailed, Unreachable, BindFailed, ValueError) as error:
            return f"The Service-Route cannot be taken: {error}"
        if first is not None:
            self.learned[user] = ServiceRoute(tuple(routes), first)
        return None

    async def _led(self, uri: Uri, along: Hop) -> PermittedHop:
        """The hop to a URI that the far end of `along` named; over `along` itself where it leads there."""
        host = numeric_host(uri.destination)
        transport = transport_of(uri) or along.transport
        if host is not None:
            port = uri.port or transport.default_port
            if (transport, host, port) == (along.transport, *along.remote):
                return self.permission.led(along, along)
            hops = [self.driver.hop_for(host, uri.port, transport, name=along.name)]
        else:
            hops = await self.locate(uri, transport)
        refusal: NotPermitted | None = None
        for hop in hops:
            try:
                return self.permission.led(along if hop == along else hop, along, uri.destination)
            except NotPermitted as refused:
                refusal = refusal or refused
        assert refusal is not None
        raise refusal

    async def media_host(self, host: str, port: int) -> str:
        """The numeric address of a host that an SDP names. Raises ResolutionFailed."""
        return (await self.driver.locate(host, port, Transport.UDP))[0].remote.host

    def hop_for(self, uri: Uri, along: Hop) -> PermittedHop | None:
        """The hop to a Contact or route within a dialog; None: the way the dialog came. For the endpoint."""
        try:
            return self._followed(uri, along)
        except (NotPermitted, Unreachable, BindFailed):
            return None

    async def follow(self, call: Call) -> str | None:
        """Follow the Contact or route of a new dialog where the policy permits it, a name after DNS.

        Else its requests go back the way the answer came. Returns why it may not be followed, in sentences.
        """
        if call.dialog is None:
            return None
        along = call.dialog.hop
        try:
            next_hop = Uri.parse(call.dialog.way().next_hop)
            if not next_hop.destination:
                return None
            if numeric_host(next_hop.destination) is not None:
                if not along.transport.reliable:
                    self._followed(next_hop, along)  # the endpoint asks `hop_for` for each request
                return None
            hops = await self.locate(next_hop)
        except (SipSyntaxError, ResolutionFailed, Unreachable, BindFailed):
            return None  # where the dialog came from is the best there is
        except NotPermitted as refused:
            return f"{refused} {_GO_BACK}"
        refusal: str | None = None
        for hop in hops:
            try:
                call.use_hop(self.permission.led(hop, along, next_hop.destination))
            except NotPermitted as refused:
                refusal = refusal or f"{refused} {_GO_BACK}"
            else:
                return None
        return refusal

    def _followed(self, uri: Uri, along: Hop) -> PermittedHop | None:
        """The hop to a numeric Contact or route; None for a name, and where the flow `along` serves.

        Raises NotPermitted, Unreachable, BindFailed.
        """
        host = numeric_host(uri.destination)
        if host is None:
            return None
        transport = transport_of(uri) or along.transport
        if transport is along.transport and (
            transport.reliable or (host, uri.port or transport.default_port) == along.remote
        ):
            return None  # also where a NAT leaves no other way
        return self.permission.led(self.driver.hop_for(host, uri.port, transport, name=along.name), along)


@dataclass(frozen=True, slots=True)
class _Directory:
    """What the permission asks of DNS and the routing table, for one request."""

    router: Router
    transport: Transport | None

    async def hops(self, uri: Uri) -> list[Hop]:
        return await self.router.locate(uri, self.transport)

    async def addresses(self, uri: Uri) -> list[Address]:
        transport = transport_of(uri) or self.transport or self.router.transport
        try:
            return await self.router.driver.addresses(uri.host, uri.port, transport, uri.scheme.lower())
        except ResolutionFailed:
            return []
