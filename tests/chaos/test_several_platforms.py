"""Two platforms, three nats-servers, PostgreSQL and an S3 store behind a load balancer: each killed in turn
under a stream of runs. No run is lost, none is placed twice, and a page that is open has news after each.

CI kills each once, `make chaos` five times (CALLWRIGHT_CHAOS_ROUNDS).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from callwright.dispatch.callout import Issuer
from tests.chaos.busy_line import BusyLine
from tests.chaos.test_kills import DOCUMENT, FINAL, Stream, start_again, wait_for_more
from tests.kit import postgresql, swift
from tests.kit.agents import agent_of
from tests.kit.balancer import Balancer
from tests.kit.nats import NatsCluster
from tests.kit.served import Served, environment, start, wait_ready

ROUNDS = int(os.environ.get("CALLWRIGHT_CHAOS_ROUNDS", "1"))
pytestmark = [pytest.mark.chaos, pytest.mark.peer, pytest.mark.timeout(300 + 300 * ROUNDS)]

FLAGS = ("--lease", "3", "--no-pbx", "--no-demo", "--rate-limit", "10000", "--capacity", "10")
KEY = b"\x11" * 32  # of every platform: nats-server must know its issuer before one is there
SIGHT = """
name: sight
parties: {alice: {}, bob: {}}
steps:
  - - call: {from: alice, dial_destination: bob, max_duration: 20 s}
"""


class Page(threading.Thread):
    """A page that is open through the load balancer: it comes again after a second when its stream ends, and
    counts what it hears of runs that go on."""

    def __init__(self, balancer: Balancer, auth: tuple[str, str], over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._url, self._auth, self._over = f"{balancer.url}/api/v2/", auth, over
        self.events = 0

    def run(self) -> None:
        while not self._over.is_set():
            session = self._begin()
            if session is not None:
                self._watch(session)

    def _begin(self) -> str | None:
        try:
            answer = httpx.post(
                f"{self._url}tests/run",
                json={"test.name": "sight", "agentpool.name": "sight"},
                auth=self._auth,
                timeout=10,
            )
            return str(answer.json()["data"]["session_id"]) if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            time.sleep(0.5)
            return None

    def _watch(self, session: str) -> None:
        heard: float | None = None
        while not self._over.is_set():
            try:
                with httpx.stream(
                    "GET", f"{self._url}runs/{session}/events", auth=self._auth, timeout=10
                ) as stream:
                    event = ""
                    for line in stream.iter_lines():
                        now = time.monotonic()
                        if line.startswith("event: "):
                            event = line.removeprefix("event: ")
                            if event == "end":
                                return
                        elif line.startswith("data: ") and event == "progress":
                            kind = json.loads(line.removeprefix("data: "))["kind"]
                            if heard is not None:
                                self.events += 1
                            heard = now if kind in ("metrics", "state", "states") else None
                        if self._over.is_set():
                            return
            except (httpx.HTTPError, ValueError):
                pass
            time.sleep(1.0)


class Installation:
    def __init__(self, folder: Path, database: postgresql.PostgreSql, store: swift.Swift) -> None:
        self.database, self.store = database, store
        authorization = {
            "users": [{"user": "callwright", "password": "p@ss:word"}],
            "auth_callout": {"issuer": issuer_of(KEY), "auth_users": ["callwright"]},
        }
        self.nats = NatsCluster(folder / "nats", more={"authorization": authorization}).start()
        self._flags = (*FLAGS, "--nats", self.nats.url, "--database", database.create("several"))
        self._env = environment(
            CALLWRIGHT_EVIDENCE="s3://evidence/several",
            CALLWRIGHT_EVIDENCE_ENDPOINT=store.url,
            CALLWRIGHT_EVIDENCE_ACCESS_KEY=store.access_key,
            CALLWRIGHT_EVIDENCE_SECRET_KEY=store.secret,
        )
        self.platforms: list[Served] = []
        for name in ("a", "b"):
            data = folder / name
            data.mkdir(parents=True)
            (data / "secret.key").write_text(KEY.hex() + "\n")
            self.platforms.append(wait_ready(start(data, *self._flags, env=self._env)))
        first, second = self.platforms
        second.public_key, second.secret = first.public_key, first.secret
        self.auth = first.auth

    def kill_platform(self, number: int) -> None:
        served = self.platforms[number]
        served.process.kill()
        served.process.wait(30)
        served.api.close()
        time.sleep(2.0)
        again = start(served.data, *self._flags, port=served.port, env=self._env)
        again.public_key, again.secret = served.public_key, served.secret
        self.platforms[number] = again
        wait_ready(again)

    def kill_nats(self, number: int) -> None:
        server = self.nats.servers[number]
        server.stop(signal.SIGKILL)
        time.sleep(2.0)
        server.start()

    def kill_database(self) -> None:
        self.database.kill()
        start_again(self.database)

    def kill_store(self) -> None:
        self.store.kill()
        time.sleep(2.0)
        self.store.start()

    def deaths(self) -> Sequence[Callable[[], None]]:
        """Of each part in one round."""
        return (
            lambda: self.kill_platform(_leader(self)),
            lambda: self.kill_platform(1 - _leader(self)),
            *(partial(self.kill_nats, number) for number in range(3)),
            self.kill_database,
            self.kill_store,
        )

    def end(self) -> None:
        for served in self.platforms:
            if served.process.poll() is None:
                served.end()
        self.nats.stop()


def issuer_of(key: bytes) -> str:
    from callwright.control.credentials.vault import Vault

    return Issuer(Vault(key, os.urandom).derive("issuer at nats")).public


@contextlib.contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    postgresql.require()
    swift.require()
    database, store = postgresql.PostgreSql(durable=True).start(), swift.Swift()
    try:
        store.start().client().create_bucket(Bucket="evidence")
        made = Installation(folder, database, store)
        try:
            yield made
        finally:
            made.end()
    finally:
        store.close()
        database.close()


def test_any_part_may_die_under_a_stream_of_runs(tmp_path: Path) -> None:
    with installed(tmp_path) as those, BusyLine() as line, contextlib.ExitStack() as exits:
        balancer = exits.enter_context(Balancer([served.port for served in those.platforms]))
        api = httpx.Client(base_url=f"{balancer.url}/api/v2/", auth=those.auth, timeout=30)
        for document in (DOCUMENT % line.port, SIGHT):
            assert api.post("tests", json={"document": document}).status_code in (200, 201)
        # An agent elsewhere: it enrols through the load balancer and is let in with its own rights.
        token = api.post("agents/tokens", json={"pool": "sight"}).json()["data"]["token"]
        folder = tmp_path / "agent"
        exits.enter_context(agent_of(folder, "--url", balancer.url, "--enrol", token))
        over = threading.Event()
        page = Page(balancer, those.auth, over)
        streams = [
            Stream(f"s{number}", _clients(balancer, those.auth), over, line.port) for number in range(2)
        ]
        for thread in (*streams, page):
            thread.start()
        try:
            _until_seen(page)
            for _ in range(ROUNDS):
                for kill in those.deaths():
                    wait_for_more(streams)
                    kill()
                    wait_for_more(streams)
                    _until_seen(page)
        finally:
            over.set()
            for thread in (*streams, page):
                thread.join(150)
        identity = json.loads((folder / "agent.json").read_text())
        assert identity["user"] == f"agent-{identity['agent_id']}"
        _judge(api, line, streams)
        print(f"page: {page.events} events")
        assert page.events > 10 * ROUNDS


def _clients(balancer: Balancer, auth: tuple[str, str]) -> Any:
    """A client whose every request is a connection of its own, so that the load balancer chooses anew."""
    limits = httpx.Limits(max_keepalive_connections=0)
    client = httpx.Client(base_url=f"{balancer.url}/api/v2/", auth=auth, timeout=30, limits=limits)
    return lambda: client


def _leader(those: Installation) -> int:
    """Which of the two leads, by the row in the database."""
    import asyncio

    import asyncpg

    async def holder() -> str:
        connection = await asyncpg.connect(those.database.url("several"))
        try:
            return str(await connection.fetchval("SELECT holder FROM leaders WHERE name = 'keeper'"))
        finally:
            await connection.close()

    found = asyncio.run(holder())
    nodes = [(served.data / "node").read_text().strip() for served in those.platforms]
    return next(number for number, node in enumerate(nodes) if found.endswith(node))


def _until_seen(page: Page) -> None:
    """Until the page has news."""
    before, deadline = page.events, time.monotonic() + 180
    while page.events < before + 3:
        assert time.monotonic() < deadline, "the page sees nothing"
        time.sleep(0.05)


def _judge(api: httpx.Client, line: BusyLine, streams: list[Stream]) -> None:
    runs = [told for stream in streams for told in stream.runs]
    for stream in streams:
        assert stream.broken is None, repr(stream.broken)
        assert not stream.is_alive()
    assert [told for told in runs if told.problem] == []
    for told in runs:
        run = api.get(f"runs/{told.session_id}/status").json()["run"]
        told.ends.add((run["phase"], run["result_description"]))
    assert [told for told in runs if len(told.ends) != 1] == []
    ends = [phase for told in runs for phase, _ in told.ends]
    assert set(ends) <= FINAL
    assert {number: calls for number, calls in line.calls.items() if len(calls) > 1} == {}
    print(f"{len(runs)} runs, {len(line.calls)} calls, { ({end: ends.count(end) for end in set(ends)}) }")
    assert ends.count("failed") > 0  # busy: killing is not all that happened
