"""Runs are found by Call-ID and number, and their post-dial delay is kept as a figure."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "run_words",
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("run_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_words_run_id_runs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("word", "run_id", name="pk_run_words"),
    )
    op.create_index("ix_run_words_run_id", "run_words", ["run_id"])
    op.add_column("runs", sa.Column("pdd_ms", sa.Double(), nullable=True))
