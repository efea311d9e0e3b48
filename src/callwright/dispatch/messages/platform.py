"""Between the web workers and the keeper of one platform."""

from __future__ import annotations

import msgspec


class RunsChanged(msgspec.Struct, frozen=True):
    run_id: int | None = None


class Health(msgspec.Struct, frozen=True):
    """What the keeper misses, in words; nothing when all is well."""

    missing: tuple[str, ...] = ()
