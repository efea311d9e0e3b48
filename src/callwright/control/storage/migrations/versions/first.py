"""The first schema: the tables of the code. At the first release they are copied to here, and stay."""

from __future__ import annotations

from alembic import op

from callwright.control.storage.sql.tables import metadata

revision = "1"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind(), checkfirst=False)
