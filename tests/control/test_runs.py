from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import PLATFORM, RIGHTS, Identity, Right, Role
from callwright.control.agents.model import Agent, AgentInfo
from callwright.control.errors import (
    CapReached,
    Forbidden,
    IdempotencyConflict,
    Invalid,
    KillSwitchEngaged,
    LinkExpired,
    NotFound,
    QuotaExceeded,
    RefusedByPolicy,
    WroteLate,
)
from callwright.control.keeping.intake import Intake
from callwright.control.runs.admission import admit, check_caps
from callwright.control.runs.model import Acceptance, Run, RunFilter, Waiting
from callwright.control.runs.names import Names
from callwright.control.runs.settings import RunSettings
from callwright.control.runs.transitions import PHASES, TRANSITIONS, Event, Phase, render_markdown
from callwright.control.services import Services
from callwright.control.targets.model import TargetUse
from callwright.dispatch.messages.runs import Claim, EvidenceChunk
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy
from callwright.scenario.document import load
from callwright.scenario.source import DocumentError
from tests.kit.dns import Dns

OUTSIDE = """
name: outside
parties:
  alice: {user: "1", domain: 203.0.113.9}
steps:
  - - call:
        from: alice
        dial_destination: "%s"
        max_total_calls: 4
        concurrent: 2
        call_rate: 1
        max_duration: 60
"""
VIEWER = Identity(9, "vic", Role.VIEWER, RIGHTS[Role.VIEWER])


@pytest.fixture
async def demo(services: Services, admin: Identity) -> Identity:
    await services.tests.ensure_demo(admin)
    return admin


async def begun(services: Services, who: Identity, agent: str = "ag") -> Run:
    run = await services.runs.start(who, "basic_call")
    assert await services.runs.held.claim(run.id, 1, agent, 15)
    running = await services.runs.held.intend(run.id, 1, agent)
    assert running is not None
    return running


# -- the table


def test_every_phase_that_is_not_final_has_an_owner_a_deadline_and_a_recovery() -> None:
    for rule in PHASES.values():
        if rule.final:
            assert (rule.owner, rule.deadline, rule.recovery) == ("", "", "")
        else:
            assert rule.owner
            assert rule.deadline
            assert rule.recovery


def test_every_phase_is_reached_and_every_living_one_can_be_ended_without_its_agent() -> None:
    entered = {phase for move in TRANSITIONS for phase in move.enters} | {Phase.QUEUED}
    assert entered == set(Phase)
    for phase, rule in PHASES.items():
        unaided = [
            m for m in TRANSITIONS if phase in m.leaves and m.event in (Event.OVERDUE, Event.LEASE_EXPIRED)
        ]
        assert bool(unaided) != rule.final
        assert all(not PHASES[p].final for move in TRANSITIONS for p in move.leaves)


def test_no_way_leads_back_from_running_to_the_queue() -> None:
    for move in TRANSITIONS:
        if Phase.RUNNING in move.leaves:
            assert not {Phase.QUEUED, Phase.STARTING} & set(move.enters)


def test_the_page_of_the_docs_is_made_from_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "run-states.md"
    assert page.read_text(encoding="utf-8") == render_markdown(), "run `make docs`"


# -- start


async def test_a_run_is_born_queued_with_its_document_and_overrides(
    services: Services, demo: Identity, tmp_path: Path
) -> None:
    overrides = {"step.1.0.max_duration": "3 s", "alice": "4101:s3cret-word"}
    run = await services.runs.start(demo, "basic_call", overrides, tags=["nightly"], pool="lab")
    assert (run.phase, run.status, run.attempt, run.pool) == ("queued", "running", 1, "lab")
    assert (run.test_name, run.testcase_name, run.project_name) == ("basic_call", "Basic call", "demo")
    assert run.tags == ("call", "media", "nightly")
    assert len(run.session_id) == 36
    assert run.session_id[14] == "4"
    detail = await services.runs.detail(run)
    assert detail.document.startswith("# Alice calls Bob")
    assert detail.overrides == overrides
    assert "s3cret-word" not in str(detail.shown)
    with sqlite3.connect(tmp_path / "data" / "callwright.db") as connection:
        assert "s3cret-word" not in "\n".join(connection.iterdump())
    job = await services.runs.held.job(run.id)
    assert job.overrides == overrides
    assert job.max_seconds >= 600


async def test_what_cannot_start_says_what_is_wrong_and_leaves_nothing(
    services: Services, demo: Identity
) -> None:
    with pytest.raises(NotFound) as unknown:
        await services.runs.start(demo, "basic_cal")
    assert unknown.value.remedy == "Did you mean basic_call?"
    with pytest.raises(DocumentError) as wrong:
        await services.runs.start(demo, "basic_call", {"step.1.0.max_duratio": "3", "step.1.0.codecs": "MP3"})
    assert len(wrong.value.problems) == 2
    with pytest.raises(Invalid):
        await services.runs.start(demo, "basic_call", report_mode="public")
    with pytest.raises(Invalid):
        await services.runs.start(demo, "basic_call", idempotency_key="x" * 256)
    with pytest.raises(Forbidden):
        await services.runs.start(VIEWER, "basic_call")
    assert await services.runs.list(PLATFORM) == []


async def test_the_environment_of_the_platform_is_none_of_a_test(
    services: Services, demo: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLWRIGHT_ADMIN_PASSWORD", "hidden")
    with pytest.raises(DocumentError):
        await services.runs.start(
            demo, "basic_call", {"step.1.0.dial_destination": "${CALLWRIGHT_ADMIN_PASSWORD}"}
        )


async def test_an_idempotency_key_gives_the_run_of_then_even_when_nothing_starts_any_more(
    services: Services, demo: Identity
) -> None:
    run = await services.runs.start(demo, "basic_call", {"step.1.0.max_duration": 3}, idempotency_key="k")
    await services.runs.kill(demo)
    again = await services.runs.start(demo, "basic_call", {"step.1.0.max_duration": 3}, idempotency_key="k")
    assert again.id == run.id
    with pytest.raises(IdempotencyConflict):
        await services.runs.start(demo, "basic_call", {"step.1.0.max_duration": 4}, idempotency_key="k")
    with pytest.raises(KillSwitchEngaged):
        await services.runs.start(demo, "basic_call", idempotency_key="other")


async def test_a_project_starts_as_a_whole(services: Services, demo: Identity) -> None:
    runs = await services.runs.start_all(demo, "demo", idempotency_key="k")
    assert len(runs) == len(await services.tests.list(PLATFORM))
    assert [r.id for r in await services.runs.start_all(demo, "demo", idempotency_key="k")] == [
        r.id for r in runs
    ]
    media = await services.runs.start_all(demo, with_tags=["media"])
    assert {run.test_name for run in media} >= {"basic_call"}
    with pytest.raises(NotFound):
        await services.runs.start_all(demo, "nowhere")
    with pytest.raises(NotFound):
        await services.runs.start_all(demo, with_tags=["no such tag"])


async def test_a_queue_that_is_full_refuses(services: Services, demo: Identity) -> None:
    services.runs.settings = RunSettings(queue_length=1)
    await services.runs.start(demo, "basic_call")
    with pytest.raises(QuotaExceeded):
        await services.runs.start(demo, "basic_call")


# -- policy


async def test_a_destination_that_no_target_permits_is_refused_with_the_remedy(
    services: Services, demo: Identity
) -> None:
    await services.tests.create(demo, OUTSIDE % "4101")
    with pytest.raises(RefusedByPolicy) as refused:
        await services.runs.start(demo, "outside")
    assert refused.value.address == "step.0.0"
    assert "203.0.113.9" in refused.value.message
    assert "administrator" in refused.value.remedy
    target = await services.targets.add(demo, network="203.0.113.0/24")
    assert (await services.runs.start(demo, "outside")).phase == "queued"
    await services.targets.remove(demo, target.id)
    with pytest.raises(RefusedByPolicy):
        await services.runs.start(demo, "outside")


async def test_an_emergency_number_needs_a_target_of_its_own_outside_the_built_in_pbx(
    services: Services, demo: Identity
) -> None:
    await services.tests.create(demo, OUTSIDE % "112")
    await services.targets.add(demo, network="203.0.113.0/24")
    with pytest.raises(RefusedByPolicy):
        await services.runs.start(demo, "outside")
    await services.targets.add(demo, network="203.0.113.0/24", number="112")
    assert await services.runs.start(demo, "outside")
    assert await services.runs.start(demo, "basic_call", {"step.1.0.dial_destination": "112"})


async def test_the_country_of_a_target_adds_to_the_numbers_that_are_refused(
    services: Services, demo: Identity
) -> None:
    await services.tests.create(demo, OUTSIDE % "15")
    target = await services.targets.add(demo, host="203.0.113.9")
    assert await services.runs.start(demo, "outside")
    await services.targets.remove(demo, target.id)
    target = await services.targets.add(demo, network="203.0.113.0/24", country=" fr ")
    assert target.country == "FR"
    with pytest.raises(RefusedByPolicy, match="15 is an emergency number in FR"):
        await services.runs.start(demo, "outside")
    with pytest.raises(Invalid, match="'XX' is not a country"):
        await services.targets.add(demo, host="pbx.example.com", country="XX")


async def test_the_caps_of_a_target_hold(services: Services, demo: Identity, clock: ManualClock) -> None:
    await services.tests.create(demo, OUTSIDE % "4101")
    await services.targets.add(demo, host="203.0.113.9", concurrency=3, minutes=9)
    first = await services.runs.start(demo, "outside")
    with pytest.raises(CapReached, match="limited to 3 concurrent calls; this run needs 2, and 2 are in use"):
        await services.runs.start(demo, "outside")
    await services.runs.stop(demo, first.session_id)
    for _ in range(2):
        begun = await services.runs.start(demo, "outside")
        assert await services.runs.held.claim(begun.id, 1, "ag", 15.0)
        assert await services.runs.held.intend(begun.id, 1, "ag")
        await services.runs.held.give_up(await services.runs.by_id(begun.id), "It was given up.")
    with pytest.raises(CapReached, match="limited to 9 minutes of calls a day; this run needs 4, and 8 are"):
        await services.runs.start(demo, "outside")
    clock.advance(86_400)
    await services.runs.start(demo, "outside")


async def test_caps_of_a_network_count_the_names_that_lie_in_it(
    services: Services, demo: Identity, dns: Dns
) -> None:
    for name in ("sbc.test", "other.test", "unknown.test"):
        document = OUTSIDE.replace("203.0.113.9", name).replace("outside", name[:3])
        await services.tests.create(demo, document % "4101")
    dns.table |= {"sbc.test": ["203.0.113.9", "203.0.113.10"], "other.test": ["198.51.100.1"]}
    uncapped = await services.targets.add(demo, network="198.51.100.0/24")
    await services.runs.start(demo, "sbc")
    assert dns.asked == []  # no network has caps
    target = await services.targets.add(demo, network="203.0.113.0/24", concurrency=3)
    await services.runs.start(demo, "sbc")
    assert dns.asked == ["sbc.test"]
    with pytest.raises(CapReached, match="limited to 3 concurrent calls; this run needs 2"):
        await services.runs.start(demo, "sbc")
    for elsewhere in ("oth", "unk"):
        await services.runs.start(demo, elsewhere)
    usage = services.stores.runs.target_usage
    assert [(await usage(one.id, 0)).concurrency for one in (target, uncapped)] == [2, 2]


async def test_addresses_that_the_platform_finds_permit_and_refuse_nothing(
    services: Services, demo: Identity, dns: Dns
) -> None:
    """The agent asks again, by its own DNS: a name that resolves elsewhere for the platform passes."""
    dns.table["other.test"] = ["198.51.100.1"]
    await services.tests.create(demo, OUTSIDE.replace("203.0.113.9", "other.test") % "4101")
    await services.targets.add(demo, network="203.0.113.0/24", concurrency=3)
    assert (await services.runs.start(demo, "outside")).phase == "queued"
    assert dns.asked == ["other.test"]


async def test_a_start_does_not_wait_for_a_dns_that_is_silent(services: Services, demo: Identity) -> None:
    class Silent(Dns):
        async def addresses(self, host: str) -> list[str]:
            await asyncio.sleep(3600)
            return []

    scenario = load(OUTSIDE.replace("203.0.113.9", "sbc.test") % "4101")
    row = await services.targets.add(demo, network="203.0.113.0/24", rate=1)
    names = Names(Silent({}), patience=0.01)
    unresolved = admit(scenario, [row], embedded=True).unresolved
    assert [one.host for one in unresolved] == ["sbc.test"]
    assert await names.look_up(unresolved) == {"sbc.test": ()}


async def test_a_cap_that_one_run_alone_exceeds_is_a_refusal_that_waiting_does_not_help(
    services: Services, demo: Identity
) -> None:
    await services.tests.create(demo, OUTSIDE % "4101")
    await services.targets.add(demo, host="203.0.113.9", concurrency=1)
    with pytest.raises(RefusedByPolicy, match="limited to 1 concurrent call; this run needs 2"):
        await services.runs.start(demo, "outside")
    assert await services.runs.list(PLATFORM) == []


async def test_several_runs_that_exceed_a_cap_only_together_may_come_later(
    services: Services, demo: Identity
) -> None:
    row = await services.targets.add(demo, host="203.0.113.9", concurrency=3)
    asked = TargetUse(row.id, concurrency=4)
    with pytest.raises(CapReached, match="these 2 runs need 4, and 0 are in use"):
        check_caps(row, asked, TargetUse(row.id), runs=2)
    with pytest.raises(RefusedByPolicy, match="this run needs 4"):
        check_caps(row, asked, TargetUse(row.id))


REQUESTS = """
name: requests
parties:
  alice: {user: "1", domain: 203.0.113.9}
steps:
  - - %s
"""


@pytest.mark.parametrize(
    ("action", "rate"),
    [
        ("register: {party: alice}", 1.0),
        ("message: {from: alice, to: '2', text: hello}", 1.0),
        ("options: {party: alice, to: 203.0.113.9, count: 300, interval: 10ms}", 3.0),
        ("options: {party: alice, to: 203.0.113.9, count: 2, interval: 10ms}", 2.0),
        ("call: {from: alice, to: '2', max_duration: 60}", 1.0),
    ],
)
async def test_every_request_that_opens_something_counts_for_the_rate(
    services: Services, demo: Identity, action: str, rate: float
) -> None:
    """And what softphones pace never takes more than the cap; only calls take lines and minutes."""
    await services.tests.create(demo, REQUESTS % action)
    target = await services.targets.add(demo, host="203.0.113.9", rate=3, concurrency=9, minutes=9)
    await services.runs.start(demo, "requests")
    taken = await services.stores.runs.target_usage(target.id, int(services.clock.wall() // 86_400))
    is_call = action.startswith("call")
    assert (taken.rate, taken.concurrency, taken.minutes) == (rate, int(is_call), float(is_call))
    while taken.rate + rate <= 3:
        await services.runs.start(demo, "requests")
        taken = await services.stores.runs.target_usage(target.id, 0)
    with pytest.raises(CapReached, match="limited to 3 requests per second; this run needs"):
        await services.runs.start(demo, "requests")


async def test_a_project_cannot_fill_the_queue_of_all(services: Services, demo: Identity) -> None:
    other = await services.projects.create(demo, "other")
    await services.tests.create(demo, "name: mine\nsteps: [{options: {party: a}}]", project=other.name)
    limited = await services.projects.limit(demo, "demo", max_running=None, max_queued=2)
    assert limited.max_queued == 2
    for _ in range(2):
        await services.runs.start(demo, "basic_call")
    with pytest.raises(QuotaExceeded, match="demo is limited to 2 waiting runs; this adds 1, and 2 wait"):
        await services.runs.start(demo, "basic_call")
    with pytest.raises(QuotaExceeded):
        await services.runs.start_all(demo, "demo")
    await services.runs.start(demo, "mine")
    services.runs.settings = RunSettings(project_queue_length=1)
    with pytest.raises(QuotaExceeded, match="other is limited to 1 waiting run;"):
        await services.runs.start(demo, "mine")
    for wrong in (0, -1, 10**9):
        with pytest.raises(Invalid):
            await services.projects.limit(demo, "demo", max_running=wrong, max_queued=None)
    with pytest.raises(Forbidden):
        await services.projects.limit(VIEWER, "demo", max_running=None, max_queued=None)


async def test_a_platform_of_strangers_permits_nothing_near_by_itself(
    services: Services, demo: Identity
) -> None:
    services.runs.settings = RunSettings(embedded=False)
    assert await services.runs.start(demo, "basic_call")
    with pytest.raises(RefusedByPolicy):
        await services.runs.start(demo, "basic_call", {"target": "127.0.0.1:5060"})


async def test_a_target_that_makes_no_sense_is_refused(services: Services, demo: Identity) -> None:
    with pytest.raises(Invalid):
        await services.targets.add(demo, network="300.0.0.0/8")
    with pytest.raises(Invalid):
        await services.targets.add(demo)
    with pytest.raises(Forbidden):
        await services.targets.add(VIEWER, host="x")


# -- leases


async def test_a_run_that_was_not_begun_is_tried_again_until_its_attempts_are_used(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    run = await services.runs.start(demo, "basic_call")
    for attempt in (1, 2):
        assert await services.runs.held.claim(run.id, attempt, "ag", 15)
        clock.advance(16)
        (again,) = await services.runs.held.expire_leases()
        assert (again.phase, again.attempt) == ("queued", attempt + 1)
    assert await services.runs.held.claim(run.id, 3, "ag", 15)
    clock.advance(16)
    (ended,) = await services.runs.held.expire_leases()
    assert (ended.phase, ended.status, ended.blame) == ("error", "failed", "platform")


async def test_a_document_may_forbid_a_second_attempt(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    text = "name: once\nretry: never\nsteps:\n  - - options: {party: alice}\n"
    await services.tests.create(demo, text)
    lost = await services.runs.start(demo, "once")
    assert await services.runs.held.claim(lost.id, 1, "ag", 15)
    clock.advance(16)
    (ended,) = await services.runs.held.expire_leases()
    assert (ended.phase, ended.attempt, ended.blame) == ("error", 1, "platform")
    assert "retry: never" in ended.result_description
    given_back = await services.runs.start(demo, "once")
    assert await services.runs.held.claim(given_back.id, 1, "ag", 15)
    assert await services.runs.held.release(given_back.id, 1, "another") is None
    ended_too = await services.runs.held.release(given_back.id, 1, "ag")
    assert ended_too is not None
    assert (ended_too.phase, ended_too.attempt) == ("error", 1)
    # Of this very run it may be said, as of anything that a document says.
    again = await services.runs.start(demo, "once", {"retry": "unplaced"})
    assert await services.runs.held.claim(again.id, 1, "ag", 15)
    clock.advance(16)
    (queued,) = await services.runs.held.expire_leases()
    assert (queued.phase, queued.attempt) == ("queued", 2)


async def test_the_runs_of_a_revoked_agent_are_those_of_a_lost_one(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    calling = await begun(services, demo, "ag")
    fresh, others = [await services.runs.start(demo, "basic_call") for _ in range(2)]
    assert await services.runs.held.claim(fresh.id, 1, "ag", 15)
    assert await services.runs.held.claim(others.id, 1, "other", 15)
    moved = {run.id: run for run in await services.runs.held.lose_agent("ag")}
    assert set(moved) == {calling.id, fresh.id}
    assert moved[calling.id].phase == "error"
    assert "revoked during the run" in moved[calling.id].result_description
    assert (moved[fresh.id].phase, moved[fresh.id].attempt) == ("queued", 2)
    # What it says still changes nothing.
    assert await services.runs.held.intend(fresh.id, 1, "ag") is None
    assert await services.runs.held.renew([(calling.id, 1), (fresh.id, 1)], "ag", 15) == set()


async def test_a_run_that_may_have_called_is_never_tried_again(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    run = await begun(services, demo)
    clock.advance(16)
    (ended,) = await services.runs.held.expire_leases()
    assert (ended.phase, ended.attempt, ended.blame) == ("error", 1, "platform")
    assert "A call may have been placed" in ended.result_description
    late = await services.runs.held.finish(run.session_id, 1, '{"verdict":"passed"}', agent_id="ag")
    assert late is Acceptance.SUPERSEDED
    assert (await services.runs.known(run.session_id)).phase == "error"


async def test_heartbeats_keep_a_run_but_not_beyond_what_its_document_can_last(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    run = await begun(services, demo)
    for _ in range(10):
        clock.advance(10)
        assert await services.runs.held.renew([(run.id, 1)], "ag", 15) == {run.id}
        assert await services.runs.held.expire_leases() == []
    while not (ended := await services.runs.held.expire_leases()):
        clock.advance(10)
        await services.runs.held.renew([(run.id, 1)], "ag", 15)
    assert "longer than its document can" in ended[0].result_description
    assert await services.runs.held.renew([(run.id, 1)], "ag", 15) == set()


async def test_a_run_that_no_agent_takes_ends(services: Services, demo: Identity, clock: ManualClock) -> None:
    await services.runs.start(demo, "basic_call", pool="empty")
    clock.advance(599)
    assert await services.runs.held.expire_leases() == []
    clock.advance(2)
    (ended,) = await services.runs.held.expire_leases()
    assert (ended.phase, ended.result_description) == (
        "error",
        "No agent of the pool empty took this run in time.",
    )


class SteppedClock(ManualClock):
    """Its calendar can be set."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0.0

    def wall(self) -> float:
        return super().wall() + self.step


@pytest.mark.parametrize("step", [3600.0, -3600.0])
async def test_a_step_of_the_clock_ends_no_run_and_keeps_none_alive(
    tmp_path: Path, empty_database: Path, step: float
) -> None:
    clock = SteppedClock()
    (tmp_path / "callwright.db").write_bytes(empty_database.read_bytes())
    services = await Services.open(tmp_path, clock=clock, entropy=seeded_entropy(1))
    try:
        admin = Identity(1, "ana", Role.ADMIN, RIGHTS[Role.ADMIN])
        await services.tests.ensure_demo(admin)
        run = await begun(services, admin)
        assert await services.runs.held.expire_leases() == []
        clock.advance(5)
        clock.step = step
        assert await services.runs.held.expire_leases() == []
        clock.advance(9)
        assert await services.runs.held.expire_leases() == []
        clock.advance(2)
        assert [ended.id for ended in await services.runs.held.expire_leases()] == [run.id]
    finally:
        await services.close()


async def test_an_end_that_waited_for_the_database_is_not_written_before_the_agent_is_heard(
    services: Services, demo: Identity, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await begun(services, demo)
    clock.advance(16)
    end = services.stores.runs.end

    async def late(*arguments: Any) -> Run | None:
        clock.advance(25)
        return await end(*arguments)

    monkeypatch.setattr(services.stores.runs, "end", late)
    with pytest.raises(WroteLate, match=r"took 25\.0 s to write"):
        await services.runs.held.expire_leases()
    assert (await services.runs.known(run.session_id)).phase == "running"
    assert await services.runs.held.renew([(run.id, 1)], "ag", 15) == {run.id}
    monkeypatch.undo()
    assert await services.runs.held.expire_leases() == []
    await services.runs.held.finish(run.session_id, 1, '{"verdict":"passed"}', agent_id="ag")
    assert (await services.runs.known(run.session_id)).phase == "passed"


async def test_a_run_whose_agent_was_heard_is_not_lost_though_the_lease_is_not_written(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    run = await begun(services, demo)
    clock.advance(16)
    assert await services.runs.held.expire_leases(lambda seen: seen.id == run.id) == []
    assert [lost.id for lost in await services.runs.held.expire_leases(lambda _: False)] == [run.id]


async def test_a_lease_counts_from_when_it_is_written(
    services: Services, demo: Identity, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await begun(services, demo)
    renew, waits = services.stores.runs.renew, [25.0, 0.0]

    async def late(*arguments: Any) -> set[int]:
        clock.advance(waits.pop(0))
        return await renew(*arguments)

    monkeypatch.setattr(services.stores.runs, "renew", late)
    assert await services.runs.held.renew([(run.id, 1)], "ag", 15) == {run.id}
    assert (await services.runs.known(run.session_id)).lease_until == clock.wall() + 15


@pytest.mark.parametrize("step", [3600.0, -3600.0, -1.0, 1.0])
async def test_the_times_of_a_run_are_of_one_calendar_though_the_clock_is_set(
    tmp_path: Path, empty_database: Path, step: float
) -> None:
    """Set while it waits, while it runs, and just before its end: nothing ends before it begins, and what a
    run lasted is what passed."""
    for set_at in range(4):
        clock = SteppedClock()
        data = tmp_path / str(set_at)
        data.mkdir()
        (data / "callwright.db").write_bytes(empty_database.read_bytes())
        services = await Services.open(data, clock=clock, entropy=seeded_entropy(1))
        try:
            admin = Identity(1, "ana", Role.ADMIN, RIGHTS[Role.ADMIN])
            await services.tests.ensure_demo(admin)
            await services.runs.held.expire_leases()

            def passes(moment: int, clock: SteppedClock = clock, set_at: int = set_at) -> None:
                clock.advance(10)
                if moment == set_at:
                    clock.step = step

            run = await services.runs.start(admin, "basic_call")
            passes(0)
            assert await services.runs.held.claim(run.id, 1, "ag", 15)
            passes(1)
            assert await services.runs.held.intend(run.id, 1, "ag")
            passes(2)
            assert await services.runs.held.renew([(run.id, 1)], "ag", 15) == {run.id}
            passes(3)
            await services.runs.held.finish(run.session_id, 1, '{"verdict":"passed"}', agent_id="ag")
            ended = await services.runs.known(run.session_id)
            assert ended.started_at is not None
            assert ended.intent_at is not None
            assert ended.stopped_at is not None
            assert ended.created_at <= ended.started_at <= ended.intent_at <= ended.stopped_at
            if abs(step) > 2:
                assert ended.stopped_at - ended.started_at == pytest.approx(30)
                assert ended.started_at - ended.created_at == pytest.approx(10)
        finally:
            await services.close()


async def test_a_run_stopped_after_the_clock_was_set_back_does_not_end_before_it_was_made(
    tmp_path: Path, empty_database: Path
) -> None:
    clock = SteppedClock()
    (tmp_path / "callwright.db").write_bytes(empty_database.read_bytes())
    services = await Services.open(tmp_path, clock=clock, entropy=seeded_entropy(1))
    try:
        admin = Identity(1, "ana", Role.ADMIN, RIGHTS[Role.ADMIN])
        await services.tests.ensure_demo(admin)
        run = await services.runs.start(admin, "basic_call")
        clock.step = -3600
        stopped = await services.runs.stop(admin, run.session_id)
        assert stopped.stopped_at == stopped.stop_requested_at == run.created_at
    finally:
        await services.close()


def test_an_agent_that_was_heard_in_time_to_come_is_not_alive() -> None:
    """Before the clock was set back: who lives is heard again within a lease."""
    agent = Agent("a", "a", "p", {}, "", 1, 0, (), "", "active", 0.0, 5000.0)
    assert agent.alive(5010.0)
    assert agent.alive(4995.0)
    assert not agent.alive(5020.0)
    assert not agent.alive(1400.0)


async def test_a_keeper_that_was_away_gives_agents_time_to_be_heard(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    run = await begun(services, demo)
    clock.advance(1000)
    await services.runs.held.extend_leases(20)
    assert await services.runs.held.expire_leases() == []
    clock.advance(21)
    assert [ended.id for ended in await services.runs.held.expire_leases()] == [run.id]


# -- results


async def test_a_result_is_acknowledged_once_and_known_again(services: Services, demo: Identity) -> None:
    run = await begun(services, demo)
    calls = '[{"received":{"mos":3.1}},{"received":{"mos":2.5}},{"received":{"mos":null}}]'
    outcome = f'{{"verdict":"failed","blame":"target","reason":"Busy","calls":{calls}}}'
    assert await services.runs.held.finish(run.session_id, 1, outcome, agent_id="ag") is Acceptance.ACCEPTED
    assert await services.runs.held.finish(run.session_id, 1, outcome, agent_id="ag") is Acceptance.REPEATED
    assert await services.runs.held.finish(run.session_id, 1, outcome, agent_id="x") is Acceptance.SUPERSEDED
    ended = await services.runs.known(str(run.id))
    assert (ended.phase, ended.status, ended.blame, ended.result_description) == (
        "failed",
        "failed",
        "target",
        "Busy",
    )
    assert ended.mos == 2.5
    assert (await services.runs.detail(ended)).outcome == outcome


@pytest.mark.parametrize(
    ("overrides", "blame"),
    [
        ({}, "target"),
        ({"step.1.0.max_duration": "3 s"}, "test"),  # a parameter of the action that failed
        ({"step.0.0.expires": "90 s"}, None),  # one of another: it may be why, or not
    ],
)
async def test_what_was_changed_since_the_last_pass_is_weighed_before_the_target(
    services: Services, demo: Identity, overrides: dict[str, str], blame: str | None
) -> None:
    before = await begun(services, demo)
    await services.runs.held.finish(before.session_id, 1, '{"verdict":"passed"}', agent_id="ag")
    run = await services.runs.start(demo, "basic_call", overrides)
    assert await services.runs.held.claim(run.id, 1, "ag", 15)
    failed = '{"verdict":"failed","blame":"target","calls":[{"verdict":"failed","address":"step.1.0"}]}'
    await services.runs.held.finish(run.session_id, 1, failed, agent_id="ag")
    assert (await services.runs.known(run.session_id)).blame == blame


async def test_a_passed_run_keeps_its_sentence(services: Services, demo: Identity) -> None:
    run = await begun(services, demo)
    outcome = '{"verdict":"passed","reason":"Alice called Bob, and both heard each other."}'
    await services.runs.held.finish(run.session_id, 1, outcome, agent_id="ag")
    ended = await services.runs.known(run.session_id)
    assert ended.result_description == "Alice called Bob, and both heard each other."


@pytest.mark.parametrize(
    ("received", "mos"),
    [
        ('{"mos":4.28,"packets":208,"silence_pct":100.0}', None),
        ('{"mos":null,"packets":0}', None),
        ('{"mos":4.28,"packets":208,"silence_pct":30.0}', 4.28),
    ],
)
async def test_a_run_in_which_somebody_heard_nothing_has_no_mos(
    services: Services, demo: Identity, received: str, mos: float | None
) -> None:
    run = await begun(services, demo)
    well = '{"mos":4.37,"packets":200,"silence_pct":30.0}'
    calls = ",".join(
        f'{{"setup_ms":900.0,"media_expected":true,"received":{heard}}}' for heard in (well, received)
    )
    outcome = f'{{"verdict":"failed","blame":"target","reason":"Silence.","calls":[{calls}]}}'
    await services.runs.held.finish(run.session_id, 1, outcome, agent_id="ag")
    assert (await services.runs.known(run.session_id)).mos == mos


@pytest.mark.parametrize("outcome", [b"", b"{}", b'{"verdict":"great"}', b"\xff", b"[" * 100_000])
async def test_a_result_that_cannot_be_read_ends_the_run_as_our_error(
    services: Services, demo: Identity, outcome: bytes
) -> None:
    run = await begun(services, demo)
    assert await services.runs.held.finish(run.session_id, 1, outcome, agent_id="ag") is Acceptance.ACCEPTED
    ended = await services.runs.known(run.session_id)
    assert (ended.phase, ended.blame) == ("error", "platform")


async def test_nul_in_a_reason_is_shown_not_kept(services: Services, demo: Identity) -> None:
    run = await begun(services, demo)
    outcome = '{"verdict":"failed","reason":"a\\u0000b"}'
    await services.runs.held.finish(run.session_id, 1, outcome, agent_id="ag")
    assert (await services.runs.known(run.session_id)).result_description == "a\N{REPLACEMENT CHARACTER}b"


# -- stop and kill


async def test_stop_cancels_what_waits_and_asks_for_the_end_of_what_runs(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    heard: list[Run] = []
    services.runs.on_change.append(heard.append)
    waiting = await services.runs.start(demo, "basic_call")
    assert (await services.runs.stop(demo, waiting.session_id)).phase == "canceled"
    assert [run.phase for run in heard] == ["queued", "canceled"]
    running = await begun(services, demo)
    asked = await services.runs.stop(demo, running.session_id)
    assert (asked.phase, asked.result_description) == ("running", "Stopped by ana.")
    clock.advance(16)
    (ended,) = await services.runs.held.expire_leases()
    assert (ended.phase, ended.result_description) == ("canceled", "Stopped by ana.")
    assert (await services.runs.stop(demo, waiting.session_id)).phase == "canceled"
    with pytest.raises(NotFound):
        await services.runs.stop(demo, "nothing")


async def test_the_kill_switch_ends_everything_until_it_is_released(
    services: Services, demo: Identity
) -> None:
    queued, running = await services.runs.start(demo, "basic_call"), await begun(services, demo)
    changed = await services.runs.kill(demo, "smoke in the rack")
    assert {run.id for run in changed} == {queued.id, running.id}
    switch = await services.runs.kill_switch()
    assert switch is not None
    assert (switch.by, switch.reason) == ("ana", "smoke in the rack")
    with pytest.raises(KillSwitchEngaged):
        await services.runs.start(demo, "basic_call")
    with pytest.raises(Forbidden):
        await services.runs.release_kill_switch(VIEWER)
    await services.runs.release_kill_switch(demo)
    assert await services.runs.start(demo, "basic_call")
    actions = [entry.action for entry in await services.audit.log(demo)]
    assert actions[:3] == ["run.started", "kill.released", "kill.engaged"]


# -- the public link


async def test_a_public_link_opens_one_run_until_it_is_revoked(services: Services, demo: Identity) -> None:
    run = await services.runs.start(demo, "basic_call", report_mode="kiosk")
    other = await services.runs.start(demo, "basic_call")
    token = services.runs.kiosk_token(run)
    assert token is not None
    assert len(token) == 36
    assert services.runs.kiosk_token(other) is None
    assert (await services.runs.by_kiosk(token, run.session_id)).id == run.id
    for wrong, session in (
        (token, other.session_id),
        ("x", run.session_id),
        ("", "nope"),
        ("\ud800", run.session_id),
    ):
        with pytest.raises(NotFound):
            await services.runs.by_kiosk(wrong, session)
    await services.runs.revoke_kiosk(demo, run.session_id)
    with pytest.raises(NotFound):
        await services.runs.by_kiosk(token, run.session_id)
    again = services.runs.kiosk_token(await services.runs.share(demo, run.session_id))
    assert again not in (None, token)


async def test_a_list_refuses_words_it_does_not_know(services: Services) -> None:
    with pytest.raises(Invalid):
        await services.runs.list(PLATFORM, RunFilter(status="ok"))
    with pytest.raises(Invalid):
        await services.runs.list(PLATFORM, RunFilter(phase="sleeping"))
    with pytest.raises(NotFound):
        await services.runs.known("9" * 30)


async def test_a_public_link_ends_after_thirty_days_or_as_said(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    run = await services.runs.start(demo, "options_ping", report_mode="kiosk")
    token = services.runs.kiosk_token(run)
    assert token is not None
    clock.advance(29.9 * 86_400)
    assert (await services.runs.by_kiosk(token, run.session_id)).id == run.id
    clock.advance(0.2 * 86_400)
    with pytest.raises(LinkExpired):
        await services.runs.by_kiosk(token, run.session_id)
    assert services.runs.kiosk_token(await services.runs.known(run.session_id)) is None
    with pytest.raises(NotFound) as unknown:
        await services.runs.by_kiosk("0" * 36, run.session_id)
    assert not isinstance(unknown.value, LinkExpired)
    # Shared anew it is another link; the old one stays dead.
    again = services.runs.kiosk_token(await services.runs.share(demo, run.session_id, days=1))
    assert again not in (None, token)
    with pytest.raises(NotFound):
        await services.runs.by_kiosk(token, run.session_id)


async def test_the_end_of_a_public_link_can_be_changed_or_taken_away(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    run = await services.runs.start(demo, "options_ping", report_mode="kiosk", kiosk_days=1)
    token = services.runs.kiosk_token(run)
    kept = await services.runs.share(demo, run.session_id, days=9, again=False)
    assert kept.kiosk_until == run.kiosk_until
    longer = await services.runs.share(demo, run.session_id, days=None)
    assert services.runs.kiosk_token(longer) == token
    clock.advance(4_000 * 86_400)
    assert token is not None
    assert (await services.runs.by_kiosk(token, run.session_id)).kiosk_until is None
    for days in (0, -1, 1e9, float("nan")):
        with pytest.raises(Invalid):
            await services.runs.share(demo, run.session_id, days=days)


# -- waiting


async def test_a_run_that_waits_says_how_long_it_probably_will(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    await services.projects.create(demo, "other")
    await services.tests.create(demo, "name: mine\nsteps: [{options: {party: a}}]", project="other")
    first = await services.runs.start(demo, "basic_call")
    assert await services.runs.waiting(first) == Waiting(0, None)  # nothing was measured yet
    assert await services.runs.held.claim(first.id, 1, "ag", 15)
    assert await services.runs.waiting(await services.runs.known(first.session_id)) is None
    clock.advance(10)
    await services.runs.held.finish(first.session_id, 1, '{"verdict":"passed"}', agent_id="ag")
    held = [await services.runs.start(demo, "basic_call") for _ in range(2)]
    waiting = [await services.runs.start(demo, "basic_call") for _ in range(6)]
    aside = await services.runs.start(demo, "mine")
    elsewhere = await services.runs.start(demo, "basic_call", pool="far")
    assert await services.runs.waiting(aside) == Waiting(0, None)  # nobody carries anything out
    for run in held:
        assert await services.runs.held.claim(run.id, 1, "ag", 15)
    assert await services.runs.waiting(aside) == Waiting(0, 5.0)
    assert await services.runs.waiting(waiting[0]) == Waiting(1, 10.0)
    assert await services.runs.waiting(waiting[5]) == Waiting(6, 35.0)
    assert await services.runs.waiting(elsewhere) == Waiting(0, None)


async def test_a_pool_of_a_project_is_for_its_runs_alone(services: Services, demo: Identity) -> None:
    other = await services.projects.create(demo, "other")
    await services.tests.create(demo, "name: mine\nsteps: [{options: {party: a}}]", project="other")
    await services.agents.create_pool(demo, "lab", other)
    run = await services.runs.start(demo, "mine", pool="lab")
    with pytest.raises(Invalid, match="lab belongs to another project"):
        await services.runs.start(demo, "basic_call", pool="lab")
    stranger = Identity(9, "sam", Role.MEMBER, RIGHTS[Role.MEMBER], ((run.project_id - 1, Role.MEMBER),))
    assert not may(stranger, Right.READ, other.id)
    with pytest.raises(NotFound):
        await services.runs.start(stranger, "basic_call", pool="lab")
    assert [pool.name for pool in await services.agents.pools_seen(stranger)] == []
    assert [pool.name for pool in await services.agents.pools_seen(demo)] == ["lab"]
    token, _ = await services.agents.create_enrolment(demo, "lab")
    agent, _ = await services.agents.enrol(token, "one", AgentInfo())
    assert await services.agents.agents_seen(stranger) == []
    with pytest.raises(NotFound):
        await services.agents.agent_seen(stranger, agent.id)
    assert (await services.agents.agent_seen(demo, agent.id)).name == "one"
    # A pool that is given away meanwhile: what waits for it is not carried out there.
    await services.agents.give_pool(demo, "lab", await services.projects.get(demo, "demo"))
    intake = Intake(services.runs, services.agents, services.evidence, lease=15.0)
    answer = await intake.claim(agent.id, Claim(run.id, run.session_id, 1))
    assert answer.job is None
    await services.agents.give_pool(demo, "lab", None)
    answer = await intake.claim(agent.id, Claim(run.id, run.session_id, 1))
    assert answer.job is not None


async def test_evidence_of_a_superseded_attempt_is_not_taken(
    services: Services, demo: Identity, clock: ManualClock
) -> None:
    run = await services.runs.start(demo, "basic_call")
    assert await services.runs.held.claim(run.id, 1, "ag", 15)
    intake = Intake(services.runs, services.agents, services.evidence, lease=15.0)

    def piece(attempt: int) -> EvidenceChunk:
        data = b"late"
        return EvidenceChunk(
            run.id,
            run.session_id,
            attempt,
            name="run.json",
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            media_type="application/json",
            offset=0,
            data=data,
        )

    clock.advance(16)
    assert [moved.attempt for moved in await services.runs.held.expire_leases()] == [2]
    assert (await intake.chunk("ag", piece(1))).superseded
    assert await services.runs.held.claim(run.id, 2, "other", 15)
    assert (await intake.chunk("ag", piece(1))).superseded
    assert (await intake.chunk("ag", piece(2))).superseded  # another agent's
    assert await services.evidence.list(await services.runs.known(run.session_id)) == []
    assert (await intake.chunk("other", piece(2))).done
