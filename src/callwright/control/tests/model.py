"""A test and its versions. Times are unix seconds (float)."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class Test(msgspec.Struct, frozen=True):
    """A row of the list. ``parameters``: what ParameterView.to_json() gave when the document was saved."""

    __test__: ClassVar[bool] = False  # pytest: this is no test of ours

    id: int
    project_id: int
    project_name: str
    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    version: int
    created_at: float
    updated_at: float
    parameters: tuple[dict[str, Any], ...]


class TestDocument(msgspec.Struct, frozen=True):
    """The text of one version. ``author``: user name."""

    __test__: ClassVar[bool] = False

    test_id: int
    version: int
    document: str
    author: str
    created_at: float


class TestVersion(msgspec.Struct, frozen=True):
    __test__: ClassVar[bool] = False

    test_id: int
    version: int
    author: str
    created_at: float


class CatalogueEntry(msgspec.Struct, frozen=True):
    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    document: str
    parameters: tuple[dict[str, Any], ...]  # as in Test
