"""Queues, ring groups, menus, conferences, inbound numbers, trunks and outbound routes of the PBX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callwright.control.accounts.model import Identity, Right
from callwright.control.api.openapi import fields_of
from callwright.control.api.telephony.records import routes
from callwright.control.collections.model import Query, Rows
from callwright.control.dialplan.fields import FIELDS
from callwright.control.dialplan.model import KINDS, WORDS
from callwright.control.dialplan.service import Dialplan
from callwright.control.services import Services

#: Inbound numbers have two names in the field.
_PATHS = {"numbers": ("/numbers", "/ddis")}


@dataclass(frozen=True, slots=True)
class _OfKind:
    """One kind of the dial plan, as `Records`."""

    dialplan: Dialplan
    kind: str

    async def rows(self, identity: Identity, query: Query) -> Rows:
        return await self.dialplan.rows(identity, self.kind, query)

    async def get(self, identity: Identity, record_id: int) -> dict[str, object]:
        return await self.dialplan.get(identity, self.kind, record_id)

    async def create(self, identity: Identity, fields: Mapping[str, Any]) -> dict[str, object]:
        return await self.dialplan.create(identity, self.kind, fields)

    async def change(
        self, identity: Identity, changes: Sequence[tuple[int, Mapping[str, Any]]]
    ) -> list[dict[str, object]]:
        return await self.dialplan.change(identity, self.kind, changes)

    async def delete(self, identity: Identity, record_ids: Sequence[int]) -> None:
        await self.dialplan.delete(identity, self.kind, record_ids)


def _routes(kind: str, path: str) -> list[Any]:
    def records(services: Services) -> _OfKind:
        return _OfKind(services.dialplan, kind)

    return routes(
        path,
        KINDS[kind],
        records,
        properties=fields_of(KINDS[kind], FIELDS[kind]),
        required=tuple(name for name, field in FIELDS[kind].items() if field.needed),
        right=Right.ADMINISTER,
        word=WORDS[kind],
    )


ROUTES: list[Any] = [
    route for kind in KINDS for path in _PATHS.get(kind, (f"/{kind}",)) for route in _routes(kind, path)
]
