"""Targets: where calls may go, as an administrator says."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.control.accounts.authorize import authorize
from callwright.control.accounts.model import Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.errors import Invalid, NotFound
from callwright.control.targets.model import TargetRow, policy_target
from callwright.control.targets.store import TargetStore
from callwright.net.clock import Clock
from callwright.policy.addresses import is_host
from callwright.policy.destination import PolicyError

__all__ = ["Targets"]

#: RFC 1123 section 2.1, with the underscore that many networks use.


class Targets:
    def __init__(self, store: TargetStore, *, audit: Audit, clock: Clock) -> None:
        self._store, self._audit, self._clock = store, audit, clock

    async def list(self) -> Sequence[TargetRow]:
        return await self._store.targets()

    async def add(
        self,
        identity: Identity,
        *,
        host: str | None = None,
        network: str | None = None,
        number: str | None = None,
        rate: float | None = None,
        concurrency: int | None = None,
        minutes: float | None = None,
        note: str = "",
        country: str | None = None,
    ) -> TargetRow:
        """Permits a destination. Raises Invalid with the policy's own sentence."""
        authorize(identity, Right.ADMINISTER)
        if host and not _is_place(host):
            raise Invalid(
                f"{host[:100]!r} is not a host: use pbx.example.com, *.example.com or an address.",
                "A port is not part of it.",
                field="host",
            )
        row = TargetRow(
            0,
            host or None,
            network or None,
            number or None,
            rate,
            concurrency,
            minutes,
            note,
            identity.username,
            self._clock.wall(),
            country.strip().upper() if country else None,
        )
        try:
            policy_target(row)
        except PolicyError as error:
            raise Invalid(str(error)) from None
        async with self._audit.change():
            added = await self._store.add_target(row)
            place = added.host or added.network or added.number or ""
            await self._audit.note(identity, "target.added", f"target {added.id}", place)
        return added

    async def remove(self, identity: Identity, target_id: int) -> None:
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            if not await self._store.remove_target(target_id, self._clock.wall()):
                raise NotFound("target", target_id)
            await self._audit.note(identity, "target.removed", f"target {target_id}")


def _is_place(host: str) -> bool:
    return host != "*" and is_host(host.removeprefix("*."))
