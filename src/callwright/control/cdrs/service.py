"""Call detail records: written as calls end, read, labelled. A crash of the PBX loses none of the calls that
it had told of: those that were up are closed when it starts again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import TELEPHONY_IDS, Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.cdrs.legs import Party, legs_of
from callwright.control.cdrs.store import CdrStore
from callwright.control.cdrs.telling import CallTeller
from callwright.control.collections.model import Compare, Condition, Operator, Query, Rows
from callwright.control.errors import Invalid, NotFound
from callwright.dispatch.messages.calls import CallNews, CallStep
from callwright.net.clock import Clock

__all__ = ["Cdrs"]

_CUT = "The PBX ended before this call did; it was last known to be up at the end of its duration."
_MOST_LABELS, _LONGEST_LABEL, _LONGEST_METADATA = 50, 100, 10_000
_MOST = 1_000  # records of one request
_news = msgspec.json.Decoder(CallNews)


class Cdrs:
    def __init__(self, store: CdrStore, teller: CallTeller, *, audit: Audit, clock: Clock) -> None:
        self._store, self._teller, self._audit, self._clock = store, teller, audit, clock

    # -- written by the PBX

    async def note(self, news: Sequence[CallNews], parties: Mapping[str, Party]) -> None:
        """What became of calls, in order; in one transaction, and twice the same as once."""
        latest = {one.call: one for one in news}
        ended = [one for one in latest.values() if one.step is CallStep.ENDED]
        going_on = {
            call: msgspec.json.encode(one).decode()
            for call, one in latest.items()
            if one.step is not CallStep.ENDED
        }
        records = [record for one in ended for record in legs_of(one, parties)]
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
        own = None if may(identity, Right.ADMINISTER) else TELEPHONY_IDS + identity.user_id
        return await self._store.cdrs(query, only=own)

    async def days(self, identity: Identity, where: Condition, by: str) -> list[tuple[int, Any, int]]:
        """Of those of `rows` how many each day has: (day, value of the property ``by``, records), by day;
        days count from 1970 in UTC."""
        own = None if may(identity, Right.ADMINISTER) else TELEPHONY_IDS + identity.user_id
        return await self._store.days(where, by, only=own)

    async def get(self, identity: Identity, cdr_id: int) -> dict[str, object]:
        """Raises NotFound."""
        found = await self.rows(identity, Query(Compare("id", Operator.EQ, cdr_id)))
        if not found.rows:
            raise NotFound("cdr", cdr_id)
        return found.rows[0]

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
