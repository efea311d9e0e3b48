"""The tables. Times are unix seconds; lists and objects are JSON texts; large texts stand in tables of their
own, so that the rows a list reads stay small."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: 64 bits on PostgreSQL; SQLite counts only an INTEGER PRIMARY KEY by itself.
Id = BigInteger().with_variant(Integer(), "sqlite")
Number = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def _text(name: str, *, default: str | None = "", nullable: bool = False) -> Column[str]:
    return Column(name, Text(), nullable=nullable, server_default=None if nullable else default)


def _time(name: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Double(), nullable=nullable)


def _to(name: str, target: str, *, nullable: bool = False, cascade: bool = False) -> Column[int]:
    key = ForeignKey(target, ondelete="CASCADE" if cascade else None)
    return Column(name, Id, key, nullable=nullable)


def _unique_where(name: str, condition: str, *columns: Any) -> Index:
    where = text(condition)
    return Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)


projects = Table(
    "projects",
    metadata,
    _id(),
    _text("name"),
    _text("description"),
    _time("created_at"),
    Column("max_running", Number, nullable=True),
    Column("max_queued", Number, nullable=True),
    UniqueConstraint("name"),
)

users = Table(
    "users",
    metadata,
    _id(),
    _text("username"),
    _text("name"),
    _text("email"),
    _text("role"),
    _text("category"),
    _text("time_zone"),
    _text("password_hash"),
    _time("created_at"),
    _time("last_login_at", nullable=True),
    _time("deleted_at", nullable=True),
)
_unique_where("uq_users_username", "deleted_at IS NULL", users.c.username)
_unique_where("uq_users_email", "deleted_at IS NULL AND email <> ''", users.c.email)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _text("public_key"),
    _text("secret_hash"),
    _text("name"),
    _to("user_id", "users.id"),
    _time("created_at"),
    _time("last_used_at", nullable=True),
    _time("revoked_at", nullable=True),
    _to("project_id", "projects.id", nullable=True),
    _text("created_by"),
    Column("made_by_key", Id, nullable=True),
    UniqueConstraint("public_key"),
)

members = Table(
    "members",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    _text("role"),
    _time("since"),
)
Index("ix_members_project_id", members.c.project_id)

tokens = Table(
    "tokens",
    metadata,
    _id(),
    _text("kind"),
    _text("name"),
    _text("token_hash"),
    _to("user_id", "users.id"),
    Column("idle_seconds", Double(), nullable=False),
    _time("created_at"),
    _time("last_used_at"),
    _time("revoked_at", nullable=True),
    Column("made_by_key", Id, nullable=True),
    UniqueConstraint("token_hash"),
)
Index("ix_tokens_user_id", tokens.c.user_id)
_unique_where("uq_tokens_name", "kind = 'api' AND revoked_at IS NULL", tokens.c.user_id, tokens.c.name)

credentials = Table(
    "credentials",
    metadata,
    _id(),
    _text("name"),
    _text("user"),
    _text("auth_user"),
    _text("domain"),
    _text("display_name"),
    _text("proxy"),
    _text("transport"),
    _text("sealed_password"),
    _time("created_at"),
    _time("updated_at"),
    _to("project_id", "projects.id", nullable=True),
)
_unique_where("uq_credentials_shared", "project_id IS NULL", credentials.c.name)
_unique_where(
    "uq_credentials_project", "project_id IS NOT NULL", credentials.c.project_id, credentials.c.name
)

audit = Table(
    "audit",
    metadata,
    _id(),
    _time("at"),
    Column("user_id", Id, nullable=False),
    _text("username"),
    _text("action"),
    _text("object"),
    _text("detail"),
    Column("key_id", Id, nullable=True),
)

settings = Table("settings", metadata, Column("name", Text(), primary_key=True), _text("value"))

tests = Table(
    "tests",
    metadata,
    _id(),
    _to("project_id", "projects.id"),
    _text("name"),
    _text("title"),
    _text("description"),
    _text("tags", default="[]"),
    Column("version", Number, nullable=False),
    _time("created_at"),
    _time("updated_at"),
    _time("deleted_at", nullable=True),
    _text("parameters", default="[]"),
)
_unique_where("uq_tests_name", "deleted_at IS NULL", tests.c.project_id, tests.c.name)
Index("ix_tests_name", tests.c.name)

test_versions = Table(
    "test_versions",
    metadata,
    Column("test_id", Id, ForeignKey("tests.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Number, primary_key=True),
    _text("document"),
    _text("author"),
    _time("created_at"),
)

#: What the original API calls the status; kept, since most lists ask for it.
_STATUS = (
    "CASE WHEN phase IN ('queued', 'starting', 'running') THEN 'running' "
    "WHEN phase = 'passed' THEN 'passed' ELSE 'failed' END"
)

runs = Table(
    "runs",
    metadata,
    _id(),
    _text("session_id"),
    _to("test_id", "tests.id"),
    _text("test_name"),
    _text("testcase_name"),
    _to("project_id", "projects.id"),
    _text("project_name"),
    _text("pool"),
    _text("phase"),
    _text("verdict", nullable=True),
    _text("blame", nullable=True),
    _text("result_description"),
    Column("attempt", Number, nullable=False),
    _text("agent_id", nullable=True),
    _time("lease_until", nullable=True),
    _time("intent_at", nullable=True),
    _time("stop_requested_at", nullable=True),
    _text("tags", default="[]"),
    _time("created_at"),
    _time("started_at", nullable=True),
    _time("stopped_at", nullable=True),
    _text("started_by"),
    Column("kiosk", Number, nullable=True),
    _time("kiosk_until", nullable=True),
    Column("mos", Double(), nullable=True),
    Column("files_due", Number, nullable=True),
    Column("pdd_ms", Double(), nullable=True),
    # not in a list:
    Column("deadline_at", Double(), nullable=False),
    Column("max_seconds", Double(), nullable=False),
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

run_details = Table(
    "run_details",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("test_version", Number, nullable=False),
    _text("document"),
    _text("sealed_overrides"),
    _text("shown", default="{}"),
    _text("outcome", nullable=True),
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
    _text("fingerprint"),
    _text("run_ids", default="[]"),
    _time("created_at"),
)
Index("ix_idempotency_created_at", idempotency.c.created_at)

evidence = Table(
    "evidence",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Number, primary_key=True),
    Column("name", Text(), primary_key=True),
    Column("size", Number, nullable=False),
    _text("sha256"),
    _text("media_type"),
    _text("path"),
    _time("created_at"),
)

targets = Table(
    "targets",
    metadata,
    _id(),
    _text("host", nullable=True),
    _text("network", nullable=True),
    _text("number", nullable=True),
    Column("rate", Double(), nullable=True),
    Column("concurrency", Number, nullable=True),
    Column("minutes", Double(), nullable=True),
    _text("note"),
    _text("created_by"),
    _time("created_at"),
    _time("deleted_at", nullable=True),
    _text("country", nullable=True),
)

run_targets = Table(
    "run_targets",
    metadata,
    Column("target_id", Id, ForeignKey("targets.id", ondelete="CASCADE"), primary_key=True),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("concurrency", Number, nullable=False),
    Column("rate", Double(), nullable=False),
    Column("minutes", Double(), nullable=False),
)
Index("ix_run_targets_run_id", run_targets.c.run_id)

#: Minutes of calls that the runs of a day (of UTC, counted from the epoch) may take of a target.
target_days = Table(
    "target_days",
    metadata,
    Column("target_id", Id, ForeignKey("targets.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Number, primary_key=True),
    Column("minutes", Double(), nullable=False),
)

pools = Table(
    "pools",
    metadata,
    _id(),
    _text("name"),
    _time("created_at"),
    _to("project_id", "projects.id", nullable=True),
    UniqueConstraint("name"),
)

agents = Table(
    "agents",
    metadata,
    Column("id", Text(), primary_key=True),
    _text("name"),
    _text("pool"),
    _text("labels", default="{}"),
    _text("version"),
    Column("capacity", Number, nullable=False),
    Column("busy", Number, nullable=False),
    _text("codecs", default="[]"),
    _text("nkey"),
    _text("state"),
    _time("enrolled_at"),
    _time("last_seen_at", nullable=True),
    _text("secret_hash"),
    _text("spool", default="{}"),
)
_unique_where("uq_agents_name", "state <> 'revoked'", agents.c.name)

enrolments = Table(
    "enrolments",
    metadata,
    _id(),
    _text("pool"),
    _text("token_hash"),
    _time("created_at"),
    _time("expires_at"),
    _time("used_at", nullable=True),
    _text("agent_id", nullable=True),
    Column("made_by_key", Id, nullable=True),
    UniqueConstraint("token_hash"),
)
