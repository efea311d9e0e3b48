"""Places for requests: how many one address, one account and all may hold at once, and for how long.

Nobody needs an account to send the head of a request and then nothing, or to open streams that never end.
Before sign-in requests are counted by address, after it by account; some places are kept for those who show
credentials, and `/healthz` needs none. Bodies that come too slowly and answers that nobody reads end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec

from callwright.control.api.bounds import Bounds
from callwright.control.api.forwarded import PEER, networks_of
from callwright.control.api.problems import ApiProblem
from callwright.net.clock import Clock

__all__ = ["Connections", "Place", "Places", "place_of"]

_KEY = "callwright_place"
_FREE = ("/healthz",)
_MOST_KNOWN = 20_000
_NETWORK_OF_ONE = 64  # bits: who has an IPv6 address has the network around it


def plain(host: str) -> str:
    """An IPv4 address that came in IPv6's clothes is itself."""
    return host.lower().removeprefix("::ffff:") if "." in host else host


def owner_of(host: str) -> str:
    """Who is counted: an IPv4 address, or the /64 of an IPv6 one."""
    bare = plain(host)
    try:
        address = ip_address(bare)
    except ValueError:
        return bare
    if address.version == 4:
        return bare
    return str(ip_network((address, _NETWORK_OF_ONE), strict=False))


class Connections:
    """Which open connections of a worker are too many: of an address on which nobody signed in, with no
    request going on. The oldest go first, and none at its first sight: it has time for its request."""

    def __init__(self, places: Places, limit: int, exempt: Sequence[str] = ()) -> None:
        """``limit``: of one address; 0 is none. ``exempt``: the proxies, whose clients `Places` counts."""
        self._places, self._limit = places, limit
        self._exempt = networks_of(exempt)
        self._seen: dict[tuple[str, int], int] = {}  # in order of their first sight
        self._turn = 0
        self._gone: set[tuple[str, int]] = set()

    def surplus(self, peers: Mapping[int, tuple[str, int]]) -> list[int]:
        """Descriptors to close. ``peers``: descriptor to (host, port), all that are open now."""
        self._turn += 1
        open_now = {(plain(host), port): descriptor for descriptor, (host, port) in peers.items()}
        self._seen = {peer: turn for peer, turn in self._seen.items() if peer in open_now}
        # A connection may be younger than this look at them: it is forgotten when two have not seen it.
        gone = self._places.known.difference(open_now)
        self._places.known.difference_update(gone & self._gone)
        self._gone = gone
        owners: dict[str, list[tuple[str, int]]] = {}
        for peer in open_now:
            self._seen.setdefault(peer, self._turn)
            if peer not in self._places.known:
                owners.setdefault(owner_of(peer[0]), []).append(peer)
        found: list[int] = []
        for of_one in owners.values():
            more = len(of_one) - self._limit
            if not self._limit or more <= 0 or self._is_exempt(of_one[0][0]):
                continue
            idle = [
                peer for peer in of_one if peer not in self._places.peers and self._seen[peer] < self._turn
            ]
            idle.sort(key=lambda peer: self._seen[peer])
            found += [open_now[peer] for peer in idle[:more]]
        return found

    def _is_exempt(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._exempt)


class _Full(Exception):
    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message


class _Stalled(BaseException):
    """Nobody reads the answer. Not an Exception: no handler below may answer it."""


class Places:
    """An ASGI application around another. Make it inside `Forwarded`, so that clients are who they are."""

    def __init__(self, app: Any, bounds: Bounds, clock: Clock) -> None:
        self._app, self._bounds, self._clock = app, bounds, clock
        self._held: Counter[tuple[str, str]] = Counter()  # kind and owner to places
        self.peers: Counter[tuple[str, int]] = Counter()  # connections with a request going on
        self.known: set[tuple[str, int]] = set()  # connections on which somebody signed in

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        client = scope.get("client") or ("", 0)
        host, port = scope.get(PEER) or client
        peer = plain(host), int(port)  # Granian tells ports as text, the kernel as numbers
        self.peers[peer] += 1
        try:
            if scope["type"] == "websocket":
                await self._hold_socket(owner_of(client[0]), scope, receive, send)
            elif scope["path"] in _FREE:
                await self._app(scope, receive, send)
            else:
                await self._hold(peer, owner_of(client[0]), scope, receive, send)
        finally:
            self.peers[peer] -= 1
            if not self.peers[peer]:
                del self.peers[peer]

    async def _hold_socket(self, owner: str, scope: Any, receive: Any, send: Any) -> None:
        """Those of phones are counted by address all along: who is behind one shows at the PBX."""
        taken = []
        try:
            for name, limit in ((owner, self._bounds.streams_of_address), ("", self._bounds.streams)):
                if not self.take("sockets", name, limit):
                    await receive()
                    await send({"type": "websocket.close", "code": 1013})
                    return
                taken.append(name)
            await self._app(scope, receive, send)
        finally:
            for name in taken:
                self.give("sockets", name)

    async def _hold(self, peer: tuple[str, int], owner: str, scope: Any, receive: Any, send: Any) -> None:
        place = Place(self, owner, _shows_credentials(scope["headers"]))
        try:
            place.enter()
        except _Full as full:
            await _refuse(send, full)
            return
        scope[_KEY] = place
        exchange = _Exchange(place, receive, send, self._bounds, self._clock)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except BaseException:
            if not exchange.stalled:
                raise
        finally:
            place.leave()
            if place.account and len(self.known) < _MOST_KNOWN:
                self.known.add(peer)

    # -- counting, for Place alone

    def take(self, kind: str, owner: str, limit: int) -> bool:
        if limit and self._held[kind, owner] >= limit:
            return False
        self._held[kind, owner] += 1
        return True

    def give(self, kind: str, owner: str) -> None:
        self._held[kind, owner] -= 1
        if not self._held[kind, owner]:
            del self._held[kind, owner]

    @property
    def bounds(self) -> Bounds:
        return self._bounds

    @property
    def held(self) -> Mapping[tuple[str, str], int]:
        return self._held


class Place:
    """What one request holds. A request that shows credentials waits apart until it is known whether they are
    right, so that a full address does not keep its people out."""

    def __init__(self, places: Places, address: str, claims: bool) -> None:
        self._places, self._address, self._claims = places, address, claims
        self._holds: list[tuple[str, str]] = []
        self.account = ""

    def enter(self) -> None:
        bounds = self._places.bounds
        most = bounds.requests if self._claims else max(bounds.requests - bounds.kept, 1)
        self._take("all", "", most if bounds.requests else 0, 503, "The platform is busy.")
        try:
            kind = "claims" if self._claims else "address"
            self._take(kind, self._address, bounds.requests_of_address, 429, _OF_ADDRESS)
        except _Full:
            self.leave()
            raise

    def signed_in(self, account: str) -> None:
        """From now on it counts for the account. Raises ApiProblem 429."""
        if self.account:
            return
        self._give("claims")
        self._give("address")
        try:
            limit = self._places.bounds.requests_of_account
            self._take("account", account, limit, 429, "This account has too many requests at once.")
        except _Full as full:
            raise ApiProblem(full.status, full.message, headers={"Retry-After": "1"}) from None
        self.account = account

    def wants_body(self) -> None:
        """A body is read before sign-in: credentials that were only shown give no place of their own."""
        if not self.account and self._claims:
            self._claims = False
            self._give("claims")
            self._take("address", self._address, self._places.bounds.requests_of_address, 429, _OF_ADDRESS)

    def streams(self) -> None:
        """The answer is a stream of events: it leaves the requests and counts among the streams."""
        bounds = self._places.bounds
        self._take("all streams", "", bounds.streams, 503, "Too many event streams are open.")
        kind, owner, limit = ("address", self._address, bounds.streams_of_address)
        if self.account:
            kind, owner, limit = ("account", self.account, bounds.streams_of_account)
        self._take(f"{kind} streams", owner, limit, 429, f"Too many event streams of this {kind} are open.")
        for kind in ("all", "claims", "address", "account"):
            self._give(kind)

    def leave(self) -> None:
        for hold in self._holds:
            self._places.give(*hold)
        self._holds.clear()

    def _take(self, kind: str, owner: str, limit: int, status: int, message: str) -> None:
        if not self._places.take(kind, owner, limit):
            raise _Full(status, message)
        self._holds.append((kind, owner))

    def _give(self, kind: str) -> None:
        for hold in [hold for hold in self._holds if hold[0] == kind]:
            self._holds.remove(hold)
            self._places.give(*hold)


_OF_ADDRESS = "This address has too many requests at once without sign-in."


def place_of(scope: Any) -> Place | None:
    """Of the request of a scope; None outside `Places`, as in tests of the application alone."""
    place: Place | None = scope.get(_KEY)
    return place


class _Exchange:
    """The two ways of one request, timed."""

    def __init__(self, place: Place, receive: Any, send: Any, bounds: Bounds, clock: Clock) -> None:
        self._place, self._receive, self._send = place, receive, send
        self._bounds, self._clock = bounds, clock
        self._whole = False  # the body has come
        self._began: float | None = None
        self._size = 0
        self._refused: _Full | None = None
        self._answered = False
        self._replaced = False
        self.stalled = False

    async def receive(self) -> Any:
        if self._whole:
            return await self._receive()
        now = self._clock.now()
        bounds = self._bounds
        if self._began is None:
            self._began = now
        earned = min(bounds.body_seconds + self._size / bounds.body_rate, bounds.body_longest)
        try:
            self._place.wants_body()
            async with asyncio.timeout(max(self._began + earned - now, 0.0)):
                message = await self._receive()
        except TimeoutError:
            self._refused = _Full(408, "The body of the request came too slowly.")
        except _Full as full:
            self._refused = full
        if self._refused is not None:
            self._whole = True
            return {"type": "http.disconnect"}
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: Any) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            if self._refused is None and _is_stream(message):
                try:
                    self._place.streams()
                except _Full as full:
                    self._refused = full
            if self._refused is not None:
                self._replaced = True
                await _refuse(self._send, self._refused)
                if _is_stream(message):
                    self.stalled = True
                    raise _Stalled
                return
        try:
            async with asyncio.timeout(self._bounds.answer_seconds):
                await self._send(message)
        except TimeoutError:
            self.stalled = True
            raise _Stalled from None


def _is_stream(message: Any) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in message.get("headers", ())
    )


def _shows_credentials(headers: Any) -> bool:
    return any(
        name in (b"authorization", b"x-auth-token") or (name == b"cookie" and b"callwright_session=" in value)
        for name, value in headers
    )


async def _refuse(send: Any, full: _Full) -> None:
    body = msgspec.json.encode({"status": full.status, "message": full.message, "errors": []})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if full.status != 408:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": full.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
