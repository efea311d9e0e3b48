"""The dial plan of the platform's PBX: made, changed, several things at once, and told to the PBX."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from callwright.control.accounts.authorize import authorize
from callwright.control.accounts.model import Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.collections.choosing import chosen
from callwright.control.collections.model import Query, Rows
from callwright.control.credentials.vault import Vault
from callwright.control.dialplan.fields import checked
from callwright.control.dialplan.model import KINDS, SECRETS, WORDS, Item
from callwright.control.dialplan.parts import part_of
from callwright.control.dialplan.store import DialplanStore
from callwright.control.errors import Conflict, Invalid, NotFound, RefusedByPolicy, StorageUnavailable
from callwright.control.lines.service import Lines
from callwright.control.runs.admission import rules
from callwright.control.runs.remedies import by_administrator
from callwright.control.targets.service import Targets
from callwright.net.clock import Clock
from callwright.policy.destination import Destination, Purpose, decide
from callwright.sip.uri import Uri

__all__ = ["Dialplan"]

_MOST = 1_000  # things of one kind, and of one request
_UNSEEN = frozenset({"numbers", "trunks", "routes"})  # what leads outside is for administrators to see
#: By the kind that is named: which kinds name it, and in which field.
_NAMED_BY: Mapping[str, tuple[tuple[str, str], ...]] = {
    "trunks": (("routes", "trunks"), ("numbers", "trunk_id"))
}


class Dialplan:
    """``taken``: numbers of the PBX's files. ``on_change``: awaited after each change."""

    def __init__(
        self,
        store: DialplanStore,
        lines: Lines,
        targets: Targets,
        vault: Vault,
        *,
        audit: Audit,
        clock: Clock,
        taken: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._store, self._lines, self._targets, self._vault = store, lines, targets, vault
        self._audit, self._clock, self._taken = audit, clock, taken
        self.on_change: list[Callable[[], Awaitable[None]]] = []

    # -- reading

    async def rows(self, identity: Identity, kind: str, query: Query) -> Rows:
        """Rows of ``KINDS[kind]``. Raises Forbidden for what only administrators see."""
        self._see(identity, kind)
        return chosen(KINDS[kind], [_row(one) for one in await self._store.items(kind)], query)

    async def get(self, identity: Identity, kind: str, item_id: int) -> dict[str, object]:
        """Raises NotFound, Forbidden."""
        self._see(identity, kind)
        return _row(await self._found(kind, item_id))

    async def items(self) -> list[Item]:
        """Everything, for the PBX alone."""
        return await self._store.items()

    def secret(self, item: Item) -> str | None:
        """Its PIN or password, for the PBX alone. Raises LookupError when another key has sealed it."""
        if item.sealed is None:
            return None
        try:
            return self._vault.open(item.sealed, _sealed_for(item.id))
        except StorageUnavailable:
            raise LookupError(item.key) from None

    # -- changes

    async def create(self, identity: Identity, kind: str, fields: Mapping[str, Any]) -> dict[str, object]:
        """Raises Invalid, Conflict, RefusedByPolicy, Forbidden."""
        authorize(identity, Right.ADMINISTER)
        settings = checked(kind, fields, new=True)
        secret = settings.pop(SECRETS[kind][0]) if kind in SECRETS else None
        async with self._audit.change():
            if len(await self._store.items(kind)) >= _MOST:
                raise Conflict(f"There are {_MOST:,} {kind} already.", "Delete some.")
            now = self._clock.wall()
            item = Item(0, kind, _key(kind, settings), settings, None, now, now)
            await self._check(item, fields)
            with _telling(item):
                item = await self._store.add_item(item)
            if secret is not None:  # bound to the id that it has now
                item = msgspec.structs.replace(item, sealed=self._seal(item, secret))
                await self._store.replace_item(item)
            await self._audit.note(identity, "pbx.created", _words(item), item.key)
        await self._tell()
        return _row(item)

    async def change(
        self, identity: Identity, kind: str, changes: Sequence[tuple[int, Mapping[str, Any]]]
    ) -> list[dict[str, object]]:
        """Each an id and its fields; all of them or none. Raises as `create`, and NotFound."""
        authorize(identity, Right.ADMINISTER)
        _check_number(kind, len(changes))
        changed = []
        async with self._audit.change():
            for item_id, fields in changes:
                settings = checked(kind, fields, new=False)
                before = await self._found(kind, item_id)
                sealed = before.sealed
                if kind in SECRETS and SECRETS[kind][0] in settings:
                    secret = settings.pop(SECRETS[kind][0])
                    sealed = None if secret is None else self._seal(before, secret)
                whole = {**before.settings, **settings}
                after = msgspec.structs.replace(
                    before,
                    settings=whole,
                    key=_key(kind, whole),
                    sealed=sealed,
                    updated_at=self._clock.wall(),
                )
                await self._check(after, fields)
                with _telling(after):
                    await self._store.replace_item(after)
                await self._audit.note(identity, "pbx.changed", _words(after), ", ".join(sorted(fields)))
                changed.append(after)
        await self._tell()
        return [_row(one) for one in changed]

    async def delete(self, identity: Identity, kind: str, item_ids: Sequence[int]) -> None:
        """All of them or none. Raises NotFound, Conflict for what others name, Forbidden."""
        authorize(identity, Right.ADMINISTER)
        _check_number(kind, len(item_ids))
        async with self._audit.change():
            for item_id in item_ids:
                item = await self._found(kind, item_id)
                await self._refuse_named(item)
                await self._store.remove_item(item_id)
                await self._audit.note(identity, "pbx.deleted", _words(item), item.key)
        await self._tell()

    # -- inside

    def _see(self, identity: Identity, kind: str) -> None:
        authorize(identity, Right.ADMINISTER if kind in _UNSEEN else Right.READ)

    async def _found(self, kind: str, item_id: int) -> Item:
        item = await self._store.item(item_id)
        if item is None or item.kind != kind:
            raise NotFound(WORDS[kind], item_id)
        return item

    def _seal(self, item: Item, secret: str) -> str:
        return self._vault.seal(secret, _sealed_for(item.id))

    async def _check(self, item: Item, given: Mapping[str, Any]) -> None:
        """What the PBX itself would say of it, and what others are named. ``given``: the fields of the
        request; users that are gone meanwhile trouble nobody who changes something else."""
        settings = item.settings
        exts = {user_id: ext for ext, (user_id, _) in (await self._lines.callable_users()).items()}
        if "users" in given:
            for user_id in settings["users"]:
                if user_id not in exts:
                    raise Invalid(f"There is no user {user_id} with a line.", field="users")
        trunks = {one.id: str(one.settings["name"]) for one in await self._store.items("trunks")}
        for field in ("trunks", "trunk_id"):
            named = settings.get(field) if field in given else None
            for trunk_id in named if isinstance(named, list) else [named] if named is not None else []:
                if trunk_id not in trunks:
                    raise Invalid(f"There is no trunk {trunk_id}.", field=field)
        if "ext" in given:
            await self._check_extension(str(settings["ext"]))
        try:
            part_of(item, exts, trunks, None)
        except ValueError as error:
            raise Invalid(str(error)) from None
        if item.kind == "routes":
            if settings["shortest"] > settings["longest"]:
                raise Invalid("shortest is above longest.", field="shortest")
            if not settings["trunks"]:
                raise Invalid("A route needs a trunk.", field="trunks")
        if item.kind == "ivrs" and not settings["options"] and not settings["direct"]:
            raise Invalid("An ivr needs options, or direct.", field="options")
        if item.kind == "trunks":
            await self._ask_policy(str(settings["uri"]))

    async def _check_extension(self, ext: str) -> None:
        if ext in self._taken():
            why = f"The number {ext} belongs to the platform itself."
            raise Conflict(why, "Choose another.", field="ext")
        if await self._lines.has_extension(ext):
            raise Conflict(f"The number {ext} is the extension of a user.", "Choose another.", field="ext")

    async def _ask_policy(self, text: str) -> None:
        """What can be said before DNS; the PBX asks again about every address that a call would go to."""
        uri = Uri.parse(text)
        known = rules(await self._targets.list(), embedded=True)
        decision = decide(Purpose.RUN, Destination(uri.destination, (), uri.port), known)
        if not decision.allowed and not decision.undecided:
            remedy = by_administrator(decision.remedy) if decision.remedy is not None else ""
            raise RefusedByPolicy("uri", decision.reason, remedy)

    async def _refuse_named(self, item: Item) -> None:
        for kind, field in _NAMED_BY.get(item.kind, ()):
            for other in await self._store.items(kind):
                named = other.settings[field]
                if item.id in (named if isinstance(named, list) else [named]):
                    raise Conflict(f"{_words(item)} is used by {_words(other)}.", "Change that first.")

    async def _tell(self) -> None:
        for told in self.on_change:
            await told()


@contextmanager
def _telling(item: Item) -> Iterator[None]:
    try:
        yield
    except Conflict:
        field, _, value = item.key.partition(":")
        raise Conflict(f"The {field} {value} is taken.", "Choose another.", field=field) from None


def _key(kind: str, settings: Mapping[str, Any]) -> str:
    """Extensions are of one space; inbound numbers and names are of another each."""
    if "ext" in settings:
        return f"ext:{settings['ext']}"
    if kind == "numbers":
        return f"number:{settings['number'].removeprefix('+')}"
    return f"{WORDS[kind]}:{settings['name']}"


def _row(item: Item) -> dict[str, object]:
    row: dict[str, object] = {"id": item.id, **item.settings}
    if item.kind in SECRETS:
        row[SECRETS[item.kind][1]] = item.sealed is not None
    row |= {"created_at": item.created_at, "updated_at": item.updated_at}
    return {name: row[name] for name in KINDS[item.kind].by_name}


def _words(item: Item) -> str:
    return f"{WORDS[item.kind]} {item.settings.get('name') or item.key.partition(':')[2]}"


def _sealed_for(item_id: int) -> str:
    return f"dialplan/{item_id}"


def _check_number(kind: str, count: int) -> None:
    if not 1 <= count <= _MOST:
        raise Invalid(f"{count} {kind} at once; 1 to {_MOST:,} are permitted.", field="id")
