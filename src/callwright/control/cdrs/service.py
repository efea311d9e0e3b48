"""Call detail records: written as calls end, read, labelled. A crash of the PBX loses none of the calls that
it had told of: those that were up are closed when it starts again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import TELEPHONY_IDS, Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.cdrs.legs import Party, legs_of
from callwright.control.cdrs.model import Cdr, CdrNote
from callwright.control.cdrs.rates import Rate, Tariff
from callwright.control.cdrs.reconciliation import MOST_LEGS, Reconciled, reconcile, records_of
from callwright.control.cdrs.store import CdrStore
from callwright.control.cdrs.telling import CallTeller
from callwright.control.collections.model import MOST_ROWS, Compare, Condition, Operator, Query, Rows, Sort
from callwright.control.errors import Invalid, NotFound
from callwright.dispatch.messages.calls import CallNews, CallStep
from callwright.net.clock import Clock
from callwright.outcome.call import CallOutcome

__all__ = ["Cdrs"]

_CUT = "The PBX ended before this call did; it was last known to be up at the end of its duration."
_MOST_LABELS, _LONGEST_LABEL, _LONGEST_METADATA = 50, 100, 10_000
_AT_ONCE = 1_000  # records of one statement or transaction
_MOST_NOTES, _LONGEST_NOTE = 100, 4_000
_MOST = 1_000  # records of one request
_news = msgspec.json.Decoder(CallNews)


class Cdrs:
    def __init__(
        self,
        store: CdrStore,
        teller: CallTeller,
        *,
        audit: Audit,
        clock: Clock,
        retention: float | None = None,
    ) -> None:
        """``retention``: seconds that records are kept; None: for ever."""
        self.retention = retention
        self._store, self._teller, self._audit, self._clock = store, teller, audit, clock
        self._known = Tariff(())
        self._loaded_at: float | None = None

    # -- written by the PBX

    async def note(self, news: Sequence[CallNews], parties: Mapping[str, Party]) -> None:
        """What became of calls, in order; in one transaction, and twice the same as once."""
        latest = {one.call: one for one in news}
        ended = [one for one in latest.values() if one.step is CallStep.ENDED]
        going_on = {
            call: msgspec.json.encode(msgspec.structs.replace(one, digit=None)).decode()
            for call, one in latest.items()
            if one.step is not CallStep.ENDED
        }
        records = [record for one in ended for record in legs_of(one, parties)]
        tariff = await self._tariff() if records else Tariff(())
        if tariff:
            records = [tariff.rated(record) for record in records]
        over = [one.call for one in ended]
        async with self._audit.change():
            await self._store.keep(records, going_on, over, self._clock.wall())
            await self._teller.tell(news, parties)

    async def note_alive(self) -> None:
        """Calls that are up: should the PBX be killed, this was their last known moment."""
        await self._store.note_alive(self._clock.wall())

    async def close_left(self, parties: Mapping[str, Party]) -> int:
        """Ends the calls that a PBX which was killed has left; how many there were."""
        cut = []
        for text, seen_at in await self._store.open_calls():
            known = _news.decode(text)
            last = max(seen_at, known.begun_at, known.answered_at or 0.0)
            cut.append(
                msgspec.structs.replace(
                    known, step=CallStep.ENDED, ended_at=last, ended_by="pbx", status=None, reason=_CUT
                )
            )
        if cut:
            await self.note(cut, parties)
        return len(cut)

    # -- read

    async def rows(self, identity: Identity, query: Query) -> Rows:
        """Administrators see all, others the records of their own legs."""
        own = None if may(identity, Right.ADMINISTER) else TELEPHONY_IDS + identity.person
        return await self._store.cdrs(query, only=own)

    async def beside(self, identity: Identity, calls: Sequence[CallOutcome]) -> list[Reconciled]:
        """Legs of a test beside the records of them that this identity may see, own and imported ones."""
        legs = calls[:MOST_LEGS]
        if not legs:
            return []
        query = Query(where=records_of(legs), sort=Sort("calldate"), limit=MOST_ROWS)
        return reconcile(legs, (await self.rows(identity, query)).rows)

    async def days(self, identity: Identity, where: Condition, by: str) -> list[tuple[int, Any, int]]:
        """Of those of `rows` how many each day has: (day, value of the property ``by``, records), by day;
        days count from 1970 in UTC."""
        own = None if may(identity, Right.ADMINISTER) else TELEPHONY_IDS + identity.person
        return await self._store.days(where, by, only=own)

    async def get(self, identity: Identity, cdr_id: int) -> dict[str, object]:
        """Raises NotFound."""
        found = await self.rows(identity, Query(Compare("id", Operator.EQ, cdr_id)))
        if not found.rows:
            raise NotFound("cdr", cdr_id)
        return found.rows[0]

    async def everything(
        self, identity: Identity, where: Condition
    ) -> AsyncIterator[list[dict[str, object]]]:
        """All that one sees, by the order of ids and a thousand at a time, however many there are."""
        own = None if may(identity, Right.ADMINISTER) else TELEPHONY_IDS + identity.person
        after = 0
        while True:
            rows = await self._store.cdrs_after(where, after, _AT_ONCE, only=own)
            if not rows:
                return
            after = int(str(rows[-1]["id"]))
            yield rows

    async def forget_old(self) -> int:
        """Removes some of those that are older than they are kept; how many, 0 when none is left."""
        if self.retention is None:
            return 0
        return await self._store.drop_cdrs_before(self._clock.wall() - self.retention, _AT_ONCE)

    # -- those of other systems

    async def add(self, identity: Identity, system: str, records: Sequence[Cdr]) -> int:
        """Records of another system; how many of them are new. Those that are there already stay as they are.

        Raises Forbidden."""
        authorize(identity, Right.ADMINISTER)
        tariff, added = await self._tariff(), 0
        for first in range(0, len(records), _AT_ONCE):
            batch = [tariff.rated(record) for record in records[first : first + _AT_ONCE]]
            async with self._audit.change():
                added += await self._store.add_cdrs(batch)
                if first == 0:
                    detail = f"{system}, {len(records)} records"
                    await self._audit.note(identity, "cdr.imported", "cdr", detail)
        return added

    # -- what they cost

    async def rates(self) -> list[Rate]:
        return await self._store.rates()

    async def replace_rates(self, identity: Identity, rates: Sequence[Rate]) -> None:
        """The whole table; records that are there keep what they cost until `rate`. Raises Forbidden."""
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            await self._store.replace_rates(rates, self._clock.wall())
            await self._audit.note(identity, "rates.replaced", "rates", f"{len(rates)} prefixes")

    async def rate(self, identity: Identity, where: Condition) -> int:
        """Gives records that are there their rate and charge anew; how many have one. Raises Forbidden."""
        authorize(identity, Right.ADMINISTER)
        tariff, rated, noted = await self._tariff(), 0, False
        async for rows in self.everything(identity, where):
            async with self._audit.change():
                for row in rows:
                    cost = tariff.cost(str(row["type"]), str(row["destination"]), int(str(row["billsec"])))
                    if cost != (row["rate"], row["charge"]):
                        change = dict(zip(("rate", "charge"), cost, strict=True))
                        await self._store.change_cdr(int(str(row["id"])), change)
                    rated += cost[0] is not None
                if not noted:
                    await self._audit.note(identity, "cdr.rated", "cdr")
                    noted = True
        return rated

    async def _tariff(self) -> Tariff:
        """Read again only when the table was replaced."""
        loaded = await self._store.rates_loaded_at()
        if loaded != self._loaded_at:
            self._known = Tariff(await self._store.rates()) if loaded is not None else Tariff(())
            self._loaded_at = loaded
        return self._known

    # -- notes

    async def notes(self, identity: Identity, cdr_id: int) -> list[CdrNote]:
        await self.get(identity, cdr_id)
        return await self._store.cdr_notes(cdr_id)

    async def add_note(self, identity: Identity, cdr_id: int, text: str) -> CdrNote:
        """Beside a record that one sees. Raises NotFound, Invalid."""
        await self.get(identity, cdr_id)
        if not text.strip() or len(text) > _LONGEST_NOTE:
            raise Invalid(f"A note has 1 to {_LONGEST_NOTE:,} characters.", field="text")
        if len(await self._store.cdr_notes(cdr_id)) >= _MOST_NOTES:
            raise Invalid(f"A record has at most {_MOST_NOTES} notes.", field="text")
        note = CdrNote(0, cdr_id, text.strip(), identity.username, self._clock.wall())
        return await self._store.add_cdr_note(note)

    async def delete_note(self, identity: Identity, cdr_id: int, note_id: int) -> None:
        """One's own, or an administrator anybody's. Raises NotFound, Forbidden."""
        found = [one for one in await self.notes(identity, cdr_id) if one.id == note_id]
        if not found:
            raise NotFound("note", note_id)
        if found[0].username != identity.username:
            authorize(identity, Right.ADMINISTER)
        await self._store.delete_cdr_note(cdr_id, note_id)

    # -- changed

    async def change(
        self, identity: Identity, changes: Sequence[tuple[int, Mapping[str, Any]]]
    ) -> list[dict[str, object]]:
        """`labels` and `metadata` of records that one sees; all of them or none. Raises Invalid, NotFound."""
        _check_number(len(changes))
        checked = [(cdr_id, _checked(fields)) for cdr_id, fields in changes]
        async with self._audit.change():
            for cdr_id, fields in checked:
                await self.get(identity, cdr_id)
                await self._store.change_cdr(cdr_id, fields)
        return [await self.get(identity, cdr_id) for cdr_id, _ in checked]

    async def delete(self, identity: Identity, cdr_ids: Sequence[int]) -> None:
        """All of them or none. Raises NotFound, Forbidden."""
        authorize(identity, Right.ADMINISTER)
        _check_number(len(cdr_ids))
        async with self._audit.change():
            for cdr_id in cdr_ids:
                if not await self._store.delete_cdr(cdr_id):
                    raise NotFound("cdr", cdr_id)
            await self._audit.note(identity, "cdr.deleted", f"cdr {','.join(map(str, cdr_ids))}"[:200])


def _check_number(count: int) -> None:
    if not 1 <= count <= _MOST:
        raise Invalid(f"{count} records at once; 1 to {_MOST:,} are permitted.", field="id")


def _checked(fields: Mapping[str, Any]) -> dict[str, object]:
    unknown = [name for name in fields if name not in ("labels", "metadata")]
    if unknown:
        raise Invalid(
            f"{unknown[0][:80]!r} cannot be changed. Permitted: labels, metadata.", field=unknown[0][:80]
        )
    labels, metadata = fields.get("labels", []), fields.get("metadata", {})
    fits = isinstance(labels, list) and len(labels) <= _MOST_LABELS
    if not fits or not all(isinstance(one, str) and 0 < len(one) <= _LONGEST_LABEL for one in labels):
        raise Invalid(
            f"labels is a list of at most {_MOST_LABELS} texts of 1 to {_LONGEST_LABEL} characters.",
            field="labels",
        )
    if not isinstance(metadata, dict) or len(msgspec.json.encode(metadata)) > _LONGEST_METADATA:
        raise Invalid(f"metadata is an object of at most {_LONGEST_METADATA:,} octets.", field="metadata")
    return dict(fields)
