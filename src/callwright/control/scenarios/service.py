"""Tests: documents that are read before they are kept, each change a version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from callwright.control.accounts.model import Identity, Project, Right
from callwright.control.errors import Conflict, Forbidden, Invalid, NotFound
from callwright.control.scenarios.model import CatalogueEntry, Test, TestDocument, TestVersion
from callwright.control.scenarios.store import TestStore
from callwright.net.clock import Clock
from callwright.scenario import catalogue
from callwright.scenario.document import load
from callwright.scenario.parameter import ParameterView
from callwright.scenario.scenario import Scenario
from callwright.scenario.source import nearest

__all__ = ["DEMO_PROJECT", "Tests"]

DEMO_PROJECT = "demo"
_NAME = re.compile(r"[^\s/?#%\x00-\x1f][^/?#%\x00-\x1f]{0,199}")


class Tests:
    """Documents that name accounts are read against the accounts that are known, secrets left out."""

    __test__: ClassVar[bool] = False

    def __init__(self, store: TestStore, *, clock: Clock) -> None:
        self._store, self._clock = store, clock

    # -- projects

    async def projects(self) -> Sequence[Project]:
        return await self._store.projects()

    async def project(self, name: str) -> Project:
        found = await self._store.project(name)
        if found is None:
            names = [project.name for project in await self._store.projects()]
            raise NotFound("project", name, nearest=nearest(name, names))
        return found

    async def create_project(self, identity: Identity, name: str, description: str = "") -> Project:
        """Raises Conflict when there is one of this name."""
        _require(identity, Right.EDIT)
        return await self._store.add_project(_checked_name(name, "project"), description, self._clock.wall())

    # -- tests

    async def list(
        self,
        *,
        project: str | None = None,
        search: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> list[Test]:
        """By name; ``after``: the name of the last row of the page before. Raises NotFound (project)."""
        project_id = (await self.project(project)).id if project else None
        return await self._store.page(
            project_id=project_id, search=search, tag=tag, after=after, limit=max(1, min(limit, 5000))
        )

    async def of_project(self, project: str | None, tags: Sequence[str]) -> Sequence[Test]:
        """Every test of the project, or of all, that has all the tags."""
        found = await self.list(project=project, tag=tags[0] if tags else None, limit=5000)
        return [test for test in found if set(tags) <= set(test.tag_list)]

    async def get(self, name: str) -> Test:
        """Raises NotFound, with the name that was probably meant."""
        found = await self._store.by_name(name)
        if found is None:
            raise NotFound("test", name, nearest=nearest(name, await self._store.names()))
        return found

    async def by_id(self, test_id: int) -> Test:
        found = await self._store.by_id(test_id)
        if found is None:
            raise NotFound("test", test_id)
        return found

    async def document(self, test: Test, version: int | None = None) -> TestDocument:
        """The text of a version, the current one unless said otherwise. Raises NotFound."""
        wanted = test.version if version is None else version
        found = await self._store.document(test.id, wanted)
        if found is None:
            raise NotFound(f"version of the test {test.name}", wanted)
        return found

    async def create(
        self, identity: Identity, document: str, *, project: str | None = None, name: str | None = None
    ) -> Test:
        """Keeps a document under its own name, or under ``name``. Raises DocumentError, Conflict, Invalid."""
        _require(identity, Right.EDIT)
        scenario = self.read(document)
        owner = await self.project(project) if project else await self._first_project()
        now = self._clock.wall()
        test = _row(scenario, owner, name or scenario.name, 1, now, now)
        try:
            return await self._store.add(test, TestDocument(0, 1, document, identity.username, now))
        except Conflict:
            raise Conflict(
                f"There is a test {test.name!r} already.", "Change that one, or choose another name."
            ) from None

    async def update(
        self,
        identity: Identity,
        name: str,
        *,
        document: str | None = None,
        project: str | None = None,
        new_name: str | None = None,
        was_version: int | None = None,
    ) -> Test:
        """A new version. ``was_version``: the one that was edited; Conflict when there is a newer one.

        Raises NotFound, DocumentError, Conflict, Invalid.
        """
        _require(identity, Right.EDIT)
        test = await self.get(name)
        text = document if document is not None else (await self.document(test)).document
        scenario = self.read(text)
        owner = await self.project(project or test.project_name)
        now = self._clock.wall()
        changed = _row(
            scenario, owner, new_name or test.name, test.version + 1, test.created_at, now, test.id
        )
        version = TestDocument(test.id, changed.version, text, identity.username, now)
        kept = None
        if was_version is None or was_version == test.version:
            kept = await self._store.replace(changed, version, test.version)
        if kept is None:
            raise Conflict(
                f"The test {test.name!r} was changed by somebody else meanwhile.",
                "Load it again, and make your change there.",
            )
        return kept

    async def delete(self, identity: Identity, name: str) -> None:
        """Its runs stay. Raises NotFound."""
        _require(identity, Right.EDIT)
        test = await self.get(name)
        await self._store.delete(test.id, self._clock.wall())

    async def versions(self, name: str) -> Sequence[TestVersion]:
        """Newest first."""
        return await self._store.versions((await self.get(name)).id)

    async def parameters(
        self, test: Test, overrides: Mapping[str, Any] | None = None
    ) -> Sequence[ParameterView]:
        """Every address that can be overridden, with its value. Raises DocumentError for wrong overrides."""
        document = await self.document(test)
        return self.read(document.document, overrides).parameters()

    @staticmethod
    def read(document: str, overrides: Mapping[str, Any] | None = None) -> Scenario:
        """Reads without secrets: variables and accounts stay names. Raises DocumentError."""
        return load(document, overrides=overrides, environment=None)

    # -- the catalogue

    @staticmethod
    def catalogue() -> Sequence[CatalogueEntry]:
        return _catalogue()

    async def ensure_demo(self, identity: Identity, project: str = DEMO_PROJECT) -> Project:
        """The demo project with the catalogue under its names; what is there already stays as it is."""
        found = await self._store.project(project)
        if found is None:
            description = "The ready-made tests, against the built-in PBX."
            found = await self._store.add_project(project, description, self._clock.wall())
        known = set(await self._store.names())
        for name in catalogue.NAMES:
            if name not in known:
                await self.create(identity, catalogue.text(name), project=project)
        return found

    async def _first_project(self) -> Project:
        projects = await self._store.projects()
        if projects:
            return projects[0]
        return await self._store.add_project("default", "", self._clock.wall())


@lru_cache(maxsize=1)
def _catalogue() -> tuple[CatalogueEntry, ...]:
    entries = []
    for name in catalogue.NAMES:
        scenario = catalogue.scenario(name)
        entries.append(
            CatalogueEntry(
                name,
                scenario.title,
                scenario.description,
                scenario.tags,
                catalogue.text(name),
                _parameters(scenario),
            )
        )
    return tuple(entries)


def _row(
    scenario: Scenario,
    project: Project,
    name: str,
    version: int,
    created_at: float,
    updated_at: float,
    test_id: int = 0,
) -> Test:
    return Test(
        test_id,
        project.id,
        project.name,
        _checked_name(name, "test"),
        scenario.title,
        scenario.description,
        msgspec.json.encode(list(dict.fromkeys(scenario.tags))).decode(),
        version,
        created_at,
        updated_at,
        _parameters(scenario),
    )


def _parameters(scenario: Scenario) -> str:
    return msgspec.json.encode([view.to_json() for view in scenario.parameters()]).decode()


def _checked_name(name: str, what: str) -> str:
    if not _NAME.fullmatch(name.strip()):
        raise Invalid(
            f"{name[:80]!r} is no name for a {what}: 1 to 200 characters without / ? # %.", field="name"
        )
    return name.strip()


def _require(identity: Identity, right: Right) -> None:
    if not identity.can(right):
        raise Forbidden(
            f"The role {identity.role} of {identity.username} does not permit this; it needs {right}.",
            "Ask an administrator.",
        )
