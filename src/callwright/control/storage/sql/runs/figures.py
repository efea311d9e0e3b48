"""The statements that count runs for a monitoring system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal, literal_column, select

from callwright.control.runs.figures import FIRST_BOUNDS, LASTS_BOUNDS
from callwright.control.storage.sql.database import Statement, param
from callwright.control.storage.sql.runs.tables import LIVE, runs


def _histogram(
    begin: ColumnElement[Any], end: ColumnElement[Any], bounds: Sequence[float]
) -> list[ColumnElement[Any]]:
    """Sum, count, and count up to each bound; what is not known is none. Clocks may have been set back."""
    seconds = case((end < begin, literal_column("0.0")), else_=end - begin)
    within = [case((seconds <= literal_column(repr(bound)), 1), else_=0) for bound in bounds]
    return [
        func.coalesce(func.sum(seconds), 0.0),
        func.count(seconds),
        *(func.coalesce(func.sum(one), 0) for one in within),
    ]


LIVE_FIGURES = Statement(
    select(runs.c.phase, func.count(), func.min(runs.c.created_at), func.min(runs.c.id))
    .where(LIVE)
    .group_by(runs.c.phase)
)
ENDED_FIGURES = Statement(
    select(
        runs.c.phase,
        runs.c.blame,
        func.count(),
        *_histogram(runs.c.started_at, runs.c.stopped_at, LASTS_BOUNDS),
        *_histogram(runs.c.created_at, runs.c.intent_at, FIRST_BOUNDS),
    )
    .where(runs.c.id > param("after"), runs.c.id <= param("upto"), runs.c.status != literal("running"))
    .group_by(runs.c.phase, runs.c.blame)
)
#: By the index of created_at; min(id) would walk the primary key on PostgreSQL.
FIRST_SINCE = Statement(
    select(runs.c.id).where(runs.c.created_at >= param("since")).order_by(runs.c.created_at).limit(1)
)
HIGHEST = Statement(select(func.coalesce(func.max(runs.c.id), 0)))
