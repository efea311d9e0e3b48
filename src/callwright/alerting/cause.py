"""The smallest explanation of what is wrong: this server, this endpoint, or what lies between the two."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

__all__ = ["Cause", "CauseKind", "explain"]


class CauseKind(StrEnum):
    ENDPOINT = "endpoint"  # every server that measures it finds it bad
    SERVER = "server"  # it finds bad everything that it measures, and others do not
    PATH = "path"  # between one server and one endpoint


class Cause(msgspec.Struct, frozen=True, order=True):
    """``server`` and ``endpoint``: None where the cause is not theirs."""

    kind: CauseKind
    server: int | None = None
    endpoint: int | None = None


def explain(bad: Mapping[tuple[int, int], bool]) -> dict[Cause, set[tuple[int, int]]]:
    """Causes and the cells that each explains, every bad cell once. ``bad``: (server, endpoint) to whether it
    is; what was not measured is not in it.

    A server or an endpoint is a cause only where all its cells are bad, and a server only with two of them:
    one alone says nothing of the server. The one that explains most goes first; of two alike the endpoint,
    which more than one server sees.
    """
    left = {cell for cell, wrong in bad.items() if wrong}
    found: dict[Cause, set[tuple[int, int]]] = {}
    candidates: list[tuple[Cause, set[tuple[int, int]]]] = []
    by_server: dict[int, set[tuple[int, int]]] = {}
    by_endpoint: dict[int, set[tuple[int, int]]] = {}
    for cell in bad:
        by_server.setdefault(cell[0], set()).add(cell)
        by_endpoint.setdefault(cell[1], set()).add(cell)
    for server, cells in sorted(by_server.items()):
        if cells <= left and len(cells) > 1:
            candidates.append((Cause(CauseKind.SERVER, server=server), cells))
    for endpoint, cells in sorted(by_endpoint.items()):
        if cells <= left:
            candidates.append((Cause(CauseKind.ENDPOINT, endpoint=endpoint), cells))
    while candidates:
        candidates.sort(key=lambda one: (-len(one[1] & left), one[0]))
        cause, cells = candidates.pop(0)
        if not cells & left:
            break
        found[cause] = cells & left
        left -= cells
    for server, endpoint in sorted(left):
        found[Cause(CauseKind.PATH, server=server, endpoint=endpoint)] = {(server, endpoint)}
    return found
