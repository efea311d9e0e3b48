"""Alembic runs this; the connection is handed over by storage.schema."""

from __future__ import annotations

from alembic import context

from callwright.control.storage.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
