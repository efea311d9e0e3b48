"""Channels are told of runs and incidents through the outbox: at least once, in order, each by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from standardwebhooks import Webhook

from callwright.control.accounts.model import PLATFORM, Identity, Role, identity_of
from callwright.control.agents.model import AgentInfo
from callwright.control.app import create_app
from callwright.control.notifications.delivery import GIVE_UP_AFTER, Delivery, Undelivered, retry_delay
from callwright.control.notifications.model import State
from callwright.control.projects.model import Membership
from callwright.control.services import Services, Settings
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy
from callwright.net.posting import PostingFailed

TEST = "name: mine\nsteps: [{options: {party: a}}]"
URL = "https://hooks.example.com/callwright"
APPRISE = "json://somebody:s3cretword@mail.example.com/inbox"


class Receivers:
    """Every receiver in the world: what each got, in order, and what it answers, 0 for nothing at all."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.asked: list[str] = []
        self.answers: dict[str, int] = {}
        self.before: Callable[[str], Awaitable[None]] | None = None

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        self.asked.append(url)
        if self.before is not None:
            await self.before(url)
        status = self.answers.get(url, 204)
        if status == 0:
            raise PostingFailed("No connection to the receiver: refused.")
        if 200 <= status < 300:
            self.got.append((url, headers, body))
        return status

    async def announce(self, url: str, title: str, text: str) -> None:
        self.asked.append(url)
        if self.answers.get(url) == 0:
            raise Undelivered("The service did not take the message.")
        self.got.append((url, {"title": title}, text.encode()))

    def events(self, url: str = URL) -> list[str]:
        return [msgspec.json.decode(body)["type"] for to, _, body in self.got if to == url]


class Platform:
    def __init__(
        self, services: Services, admin: Identity, api: httpx.AsyncClient, clock: ManualClock
    ) -> None:
        self.services, self.admin, self.api, self.clock = services, admin, api, clock
        self.world = Receivers()
        self.delivery = self.new_delivery()

    def new_delivery(self) -> Delivery:
        return Delivery(
            self.services.stores.notifications,
            self.services.vault,
            self.world,
            self.world,
            audit=self.services.audit,
            clock=self.clock,
            entropy=seeded_entropy(7),
        )

    async def channel(self, **fields: Any) -> dict[str, Any]:
        answer = await self.api.post("/notifications", json={"name": "ops", "url": URL, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()["data"]
        return made

    async def run(self, verdict: str, test: str = "mine") -> None:
        """A run of a test that ends so."""
        runs = self.services.runs
        run = await runs.start(PLATFORM, test)
        agent = next(one for one in await self.services.agents.list())
        assert await runs.held.claim(run.id, 1, agent.id, 15.0) is not None
        outcome = {"verdict": verdict, "reason": f"It {verdict}.", "blame": None}
        if verdict == "failed":
            outcome["blame"] = "target"
        await runs.held.finish(run.session_id, 1, msgspec.json.encode(outcome), agent_id=agent.id)

    async def deliveries(self, query: str = "") -> list[dict[str, Any]]:
        answer = await self.api.get(f"/notifications/deliveries{query}")
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()["data"]
        return rows

    async def hours(self, count: float) -> None:
        """Passes in steps of a second, as the worker looks."""
        until = self.clock.now() + count * 3_600
        while self.clock.now() < until:
            await self.delivery.once()
            self.clock.advance(min(30.0, until - self.clock.now()))
        await self.delivery.once()


@pytest.fixture
async def platform(services: Services, admin: Identity, clock: ManualClock) -> AsyncIterator[Platform]:
    key, secret = await services.keys.create("tests", await services.accounts.user(admin.user_id))
    await services.projects.create(admin, "office")
    for name in ("mine", "other"):
        await services.tests.create(admin, TEST, project="office", name=name)
    token, _ = await services.agents.create_enrolment(admin, "default")
    await services.agents.enrol(token, "one", AgentInfo())
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    base = "http://here/api/v2"
    async with httpx.AsyncClient(transport=transport, base_url=base, auth=(key, secret)) as api:
        yield Platform(services, admin, api, clock)


async def test_a_webhook_is_signed_as_the_specification_has_it(platform: Platform) -> None:
    made = await platform.channel()
    assert made["secret"].startswith("whsec_")
    await platform.run("failed")
    await platform.delivery.once()
    ((_, headers, body),) = platform.world.got
    # The judge is the library of the specification's authors; it reads the clock of this machine.
    found = Webhook(made["secret"])
    timestamp = int(headers["webhook-timestamp"])
    assert timestamp == int(platform.clock.wall())
    moment = datetime.fromtimestamp(timestamp, UTC)
    assert headers["webhook-signature"] == found.sign(headers["webhook-id"], moment, body.decode())
    told = msgspec.json.decode(body)
    assert told["type"] == "run.failed"
    assert told["timestamp"].endswith("Z")
    assert (told["data"]["test_name"], told["data"]["result_description"]) == ("mine", "It failed.")
    assert told["data"]["link"] == f"/run/details/{told['data']['session_id']}"


async def test_a_secret_is_shown_once_and_kept_sealed(platform: Platform) -> None:
    made = await platform.channel()
    shown = (await platform.api.get(f"/notifications/{made['id']}")).json()["data"]
    assert shown == {**made, "secret": None}
    row = await platform.services.stores.notifications.channel(made["id"])
    assert row is not None
    assert made["secret"] not in row.sealed
    again = (await platform.api.post(f"/notifications/{made['id']}/secret")).json()["data"]
    assert again["secret"] not in (None, made["secret"])


async def test_the_url_that_apprise_takes_is_never_shown(platform: Platform) -> None:
    made = await platform.channel(kind="apprise", url=APPRISE)
    assert (made["url"], made["service"], made["secret"]) == (None, "JSON", None)
    await platform.run("failed")
    await platform.delivery.once()
    ((url, told, _),) = platform.world.got
    assert (url, told["title"]) == (APPRISE, "Failed: mine")
    log = str(await platform.services.audit.log(PLATFORM)) + str(await platform.deliveries())
    assert "s3cretword" not in log
    refused = await platform.api.post(
        "/notifications", json={"name": "x", "kind": "apprise", "url": "nonsense://s3cretword"}
    )
    assert refused.status_code == 422
    assert "s3cretword" not in refused.text


async def test_nothing_is_lost_nor_out_of_order_when_a_channel_is_down_for_an_hour(
    platform: Platform,
) -> None:
    await platform.channel(events=["run.failed", "run.recovered"])
    healthy = f"{URL}/2"
    await platform.channel(name="second", url=healthy, events=["run.failed", "run.recovered"])
    platform.world.answers[URL] = 0
    expected = []
    for n in range(12):
        verdict = "passed" if n % 3 == 2 else "failed"
        expected.append("run.recovered" if verdict == "passed" else "run.failed")
        await platform.run(verdict)
        await platform.hours(1 / 12)
    assert platform.world.events(healthy) == expected, "the other channel was told at once"
    assert platform.world.events() == []
    waiting = await platform.deliveries("?delivery=waiting")
    assert len(waiting) == len(expected) - 1
    (trying,) = await platform.deliveries("?delivery=retrying")
    assert trying["reason"] == "No connection to the receiver: refused."
    assert 5 <= trying["attempts"] <= 20
    platform.world.answers[URL] = 200
    await platform.hours(0.25)
    assert platform.world.events() == expected
    times = [msgspec.json.decode(body)["timestamp"] for to, _, body in platform.world.got if to == URL]
    assert times == sorted(times)
    assert {row["state"] for row in await platform.deliveries()} == {"delivered"}


async def test_a_retried_message_keeps_its_id(platform: Platform) -> None:
    await platform.channel()
    ids: list[str] = []
    post = platform.world.post

    async def noting(url: str, headers: dict[str, str], body: bytes) -> int:
        ids.append(headers["webhook-id"])
        return await post(url, headers, body)

    platform.world.post = noting  # type: ignore[method-assign]
    platform.world.answers[URL] = 503
    await platform.run("failed")
    await platform.hours(0.02)
    assert len(ids) > 1
    assert len(set(ids)) == 1


async def test_a_message_that_the_receiver_takes_for_wrong_does_not_hold_up_those_after_it(
    platform: Platform,
) -> None:
    await platform.channel(events=["run.failed", "run.recovered"])
    platform.world.answers[URL] = 400
    await platform.run("failed")
    await platform.hours(0.2)
    (refused,) = await platform.deliveries()
    assert (refused["state"], refused["status"]) == ("given up", 400)
    platform.world.answers[URL] = 200
    await platform.run("passed")
    await platform.delivery.once()
    assert platform.world.events() == ["run.recovered"]
    again = await platform.api.post(f"/notifications/deliveries/{refused['id']}/again")
    assert again.json()["data"]["state"] == "waiting"
    await platform.delivery.once()
    assert platform.world.events() == ["run.recovered", "run.failed"]


async def test_a_message_is_given_up_after_three_days(platform: Platform) -> None:
    await platform.channel()
    platform.world.answers[URL] = 500
    await platform.run("failed")
    platform.clock.advance(GIVE_UP_AFTER - 1)
    await platform.delivery.once()
    assert [row["state"] for row in await platform.deliveries()] == ["retrying"]
    platform.clock.advance(1_000)
    await platform.delivery.once()
    (row,) = await platform.deliveries("?delivery=given up")
    assert row["reason"] == "The receiver answered 500."


async def test_a_receiver_that_answers_410_is_told_nothing_more(platform: Platform) -> None:
    made = await platform.channel()
    platform.world.answers[URL] = 410
    await platform.run("failed")
    await platform.delivery.once()
    assert (await platform.api.get(f"/notifications/{made['id']}")).json()["data"]["active"] is False
    await platform.run("failed")
    assert len(await platform.deliveries()) == 1


async def test_a_redirection_is_no_delivery(platform: Platform) -> None:
    await platform.channel()
    platform.world.answers[URL] = 302
    await platform.run("failed")
    await platform.delivery.once()
    (row,) = await platform.deliveries()
    assert row["reason"] == "The receiver answered 302; redirections are not followed."


async def test_what_waits_is_tried_at_once_when_the_channel_is_changed(platform: Platform) -> None:
    made = await platform.channel()
    platform.world.answers[URL] = 0
    await platform.run("failed")
    await platform.hours(0.5)
    answer = await platform.api.patch(f"/notifications/{made['id']}", json={"url": f"{URL}/new"})
    assert answer.json()["data"]["url"] == f"{URL}/new"
    await platform.delivery.once()
    assert platform.world.events(f"{URL}/new") == ["run.failed"]


async def test_a_clock_that_was_set_back_delays_no_message(platform: Platform, clock: ManualClock) -> None:
    await platform.channel()
    await platform.run("failed")
    clock._wall -= 86_400  # as somebody sets the machine's clock
    await platform.delivery.once()
    assert platform.world.events() == ["run.failed"]


@pytest.mark.parametrize(
    ("events", "verdicts", "told"),
    [
        (["run.failed"], "ffpf", ["run.failed", "run.failed", "run.failed"]),
        (["run.recovered"], "pffpp", ["run.recovered"]),
        (["run.failing", "run.recovered"], "fpfffffp", ["run.failing", "run.recovered"]),
        (["run.failing", "run.recovered"], "ffpp", []),
        (["run.failed", "run.failing"], "fff", ["run.failed", "run.failed", "run.failing"]),
        (["run.failed", "run.recovered"], "fefp", ["run.failed", "run.failed", "run.recovered"]),
        (["run.error"], "fei", ["run.error", "run.error"]),
    ],
)
async def test_a_channel_hears_of_failures_recoveries_or_several_in_a_row(
    platform: Platform, events: Sequence[str], verdicts: str, told: list[str]
) -> None:
    await platform.channel(events=list(events), after=3)
    words = {"f": "failed", "p": "passed", "e": "error", "i": "invalid"}
    for letter in verdicts:
        await platform.run(words[letter])
        await platform.delivery.once()
    assert platform.world.events() == told


async def test_a_channel_hears_of_the_tests_that_it_names(platform: Platform) -> None:
    await platform.channel(tests=["other"])
    await platform.run("failed", "mine")
    await platform.run("failed", "other")
    await platform.delivery.once()
    assert [msgspec.json.decode(body)["data"]["test_name"] for _, _, body in platform.world.got] == ["other"]


async def test_a_run_whose_message_cannot_be_written_has_not_ended(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    from callwright.control.errors import StorageUnavailable

    await platform.channel()

    async def full(*_: Any) -> None:
        raise StorageUnavailable("The disk is full.")

    monkeypatch.setattr(platform.services.stores.notifications, "add_messages", full)
    with pytest.raises(StorageUnavailable):
        await platform.run("failed")
    (run,) = await platform.services.runs.list(PLATFORM)
    assert not run.finished


async def test_a_paused_channel_is_told_nothing(platform: Platform) -> None:
    await platform.channel(active=False)
    await platform.run("failed")
    await platform.delivery.once()
    assert platform.world.asked == []
    assert await platform.deliveries() == []


async def test_a_test_message_goes_the_way_of_all_others(platform: Platform) -> None:
    made = await platform.channel()
    answer = await platform.api.post(f"/notifications/{made['id']}/test")
    assert (answer.status_code, answer.json()["data"]["state"]) == (201, "waiting")
    await platform.delivery.once()
    assert platform.world.events() == ["test"]
    (row,) = await platform.deliveries(f"?channel={made['id']}&event=test")
    assert (row["state"], row["status"], row["attempts"]) == ("delivered", 204, 1)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "https://user:password@example.com/"}, "url"),
        ({"url": "https://example.com/#x"}, "url"),
        ({"events": ["run.succeeded"]}, "events"),
        ({"events": []}, "events"),
        ({"tests": ["minee"]}, "tests"),
        ({"after": 1}, "after"),
        ({"kind": "pigeon"}, "kind"),
        ({"kind": "apprise", "url": "syslog://"}, "url"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name(
    platform: Platform, fields: dict[str, Any], field: str
) -> None:
    answer = await platform.api.post("/notifications", json={"name": "ops", "url": URL, **fields})
    assert answer.status_code == 422
    assert [error["address"] for error in answer.json()["errors"]] == [field]


async def test_who_only_sees_the_project_sees_no_path_and_changes_nothing(platform: Platform) -> None:
    made = await platform.channel()
    office = (await platform.services.projects.get(platform.admin, "office")).id
    viewer = identity_of(9, "kim", Role.VIEWER, [Membership(9, "kim", office, "office", Role.VIEWER, 0.0)])
    from callwright.control.api.testing.notifications import shown

    row = await platform.services.notifications.channel(viewer, made["id"])
    assert shown(viewer, row, {}).url == "https://hooks.example.com/…"
    stranger = identity_of(10, "eve", Role.MEMBER, [])
    assert await platform.services.notifications.channels(stranger) == []


async def test_more_than_a_channel_may_have_waiting_is_given_up_oldest_first(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    from callwright.control.notifications import delivery

    await platform.channel()
    monkeypatch.setattr(delivery, "_MOST_OPEN", 2)
    platform.world.answers[URL] = 0
    for _ in range(4):
        await platform.run("failed")
    await platform.delivery.clean_up()
    states = [row["state"] for row in await platform.deliveries()]
    assert states == ["waiting", "waiting", "given up", "given up"]


async def test_messages_that_were_settled_long_ago_are_forgotten(platform: Platform) -> None:
    await platform.channel()
    await platform.run("failed")
    await platform.delivery.once()
    platform.clock.advance(31 * 86_400)
    await platform.run("failed")
    await platform.delivery.clean_up()
    assert [row["state"] for row in await platform.deliveries()] == [State.WAITING]


def test_delays_grow_to_a_quarter_of_an_hour_and_differ() -> None:
    entropy = seeded_entropy(1)
    for attempts in range(1, 40):
        longest = min(900.0, 5.0 * 2 ** (attempts - 1))
        delays = {retry_delay(attempts, entropy) for _ in range(20)}
        assert all(longest / 2 <= delay <= longest for delay in delays)
        assert len(delays) > 15
