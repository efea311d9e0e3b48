"""Lists are paged, sorted, filtered and grouped alike on every database, as they are without one."""

from __future__ import annotations

import asyncio
import unicodedata

import pytest
from hypothesis import given, settings

from callwright.control.collections.choosing import chosen
from callwright.control.collections.model import Compare, Operator, Query, Sort
from callwright.control.collections.patterns import fold, normal
from callwright.control.collections.reading import read_condition
from callwright.control.storage.schema import Location
from callwright.control.storage.sql.collections import rows_of
from callwright.control.storage.stores import Stores, open_stores
from tests.collections.things import BINDING, THINGS, Row, add, fill, queries, some_rows
from tests.kit.examples import examples


def test_every_question_has_the_answer_that_it_has_without_a_database(location: Location) -> None:
    rows = some_rows()
    with asyncio.Runner() as runner:
        stores = runner.run(open_stores(location))
        runner.run(fill(stores.database, rows))

        @settings(max_examples=examples(250))
        @given(queries())
        def agree(query: Query) -> None:
            found = runner.run(rows_of(stores.database, BINDING, query))
            assert found == chosen(THINGS, rows, query)

        try:
            agree()
        finally:
            runner.run(stores.close())


async def names(stores: Stores, filter_: str) -> list[str]:
    found = await rows_of(stores.database, BINDING, Query(read_condition(THINGS, filter_), limit=5_000))
    return [str(row["name"]) for row in found.rows]


def named(*texts: str) -> list[Row]:
    row = some_rows(1)[0]
    return [row | {"id": number, "name": text} for number, text in enumerate(texts, 1)]


_TEXTS = (
    *("Ärger", "kein ärger", "ÄRGER", "100% sure", "1000", "a_b", "axb", "back\\slash"),
    *("Οδυσσεύς", "ΟΔΥΣΣΕΥΣ", "οδυς"),
)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("ÄRGER", ["Ärger", "kein ärger", "ÄRGER"]),
        ("ärger%", ["Ärger", "ÄRGER"]),
        ("%ärger", ["Ärger", "kein ärger", "ÄRGER"]),
        ("_rger", ["Ärger", "ÄRGER"]),
        ("100\\\\%", ["100% sure"]),
        ("100%", ["100% sure", "1000"]),
        ("a\\\\_b", ["a_b"]),
        ("a_b", ["a_b", "axb"]),
        ("back\\\\\\\\slash", ["back\\slash"]),
        ("back\\\\s", ["back\\slash"]),
        ("ΟΔΥΣ", ["Οδυσσεύς", "ΟΔΥΣΣΕΥΣ", "οδυς"]),
        ("", [*_TEXTS]),
    ],
)
async def test_like_finds_the_same_rows_whatever_the_case_the_script_and_the_escapes(
    stores: Stores, pattern: str, found: list[str]
) -> None:
    await fill(stores.database, named(*_TEXTS))
    like = f'[{{"property":"name","operator":"like","value":"{pattern}"}}]'
    assert await names(stores, like) == found
    others = await names(stores, like.replace('"like"', '"notlike"'))
    assert sorted([*others, *found]) == sorted(_TEXTS)


async def test_every_letter_of_two_cases_is_found_by_the_other(stores: Stores) -> None:
    """Of the Unicode that every supported database knows; newer letters wait for newer databases."""
    letters = [
        chr(point)
        for point in range(0x110000)
        if chr(point).lower() != chr(point)
        and chr(point) in _OLD
        and unicodedata.category(chr(point)) == "Lu"
    ]
    await fill(stores.database, named(*letters))
    missing = []
    for letter in letters[::7]:
        where = Compare("name", Operator.LIKE, normal(fold(letter)))
        found = await rows_of(stores.database, BINDING, Query(where))
        if letter not in [row["name"] for row in found.rows]:
            missing.append(letter)
    assert missing == []


_OLD = {chr(point) for block in ((0x41, 0x250), (0x370, 0x588), (0x1E00, 0x2000)) for point in range(*block)}


async def test_a_row_is_on_one_page_however_many_are_added_meanwhile(stores: Stores) -> None:
    await fill(stores.database, [])
    rows = some_rows(60)
    waiting = rows[40:]
    await add(stores.database, rows[:40])
    seen: list[object] = []
    page = 0
    while True:
        page += 1
        found = await rows_of(stores.database, BINDING, Query(sort=Sort("id"), page=page, limit=9))
        seen += [row["id"] for row in found.rows]
        await add(stores.database, waiting[:4])
        del waiting[:4]
        if len(seen) >= found.total:
            break
    assert len(seen) == found.total == len(set(seen)) == 60


async def test_values_are_parameters_whatever_they_look_like(stores: Stores) -> None:
    rows = named("'; DROP TABLE things; --", "$1", ":name", "?", "x")
    await fill(stores.database, rows)
    for row in rows:
        for operator in (Operator.EQ, Operator.LIKE):
            text = row["name"] if operator is Operator.EQ else normal(row["name"])
            found = await rows_of(stores.database, BINDING, Query(Compare("name", operator, text)))
            assert [one["name"] for one in found.rows] == [row["name"]]
