"""The dial plan of the database as parts of the PBX's own plan. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from callwright.control.dialplan.model import Item
from callwright.pbx.plan import (
    ConferenceRoom,
    Hunt,
    InboundNumber,
    Menu,
    OutboundRoute,
    PbxPlan,
    Queue,
    RingGroup,
    Trunk,
)

__all__ = ["Secret", "part_of", "with_items"]

#: The secret of an item in the clear; None: it has none. Raises LookupError for one that does not open.
Secret = Callable[[Item], str | None]
Part = Queue | RingGroup | Menu | ConferenceRoom | InboundNumber | Trunk | OutboundRoute


class _Names(msgspec.Struct, frozen=True):
    """What ids mean: extensions of users, names of trunks."""

    exts: Mapping[int, str]
    trunks: Mapping[int, str]

    def users(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(self.exts[one] for one in settings["users"] if one in self.exts)


def part_of(item: Item, exts: Mapping[int, str], trunks: Mapping[int, str], secret: str | None) -> Part:
    """``exts``: of users by the id of the chapter; ``trunks``: names by id. Those that are not there are left
    out. Raises ValueError with a sentence."""
    at, names = item.settings, _Names(exts, trunks)
    match item.kind:
        case "queues":
            return Queue(
                at["ext"],
                names.users(at),
                at["name"],
                Hunt(at["ring_strategy"]),
                float(at["ring_time"]),
                float(at["max_wait"]),
                at["max_callers"],
                otherwise=at["destination"] or "",
                id=str(item.id),
            )
        case "ringgroups":
            return RingGroup(
                at["ext"],
                names.users(at),
                at["name"],
                Hunt(at["ring_strategy"]),
                float(at["ring_time"]),
                at["destination"] or "",
                id=str(item.id),
            )
        case "ivrs":
            return Menu(
                at["ext"],
                tuple(at["options"].items()),
                tuple(at["prompts"]),
                at["name"],
                float(at["timeout"]),
                at["tries"],
                at["destination"] or "",
                at["direct"],
                id=str(item.id),
            )
        case "conferences":
            return ConferenceRoom(
                at["ext"], at["name"], secret or "", at["max_participants"], id=str(item.id)
            )
        case "numbers":
            if at["trunk_id"] is not None and at["trunk_id"] not in trunks:
                raise ValueError(f"The trunk of the number {at['number']} is not there.")
            trunk = trunks[at["trunk_id"]] if at["trunk_id"] is not None else ""
            return InboundNumber(at["number"], at["destination"], trunk)
        case "trunks":
            return Trunk(
                at["name"],
                at["uri"],
                at["username"],
                secret or "",
                at["register"],
                at["caller_id"] or "",
                tuple(at["sources"]),
            )
        case "routes":
            users = names.users(at)
            if at["users"] and not users:
                raise ValueError(f"Nobody whom the route {at['name']} is for has a line.")
            return OutboundRoute(
                at["name"],
                tuple(trunks[one] for one in at["trunks"] if one in trunks),
                at["prefix"],
                at["strip"],
                at["prepend"],
                at["shortest"],
                at["longest"],
                users,
            )
        case _:
            raise ValueError(f"{item.kind!r} is nothing that the PBX knows.")


_PLACES: Mapping[type, str] = {
    Queue: "queues",
    RingGroup: "groups",
    Menu: "menus",
    ConferenceRoom: "conferences",
    InboundNumber: "inbound",
    Trunk: "trunks",
    OutboundRoute: "outbound",
}


def with_items(
    base: PbxPlan, items: Sequence[Item], exts: Mapping[int, str], secret: Secret
) -> tuple[PbxPlan, list[str]]:
    """The plan with the items, and a sentence for each that is left out. Numbers and names of ``base`` go
    first: one item that cannot be never keeps the others from being served."""
    passed_over: list[str] = []
    plan = base
    # Trunks first, since numbers and routes name them.
    order = sorted(items, key=lambda one: (one.kind != "trunks", one.settings.get("position", 0), one.id))
    trunks: dict[int, str] = {}
    for item in order:
        try:
            part = part_of(item, exts, trunks, secret(item))
            place = _PLACES[type(part)]
            plan = replace(plan, **{place: (*getattr(plan, place), part)})
        except LookupError:
            passed_over.append(f"{_word(item)}: its secret does not open with this key; set it again.")
        except ValueError as error:
            passed_over.append(f"{_word(item)}: {error}")
        else:
            if item.kind == "trunks":
                trunks[item.id] = item.settings["name"]
    return plan, passed_over


def _word(item: Item) -> str:
    return f"{item.kind} {item.id}"
