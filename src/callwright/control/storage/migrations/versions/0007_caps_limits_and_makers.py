"""Minutes of a target are counted by day; projects have limits; pools may belong to a project; the log and
the lists know which key did it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "target_days",
        sa.Column("target_id", _ID, nullable=False),
        sa.Column("day", _ID, nullable=False),
        sa.Column("minutes", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["target_id"], ["targets.id"], name="fk_target_days_target_id_targets", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("target_id", "day", name="pk_target_days"),
    )
    # What was used today stays used.
    op.execute(
        "INSERT INTO target_days (target_id, day, minutes) "
        "SELECT run_targets.target_id, CAST(FLOOR(runs.created_at / 86400) AS BIGINT), "
        "SUM(run_targets.minutes) FROM run_targets JOIN runs ON runs.id = run_targets.run_id "
        "GROUP BY run_targets.target_id, CAST(FLOOR(runs.created_at / 86400) AS BIGINT)"
    )
    op.create_index("ix_runs_pool_id", "runs", ["pool", "id"])
    op.add_column("projects", sa.Column("max_running", _ID, nullable=True))
    op.add_column("projects", sa.Column("max_queued", _ID, nullable=True))
    with op.batch_alter_table("pools") as pools:
        pools.add_column(sa.Column("project_id", _ID, nullable=True))
        pools.create_foreign_key("fk_pools_project_id_projects", "projects", ["project_id"], ["id"])
    op.add_column("audit", sa.Column("key_id", _ID, nullable=True))
    op.add_column("api_keys", sa.Column("created_by", sa.Text(), server_default="", nullable=False))
    for table in ("api_keys", "tokens", "enrolments"):
        op.add_column(table, sa.Column("made_by_key", _ID, nullable=True))
