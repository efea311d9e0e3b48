"""Runs in SQL. Every move of a run is one conditional UPDATE, alone or in a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    Update,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    update,
)

from callwright.control.errors import IdempotencyConflict
from callwright.control.runs.model import (
    Bucket,
    Ending,
    Evidence,
    NewRun,
    Run,
    RunFilter,
    StoredDetail,
    TargetRow,
    TargetUse,
)
from callwright.control.runs.transitions import FINAL, Event, Phase, sources
from callwright.control.storage.sql.database import Database, Executor, Statement, param
from callwright.control.storage.sql.tables import (
    evidence,
    idempotency,
    run_details,
    run_tags,
    run_targets,
    runs,
    settings,
    targets,
)
from callwright.control.storage.sql.writing import columns, contains, inserting, pattern, upsert, values_of

__all__ = ["KILL_SWITCH", "SqlRunStore", "page_statement"]

KILL_SWITCH = "kill_switch"

_RUN = columns(runs, Run)
# Written out, so that the planner sees that the partial index over live runs will do.
_LIVE: ColumnElement[bool] = literal_column("(runs.phase IN ('queued', 'starting', 'running'))", Boolean())


def _among(phases: Iterable[Phase]) -> ColumnElement[bool]:
    return runs.c.phase.in_([literal(phase.value) for phase in phases])


_SWITCH_OFF = ~exists().where(settings.c.name == KILL_SWITCH, settings.c.value != "")

_BY_SESSION = Statement(select(*_RUN).where(runs.c.session_id == param("session_id")))
_BY_ID = Statement(select(*_RUN).where(runs.c.id == param("id")))
_DETAIL = Statement(
    select(*columns(run_details, StoredDetail, without=("max_seconds",)), runs.c.max_seconds)
    .join(runs, runs.c.id == run_details.c.run_id)
    .where(run_details.c.run_id == param("run_id"))
)
_ALL_LIVE = Statement(select(*_RUN).where(_LIVE).order_by(runs.c.id))
_COUNT_LIVE = Statement(select(func.count()).select_from(runs).where(_LIVE))
_PREVIOUS_PASS = Statement(
    select(*_RUN)
    .where(
        runs.c.test_id == param("test_id"),
        runs.c.id < param("before"),
        runs.c.phase == Phase.PASSED.value,
    )
    .order_by(runs.c.id.desc())
    .limit(1)
)

_FILTERS: dict[str, Any] = {
    "phase": runs.c.phase == param("phase"),
    "project_id": runs.c.project_id == param("project_id"),
    "test_id": runs.c.test_id == param("test_id"),
    "test_name": runs.c.test_name == param("test_name"),
    "pool": runs.c.pool == param("pool"),
    "blame": runs.c.blame == param("blame"),
    "tag": runs.c.id.in_(select(run_tags.c.run_id).where(run_tags.c.tag == param("tag"))),
    "search": or_(contains(runs.c.test_name, "search"), contains(runs.c.result_description, "search")),
    "since": runs.c.created_at >= param("since"),
    "until": runs.c.created_at < param("until"),
    "before": runs.c.id < param("before"),
    "passed": runs.c.phase == Phase.PASSED.value,
    "failed": _among(sorted(FINAL - {Phase.PASSED})),
    "running": _LIVE,
}


@lru_cache(maxsize=512)
def page_statement(filters: frozenset[str]) -> Statement:
    """The list with these filters, newest first; ``limit`` is a parameter."""
    chosen = [_FILTERS[name] for name in sorted(filters)]
    return Statement(select(*_RUN).where(*chosen).order_by(runs.c.id.desc()).limit(param("limit")))


@lru_cache(maxsize=2)
def _history(of_project: bool) -> Statement:
    start = func.floor(runs.c.created_at / param("seconds", runs.c.created_at.type))
    query: Select[Any] = select(
        (start * param("seconds", runs.c.created_at.type)).label("start"),
        runs.c.phase,
        func.count(),
        func.avg(runs.c.mos),
    ).where(runs.c.created_at >= param("since"))
    if of_project:
        query = query.where(runs.c.project_id == param("project_id"))
    return Statement(query.group_by("start", runs.c.phase).order_by("start"))


# -- moves


def _move(event: Event) -> Update:
    """An UPDATE that holds only for this attempt in the phases the table of transitions names."""
    return update(runs).where(
        runs.c.id == param("id"),
        runs.c.attempt == param("attempt"),
        _among(sources(event)),
    )


_HELD = (Phase.STARTING, Phase.RUNNING)  # an agent has it
_OF_AGENT = runs.c.agent_id == param("agent_id")

_CLAIM = Statement(
    _move(Event.CLAIM)
    .where(runs.c.stop_requested_at.is_(None), _SWITCH_OFF)
    .values(
        phase=Phase.STARTING.value,
        agent_id=param("agent_id"),
        lease_until=param("lease_until"),
        started_at=func.coalesce(runs.c.started_at, param("now", runs.c.started_at.type)),
        deadline_at=param("now", runs.c.started_at.type) + runs.c.max_seconds + param("grace"),
    )
    .returning(*_RUN)
)
#: The same agent asks again: the answer to its first claim was lost.
_CLAIMED = Statement(
    update(runs)
    .where(
        runs.c.id == param("id"),
        runs.c.attempt == param("attempt"),
        runs.c.phase == Phase.STARTING.value,
        _OF_AGENT,
        runs.c.stop_requested_at.is_(None),
        _SWITCH_OFF,
    )
    .values(lease_until=param("lease_until"))
    .returning(*_RUN)
)
_INTEND = Statement(
    update(runs)
    .where(
        runs.c.id == param("id"),
        runs.c.attempt == param("attempt"),
        _among((*sources(Event.INTEND), Phase.RUNNING)),
        _OF_AGENT,
        runs.c.stop_requested_at.is_(None),
        runs.c.lease_until >= param("now"),
        _SWITCH_OFF,
    )
    .values(
        phase=Phase.RUNNING.value,
        intent_at=func.coalesce(runs.c.intent_at, param("now", runs.c.intent_at.type)),
    )
    .returning(*_RUN)
)
_AGAIN: dict[str, Any] = {
    "phase": Phase.QUEUED.value,
    "attempt": runs.c.attempt + 1,
    "agent_id": null(),
    "lease_until": null(),
    "started_at": null(),
    "deadline_at": param("deadline_at"),
}
_RELEASE = Statement(_move(Event.RELEASE).where(_OF_AGENT).values(_AGAIN).returning(*_RUN))
_SEEN = and_(
    runs.c.id == param("id"),
    runs.c.attempt == param("attempt"),
    runs.c.phase == param("phase_seen"),
    runs.c.lease_until.is_not_distinct_from(param("lease_seen", runs.c.lease_until.type)),
)
_REQUEUE = Statement(
    update(runs)
    .where(_SEEN, runs.c.phase == Phase.STARTING.value, runs.c.stop_requested_at.is_(None))
    .values(_AGAIN)
    .returning(*_RUN)
)
_ENDING = {
    "phase": param("phase"),
    "verdict": param("verdict"),
    "blame": param("blame"),
    "result_description": param("reason"),
    "mos": param("mos"),
    "stopped_at": param("now"),
    "lease_until": null(),
}
_FINISH = Statement(
    _move(Event.FINISH)
    .where(_OF_AGENT)
    .values(_ENDING | {"outcome_attempt": runs.c.attempt})
    .returning(*_RUN)
)
_END = Statement(update(runs).where(_SEEN).values(_ENDING).returning(*_RUN))
_FINISHED_BEFORE = Statement(
    select(runs.c.id).where(runs.c.id == param("id"), runs.c.outcome_attempt == param("attempt"), _OF_AGENT)
)
_KEEP_OUTCOME = Statement(
    update(run_details).where(run_details.c.run_id == param("run_id")).values(outcome=param("outcome"))
)


@lru_cache(maxsize=2)
def _stops(one: bool) -> tuple[Statement, Statement]:
    this = [runs.c.id == param("id")] if one else []
    canceled = (
        update(runs)
        .where(_among(sources(Event.STOP)), *this)
        .values(
            phase=Phase.CANCELED.value,
            verdict=Phase.CANCELED.value,
            result_description=param("reason"),
            stopped_at=param("now"),
            stop_requested_at=param("now"),
        )
    )
    asked = (
        update(runs)
        .where(
            _among(_HELD),
            runs.c.stop_requested_at.is_(None),
            *this,
        )
        .values(stop_requested_at=param("now"))
    )
    return Statement(canceled.returning(*_RUN)), Statement(asked.returning(*_RUN))


_RENEW = Statement(
    update(runs)
    .where(
        runs.c.id == param("id"),
        runs.c.attempt == param("attempt"),
        _OF_AGENT,
        _among(_HELD),
    )
    .values(lease_until=param("until"))
)
_EXPIRED = Statement(
    select(*_RUN)
    .where(_LIVE, or_(runs.c.lease_until < param("now"), runs.c.deadline_at < param("now")))
    .order_by(runs.c.id)
)
_EXTEND = Statement(
    update(runs)
    .where(_LIVE, runs.c.lease_until < param("until"))
    .values(
        lease_until=param("until"),
        deadline_at=case((runs.c.deadline_at < param("until"), param("until")), else_=runs.c.deadline_at),
    )
)
_EXTEND_QUEUED = Statement(
    update(runs)
    .where(runs.c.phase == Phase.QUEUED.value, runs.c.deadline_at < param("until"))
    .values(deadline_at=param("until"))
)
_SHIFT = Statement(
    update(runs)
    .where(_LIVE)
    .values(
        lease_until=runs.c.lease_until + param("seconds", runs.c.lease_until.type),
        deadline_at=runs.c.deadline_at + param("seconds", runs.c.deadline_at.type),
    )
)
_SET_KIOSK = Statement(
    update(runs).where(runs.c.id == param("id")).values(kiosk=param("serial")).returning(*_RUN)
)

# -- birth

_BORN = [name for name in NewRun.__struct_fields__ if name in runs.c]
_ADD = Statement(inserting(runs, [*_BORN, "phase", "attempt"]).returning(*_RUN))
_ADD_DETAIL = Statement(
    inserting(run_details, ["run_id", "test_version", "document", "sealed_overrides", "shown"])
)
_ADD_TAG = Statement(inserting(run_tags, ["tag", "run_id"]))
_ADD_USE = Statement(inserting(run_targets, ["target_id", "run_id", "concurrency", "rate", "minutes"]))
_KEEP_KEY = upsert(
    idempotency, ("user_id", "key"), ("user_id", "key", "fingerprint", "run_ids", "created_at"), keep=True
)
_FILL_KEY = Statement(
    update(idempotency)
    .where(idempotency.c.user_id == param("user_id"), idempotency.c.key == param("key"))
    .values(run_ids=param("run_ids"))
)
_KEY = Statement(
    select(idempotency.c.fingerprint, idempotency.c.run_ids).where(
        idempotency.c.user_id == param("user_id"), idempotency.c.key == param("key")
    )
)
_FORGET_KEYS = Statement(delete(idempotency).where(idempotency.c.created_at < param("before")))

# -- settings, evidence, targets

_SETTING = Statement(select(settings.c.value).where(settings.c.name == param("name")))
_SET = upsert(settings, ("name",), ("name", "value"))
_UNSET = Statement(delete(settings).where(settings.c.name == param("name")))

_EVIDENCE = columns(evidence, Evidence)
_ADD_EVIDENCE = upsert(evidence, ("run_id", "attempt", "name"), Evidence.__struct_fields__)
_LIST_EVIDENCE = Statement(
    select(*_EVIDENCE)
    .where(evidence.c.run_id == param("run_id"), evidence.c.attempt == param("attempt"))
    .order_by(evidence.c.name)
)
_EVIDENCE_SIZE = Statement(select(func.coalesce(func.sum(evidence.c.size), 0)))
_OLDEST_EVIDENCE = Statement(
    select(runs.c.id, runs.c.session_id, runs.c.created_at, func.sum(evidence.c.size))
    .join(runs, runs.c.id == evidence.c.run_id)
    .where(~_LIVE)
    .group_by(runs.c.id, runs.c.session_id, runs.c.created_at)
    .order_by(runs.c.id)
    .limit(param("limit"))
)
_FORGET_EVIDENCE = Statement(delete(evidence).where(evidence.c.run_id == param("run_id")))

_TARGET = columns(targets, TargetRow)
_TARGETS = Statement(select(*_TARGET).where(targets.c.deleted_at.is_(None)).order_by(targets.c.id))
_ADD_TARGET = Statement(
    inserting(targets, [name for name in TargetRow.__struct_fields__ if name != "id"]).returning(*_TARGET)
)
_REMOVE_TARGET = Statement(
    update(targets)
    .where(targets.c.id == param("id"), targets.c.deleted_at.is_(None))
    .values(deleted_at=param("now"))
)
_USAGE = Statement(
    select(
        run_targets.c.target_id,
        func.coalesce(func.sum(case((_LIVE, run_targets.c.concurrency), else_=0)), 0),
        func.coalesce(func.sum(case((_LIVE, run_targets.c.rate), else_=0.0)), 0.0),
        func.coalesce(func.sum(run_targets.c.minutes), 0.0),
    )
    .join(runs, runs.c.id == run_targets.c.run_id)
    .where(run_targets.c.target_id == param("target_id"), or_(_LIVE, runs.c.created_at >= param("since")))
    .group_by(run_targets.c.target_id)
)


def _as_is(*values: Any) -> tuple[Any, ...]:
    return values


class SqlRunStore:
    """RunStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(
        self, runs: Sequence[NewRun], *, user_id: int, key: str | None, fingerprint: str
    ) -> tuple[list[Run], bool]:
        async with self._db.transaction() as transaction:
            if key is not None and runs:
                earlier = await self._earlier(transaction, runs[0].created_at, user_id, key, fingerprint)
                if earlier is not None:
                    return earlier, False
            born = [await self._add_one(transaction, run) for run in runs]
            if key is not None:
                ids = msgspec.json.encode([run.id for run in born]).decode()
                await transaction.run(_FILL_KEY, {"user_id": user_id, "key": key, "run_ids": ids})
        return born, True

    @staticmethod
    async def _earlier(
        transaction: Executor, now: float, user_id: int, key: str, fingerprint: str
    ) -> list[Run] | None:
        of_key = {"user_id": user_id, "key": key}
        kept = of_key | {"fingerprint": fingerprint, "run_ids": "[]", "created_at": now}
        if await transaction.run(_KEEP_KEY, kept):
            return None
        found = await transaction.one(_as_is, _KEY, of_key)
        if found is None or found[0] != fingerprint:
            raise IdempotencyConflict(
                f"The Idempotency-Key {key!r} came before with another request.",
                "Take a new key for a new request.",
            )
        earlier = []
        for run_id in msgspec.json.decode(found[1], type=list[int]):
            run = await transaction.one(Run, _BY_ID, {"id": run_id})
            if run is not None:
                earlier.append(run)
        return earlier

    @staticmethod
    async def _add_one(transaction: Executor, new: NewRun) -> Run:
        values = {name: getattr(new, name) for name in _BORN}
        run = await transaction.one(Run, _ADD, values | {"phase": Phase.QUEUED.value, "attempt": 1})
        assert run is not None
        await transaction.run(
            _ADD_DETAIL,
            {
                "run_id": run.id,
                "test_version": new.test_version,
                "document": new.document,
                "sealed_overrides": new.sealed_overrides,
                "shown": new.shown,
            },
        )
        tags = dict.fromkeys(msgspec.json.decode(new.tags, type=list[str]))
        await transaction.run_many(_ADD_TAG, [{"tag": tag, "run_id": run.id} for tag in tags])
        await transaction.run_many(_ADD_USE, [values_of(use) | {"run_id": run.id} for use in new.usage])
        return run

    async def by_session(self, session_id: str) -> Run | None:
        return await self._db.one(Run, _BY_SESSION, {"session_id": session_id})

    async def by_id(self, run_id: int) -> Run | None:
        return await self._db.one(Run, _BY_ID, {"id": run_id})

    async def detail(self, run_id: int) -> StoredDetail | None:
        return await self._db.one(StoredDetail, _DETAIL, {"run_id": run_id})

    async def page(self, filter_: RunFilter, before: int | None, limit: int) -> list[Run]:
        values = {
            name: value
            for name, value in values_of(filter_).items()
            if value is not None and name != "status"
        }
        names = set(values)
        if filter_.status is not None:
            names.add(filter_.status)
        if before is not None:
            names.add("before")
            values["before"] = before
        if filter_.search is not None:
            values["search"] = pattern(filter_.search)
        values["limit"] = limit
        return await self._db.all(Run, page_statement(frozenset(names)), values)

    async def live(self) -> list[Run]:
        return await self._db.all(Run, _ALL_LIVE)

    async def count_live(self) -> int:
        return int(await self._db.value(_COUNT_LIVE))

    async def previous_pass(self, run: Run) -> Run | None:
        return await self._db.one(Run, _PREVIOUS_PASS, {"test_id": run.test_id, "before": run.id})

    async def history(self, since: float, seconds: float, project_id: int | None) -> list[Bucket]:
        values: dict[str, Any] = {"since": since, "seconds": seconds}
        if project_id is not None:
            values["project_id"] = project_id
        return await self._db.all(Bucket, _history(project_id is not None), values)

    # -- moves

    async def claim(
        self, run_id: int, attempt: int, agent_id: str, now: float, lease_until: float, grace: float
    ) -> Run | None:
        values = {"id": run_id, "attempt": attempt, "agent_id": agent_id, "lease_until": lease_until}
        return await self._moved(_CLAIM, values | {"now": now, "grace": grace}) or await self._moved(
            _CLAIMED, values
        )

    async def intend(self, run_id: int, attempt: int, agent_id: str, now: float) -> Run | None:
        return await self._moved(
            _INTEND, {"id": run_id, "attempt": attempt, "agent_id": agent_id, "now": now}
        )

    async def release(
        self, run_id: int, attempt: int, agent_id: str, now: float, patience: float
    ) -> Run | None:
        values = {"id": run_id, "attempt": attempt, "agent_id": agent_id, "deadline_at": now + patience}
        return await self._moved(_RELEASE, values)

    async def finish(
        self, run_id: int, attempt: int, agent_id: str, ending: Ending, now: float
    ) -> Run | None:
        values = values_of(ending) | {"id": run_id, "attempt": attempt, "agent_id": agent_id, "now": now}
        async with self._db.transaction() as transaction:
            run = await transaction.one(Run, _FINISH, values)
            if run is not None and ending.outcome is not None:
                await transaction.run(_KEEP_OUTCOME, {"run_id": run_id, "outcome": ending.outcome})
        return run

    async def finished_before(self, run_id: int, attempt: int, agent_id: str) -> bool:
        values = {"id": run_id, "attempt": attempt, "agent_id": agent_id}
        return await self._db.value(_FINISHED_BEFORE, values) is not None

    async def stop(self, run_ids: Sequence[int] | None, now: float, reason: str) -> list[Run]:
        values: dict[str, Any] = {"now": now, "reason": reason}
        wishes = [values] if run_ids is None else [values | {"id": run_id} for run_id in run_ids]
        changed: list[Run] = []
        async with self._db.transaction() as transaction:
            for wish in wishes:
                for statement in _stops(run_ids is not None):
                    changed += await transaction.all(Run, statement, wish)
        return changed

    async def renew(self, pairs: Iterable[tuple[int, int]], agent_id: str, until: float) -> set[int]:
        kept = set()
        async with self._db.transaction() as transaction:
            for run_id, attempt in sorted(pairs):
                values = {"id": run_id, "attempt": attempt, "agent_id": agent_id, "until": until}
                if await transaction.run(_RENEW, values):
                    kept.add(run_id)
        return kept

    async def expired(self, now: float) -> list[Run]:
        return await self._db.all(Run, _EXPIRED, {"now": now})

    async def requeue(self, run: Run, now: float, patience: float) -> Run | None:
        return await self._moved(_REQUEUE, _seen(run) | {"deadline_at": now + patience})

    async def end(self, run: Run, ending: Ending, now: float) -> Run | None:
        return await self._moved(_END, _seen(run) | values_of(ending) | {"now": now})

    async def extend_leases(self, until: float) -> None:
        async with self._db.transaction() as transaction:
            await transaction.run(_EXTEND, {"until": until})
            await transaction.run(_EXTEND_QUEUED, {"until": until})

    async def shift_deadlines(self, seconds: float) -> None:
        await self._db.run(_SHIFT, {"seconds": seconds})

    async def set_kiosk(self, run_id: int, serial: int | None) -> Run | None:
        return await self._moved(_SET_KIOSK, {"id": run_id, "serial": serial})

    async def _moved(self, statement: Statement, values: dict[str, Any]) -> Run | None:
        found = await self._db.changed(Run, statement, values)
        return found[0] if found else None

    # -- settings

    async def setting(self, name: str) -> str | None:
        found: str | None = await self._db.value(_SETTING, {"name": name})
        return found

    async def set_setting(self, name: str, value: str | None) -> None:
        if value is None:
            await self._db.run(_UNSET, {"name": name})
        else:
            await self._db.run(_SET, {"name": name, "value": value})

    # -- evidence and targets

    async def add_evidence(self, entry: Evidence) -> None:
        await self._db.run(_ADD_EVIDENCE, values_of(entry))

    async def evidence(self, run_id: int, attempt: int) -> list[Evidence]:
        return await self._db.all(Evidence, _LIST_EVIDENCE, {"run_id": run_id, "attempt": attempt})

    async def evidence_size(self) -> int:
        return int(await self._db.value(_EVIDENCE_SIZE))

    async def oldest_evidence(self, limit: int) -> list[tuple[int, str, float, int]]:
        rows = await self._db.all(_as_is, _OLDEST_EVIDENCE, {"limit": limit})
        return [(run_id, session_id, created_at, int(size)) for run_id, session_id, created_at, size in rows]

    async def forget_evidence(self, run_id: int) -> None:
        await self._db.run(_FORGET_EVIDENCE, {"run_id": run_id})

    async def forget_idempotency(self, before: float) -> None:
        await self._db.run(_FORGET_KEYS, {"before": before})

    async def targets(self) -> list[TargetRow]:
        return await self._db.all(TargetRow, _TARGETS)

    async def add_target(self, row: TargetRow) -> TargetRow:
        (added,) = await self._db.changed(TargetRow, _ADD_TARGET, values_of(row))
        return added

    async def remove_target(self, target_id: int, now: float) -> bool:
        return await self._db.run(_REMOVE_TARGET, {"id": target_id, "now": now}) > 0

    async def target_usage(self, target_id: int, since: float) -> TargetUse:
        row = await self._db.one(_as_is, _USAGE, {"target_id": target_id, "since": since})
        if row is None:
            return TargetUse(target_id)
        return TargetUse(target_id, int(row[1]), float(row[2]), float(row[3]))


def _seen(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "attempt": run.attempt,
        "phase_seen": run.phase,
        "lease_seen": run.lease_until,
    }
