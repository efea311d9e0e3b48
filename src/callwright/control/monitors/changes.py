"""What it takes to make the monitors of a project what a file says: a plan of changes, like Terraform's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from callwright.control.monitors.written import Written, WrittenAlert, WrittenEndpoint, row

__all__ = ["Change", "Kind", "Known", "Verb", "plan"]


class Verb(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    RECOVER = "recover"  # it was cancelled: its record and history come back
    CANCEL = "cancel"


class Kind(StrEnum):
    ALERT = "alert"
    ENDPOINT = "endpoint"


class Change(msgspec.Struct, frozen=True):
    """``fields``: name to (what is there, what shall be). ``id`` None: it is to be made. ``line``: of the
    file."""

    verb: Verb
    kind: Kind
    name: str
    id: int | None = None
    fields: Mapping[str, tuple[Any, Any]] = {}
    line: int | None = None


class Known(msgspec.Struct, frozen=True):
    """What the platform has of one name. ``fields``: as a file has them."""

    kind: Kind
    id: int
    name: str
    fields: Mapping[str, Any]
    cancelled: bool = False


def plan(written: Written, known: Iterable[Known], *, keep: bool = False) -> list[Change]:
    """Alerts come before the endpoints that raise them, and go after them. ``keep``: what the file does not
    name stays; a kind that it does not name at all stays in any case."""
    there: dict[Kind, list[Known]] = {Kind.ALERT: [], Kind.ENDPOINT: []}
    for one in known:
        there[one.kind].append(one)
    alerts = _side(Kind.ALERT, written.alerts, there[Kind.ALERT], keep=keep)
    endpoints = _side(Kind.ENDPOINT, written.endpoints, there[Kind.ENDPOINT], keep=keep)
    going = [change for change in alerts if change.verb is Verb.CANCEL]
    return [*(change for change in alerts if change.verb is not Verb.CANCEL), *endpoints, *going]


def _side(
    kind: Kind,
    wanted: Sequence[WrittenAlert] | Sequence[WrittenEndpoint] | None,
    there: Sequence[Known],
    *,
    keep: bool,
) -> list[Change]:
    if wanted is None:
        return []
    found: list[Change] = []
    taken: set[int] = set()
    for one in wanted:
        fields = _fields(one)
        # Of several with one name the living one, then the newest.
        same = sorted(
            (row for row in there if row.name == one.name), key=lambda row: (row.cancelled, -row.id)
        )
        if not same:
            found.append(
                Change(
                    Verb.CREATE,
                    kind,
                    one.name,
                    None,
                    {key: (None, value) for key, value in fields.items()},
                    one.line,
                )
            )
            continue
        row = same[0]
        taken.add(row.id)
        other = {
            key: (row.fields.get(key), value)
            for key, value in fields.items()
            if not _alike(key, row.fields.get(key), value)
        }
        if row.cancelled:
            found.append(Change(Verb.RECOVER, kind, one.name, row.id, other, one.line))
        elif other:
            found.append(Change(Verb.CHANGE, kind, one.name, row.id, other, one.line))
    if not keep:
        found += [
            Change(Verb.CANCEL, kind, row.name, row.id)
            for row in there
            if row.id not in taken and not row.cancelled
        ]
    return found


def _fields(one: WrittenAlert | WrittenEndpoint) -> dict[str, Any]:
    if isinstance(one, WrittenAlert):
        return dict(one.fields)
    found = row(one)
    return {name: found[name] for name in one.said if name != "name"}


def _alike(key: str, old: Any, new: Any) -> bool:
    """The order of names says nothing; an empty text is none; no channels are other than all."""
    if key == "channels" and None in (old, new):
        return old is new
    if key in ("servers", "alerts", "channels"):
        return sorted(old or ()) == sorted(new or ())
    return (old or None) == (new or None)
