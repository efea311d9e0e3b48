"""Runs in SQL: RunStore on any Database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from callwright.control.errors import IdempotencyConflict
from callwright.control.runs.demand import Demand
from callwright.control.runs.figures import EndedRuns, LivePhase
from callwright.control.runs.model import (
    Bucket,
    Ending,
    Given,
    NewRun,
    PoolShare,
    Run,
    RunFilter,
    StoredDetail,
)
from callwright.control.runs.result import searched
from callwright.control.runs.transitions import Phase
from callwright.control.storage.sql.database import Database, Executor, Statement
from callwright.control.storage.sql.evidence import SqlEvidence
from callwright.control.storage.sql.projects import SqlProjects
from callwright.control.storage.sql.runs import figures, moving, posting, reading
from callwright.control.storage.sql.settings import SqlSettings
from callwright.control.storage.sql.targets import ADD_USE, SqlTargets
from callwright.control.storage.sql.writing import (
    as_is,
    as_value,
    filling,
    pattern,
    project_values,
    values_of,
)
from callwright.control.targets.model import day_of
from callwright.fleet.placement import Wish

_run = filling(Run, tags=tuple[str, ...], placement=Wish)
_detail = filling(StoredDetail, shown=dict[str, Any])
_given = filling(Given, shown=dict[str, Any])


def _demand(
    pool: str, project_id: int, phase: str, agent_id: str | None, runs: int, weight: int, since: float
) -> Demand:
    return Demand(pool, project_id, phase, agent_id, int(runs), int(weight), since)


class SqlRunStore(SqlTargets, SqlEvidence, SqlSettings, SqlProjects):
    """RunStore on any Database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.on_end: list[Callable[[Sequence[Run]], Awaitable[None]]] = []

    async def earlier(self, user_id: int, key: str, fingerprint: str) -> list[Run] | None:
        return await _earlier(self._db, user_id, key, fingerprint)

    async def add(
        self,
        runs: Sequence[NewRun],
        *,
        user_id: int,
        key: str | None,
        fingerprint: str,
        reserve: Callable[[], Awaitable[None]] | None = None,
    ) -> tuple[list[Run], bool]:
        async with self._db.transaction() as transaction:
            if key is not None and runs:
                kept = {"user_id": user_id, "key": key, "fingerprint": fingerprint, "run_ids": "[]"}
                if not await transaction.run(posting.KEEP_KEY, kept | {"created_at": runs[0].created_at}):
                    return await _earlier(transaction, user_id, key, fingerprint) or [], False
            if reserve is not None:
                await reserve()
            born = [await self._add_one(transaction, run) for run in runs]
            if key is not None:
                ids = msgspec.json.encode([run.id for run in born]).decode()
                await transaction.run(posting.FILL_KEY, {"user_id": user_id, "key": key, "run_ids": ids})
        return born, True

    @staticmethod
    async def _add_one(transaction: Executor, new: NewRun) -> Run:
        values = {name: as_value(getattr(new, name)) for name in posting.BORN}
        run = await transaction.one(_run, posting.ADD, values | {"phase": Phase.QUEUED.value, "attempt": 1})
        assert run is not None
        await transaction.run(
            posting.ADD_DETAIL,
            {
                "run_id": run.id,
                "test_version": new.test_version,
                "sealed_overrides": new.sealed_overrides,
                "shown": as_value(new.shown),
            },
        )
        tags = [{"tag": tag, "run_id": run.id} for tag in dict.fromkeys(new.tags)]
        await transaction.run_many(posting.ADD_TAG, tags)
        taken = {"run_id": run.id, "day": day_of(new.created_at)}
        await transaction.run_many(ADD_USE, [values_of(use) | taken for use in new.usage])
        return run

    async def by_session(self, session_id: str) -> Run | None:
        return await self._db.one(_run, reading.BY_SESSION, {"session_id": session_id})

    async def by_id(self, run_id: int) -> Run | None:
        return await self._db.one(_run, reading.BY_ID, {"id": run_id})

    async def of_group(self, group_id: str) -> list[Run]:
        return await self._db.all(_run, reading.OF_GROUP, {"group_id": group_id})

    async def detail(self, run_id: int) -> StoredDetail | None:
        return await self._db.one(_detail, reading.DETAIL, {"run_id": run_id})

    async def given(self, run_id: int) -> Given | None:
        return await self._db.one(_given, reading.GIVEN, {"run_id": run_id})

    async def page(
        self,
        filter_: RunFilter,
        before: int | None,
        limit: int,
        visible: tuple[int, ...] | None = None,
    ) -> list[Run]:
        seen, count = project_values(visible)
        values = {name: value for name, value in values_of(filter_).items() if value is not None}
        if before is not None:
            values["before"] = before
        if filter_.search is not None:
            values["search"] = pattern(filter_.search)
        statement = reading.page_statement(frozenset(values), count)
        if filter_.search is not None:
            values["word"], values["digits"] = searched(filter_.search)
        return await self._db.all(_run, statement, values | seen | {"limit": limit})

    async def live(self) -> list[Run]:
        return await self._db.all(_run, reading.ALL_LIVE)

    async def count_live(self) -> int:
        return int(await self._db.value(reading.COUNT_LIVE))

    async def demands(self) -> list[Demand]:
        return await self._db.all(_demand, reading.DEMANDS)

    async def count_queued(self, project_id: int) -> int:
        return int(await self._db.value(reading.COUNT_QUEUED, {"project_id": project_id}))

    async def count_held(self, project_id: int) -> int:
        return int(await self._db.value(reading.COUNT_HELD, {"project_id": project_id}))

    async def pool_owner(self, pool: str) -> int | None:
        found = await self._db.value(reading.POOL_OWNER, {"pool": pool})
        return None if found is None else int(found)

    async def shares(self, pool: str, run_id: int) -> list[PoolShare]:
        return await self._db.all(PoolShare, reading.SHARES, {"pool": pool, "run_id": run_id})

    async def lasted(self, pool: str) -> float | None:
        found: float | None = await self._db.value(reading.LASTED, {"pool": pool})
        return found

    async def previous_pass(self, run: Run) -> Run | None:
        values = {"test_id": run.test_id, "project_id": run.project_id, "before": run.id}
        return await self._db.one(_run, reading.PREVIOUS_PASS, values)

    async def judged_before(self, run: Run, limit: int) -> list[str]:
        values = {"test_id": run.test_id, "project_id": run.project_id, "before": run.id, "limit": limit}
        return [phase for (phase,) in await self._db.all(as_is, reading.JUDGED_BEFORE, values)]

    async def counts(self, since: float) -> list[tuple[int, int]]:
        rows = await self._db.all(as_is, reading.COUNTS, {"since": since})
        return [(int(project_id), int(count)) for project_id, count in rows]

    async def history(
        self, since: float, seconds: float, visible: tuple[int, ...] | None = None
    ) -> list[Bucket]:
        seen, count = project_values(visible)
        values: dict[str, Any] = {"since": since, "seconds": seconds, **seen}
        return await self._db.all(Bucket, reading.history(count), values)

    async def live_figures(self) -> list[LivePhase]:
        return await self._db.all(LivePhase, figures.LIVE_FIGURES)

    async def ended_figures(self, after: int, upto: int) -> list[EndedRuns]:
        return await self._db.all(EndedRuns.of, figures.ENDED_FIGURES, {"after": after, "upto": upto})

    async def newest_ids(self, since: float) -> tuple[int | None, int]:
        first = await self._db.value(figures.FIRST_SINCE, {"since": since})
        return first, int(await self._db.value(figures.HIGHEST))

    async def claim(
        self,
        run_id: int,
        attempt: int,
        agent_id: str,
        now: float,
        lease_until: float,
        grace: float,
        pool: str | None = None,
    ) -> Run | None:
        values = {"id": run_id, "attempt": attempt, "agent_id": agent_id, "lease_until": lease_until}
        more = {"now": now, "grace": grace, "pool": pool}
        return await self._moved(moving.CLAIM, values | more) or await self._moved(moving.CLAIMED, values)

    async def intend(self, run_id: int, attempt: int, agent_id: str, now: float) -> Run | None:
        return await self._moved(
            moving.INTEND, {"id": run_id, "attempt": attempt, "agent_id": agent_id, "now": now}
        )

    async def release(
        self, run_id: int, attempt: int, agent_id: str, now: float, patience: float
    ) -> Run | None:
        values = {"id": run_id, "attempt": attempt, "agent_id": agent_id, "deadline_at": now + patience}
        return await self._moved(moving.RELEASE, values)

    async def finish(
        self, run_id: int, attempt: int, agent_id: str, ending: Ending, now: float
    ) -> Run | None:
        values = values_of(ending) | {"id": run_id, "attempt": attempt, "agent_id": agent_id, "now": now}
        async with self._db.transaction() as transaction:
            run = await transaction.one(_run, moving.FINISH, values)
            if run is not None and ending.outcome is not None:
                await transaction.run(moving.KEEP_OUTCOME, {"run_id": run_id, "outcome": ending.outcome})
            if run is not None:
                words = [{"word": word, "run_id": run_id} for word in ending.words]
                await transaction.run_many(moving.ADD_WORD, words)
                await self._settle([run])
        return run

    async def finished_before(self, run_id: int, attempt: int, agent_id: str) -> bool:
        values = {"id": run_id, "attempt": attempt, "agent_id": agent_id}
        return await self._db.value(moving.FINISHED_BEFORE, values) is not None

    async def stop(self, run_ids: Sequence[int] | None, now: float, reason: str) -> list[Run]:
        values: dict[str, Any] = {"now": now, "reason": reason}
        wishes = [values] if run_ids is None else [values | {"id": run_id} for run_id in run_ids]
        changed: list[Run] = []
        async with self._db.transaction() as transaction:
            for wish in wishes:
                for statement in moving.stops(run_ids is not None):
                    changed += await transaction.all(_run, statement, wish)
            await self._settle(changed)
        return changed

    async def renew(self, pairs: Iterable[tuple[int, int]], agent_id: str, until: float) -> set[int]:
        kept = set()
        async with self._db.transaction() as transaction:
            for run_id, attempt in sorted(pairs):
                values = {"id": run_id, "attempt": attempt, "agent_id": agent_id, "until": until}
                if await transaction.run(moving.RENEW, values):
                    kept.add(run_id)
        return kept

    async def expired(self, now: float) -> list[Run]:
        return await self._db.all(_run, moving.EXPIRED, {"now": now})

    async def requeue(self, run: Run, now: float, patience: float) -> Run | None:
        return await self._moved(moving.REQUEUE, _seen(run) | {"deadline_at": now + patience})

    async def end(self, run: Run, ending: Ending, now: float) -> Run | None:
        async with self._db.transaction() as transaction:
            ended = await transaction.one(_run, moving.END, _seen(run) | values_of(ending) | {"now": now})
            if ended is not None:
                await self._settle([ended])
        return ended

    async def _settle(self, changed: Sequence[Run]) -> None:
        """Where no INVITE may have left, nothing was used of what was reserved. Whoever hears of ends belongs
        to the transaction."""
        ended = [run for run in changed if run.finished]
        await self.give_back([run.id for run in ended if run.intent_at is None])
        for hear in self.on_end if ended else ():
            await hear(ended)

    async def extend_leases(self, until: float) -> None:
        async with self._db.transaction() as transaction:
            await transaction.run(moving.EXTEND, {"until": until})
            await transaction.run(moving.EXTEND_QUEUED, {"until": until})

    async def shift_times(self, seconds: float) -> None:
        await self._db.run(moving.SHIFT, {"seconds": seconds})

    async def set_kiosk(self, run_id: int, serial: int | None, until: float | None = None) -> Run | None:
        return await self._moved(moving.SET_KIOSK, {"id": run_id, "serial": serial, "until": until})

    async def _moved(self, statement: Statement, values: dict[str, Any]) -> Run | None:
        found = await self._db.changed(_run, statement, values)
        return found[0] if found else None

    async def aged_runs(self, now: float, limit: int) -> list[tuple[int, str]]:
        return await self._db.all(as_is, reading.AGED, {"now": now, "limit": limit})

    async def forget_runs(self, run_ids: Sequence[int]) -> None:
        async with self._db.transaction() as transaction:
            await transaction.run_many(moving.FORGET, [{"id": run_id} for run_id in run_ids])

    async def forget_idempotency(self, before: float) -> None:
        await self._db.run(posting.FORGET_KEYS, {"before": before})


async def _earlier(executor: Executor, user_id: int, key: str, fingerprint: str) -> list[Run] | None:
    found = await executor.one(as_is, posting.KEY, {"user_id": user_id, "key": key})
    if found is None:
        return None
    if found[0] != fingerprint:
        raise IdempotencyConflict(
            f"The Idempotency-Key {key!r} came before with another request.",
            "Take a new key for a new request.",
        )
    runs = []
    for run_id in msgspec.json.decode(found[1], type=list[int]):
        run = await executor.one(_run, reading.BY_ID, {"id": run_id})
        if run is not None:
            runs.append(run)
    return runs


def _seen(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "attempt": run.attempt,
        "phase_seen": run.phase,
        "lease_seen": run.lease_until,
    }
