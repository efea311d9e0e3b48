"""SIP accounts, their passwords sealed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table, func, select, update
from sqlalchemy import delete as delete_from

from callwright.control.credentials.model import Credential, SealedCredential
from callwright.control.storage.sql.columns import (
    id_column,
    metadata,
    reference,
    text_column,
    time_column,
    unique_where,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.projects import projects
from callwright.control.storage.sql.writing import columns, inserting, values_of

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


_CREDENTIAL: list[Any] = [
    credentials.c.sealed_password
    if name == "has_password"
    else projects.c.name
    if name == "project_name"
    else credentials.c[name]
    for name in Credential.__struct_fields__
]
_SELECT_CREDENTIAL = select(*_CREDENTIAL).outerjoin(projects, projects.c.id == credentials.c.project_id)
_THIS_CREDENTIAL = (
    credentials.c.name == param("name"),
    credentials.c.project_id.is_not_distinct_from(param("project_id", credentials.c.project_id.type)),
)
_CREDENTIALS = Statement(
    _SELECT_CREDENTIAL.order_by(credentials.c.name, func.coalesce(credentials.c.project_id, 0))
)
_CREDENTIAL_BY_NAME = Statement(_SELECT_CREDENTIAL.where(*_THIS_CREDENTIAL))
_SEALED = Statement(select(*columns(credentials, SealedCredential)).order_by(credentials.c.name))
_CREDENTIAL_FIELDS = [name for name in SealedCredential.__struct_fields__ if name != "id"]
_ADD_CREDENTIAL = Statement(inserting(credentials, [*_CREDENTIAL_FIELDS, "created_at", "updated_at"]))
_CHANGE_CREDENTIAL = Statement(
    update(credentials)
    .where(*_THIS_CREDENTIAL)
    .values(
        {
            name: param(name)
            for name in (*_CREDENTIAL_FIELDS, "updated_at")
            if name not in ("name", "project_id")
        }
    )
)
_DELETE_CREDENTIAL = Statement(delete_from(credentials).where(*_THIS_CREDENTIAL))


def _credential(*values: Any) -> Credential:
    row = list(values)
    at = Credential.__struct_fields__.index("has_password")
    row[at] = int(bool(row[at]))
    return Credential(*row)


class SqlCredentials:
    """SIP accounts on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def credentials(self) -> list[Credential]:
        return await self._db.all(_credential, _CREDENTIALS)

    async def sealed_credentials(self) -> list[SealedCredential]:
        return await self._db.all(SealedCredential, _SEALED)

    async def has_credential(self, name: str, project_id: int | None) -> bool:
        wanted = {"name": name, "project_id": project_id}
        return await self._db.one(_credential, _CREDENTIAL_BY_NAME, wanted) is not None

    async def put_credential(self, credential: SealedCredential, now: float, *, replace: bool) -> Credential:
        values = values_of(credential, without=("id",)) | {"created_at": now, "updated_at": now}
        async with self._db.transaction() as transaction:
            if not (replace and await transaction.run(_CHANGE_CREDENTIAL, values)):
                await transaction.run(_ADD_CREDENTIAL, values)
            kept = await transaction.one(_credential, _CREDENTIAL_BY_NAME, values)
        assert kept is not None
        return kept

    async def delete_credential(self, name: str, project_id: int | None = None) -> bool:
        return await self._db.run(_DELETE_CREDENTIAL, {"name": name, "project_id": project_id}) > 0
