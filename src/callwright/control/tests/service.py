"""Tests: documents that are read before they are kept, each change a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.errors import Conflict, Invalid, NotFound
from callwright.control.projects.model import Project, checked_name
from callwright.control.projects.service import Projects
from callwright.control.tests.model import CatalogueEntry, Test, TestDocument, TestVersion
from callwright.control.tests.reading import beside
from callwright.control.tests.store import TestStore
from callwright.net.clock import Clock
from callwright.scenario import catalogue
from callwright.scenario.document import load
from callwright.scenario.parameter import ParameterView
from callwright.scenario.scenario import Scenario
from callwright.scenario.source import nearest_names

__all__ = ["DEMO_PROJECT", "RESERVED_NAMES", "Tests"]

DEMO_PROJECT = "demo"
#: `/tests/new` is a page, `POST /tests/run` starts a run; `import` and `openapi` are kept for the like.
RESERVED_NAMES = frozenset({"new", "run", "import", "openapi"})


class Tests:
    """Documents that name accounts are read against the accounts that are known, secrets left out."""

    __test__: ClassVar[bool] = False

    def __init__(self, store: TestStore, projects: Projects, *, audit: Audit, clock: Clock) -> None:
        self._store, self._projects, self._audit, self._clock = store, projects, audit, clock

    # -- tests

    async def list(
        self,
        identity: Identity,
        *,
        project: str | None = None,
        search: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        after_id: int | None = None,
        limit: int = 100,
    ) -> list[Test]:
        """What the identity sees, by name; ``after``: the name of the last row of the page before,
        ``after_id`` its id, since another project may have a test of that name.

        Raises NotFound (project).
        """
        project_id = (await self._projects.get(identity, project)).id if project else None
        return await self._store.page(
            project_id=project_id,
            search=search,
            tag=tag,
            after=after,
            after_id=after_id,
            limit=max(1, min(limit, 5000)),
            visible=identity.project_ids,
        )

    async def of_project(
        self, identity: Identity, project: str | None, tags: Sequence[str]
    ) -> Sequence[Test]:
        """Every test of the project, or of all, that has all the tags."""
        found = await self.list(identity, project=project, tag=tags[0] if tags else None, limit=5000)
        return [test for test in found if set(tags) <= set(test.tags)]

    async def get(self, identity: Identity, name: str, *, project: str | None = None) -> Test:
        """By its name, in one project or in all that are seen; ``project:name`` is one where several have the
        name. Raises NotFound with the name that was probably meant, Conflict where it must be said which."""
        wanted = (await self._projects.get(identity, project)).id if project else None
        before, colon, after = name.partition(":")
        found: Sequence[Test] = ()
        if colon and wanted is None:
            # First, so that nobody takes the place of another project's test by a name with a colon.
            owner = await self._projects.named(before)
            if owner is not None and may(identity, Right.READ, owner.id):
                found = await self._named(identity, after, owner.id)
        if not found:
            found = await self._named(identity, name, wanted)
        if not found:
            names = await self._store.names(identity.project_ids)
            raise NotFound("test", name, near=nearest_names(name, names))
        if len(found) > 1:
            addresses = " or ".join(f"{test.project_name}:{test.name}" for test in found)
            raise Conflict(f"{len(found)} projects have a test {name!r}.", f"Say which: {addresses}.")
        return found[0]

    async def by_id(self, identity: Identity, test_id: int) -> Test:
        found = await self._store.by_id(test_id)
        if found is None or not may(identity, Right.READ, found.project_id):
            raise NotFound("test", test_id)
        return found

    async def _named(self, identity: Identity, name: str, project_id: int | None) -> Sequence[Test]:
        return [
            test
            for test in await self._store.by_name(name)
            if may(identity, Right.READ, test.project_id) and project_id in (None, test.project_id)
        ]

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
        authorize(identity, Right.EDIT)
        scenario = await self.read_beside(document)
        owner = await self._projects.own(identity, project)
        authorize(identity, Right.EDIT, owner.id)
        now = self._clock.wall()
        test = _row(scenario, owner, _free(name or scenario.name), 1, now, now)
        try:
            async with self._audit.change():
                added = await self._store.add(test, TestDocument(0, 1, document, identity.username, now))
                where = f"in the project {added.project_name}"
                await self._audit.note(identity, "test.created", f"test {added.name}", where)
            return added
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
        authorize(identity, Right.EDIT)
        test = await self.get(identity, name)
        here = await self._projects.get(identity, test.project_name)
        authorize(identity, Right.EDIT, here.id)
        text = document if document is not None else (await self.document(test)).document
        scenario = await self.read_beside(text)
        owner = await self._projects.get(identity, project) if project else here
        authorize(identity, Right.EDIT, owner.id)
        now = self._clock.wall()
        changed = _row(
            scenario,
            owner,
            _free(new_name) if new_name else test.name,
            test.version + 1,
            test.created_at,
            now,
            test.id,
        )
        version = TestDocument(test.id, changed.version, text, identity.username, now)
        kept = None
        if was_version is None or was_version == test.version:
            async with self._audit.change():
                kept = await self._store.replace(changed, version, test.version)
                if kept is not None:
                    await self._audit.note(
                        identity, "test.changed", f"test {test.name}", _what_changed(test, kept)
                    )
        if kept is None:
            raise Conflict(
                f"The test {test.name!r} was changed by somebody else in the meantime.",
                "Load it again, and make your change there.",
            )
        return kept

    async def delete(self, identity: Identity, name: str) -> None:
        """Its runs stay. Raises NotFound."""
        authorize(identity, Right.EDIT)
        test = await self.get(identity, name)
        authorize(identity, Right.EDIT, test.project_id)
        async with self._audit.change():
            if not await self._store.delete(test.id, self._clock.wall()):
                raise NotFound("test", name)
            where = f"in the project {test.project_name}"
            await self._audit.note(identity, "test.deleted", f"test {test.name}", where)

    async def versions(self, test: Test) -> Sequence[TestVersion]:
        """Newest first."""
        return await self._store.versions(test.id)

    async def parameters(
        self, test: Test, overrides: Mapping[str, Any] | None = None
    ) -> Sequence[ParameterView]:
        """Every address that can be overridden, with its value. Raises DocumentError for wrong overrides."""
        document = await self.document(test)
        return (await self.read_beside(document.document, overrides)).parameters()

    @staticmethod
    def read(document: str, overrides: Mapping[str, Any] | None = None) -> Scenario:
        """Reads without secrets: variables and accounts stay names. Raises DocumentError."""
        return load(document, overrides=overrides, environment=None)

    async def read_beside(self, document: str, overrides: Mapping[str, Any] | None = None) -> Scenario:
        """`read`, without holding up the loop. Raises QuotaExceeded when many large ones wait."""
        return await beside(len(document), lambda: self.read(document, overrides))

    # -- the catalogue

    @staticmethod
    def catalogue() -> Sequence[CatalogueEntry]:
        return _catalogue()

    async def ensure_demo(self, identity: Identity, project: str = DEMO_PROJECT) -> Project:
        """The demo project with the catalogue under its names; what is there already stays as it is."""
        found = await self._projects.named(project)
        if found is None:
            description = "The ready-made tests, against the built-in PBX."
            found = await self._projects.add(identity, project, description)
        known = {test.name for test in await self.list(identity, project=project, limit=5000)}
        for name in catalogue.NAMES:
            if name not in known:
                await self.create(identity, catalogue.text(name), project=project)
        return found


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
        checked_name(name, "test"),
        scenario.title,
        scenario.description,
        tuple(dict.fromkeys(scenario.tags)),
        version,
        created_at,
        updated_at,
        _parameters(scenario),
    )


def _what_changed(before: Test, after: Test) -> str:
    """For the log: the new version, and the name and the project where they are others."""
    parts = [f"version {after.version}"]
    if after.name != before.name:
        parts.append(f"now {after.name}")
    if after.project_id != before.project_id:
        parts.append(f"moved from the project {before.project_name} to {after.project_name}")
    return ", ".join(parts)


def _parameters(scenario: Scenario) -> tuple[dict[str, Any], ...]:
    return tuple(view.to_json() for view in scenario.parameters())


def _free(name: str) -> str:
    """Raises Invalid for a word that means something else in an address of ours."""
    if name.strip() in RESERVED_NAMES:
        raise Invalid(
            f"No test can be called {name.strip()!r}: the word has a meaning in addresses.",
            "Choose another name.",
            field="name",
        )
    return name
