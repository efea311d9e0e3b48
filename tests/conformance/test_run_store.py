from __future__ import annotations

import asyncio
import itertools
from typing import Any

import msgspec
import pytest

from callwright.control.accounts.model import User
from callwright.control.agents.model import Agent
from callwright.control.errors import Conflict, IdempotencyConflict, Invalid
from callwright.control.runs.model import KILL_SWITCH, Ending, Evidence, PoolShare, Run, RunFilter
from callwright.control.runs.transitions import FINAL, PHASES, Event, Phase, sources
from callwright.control.storage.stores import Stores
from callwright.control.targets.model import TargetRow, TargetUse
from callwright.control.tests.model import TestDocument
from tests.conformance.rows import NOW, a_new_run, a_run, a_test

PASSED = Ending("passed", "passed", None, "", 4.2, '{"verdict":"passed"}')
LEASE = NOW + 15


async def in_phase(stores: Stores, phase: Phase, number: int) -> Run:
    """A run of agent `ag`, attempt 1, in this phase."""
    run = await a_run(stores, number=number)
    if phase is Phase.QUEUED:
        return run
    claimed = await stores.runs.claim(run.id, 1, "ag", NOW, LEASE, 60)
    assert claimed is not None
    if phase is Phase.STARTING:
        return claimed
    running = await stores.runs.intend(run.id, 1, "ag", NOW)
    assert running is not None
    if phase is Phase.RUNNING:
        return running
    ended = await stores.runs.finish(run.id, 1, "ag", Ending(phase.value, phase.value, None, ""), NOW + 1)
    assert ended is not None
    return ended


async def cause(stores: Stores, run: Run, event: Event, attempt: int, agent: str) -> Run | None:
    match event:
        case Event.CLAIM:
            return await stores.runs.claim(run.id, attempt, agent, NOW, LEASE, 60)
        case Event.INTEND:
            return await stores.runs.intend(run.id, attempt, agent, NOW)
        case Event.RELEASE:
            return await stores.runs.release(run.id, attempt, agent, NOW, 600)
        case Event.FINISH:
            return await stores.runs.finish(run.id, attempt, agent, PASSED, NOW)
        case Event.STOP:
            changed = await stores.runs.stop([run.id], NOW, "Stopped by ana.")
            return changed[0] if changed else None
        case Event.LEASE_EXPIRED | Event.OVERDUE:
            return None


ASKED = (Event.CLAIM, Event.INTEND, Event.RELEASE, Event.FINISH)


async def test_every_event_moves_a_run_only_from_the_phases_the_table_names(stores: Stores) -> None:
    for number, (phase, event) in enumerate(itertools.product(PHASES, ASKED)):
        run = await in_phase(stores, phase, number)
        moved = await cause(stores, run, event, 1, "ag")
        now = await stores.runs.by_id(run.id)
        assert now is not None
        # Asking again for what one has already is answered as before, and moves nothing.
        again = (phase, event) in {(Phase.STARTING, Event.CLAIM), (Phase.RUNNING, Event.INTEND)}
        if phase in sources(event):
            assert moved == now != run, (phase, event)
        else:
            assert (moved is not None) == again, (phase, event)
            assert now.phase == phase, (phase, event)


async def test_an_older_attempt_and_another_agent_move_nothing(stores: Stores) -> None:
    for number, (phase, event) in enumerate(itertools.product(PHASES, ASKED)):
        run = await in_phase(stores, phase, number)
        for attempt, agent in ((2, "ag"), (0, "ag"), (1, "other")):
            if event is Event.CLAIM and phase is Phase.QUEUED and attempt == 1:
                continue  # whoever is first
            assert await cause(stores, run, event, attempt, agent) is None, (phase, event, attempt, agent)
        assert await stores.runs.by_id(run.id) == run


async def test_one_of_many_claims_wins(stores: Stores) -> None:
    run = await a_run(stores)
    claims = [stores.runs.claim(run.id, 1, f"ag{n}", NOW, LEASE, 60) for n in range(20)]
    won = [claim for claim in await asyncio.gather(*claims) if claim is not None]
    assert len(won) == 1
    assert await stores.runs.by_id(run.id) == won[0]
    assert (won[0].phase, won[0].lease_until, won[0].started_at) == ("starting", LEASE, NOW)


async def test_the_same_agent_may_claim_again_when_the_answer_was_lost(stores: Stores) -> None:
    run = await in_phase(stores, Phase.STARTING, 0)
    again = await stores.runs.claim(run.id, 1, "ag", NOW + 5, LEASE + 5, 60)
    assert again is not None
    assert (again.phase, again.lease_until) == ("starting", LEASE + 5)


async def test_a_result_is_kept_with_its_document_and_known_when_it_comes_again(stores: Stores) -> None:
    run = await in_phase(stores, Phase.RUNNING, 0)
    assert not await stores.runs.finished_before(run.id, 1, "ag")
    ended = await stores.runs.finish(run.id, 1, "ag", PASSED, NOW + 9)
    assert ended is not None
    assert (ended.phase, ended.verdict, ended.mos, ended.stopped_at) == ("passed", "passed", 4.2, NOW + 9)
    assert ended.lease_until is None
    detail = await stores.runs.detail(run.id)
    assert detail is not None
    assert detail.outcome == PASSED.outcome
    assert await stores.runs.finish(run.id, 1, "ag", PASSED, NOW + 10) is None
    assert await stores.runs.finished_before(run.id, 1, "ag")
    assert not await stores.runs.finished_before(run.id, 1, "other")


async def test_a_run_shows_the_document_of_the_version_that_it_was_started_with(stores: Stores) -> None:
    test = await a_test(stores)
    run = await a_run(stores, test)
    changed = msgspec.structs.replace(test, version=2)
    assert await stores.tests.replace(changed, TestDocument(test.id, 2, "name: y", "ana", NOW), 1)
    later = await a_run(stores, test, 1, test_version=2)
    assert await stores.tests.delete(test.id, NOW)
    for one, version, document in ((run, 1, "name: x"), (later, 2, "name: y")):
        detail = await stores.runs.detail(one.id)
        assert detail is not None
        assert (detail.test_version, detail.document, detail.max_seconds) == (version, document, 100.0)


async def test_a_late_result_of_a_superseded_attempt_changes_nothing(stores: Stores) -> None:
    run = await in_phase(stores, Phase.STARTING, 0)
    again = await stores.runs.requeue(run, NOW + 20, 600)
    assert again is not None
    assert (again.phase, again.attempt, again.agent_id, again.lease_until) == ("queued", 2, None, None)
    assert await stores.runs.finish(run.id, 1, "ag", PASSED, NOW + 21) is None
    assert await stores.runs.intend(run.id, 1, "ag", NOW + 21) is None
    assert not await stores.runs.finished_before(run.id, 1, "ag")
    assert await stores.runs.by_id(run.id) == again


async def test_a_run_is_not_ended_by_who_saw_it_before_its_agent_renewed(stores: Stores) -> None:
    run = await in_phase(stores, Phase.RUNNING, 0)
    assert await stores.runs.renew([(run.id, 1)], "ag", LEASE + 15) == {run.id}
    lost = Ending("error", "error", "platform", "lost")
    assert await stores.runs.end(run, lost, NOW + 16) is None
    assert await stores.runs.requeue(run, NOW + 16, 600) is None
    seen = await stores.runs.by_id(run.id)
    assert seen is not None
    ended = await stores.runs.end(seen, lost, NOW + 31)
    assert ended is not None
    assert (ended.phase, ended.result_description, ended.blame) == ("error", "lost", "platform")


async def test_an_intent_is_refused_when_the_lease_is_over(stores: Stores) -> None:
    run = await in_phase(stores, Phase.STARTING, 0)
    assert await stores.runs.intend(run.id, 1, "ag", LEASE + 0.1) is None
    assert await stores.runs.intend(run.id, 1, "ag", LEASE) is not None


async def test_a_heartbeat_renews_only_what_the_agent_holds(stores: Stores) -> None:
    mine, other = await in_phase(stores, Phase.RUNNING, 0), await in_phase(stores, Phase.PASSED, 1)
    kept = await stores.runs.renew([(mine.id, 1), (mine.id, 2), (other.id, 1), (999, 1)], "ag", NOW + 99)
    assert kept == {mine.id}
    assert await stores.runs.renew([(mine.id, 1)], "somebody", NOW + 99) == set()


async def test_expired_are_those_whose_lease_or_deadline_is_over(stores: Stores) -> None:
    queued = await in_phase(stores, Phase.QUEUED, 0)
    running = await in_phase(stores, Phase.RUNNING, 1)
    await in_phase(stores, Phase.PASSED, 2)
    assert await stores.runs.expired(LEASE) == []
    assert [run.id for run in await stores.runs.expired(LEASE + 1)] == [running.id]
    assert [run.id for run in await stores.runs.expired(NOW + 601)] == [queued.id, running.id]
    await stores.runs.extend_leases(NOW + 700)
    assert await stores.runs.expired(NOW + 699) == []
    await stores.runs.shift_times(3600)
    assert await stores.runs.expired(NOW + 4299) == []
    assert len(await stores.runs.expired(NOW + 4301)) == 2


async def test_stop_cancels_the_queued_and_asks_the_agents_of_the_rest(stores: Stores) -> None:
    queued, starting, running, done = [
        await in_phase(stores, phase, number)
        for number, phase in enumerate((Phase.QUEUED, Phase.STARTING, Phase.RUNNING, Phase.PASSED))
    ]
    changed = {run.id: run for run in await stores.runs.stop(None, NOW + 3, "Stopped by ana.")}
    assert set(changed) == {queued.id, starting.id, running.id}
    assert (changed[queued.id].phase, changed[queued.id].verdict) == ("canceled", "canceled")
    assert changed[running.id].phase == "running"
    assert changed[running.id].stop_requested_at == NOW + 3
    assert changed[running.id].result_description == "Stopped by ana."
    assert await stores.runs.stop(None, NOW + 4, "again") == []
    assert await stores.runs.intend(starting.id, 1, "ag", NOW) is None
    assert await stores.runs.by_id(done.id) == done
    assert await stores.runs.requeue(changed[starting.id], NOW + 20, 600) is None


async def test_nothing_is_claimed_nor_begun_while_the_kill_switch_is_engaged(stores: Stores) -> None:
    queued, starting = await in_phase(stores, Phase.QUEUED, 0), await in_phase(stores, Phase.STARTING, 1)
    await stores.runs.set_setting(KILL_SWITCH, "{}")
    assert await stores.runs.claim(queued.id, 1, "ag", NOW, LEASE, 60) is None
    assert await stores.runs.intend(starting.id, 1, "ag", NOW) is None
    await stores.runs.set_setting(KILL_SWITCH, None)
    assert await stores.runs.claim(queued.id, 1, "ag", NOW, LEASE, 60) is not None
    assert await stores.runs.intend(starting.id, 1, "ag", NOW) is not None


async def test_the_same_idempotency_key_starts_one_run_however_often_it_comes(stores: Stores) -> None:
    test = await a_test(stores)
    answers = await asyncio.gather(
        *(
            stores.runs.add([a_new_run(test, number)], user_id=7, key="k", fingerprint="f")
            for number in range(10)
        )
    )
    assert len({runs[0].id for runs, _ in answers}) == 1
    assert [new for _, new in answers].count(True) == 1
    assert await stores.runs.count_live() == 1
    with pytest.raises(IdempotencyConflict):
        await stores.runs.add([a_new_run(test, 20)], user_id=7, key="k", fingerprint="another")
    with pytest.raises(IdempotencyConflict):
        await stores.runs.earlier(7, "k", "another")
    assert await stores.runs.earlier(8, "k", "f") is None
    _, new = await stores.runs.add([a_new_run(test, 21)], user_id=8, key="k", fingerprint="f")
    assert new
    await stores.runs.forget_idempotency(NOW + 100)
    assert await stores.runs.earlier(8, "k", "f") is None


async def test_several_runs_start_together_or_not_at_all(stores: Stores) -> None:
    test = await a_test(stores)
    same = [a_new_run(test, 1), a_new_run(test, 1)]
    with pytest.raises(Conflict):
        await stores.runs.add(same, user_id=1, key="k", fingerprint="f")
    assert await stores.runs.page(RunFilter(), None, 10) == []
    assert await stores.runs.earlier(1, "k", "f") is None


async def test_pages_go_on_after_the_last_row_while_new_runs_come(stores: Stores) -> None:
    test = await a_test(stores)
    for number in range(7):
        await a_run(stores, test, number)
    first = await stores.runs.page(RunFilter(), None, 3)
    await a_run(stores, test, 50)
    second = await stores.runs.page(RunFilter(), first[-1].id, 3)
    third = await stores.runs.page(RunFilter(), second[-1].id, 3)
    assert [run.id for run in (*first, *second, *third)] == [7, 6, 5, 4, 3, 2, 1]


async def test_every_filter_finds_its_runs_and_no_others(stores: Stores) -> None:
    one, two = await a_test(stores, "one"), await a_test(stores, "50%_Größe")
    a = await a_run(stores, one, 1, tags=("nightly", "pbx"))
    b = await a_run(stores, two, 2, pool="lab", tags=("pbx",))
    for run in (a, b):
        await stores.runs.claim(run.id, 1, "ag", NOW, LEASE, 60)
    ending = Ending("failed", "failed", "target", "Busy (486)", 2.0)
    assert await stores.runs.finish(b.id, 1, "ag", ending, NOW + 5)

    async def found(**wanted: object) -> list[int]:
        return [run.id for run in await stores.runs.page(RunFilter(**wanted), None, 10)]  # type: ignore[arg-type]

    assert await found(status="running") == [a.id]
    assert await found(status="failed") == [b.id]
    assert await found(status="passed") == []
    assert await found(phase="starting") == [a.id]
    assert await found(test_id=two.id) == [b.id]
    assert await found(test_name="one") == [a.id]
    assert await found(project_id=one.project_id) == [b.id, a.id]
    assert await found(pool="lab") == [b.id]
    assert await found(tag="nightly") == [a.id]
    assert await found(tag="pbx", status="failed") == [b.id]
    assert await found(blame="target") == [b.id]
    assert await found(search="BUSY") == [b.id]
    assert await found(search="50%_") == [b.id]
    assert await found(search="größe") == [b.id]
    assert await found(search="0%G") == []
    assert await found(since=NOW + 2) == [b.id]
    assert await found(until=NOW + 2) == [a.id]
    assert await found(phase="starting", pool="lab") == []


async def test_history_counts_by_time_and_phase(stores: Stores) -> None:
    test = await a_test(stores)
    for number, (at, mos) in enumerate(((600.0, 4.0), (661.0, 3.0), (719.0, None))):
        run = await a_run(stores, test, number, created_at=at)
        await stores.runs.claim(run.id, 1, "ag", NOW, LEASE, 60)
        await stores.runs.finish(run.id, 1, "ag", Ending("passed", "passed", None, "", mos), NOW + 5)
    await a_run(stores, test, 9, created_at=1000.0)
    buckets = await stores.runs.history(0.0, 60.0, None)
    assert [(bucket.start, bucket.phase, bucket.count, bucket.mos) for bucket in buckets] == [
        (600.0, "passed", 1, 4.0),
        (660.0, "passed", 2, 3.0),
        (960.0, "queued", 1, None),
    ]
    assert await stores.runs.history(0.0, 60.0, (test.project_id,)) == buckets
    assert await stores.runs.history(NOW + 5000, 60.0, None) == []


async def test_the_previous_pass_is_of_the_same_test(stores: Stores) -> None:
    test = await a_test(stores)
    ids = []
    for number, phase in enumerate(("passed", "failed", "failed")):
        run = await a_run(stores, test, number)
        await stores.runs.claim(run.id, 1, "ag", NOW, LEASE, 60)
        await stores.runs.finish(run.id, 1, "ag", Ending(phase, phase, None, ""), NOW + 5)
        ids.append(run.id)
    other = await in_phase(stores, Phase.PASSED, 77)
    # The test moved to another project, and passed there: what it did elsewhere stays there.
    elsewhere = await stores.projects.add_project("elsewhere", "", NOW)
    moved = await a_run(stores, test, 78, project_id=elsewhere.id, project_name="elsewhere")
    await stores.runs.claim(moved.id, 1, "ag", NOW, LEASE, 60)
    await stores.runs.finish(moved.id, 1, "ag", PASSED, NOW + 5)
    back = await a_run(stores, test, 79)
    assert (await stores.runs.previous_pass(back) or moved).id == ids[0]
    last = await stores.runs.by_id(ids[-1])
    assert last is not None
    previous = await stores.runs.previous_pass(last)
    assert previous is not None
    assert previous.id == ids[0]
    assert await stores.runs.previous_pass(other) is None


async def test_the_previous_pass_was_told_nothing_else(stores: Stores) -> None:
    test = await a_test(stores)

    async def run(number: int, sealed: str, shown: dict[str, str]) -> Run:
        run = await a_run(stores, test, number, sealed_overrides=sealed, shown=shown)
        await stores.runs.claim(run.id, 1, "ag", NOW, LEASE, 60)
        await stores.runs.finish(run.id, 1, "ag", PASSED, NOW + 5)
        return run

    plain, told = await run(0, "", {}), await run(1, "x", {"target": "a"})
    again, other = await run(2, "y", {"target": "a"}), await run(3, "z", {"target": "b"})
    last = await run(4, "", {})
    found = [await stores.runs.previous_pass(one) for one in (told, again, other, last)]
    assert [one and one.id for one in found] == [plain.id, told.id, plain.id, plain.id]


async def test_runs_are_found_by_call_id_number_and_agent(stores: Stores) -> None:
    test = await a_test(stores)
    for number, words in enumerate((("abc@host", "abc", "4102"), ("def", "+431234", "431234"))):
        run = await a_run(stores, test, number)
        await stores.runs.claim(run.id, 1, f"ag{number}", NOW, LEASE, 60)
        ending = Ending("passed", "passed", None, "", pdd_ms=40.0 + number, words=words)
        await stores.runs.finish(run.id, 1, f"ag{number}", ending, NOW + 5)

    async def found(**asked: Any) -> list[float | None]:
        return [run.pdd_ms for run in await stores.runs.page(RunFilter(**asked), None, 10, None)]

    assert await found(search="ABC@host") == [40.0]
    assert await found(search="Call-ID: abc@host") == [40.0]
    assert await found(search="4102") == [40.0]
    assert await found(search="+43 12-34") == [41.0]
    assert await found(search="410") == []
    assert await found(search="4102", agent_id="ag1") == []
    assert await found(agent_id="ag1") == [41.0]


async def test_evidence_is_listed_counted_and_forgotten(stores: Stores) -> None:
    live, old = await in_phase(stores, Phase.RUNNING, 0), await in_phase(stores, Phase.PASSED, 1)
    for run, name, size in ((live, "a", 5), (old, "b", 7), (old, "c", 11)):
        await stores.runs.add_evidence(Evidence(run.id, 1, name, size, "00", "t", f"x/{name}", NOW))
    await stores.runs.add_evidence(Evidence(old.id, 1, "c", 12, "01", "t", "x/c", NOW))
    assert [(e.name, e.size) for e in await stores.runs.evidence(old.id, 1)] == [("b", 7), ("c", 12)]
    assert await stores.runs.evidence(old.id, 2) == []
    assert await stores.runs.evidence_size() == 24
    assert await stores.runs.oldest_evidence(10) == [(old.id, old.session_id, NOW + 1, 19)]
    await stores.runs.forget_evidence([old.id])
    assert await stores.runs.evidence_size() == 5


async def test_what_runs_take_of_a_target_is_summed(stores: Stores) -> None:
    target = await stores.targets.add_target(
        TargetRow(0, "pbx.example.com", None, None, 2.5, 3, 60.0, "ours", "ana", NOW, "AT")
    )
    assert target.country == "AT"
    assert await stores.runs.targets() == [target]
    use = TargetUse(target.id, 2, 0.5, 10.0)
    test = await a_test(stores)
    await a_run(stores, test, 1, usage=(use,))
    done = await a_run(stores, test, 2, usage=(use,))
    await stores.runs.claim(done.id, 1, "ag", NOW, LEASE, 60)
    await stores.runs.finish(done.id, 1, "ag", PASSED, NOW)
    for _ in range(2):
        await stores.runs.count_minutes(target.id, 11, 10.0)
    await stores.runs.count_minutes(target.id, 12, 10.0)
    assert await stores.runs.target_usage(target.id, 11) == TargetUse(target.id, 2, 0.5, 20.0)
    assert await stores.runs.target_usage(target.id, 12) == TargetUse(target.id, 2, 0.5, 10.0)
    assert await stores.runs.target_usage(999, 11) == TargetUse(999)
    assert await stores.runs.reserve_target(target.id) == target
    assert await stores.targets.remove_target(target.id, NOW)
    assert not await stores.targets.remove_target(target.id, NOW)
    assert await stores.runs.targets() == []
    assert await stores.runs.reserve_target(target.id) is None


async def test_a_public_link_is_set_and_revoked(stores: Stores) -> None:
    run = await a_run(stores)
    shared = await stores.runs.set_kiosk(run.id, 5)
    assert shared == msgspec.structs.replace(run, kiosk=5)
    assert await stores.runs.set_kiosk(run.id, None) == run
    assert await stores.runs.set_kiosk(999, 1) is None


@pytest.mark.parametrize("text", ["a\0b", "half \ud800"])
async def test_a_text_that_no_database_keeps_is_refused(stores: Stores, text: str) -> None:
    with pytest.raises(Invalid):
        await stores.runs.by_session(text)
    with pytest.raises(Invalid):
        await stores.runs.page(RunFilter(search=text), None, 10)
    with pytest.raises(Invalid):
        await a_run(stores, started_by=text)


async def test_a_number_beyond_64_bits_is_refused(stores: Stores) -> None:
    with pytest.raises(Invalid):
        await stores.runs.by_id(2**63)
    assert await stores.runs.by_id(2**63 - 1) is None


async def test_unknown_runs_are_none(stores: Stores) -> None:
    assert await stores.runs.by_session("nope") is None
    assert await stores.runs.detail(1) is None
    assert await stores.runs.claim(1, 1, "ag", NOW, LEASE, 60) is None
    assert await stores.runs.evidence_size() == 0
    assert await stores.runs.live() == []


def test_final_phases_are_left_by_no_event() -> None:
    assert not FINAL & {phase for event in Event for phase in sources(event)}


async def test_what_projects_have_in_a_pool_is_counted(stores: Stores) -> None:
    test = await a_test(stores)
    other = await stores.projects.add_project("other", "", NOW)
    first = await in_phase(stores, Phase.RUNNING, 1)
    ended = await a_run(stores, test, 2)
    await stores.runs.claim(ended.id, 1, "ag", NOW + 10, LEASE, 60)
    await stores.runs.finish(ended.id, 1, "ag", PASSED, NOW + 14)
    waiting = [await a_run(stores, test, number) for number in (3, 4, 5)]
    aside = await a_run(stores, test, 6, project_id=other.id, project_name="other")
    far = await a_run(stores, test, 7, pool="far")
    shares = {one.project_id: one for one in await stores.runs.shares("default", waiting[2].id)}
    assert shares == {
        test.project_id: PoolShare(test.project_id, 3, 2, 1),
        other.id: PoolShare(other.id, 1, 0, 0),
    }
    assert [one.waiting for one in await stores.runs.shares("far", far.id)] == [1]
    assert await stores.runs.shares("nowhere", 1) == []
    assert await stores.runs.lasted("default") == pytest.approx(4.0)
    assert await stores.runs.lasted("far") is None
    assert await stores.runs.count_held(test.project_id) == 1
    assert await stores.runs.count_queued(test.project_id) == 4
    assert await stores.runs.count_queued(aside.project_id) == 1
    assert first.project_id == test.project_id


async def test_limits_of_projects_and_owners_of_pools_are_found(stores: Stores) -> None:
    one, two = [await stores.projects.add_project(name, "", NOW) for name in ("one", "two")]
    assert await stores.runs.running_limits() == {}
    limited = await stores.projects.limit_project(one.id, 3, 7, 90)
    assert limited is not None
    assert (limited.max_running, limited.max_queued, limited.keep_runs_days) == (3, 7, 90)
    assert await stores.projects.project("one") == limited
    assert await stores.runs.running_limits() == {one.id: 3}
    assert await stores.runs.reserve_running(one.id) == 3
    assert await stores.runs.reserve_queue(one.id) == 7
    assert await stores.runs.reserve_running(two.id) is None
    assert await stores.projects.limit_project(999, 1, 1, 1) is None
    await stores.agents.add_pool("lab", NOW, one.id)
    await stores.agents.add_pool("all", NOW)
    assert await stores.runs.pool_owner("lab") == one.id
    assert await stores.runs.pool_owner("all") is None
    assert await stores.runs.pool_owner("nowhere") is None
    given = await stores.agents.give_pool("lab", two.id)
    assert given is not None
    assert given.project_id == two.id
    assert (await stores.agents.give_pool("lab", None) or given).project_id is None
    assert await stores.agents.give_pool("nowhere", None) is None


async def test_what_a_key_made_is_found_while_it_can_be_used(stores: Stores) -> None:
    row = User(0, "ana", "Ana", "", "admin", "Normal", "UTC", NOW, None, None)
    user = await stores.accounts.add_user(row, "")
    accounts, agents = stores.accounts, stores.agents
    for name, maker in (("k1", None), ("k2", 1), ("k3", 1)):
        await accounts.add_key(
            public_key=name,
            secret_hash="h",
            name=name,
            user_id=user.id,
            now=NOW,
            created_by="ana",
            made_by_key=maker,
        )
    await accounts.add_token(
        kind="api", name="t", token_hash="th", user_id=user.id, idle_seconds=0, now=NOW, made_by_key=1
    )
    for name in ("e1", "e2", "e3"):
        await agents.add_enrolment("lab", name, NOW, NOW + 60, made_by_key=1)
    agent = Agent("a1", "one", "lab", {}, "", 1, 0, (), "", "active", NOW, None)
    assert await agents.enrol("e1", agent, "s", NOW)
    made = await accounts.made_by_key(1, NOW)
    assert [(one.kind, one.id) for one in made] == [
        ("key", "2"),
        ("key", "3"),
        ("token", "1"),
        ("enrolment", "2"),
        ("enrolment", "3"),
        ("agent", "a1"),
    ]
    assert [one.user_id for one in made] == [1, 1, 1, None, None, None]
    assert await accounts.key_ids_made_by(1) == [2, 3]
    for one in made:
        assert await accounts.revoke_made(one, NOW + 1)
    assert await accounts.made_by_key(1, NOW + 2) == []
    assert await agents.open_enrolment("e2", NOW + 2) is None
    assert (await agents.agents(revoked=True))[0].state == "revoked"
    assert await accounts.key_ids_made_by(1) == [2, 3]


async def test_runs_that_a_project_keeps_no_longer_go_with_all_that_is_theirs(stores: Stores) -> None:
    test = await a_test(stores)
    old, young, live = [await a_run(stores, test, number, tags=("nightly",)) for number in range(3)]
    for run in (old, young):
        await stores.runs.claim(run.id, 1, "ag", NOW, LEASE, 60)
        ending = Ending("passed", "passed", None, "", outcome="{}", words=("abc",))
        await stores.runs.finish(run.id, 1, "ag", ending, NOW + 5)
    day = 86_400.0
    assert await stores.runs.aged_runs(NOW + 1_000 * day, 10) == []
    await stores.projects.limit_project(test.project_id, None, None, 30)
    assert await stores.runs.aged_runs(NOW + 30 * day, 10) == []
    assert await stores.runs.aged_runs(NOW + 30 * day + 0.5, 10) == [(old.id, old.session_id)]
    await stores.runs.forget_runs([old.id, live.id])
    assert await stores.runs.by_id(old.id) is None
    assert await stores.runs.detail(old.id) is None
    assert {run.id for run in await stores.runs.page(RunFilter(tag="nightly"), None, 10)} == {
        young.id,
        live.id,
    }
    assert [run.id for run in await stores.runs.page(RunFilter(search="abc"), None, 10)] == [young.id]


async def test_runs_that_live_are_counted_with_their_calls(stores: Stores) -> None:
    test = await a_test(stores)
    first = await a_run(stores, test, 1, weight=10)
    for number in (2, 3):
        await a_run(stores, test, number, weight=5)
    await a_run(stores, test, 4, pool="north")
    await stores.runs.claim(first.id, 1, "ag", NOW, LEASE, 60)
    ended = await in_phase(stores, Phase.PASSED, 5)
    assert ended.finished
    found = await stores.runs.demands()
    assert [(one.pool, one.phase, one.agent_id, one.runs, one.weight) for one in found] == [
        ("default", "queued", None, 2, 10),
        ("default", "starting", "ag", 1, 10),
        ("north", "queued", None, 1, 1),
    ]
