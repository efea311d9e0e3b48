"""Contacts: kept, changed and deleted by their owners; those that all share by administrators too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.collections.model import Compare, Operator, Query, Rows
from callwright.control.contacts.model import TEXTS, Contact
from callwright.control.contacts.store import ContactStore
from callwright.control.errors import Conflict, Invalid, NotFound
from callwright.net.clock import Clock

__all__ = ["Contacts"]

_MOST, _MOST_AT_ONCE = 20_000, 1_000  # of one user; of one request
_NAMES = ("first_name", "last_name", "tel", "mobile", "email")


class Contacts:
    def __init__(self, store: ContactStore, *, audit: Audit, clock: Clock) -> None:
        self._store, self._audit, self._clock = store, audit, clock

    async def rows(self, identity: Identity, query: Query) -> Rows:
        """One's own and those that all share; administrators see all."""
        only = None if may(identity, Right.ADMINISTER) else identity.person
        return await self._store.contacts(query, only=only)

    async def get(self, identity: Identity, record_id: int) -> dict[str, object]:
        """Raises NotFound."""
        found = (await self.rows(identity, Query(Compare("id", Operator.EQ, record_id)))).rows
        if not found:
            raise NotFound("contact", record_id)
        return found[0]

    async def create(self, identity: Identity, fields: Mapping[str, Any]) -> dict[str, object]:
        """Raises Invalid, Conflict, Forbidden."""
        authorize(identity, Right.READ if identity.person else Right.ADMINISTER)
        given = _checked(fields)
        if given.get("shared"):
            authorize(identity, Right.ADMINISTER)
        now = self._clock.wall()
        texts = {name: given.get(name, "") for name in TEXTS}
        contact = Contact(
            0, identity.user_id, given.get("shared", 0), **texts, created_at=now, updated_at=now
        )
        _check(contact)
        async with self._audit.change():
            if await self._store.count_contacts(identity.user_id) >= _MOST:
                raise Conflict(f"You have {_MOST:,} contacts already.", "Delete some.")
            contact = await self._store.add_contact(contact)
            await self._audit.note(identity, "contact.created", f"contact {contact.id}")
        return await self.get(identity, contact.id)

    async def change(
        self, identity: Identity, changes: Sequence[tuple[int, Mapping[str, Any]]]
    ) -> list[dict[str, object]]:
        """All of them or none. Raises as `create`, and NotFound."""
        _check_number(len(changes))
        async with self._audit.change():
            for contact_id, fields in changes:
                given = _checked(fields)
                before = await self._own(identity, contact_id)
                if given.get("shared", before.shared) != before.shared:
                    authorize(identity, Right.ADMINISTER)
                after = msgspec.structs.replace(before, **given, updated_at=self._clock.wall())
                _check(after)
                await self._store.replace_contact(after)
                what = ", ".join(sorted(fields))
                await self._audit.note(identity, "contact.changed", f"contact {contact_id}", what)
        return [await self.get(identity, contact_id) for contact_id, _ in changes]

    async def delete(self, identity: Identity, record_ids: Sequence[int]) -> None:
        """All of them or none. Raises NotFound, Forbidden."""
        _check_number(len(record_ids))
        async with self._audit.change():
            for contact_id in record_ids:
                await self._own(identity, contact_id)
                await self._store.remove_contact(contact_id)
                await self._audit.note(identity, "contact.deleted", f"contact {contact_id}")

    async def _own(self, identity: Identity, contact_id: int) -> Contact:
        contact = await self._store.contact(contact_id)
        own = contact is not None and contact.user_id == identity.person
        if contact is None or not (own or contact.shared or may(identity, Right.ADMINISTER)):
            raise NotFound("contact", contact_id)
        if contact.shared or not own:
            authorize(identity, Right.ADMINISTER)
        return contact


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Raises Invalid with every problem, each under the name of its field."""
    found: dict[str, Any] = {}
    errors = []
    for name, value in fields.items():
        if name == "global":
            word = str(value).lower() if isinstance(value, bool | str) else ""
            if word in ("true", "false", "1", "0"):
                found["shared"] = int(word in ("true", "1"))
            else:
                errors.append({"field": name, "message": "global must be true or false."})
        elif name not in TEXTS:
            permitted = ", ".join((*TEXTS, "global"))
            message = f"{name[:80]!r} is not taken here. Permitted: {permitted}."
            errors.append({"field": name[:200], "message": message})
        elif value is not None and (not isinstance(value, str) or len(value) > TEXTS[name]):
            message = f"{name} must be a text of at most {TEXTS[name]:,} characters."
            errors.append({"field": name, "message": message})
        else:
            found[name] = (value or "").strip()
    if errors:
        raise Invalid(errors[0]["message"], errors=errors)
    return found


def _check(contact: Contact) -> None:
    if not any(getattr(contact, name) for name in _NAMES):
        raise Invalid("A contact needs a name, a number or an address.", field="first_name")


def _check_number(count: int) -> None:
    if not 1 <= count <= _MOST_AT_ONCE:
        raise Invalid(f"{count} contacts at once; 1 to {_MOST_AT_ONCE:,} are permitted.", field="id")
