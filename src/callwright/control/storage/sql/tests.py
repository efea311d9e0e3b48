"""Tests and the versions of their documents."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

from sqlalchemy import Column, ForeignKey, Index, Table, and_, or_, select, update

from callwright.control.storage.sql.columns import (
    Id,
    Number,
    id_column,
    metadata,
    reference,
    text_column,
    time_column,
    unique_where,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.projects import projects
from callwright.control.storage.sql.writing import (
    columns,
    contains,
    filling,
    in_projects,
    inserting,
    pattern,
    project_values,
    values_of,
)
from callwright.control.tests.model import Test, TestDocument, TestVersion

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

#: What the original API calls the status; kept, since most lists ask for it.
_STATUS = (
    "CASE WHEN phase IN ('queued', 'starting', 'running') THEN 'running' "
    "WHEN phase = 'passed' THEN 'passed' ELSE 'failed' END"
)


_TEST = [
    projects.c.name.label("project_name") if name == "project_name" else tests.c[name]
    for name in Test.__struct_fields__
]
_test = filling(Test, tags=tuple[str, ...], parameters=tuple[dict[str, Any], ...])
_SELECT = (
    select(*_TEST).join(projects, projects.c.id == tests.c.project_id).where(tests.c.deleted_at.is_(None))
)
_BY_NAME = Statement(_SELECT.where(tests.c.name == param("name")).order_by(tests.c.id))
_BY_ID = Statement(_SELECT.where(tests.c.id == param("id")))
_COLUMNS = [name for name in Test.__struct_fields__ if name not in ("id", "project_name")]
_ADD = Statement(inserting(tests, _COLUMNS).returning(tests.c.id))
_REPLACE = Statement(
    update(tests)
    .where(tests.c.id == param("id"), tests.c.version == param("was_version"), tests.c.deleted_at.is_(None))
    .values({name: param(name) for name in _COLUMNS})
)
_DELETE = Statement(
    update(tests)
    .where(tests.c.id == param("id"), tests.c.deleted_at.is_(None))
    .values(deleted_at=param("now"))
)
_ADD_VERSION = Statement(inserting(test_versions, TestDocument.__struct_fields__))
_VERSIONS = Statement(
    select(*columns(test_versions, TestVersion))
    .where(test_versions.c.test_id == param("test_id"))
    .order_by(test_versions.c.version.desc())
)
_DOCUMENT = Statement(
    select(*columns(test_versions, TestDocument)).where(
        test_versions.c.test_id == param("test_id"), test_versions.c.version == param("version")
    )
)
_FILTERS: dict[str, Any] = {
    "project_id": tests.c.project_id == param("project_id"),
    "search": or_(
        contains(tests.c.name, "search"),
        contains(tests.c.title, "search"),
        contains(tests.c.description, "search"),
    ),
    # tags are JSON: the quoted word stands in the text
    "tag": contains(tests.c.tags, "tag"),
    "after": tests.c.name > param("after"),
    "after_id": or_(
        tests.c.name > param("after"),
        and_(tests.c.name == param("after"), tests.c.id > param("after_id")),
    ),
}


@lru_cache(maxsize=128)
def _page(filters: frozenset[str], projects_seen: int | None) -> Statement:
    chosen = [_FILTERS[name] for name in sorted(filters)]
    if projects_seen is not None:
        chosen.append(in_projects(tests.c.project_id, projects_seen))
    return Statement(_SELECT.where(*chosen).order_by(tests.c.name, tests.c.id).limit(param("limit")))


@lru_cache(maxsize=16)
def _names(projects_seen: int | None) -> Statement:
    query = select(tests.c.name).where(tests.c.deleted_at.is_(None))
    if projects_seen is not None:
        query = query.where(in_projects(tests.c.project_id, projects_seen))
    return Statement(query)


class SqlTestStore:
    """TestStore on any Database."""

    __test__: ClassVar[bool] = False

    def __init__(self, database: Database) -> None:
        self._db = database

    async def page(
        self,
        *,
        project_id: int | None,
        search: str | None,
        tag: str | None,
        after: str | None,
        after_id: int | None = None,
        limit: int,
        visible: tuple[int, ...] | None = None,
    ) -> list[Test]:
        seen, count = project_values(visible)
        values: dict[str, Any] = {"project_id": project_id, "after": after}
        if after is not None:
            values["after_id"] = after_id
        if search:
            values["search"] = pattern(search)
        if tag:
            values["tag"] = pattern(quoted(tag))
        given = {name: value for name, value in values.items() if value is not None}
        filters = frozenset(given) - ({"after"} if "after_id" in given else set())
        return await self._db.all(_test, _page(filters, count), given | seen | {"limit": limit})

    async def by_name(self, name: str) -> list[Test]:
        return await self._db.all(_test, _BY_NAME, {"name": name})

    async def by_id(self, test_id: int) -> Test | None:
        return await self._db.one(_test, _BY_ID, {"id": test_id})

    async def names(self, visible: tuple[int, ...] | None = None) -> list[str]:
        seen, count = project_values(visible)
        return await self._db.all(str, _names(count), seen)

    async def add(self, test: Test, document: TestDocument) -> Test:
        async with self._db.transaction() as transaction:
            test_id = await transaction.value(_ADD, values_of(test))
            await transaction.run(_ADD_VERSION, values_of(document) | {"test_id": test_id})
            added = await transaction.one(_test, _BY_ID, {"id": test_id})
        assert added is not None
        return added

    async def replace(self, test: Test, document: TestDocument, was_version: int) -> Test | None:
        async with self._db.transaction() as transaction:
            if not await transaction.run(_REPLACE, values_of(test) | {"was_version": was_version}):
                return None
            await transaction.run(_ADD_VERSION, values_of(document))
            return await transaction.one(_test, _BY_ID, {"id": test.id})

    async def delete(self, test_id: int, now: float) -> bool:
        return await self._db.run(_DELETE, {"id": test_id, "now": now}) > 0

    async def versions(self, test_id: int) -> list[TestVersion]:
        return await self._db.all(TestVersion, _VERSIONS, {"test_id": test_id})

    async def document(self, test_id: int, version: int) -> TestDocument | None:
        return await self._db.one(TestDocument, _DOCUMENT, {"test_id": test_id, "version": version})


def quoted(text: str) -> str:
    """As it stands in a JSON list."""
    import msgspec

    return msgspec.json.encode(text).decode()
