"""What /metrics says and who may read it; the application as it is served, without a server."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from callwright.control.accounts.model import Identity, Role, User
from callwright.control.agents.model import AgentInfo
from callwright.control.api.metrics import is_local, shows_token
from callwright.control.app import create_app
from callwright.control.errors import StorageUnavailable
from callwright.control.runs.figures import EndedRuns, LivePhase, RunFigures
from callwright.control.services import Services, Settings
from callwright.dispatch.messages.agents import SpoolState
from callwright.net.clock import ManualClock

TOKEN = "0123456789abcdef0123"


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float | None:
    return samples(text).get((f"callwright_{name}", frozenset(labels.items())))


async def ask(
    services: Services,
    path: str = "/metrics",
    *,
    peer: str = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    app: Any = None,
) -> httpx.Response:
    asked = app or create_app(services, settings or Settings())
    transport = httpx.ASGITransport(app=asked, client=(peer, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        return await client.get(path, headers=dict(headers or {}))


# -- who may read it


async def test_it_is_open_on_this_machine_and_to_nobody_else(services: Services) -> None:
    assert (await ask(services)).status_code == 200
    assert (await ask(services, peer="::ffff:127.0.0.1")).status_code == 200
    for peer, headers in (
        ("192.0.2.7", {}),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.7"}),
        ("127.0.0.1", {"Host": "calls.example.com"}),
        ("192.0.2.7", {"Authorization": f"Bearer {TOKEN}"}),
        ("192.0.2.7", {"Authorization": "Basic bm9ib2R5OndpdGg="}),
    ):
        answer = await ask(services, peer=peer, headers=headers)
        assert answer.status_code == 401, (peer, headers)
        assert "callwright_" not in answer.text


async def test_behind_a_public_url_or_with_a_token_being_local_is_not_enough(services: Services) -> None:
    for settings in (Settings(public_url="https://calls.example.com"), Settings(metrics_token=TOKEN)):
        assert (await ask(services, settings=settings)).status_code == 401


async def test_the_token_opens_it_from_anywhere(services: Services) -> None:
    settings = Settings(metrics_token=TOKEN)

    async def status(header: str) -> int:
        asked = await ask(services, peer="192.0.2.7", settings=settings, headers={"Authorization": header})
        return asked.status_code

    assert await status(f"Bearer {TOKEN}") == 200
    assert await status(f"bearer {TOKEN}") == 200
    for wrong in (f"Bearer {TOKEN}0", f"Bearer {TOKEN[:-1]}", "Bearer ", f"Basic {TOKEN}", TOKEN):
        assert await status(wrong) == 401, wrong


async def test_an_api_key_needs_the_right_of_an_administrator(services: Services) -> None:
    async def status(name: str, role: Role) -> int:
        row = User(0, name, name, f"{name}@example.com", role, "Normal", "UTC", 0.0, None, None)
        user = await services.stores.accounts.add_user(row, "")
        pair = await services.keys.create("scraper", user)
        transport = httpx.ASGITransport(app=create_app(services, Settings()), client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://calls") as client:
            return (await client.get("/metrics", auth=pair)).status_code

    assert await status("ada", Role.ADMIN) == 200
    assert await status("mara", Role.MEMBER) == 403


@pytest.mark.parametrize("host", ["", "localhost.example.com", "127.0.0.1.example.com", "[::2]", "[", "0"])
def test_a_name_that_is_not_this_machine_is_not_local(host: str) -> None:
    assert is_local("127.0.0.1", {"host": "[::1]:8000"}, Settings())
    assert not is_local("127.0.0.1", {"host": host}, Settings())
    assert not is_local("", {"host": "localhost"}, Settings())


def test_no_token_is_shown_where_none_is_set() -> None:
    assert not shows_token({"authorization": "Bearer "}, None)
    assert not shows_token({"authorization": "Bearer None"}, None)
    assert not shows_token({"authorization": "Bearer \xff\udcff"}, TOKEN)


# -- what it says


async def test_requests_are_counted_by_template_and_never_by_what_a_client_makes_up(
    services: Services,
) -> None:
    app = create_app(services, Settings())
    for path in ("/api/v2/runs/one", "/api/v2/runs/two", "/api/v2/nothing/there", "/healthz"):
        await ask(services, path, app=app)
    text = (await ask(services, app=app)).text
    run = {"route": "/api/v2/runs/{run}", "method": "GET"}
    counted = {labels for name, labels in samples(text) if name == "callwright_http_requests_total"}
    routes = {dict(labels)["route"] for labels in counted}
    (template,) = [route for route in routes if route.startswith("/api/v2/runs/{")]
    run["route"] = template
    assert value(text, "http_requests_total", status="4xx", **run) == 2
    assert value(text, "http_request_seconds_count", **run) == 2
    assert "none" in routes
    assert not any("one" in route.split("/") or "nothing" in route for route in routes)


async def test_agents_are_alive_until_their_heartbeats_stop(services: Services, clock: ManualClock) -> None:
    agent, _ = await services.agents.ensure_embedded("vienna-1", AgentInfo(capacity=40))
    await services.agents.heartbeat(agent.id, AgentInfo(capacity=40, busy=3))
    app, who = create_app(services, Settings()), {"agent": "vienna-1", "pool": "default"}
    text = (await ask(services, app=app)).text
    assert [value(text, name, **who) for name in ("agent_up", "agent_capacity_calls", "agent_calls")] == [
        1,
        40,
        3,
    ]
    assert [
        value(text, name, **who) for name in ("agent_spool_bytes", "agent_spool_dropped_files_total")
    ] == [
        0,
        0,
    ]
    full = AgentInfo(capacity=40, spool=SpoolState(5_000, 6_000, 2, 7))
    await services.agents.heartbeat(agent.id, full)
    clock.advance(30)
    text = (await ask(services, app=app)).text
    assert [value(text, name, **who) for name in ("agent_up", "agent_calls")] == [0, 0]
    assert [
        value(text, name, **who) for name in ("agent_spool_bytes", "agent_spool_dropped_files_total")
    ] == [
        5_000,
        7,
    ]
    assert value(text, "agents", state="lost") == 1


async def test_the_kill_switch_is_told_and_a_page_is_made_once_a_second(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    app = create_app(services, Settings())
    assert value((await ask(services, app=app)).text, "kill_switch_engaged") == 0
    await services.runs.kill(admin, "a test")
    assert value((await ask(services, app=app)).text, "kill_switch_engaged") == 0
    clock.advance(1.1)
    assert value((await ask(services, app=app)).text, "kill_switch_engaged") == 1


async def test_without_the_database_it_answers_and_says_so(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise StorageUnavailable("The database does not answer.")

    monkeypatch.setattr(services.stores.runs, "live_figures", away)
    answer = await ask(services)
    assert answer.status_code == 200
    assert (value(answer.text, "up"), value(answer.text, "database_up")) == (0, 0)
    assert "callwright_build_info" in answer.text
    assert "callwright_runs" not in answer.text


async def test_a_full_disk_of_the_data_folder_is_told_before_a_run_is_refused(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=tmp_path, agent_expected=False)
    app = create_app(services, settings)
    assert (value((await ask(services, app=app)).text, "data_free_bytes") or 0) > 0
    assert (await ask(services, "/healthz", app=app)).status_code == 200
    usage = shutil.disk_usage(tmp_path)._replace(free=3 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    full = await ask(services, "/healthz", app=app)
    assert full.status_code == 503
    assert full.text.splitlines() == ["the disk of the data folder is full: 3 MiB left"]
    assert (
        value((await ask(services, app=create_app(services, settings))).text, "data_free_bytes") == 3 * 2**20
    )


async def test_a_database_that_hangs_does_not_hang_the_scrape(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callwright.control.api.metrics._PATIENCE", 0.01)
    monkeypatch.setattr(services.stores.runs, "live_figures", asyncio.Event().wait)
    assert value((await ask(services)).text, "up") == 0


# -- the counting


class Rows:
    """Runs by id; who asks for how many of them is noted."""

    def __init__(self, highest: int) -> None:
        self.ended, self.live = set(range(1, highest + 1)), set[int]()
        self.recent: int | None = None
        self.asked: list[int] = []

    async def live_figures(self) -> list[LivePhase]:
        return [LivePhase("running", len(self.live), 0.0, min(self.live))] if self.live else []

    async def ended_figures(self, after: int, upto: int) -> list[EndedRuns]:
        found = [one for one in self.ended if after < one <= upto]
        self.asked.append(len(found))
        nothing = (0.0,) * 26
        return [EndedRuns.of("passed", None, len(found), *nothing)] if found else []

    async def newest_ids(self, since: float) -> tuple[int | None, int]:
        return self.recent, max(self.ended | self.live, default=0)


async def count(figures: RunFigures) -> int | None:
    _, ended = await figures.look(0.0)
    return None if ended is None else sum(row.count for row in ended)


async def test_what_has_ended_is_counted_once() -> None:
    rows = Rows(1_000)
    rows.live = {901}
    rows.ended.discard(901)
    figures = RunFigures(rows)
    assert await count(figures) == 999
    rows.asked.clear()
    assert await count(figures) == 999
    assert sum(rows.asked) == 99  # those since the one that still goes on
    rows.live.clear()
    rows.ended.add(901)
    assert await count(figures) == 1_000
    rows.recent = 1_001
    rows.ended.add(1_001)
    assert await count(figures) == 1_001


async def test_a_large_database_is_counted_in_several_looks() -> None:
    rows = Rows(0)
    rows.ended = {1, 2_500_000}
    figures = RunFigures(rows)
    assert [await count(figures) for _ in range(3)] == [None, None, 2]
