"""A table with every kind of property, what Hypothesis asks of it, and what the answer must be."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, Double, Integer, MetaData, Table, Text, insert, text

from callwright.control.collections.model import (
    Compare,
    Condition,
    Every,
    Kind,
    Operator,
    Property,
    Query,
    Resource,
    Some,
    Sort,
    operators_of,
)
from callwright.control.collections.patterns import normal
from callwright.control.storage.sql.collections import Binding
from callwright.control.storage.sql.database import Database, Statement, param

THINGS = Resource(
    "things",
    (
        Property("id", Kind.INTEGER),
        Property("name", Kind.TEXT),
        Property("nick", Kind.TEXT, nullable=True),
        Property("age", Kind.INTEGER, nullable=True, summed=True),
        Property("mos", Kind.NUMBER, nullable=True, summed=True),
        Property("done", Kind.FLAG),
        Property("seen", Kind.DATE, nullable=True),
        Property("labels", Kind.LABELS),
        Property("extra", Kind.OBJECT),
    ),
)
Row = dict[str, Any]

_Id = BigInteger().with_variant(Integer(), "sqlite")
_table = Table(
    "things",
    MetaData(),
    Column("id", _Id, primary_key=True),
    Column("name", Text(), nullable=False),
    Column("nick", Text()),
    Column("age", _Id),
    Column("mos", Double()),
    Column("done", _Id),
    Column("seen", Double()),
    Column("labels", Text()),
    Column("extra", Text()),
)
BINDING = Binding(
    THINGS,
    _table,
    dict(_table.c.items()),
    decode={"labels": msgspec.json.decode, "extra": msgspec.json.decode, "done": bool},
)

#: Letters whose case is a trap: one lower case for two, two characters for one, another at a word's end.
LETTERS = "aAbÄäßẞİıſKéÉσςΣЖж%_\\'\" 🙂"
WORDS = st.text(LETTERS, max_size=4)
SECOND = 1_535_760_000


def some_rows(count: int = 120) -> list[Row]:
    chance = random.Random(7)

    def maybe(value: Any) -> Any:
        return None if chance.random() < 0.25 else value

    def word() -> str:
        return "".join(chance.choice(LETTERS) for _ in range(chance.randrange(5)))

    return [
        {
            "id": number,
            "name": word(),
            "nick": maybe(word()),
            "age": maybe(chance.randrange(-3, 4)),
            "mos": maybe(chance.randrange(0, 8) / 4),
            "done": chance.random() < 0.5,
            "seen": maybe(SECOND + chance.randrange(0, 24) / 4),
            "labels": [word() for _ in range(chance.randrange(3))],
            "extra": {"n": number},
        }
        for number in range(1, count + 1)
    ]


async def fill(database: Database, rows: list[Row]) -> None:
    await database.run(Statement(text("DROP TABLE IF EXISTS things")))
    whole = "BIGINT" if database.dialect == "postgresql" else "INTEGER"
    await database.run(
        Statement(
            text(
                f"CREATE TABLE things (id {whole} PRIMARY KEY, name TEXT NOT NULL, nick TEXT, age {whole},"
                f" mos DOUBLE PRECISION, done {whole}, seen DOUBLE PRECISION, labels TEXT, extra TEXT)"
            )
        )
    )
    await add(database, rows)


async def add(database: Database, rows: list[Row]) -> None:
    statement = Statement(insert(_table).values({name: param(name) for name in THINGS.by_name}))
    encode = {"labels", "extra"}
    await database.run_many(
        statement,
        [
            {
                name: msgspec.json.encode(value).decode() if name in encode else value
                for name, value in row.items()
            }
            | {"done": int(row["done"])}
            for row in rows
        ],
    )


# -- questions


def _values(kind: Kind) -> st.SearchStrategy[Any]:
    return {
        Kind.INTEGER: st.integers(-4, 130),
        Kind.NUMBER: st.integers(-1, 9).map(lambda n: n / 4),
        Kind.FLAG: st.booleans(),
        Kind.DATE: st.integers(SECOND - 1, SECOND + 7).map(float),
    }.get(kind, WORDS)


@st.composite
def comparisons(draw: st.DrawFn) -> Compare:
    known = draw(st.sampled_from([one for one in THINGS.properties if one.filterable]))
    operator = draw(st.sampled_from(sorted(operators_of(known.kind))))
    values = _values(known.kind)
    if operator is Operator.IN:
        of = st.lists(values | st.none() if known.kind is not Kind.LABELS else values, max_size=4)
        return Compare(known.name, operator, tuple(draw(of)))
    if operator in (Operator.LIKE, Operator.NOTLIKE):
        written = WORDS if known.kind in (Kind.TEXT, Kind.LABELS) else st.text("0123-:%_ ", max_size=6)
        return Compare(known.name, operator, normal(draw(written)))
    if operator in (Operator.EQ, Operator.NE) and known.kind is not Kind.LABELS:
        values = values | st.none()
    return Compare(known.name, operator, draw(values))


CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    comparisons(),
    lambda inner: st.builds(
        lambda kind, of: kind(tuple(of)), st.sampled_from([Every, Some]), st.lists(inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def queries(draw: st.DrawFn) -> Query:
    group_by = draw(st.none() | st.sampled_from(THINGS.orderable))
    named = THINGS.orderable if group_by is None else (group_by, "count", *THINGS.summed)
    sort = draw(st.builds(Sort, st.sampled_from(named), st.booleans()))
    return Query(draw(CONDITIONS), sort, draw(st.integers(1, 3)), draw(st.integers(1, 40)), group_by)
