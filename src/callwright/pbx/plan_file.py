"""The plan of a PBX as a YAML file (JSON too, which is YAML): read with every mistake named, and written.

users:
  1001: {password: secret, display_name: Alice Adams, forwarding: {no_answer: 1002, after: 15}}
  1002: other secret
groups:
  600: {name: Sales, members: [1001, 1002], hunt: in_order, seconds: 15, otherwise: 1001}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from callwright.pbx.accounts import Forwarding, PbxAccount
from callwright.pbx.plan import (
    ConferenceRoom,
    EchoTest,
    Hunt,
    InboundNumber,
    Menu,
    MessageCenter,
    OutboundRoute,
    ParkingSlot,
    PbxPlan,
    Pickup,
    Queue,
    RingGroup,
    Trunk,
)

__all__ = ["PlanError", "read_plan", "write_plan"]

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0", "")


class PlanError(ValueError):
    """A file that is no plan; the text is a sentence that names the place."""


def read_plan(text: str) -> PbxPlan:
    """The plan that a file describes. Raises PlanError. See PbxPlan.problems for what it refers to."""
    import yaml

    try:
        # BaseLoader reads every scalar as text: 0043123 stays itself, and so does the secret `no`.
        document = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise PlanError(str(error)) from None
    top = _Fields("the file", document if document != "" else {})
    accounts = top.each("users", _account, short="password")
    found = {name: top.each(name, read) for name, (read, _) in _SERVICES.items()}
    music = top.texts("music", needed=False)
    found |= {name: top.each(name, read, short=short) for name, (read, _, short) in _OUTSIDE.items()}
    top.done()
    try:
        return PbxPlan(accounts, **found, music=music)
    except ValueError as error:
        raise PlanError(str(error)) from None


def write_plan(plan: PbxPlan) -> str:
    """The file that `read_plan` reads; it holds the passwords."""
    import yaml

    document: dict[str, Any] = {}
    if plan.accounts:
        document["users"] = {account.user: _account_fields(account) for account in plan.accounts}
    for name, (_, fields) in _SERVICES.items():
        services = getattr(plan, name)
        if services:
            document[name] = {service.number: fields(service) for service in services}
    for name, (_, fields, _) in _OUTSIDE.items():
        things = getattr(plan, name)
        if things:
            key = "number" if name == "inbound" else "name"
            document[name] = {getattr(thing, key): fields(thing) for thing in things}
    if plan.music:
        document["music"] = list(plan.music)
    written: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return written


# -- one kind of thing each


def _account(user: str, fields: _Fields) -> PbxAccount:
    forwarding = fields.mapping("forwarding")
    account = PbxAccount(
        user,
        fields.text("password", needed=True),
        fields.text("display_name"),
        extension=fields.text("extension"),
        do_not_disturb=fields.flag("do_not_disturb"),
        mailbox=fields.flag("mailbox"),
        direct=fields.flag("direct"),
        record=fields.flag("record"),
        greeting=fields.texts("greeting", needed=False),
        forwarding=Forwarding(
            always=forwarding.text("always"),
            busy=forwarding.text("busy"),
            no_answer=forwarding.text("no_answer"),
            unreachable=forwarding.text("unreachable"),
            after=forwarding.seconds("after", 20.0),
        ),
    )
    forwarding.done()
    return account


def _account_fields(account: PbxAccount) -> dict[str, Any]:
    forwarding = account.forwarding
    numbers = {
        name: getattr(forwarding, name)
        for name in ("always", "busy", "no_answer", "unreachable")
        if getattr(forwarding, name)
    }
    found: dict[str, Any] = {"password": account.secret}
    if account.display_name:
        found["display_name"] = account.display_name
    if account.extension:
        found["extension"] = account.extension
    if account.do_not_disturb:
        found["do_not_disturb"] = True
    for wish in ("mailbox", "direct", "record"):
        if getattr(account, wish):
            found[wish] = True
    if account.greeting:
        found["greeting"] = list(account.greeting)
    if numbers or forwarding.after != Forwarding().after:
        found["forwarding"] = {**numbers, "after": forwarding.after}
    return found


def _group(number: str, fields: _Fields) -> RingGroup:
    return RingGroup(
        number,
        fields.texts("members"),
        fields.text("name"),
        fields.choice("hunt", Hunt.ALL),
        fields.seconds("seconds", 20.0),
        fields.text("otherwise"),
    )


def _group_fields(group: RingGroup) -> dict[str, Any]:
    found: dict[str, Any] = {"members": list(group.members)}
    if group.name:
        found["name"] = group.name
    found |= {"hunt": group.hunt.value, "seconds": group.seconds}
    if group.otherwise:
        found["otherwise"] = group.otherwise
    return found


def _menu(number: str, fields: _Fields) -> Menu:
    return Menu(
        number,
        fields.mapping("keys").pairs(),
        fields.texts("prompts", needed=False) or ("beep",),
        fields.text("name"),
        fields.seconds("seconds", 5.0),
        fields.count("tries", 3),
        fields.text("otherwise"),
        fields.flag("direct"),
    )


def _menu_fields(menu: Menu) -> dict[str, Any]:
    found: dict[str, Any] = {"prompts": list(menu.prompts), "keys": dict(menu.keys)}
    found |= {"seconds": menu.seconds, "tries": menu.tries}
    return found | _given(name=menu.name, otherwise=menu.otherwise, direct=menu.direct)


def _conference(number: str, fields: _Fields) -> ConferenceRoom:
    return ConferenceRoom(number, fields.text("name"), fields.text("pin"), fields.count("most", 20))


def _conference_fields(room: ConferenceRoom) -> dict[str, Any]:
    return {"most": room.most} | _given(name=room.name, pin=room.pin)


def _queue(number: str, fields: _Fields) -> Queue:
    return Queue(
        number,
        fields.texts("members"),
        fields.text("name"),
        fields.choice("hunt", Hunt.ALL),
        fields.seconds("seconds", 20.0),
        fields.seconds("longest", 600.0),
        fields.count("most", 50),
        fields.texts("music", needed=False) or ("music",),
        fields.text("otherwise"),
    )


def _queue_fields(queue: Queue) -> dict[str, Any]:
    found: dict[str, Any] = {"members": list(queue.members), "hunt": queue.hunt.value}
    found |= {"seconds": queue.seconds, "longest": queue.longest, "most": queue.most}
    return found | {"music": list(queue.music)} | _given(name=queue.name, otherwise=queue.otherwise)


def _parking(number: str, fields: _Fields) -> ParkingSlot:
    return ParkingSlot(number, fields.seconds("seconds", 120.0))


def _given(**fields: str | bool) -> dict[str, Any]:
    """Those that say anything."""
    return {name: value for name, value in fields.items() if value}


def _trunk(name: str, fields: _Fields) -> Trunk:
    return Trunk(
        name,
        fields.text("uri", needed=True),
        fields.text("username"),
        fields.text("password"),
        fields.flag("register"),
        fields.text("caller"),
        fields.texts("sources", needed=False),
        fields.flag("direct"),
        fields.flag("trusted"),
    )


def _trunk_fields(trunk: Trunk) -> dict[str, Any]:
    given = _given(
        username=trunk.username,
        password=trunk.password,
        register=trunk.register,
        caller=trunk.caller,
        direct=trunk.direct,
    )
    listed: dict[str, Any] = {"sources": list(trunk.sources)} if trunk.sources else {}
    return {"uri": trunk.uri} | given | listed | _given(trusted=trunk.trusted)


def _way_out(name: str, fields: _Fields) -> OutboundRoute:
    return OutboundRoute(
        name,
        fields.texts("trunks"),
        fields.text("prefix"),
        fields.count("strip", 0),
        fields.text("prepend"),
        fields.count("shortest", 1),
        fields.count("longest", 32),
        fields.texts("users", needed=False),
    )


def _way_out_fields(way: OutboundRoute) -> dict[str, Any]:
    found: dict[str, Any] = {"trunks": list(way.trunks), "strip": way.strip}
    found |= {"shortest": way.shortest, "longest": way.longest}
    found |= _given(prefix=way.prefix, prepend=way.prepend)
    return found | ({"users": list(way.users)} if way.users else {})


def _inbound(number: str, fields: _Fields) -> InboundNumber:
    return InboundNumber(number, fields.text("to", needed=True), fields.text("trunk"))


def _number_alone(kind: Callable[[str], Any]) -> Callable[[str, _Fields], Any]:
    return lambda number, fields: kind(number)


_SERVICES: dict[str, tuple[Callable[[str, _Fields], Any], Callable[[Any], dict[str, Any]]]] = {
    "groups": (_group, _group_fields),
    "menus": (_menu, _menu_fields),
    "queues": (_queue, _queue_fields),
    "conferences": (_conference, _conference_fields),
    "parking": (_parking, lambda slot: {"seconds": slot.seconds}),
    "pickups": (_number_alone(Pickup), lambda pickup: {}),
    "echoes": (_number_alone(EchoTest), lambda echo: {}),
    "message_centers": (_number_alone(MessageCenter), lambda center: {}),
}
"""By the name of the section, which is that of the field of PbxPlan."""

_OUTSIDE: dict[str, tuple[Callable[[str, _Fields], Any], Callable[[Any], dict[str, Any]], str]] = {
    "trunks": (_trunk, _trunk_fields, ""),
    "outbound": (_way_out, _way_out_fields, ""),
    "inbound": (_inbound, lambda line: {"to": line.to} | _given(trunk=line.trunk), "to"),
}
"""As _SERVICES, with the field that a text in place of a mapping means."""


# -- reading


class _Fields:
    """A mapping of the file, whose fields are taken one by one. `where` names it in errors."""

    def __init__(self, where: str, found: object) -> None:
        if not isinstance(found, Mapping):
            raise PlanError(f"{where}: a mapping of names to values is needed.")
        self._where = where
        self._left: dict[str, object] = {str(name): value for name, value in found.items()}

    def each(self, name: str, read: Callable[[str, _Fields], T], *, short: str = "") -> tuple[T, ...]:
        """Everything of one kind. `short`: the field that a text in place of a mapping means."""
        section = _Fields(name, self._left.pop(name, {}) or {})
        found: list[T] = []
        for key, value in section._left.items():
            where = f"{name} {key}"
            if isinstance(value, str):
                value = {short: value} if short else value or {}
            fields = _Fields(where, value)
            try:
                found.append(read(key, fields))
            except PlanError:
                raise
            except ValueError as error:
                raise PlanError(f"{where}: {error}") from None
            fields.done()
        return tuple(found)

    def mapping(self, name: str) -> _Fields:
        return _Fields(f"{self._where}, {name}", self._left.pop(name, {}) or {})

    def text(self, name: str, *, needed: bool = False) -> str:
        found = self._left.pop(name, "")
        if not isinstance(found, str):
            raise PlanError(f"{self._where}: {name} is a text.")
        if needed and not found:
            raise PlanError(f"{self._where}: {name} is missing.")
        return found

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All of it, as texts."""
        pairs = tuple((name, self.text(name)) for name in list(self._left))
        if not pairs:
            raise PlanError(f"{self._where} is a mapping of keys to numbers, such as {{1: 1001}}.")
        return pairs

    def texts(self, name: str, *, needed: bool = True) -> tuple[str, ...]:
        found = self._left.pop(name, [])
        if not found and not needed:
            return ()
        if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
            raise PlanError(f"{self._where}: {name} is a list, such as [1001, 1002].")
        return tuple(found)

    def flag(self, name: str) -> bool:
        found = self.text(name).lower()
        if found not in (*_YES, *_NO):
            raise PlanError(f"{self._where}: {name} is yes or no, not {found!r}.")
        return found in _YES

    def seconds(self, name: str, default: float) -> float:
        found = self.text(name)
        try:
            return float(found) if found else default
        except ValueError:
            raise PlanError(f"{self._where}: {name} is a number of seconds, not {found!r}.") from None

    def count(self, name: str, default: int) -> int:
        found = self.text(name)
        if found and not (found.isascii() and found.isdigit() and len(found) < 6):
            raise PlanError(f"{self._where}: {name} is a number, not {found!r}.")
        return int(found) if found else default

    def choice(self, name: str, default: E) -> E:
        found = self.text(name)
        kind = type(default)
        try:
            return kind(found) if found else default
        except ValueError:
            names = ", ".join(one.value for one in kind)
            raise PlanError(f"{self._where}: {name} is one of {names}, not {found!r}.") from None

    def done(self) -> None:
        """Nothing is left that nobody knows."""
        if self._left:
            raise PlanError(f"{self._where}: {next(iter(self._left))!r} is not known.")
