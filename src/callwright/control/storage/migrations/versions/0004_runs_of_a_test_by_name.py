"""Who asks for the runs of a test by its name does not read all runs."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("ix_runs_test_name_id", "runs", ["test_name", "id"])
