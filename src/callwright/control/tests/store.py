"""What tests need of a database."""

from __future__ import annotations

from typing import ClassVar, Protocol

from callwright.control.tests.model import Test, TestDocument, TestVersion

__all__ = ["TestStore"]


class TestStore(Protocol):
    __test__: ClassVar[bool] = False

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
        """By name, then id: those whose name comes after ``after``, or is the same with an id above
        ``after_id``. ``visible``: of these projects alone."""
        ...

    async def by_name(self, name: str) -> list[Test]:
        """One a project, the oldest first."""
        ...

    async def by_id(self, test_id: int) -> Test | None: ...
    async def names(self, visible: tuple[int, ...] | None = None) -> list[str]: ...

    async def add(self, test: Test, document: TestDocument) -> Test:
        """Raises Conflict when the name is taken in the project."""
        ...

    async def replace(self, test: Test, document: TestDocument, was_version: int) -> Test | None:
        """None when it has another version by now. Raises Conflict when the new name is taken."""
        ...

    async def delete(self, test_id: int, now: float) -> bool: ...
    async def versions(self, test_id: int) -> list[TestVersion]: ...
    async def document(self, test_id: int, version: int) -> TestDocument | None: ...
