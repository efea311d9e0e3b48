"""Alerts: who may change them, and the incidents of those that people see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from callwright.alerting.condition import NO_DATA, ConditionError, parse
from callwright.alerting.retest import parse_levels, written
from callwright.alerting.watch import Rule, State, Watch, state_of
from callwright.alerting.windows import DAYS, Once, Window, is_open
from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right, zone_named
from callwright.control.alerts.model import Alert, Entry, Incident
from callwright.control.alerts.store import AlertStore
from callwright.control.audit.service import Audit
from callwright.control.errors import Conflict, Invalid, NotFound
from callwright.control.monitors.model import Endpoint
from callwright.control.monitors.service import Monitors
from callwright.control.projects.service import Projects
from callwright.net.clock import Clock

__all__ = ["Alerts", "muted", "rule_of"]

_SHORTEST_REMINDER = 60.0
_MOST_WINDOWS = 100


def rule_of(alert: Alert, endpoint: Endpoint) -> Rule:
    condition, recovery = alert.rule
    return Rule(
        condition,
        recovery,
        endpoint.alert_threshold,
        float(endpoint.interval),
        alert.reminder,
        parse_levels(alert.retests),
    )


def muted(alert: Alert, now: float) -> bool:
    return (alert.snoozed_until or 0.0) > now or is_open(alert.windows, now)


class Alerts:
    def __init__(
        self,
        store: AlertStore,
        monitors: Monitors,
        projects: Projects,
        *,
        audit: Audit,
        clock: Clock,
        channel_ids: Callable[[int], Awaitable[set[int]]],
    ) -> None:
        """``channel_ids``: those of a project."""
        self._store, self._monitors, self._projects = store, monitors, projects
        self._audit, self._clock, self._channel_ids = audit, clock, channel_ids

    # -- rules

    async def alerts(self, identity: Identity) -> list[Alert]:
        """Oldest first, cancelled ones included."""
        return await self._store.alerts(identity.project_ids)

    async def alert(self, identity: Identity, alert_id: int) -> Alert:
        """Raises NotFound."""
        found = await self._store.alert(alert_id)
        if found is None or not may(identity, Right.READ, found.project_id):
            raise NotFound("alert", alert_id)
        return found

    async def create(
        self, identity: Identity, fields: Mapping[str, Any], *, project: str | None = None
    ) -> Alert:
        """Raises Invalid with the place of an error in a condition, NotFound, Forbidden."""
        authorize(identity, Right.EDIT)
        owner = await self._projects.own(identity, project)
        authorize(identity, Right.EDIT, owner.id)
        empty = Alert(
            id=0,
            project_id=owner.id,
            name="",
            condition="",
            recovery="",
            reminder=None,
            windows=(),
            snoozed_until=None,
            created_at=self._clock.wall(),
            deleted_at=None,
        )
        alert = _checked(msgspec.structs.replace(empty, **fields))
        await self._check_channels(alert)
        async with self._audit.change():
            added = await self._store.add_alert(alert)
            await self._audit.note(identity, "alert.created", f"alert {added.name}", added.condition)
        return added

    async def change(self, identity: Identity, alert_id: int, fields: Mapping[str, Any]) -> Alert:
        """Raises NotFound, Invalid, Conflict for a cancelled one, Forbidden."""
        known = await self.alert(identity, alert_id)
        authorize(identity, Right.EDIT, known.project_id)
        if known.deleted_at is not None:
            raise Conflict(f"The alert {known.name!r} was cancelled.", "Recover it first.")
        changed = _checked(msgspec.structs.replace(known, **fields))
        if "channel_ids" in fields:
            await self._check_channels(changed)
        return await self._replace(identity, changed, "alert.changed")

    async def _check_channels(self, alert: Alert) -> None:
        if not alert.channel_ids:
            return
        unknown = set(alert.channel_ids) - await self._channel_ids(alert.project_id)
        if unknown:
            raise Invalid(
                f"There is no channel {min(unknown)} in the project of the alert.",
                "GET /api/v2/notifications lists them.",
                field="channel_ids",
            )

    async def cancel(self, identity: Identity, alert_id: int) -> Alert:
        return await self._move(identity, alert_id, self._clock.wall(), "alert.deleted")

    async def recover(self, identity: Identity, alert_id: int) -> Alert:
        return await self._move(identity, alert_id, None, "alert.recovered")

    async def _move(self, identity: Identity, alert_id: int, deleted_at: float | None, action: str) -> Alert:
        known = await self.alert(identity, alert_id)
        authorize(identity, Right.EDIT, known.project_id)
        if (known.deleted_at is None) == (deleted_at is None):
            return known
        return await self._replace(identity, msgspec.structs.replace(known, deleted_at=deleted_at), action)

    async def _replace(self, identity: Identity, alert: Alert, action: str) -> Alert:
        async with self._audit.change():
            kept = await self._store.replace_alert(alert)
            if kept is None:
                raise NotFound("alert", alert.id)
            await self._audit.note(identity, action, f"alert {kept.name}", kept.condition)
        return kept

    async def states(self, identity: Identity) -> dict[int, dict[int, State]]:
        """Of each alert, its state at each endpoint that raises it."""
        now = self._clock.wall()
        watches = await self._store.watches()
        servers: dict[int, list[int]] = {}
        for test in await self._monitors.all_voip_tests(identity):
            if test.deleted_at is None:
                servers.setdefault(test.endpoint_id, []).append(test.server_id)
        endpoints = [one for one in await self._monitors.endpoints(identity) if one.deleted_at is None]
        found: dict[int, dict[int, State]] = {}
        for alert in await self.alerts(identity):
            states = found.setdefault(alert.id, {})
            if alert.deleted_at is not None:
                continue
            for endpoint in endpoints:
                if alert.id in endpoint.alert_ids:
                    watch = watches.get((alert.id, endpoint.id)) or Watch(now)
                    states[endpoint.id] = state_of(
                        watch,
                        rule_of(alert, endpoint),
                        servers.get(endpoint.id, []),
                        now,
                        muted=muted(alert, now),
                    )
        return found

    # -- incidents

    async def incidents(self, identity: Identity, *, open_only: bool = False) -> list[Incident]:
        """Newest first, the newest thousand."""
        return await self._store.incidents(identity.project_ids, open_only=open_only)

    async def incident(self, identity: Identity, incident_id: int) -> Incident:
        """Raises NotFound."""
        found = await self._store.incident(incident_id)
        if found is None or not may(identity, Right.READ, found.project_id):
            raise NotFound("incident", incident_id)
        return found

    async def acknowledge(self, identity: Identity, incident_id: int) -> Incident:
        """Stops its reminders; it ends when its cause does. Raises NotFound, Forbidden."""
        now = self._clock.wall()
        async with self._audit.change():
            known = await self.incident(identity, incident_id)
            authorize(identity, Right.RUN, known.project_id)
            if known.acknowledged_at is not None:
                return known
            changed = msgspec.structs.replace(
                known,
                acknowledged_at=now,
                acknowledged_by=identity.username,
                story=(*known.story, Entry(now, "acknowledged", who=identity.username)),
            )
            kept = await self._store.replace_incident(changed)
            await self._audit.note(identity, "incident.acknowledged", f"incident {incident_id}")
        return kept or changed


def _checked(alert: Alert) -> Alert:
    """With its conditions as they are written. Raises Invalid."""
    if not alert.name.strip():
        raise Invalid("An alert has a name: what is wrong when it fires.", field="name")
    if alert.reminder is not None and alert.reminder < _SHORTEST_REMINDER:
        raise Invalid(f"A reminder comes after {_SHORTEST_REMINDER:g} s at the earliest.", field="reminder")
    if len(alert.windows) > _MOST_WINDOWS:
        raise Invalid(f"An alert has at most {_MOST_WINDOWS} maintenance windows.", field="maintenance")
    for window in alert.windows:
        _check_window(window)
    condition = _text(alert.condition, "condition")
    retests = _text(alert.retests, "retests", lambda text: written(parse_levels(text)))
    if retests and parse(condition).what == NO_DATA:
        raise Invalid("A server without data cannot be re-tested.", "Leave retests empty.", field="retests")
    return msgspec.structs.replace(
        alert,
        condition=condition,
        retests=retests,
        recovery=_text(alert.recovery, "recovery") if alert.recovery.strip() else "",
    )


def _text(text: str, field: str, read: Callable[[str], object] = parse) -> str:
    try:
        return str(read(text))
    except ConditionError as error:
        entry = {"field": field, "message": str(error), "at": error.at, "permitted": []}
        raise Invalid(f"{field}: {error}", field=field, errors=[entry]) from None


def _check_window(window: Window) -> None:
    if isinstance(window, Once):
        if window.until <= window.since:
            raise Invalid("A maintenance window ends after it begins.", field="maintenance")
        return
    if not window.days or any(day not in DAYS for day in window.days):
        raise Invalid(f"The days of a window are of {', '.join(DAYS)}.", field="maintenance")
    if not (0 <= window.start < 1_440 and 0 <= window.end <= 1_440):
        raise Invalid("start and end of a window are times of a day.", field="maintenance")
    assert isinstance(zone_named(window.time_zone), ZoneInfo)
