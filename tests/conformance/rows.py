"""Rows for the tests of stores."""

from __future__ import annotations

from typing import Any

from callwright.control.runs.model import NewRun, Run
from callwright.control.storage.stores import Stores
from callwright.control.tests.model import Test, TestDocument

NOW = 1_000_000.0


async def a_test(stores: Stores, name: str = "basic", tags: tuple[str, ...] = (), **fields: Any) -> Test:
    project = await stores.projects.project("p") or await stores.projects.add_project("p", "", NOW)
    row = Test(0, project.id, project.name, name, "A title", "", tags, 1, NOW, NOW, ())
    for field, value in fields.items():
        row = _with(row, field, value)
    return await stores.tests.add(row, TestDocument(0, 1, "name: x", "ana", NOW))


def a_new_run(test: Test, number: int = 0, **fields: Any) -> NewRun:
    values: dict[str, Any] = {
        "session_id": f"00000000-0000-4000-8000-{number:012d}",
        "test_id": test.id,
        "test_name": test.name,
        "testcase_name": test.title,
        "project_id": test.project_id,
        "project_name": test.project_name,
        "pool": "default",
        "tags": (),
        "created_at": NOW + number,
        "started_by": "ana",
        "kiosk": None,
        "deadline_at": NOW + 600,
        "max_seconds": 100.0,
        "test_version": 1,
        "sealed_overrides": "",
        "shown": {},
    }
    return NewRun(**(values | fields))


async def a_run(stores: Stores, test: Test | None = None, number: int = 0, **fields: Any) -> Run:
    test = test or await a_test(stores, f"test-{number}")
    new = a_new_run(test, number, **fields)
    runs, _ = await stores.runs.add([new], user_id=1, key=None, fingerprint="")
    return runs[0]


def _with(row: Any, field: str, value: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(row, **{field: value})
