"""Texts that were sent: kept with what became of them, read, deleted."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.collections.model import Compare, Operator, Query, Rows
from callwright.control.errors import Invalid, NotFound
from callwright.control.texts.model import Status, Text
from callwright.control.texts.store import TextStore
from callwright.net.clock import Clock

__all__ = ["Texts"]

_MOST_AT_ONCE = 1_000


class Texts:
    def __init__(self, store: TextStore, *, audit: Audit, clock: Clock) -> None:
        self._store, self._audit, self._clock = store, audit, clock

    async def rows(self, identity: Identity, query: Query) -> Rows:
        """Those that one has sent; administrators see all."""
        only = None if may(identity, Right.ADMINISTER) else identity.person
        return await self._store.texts(query, only=only)

    async def get(self, identity: Identity, record_id: int) -> dict[str, object]:
        """Raises NotFound."""
        found = (await self.rows(identity, Query(Compare("id", Operator.EQ, record_id)))).rows
        if not found:
            raise NotFound("sms", record_id)
        return found[0]

    async def keep(
        self, identity: Identity, sender: str, receiver: str, text: str, status: Status, info: str
    ) -> dict[str, object]:
        """What was sent, or was not. The audit log names the receiver, and never the text."""
        record = Text(
            0, identity.user_id, sender, receiver, text, status.value, info[:200], self._clock.wall()
        )
        async with self._audit.change():
            record = await self._store.add_text(record)
            await self._audit.note(identity, "sms.sent", f"sms {record.id}", f"to {receiver}: {status}")
        return await self.get(identity, record.id)

    async def delete(self, identity: Identity, record_ids: Sequence[int]) -> None:
        """All of them or none. Raises NotFound."""
        if not 1 <= len(record_ids) <= _MOST_AT_ONCE:
            raise Invalid(f"1 to {_MOST_AT_ONCE:,} are deleted at once.", field="id")
        async with self._audit.change():
            for record_id in record_ids:
                found = await self._store.text(record_id)
                own = found is not None and found.user_id == identity.person
                if not own and not (found is not None and may(identity, Right.ADMINISTER)):
                    raise NotFound("sms", record_id)
                await self._store.remove_text(record_id)
                await self._audit.note(identity, "sms.deleted", f"sms {record_id}")
