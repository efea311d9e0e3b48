"""Alerts from readings to incidents, and what the chapter of monitoring shows of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.alerts.evaluation import Evaluation
from callwright.control.alerts.telling import IncidentTeller
from callwright.control.app import create_app
from callwright.control.errors import Conflict, StorageUnavailable
from callwright.control.monitors.model import SlotState, StoredReading
from callwright.control.notifications.model import EVENTS
from callwright.control.notifications.outbox import Outbox
from callwright.control.notifications.wording import words_of
from callwright.control.services import Services, Settings
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import State
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy

ALERT = {
    *("id", "project", "name", "condition", "recovery", "reminder", "snoozed_until", "maintenance", "state"),
    *("retests", "channel_ids", "endpoints", "created_at", "deleted_at"),
}


class Platform:
    """Endpoints that every server tests; a minute gives each VoIP test a MOS, None: nobody answered."""

    def __init__(self, services: Services, api: httpx.AsyncClient, clock: ManualClock) -> None:
        self.services, self.api, self.clock = services, api, clock
        self.servers: list[int] = []
        self.endpoints: list[int] = []

    async def set_up(self, servers: int, endpoints: int, **alert: Any) -> int:
        """The id of the alert that each endpoint raises."""
        for n in range(servers):
            row = ServerRecord(
                number=0,
                name=f"s{n}",
                label=f"s{n}",
                provider="private",
                pool="default",
                state=State.RUNNING,
                created=0.0,
                updated=0.0,
                since=0.0,
                agent_id=f"a{n}",
            )
            self.servers.append((await self.services.stores.servers.add_server(row)).number)
        made = await self.post("/alerts", {"name": "It sounds bad", "condition": "mos < 3.9 for 2m", **alert})
        for n in range(endpoints):
            ask: dict[str, Any] = {"name": f"e{n}", "ip_address": "10.0.0.1", "server_ids": self.servers}
            ask |= {"alert_threshold": 3.5, "alert_ids": [made["id"]]}
            self.endpoints.append((await self.post("/endpoints", ask))["id"])
        await self.round()
        return int(made["id"])

    async def post(self, path: str, ask: dict[str, Any]) -> dict[str, Any]:
        answer = await self.api.post(path, json=ask)
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def get(self, path: str) -> Any:
        answer = await self.api.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def round(self) -> list[str]:
        return [str(event.kind) for _, event in (await self.services.evaluation.once()).told]

    async def minutes(self, count: int, *rows: str) -> list[str]:
        """A row is a server, its characters endpoints: `.` good, `x` bad, `-` no reading."""
        told: list[str] = []
        tests = await self.services.stores.monitors.voip_tests()
        for _ in range(count):
            self.clock.advance(60)
            slot = int(self.clock.wall())
            readings = []
            for test in tests:
                mark = rows[self.servers.index(test.server_id)][self.endpoints.index(test.endpoint_id)]
                figures: dict[str, Any] = {"mos": 4.4 if mark == "." else 2.0}
                if mark != "-":
                    readings.append(
                        StoredReading(test.id, slot, SlotState.DONE, float(slot), "", "passed", figures)
                    )
            await self.services.stores.monitors.add_readings(readings)
            told += await self.round()
        return told

    async def incidents(self, query: str = "") -> list[dict[str, Any]]:
        body = await self.get(f"/incidents{query}")
        assert body["metadata"] == {"count": len(body["collection"])}
        rows: list[dict[str, Any]] = body["collection"]
        return rows


@pytest.fixture
async def platform(services: Services, admin: Identity, clock: ManualClock) -> AsyncIterator[Platform]:
    clock.advance(1_700_006_400 - clock.wall())
    key, secret = await services.keys.create("tests", await services.accounts.user(admin.user_id))
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    base = "http://here/api/v3"
    async with httpx.AsyncClient(transport=transport, base_url=base, auth=(key, secret)) as api:
        yield Platform(services, api, clock)


async def test_an_endpoint_that_goes_bad_is_one_incident_with_a_beginning_and_an_end(
    platform: Platform,
) -> None:
    alert = await platform.set_up(2, 2)
    assert (await platform.get(f"/alerts/{alert}"))["state"] == "never evaluated"
    assert await platform.minutes(3, "..", "..") == []
    assert (await platform.get(f"/alerts/{alert}"))["state"] == "quiet"
    assert await platform.minutes(1, "x.", "x.") == []
    assert (await platform.get(f"/alerts/{alert}"))["state"] == "pending"
    assert await platform.minutes(5, "x.", "x.") == ["fired"]
    shown = await platform.get(f"/alerts/{alert}")
    bad, good = platform.endpoints
    assert (shown["state"], shown["endpoints"]) == ("firing", {str(bad): "firing", str(good): "quiet"})
    (incident,) = await platform.incidents("?state=open")
    assert incident["cause"] == {"kind": "endpoint", "server_id": None, "endpoint_id": bad}
    assert await platform.minutes(5, "..", "..") == ["recovered"]
    (ended,) = await platform.incidents("?state=ended")
    assert ended["ended_at"] is not None
    assert [entry["kind"] for entry in ended["story"]] == ["fired", "recovered"]
    assert ended["story"][0]["server_ids"] == platform.servers
    assert (await platform.get(f"/endpoints/{bad}/incidents"))["collection"] == [ended]
    assert (await platform.get(f"/endpoints/{good}/incidents"))["collection"] == []
    assert await platform.incidents("?state=open") == []


async def test_a_server_whose_uplink_is_down_is_one_incident_with_the_endpoints_as_children(
    platform: Platform,
) -> None:
    await platform.set_up(3, 4)
    await platform.minutes(3, "....", "....", "....")
    assert await platform.minutes(6, "....", "xxxx", "....") == ["fired"] * 4
    (incident,) = await platform.incidents()
    assert incident["cause"] == {"kind": "server", "server_id": platform.servers[1], "endpoint_id": None}
    assert sorted(child["endpoint_id"] for child in incident["children"]) == platform.endpoints
    await platform.minutes(6, "....", "..xx", "....")
    (still,) = await platform.incidents("?state=open")
    assert [child["ended_at"] is None for child in still["children"]] == [False, False, True, True]
    await platform.minutes(6, "....", "....", "....")
    assert await platform.incidents("?state=open") == []


async def test_a_restart_in_the_middle_tells_nothing_twice_and_forgets_nothing(platform: Platform) -> None:
    await platform.set_up(1, 1)
    await platform.minutes(2, "x")
    told = await platform.minutes(1, "x")
    assert told == ["fired"]
    assert await platform.round() == []
    stores, clock = platform.services.stores, platform.clock
    outbox = Outbox(stores.notifications, clock=clock, entropy=seeded_entropy(2))

    async def names() -> dict[int, str]:
        return {}

    again = Evaluation(stores.alerts, stores.monitors, IncidentTeller(outbox, names), clock=clock)
    assert list((await again.once()).told) == []
    assert await platform.minutes(3, ".") == ["recovered"]


async def test_readings_that_came_late_are_judged_in_their_order(platform: Platform) -> None:
    await platform.set_up(1, 1)
    (test,) = await platform.services.stores.monitors.voip_tests()
    begin = int(platform.clock.wall())
    platform.clock.advance(600)
    readings = [
        StoredReading(test.id, begin + 60 * n, SlotState.DONE, None, "", "passed", {"mos": 2.0})
        for n in range(1, 11)
    ]
    await platform.services.stores.monitors.add_readings(readings)
    assert await platform.round() == ["fired"]


async def test_in_maintenance_and_while_snoozed_nothing_begins(platform: Platform) -> None:
    alert = await platform.set_up(1, 1)
    now = platform.clock.wall()
    until = {"snoozed_until": str(now + 600)}
    assert (await platform.api.patch(f"/alerts/{alert}", json=until)).status_code == 200
    assert await platform.minutes(8, "x") == []
    assert (await platform.get(f"/alerts/{alert}"))["state"] == "snoozed"
    assert await platform.minutes(4, "x") == ["fired"]


async def test_what_is_cancelled_while_it_fires_is_set_aside(platform: Platform) -> None:
    alert = await platform.set_up(1, 2)
    await platform.minutes(4, "xx")
    await platform.api.delete(f"/endpoints/{platform.endpoints[0]}")
    await platform.round()
    await platform.api.delete(f"/alerts/{alert}")
    await platform.round()
    for incident in await platform.incidents():
        assert incident["ended_at"] is not None
        assert [entry["kind"] for entry in incident["story"]].count("set aside") >= 1


async def test_an_acknowledged_incident_is_not_reminded_of(platform: Platform) -> None:
    await platform.set_up(1, 1, reminder=300)
    assert await platform.minutes(13, "x") == ["fired", "reminded", "reminded"]
    (incident,) = await platform.incidents()
    answer = await platform.api.patch(f"/incidents/{incident['id']}/acknowledge")
    assert (answer.json()["acknowledged_by"], answer.json()["ended_at"]) == ("ana", None)
    assert await platform.minutes(10, "x") == []
    assert await platform.minutes(3, ".") == ["recovered"]


async def test_servers_without_data_are_an_incident_of_their_own(platform: Platform) -> None:
    await platform.set_up(2, 3, condition="no data for 10m")
    await platform.minutes(3, "...", "...")
    assert await platform.minutes(12, "...", "---") == ["fired"] * 3
    (incident,) = await platform.incidents()
    assert incident["cause"]["server_id"] == platform.servers[1]
    assert await platform.minutes(1, "...", "...") == ["recovered"] * 3


async def test_an_alert_is_made_changed_cancelled_and_recovered(platform: Platform) -> None:
    ask = {
        "name": "Head office sounds bad",
        "condition": "MOS<3.9 for 180s on 2 of 3 servers",
        "recovery": "mos >= 4.1 for 5m",
        "reminder": 3_600,
        "maintenance": [
            {"days": ["sat", "sun"], "start": "22:00", "end": "06:00", "time_zone": "Europe/Vienna"},
            {"from": "2026-12-24 00:00:00", "to": "2026-12-25 00:00:00"},
        ],
    }
    made = await platform.post("/alerts", ask)
    assert made.keys() == ALERT
    assert (made["condition"], made["maintenance"]) == (
        "mos < 3.9 for 3m on 2 of 3 servers",
        ask["maintenance"],
    )
    path = f"/alerts/{made['id']}"
    changed = (await platform.api.patch(path, json={"condition": "unreachable", "maintenance": []})).json()
    assert (changed["condition"], changed["maintenance"], changed["name"]) == ("unreachable", [], ask["name"])
    assert (await platform.api.delete(path)).json()["deleted_at"] is not None
    assert (await platform.get("/alerts"))["metadata"] == {"count": 0}
    assert (await platform.get("/alerts?status=cancelled&name=HEAD"))["metadata"] == {"count": 1}
    assert (await platform.api.patch(path, json={"name": "x"})).status_code == 409
    assert (await platform.api.patch(f"{path}/activate")).json() == changed
    assert (await platform.get("/alerts?state=firing"))["metadata"] == {"count": 0}


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"condition": "mos << 3"}, "condition"),
        ({"recovery": "better"}, "recovery"),
        ({"name": " "}, "name"),
        ({"reminder": 5}, "reminder"),
        ({"maintenance": "tomorrow"}, "maintenance"),
        ({"maintenance": [{"days": ["caturday"], "start": "00:00", "end": "01:00"}]}, "maintenance"),
        ({"maintenance": [{"days": ["mon"], "start": "25:00", "end": "01:00"}]}, "start"),
        ({"maintenance": [{"from": "2026-12-25", "to": "2026-12-24"}]}, "maintenance"),
        (
            {"maintenance": [{"days": ["mon"], "start": "01:00", "end": "02:00", "time_zone": "X"}]},
            "time_zone",
        ),
        ({"snoozed_until": "whenever"}, "snoozed_until"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_an_alert_that_makes_no_sense_is_refused_with_its_field(
    platform: Platform, fields: dict[str, Any], address: str
) -> None:
    answer = await platform.api.post("/alerts", json={"name": "x", "condition": "unreachable", **fields})
    assert (answer.status_code, answer.json()["errors"][0]["address"]) == (422, address), answer.text


async def test_the_alerts_of_another_project_cannot_be_raised(platform: Platform, admin: Identity) -> None:
    await platform.services.projects.create(admin, "first")
    await platform.services.projects.create(admin, "theirs")
    alert = await platform.post("/alerts", {"name": "x", "condition": "unreachable", "project": "theirs"})
    ask = {"name": "e", "ip_address": "10.0.0.1", "alert_threshold": 3.9, "alert_ids": [alert["id"]]}
    assert (await platform.api.post("/endpoints", json=ask)).status_code == 422
    await platform.post("/endpoints", {**ask, "project": "theirs"})


class Channels:
    """Channels of the project, and what waits in the outbox of each."""

    def __init__(self, platform: Platform) -> None:
        self._services = platform.services
        self.ids: dict[str, int] = {}

    async def add(self, admin: Identity, name: str, *events: str) -> int:
        fields = {"name": name, "url": "https://hooks.example.com/", "events": events or list(EVENTS)[:4]}
        made, _ = await self._services.notifications.create(admin, fields, kind="webhook")
        self.ids[name] = made.id
        return made.id

    async def told(self, name: str) -> list[str]:
        rows = await self._services.stores.notifications.messages([self.ids[name]])
        return [row.event for row in reversed(rows)]

    async def words(self, name: str) -> tuple[str, str]:
        """Of the newest message."""
        (row,) = await self._services.stores.notifications.messages([self.ids[name]], limit=1)
        return words_of(row.body)


async def test_an_incident_is_told_once_when_it_begins_and_once_when_it_ends(
    platform: Platform, admin: Identity
) -> None:
    channels = Channels(platform)
    await channels.add(admin, "people")
    await channels.add(admin, "program", "alert.fired", "alert.recovered")
    await platform.set_up(3, 4)
    await platform.minutes(3, "....", "....", "....")
    await platform.minutes(6, "....", "xxxx", "....")
    assert await channels.told("people") == ["incident.opened"]
    assert await channels.told("program") == ["alert.fired"] * 4
    title, text = await channels.words("people")
    assert title == "Opened: It sounds bad (e0)"
    assert "Cause: the server s1 finds bad everything that it tests." in text
    await platform.minutes(6, "....", "....", "....")
    assert await channels.told("people") == ["incident.opened", "incident.recovered"]
    assert await channels.told("program") == ["alert.fired"] * 4 + ["alert.recovered"] * 4


async def test_an_alert_tells_the_channels_that_it_names_and_no_others(
    platform: Platform, admin: Identity
) -> None:
    channels = Channels(platform)
    named = await channels.add(admin, "named", "run.failed")
    await channels.add(admin, "everybody")
    alert = await platform.set_up(1, 1, channel_ids=[named], reminder=120)
    await platform.minutes(9, "x")
    await platform.minutes(4, ".")
    told = await channels.told("named")
    assert (told[0], set(told[1:-1]), told[-1]) == (
        "incident.opened",
        {"incident.reminded"},
        "incident.recovered",
    )
    assert await channels.told("everybody") == []
    refused = await platform.api.patch(f"/alerts/{alert}", json={"channel_ids": [99]})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["address"] == "channel_ids"
    found = await platform.services.notifications.channel(admin, named)
    with pytest.raises(Conflict, match="names the channel"):
        await platform.services.notifications.remove(admin, found)
    nobody = await platform.api.patch(f"/alerts/{alert}", json={"channel_ids": None})
    assert nobody.json()["channel_ids"] is None


async def test_an_incident_whose_alert_is_cancelled_is_told_as_closed(
    platform: Platform, admin: Identity
) -> None:
    channels = Channels(platform)
    await channels.add(admin, "people")
    alert = await platform.set_up(1, 1)
    await platform.minutes(4, "x")
    await platform.api.delete(f"/alerts/{alert}")
    await platform.round()
    assert await channels.told("people") == ["incident.opened", "incident.closed"]


async def test_a_transition_whose_message_cannot_be_written_has_not_happened(
    platform: Platform, admin: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = Channels(platform)
    await channels.add(admin, "people")
    await platform.set_up(1, 1)

    async def full(*_: Any) -> None:
        raise StorageUnavailable("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(platform.services.stores.notifications, "add_messages", full)
        with pytest.raises(StorageUnavailable):
            await platform.minutes(4, "x")
        assert await platform.incidents() == []
    assert await platform.round() == ["fired"]
    assert await channels.told("people") == ["incident.opened"]


async def test_an_alert_with_retests_asks_the_servers_first_and_ends_at_the_first_good_answer(
    platform: Platform,
) -> None:
    alert = await platform.set_up(2, 1, condition="mos < 3.9", retests="1 every 10s on all servers")
    assert (await platform.get(f"/alerts/{alert}"))["retests"] == "1 every 10s on all servers"
    await platform.minutes(2, ".", ".")
    assert await platform.minutes(1, "x", ".") == []
    told, orders = await platform.services.evaluation.once()
    tests = {one.server_id: one.id for one in await platform.services.stores.monitors.voip_tests()}
    assert list(told) == []
    assert {(one.server_id, one.voip_test_id) for one in orders} == set(tests.items())
    slot = orders[0].slot

    async def answered(mos: float) -> list[str]:
        """Of each server, to the re-test that is on."""
        found = [
            StoredReading(test, slot, SlotState.DONE, float(slot), "", "passed", {"mos": mos})
            for test in tests.values()
        ]
        await platform.services.stores.monitors.add_readings(found)
        return await platform.round()

    assert await answered(4.4) == []
    assert list((await platform.services.evaluation.once()).orders) == []
    assert (await platform.get(f"/alerts/{alert}"))["state"] == "quiet"
    assert await platform.minutes(1, "x", ".") == []
    _, orders = await platform.services.evaluation.once()
    slot = orders[0].slot
    assert await answered(2.0) == ["fired"]
    incident = (await platform.incidents())[0]
    assert [entry["kind"] for entry in incident["story"]] == ["fired", "confirmed"]


async def test_levels_that_cannot_be_read_are_refused_with_their_place(platform: Platform) -> None:
    ask = {"name": "bad", "condition": "unreachable", "retests": "2 every 20s; often"}
    answer = await platform.api.post("/alerts", json=ask)
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert (error["field"], error["at"]) == ("retests", 13)
    refused = await platform.api.post(
        "/alerts", json=ask | {"condition": "no data for 5m", "retests": "1 every 20s"}
    )
    assert refused.status_code == 422
    assert "re-tested" in refused.text
