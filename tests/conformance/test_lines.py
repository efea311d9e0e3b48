"""Lines of the PBX and the list of users, on every database."""

from __future__ import annotations

import msgspec
import pytest

from callwright.control.accounts.model import Role, User
from callwright.control.collections.model import Query
from callwright.control.collections.reading import read_condition
from callwright.control.errors import Conflict
from callwright.control.lines.model import PEOPLE, Line, full_name
from callwright.control.storage.stores import Stores
from tests.conformance.rows import NOW


async def a_user(stores: Stores, first: str, last: str) -> User:
    username = first.split()[0].lower()
    row = User(0, username, full_name(first, last), "", Role.RUNNER, "Normal", "UTC", NOW, None, None)
    return await stores.accounts.add_user(row, "")


async def named(stores: Stores, filter_: str = "", only: int | None = None) -> list[tuple[object, object]]:
    found = await stores.lines.people(Query(read_condition(PEOPLE, filter_)), only=only)
    assert found.total == len(found.rows)
    return [(row["first_name"], row["last_name"]) for row in found.rows]


async def test_first_and_last_names_are_told_apart_and_found(stores: Stores) -> None:
    names = [("Mary Jane", "Van Dyke"), ("Ben", ""), ("Żaneta", "Łoś")]
    for first, last in names:
        await a_user(stores, first, last)
    assert await named(stores) == names
    for first, last in names:
        for name, value in (("first_name", first), ("last_name", last)):
            where = f'[{{"property":"{name}","operator":"=","value":"{value}"}}]'
            assert await named(stores, where) == [(first, last)]


async def test_a_line_is_of_one_user_and_its_extension_free_when_that_user_is_deleted(stores: Stores) -> None:
    ana, ben = await a_user(stores, "Ana", "A"), await a_user(stores, "Ben", "B")
    line = Line(ana.id, "2001", "sealed", NOW, NOW, dnd=1, forward_busy="2002")
    await stores.lines.put_line(line)
    assert await stores.lines.line(ana.id) == line
    assert await stores.lines.lines_in_use() == [(line, "Ana A")]
    assert await named(stores, only=ben.id) == [("Ana", "A"), ("Ben", "B")]
    assert await named(stores, only=ana.id) == [("Ana", "A")]
    with pytest.raises(Conflict):
        await stores.lines.put_line(msgspec.structs.replace(line, user_id=ben.id))
    await stores.accounts.replace_user(msgspec.structs.replace(ana, deleted_at=NOW))
    assert await stores.lines.lines_in_use() == []
    await stores.lines.put_line(msgspec.structs.replace(line, user_id=ben.id))
    assert [one.user_id for one, _ in await stores.lines.lines_in_use()] == [ben.id]
    assert await stores.lines.drop_line(ben.id)
    assert await stores.lines.line(ben.id) is None
