"""Second factors of users, and their recovery codes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Table, Text, UniqueConstraint, delete, func, select, update

from callwright.control.accounts.model import SecondFactor
from callwright.control.storage.sql.columns import (
    Id,
    Number,
    id_column,
    metadata,
    reference,
    text_column,
    time_column,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, inserting, upsert, values_of

__all__ = ["SqlSecondFactors"]

second_factors = Table(
    "second_factors",
    metadata,
    Column("user_id", Id, primary_key=True, autoincrement=False),
    text_column("sealed_secret"),
    time_column("created_at"),
    time_column("confirmed_at", nullable=True),
    Column("last_step", Number, nullable=False),
    Column("failures", Number, nullable=False),
    time_column("failed_at", nullable=True),
)
recovery_codes = Table(
    "recovery_codes",
    metadata,
    id_column(),
    reference("user_id", "users.id"),
    Column("code_hash", Text(), nullable=False),
    time_column("used_at", nullable=True),
    UniqueConstraint("user_id", "code_hash"),
)

_MINE = second_factors.c.user_id == param("user_id")
_THEIRS = recovery_codes.c.user_id == param("user_id")
_FACTOR = Statement(select(*columns(second_factors, SecondFactor)).where(_MINE))
_CONFIRMED = Statement(
    select(second_factors.c.user_id)
    .where(second_factors.c.confirmed_at.is_not(None))
    .order_by(second_factors.c.user_id)
)
_PUT = upsert(second_factors, ("user_id",), SecondFactor.__struct_fields__)
_CONFIRM = Statement(
    update(second_factors)
    .where(_MINE, second_factors.c.confirmed_at.is_(None))
    .values(confirmed_at=param("now"))
)
_DROP = Statement(delete(second_factors).where(_MINE))
_USE = Statement(
    update(second_factors)
    .where(_MINE, second_factors.c.last_step < param("step"))
    .values(last_step=param("step"))
)
_WRONG = Statement(
    update(second_factors)
    .where(_MINE, second_factors.c.failures == param("seen"))
    .values(failures=param("failures"), failed_at=param("now"))
)
_FORGET = Statement(update(second_factors).where(_MINE).values(failures=0, failed_at=None))
_CODES_GONE = Statement(delete(recovery_codes).where(_THEIRS))
_ADD_CODE = Statement(inserting(recovery_codes, ("user_id", "code_hash")))
_USE_CODE = Statement(
    update(recovery_codes)
    .where(_THEIRS, recovery_codes.c.code_hash == param("code_hash"), recovery_codes.c.used_at.is_(None))
    .values(used_at=param("now"))
)
_CODES_LEFT = Statement(
    select(func.count()).select_from(recovery_codes).where(_THEIRS, recovery_codes.c.used_at.is_(None))
)


class SqlSecondFactors:
    """Second factors on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def second_factor(self, user_id: int) -> SecondFactor | None:
        return await self._db.one(SecondFactor, _FACTOR, {"user_id": user_id})

    async def users_with_second_factor(self) -> list[int]:
        return await self._db.all(int, _CONFIRMED)

    async def put_second_factor(self, factor: SecondFactor) -> None:
        await self._db.run(_PUT, values_of(factor))

    async def confirm_second_factor(self, user_id: int, now: float) -> bool:
        return await self._db.run(_CONFIRM, {"user_id": user_id, "now": now}) > 0

    async def drop_second_factor(self, user_id: int) -> bool:
        async with self._db.transaction() as transaction:
            await transaction.run(_CODES_GONE, {"user_id": user_id})
            return await transaction.run(_DROP, {"user_id": user_id}) > 0

    async def use_code(self, user_id: int, step: int) -> bool:
        return await self._db.run(_USE, {"user_id": user_id, "step": step}) > 0

    async def note_wrong_code(self, user_id: int, seen: int, now: float) -> bool:
        values = {"user_id": user_id, "seen": seen, "failures": seen + 1, "now": now}
        return await self._db.run(_WRONG, values) > 0

    async def forget_wrong_codes(self, user_id: int) -> None:
        await self._db.run(_FORGET, {"user_id": user_id})

    async def put_recovery_codes(self, user_id: int, hashes: Sequence[str]) -> None:
        async with self._db.transaction() as transaction:
            await transaction.run(_CODES_GONE, {"user_id": user_id})
            rows = [{"user_id": user_id, "code_hash": one} for one in hashes]
            await transaction.run_many(_ADD_CODE, rows)

    async def use_recovery_code(self, user_id: int, code_hash: str, now: float) -> bool:
        return await self._db.run(_USE_CODE, {"user_id": user_id, "code_hash": code_hash, "now": now}) > 0

    async def recovery_codes_left(self, user_id: int) -> int:
        return int(await self._db.value(_CODES_LEFT, {"user_id": user_id}))
