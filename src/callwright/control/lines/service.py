"""Users of the PBX: made, changed, several at once, and told to the PBX that serves them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import TELEPHONY_IDS, Identity, Right, Role
from callwright.control.accounts.passwords import check_password
from callwright.control.accounts.service import Accounts
from callwright.control.audit.service import Audit
from callwright.control.collections.model import Compare, Operator, Query, Rows
from callwright.control.credentials.vault import Vault
from callwright.control.errors import Conflict, Invalid, NotFound
from callwright.control.lines.model import FORWARDS, Line, Switched, full_name, names_of
from callwright.control.lines.store import LineStore
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy

__all__ = ["Lines"]

#: What users may change of themselves; all else is an administrator's.
OWN = frozenset({"dnd", "voicemail", "forward_after", *FORWARDS})
OF_ACCOUNT = ("first_name", "last_name", "email", "role", "time_zone")
OF_LINE = (
    *("ext", "sip_password", "status", "caller_id_name", "dnd", "record", "voicemail", "forward_after"),
    *FORWARDS,
)

_EXT = re.compile(r"[0-9]{1,15}")
_NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
_PASSWORD = re.compile(r"[!-~]{8,128}")
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._@+-]{0,127}")
_STATUS = {"active": 1, "suspended": 0}
_MOST = 1_000  # users of one request


class Lines:
    """``taken``: extensions that belong to no user, such as those of the platform's own accounts;
    ``also_taken``: whether something of the database has one.
    ``on_change``: awaited after each change, so that a new user can register at once."""

    def __init__(
        self,
        store: LineStore,
        accounts: Accounts,
        vault: Vault,
        *,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
        taken: Callable[[], frozenset[str]] = frozenset,
        also_taken: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        self._store, self._accounts, self._vault = store, accounts, vault
        self._audit, self._clock, self._entropy = audit, clock, entropy
        self._taken, self._also_taken = taken, also_taken
        self.on_change: list[Callable[[], Awaitable[None]]] = []

    # -- reading

    async def rows(self, identity: Identity, query: Query) -> Rows:
        """Administrators see everybody, all others themselves and who can be called."""
        only = None if may(identity, Right.ADMINISTER) else identity.user_id
        return await self._store.people(query, only=only)

    async def get(self, identity: Identity, user_id: int) -> dict[str, object]:
        """One row of PEOPLE, by the id of the chapter; with `sip_password` for the user and administrators.

        Raises NotFound.
        """
        found = await self.rows(identity, Query(Compare("id", Operator.EQ, user_id)))
        if not found.rows:
            raise NotFound("user", user_id)
        row = dict(found.rows[0])
        own = user_id - TELEPHONY_IDS == identity.person
        if own or may(identity, Right.ADMINISTER):
            line = await self._store.line(user_id - TELEPHONY_IDS)
            row["sip_password"] = None if line is None else self._password(line)
        return row

    async def switched(self) -> list[Switched]:
        """The lines that the PBX serves now. One whose password another key sealed is left out."""
        found = []
        for line, name in await self._store.lines_in_use():
            password = self._password(line)
            if password is None:
                continue
            shown = _shown(line, name)
            forwards = {one: number for one in FORWARDS if (number := getattr(line, one))}
            found.append(
                Switched(
                    line.user_id,
                    line.ext,
                    password,
                    shown,
                    bool(line.dnd),
                    forwards,
                    line.forward_after,
                    bool(line.voicemail),
                    bool(line.record),
                )
            )
        return found

    async def callable_users(self) -> dict[str, tuple[int, str]]:
        """The extensions in use: the id of the chapter and the shown name of each one's user. No password is
        opened for it."""
        return {
            line.ext: (TELEPHONY_IDS + line.user_id, _shown(line, name))
            for line, name in await self._store.lines_in_use()
        }

    async def has_extension(self, ext: str) -> bool:
        """Whether a user has it, also one who is suspended."""
        return bool((await self._store.people(Query(Compare("ext", Operator.EQ, ext), limit=1))).rows)

    # -- changes

    async def create(self, identity: Identity, fields: Mapping[str, Any]) -> dict[str, object]:
        """``fields``: as OF_ACCOUNT, OF_LINE and `password` name them; e-mail address and first name are
        needed. Raises Invalid, Conflict, Forbidden."""
        authorize(identity, Right.ADMINISTER)
        given = _checked(fields, also=("password",))
        for name in ("first_name", "email"):
            if not given.get(name):
                raise Invalid(f"{name} is missing.", field=name)
        async with self._audit.change():
            user = await self._accounts.create_user(
                identity,
                username=self._username(given["email"]),
                password=None,
                email=given["email"],
                name=full_name(given["first_name"], given.get("last_name", "")),
                role=given.get("role", Role.RUNNER.value),
                time_zone=given.get("time_zone", "UTC"),
            )
            await self._write_line(user.id, given)
        if "password" in given:  # hashing one takes long, and the transaction above holds the writer
            await self._accounts.set_password(identity, user.id, given["password"])
        await self._tell()
        return await self.get(identity, TELEPHONY_IDS + user.id)

    async def change(
        self, identity: Identity, changes: Sequence[tuple[int, Mapping[str, Any]]]
    ) -> list[dict[str, object]]:
        """Each an id of the chapter and its fields; all of them or none.

        Raises Invalid, Conflict, NotFound, Forbidden.
        """
        _check_number(len(changes))
        async with self._audit.change():
            for user_id, fields in changes:
                await self._change(identity, user_id - TELEPHONY_IDS, _checked(fields))
        await self._tell()
        return [await self.get(identity, user_id) for user_id, _ in changes]

    async def delete(self, identity: Identity, user_ids: Sequence[int]) -> None:
        """By the ids of the chapter, all of them or none. Raises NotFound, Conflict, Forbidden."""
        authorize(identity, Right.ADMINISTER)
        _check_number(len(user_ids))
        async with self._audit.change():
            for user_id in user_ids:
                try:
                    await self._accounts.delete_user(identity, user_id - TELEPHONY_IDS)
                except NotFound:
                    raise NotFound("user", user_id) from None
                await self._store.drop_line(user_id - TELEPHONY_IDS)
        await self._tell()

    # -- inside

    async def _change(self, identity: Identity, user_id: int, given: dict[str, Any]) -> None:
        own = user_id == identity.person
        if not (own and given.keys() <= OWN):
            authorize(identity, Right.ADMINISTER)
        try:
            user = await self._accounts.user(user_id)
        except NotFound:
            raise NotFound("user", user_id + TELEPHONY_IDS) from None
        account: dict[str, Any] = {
            name: given[name] for name in ("email", "role", "time_zone") if name in given
        }
        if given.keys() & {"first_name", "last_name"}:
            first, last = names_of(user.name)
            account["name"] = full_name(given.get("first_name", first), given.get("last_name", last))
        if account:
            await self._accounts.change_user(identity, user_id, **account)
        if given.keys() & set(OF_LINE):
            await self._write_line(user_id, given)
            what = ", ".join(sorted(given.keys() & set(OF_LINE)))
            await self._audit.note(identity, "line.changed", f"user {user.username}", what)

    async def _write_line(self, user_id: int, given: Mapping[str, Any]) -> None:
        before = await self._store.line(user_id)
        ext = given.get("ext", None if before is None else before.ext)
        if ext is None:
            wanted = [name for name in OF_LINE if name != "ext" and given.get(name) not in (None, False)]
            if wanted:
                raise Invalid(f"{wanted[0]} needs a line: the user has no ext.", field="ext")
            await self._store.drop_line(user_id)
            return
        now = self._clock.wall()
        if before is None:
            before = Line(user_id, ext, "", now, now)
        changes: dict[str, Any] = {
            name: given[name]
            for name in ("ext", "caller_id_name", "forward_after", *FORWARDS)
            if name in given
        }
        for name in ("dnd", "voicemail"):
            if name in given:
                changes[name] = int(given[name])
        if "record" in given:
            changes["record"] = int(given["record"])
        if "status" in given:
            changes["active"] = _STATUS[given["status"]]
        if given.get("sip_password") or not before.sealed_password:
            password = given.get("sip_password") or self._entropy(12).hex()
            changes["sealed_password"] = self._vault.seal(password, _sealed_for(user_id))
        line = msgspec.structs.replace(before, updated_at=now, **changes)
        if line.ext in self._taken():
            why = f"The extension {line.ext} belongs to the platform itself."
            raise Conflict(why, "Choose another.", field="ext")
        if self._also_taken is not None and await self._also_taken(line.ext):
            why = f"The extension {line.ext} is a number of the dial plan."
            raise Conflict(why, "Choose another.", field="ext")
        try:
            await self._store.put_line(line)
        except Conflict:
            raise Conflict(f"The extension {line.ext} is taken.", "Choose another.", field="ext") from None

    def _username(self, email: str) -> str:
        """The address, where it can be a user name."""
        return email if _PLAIN_NAME.fullmatch(email) else f"user-{self._entropy(4).hex()}"

    def _password(self, line: Line) -> str | None:
        return self._vault.opened(line.sealed_password, _sealed_for(line.user_id))

    async def _tell(self) -> None:
        for told in self.on_change:
            await told()


def _shown(line: Line, name: str) -> str:
    """``name``: of the user."""
    return line.caller_id_name or " ".join(part for part in names_of(name) if part)


def _sealed_for(user_id: int) -> str:
    return f"line/{user_id}"


def _check_number(count: int) -> None:
    if not 1 <= count <= _MOST:
        raise Invalid(f"{count} users at once; 1 to {_MOST:,} are permitted.", field="id")


# -- fields


def _checked(fields: Mapping[str, Any], also: Sequence[str] = ()) -> dict[str, Any]:
    """The fields with their types. Raises Invalid with every problem, each under the name of its field."""
    permitted = (*OF_ACCOUNT, *OF_LINE, *also)
    found: dict[str, Any] = {}
    errors = []
    for name, value in fields.items():
        try:
            if name not in permitted:
                raise Invalid(f"{name[:80]!r} is not taken here. Permitted: {', '.join(permitted)}.")
            read: Callable[[str, Any], Any] = _READERS.get(name, _text)
            found[name] = read(name, value)
        except Invalid as error:
            errors.append({"field": name[:200], "message": error.message})
    if errors:
        raise Invalid(errors[0]["message"], errors=errors)
    return found


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 255:
        raise Invalid(f"{name} must be a text of at most 255 characters.")
    return value.strip()


def _maybe_text(name: str, value: Any) -> str | None:
    return None if value is None else _text(name, value) or None


def _digits(name: str, value: Any) -> str | None:
    """A number given as one has lost nothing: no extension that begins with 0 is written so in JSON."""
    if value is None or value == "":
        return None
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not _EXT.fullmatch(text):
        raise Invalid(f"{name} has 1 to 15 digits.")
    return text


def _forward(name: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not _NUMBER.fullmatch(text):
        raise Invalid(f"{name} is a number to dial: digits, * and #.")
    return text


def _sip_password(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _PASSWORD.fullmatch(value):
        raise Invalid(f"{name} has 8 to 128 printable ASCII characters without blanks.")
    return value


def _login_password(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{name} must be a text.")
    check_password(value)
    return value


def _flag(name: str, value: Any) -> bool:
    word = str(value).lower()
    if word not in ("true", "false", "1", "0"):
        raise Invalid(f"{name} must be true or false.")
    return word in ("true", "1")


def _seconds(name: str, value: Any) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or not 1 <= int(value) <= 600:
        raise Invalid(f"{name} must be a whole number of seconds, 1 to 600.")
    return int(value)


def _status(name: str, value: Any) -> str:
    if value not in _STATUS:
        raise Invalid(f"{name} must be {' or '.join(_STATUS)}.")
    return str(value)


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "ext": _digits,
    "sip_password": _sip_password,
    "status": _status,
    "caller_id_name": _maybe_text,
    "dnd": _flag,
    "record": _flag,
    "voicemail": _flag,
    "forward_after": _seconds,
    **dict.fromkeys(FORWARDS, _forward),
    "password": _login_password,
}
