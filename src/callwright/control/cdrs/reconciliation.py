"""What a test measured of its calls beside what another system has recorded of them, in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from callwright.control.cdrs.legs import disposition_of
from callwright.control.collections.model import Compare, Condition, Every, Operator, Some
from callwright.outcome.call import CallOutcome
from callwright.outcome.terms import Direction

__all__ = ["MOST_LEGS", "Reconciled", "reconcile", "records_of"]

MOST_LEGS = 500  # of one run that are laid beside records
_NEAR = 10.0  # seconds between the begin of a call and of a record without its Call-ID
_SLACK = 1.0  # seconds that talk may differ by: records have whole ones, and each side has its own clock
_LATE = 5.0  # seconds that begins may differ by

Record = Mapping[str, object]


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """A leg of the test and its record. Durations are seconds of talk; `started_at` unix seconds. ``record``
    None: there is none. ``differences``: sentences, empty: all is alike. ``by``: how the record was found,
    "call_id" or "number"."""

    call_id: str | None
    address: str | None
    party: str | None
    direction: str
    number: str
    started_at: float | None
    duration: float | None
    disposition: str
    record: dict[str, object] | None
    by: str | None
    differences: tuple[str, ...]


def records_of(calls: Sequence[CallOutcome]) -> Condition:
    """What asks for the records that may be of these calls."""
    ids = tuple({call.call_id for call in calls if call.call_id})
    near: list[Condition] = []
    numbers = tuple({number for call in calls for number in _numbers(call)})
    begins = [call.started_at for call in calls if call.started_at is not None]
    if begins and numbers:
        near += [
            Compare("calldate", Operator.GTE, min(begins) - _NEAR),
            Compare("calldate", Operator.LTE, max(begins) + _NEAR),
            Some((Compare("dst", Operator.IN, numbers), Compare("destination", Operator.IN, numbers))),
        ]
    found: list[Condition] = [Compare("call_id", Operator.IN, ids)] if ids else []
    return Some((*found, *([Every(tuple(near))] if near else [])))


def reconcile(calls: Sequence[CallOutcome], records: Iterable[Record]) -> list[Reconciled]:
    """Each leg that the test placed, and each that it answered of which there is a record of its own.

    A record is of a call by its Call-ID; else, since many systems keep none, by its number and its begin, the
    nearest first and each once.
    """
    left = [dict(record) for record in records]
    found: dict[int, tuple[dict[str, object], str]] = {}
    again: dict[int, int] = {}
    for index, call in enumerate(calls):
        mine = [one for one in left if call.call_id and one.get("call_id") == call.call_id]
        own = [
            one for one in mine if (one.get("type") == "O") is (call.direction is Direction.OUTGOING)
        ] or mine
        if own:
            found[index] = own[0], "call_id"
            again[index] = len(own) - 1
            left = [one for one in left if one not in mine]
    for index, call in enumerate(calls):
        if index in found or call.direction is not Direction.OUTGOING:
            continue
        near = [one for one in left if _is_near(call, one)]
        if near:
            record = min(near, key=_distance(call))
            found[index] = record, "number"
            left.remove(record)
    return [
        _reconciled(call, found.get(index), again.get(index, 0))
        for index, call in enumerate(calls)
        if index in found or call.direction is Direction.OUTGOING
    ]


def _reconciled(call: CallOutcome, found: tuple[dict[str, object], str] | None, again: int) -> Reconciled:
    record, by = found or (None, None)
    answered = call.answered
    duration = None if call.duration_ms is None else round(call.duration_ms / 1000, 3)
    disposition = disposition_of(call.sip_code, answered)
    told: list[str] = []
    if record is None:
        told.append(f"No record of this call to {_shown(call)}.")
    else:
        if again:
            records = "record" if again == 1 else "records"
            told.append(f"There {'is' if again == 1 else 'are'} {again} more {records} of this call.")
        told += _differing(call, record, disposition, duration or 0.0)
    return Reconciled(
        call_id=call.call_id,
        address=call.address,
        party=call.party,
        direction=call.direction.value,
        number=_shown(call),
        started_at=call.started_at,
        duration=duration,
        disposition=disposition,
        record=record,
        by=by,
        differences=tuple(told),
    )


def _differing(call: CallOutcome, record: Record, disposition: str, duration: float) -> list[str]:
    told: list[str] = []
    said, talked = str(record.get("disposition") or ""), _seconds(record.get("billsec"))
    if said != disposition:
        code = f" ({call.sip_code})" if call.sip_code is not None else ""
        told.append(f"The record says {said or 'nothing'}; the test saw {disposition}{code}.")
    if talked is not None and abs(talked - duration) > _SLACK:
        more = "more" if talked > duration else "less"
        told.append(
            f"The record has {talked:g} s of talk; the test measured {duration:.1f} s, "
            f"so {abs(talked - duration):.1f} s {more} would be charged."
        )
    begun = _moment(record.get("calldate"))
    if begun is not None and call.started_at is not None and abs(begun - call.started_at) > _LATE:
        when = "later" if begun > call.started_at else "earlier"
        told.append(
            f"The record begins {abs(begun - call.started_at):.0f} s {when} than the call: "
            "look at the clock or the time zone of the recording system."
        )
    return told


def _is_near(call: CallOutcome, record: Record) -> bool:
    begun = _moment(record.get("calldate"))
    if begun is None or call.started_at is None or abs(begun - call.started_at) > _NEAR:
        return False
    return any(record.get(name) in _numbers(call) for name in ("dst", "destination"))


def _distance(call: CallOutcome) -> Callable[[Record], tuple[bool, float]]:
    """A caller's record before one of who was called, then the nearest."""

    def measured(record: Record) -> tuple[bool, float]:
        begun = _moment(record.get("calldate")) or 0.0
        return record.get("type") != "O", abs(begun - (call.started_at or 0.0))

    return measured


def _numbers(call: CallOutcome) -> tuple[str, ...]:
    """What was dialled, as a record may have it."""
    dialled = _shown(call)
    return tuple(dict.fromkeys(filter(None, (dialled, dialled.lstrip("+"))))) if dialled else ()


def _shown(call: CallOutcome) -> str:
    text = (
        (call.destination or call.remote or "") if call.direction is Direction.OUTGOING else call.local or ""
    )
    return re.split(r"[@;:]", re.sub(r"^(sips?|tel):", "", text.strip(), flags=re.IGNORECASE), maxsplit=1)[0]


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _moment(value: object) -> float | None:
    """Unix seconds of a date, as lists have it."""
    if isinstance(value, str):
        try:
            return datetime.strptime(value, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
        except ValueError:
            return None
    return _seconds(value)
