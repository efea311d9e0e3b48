"""ladder.json: a ladder on disk, so that a page can be drawn, and two runs compared, without the capture."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from callwright.evidence.ladder import GapRow, Ladder, MessageRow, Row, StreamRow
from callwright.evidence.lanes import Party
from callwright.evidence.shown import shown_json

MOST_ROWS = 5_000
"""Rows that are kept; the capture has the others."""

_KINDS: dict[str, type[Row]] = {"message": MessageRow, "stream": StreamRow, "gap": GapRow}
#: msgspec 0.22 ends the process when two threads convert to the same dataclass for the first time.
_READING = threading.Lock()
_NAMES = {kind: name for name, kind in _KINDS.items()}


def write_ladder(ladder: Ladder) -> str:
    """The JSON: `origin` (unix seconds), `parties`, `rows`, each with its `kind`; `left_out` counts rows."""
    document = {
        "origin": ladder.origin,
        "parties": ladder.parties,
        "rows": [row_to_json(row) for row in ladder.rows[:MOST_ROWS]],
        "left_out": max(0, len(ladder.rows) - MOST_ROWS),
    }
    return shown_json(msgspec.json.encode(document).decode()) + "\n"


def read_ladder(text: str | bytes) -> Ladder:
    """The reverse. Raises ValueError (msgspec.ValidationError) for anything else."""
    return ladder_from_json(msgspec.json.decode(text, type=dict[str, Any]))


def ladder_from_json(document: Mapping[str, Any]) -> Ladder:
    """As `read_ladder`, of what was decoded already."""
    try:
        with _READING:
            parties = tuple(msgspec.convert(party, Party) for party in document["parties"])
        return Ladder(
            parties,
            tuple(row_from_json(row) for row in document["rows"]),
            float(document["origin"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is not a ladder: {error}") from None


def row_to_json(row: Row) -> dict[str, Any]:
    """One row, as it stands in the file."""
    return {"kind": _NAMES[type(row)], **msgspec.to_builtins(row)}


def row_from_json(document: dict[str, Any]) -> Row:
    """The reverse. Raises ValueError."""
    with _READING:
        return msgspec.convert(document, _KINDS[document["kind"]], str_keys=True)
