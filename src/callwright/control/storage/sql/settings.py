"""Settings: a text for each name."""

from __future__ import annotations

from sqlalchemy import Column, Table, Text, delete, select

from callwright.control.storage.sql.columns import metadata, text_column
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import upsert

settings = Table("settings", metadata, Column("name", Text(), primary_key=True), text_column("value"))


_SETTING = Statement(select(settings.c.value).where(settings.c.name == param("name")))
_SET = upsert(settings, ("name",), ("name", "value"))
_UNSET = Statement(delete(settings).where(settings.c.name == param("name")))


class SqlSettings:
    """Settings on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def setting(self, name: str) -> str | None:
        found: str | None = await self._db.value(_SETTING, {"name": name})
        return found

    async def set_setting(self, name: str, value: str | None) -> None:
        if value is None:
            await self._db.run(_UNSET, {"name": name})
        else:
            await self._db.run(_SET, {"name": name, "value": value})
