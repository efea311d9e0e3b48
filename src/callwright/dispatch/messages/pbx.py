"""Between the web workers and the PBX of one platform."""

from __future__ import annotations

import msgspec


class LinesChanged(msgspec.Struct, frozen=True):
    """Users were added, changed or removed: look at the database. Answered with LinesTaken."""


class LinesTaken(msgspec.Struct, frozen=True):
    """The PBX serves what the database holds now; `accounts` of it in all."""

    accounts: int
