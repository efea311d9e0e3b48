"""Places of requests: limits of addresses, accounts and all, and the time that a request may hold one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callwright.control.api.bounds import Bounds
from callwright.control.api.forwarded import Forwarded
from callwright.control.api.places import Connections, Places, owner_of, place_of
from callwright.control.api.problems import ApiProblem
from callwright.net.clock import ManualClock

SMALL = Bounds(
    connections_of_address=4,
    requests_of_address=2,
    requests_of_account=3,
    requests=6,
    kept=2,
    streams_of_address=1,
    streams_of_account=2,
    streams=3,
    body_seconds=0.05,
    body_longest=0.2,
    answer_seconds=0.05,
)


class House:
    """An application that holds each request until it is let go, signing in whoever names an account."""

    def __init__(self, bounds: Bounds = SMALL, proxies: tuple[str, ...] = ()) -> None:
        self.places = Places(self._answer, bounds, ManualClock())
        self.app: Any = Forwarded(self.places, proxies) if proxies else self.places
        self.open = asyncio.Event()
        self.tasks: list[asyncio.Task[Answer]] = []
        self.inside = 0

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        if b"account" in headers:
            place = place_of(scope)
            assert place is not None
            try:
                place.signed_in(headers[b"account"].decode())
            except ApiProblem as problem:
                await _plain(send, problem.status)
                return
        if scope["method"] == "POST":
            message = await receive()
            while message.get("more_body"):
                message = await receive()
            if message["type"] == "http.disconnect":
                await _plain(send, 400)
                return
        self.inside += 1
        if scope["path"] == "/events":
            await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
            await self.open.wait()
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": False})
        else:
            await self.open.wait()
            await _plain(send, 200)

    async def ask(self, client: str = "192.0.2.1", path: str = "/", **more: Any) -> Answer:
        """Sends a request; it is answered by now, or held."""
        answer = Answer()
        self.tasks.append(task := asyncio.ensure_future(answer.run(self.app, client, path, **more)))
        for _ in range(10):
            await asyncio.sleep(0)
        answer.held = not task.done()
        return answer

    async def end(self) -> None:
        self.open.set()
        await asyncio.gather(*self.tasks)
        assert not self.places.held
        assert not self.places.peers


_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]


async def _plain(send: Any, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class Answer:
    def __init__(self) -> None:
        self.status, self.held = 0, False
        self.headers: dict[bytes, bytes] = {}

    async def run(
        self,
        app: Any,
        client: str,
        path: str,
        *,
        method: str = "GET",
        headers: tuple[tuple[bytes, bytes], ...] = (),
        pieces: tuple[bytes, ...] | None = (b"",),
        reads: bool = True,
        port: int = 5000,
    ) -> Answer:
        """``pieces``: of the body; None: none ever comes."""
        waiting = list(pieces or ())

        async def receive() -> Any:
            if pieces is None or (not waiting and pieces[-1]):
                await asyncio.Event().wait()
            if not waiting:
                await asyncio.Event().wait()
            piece = waiting.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(piece)}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status, self.headers = message["status"], dict(message["headers"])
            elif not reads:
                await asyncio.Event().wait()

        peer = (client, str(port))  # as Granian tells it
        scope = {"type": "http", "path": path, "method": method, "client": peer, "headers": headers}
        await app(scope, receive, send)
        return self


def account(name: str) -> Any:
    return ((b"authorization", b"Bearer x"), (b"account", name.encode()))


async def test_an_address_holds_no_more_requests_than_its_share() -> None:
    house = House()
    assert [(await house.ask()).held for _ in range(3)] == [True, True, False]
    refused = await house.ask()
    assert (refused.status, refused.headers[b"connection"]) == (429, b"close")
    assert (await house.ask("192.0.2.2")).held
    await house.end()


async def test_after_sign_in_the_account_is_counted_wherever_it_is() -> None:
    house = House()
    held = [await house.ask(headers=account("ana")) for _ in range(3)]
    assert all(answer.held for answer in held)
    assert (await house.ask("192.0.2.9", headers=account("ana"))).status == 429
    assert (await house.ask(headers=account("bob"))).held
    await house.end()


async def test_a_full_address_does_not_keep_its_people_out() -> None:
    house = House()
    for _ in range(3):
        await house.ask(method="POST", pieces=None)
    assert (await house.ask(headers=account("ana"))).held
    await house.end()


async def test_credentials_that_are_only_shown_give_no_place_for_a_body() -> None:
    house = House()
    claims = ((b"cookie", b"callwright_session=none"),)
    held = [await house.ask(method="POST", pieces=None, headers=claims) for _ in range(2)]
    assert all(answer.held for answer in held)
    assert not (await house.ask(method="POST", pieces=None, headers=claims)).held
    assert (await house.ask(headers=account("ana"))).held
    await house.end()


async def test_places_are_kept_for_those_with_credentials_and_health_needs_none() -> None:
    house = House()
    held = [(await house.ask(f"192.0.2.{n}")).held for n in range(1, 6)]
    assert held == [True] * 4 + [False]
    assert (await house.ask("192.0.2.7")).status == 503
    assert [(await house.ask(headers=account("ana"))).held for _ in range(3)] == [True, True, False]
    assert (await house.ask("192.0.2.7", path="/healthz")).held
    await house.end()


async def test_event_streams_are_counted_apart_from_requests() -> None:
    house = House()
    assert (await house.ask(path="/events")).held
    assert (await house.ask(path="/events")).status == 429
    assert (await house.ask()).held
    assert [(await house.ask(path="/events", headers=account("ana"))).held for _ in range(3)] == [
        True,
        True,
        False,
    ]
    assert (await house.ask("192.0.2.8", path="/events")).status == 503
    await house.end()


@pytest.mark.parametrize("pieces", [None, (b"a",), (b"a", b"b")])
async def test_a_body_that_does_not_come_is_answered_408_and_gives_its_place_back(pieces: Any) -> None:
    house = House()
    answer = await Answer().run(house.app, "192.0.2.1", "/", method="POST", pieces=pieces)
    assert (answer.status, answer.headers[b"connection"]) == (408, b"close")
    assert house.inside == 0
    await house.end()


async def test_a_body_that_came_whole_may_be_answered_late() -> None:
    house = House()
    answer = await house.ask(method="POST", pieces=(b"a", b""))
    await asyncio.sleep(SMALL.body_longest)
    assert not house.tasks[0].done()
    await house.end()
    assert answer.status == 200


async def test_an_answer_that_nobody_reads_ends() -> None:
    house = House()
    house.open.set()
    answer = await Answer().run(house.app, "192.0.2.1", "/", reads=False)
    assert answer.status == 200
    await house.end()


async def test_behind_a_proxy_its_clients_are_counted() -> None:
    house = House(proxies=("10.0.0.0/8",))

    def of(client: str) -> Any:
        return ((b"x-forwarded-for", client.encode()),)

    async def ask(client: str) -> Answer:
        return await house.ask("10.0.0.7", headers=of(client))

    assert [(await ask("192.0.2.1")).held for _ in range(3)] == [True, True, False]
    assert [(await ask("192.0.2.2")).held for _ in range(2)] == [True, True]
    assert set(house.places.peers) == {("10.0.0.7", 5000)}
    await house.end()


@pytest.mark.parametrize(
    ("host", "owner"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("nonsense", "nonsense"),
    ],
)
def test_an_address_of_ipv6_is_counted_by_its_network(host: str, owner: str) -> None:
    assert owner_of(host) == owner


def _connections(hosts: list[str]) -> dict[int, tuple[str, int]]:
    return {n: (host, 1000 + n) for n, host in enumerate(hosts)}


async def test_silent_connections_of_an_address_beyond_its_share_are_ended_the_oldest_first() -> None:
    house = House()
    connections = Connections(house.places, limit=4, exempt=["10.0.0.0/8"])
    assert connections.surplus(_connections(["192.0.2.1"] * 4 + ["10.0.0.7"] * 9)) == []
    more = _connections(["192.0.2.1"] * 4 + ["10.0.0.7"] * 9 + ["192.0.2.1"] * 2)
    assert connections.surplus(more) == [0, 1]
    await house.end()


@pytest.mark.parametrize("path", ["/", "/healthz"])
async def test_a_connection_with_a_request_going_on_is_not_ended(path: str) -> None:
    house = House()
    connections = Connections(house.places, limit=4)
    connections.surplus(_connections(["192.0.2.1"] * 6))
    await house.ask("192.0.2.1", path, port=1000)
    assert connections.surplus(_connections(["192.0.2.1"] * 6)) == [1, 2]
    await house.end()
    assert connections.surplus(_connections(["192.0.2.1"] * 6)) == [0, 1]


async def test_a_connection_on_which_somebody_signed_in_is_not_ended() -> None:
    house = House()
    connections = Connections(house.places, limit=4)
    connections.surplus(_connections(["192.0.2.1"] * 6))
    await house.ask("192.0.2.1", port=1000, headers=account("ana"))
    await house.end()
    assert connections.surplus(_connections(["192.0.2.1"] * 6)) == [1]
    assert connections.surplus({}) == []
    assert house.places.known  # it may have come after the look
    assert connections.surplus({}) == []
    assert not house.places.known


async def test_a_connection_has_time_for_its_first_request() -> None:
    connections = Connections(House().places, limit=4)
    assert connections.surplus(_connections(["192.0.2.1"] * 6)) == []
    assert connections.surplus(_connections(["192.0.2.1"] * 9)) == [0, 1, 2, 3, 4]


def test_several_workers_share_what_one_address_may_hold() -> None:
    shared = Bounds().shared_by(3)
    assert (shared.connections_of_address, shared.requests_of_address, shared.streams_of_address) == (
        86,
        43,
        11,
    )
    assert Bounds(streams_of_address=0).shared_by(2).streams_of_address == 0
