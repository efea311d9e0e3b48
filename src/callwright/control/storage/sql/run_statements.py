"""The statements of runs. Each move is one conditional UPDATE, made from the table of transitions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    update,
)

from callwright.control.runs.model import (
    KILL_SWITCH,
    Evidence,
    Given,
    NewRun,
    Run,
    StoredDetail,
    TargetRow,
)
from callwright.control.runs.transitions import Event, Phase, sources
from callwright.control.storage.sql.database import Statement, param
from callwright.control.storage.sql.tables import (
    evidence,
    idempotency,
    pools,
    projects,
    run_details,
    run_tags,
    run_targets,
    run_words,
    runs,
    settings,
    target_days,
    targets,
)
from callwright.control.storage.sql.writing import columns, contains, in_projects, inserting, upsert

_RUN = columns(runs, Run)
_LIVE = runs.c.status == literal("running")


def _among(phases: Iterable[Phase]) -> ColumnElement[bool]:
    return runs.c.phase.in_([literal(phase.value) for phase in phases])


def _not_before(earlier: ColumnElement[Any]) -> ColumnElement[Any]:
    """The parameter `now`, but never before what came first: somebody may have set the clock back."""
    now = param("now", runs.c.created_at.type)
    return case((earlier > now, earlier), else_=now)


_STOPPED = _not_before(func.coalesce(runs.c.intent_at, runs.c.started_at, runs.c.created_at))
_SWITCH_OFF = ~exists().where(settings.c.name == KILL_SWITCH, settings.c.value != "")

BY_SESSION = Statement(select(*_RUN).where(runs.c.session_id == param("session_id")), brief=True)
BY_ID = Statement(select(*_RUN).where(runs.c.id == param("id")), brief=True)
DETAIL = Statement(
    select(*columns(run_details, StoredDetail, without=("max_seconds",)), runs.c.max_seconds)
    .join(runs, runs.c.id == run_details.c.run_id)
    .where(run_details.c.run_id == param("run_id"))
)
GIVEN = Statement(
    select(*columns(run_details, Given)).where(run_details.c.run_id == param("run_id")), brief=True
)
ALL_LIVE = Statement(select(*_RUN).where(_LIVE).order_by(runs.c.id))
COUNT_LIVE = Statement(select(func.count()).select_from(runs).where(_LIVE))
_ALSO = runs.alias("live")
#: By way of the runs that live, which are few: SQLite would rather read all that a project ever had.
_AMONG_LIVE = runs.c.id.in_(select(_ALSO.c.id).where(_ALSO.c.status == literal("running")))
COUNT_QUEUED = Statement(
    select(func.count())
    .select_from(runs)
    .where(_AMONG_LIVE, runs.c.phase == literal(Phase.QUEUED.value), runs.c.project_id == param("project_id"))
)
RESERVE_QUEUE = Statement(
    select(projects.c.max_queued)
    .where(projects.c.id == param("id"), projects.c.max_queued.is_not(None))
    .with_for_update()
)
COUNT_HELD = Statement(
    select(func.count())
    .select_from(runs)
    .where(
        _AMONG_LIVE,
        _among((Phase.STARTING, Phase.RUNNING)),
        runs.c.project_id == param("project_id"),
    )
)
RUNNING_LIMITS = Statement(
    select(projects.c.id, projects.c.max_running).where(projects.c.max_running.is_not(None))
)
RESERVE_RUNNING = Statement(
    select(projects.c.max_running)
    .where(projects.c.id == param("id"), projects.c.max_running.is_not(None))
    .with_for_update()
)
POOL_OWNER = Statement(select(pools.c.project_id).where(pools.c.name == param("pool")))
_WAITS = runs.c.phase == literal(Phase.QUEUED.value)
SHARES = Statement(
    select(
        runs.c.project_id,
        func.sum(case((_WAITS, 1), else_=0)),
        func.sum(case((and_(_WAITS, runs.c.id < param("run_id")), 1), else_=0)),
        func.sum(case((_WAITS, 0), else_=1)),
    )
    .where(_AMONG_LIVE, runs.c.pool == param("pool"))
    .group_by(runs.c.project_id)
    .order_by(runs.c.project_id)
)
_LAST_OF_POOL = (
    select((runs.c.stopped_at - runs.c.started_at).label("seconds"))
    .where(runs.c.pool == param("pool"), runs.c.stopped_at.is_not(None), runs.c.started_at.is_not(None))
    .order_by(runs.c.id.desc())
    .limit(literal(50))
    .subquery()
)
LASTED = Statement(select(func.avg(_LAST_OF_POOL.c.seconds)))
_THIS_RUN = run_details.alias("this_run")
#: A run that was told otherwise says little of one that was not; one that was told the same says most.
PREVIOUS_PASS = Statement(
    select(*_RUN)
    .join(run_details, run_details.c.run_id == runs.c.id)
    .where(
        or_(
            run_details.c.sealed_overrides == "",
            run_details.c.shown
            == select(_THIS_RUN.c.shown).where(_THIS_RUN.c.run_id == param("before")).scalar_subquery(),
        ),
        runs.c.test_id == param("test_id"),
        runs.c.project_id == param("project_id"),  # a test may have moved: what it did elsewhere stays there
        runs.c.id < param("before"),
        runs.c.phase == Phase.PASSED.value,
    )
    .order_by(runs.c.id.desc())
    .limit(1)
)

COUNTS = Statement(
    select(runs.c.project_id, func.count())
    .where(runs.c.created_at >= param("since"))
    .group_by(runs.c.project_id)
)

_FILTERS: dict[str, Any] = {
    "phase": runs.c.phase == param("phase"),
    "project_id": runs.c.project_id == param("project_id"),
    "test_id": runs.c.test_id == param("test_id"),
    "test_name": runs.c.test_name == param("test_name"),
    "pool": runs.c.pool == param("pool"),
    "blame": runs.c.blame == param("blame"),
    "tag": run_tags.c.tag == param("tag"),
    "search": or_(
        contains(runs.c.test_name, "search"),
        contains(runs.c.result_description, "search"),
        runs.c.id.in_(
            select(run_words.c.run_id).where(
                or_(run_words.c.word == param("word"), run_words.c.word == param("digits"))
            )
        ),
    ),
    "agent_id": runs.c.agent_id == param("agent_id"),
    "since": runs.c.created_at >= param("since"),
    "until": runs.c.created_at < param("until"),
    "status": runs.c.status == param("status"),
}
#: Each with an index in the order of the list: the newest rows are found at once, and are in memory.
_IN_ORDER = frozenset(("status", "phase", "project_id", "test_id", "test_name"))


@lru_cache(maxsize=512)
def page_statement(filters: frozenset[str], projects_seen: int | None = None) -> Statement:
    """The list with these filters, newest first; ``limit`` is a parameter. ``projects_seen``: how many
    projects it is limited to."""
    query, newest = select(*_RUN), runs.c.id
    if "tag" in filters:  # in the order of the tag's own index
        query, newest = query.join(run_tags, run_tags.c.run_id == runs.c.id), run_tags.c.run_id
    chosen = [newest < param("before") if name == "before" else _FILTERS[name] for name in sorted(filters)]
    if projects_seen is not None:
        chosen.append(in_projects(runs.c.project_id, projects_seen))
    narrowed = [*filters, *(["project_id"] if projects_seen == 1 else ["projects"] if projects_seen else [])]
    brief = not narrowed or (len(narrowed) == 1 and narrowed[0] in _IN_ORDER)
    return Statement(query.where(*chosen).order_by(newest.desc()).limit(param("limit")), brief=brief)


@lru_cache(maxsize=16)
def history(projects_seen: int | None) -> Statement:
    start = func.floor(runs.c.created_at / param("seconds", runs.c.created_at.type))
    query: Select[Any] = select(
        (start * param("seconds", runs.c.created_at.type)).label("start"),
        runs.c.phase,
        func.count(),
        func.avg(runs.c.mos),
    ).where(runs.c.created_at >= param("since"))
    if projects_seen is not None:
        query = query.where(in_projects(runs.c.project_id, projects_seen))
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

CLAIM = Statement(
    _move(Event.CLAIM)
    .where(runs.c.stop_requested_at.is_(None), _SWITCH_OFF)
    .values(
        phase=Phase.STARTING.value,
        agent_id=param("agent_id"),
        lease_until=param("lease_until"),
        started_at=func.coalesce(runs.c.started_at, _not_before(runs.c.created_at)),
        deadline_at=param("now", runs.c.started_at.type) + runs.c.max_seconds + param("grace"),
    )
    .returning(*_RUN)
)
#: The same agent asks again: the answer to its first claim was lost.
CLAIMED = Statement(
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
INTEND = Statement(
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
        intent_at=func.coalesce(
            runs.c.intent_at, _not_before(func.coalesce(runs.c.started_at, runs.c.created_at))
        ),
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
RELEASE = Statement(_move(Event.RELEASE).where(_OF_AGENT).values(_AGAIN).returning(*_RUN))
_SEEN = and_(
    runs.c.id == param("id"),
    runs.c.attempt == param("attempt"),
    runs.c.phase == param("phase_seen"),
    runs.c.lease_until.is_not_distinct_from(param("lease_seen", runs.c.lease_until.type)),
)
REQUEUE = Statement(
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
    "pdd_ms": param("pdd_ms"),
    "stopped_at": _STOPPED,
    "lease_until": null(),
}
FINISH = Statement(
    _move(Event.FINISH)
    .where(_OF_AGENT)
    .values(_ENDING | {"outcome_attempt": runs.c.attempt, "files_due": param("files_due")})
    .returning(*_RUN)
)
END = Statement(update(runs).where(_SEEN).values(_ENDING).returning(*_RUN))
FINISHED_BEFORE = Statement(
    select(runs.c.id).where(runs.c.id == param("id"), runs.c.outcome_attempt == param("attempt"), _OF_AGENT)
)
ADD_WORD = Statement(inserting(run_words, ["word", "run_id"]))
KEEP_OUTCOME = Statement(
    update(run_details).where(run_details.c.run_id == param("run_id")).values(outcome=param("outcome"))
)


@lru_cache(maxsize=2)
def stops(one: bool) -> tuple[Statement, Statement]:
    this = [runs.c.id == param("id")] if one else []
    canceled = (
        update(runs)
        .where(_among(sources(Event.STOP)), *this)
        .values(
            phase=Phase.CANCELED.value,
            verdict=Phase.CANCELED.value,
            result_description=param("reason"),
            stopped_at=_STOPPED,
            stop_requested_at=_not_before(runs.c.created_at),
        )
    )
    asked = (
        update(runs)
        .where(
            _among(_HELD),
            runs.c.stop_requested_at.is_(None),
            *this,
        )
        .values(stop_requested_at=_not_before(runs.c.created_at), result_description=param("reason"))
    )
    return Statement(canceled.returning(*_RUN)), Statement(asked.returning(*_RUN))


RENEW = Statement(
    update(runs)
    .where(
        runs.c.id == param("id"),
        runs.c.attempt == param("attempt"),
        _OF_AGENT,
        _among(_HELD),
    )
    .values(lease_until=param("until"))
)
EXPIRED = Statement(
    select(*_RUN)
    .where(_LIVE, or_(runs.c.lease_until < param("now"), runs.c.deadline_at < param("now")))
    .order_by(runs.c.id)
)
EXTEND = Statement(
    update(runs)
    .where(_LIVE, runs.c.lease_until < param("until"))
    .values(
        lease_until=param("until"),
        deadline_at=case((runs.c.deadline_at < param("until"), param("until")), else_=runs.c.deadline_at),
    )
)
EXTEND_QUEUED = Statement(
    update(runs)
    .where(runs.c.phase == Phase.QUEUED.value, runs.c.deadline_at < param("until"))
    .values(deadline_at=param("until"))
)
SHIFT = Statement(
    update(runs)
    .where(_LIVE)
    .values(
        {
            name: runs.c[name] + param("seconds", runs.c[name].type)
            for name in (
                *("created_at", "started_at", "intent_at", "stop_requested_at"),
                *("lease_until", "deadline_at"),
            )
        }
    )
)
SET_KIOSK = Statement(
    update(runs)
    .where(runs.c.id == param("id"))
    .values(kiosk=param("serial"), kiosk_until=param("until", runs.c.kiosk_until.type))
    .returning(*_RUN)
)

# -- birth

BORN = [name for name in NewRun.__struct_fields__ if name in runs.c]
ADD = Statement(inserting(runs, [*BORN, "phase", "attempt"]).returning(*_RUN))
ADD_DETAIL = Statement(
    inserting(run_details, ["run_id", "test_version", "document", "sealed_overrides", "shown"])
)
ADD_TAG = Statement(inserting(run_tags, ["tag", "run_id"]))
ADD_USE = Statement(inserting(run_targets, ["target_id", "run_id", "concurrency", "rate", "minutes"]))
KEEP_KEY = upsert(
    idempotency, ("user_id", "key"), ("user_id", "key", "fingerprint", "run_ids", "created_at"), keep=True
)
FILL_KEY = Statement(
    update(idempotency)
    .where(idempotency.c.user_id == param("user_id"), idempotency.c.key == param("key"))
    .values(run_ids=param("run_ids"))
)
KEY = Statement(
    select(idempotency.c.fingerprint, idempotency.c.run_ids).where(
        idempotency.c.user_id == param("user_id"), idempotency.c.key == param("key")
    )
)
FORGET_KEYS = Statement(delete(idempotency).where(idempotency.c.created_at < param("before")))

# -- settings, evidence, targets

SETTING = Statement(select(settings.c.value).where(settings.c.name == param("name")))
SET = upsert(settings, ("name",), ("name", "value"))
UNSET = Statement(delete(settings).where(settings.c.name == param("name")))

_EVIDENCE = columns(evidence, Evidence)
ADD_EVIDENCE = upsert(evidence, ("run_id", "attempt", "name"), Evidence.__struct_fields__)
LIST_EVIDENCE = Statement(
    select(*_EVIDENCE)
    .where(evidence.c.run_id == param("run_id"), evidence.c.attempt == param("attempt"))
    .order_by(evidence.c.name)
)
EVIDENCE_SIZE = Statement(select(func.coalesce(func.sum(evidence.c.size), 0)))
OLDEST_EVIDENCE = Statement(
    select(runs.c.id, runs.c.session_id, runs.c.created_at, func.sum(evidence.c.size))
    .join(runs, runs.c.id == evidence.c.run_id)
    .where(runs.c.status != literal("running"))
    .group_by(runs.c.id, runs.c.session_id, runs.c.created_at)
    .order_by(runs.c.id)
    .limit(param("limit"))
)
FORGET_EVIDENCE = Statement(delete(evidence).where(evidence.c.run_id == param("run_id")))

_TARGET = columns(targets, TargetRow)
TARGETS = Statement(select(*_TARGET).where(targets.c.deleted_at.is_(None)).order_by(targets.c.id))
ADD_TARGET = Statement(
    inserting(targets, [name for name in TargetRow.__struct_fields__ if name != "id"]).returning(*_TARGET)
)
REMOVE_TARGET = Statement(
    update(targets)
    .where(targets.c.id == param("id"), targets.c.deleted_at.is_(None))
    .values(deleted_at=param("now"))
)
#: In PostgreSQL its row is locked; in SQLite the transaction has the only writer anyway.
RESERVE_TARGET = Statement(
    select(*_TARGET).where(targets.c.id == param("id"), targets.c.deleted_at.is_(None)).with_for_update()
)
#: By way of the runs that live, which are few: history is not read.
USAGE = Statement(
    select(
        func.coalesce(func.sum(run_targets.c.concurrency), 0),
        func.coalesce(func.sum(run_targets.c.rate), 0.0),
    ).where(
        run_targets.c.target_id == param("target_id"),
        run_targets.c.run_id.in_(select(runs.c.id).where(_LIVE)),
    )
)
MINUTES = Statement(
    select(target_days.c.minutes).where(
        target_days.c.target_id == param("target_id"), target_days.c.day == param("day")
    )
)
COUNT_MINUTES = Statement(
    update(target_days)
    .where(target_days.c.target_id == param("target_id"), target_days.c.day == param("day"))
    .values(minutes=target_days.c.minutes + param("minutes", target_days.c.minutes.type))
)
FIRST_MINUTES = Statement(inserting(target_days, ["target_id", "day", "minutes"]))
