"""The tables of runs."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    Column,
    ColumnElement,
    Computed,
    Double,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    literal,
)

from callwright.control.runs.model import Run
from callwright.control.runs.transitions import Phase
from callwright.control.storage.sql.columns import (
    Id,
    Number,
    id_column,
    metadata,
    reference,
    text_column,
    time_column,
)
from callwright.control.storage.sql.writing import columns

#: What the original API calls the status; kept, since most lists ask for it.
_STATUS = (
    "CASE WHEN phase IN ('queued', 'starting', 'running') THEN 'running' "
    "WHEN phase = 'passed' THEN 'passed' ELSE 'failed' END"
)


runs = Table(
    "runs",
    metadata,
    id_column(),
    text_column("session_id"),
    reference("test_id", "tests.id"),
    text_column("test_name"),
    text_column("testcase_name"),
    reference("project_id", "projects.id"),
    text_column("project_name"),
    text_column("pool"),
    text_column("phase"),
    text_column("verdict", nullable=True),
    text_column("blame", nullable=True),
    text_column("result_description"),
    Column("attempt", Number, nullable=False),
    text_column("agent_id", nullable=True),
    time_column("lease_until", nullable=True),
    time_column("intent_at", nullable=True),
    time_column("stop_requested_at", nullable=True),
    text_column("tags", default="[]"),
    time_column("created_at"),
    time_column("started_at", nullable=True),
    time_column("stopped_at", nullable=True),
    text_column("started_by"),
    Column("kiosk", Number, nullable=True),
    time_column("kiosk_until", nullable=True),
    Column("mos", Double(), nullable=True),
    Column("files_due", Number, nullable=True),
    Column("pdd_ms", Double(), nullable=True),
    text_column("placement", default="{}"),
    text_column("group_id", nullable=True),
    time_column("begun_at", nullable=True),
    Column("begun_error_ms", Double(), nullable=True),
    # not in a list:
    Column("deadline_at", Double(), nullable=False),
    Column("max_seconds", Double(), nullable=False),
    Column("weight", Number, nullable=False),
    Column("outcome_attempt", Number, nullable=True),
    Column("status", Text(), Computed(_STATUS, persisted=True)),
    UniqueConstraint("session_id"),
)
Index("ix_runs_test_id_id", runs.c.test_id, runs.c.id)
Index("ix_runs_test_name_id", runs.c.test_name, runs.c.id)
Index("ix_runs_project_id_id", runs.c.project_id, runs.c.id)
Index("ix_runs_phase_id", runs.c.phase, runs.c.id)
Index("ix_runs_created_at", runs.c.created_at)
Index("ix_runs_status_id", runs.c.status, runs.c.id)
Index("ix_runs_pool_id", runs.c.pool, runs.c.id)
Index("ix_runs_group_id", runs.c.group_id, sqlite_where=runs.c.group_id.is_not(None))


run_details = Table(
    "run_details",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("test_version", Number, nullable=False),  # of runs.test_id: the document is read from there
    text_column("sealed_overrides"),
    text_column("shown", default="{}"),
    text_column("outcome", nullable=True),
)


run_tags = Table(
    "run_tags",
    metadata,
    Column("tag", Text(), primary_key=True),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
)
Index("ix_run_tags_run_id", run_tags.c.run_id)


run_words = Table(
    "run_words",
    metadata,
    Column("word", Text(), primary_key=True),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
)
Index("ix_run_words_run_id", run_words.c.run_id)


idempotency = Table(
    "idempotency",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column("key", Text(), primary_key=True),
    text_column("fingerprint"),
    text_column("run_ids", default="[]"),
    time_column("created_at"),
)
Index("ix_idempotency_created_at", idempotency.c.created_at)

RUN = columns(runs, Run)
LIVE = runs.c.status == literal("running")


def among(phases: Iterable[Phase]) -> ColumnElement[bool]:
    return runs.c.phase.in_([literal(phase.value) for phase in phases])
