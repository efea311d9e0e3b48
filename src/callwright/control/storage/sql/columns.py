"""What tables are made of. Times are unix seconds; lists and objects are JSON texts; large texts are kept in
tables of their own, so that the rows a list reads stay small."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: 64 bits on PostgreSQL; SQLite counts only an INTEGER PRIMARY KEY by itself.
Id = BigInteger().with_variant(Integer(), "sqlite")
Number = BigInteger().with_variant(Integer(), "sqlite")


#: By code points in every order, whatever the language of the database, so that an index serves it.
ordered_text = Text().with_variant(Text(collation="C"), "postgresql")


def id_column() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def text_column(name: str, *, default: str | None = "", nullable: bool = False) -> Column[str]:
    return Column(name, Text(), nullable=nullable, server_default=None if nullable else default)


def time_column(name: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Double(), nullable=nullable)


def reference(name: str, target: str, *, nullable: bool = False, cascade: bool = False) -> Column[int]:
    key = ForeignKey(target, ondelete="CASCADE" if cascade else None)
    return Column(name, Id, key, nullable=nullable)


def unique_where(name: str, condition: str, *columns: Any) -> Index:
    where = text(condition)
    return Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)
