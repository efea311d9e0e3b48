"""Between the processes of a platform, and between the platforms on one database."""

from __future__ import annotations

import msgspec


class RunsChanged(msgspec.Struct, frozen=True):
    run_id: int | None = None


class Health(msgspec.Struct, frozen=True):
    """What the keeper misses, in words; nothing when all is well."""

    missing: tuple[str, ...] = ()


class Leader(msgspec.Struct, frozen=True):
    """A platform that leads tells the others on its database; a higher term is a later one."""

    holder: str
    term: int
