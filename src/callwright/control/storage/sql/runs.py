"""Runs in SQL: RunStore on any Database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from callwright.control.errors import IdempotencyConflict
from callwright.control.runs.figures import EndedRuns, LivePhase
from callwright.control.runs.model import (
    Bucket,
    Ending,
    Evidence,
    Given,
    NewRun,
    PoolShare,
    Run,
    RunFilter,
    StoredDetail,
    TargetRow,
    TargetUse,
)
from callwright.control.runs.result import searched
from callwright.control.runs.transitions import Phase
from callwright.control.storage.sql import run_figures
from callwright.control.storage.sql import run_statements as sql
from callwright.control.storage.sql.database import Database, Executor, Statement
from callwright.control.storage.sql.writing import pattern, project_values, values_of

__all__ = ["SqlRunStore"]


def _as_is(*values: Any) -> tuple[Any, ...]:
    return values


class SqlRunStore:
    """RunStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

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
                if not await transaction.run(sql.KEEP_KEY, kept | {"created_at": runs[0].created_at}):
                    return await _earlier(transaction, user_id, key, fingerprint) or [], False
            if reserve is not None:
                await reserve()
            born = [await self._add_one(transaction, run) for run in runs]
            if key is not None:
                ids = msgspec.json.encode([run.id for run in born]).decode()
                await transaction.run(sql.FILL_KEY, {"user_id": user_id, "key": key, "run_ids": ids})
        return born, True

    @staticmethod
    async def _add_one(transaction: Executor, new: NewRun) -> Run:
        values = {name: getattr(new, name) for name in sql.BORN}
        run = await transaction.one(Run, sql.ADD, values | {"phase": Phase.QUEUED.value, "attempt": 1})
        assert run is not None
        await transaction.run(
            sql.ADD_DETAIL,
            {
                "run_id": run.id,
                "test_version": new.test_version,
                "document": new.document,
                "sealed_overrides": new.sealed_overrides,
                "shown": new.shown,
            },
        )
        tags = dict.fromkeys(msgspec.json.decode(new.tags, type=list[str]))
        await transaction.run_many(sql.ADD_TAG, [{"tag": tag, "run_id": run.id} for tag in tags])
        await transaction.run_many(sql.ADD_USE, [values_of(use) | {"run_id": run.id} for use in new.usage])
        return run

    async def by_session(self, session_id: str) -> Run | None:
        return await self._db.one(Run, sql.BY_SESSION, {"session_id": session_id})

    async def by_id(self, run_id: int) -> Run | None:
        return await self._db.one(Run, sql.BY_ID, {"id": run_id})

    async def detail(self, run_id: int) -> StoredDetail | None:
        return await self._db.one(StoredDetail, sql.DETAIL, {"run_id": run_id})

    async def given(self, run_id: int) -> Given | None:
        return await self._db.one(Given, sql.GIVEN, {"run_id": run_id})

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
        statement = sql.page_statement(frozenset(values), count)
        if filter_.search is not None:
            values["word"], values["digits"] = searched(filter_.search)
        return await self._db.all(Run, statement, values | seen | {"limit": limit})

    async def live(self) -> list[Run]:
        return await self._db.all(Run, sql.ALL_LIVE)

    async def count_live(self) -> int:
        return int(await self._db.value(sql.COUNT_LIVE))

    async def reserve_queue(self, project_id: int) -> int | None:
        found = await self._db.value(sql.RESERVE_QUEUE, {"id": project_id})
        return None if found is None else int(found)

    async def count_queued(self, project_id: int) -> int:
        return int(await self._db.value(sql.COUNT_QUEUED, {"project_id": project_id}))

    async def count_held(self, project_id: int) -> int:
        return int(await self._db.value(sql.COUNT_HELD, {"project_id": project_id}))

    async def running_limits(self) -> dict[int, int]:
        return dict(await self._db.all(_as_is, sql.RUNNING_LIMITS))

    async def reserve_running(self, project_id: int) -> int | None:
        found = await self._db.value(sql.RESERVE_RUNNING, {"id": project_id})
        return None if found is None else int(found)

    async def pool_owner(self, pool: str) -> int | None:
        found = await self._db.value(sql.POOL_OWNER, {"pool": pool})
        return None if found is None else int(found)

    async def shares(self, pool: str, run_id: int) -> list[PoolShare]:
        return await self._db.all(PoolShare, sql.SHARES, {"pool": pool, "run_id": run_id})

    async def lasted(self, pool: str) -> float | None:
        found: float | None = await self._db.value(sql.LASTED, {"pool": pool})
        return found

    async def previous_pass(self, run: Run) -> Run | None:
        values = {"test_id": run.test_id, "project_id": run.project_id, "before": run.id}
        return await self._db.one(Run, sql.PREVIOUS_PASS, values)

    async def counts(self, since: float) -> list[tuple[int, int]]:
        rows = await self._db.all(_as_is, sql.COUNTS, {"since": since})
        return [(int(project_id), int(count)) for project_id, count in rows]

    async def history(
        self, since: float, seconds: float, visible: tuple[int, ...] | None = None
    ) -> list[Bucket]:
        seen, count = project_values(visible)
        values: dict[str, Any] = {"since": since, "seconds": seconds, **seen}
        return await self._db.all(Bucket, sql.history(count), values)

    async def live_figures(self) -> list[LivePhase]:
        return await self._db.all(LivePhase, run_figures.LIVE_FIGURES)

    async def ended_figures(self, after: int, upto: int) -> list[EndedRuns]:
        return await self._db.all(EndedRuns.of, run_figures.ENDED_FIGURES, {"after": after, "upto": upto})

    async def newest_ids(self, since: float) -> tuple[int | None, int]:
        first = await self._db.value(run_figures.FIRST_SINCE, {"since": since})
        return first, int(await self._db.value(run_figures.HIGHEST))

    # -- moves

    async def claim(
        self, run_id: int, attempt: int, agent_id: str, now: float, lease_until: float, grace: float
    ) -> Run | None:
        values = {"id": run_id, "attempt": attempt, "agent_id": agent_id, "lease_until": lease_until}
        return await self._moved(sql.CLAIM, values | {"now": now, "grace": grace}) or await self._moved(
            sql.CLAIMED, values
        )

    async def intend(self, run_id: int, attempt: int, agent_id: str, now: float) -> Run | None:
        return await self._moved(
            sql.INTEND, {"id": run_id, "attempt": attempt, "agent_id": agent_id, "now": now}
        )

    async def release(
        self, run_id: int, attempt: int, agent_id: str, now: float, patience: float
    ) -> Run | None:
        values = {"id": run_id, "attempt": attempt, "agent_id": agent_id, "deadline_at": now + patience}
        return await self._moved(sql.RELEASE, values)

    async def finish(
        self, run_id: int, attempt: int, agent_id: str, ending: Ending, now: float
    ) -> Run | None:
        values = values_of(ending) | {"id": run_id, "attempt": attempt, "agent_id": agent_id, "now": now}
        async with self._db.transaction() as transaction:
            run = await transaction.one(Run, sql.FINISH, values)
            if run is not None and ending.outcome is not None:
                await transaction.run(sql.KEEP_OUTCOME, {"run_id": run_id, "outcome": ending.outcome})
            if run is not None:
                words = [{"word": word, "run_id": run_id} for word in ending.words]
                await transaction.run_many(sql.ADD_WORD, words)
        return run

    async def finished_before(self, run_id: int, attempt: int, agent_id: str) -> bool:
        values = {"id": run_id, "attempt": attempt, "agent_id": agent_id}
        return await self._db.value(sql.FINISHED_BEFORE, values) is not None

    async def stop(self, run_ids: Sequence[int] | None, now: float, reason: str) -> list[Run]:
        values: dict[str, Any] = {"now": now, "reason": reason}
        wishes = [values] if run_ids is None else [values | {"id": run_id} for run_id in run_ids]
        changed: list[Run] = []
        async with self._db.transaction() as transaction:
            for wish in wishes:
                for statement in sql.stops(run_ids is not None):
                    changed += await transaction.all(Run, statement, wish)
        return changed

    async def renew(self, pairs: Iterable[tuple[int, int]], agent_id: str, until: float) -> set[int]:
        kept = set()
        async with self._db.transaction() as transaction:
            for run_id, attempt in sorted(pairs):
                values = {"id": run_id, "attempt": attempt, "agent_id": agent_id, "until": until}
                if await transaction.run(sql.RENEW, values):
                    kept.add(run_id)
        return kept

    async def expired(self, now: float) -> list[Run]:
        return await self._db.all(Run, sql.EXPIRED, {"now": now})

    async def requeue(self, run: Run, now: float, patience: float) -> Run | None:
        return await self._moved(sql.REQUEUE, _seen(run) | {"deadline_at": now + patience})

    async def end(self, run: Run, ending: Ending, now: float) -> Run | None:
        return await self._moved(sql.END, _seen(run) | values_of(ending) | {"now": now})

    async def extend_leases(self, until: float) -> None:
        async with self._db.transaction() as transaction:
            await transaction.run(sql.EXTEND, {"until": until})
            await transaction.run(sql.EXTEND_QUEUED, {"until": until})

    async def shift_times(self, seconds: float) -> None:
        await self._db.run(sql.SHIFT, {"seconds": seconds})

    async def set_kiosk(self, run_id: int, serial: int | None, until: float | None = None) -> Run | None:
        return await self._moved(sql.SET_KIOSK, {"id": run_id, "serial": serial, "until": until})

    async def _moved(self, statement: Statement, values: dict[str, Any]) -> Run | None:
        found = await self._db.changed(Run, statement, values)
        return found[0] if found else None

    # -- settings

    async def setting(self, name: str) -> str | None:
        found: str | None = await self._db.value(sql.SETTING, {"name": name})
        return found

    async def set_setting(self, name: str, value: str | None) -> None:
        if value is None:
            await self._db.run(sql.UNSET, {"name": name})
        else:
            await self._db.run(sql.SET, {"name": name, "value": value})

    # -- evidence and targets

    async def add_evidence(self, entry: Evidence) -> None:
        await self._db.run(sql.ADD_EVIDENCE, values_of(entry))

    async def evidence(self, run_id: int, attempt: int) -> list[Evidence]:
        return await self._db.all(Evidence, sql.LIST_EVIDENCE, {"run_id": run_id, "attempt": attempt})

    async def evidence_size(self) -> int:
        return int(await self._db.value(sql.EVIDENCE_SIZE))

    async def oldest_evidence(self, limit: int) -> list[tuple[int, str, float, int]]:
        rows = await self._db.all(_as_is, sql.OLDEST_EVIDENCE, {"limit": limit})
        return [(run_id, session_id, created_at, int(size)) for run_id, session_id, created_at, size in rows]

    async def forget_evidence(self, run_ids: Sequence[int]) -> None:
        async with self._db.transaction() as transaction:
            await transaction.run_many(sql.FORGET_EVIDENCE, [{"run_id": run_id} for run_id in run_ids])

    async def forget_idempotency(self, before: float) -> None:
        await self._db.run(sql.FORGET_KEYS, {"before": before})

    async def targets(self) -> list[TargetRow]:
        return await self._db.all(TargetRow, sql.TARGETS)

    async def add_target(self, row: TargetRow) -> TargetRow:
        (added,) = await self._db.changed(TargetRow, sql.ADD_TARGET, values_of(row))
        return added

    async def remove_target(self, target_id: int, now: float) -> bool:
        return await self._db.run(sql.REMOVE_TARGET, {"id": target_id, "now": now}) > 0

    async def reserve_target(self, target_id: int) -> TargetRow | None:
        return await self._db.one(TargetRow, sql.RESERVE_TARGET, {"id": target_id})

    async def target_usage(self, target_id: int, day: int) -> TargetUse:
        row = await self._db.one(_as_is, sql.USAGE, {"target_id": target_id})
        minutes = await self._db.value(sql.MINUTES, {"target_id": target_id, "day": day})
        concurrency, rate = row or (0, 0.0)
        return TargetUse(target_id, int(concurrency), float(rate), float(minutes or 0.0))

    async def count_minutes(self, target_id: int, day: int, minutes: float) -> None:
        values = {"target_id": target_id, "day": day, "minutes": minutes}
        if minutes and not await self._db.run(sql.COUNT_MINUTES, values):
            await self._db.run(sql.FIRST_MINUTES, values)


async def _earlier(executor: Executor, user_id: int, key: str, fingerprint: str) -> list[Run] | None:
    found = await executor.one(_as_is, sql.KEY, {"user_id": user_id, "key": key})
    if found is None:
        return None
    if found[0] != fingerprint:
        raise IdempotencyConflict(
            f"The Idempotency-Key {key!r} came before with another request.",
            "Take a new key for a new request.",
        )
    runs = []
    for run_id in msgspec.json.decode(found[1], type=list[int]):
        run = await executor.one(Run, sql.BY_ID, {"id": run_id})
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
