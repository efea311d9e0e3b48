"""Plans that agents ask for, readings that they hand in, and what the API shows of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.app import create_app
from callwright.control.keeping.carrying import Carrying
from callwright.control.keeping.monitors import MonitorKeeper
from callwright.control.services import Services, Settings
from callwright.dispatch import subject
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.monitors import Monitor, Plan, PlanRequest, Reading, Readings, phase_of
from callwright.dispatch.messages.wire import Answer, decode, encode
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import State
from callwright.net.clock import ManualClock

BEGIN = 1_700_006_400  # a midnight of UTC


@dataclass
class Platform:
    services: Services
    broker: MemoryBroker
    keeper: MonitorKeeper
    api: httpx.AsyncClient

    async def endpoint(self, servers: list[int], **fields: Any) -> dict[str, Any]:
        ask = {"name": "x", "ip_address": "10.0.0.1", "server_ids": servers, **fields}
        answer = await self.api.post("/endpoints", json=ask)
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def test_of(self, endpoint: dict[str, Any]) -> int:
        tests = (await self.api.get(f"/endpoints/{endpoint['id']}/voip_tests")).json()["collection"]
        return int(tests[0]["id"])

    async def plan(self, agent: str, after: int = 0) -> Plan:
        data = await self.broker.request(subject.of_agent(agent, subject.PLAN), encode(PlanRequest(after)), 5)
        return decode(Plan, data)

    async def hand_in(self, agent: str, *readings: Reading) -> None:
        data = await self.broker.request(
            subject.of_agent(agent, subject.READINGS), encode(Readings(readings)), 5
        )
        assert decode(Answer, data).accepted

    async def results(self, endpoint: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
        test = await self.test_of(endpoint)
        path = f"/endpoints/{endpoint['id']}/voip_tests/{test}/results"
        body = (await self.api.get(path, params=query)).json()
        assert body["metadata"] == {"count": len(body["collection"])}
        rows: list[dict[str, Any]] = body["collection"]
        return rows


@pytest.fixture
async def platform(services: Services, admin: Identity, clock: ManualClock) -> AsyncIterator[Platform]:
    clock.advance(BEGIN - clock.wall())
    broker = MemoryBroker()
    carrying = Carrying(broker, lambda error: None)
    keeper = MonitorKeeper(services.monitors.measurements, carrying, own=(("127.0.0.1", 5062),))
    await keeper.subscribe()
    key, secret = await services.keys.create("tests", await services.accounts.user(admin.user_id))
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    base = "http://here/api/v3"
    async with httpx.AsyncClient(transport=transport, base_url=base, auth=(key, secret)) as api:
        yield Platform(services, broker, keeper, api)
    await carrying.close()
    await broker.close()


@pytest.fixture
async def server(platform: Platform) -> int:
    """The number of the server of agent a1."""
    return await a_server(platform.services, "fra-1", "a1")


async def a_server(services: Services, name: str, agent: str) -> int:
    row = ServerRecord(
        number=0,
        name=name,
        label=name,
        provider="private",
        pool="default",
        state=State.RUNNING,
        created=0.0,
        updated=0.0,
        since=0.0,
        agent_id=agent,
    )
    return (await services.stores.servers.add_server(row)).number


def done(test: int, slot: int, **figures: Any) -> Reading:
    return Reading(test, slot, "done", slot + 0.5, "", figures, "passed")


async def test_an_agent_gets_the_plan_of_its_server_and_no_other(platform: Platform, server: int) -> None:
    other = await a_server(platform.services, "lon-1", "a2")
    endpoint = await platform.endpoint([server], category="sip", interval=30)
    await platform.endpoint([other])
    test = await platform.test_of(endpoint)
    plan = await platform.plan("a1")
    assert not plan.more
    (monitor,) = plan.monitors
    assert (monitor.monitor_id, monitor.category, monitor.target, monitor.port) == (
        test,
        "sip",
        "10.0.0.1",
        5060,
    )
    assert (monitor.interval, monitor.phase) == (30, phase_of(test, 30))
    assert monitor.policy is None
    assert plan.policy.own == (("127.0.0.1", 5062),)
    assert (await platform.plan("nobody")) == Plan(0)
    assert await platform.keeper.revision("nobody") is None


async def test_a_plan_carries_the_account_that_signals_and_its_uri(
    platform: Platform, server: int, admin: Identity
) -> None:
    account = {"user": "4101", "password": "s3cret", "domain": "10.0.0.1"}
    await platform.services.credentials.put(admin, "office", account)
    await platform.endpoint([server], category="register", uri="sip:10.0.0.1:5070", credentials="office")
    (monitor,) = (await platform.plan("a1")).monitors
    assert isinstance(monitor, Monitor)
    assert (monitor.target, monitor.credentials["user"], monitor.credentials["password"]) == (
        "sip:10.0.0.1:5070",
        "4101",
        "s3cret",
    )
    assert "s3cret" not in repr(monitor)


async def test_each_change_of_a_plan_has_another_revision(
    platform: Platform, server: int, admin: Identity, clock: ManualClock
) -> None:
    endpoint = await platform.endpoint([server])
    path = f"/endpoints/{endpoint['id']}"
    seen = {await platform.keeper.revision("a1")}
    for act in (
        lambda: platform.api.patch(path, json={"interval": 20}),
        lambda: platform.api.patch(f"{path}/voip_tests/{1}", json={"num_tests": 30}),
        lambda: platform.api.delete(path),
        lambda: platform.api.patch(f"{path}/activate"),
        lambda: platform.services.targets.add(admin, host="pbx.example.com"),
        lambda: platform.services.credentials.put(admin, "office", {"user": "1", "password": "x"}),
    ):
        await act()
        clock.advance(3)
        revision = await platform.keeper.revision("a1")
        assert revision not in seen
        assert (await platform.plan("a1")).revision == revision
        seen.add(revision)
    assert await platform.keeper.revision("a1") in seen


async def test_a_long_plan_comes_in_pages(
    platform: Platform, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callwright.control.keeping.monitors.MONITORS_IN_PAGE", 2)
    for _ in range(3):
        await platform.endpoint([server])
    first = await platform.plan("a1")
    assert (len(first.monitors), first.more) == (2, True)
    rest = await platform.plan("a1", first.monitors[-1].monitor_id)
    assert (len(rest.monitors), rest.more, rest.revision) == (1, False, first.revision)


async def test_a_reading_is_shown_once_and_becomes_the_latest_mos(platform: Platform, server: int) -> None:
    endpoint = await platform.endpoint([server])
    test = await platform.test_of(endpoint)
    figures = {"mos": 4.41, "rtt_ms": 20.5, "sent": 25, "lost": 0, "one_way_ms": {"out": 10.0}, "x": "y"}
    for _ in range(2):
        await platform.hand_in("a1", done(test, BEGIN - 60, **figures))
    (row,) = await platform.results(endpoint)
    assert (row["at"], row["slot"], row["state"]) == ("2023-11-14 23:59:00", BEGIN - 60, "done")
    assert (row["mos"], row["rtt_ms"], row["sent"], row["lost"], row["late"]) == (4.41, 20.5, 25, 0, None)
    assert (row["one_way_ms"], row["more"]) == ({"out": 10.0, "back": None}, {"x": "y"})
    shown = (await platform.api.get(f"/endpoints/{endpoint['id']}/voip_tests/{test}")).json()
    assert (shown["mos"], shown["updated_at"]) == (4.41, "2023-11-14 23:59:00")


async def test_readings_of_others_monitors_and_of_other_times_are_dropped(
    platform: Platform, server: int
) -> None:
    await a_server(platform.services, "lon-1", "a2")
    endpoint = await platform.endpoint([server])
    test = await platform.test_of(endpoint)
    await platform.hand_in("a2", done(test, BEGIN - 60, mos=1.0))
    await platform.hand_in(
        "a1",
        done(test + 100, BEGIN - 60),
        done(-1, BEGIN - 60),
        done(test, BEGIN - 40 * 86_400),
        done(test, BEGIN + 7_200),
        Reading(test, BEGIN - 60, "asleep"),
    )
    assert await platform.results(endpoint, **{"from": 0, "to": BEGIN, "resolution": "day"}) == []


async def test_hostile_figures_neither_act_nor_grow_without_end(platform: Platform, server: int) -> None:
    endpoint = await platform.endpoint([server])
    test = await platform.test_of(endpoint)
    await platform.hand_in(
        "a1",
        Reading(test, BEGIN - 120, "failed", None, "a\x1b[2Jb" * 500, {"mos": "4", "z": "\u202e\x9b"}),
        done(test, BEGIN - 60, big="x" * 100_000),
    )
    first, second = await platform.results(endpoint)
    assert first["mos"] is None
    assert "\x1b" not in first["reason"]
    assert len(first["reason"]) <= 500
    assert first["more"]["z"] == "\ufffd\ufffd"
    assert (second["more"], second["reason"]) == ({}, "The figures were too large to be kept.")


async def test_history_is_the_same_before_and_after_it_is_rolled_up(
    platform: Platform, server: int, clock: ManualClock
) -> None:
    endpoint = await platform.endpoint([server])
    test = await platform.test_of(endpoint)
    readings = [
        done(test, BEGIN - 3 * 3_600 + 60 * n, mos=3.0 + (n % 10) / 10, rtt_ms=20.0 + n, sent=25, lost=n % 2)
        for n in range(180)
    ]
    await platform.hand_in("a1", *readings)
    times = {"from": BEGIN - 86_400, "to": BEGIN}

    async def shown() -> list[list[dict[str, Any]]]:
        return [
            await platform.results(endpoint, **times, resolution=one) for one in ("minute", "hour", "day")
        ]

    before = await shown()
    assert [len(rows) for rows in before] == [180, 3, 1]
    (day,) = before[2]
    assert (day["sent"], day["lost"], day["slots"], day["spread"]["mos"]["p95"]) == (
        180 * 25,
        90,
        {"done": 180},
        3.9,
    )
    clock.advance(200)
    assert not await platform.services.monitors.measurements.roll_up()
    assert await shown() == before
    assert await platform.services.stores.monitors.due(BEGIN, 10) == []
    late = done(test, BEGIN - 3 * 3_600 + 30, mos=1.0, sent=25, lost=25)
    await platform.hand_in("a1", late)
    assert (await platform.results(endpoint, **times, resolution="day"))[0]["lost"] == 115
    await platform.services.monitors.measurements.roll_up()
    assert (await platform.results(endpoint, **times, resolution="day"))[0]["lost"] == 115


async def test_raw_readings_go_after_30_days_and_days_stay(
    platform: Platform, server: int, clock: ManualClock
) -> None:
    endpoint = await platform.endpoint([server])
    await platform.hand_in("a1", done(await platform.test_of(endpoint), BEGIN - 60, mos=4.0))
    for _ in range(2):
        clock.advance(31 * 86_400)
        await platform.services.monitors.measurements.roll_up()
        await platform.services.monitors.measurements.forget_old()
    times = {"from": BEGIN - 3_600, "to": BEGIN}
    assert await platform.results(endpoint, **times) == []
    (day,) = await platform.results(endpoint, **times, resolution="day")
    assert day["mos"] == 4.0


async def test_too_many_rows_or_a_resolution_that_is_none_are_refused(
    platform: Platform, server: int
) -> None:
    endpoint = await platform.endpoint([server])
    path = f"/endpoints/{endpoint['id']}/voip_tests/{await platform.test_of(endpoint)}/results"
    for query in ("resolution=second", "from=0&to=1700000000", "from=5&to=5", "from=yesterday"):
        answer = await platform.api.get(f"{path}?{query}")
        assert answer.status_code == 422, query
