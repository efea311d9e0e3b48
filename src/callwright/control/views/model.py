"""A list that somebody keeps under a name."""

from __future__ import annotations

import msgspec

__all__ = ["View"]


class View(msgspec.Struct, frozen=True):
    """``page``: whose list it is, such as "calls"; ``query``: the query of its address."""

    id: int
    user_id: int
    page: str
    name: str
    query: str
