"""A target says in which country its numbers are dialled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("targets", sa.Column("country", sa.Text(), nullable=True))
