"""The first schema that was released."""

from __future__ import annotations

from typing import Any

from alembic import op
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

revision = "1"
down_revision = None

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


def id_column() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def text_column(name: str, *, default: str | None = "", nullable: bool = False) -> Column[str]:
    return Column(name, Text(), nullable=nullable, server_default=None if nullable else default)


def time_column(name: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Double(), nullable=nullable)


def reference(name: str, target: str, *, nullable: bool = False, cascade: bool = False) -> Column[int]:
    key = ForeignKey(target, ondelete="CASCADE" if cascade else None)
    return Column(name, Id, key, nullable=nullable)


def unique_where(name: str, condition: str, *columns: Any) -> Index:
    where = text(condition)
    return Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)


projects = Table(
    "projects",
    metadata,
    id_column(),
    text_column("name"),
    text_column("description"),
    time_column("created_at"),
    Column("max_running", Number, nullable=True),
    Column("max_queued", Number, nullable=True),
    Column("keep_runs_days", Number, nullable=True),
    UniqueConstraint("name"),
)

users = Table(
    "users",
    metadata,
    id_column(),
    text_column("username"),
    text_column("name"),
    text_column("email"),
    text_column("role"),
    text_column("category"),
    text_column("time_zone"),
    text_column("password_hash"),
    time_column("created_at"),
    time_column("last_login_at", nullable=True),
    time_column("deleted_at", nullable=True),
)

unique_where("uq_users_username", "deleted_at IS NULL", users.c.username)
unique_where("uq_users_email", "deleted_at IS NULL AND email <> ''", users.c.email)
members = Table(
    "members",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    text_column("role"),
    time_column("since"),
)

Index("ix_members_project_id", members.c.project_id)
api_keys = Table(
    "api_keys",
    metadata,
    id_column(),
    text_column("public_key"),
    text_column("secret_hash"),
    text_column("name"),
    reference("user_id", "users.id"),
    time_column("created_at"),
    time_column("last_used_at", nullable=True),
    time_column("revoked_at", nullable=True),
    reference("project_id", "projects.id", nullable=True),
    text_column("created_by"),
    Column("made_by_key", Id, nullable=True),
    UniqueConstraint("public_key"),
)

tokens = Table(
    "tokens",
    metadata,
    id_column(),
    text_column("kind"),
    text_column("name"),
    text_column("token_hash"),
    reference("user_id", "users.id"),
    Column("idle_seconds", Double(), nullable=False),
    time_column("created_at"),
    time_column("last_used_at"),
    time_column("revoked_at", nullable=True),
    Column("made_by_key", Id, nullable=True),
    UniqueConstraint("token_hash"),
)

Index("ix_tokens_user_id", tokens.c.user_id)
unique_where("uq_tokens_name", "kind = 'api' AND revoked_at IS NULL", tokens.c.user_id, tokens.c.name)
credentials = Table(
    "credentials",
    metadata,
    id_column(),
    text_column("name"),
    text_column("user"),
    text_column("auth_user"),
    text_column("domain"),
    text_column("display_name"),
    text_column("proxy"),
    text_column("transport"),
    text_column("sealed_password"),
    time_column("created_at"),
    time_column("updated_at"),
    reference("project_id", "projects.id", nullable=True),
)

unique_where("uq_credentials_shared", "project_id IS NULL", credentials.c.name)
unique_where("uq_credentials_project", "project_id IS NOT NULL", credentials.c.project_id, credentials.c.name)
audit = Table(
    "audit",
    metadata,
    id_column(),
    time_column("at"),
    Column("user_id", Id, nullable=False),
    text_column("username"),
    text_column("action"),
    text_column("object"),
    text_column("detail"),
    Column("key_id", Id, nullable=True),
)

settings = Table("settings", metadata, Column("name", Text(), primary_key=True), text_column("value"))

tests = Table(
    "tests",
    metadata,
    id_column(),
    reference("project_id", "projects.id"),
    text_column("name"),
    text_column("title"),
    text_column("description"),
    text_column("tags", default="[]"),
    Column("version", Number, nullable=False),
    time_column("created_at"),
    time_column("updated_at"),
    time_column("deleted_at", nullable=True),
    text_column("parameters", default="[]"),
)

unique_where("uq_tests_name", "deleted_at IS NULL", tests.c.project_id, tests.c.name)
Index("ix_tests_name", tests.c.name)
test_versions = Table(
    "test_versions",
    metadata,
    Column("test_id", Id, ForeignKey("tests.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Number, primary_key=True),
    text_column("document"),
    text_column("author"),
    time_column("created_at"),
)

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
evidence = Table(
    "evidence",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Number, primary_key=True),
    Column("name", Text(), primary_key=True),
    Column("size", Number, nullable=False),
    text_column("sha256"),
    text_column("media_type"),
    text_column("path"),
    time_column("created_at"),
)

targets = Table(
    "targets",
    metadata,
    id_column(),
    text_column("host", nullable=True),
    text_column("network", nullable=True),
    text_column("number", nullable=True),
    Column("rate", Double(), nullable=True),
    Column("concurrency", Number, nullable=True),
    Column("minutes", Double(), nullable=True),
    text_column("note"),
    text_column("created_by"),
    time_column("created_at"),
    time_column("deleted_at", nullable=True),
    text_column("country", nullable=True),
)

run_targets = Table(
    "run_targets",
    metadata,
    Column("target_id", Id, ForeignKey("targets.id", ondelete="CASCADE"), primary_key=True),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("concurrency", Number, nullable=False),
    Column("rate", Double(), nullable=False),
    Column("minutes", Double(), nullable=False),
    Column("day", Number, nullable=False),
)

Index("ix_run_targets_run_id", run_targets.c.run_id)
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
    id_column(),
    text_column("name"),
    time_column("created_at"),
    reference("project_id", "projects.id", nullable=True),
    text_column("fleet", nullable=True),
    UniqueConstraint("name"),
)

agents = Table(
    "agents",
    metadata,
    Column("id", Text(), primary_key=True),
    text_column("name"),
    text_column("pool"),
    text_column("labels", default="{}"),
    text_column("version"),
    Column("capacity", Number, nullable=False),
    Column("busy", Number, nullable=False),
    text_column("codecs", default="[]"),
    text_column("nkey"),
    text_column("state"),
    time_column("enrolled_at"),
    time_column("last_seen_at", nullable=True),
    text_column("secret_hash"),
    text_column("spool", default="{}"),
    Column("protocol", Number, nullable=True),
    text_column("server", nullable=True),
    text_column("address"),
)

unique_where("uq_agents_name", "state <> 'revoked'", agents.c.name)
enrolments = Table(
    "enrolments",
    metadata,
    id_column(),
    text_column("pool"),
    text_column("token_hash"),
    time_column("created_at"),
    time_column("expires_at"),
    time_column("used_at", nullable=True),
    text_column("agent_id", nullable=True),
    Column("made_by_key", Id, nullable=True),
    text_column("server", nullable=True),
    UniqueConstraint("token_hash"),
)

server_certificates = Table(
    "server_certificates",
    metadata,
    Column("server", Text(), primary_key=True),
    text_column("ca_cert"),
    text_column("sealed_ca_key"),
    time_column("ca_ends_at"),
    text_column("tls_cert"),
    text_column("sealed_tls_key"),
    time_column("tls_ends_at"),
)

servers = Table(
    "servers",
    metadata,
    Column("number", Id, primary_key=True, autoincrement=True),
    text_column("name"),
    text_column("label"),
    text_column("provider"),
    text_column("pool"),
    text_column("state"),
    time_column("created"),
    time_column("updated"),
    time_column("since"),
    Column("revision", Number, nullable=False),
    text_column("machine"),
    text_column("image"),
    text_column("region"),
    text_column("size"),
    text_column("platform"),
    text_column("address"),
    Column("capacity", Number, nullable=False),
    text_column("error"),
    Column("attempts", Number, nullable=False),
    time_column("started", nullable=True),
    time_column("stopped", nullable=True),
    text_column("agent_id", nullable=True),
    text_column("version"),
    text_column("ip_address", nullable=True),
    text_column("description", nullable=True),
    time_column("last_login_at", nullable=True),
    text_column("last_login_ip"),
    time_column("deleted_at", nullable=True),
    text_column("place"),
    text_column("country"),
    text_column("network"),
    text_column("labels", default="{}"),
    Column("forgotten", Number, nullable=False),
    UniqueConstraint("name"),
)

Index("ix_servers_state", servers.c.state)
Index("ix_servers_pool", servers.c.pool, servers.c.created)
Index("ix_servers_agent_id", servers.c.agent_id)
server_counts = Table(
    "server_counts",
    metadata,
    Column("name", Text(), primary_key=True),
    Column("value", Double(), nullable=False),
)


def upgrade() -> None:
    metadata.create_all(op.get_bind(), checkfirst=False)
