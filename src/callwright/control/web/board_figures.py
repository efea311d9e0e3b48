"""The board of live calls: its sentence, and a row for each call and each phone. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Board", "CallRow", "PhoneRow", "board", "counted", "party"]

#: State of a call to its word and the look of that, none where it is calm.
_STATES: Mapping[str, tuple[str, str]] = {
    "INITIAL": ("Dialling", "waiting"),
    "RINGING": ("Ringing", "running"),
    "CONNECTED": ("Talking", ""),
    "ON_HOLD": ("On hold", ""),
}
_ANSWERED = ("CONNECTED", "ON_HOLD")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a call: its number, and the name of whoever has it."""

    number: str
    name: str

    @property
    def words(self) -> str:
        return " ".join(part for part in (self.number, self.name) if part) or "somebody unknown"


@dataclass(frozen=True, slots=True)
class CallRow:
    """``since``: of its state, unix seconds. ``dialled``: where another was reached than was dialled."""

    id: str
    caller: Party
    callee: Party
    dialled: str
    word: str
    look: str
    since: float
    answered: bool
    recorded: bool


@dataclass(frozen=True, slots=True)
class PhoneRow:
    """A contact that is registered. ``user_id`` None: its account stands in a file, and is nobody's.
    Times are unix seconds. ``latency_ms`` None: not measured."""

    ext: str
    name: str
    user_id: int | None
    contact: str
    agent: str
    transport: str
    source: str
    behind_nat: bool
    since: float
    expires_at: float
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class Board:
    """``silent``: users with a line and without a phone, as words; ``suspended`` are not among them."""

    headline: str
    calls: tuple[CallRow, ...]
    phones: tuple[PhoneRow, ...]
    silent: tuple[str, ...]
    reachable: str


def board(calls: Sequence[Row], phones: Sequence[Row], people: Sequence[Row], *, own: bool = False) -> Board:
    """``people``: users who have a line, those whom the visitor may see the phones of; ``own``: the visitor
    alone."""
    names = {str(row["ext"]): full_name(row) for row in people}
    shown = tuple(_phone(row, names.get(str(row["ext"]), "")) for row in phones)
    served = [row for row in people if row["status"] == "active"]
    have = {row.ext for row in shown}
    silent = tuple(party(row["ext"], full_name(row)).words for row in served if row["ext"] not in have)
    rows = tuple(_call(row) for row in sorted(calls, key=lambda row: (row["start_time"], row["id"])))
    reach = (_own if own else _reach)(len(served), len(served) - len(silent))
    return Board(f"{_up(rows)}; {reach}.", rows, shown, silent, reach)


def counted(number: int, one: str, more: str = "") -> str:
    """ "1 call", "2 calls"."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def party(number: Any, name: Any) -> Party:
    return Party(str(number or ""), str(name or ""))


def full_name(row: Row) -> str:
    return " ".join(part for part in (row["first_name"], row["last_name"]) if part)


def _up(rows: Sequence[CallRow]) -> str:
    if not rows:
        return "No calls now"
    kinds = [(sum(row.word == word for row in rows), word.lower()) for word, _ in _STATES.values()]
    there = [(number, word) for number, word in reversed(kinds) if number]
    calls = counted(len(rows), "call")
    if len(there) == 1:
        word = there[0][1]
        return f"{calls}, {word}" if len(rows) == 1 else f"{calls}, all {word}"
    return f"{calls}: {', '.join(f'{number} {word}' for number, word in there)}"


def _reach(served: int, reached: int) -> str:
    if not served:
        return "no user has a line"
    if reached == served:
        return f"all {served} users can be reached" if served > 1 else "the only user can be reached"
    return f"{reached:,} of {counted(served, 'user')} can be reached"


def _own(served: int, reached: int) -> str:
    if not served:
        return "you have no line"
    return "your phone can be reached" if reached else "no phone of yours is registered"


def _call(row: Row) -> CallRow:
    word, look = _STATES.get(row["state"], (str(row["state"]).capitalize(), "waiting"))
    answered = row["state"] in _ANSWERED and row["connected_at"] is not None
    callee = party(row["dst"], row["dst_name"])
    return CallRow(
        str(row["id"]),
        party(row["src"], row["src_name"]),
        callee,
        row["destination"] if row["destination"] != callee.number else "",
        word,
        look,
        float(row["connected_at"] if answered else row["start_time"]),
        answered,
        bool(row["record"]),
    )


def _phone(row: Row, name: str) -> PhoneRow:
    return PhoneRow(
        row["ext"],
        name,
        row["user_id"],
        row["contact"],
        row["user_agent"],
        row["transport"],
        row["source"],
        row["behind_nat"],
        row["registered_at"],
        row["expires_at"],
        row["latency_ms"],
    )
