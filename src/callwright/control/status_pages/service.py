"""Status pages: who may publish what, and what a stranger with the link sees."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right
from callwright.control.alerts.store import AlertStore
from callwright.control.audit.service import Audit
from callwright.control.credentials.vault import Vault
from callwright.control.errors import Invalid, NotFound
from callwright.control.monitors.measurements import Measurements
from callwright.control.monitors.model import Endpoint, VoipTest
from callwright.control.monitors.standing import Standing, health
from callwright.control.monitors.store import MonitorStore
from callwright.control.projects.service import Projects
from callwright.control.status_pages.model import Day, PublicEndpoint, StatusPage, View
from callwright.control.status_pages.store import StatusPageStore
from callwright.net.clock import Clock

__all__ = ["DAYS", "MOST_ENDPOINTS", "StatusPages"]

DAYS = 30
MOST_ENDPOINTS = 50
_DAY = 86_400
_TOKEN = re.compile(r"([1-9][0-9]{0,15})-([0-9a-f]{32})")
_FRESH = 15.0  # seconds for which a view is good: a link may be open to many
_MOST_KEPT = 200


class StatusPages:
    """The link of a page is not stored: it follows from the platform's key, the page and its serial."""

    def __init__(
        self,
        store: StatusPageStore,
        monitors: MonitorStore,
        measurements: Measurements,
        alerts: AlertStore,
        projects: Projects,
        vault: Vault,
        *,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._store, self._monitors, self._measurements, self._alerts = store, monitors, measurements, alerts
        self._projects, self._vault, self._audit, self._clock = projects, vault, audit, clock
        self._views: dict[StatusPage, View] = {}

    async def pages(self, identity: Identity) -> list[StatusPage]:
        return await self._store.pages(identity.project_ids)

    async def page(self, identity: Identity, page_id: int) -> StatusPage:
        """Raises NotFound."""
        found = await self._store.page(page_id)
        if found is None or found.deleted_at is not None or not may(identity, Right.READ, found.project_id):
            raise NotFound("status page", page_id)
        return found

    def token_of(self, page: StatusPage) -> str:
        mark = self._vault.derive(f"status page {page.id} {page.serial}").hex()[:32]
        return f"{page.id}-{mark}"

    async def by_token(self, token: str) -> StatusPage:
        """Raises NotFound, for a link that was renewed or never was."""
        parts = _TOKEN.fullmatch(token)
        found = await self._store.page(int(parts[1])) if parts is not None else None
        if found is None or found.deleted_at is not None:
            raise NotFound("page", token)
        if not hmac.compare_digest(self.token_of(found), token):
            raise NotFound("page", token)
        return found

    async def create(
        self,
        identity: Identity,
        name: str,
        endpoint_ids: Sequence[int],
        *,
        addresses: bool = False,
        project: str | None = None,
    ) -> StatusPage:
        """Raises Invalid, NotFound, Forbidden."""
        authorize(identity, Right.EDIT)
        owner = await self._projects.own(identity, project)
        authorize(identity, Right.EDIT, owner.id)
        page = StatusPage(
            id=0,
            project_id=owner.id,
            name=name.strip(),
            endpoint_ids=tuple(dict.fromkeys(endpoint_ids)),
            addresses=addresses,
            serial=1,
            created_by=identity.username,
            created_at=self._clock.wall(),
            deleted_at=None,
        )
        await self._check(page)
        async with self._audit.change():
            added = await self._store.add_page(page)
            await self._audit.note(identity, "status_page.created", f"status page {added.name}")
        return added

    async def change(
        self,
        identity: Identity,
        page_id: int,
        *,
        name: str,
        endpoint_ids: Sequence[int],
        addresses: bool,
    ) -> StatusPage:
        """Raises NotFound, Invalid, Forbidden."""
        known = await self.page(identity, page_id)
        changed = msgspec.structs.replace(
            known,
            name=name.strip(),
            endpoint_ids=tuple(dict.fromkeys(endpoint_ids)),
            addresses=addresses,
        )
        await self._check(changed)
        return await self._replace(identity, changed, "status_page.changed")

    async def renew(self, identity: Identity, page_id: int) -> StatusPage:
        """With another link; the old one opens nothing any more."""
        known = await self.page(identity, page_id)
        changed = msgspec.structs.replace(known, serial=known.serial + 1)
        return await self._replace(identity, changed, "status_page.changed", "new link")

    async def delete(self, identity: Identity, page_id: int) -> None:
        known = await self.page(identity, page_id)
        gone = msgspec.structs.replace(known, deleted_at=self._clock.wall())
        await self._replace(identity, gone, "status_page.deleted")

    async def _replace(
        self, identity: Identity, page: StatusPage, action: str, detail: str = ""
    ) -> StatusPage:
        authorize(identity, Right.EDIT, page.project_id)
        async with self._audit.change():
            kept = await self._store.replace_page(page)
            if kept is None:
                raise NotFound("status page", page.id)
            await self._audit.note(identity, action, f"status page {page.name}", detail)
        return kept

    async def _check(self, page: StatusPage) -> None:
        if not page.name or len(page.name) > 255:
            raise Invalid("A status page has a name, of at most 255 characters.", field="name")
        if len(page.endpoint_ids) > MOST_ENDPOINTS:
            raise Invalid(f"A status page shows at most {MOST_ENDPOINTS} endpoints.", field="endpoints")
        there = {one.id for one in await self._endpoints(page)}
        if not there or set(page.endpoint_ids) - there:
            raise Invalid("Choose endpoints of the project of the page.", field="endpoints")

    async def _endpoints(self, page: StatusPage) -> list[Endpoint]:
        return [
            one
            for one in await self._monitors.endpoints([page.project_id])
            if one.id in page.endpoint_ids and one.deleted_at is None
        ]

    # -- what strangers see

    async def view(self, page: StatusPage) -> View:
        """At most 15 s old."""
        now = self._clock.wall()
        known = self._views.get(page)
        if known is not None and 0 <= now - known.at < _FRESH:
            return known
        firing: dict[int, float] = {}
        for incident in await self._alerts.incidents([page.project_id], open_only=True):
            for child in incident.children:
                if child.ended_at is None:
                    firing[child.endpoint_id] = min(firing.get(child.endpoint_id, now), incident.started_at)
        endpoints = await self._endpoints(page)
        found = View(
            page.name,
            now,
            tuple([await self._public(page, one, firing.get(one.id), now) for one in endpoints]),
        )
        if len(self._views) >= _MOST_KEPT:
            self._views.clear()
        self._views[page] = found
        return found

    async def _public(
        self, page: StatusPage, endpoint: Endpoint, since: float | None, now: float
    ) -> PublicEndpoint:
        tests = [one for one in await self._monitors.voip_tests(endpoint.id) if one.deleted_at is None]
        stands = health(endpoint, tests, [] if since is None else ["fires"], now)
        return PublicEndpoint(
            endpoint.id,
            endpoint.name,
            endpoint.ip_address if page.addresses else "",
            stands.standing,
            stands.mos,
            sum(one.standing is Standing.BAD for one in stands.sights),
            len(stands.sights),
            since,
            stands.slot,
            await self._days(tests, now),
        )

    async def _days(self, tests: Sequence[VoipTest], now: float) -> tuple[Day, ...]:
        begin = (now // _DAY - DAYS + 1) * _DAY
        answered: dict[int, int] = {}
        tested: dict[int, int] = {}
        for test in tests:
            for at, tally in await self._measurements.history(test.id, "day", begin, now + 1):
                good = tally.slots.get("done", 0)
                answered[at] = answered.get(at, 0) + good
                tested[at] = tested.get(at, 0) + good + tally.slots.get("failed", 0)
        days = [int(begin) + n * _DAY for n in range(DAYS)]
        return tuple(Day(at, answered.get(at, 0), tested.get(at, 0)) for at in days)
