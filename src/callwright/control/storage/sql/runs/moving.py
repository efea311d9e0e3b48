"""The statements that move runs: each is one conditional UPDATE, made from the table of transitions."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
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

from callwright.control.runs.model import KILL_SWITCH
from callwright.control.runs.transitions import Event, Phase, sources
from callwright.control.storage.sql.database import Statement, param
from callwright.control.storage.sql.runs.tables import LIVE, RUN, among, run_details, run_words, runs
from callwright.control.storage.sql.settings import settings
from callwright.control.storage.sql.writing import inserting


def _not_before(earlier: ColumnElement[Any]) -> ColumnElement[Any]:
    """The parameter `now`, but never before what came first: somebody may have set the clock back."""
    now = param("now", runs.c.created_at.type)
    return case((earlier > now, earlier), else_=now)


_STOPPED = _not_before(func.coalesce(runs.c.intent_at, runs.c.started_at, runs.c.created_at))
_SWITCH_OFF = ~exists().where(settings.c.name == KILL_SWITCH, settings.c.value != "")


def _move(event: Event) -> Update:
    """An UPDATE that holds only for this attempt in the phases the table of transitions names."""
    return update(runs).where(
        runs.c.id == param("id"),
        runs.c.attempt == param("attempt"),
        among(sources(event)),
    )


_HELD = (Phase.STARTING, Phase.RUNNING)  # an agent has it
_OF_AGENT = runs.c.agent_id == param("agent_id")
CLAIM = Statement(
    _move(Event.CLAIM)
    .where(runs.c.stop_requested_at.is_(None), _SWITCH_OFF)
    .values(
        phase=Phase.STARTING.value,
        agent_id=param("agent_id"),
        pool=func.coalesce(param("pool", runs.c.pool.type), runs.c.pool),
        lease_until=param("lease_until"),
        started_at=func.coalesce(runs.c.started_at, _not_before(runs.c.created_at)),
        deadline_at=param("now", runs.c.started_at.type) + runs.c.max_seconds + param("grace"),
    )
    .returning(*RUN)
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
    .returning(*RUN)
)
INTEND = Statement(
    update(runs)
    .where(
        runs.c.id == param("id"),
        runs.c.attempt == param("attempt"),
        among((*sources(Event.INTEND), Phase.RUNNING)),
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
    .returning(*RUN)
)
_AGAIN: dict[str, Any] = {
    "phase": Phase.QUEUED.value,
    "attempt": runs.c.attempt + 1,
    "agent_id": null(),
    "lease_until": null(),
    "started_at": null(),
    "deadline_at": param("deadline_at"),
}
RELEASE = Statement(_move(Event.RELEASE).where(_OF_AGENT).values(_AGAIN).returning(*RUN))
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
    .returning(*RUN)
)
_ENDING = {
    "phase": param("phase"),
    "verdict": param("verdict"),
    "blame": param("blame"),
    "result_description": param("reason"),
    "mos": param("mos"),
    "pdd_ms": param("pdd_ms"),
    "begun_at": param("begun_at"),
    "begun_error_ms": param("begun_error_ms"),
    "stopped_at": _STOPPED,
    "lease_until": null(),
}
FINISH = Statement(
    _move(Event.FINISH)
    .where(_OF_AGENT)
    .values(_ENDING | {"outcome_attempt": runs.c.attempt, "files_due": param("files_due")})
    .returning(*RUN)
)
END = Statement(update(runs).where(_SEEN).values(_ENDING).returning(*RUN))
FINISHED_BEFORE = Statement(
    select(runs.c.id).where(runs.c.id == param("id"), runs.c.outcome_attempt == param("attempt"), _OF_AGENT)
)
FORGET = Statement(delete(runs).where(runs.c.id == param("id"), runs.c.status != literal("running")))
ADD_WORD = Statement(inserting(run_words, ["word", "run_id"]))
KEEP_OUTCOME = Statement(
    update(run_details).where(run_details.c.run_id == param("run_id")).values(outcome=param("outcome"))
)


@lru_cache(maxsize=2)
def stops(one: bool) -> tuple[Statement, Statement]:
    this = [runs.c.id == param("id")] if one else []
    canceled = (
        update(runs)
        .where(among(sources(Event.STOP)), *this)
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
            among(_HELD),
            runs.c.stop_requested_at.is_(None),
            *this,
        )
        .values(stop_requested_at=_not_before(runs.c.created_at), result_description=param("reason"))
    )
    return Statement(canceled.returning(*RUN)), Statement(asked.returning(*RUN))


RENEW = Statement(
    update(runs)
    .where(
        runs.c.id == param("id"),
        runs.c.attempt == param("attempt"),
        _OF_AGENT,
        among(_HELD),
    )
    .values(lease_until=param("until"))
)
EXPIRED = Statement(
    select(*RUN)
    .where(LIVE, or_(runs.c.lease_until < param("now"), runs.c.deadline_at < param("now")))
    .order_by(runs.c.id)
)
EXTEND = Statement(
    update(runs)
    .where(LIVE, runs.c.lease_until < param("until"))
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
    .where(LIVE)
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
    .returning(*RUN)
)
