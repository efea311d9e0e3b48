"""The caps of a target hold whatever is started at once, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callwright.control.accounts.model import RIGHTS, Identity, Role
from callwright.control.errors import CapReached, DomainError, QuotaExceeded
from callwright.control.runs.model import Ending, Run
from callwright.control.services import Services
from callwright.control.storage.schema import Location
from callwright.control.targets.model import day_of
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy

ANA = Identity(1, "ana", Role.ADMIN, RIGHTS[Role.ADMIN])
CALL = """
name: {name}
parties:
  alice: {{user: "1", domain: 203.0.113.9}}
steps:
  - - call: {{from: alice, to: "2", max_duration: 60}}
"""
OPTIONS = """
name: {name}
parties:
  alice: {{user: "1", domain: 203.0.113.9}}
steps:
  - - options: {{party: alice, to: 203.0.113.9}}
"""


@pytest.fixture
async def both(location: Location, tmp_path: Path) -> AsyncIterator[tuple[Services, Services]]:
    """Two processes of one platform."""
    where = location.url or f"sqlite:///{location.path}"
    clock = ManualClock()
    opened = [
        await Services.open(tmp_path, database=where, clock=clock, entropy=seeded_entropy(n)) for n in (1, 2)
    ]
    yield opened[0], opened[1]
    for services in opened:
        await services.close()


async def started(both: tuple[Services, Services], names: list[str]) -> tuple[list[Run], list[DomainError]]:
    """All at once, in turn by one process and the other."""
    results = await asyncio.gather(
        *(both[n % 2].runs.start(ANA, name) for n, name in enumerate(names)), return_exceptions=True
    )
    wrong = [r for r in results if not isinstance(r, Run | CapReached | QuotaExceeded)]
    assert wrong == []
    return [r for r in results if isinstance(r, Run)], [r for r in results if isinstance(r, DomainError)]


@pytest.mark.parametrize(
    ("document", "cap", "fit"),
    [
        (CALL, {"concurrency": 1}, 1),
        (CALL, {"concurrency": 3}, 3),
        (CALL, {"minutes": 2.5}, 2),
        (CALL, {"rate": 1}, 1),
        (OPTIONS, {"rate": 0.5}, 1),
        (OPTIONS, {"rate": 2}, 2),
        (OPTIONS, {"concurrency": 1, "minutes": 1}, 12),
    ],
)
async def test_simultaneous_requests_never_exceed_a_cap(
    both: tuple[Services, Services], document: str, cap: dict[str, float], fit: int
) -> None:
    await both[0].tests.create(ANA, document.format(name="t"))
    await both[0].targets.add(ANA, host="203.0.113.9", **cap)  # type: ignore[arg-type]
    runs, refused = await started(both, ["t"] * 12)
    assert len(runs) == fit
    assert len(refused) == 12 - fit
    assert len(await both[0].runs.live()) == fit
    entries = await both[0].audit.log(ANA, search="run.started")
    assert {entry.object for entry in entries} == {f"run {run.session_id}" for run in runs}


async def test_a_project_starts_within_the_caps_or_not_at_all(both: tuple[Services, Services]) -> None:
    for n in range(5):
        await both[0].tests.create(ANA, CALL.format(name=f"t{n}"))
    target = await both[0].targets.add(ANA, host="203.0.113.9", concurrency=4, minutes=100)
    with pytest.raises(
        CapReached, match="limited to 4 concurrent calls; these 5 runs need 5, and 0 are in use"
    ):
        await both[0].runs.start_all(ANA, "default")
    assert await both[0].runs.live() == []
    assert (await both[0].stores.runs.target_usage(target.id, 0)).minutes == 0
    await both[0].tests.delete(ANA, "t4")
    results = await asyncio.gather(
        *(services.runs.start_all(ANA, "default") for services in (*both, *both)), return_exceptions=True
    )
    assert sorted(isinstance(result, CapReached) for result in results) == [False, True, True, True]
    assert len(await both[0].runs.live()) == 4


async def test_the_same_idempotency_key_takes_of_a_cap_once(both: tuple[Services, Services]) -> None:
    await both[0].tests.create(ANA, CALL.format(name="t"))
    target = await both[0].targets.add(ANA, host="203.0.113.9", concurrency=1, minutes=9)
    runs = await asyncio.gather(*(both[n % 2].runs.start(ANA, "t", idempotency_key="k") for n in range(8)))
    assert len({run.id for run in runs}) == 1
    day = int(both[0].clock.wall() // 86_400)
    assert (await both[0].stores.runs.target_usage(target.id, day)).minutes == 1


async def test_two_targets_are_reserved_in_one_order(both: tuple[Services, Services]) -> None:
    """Runs that go to both, in either order, never wait for each other for ever."""
    for name, first, second in (("ab", "203.0.113.1", "203.0.113.2"), ("ba", "203.0.113.2", "203.0.113.1")):
        document = f"""
name: {name}
parties:
  a: {{user: "1", domain: {first}}}
  b: {{user: "1", domain: {second}}}
steps:
  - - call: {{from: a, to: "2", max_duration: 60}}
    - call: {{from: b, to: "2", max_duration: 60}}
"""
        await both[0].tests.create(ANA, document)
    for host in ("203.0.113.1", "203.0.113.2"):
        await both[0].targets.add(ANA, host=host, concurrency=7, minutes=1000)
    runs, _ = await started(both, ["ab", "ba"] * 10)
    assert len(runs) == 7


async def test_a_limit_of_waiting_runs_holds_at_once_too(both: tuple[Services, Services]) -> None:
    await both[0].tests.create(ANA, OPTIONS.format(name="t").replace("203.0.113.9", "127.0.0.1"))
    await both[0].projects.limit(ANA, "default", max_running=None, max_queued=3)
    runs, _ = await started(both, ["t"] * 10)
    assert len(runs) == 3


async def minutes_of(services: Services, target_id: int, day: int) -> float:
    return (await services.stores.runs.target_usage(target_id, day)).minutes


async def test_a_run_that_is_canceled_before_it_begins_gives_its_minutes_back(
    both: tuple[Services, Services],
) -> None:
    one, other = both
    await one.tests.create(ANA, CALL.format(name="t"))
    target = await one.targets.add(ANA, host="203.0.113.9", minutes=3)
    day = day_of(one.clock.wall())
    runs, _ = await started(both, ["t"] * 3)
    results = await asyncio.gather(
        *(both[n % 2].runs.stop(ANA, run.session_id) for n, run in enumerate([*runs, *runs]))
    )
    assert {run.phase for run in results} == {"canceled"}
    assert await minutes_of(other, target.id, day) == 0
    runs, refused = await started(both, ["t"] * 4)
    assert (len(runs), len(refused)) == (3, 1)
    await one.runs.kill(ANA)
    assert await minutes_of(one, target.id, day) == 0


async def test_a_run_keeps_its_minutes_once_a_call_may_have_been_placed(
    both: tuple[Services, Services],
) -> None:
    one, store = both[0], both[0].stores.runs
    await one.tests.create(ANA, CALL.format(name="t"))
    target = await one.targets.add(ANA, host="203.0.113.9", minutes=9)
    now, day = one.clock.wall(), day_of(one.clock.wall())
    canceled = Ending("canceled", "canceled", None, "Stopped by ana.")
    idle, begun, lost, again = [await one.runs.start(ANA, "t") for _ in range(4)]
    for run in (idle, begun, lost, again):
        assert await store.claim(run.id, 1, "ag", now, now + 15, 60)
    assert await store.intend(begun.id, 1, "ag", now)
    for run, left in ((idle, 3), (begun, 3)):
        await one.runs.stop(ANA, run.session_id)
        assert await store.finish(run.id, 1, "ag", canceled, now)
        assert await store.finish(run.id, 1, "ag", canceled, now) is None
        assert await minutes_of(one, target.id, day) == left
    assert await store.release(again.id, 1, "ag", now, 600)  # it waits still
    seen = await one.runs.by_id(lost.id)
    assert await store.end(seen, Ending("error", "error", "platform", "lost"), now)
    assert await store.end(seen, Ending("error", "error", "platform", "lost"), now) is None
    assert await minutes_of(one, target.id, day) == 2


async def test_minutes_go_back_to_the_day_on_which_they_were_reserved(
    both: tuple[Services, Services],
) -> None:
    one, clock = both[0], both[0].clock
    assert isinstance(clock, ManualClock)
    await one.tests.create(ANA, CALL.format(name="t"))
    target = await one.targets.add(ANA, host="203.0.113.9", minutes=9)
    day = day_of(clock.wall())
    waited = await one.runs.start(ANA, "t")
    clock.advance(86_400)
    await one.runs.start(ANA, "t")
    await one.runs.stop(ANA, waited.session_id)
    assert [await minutes_of(one, target.id, one_day) for one_day in (day, day + 1)] == [0, 1]


async def test_reserving_and_giving_back_at_once_never_wait_for_each_other_for_ever(
    both: tuple[Services, Services],
) -> None:
    document = """
name: {name}
parties:
  a: {{user: "1", domain: {first}}}
  b: {{user: "1", domain: {second}}}
steps:
  - - call: {{from: a, to: "2", max_duration: 60}}
    - call: {{from: b, to: "2", max_duration: 60}}
"""
    hosts, day = ("203.0.113.1", "203.0.113.2"), day_of(both[0].clock.wall())
    for name, first, second in (("ab", *hosts), ("ba", *reversed(hosts))):
        await both[0].tests.create(ANA, document.format(name=name, first=first, second=second))
    targets = [await both[0].targets.add(ANA, host=host, minutes=1000) for host in hosts]

    async def churn(services: Services, name: str) -> None:
        for _ in range(5):
            run = await services.runs.start(ANA, name)
            await services.runs.stop(ANA, run.session_id)

    await asyncio.gather(*(churn(services, name) for services in both for name in ("ab", "ba") * 2))
    assert [await minutes_of(both[0], target.id, day) for target in targets] == [0, 0]
