"""Users belong to projects; keys and SIP accounts may belong to one; public links end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "members",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("role", sa.Text(), server_default="", nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_members_user_id_users", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_members_project_id_projects", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "project_id", name="pk_members"),
    )
    op.create_index("ix_members_project_id", "members", ["project_id"])
    # Nobody loses what they could see: everybody was in every project.
    op.execute(
        "INSERT INTO members (user_id, project_id, role, since) "
        "SELECT users.id, projects.id, users.role, projects.created_at FROM users CROSS JOIN projects "
        "WHERE users.deleted_at IS NULL AND users.role <> 'admin'"
    )
    with op.batch_alter_table("api_keys") as keys:
        keys.add_column(sa.Column("project_id", _ID, nullable=True))
        keys.create_foreign_key("fk_api_keys_project_id_projects", "projects", ["project_id"], ["id"])
    with op.batch_alter_table("credentials") as credentials:
        credentials.drop_constraint("uq_credentials_name", type_="unique")
        credentials.add_column(sa.Column("project_id", _ID, nullable=True))
        credentials.create_foreign_key(
            "fk_credentials_project_id_projects", "projects", ["project_id"], ["id"]
        )
    _unique("uq_credentials_shared", "credentials", ["name"], "project_id IS NULL")
    _unique("uq_credentials_project", "credentials", ["project_id", "name"], "project_id IS NOT NULL")
    op.drop_index("uq_tests_name", table_name="tests")
    _unique("uq_tests_name", "tests", ["project_id", "name"], "deleted_at IS NULL")
    op.create_index("ix_tests_name", "tests", ["name"])
    op.execute("UPDATE runs SET blame = NULL WHERE phase = 'canceled'")  # somebody stopped it: no fault
    # Links that were given away before there was an end go on without one.
    op.add_column("runs", sa.Column("kiosk_until", sa.Double(), nullable=True))


def _unique(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=True, sqlite_where=where, postgresql_where=where)
