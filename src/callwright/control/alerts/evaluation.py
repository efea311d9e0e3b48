"""Readings to incidents: a round looks at what came in since the last one. All that it remembers is in the
database, so a round may be cut off anywhere, and the next one goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from callwright.alerting.cause import Cause, CauseKind, explain
from callwright.alerting.condition import NO_DATA
from callwright.alerting.watch import Event, EventKind, Reading, Watch, hear, judge
from callwright.control.alerts.model import Alert, Child, Entry, Incident
from callwright.control.alerts.service import muted, rule_of
from callwright.control.alerts.store import AlertStore
from callwright.control.alerts.telling import IncidentTeller
from callwright.control.monitors.model import Endpoint, VoipTest
from callwright.control.monitors.store import MonitorStore
from callwright.net.clock import Clock

__all__ = ["Evaluation", "Order", "Round"]

_STALE = 3  # intervals after which a reading says nothing of now


class Order(NamedTuple):
    """A re-test: one slot of a VoIP test, to be measured at this server now."""

    server_id: int
    voip_test_id: int
    slot: int


class Round(NamedTuple):
    """``told``: what people hear of. ``orders``: re-tests that have not been heard of; they are repeated in
    each round, since a server decides a slot only once."""

    told: Sequence[tuple[Incident, Event]]
    orders: Sequence[Order]


class _Known(NamedTuple):
    """``alerts`` and ``every_endpoint``: cancelled ones too. ``tests``: of each endpoint."""

    alerts: Mapping[int, Alert]
    every_endpoint: Mapping[int, Endpoint]
    endpoints: Mapping[int, Endpoint]
    tests: Mapping[int, Sequence[VoipTest]]


class Evaluation:
    def __init__(
        self, store: AlertStore, monitors: MonitorStore, teller: IncidentTeller, *, clock: Clock
    ) -> None:
        self._store, self._monitors, self._teller, self._clock = store, monitors, teller, clock

    async def once(self) -> Round:
        """What came of it; whoever is to hear of it stands in the outbox."""
        now = self._clock.wall()
        every_alert = {one.id: one for one in await self._store.alerts(None)}
        alerts = {one.id: one for one in every_alert.values() if one.deleted_at is None}
        watches = await self._store.watches()
        if not alerts and not watches:
            return Round((), ())
        every_endpoint = {one.id: one for one in await self._monitors.endpoints(None)}
        endpoints = {one.id: one for one in every_endpoint.values() if one.deleted_at is None}
        tests: dict[int, list[VoipTest]] = {}
        for test in await self._monitors.voip_tests():
            if test.deleted_at is None and test.endpoint_id in endpoints:
                tests.setdefault(test.endpoint_id, []).append(test)
        known = _Known(every_alert, every_endpoint, endpoints, tests)
        told: list[tuple[Incident, Event]] = []
        orders: list[Order] = []
        wanted = set()
        for endpoint in endpoints.values():
            for alert_id in endpoint.alert_ids:
                alert = alerts.get(alert_id)
                if alert is None:
                    continue
                wanted.add((alert_id, endpoint.id))
                watch = watches.get((alert_id, endpoint.id))
                said, asked = await self._look(alert, endpoint, known, watch, now)
                told += said
                orders += asked
        for alert_id, endpoint_id in watches.keys() - wanted:
            await self._set_aside(alert_id, endpoint_id, known, now)
        return Round(told, orders)

    async def _look(
        self,
        alert: Alert,
        endpoint: Endpoint,
        known: _Known,
        before: Watch | None,
        now: float,
    ) -> Round:
        rule, here = rule_of(alert, endpoint), known.tests.get(endpoint.id, ())
        watch = before or Watch(now)
        for test in here:
            track = watch.tracks.get(test.server_id)
            after = watch.began - 1 if track is None else track.at
            if test.slot is None or test.slot <= after:
                continue
            for row in await self._monitors.readings(test.id, after + 1, test.slot + 1):
                reading = Reading(test.server_id, row.slot, str(row.state), row.verdict, row.figures)
                watch = hear(watch, rule, reading)
        servers = [test.server_id for test in here]
        watch, events = judge(watch, rule, servers, now, muted=muted(alert, now))
        orders = _orders(watch, here)
        if watch == before:
            return Round((), orders)
        told = []
        async with self._store.transaction():
            await self._store.put_watch(alert.id, endpoint.id, watch)
            for event in events:
                if event.kind is EventKind.RETEST:
                    continue
                incident = await self._note(alert, endpoint, known, event)
                if incident is not None:
                    told.append((incident, event))
                    await self._teller.tell(
                        known.alerts, known.every_endpoint, alert, endpoint, incident, event
                    )
        return Round(told, orders)

    async def _note(self, alert: Alert, endpoint: Endpoint, known: _Known, event: Event) -> Incident | None:
        """The incident that the event belongs to; None where nobody needs to hear of it."""
        entry = Entry(event.at, str(event.kind), alert.id, endpoint.id, event.servers)
        if event.kind is EventKind.FIRED:
            cause = _cause(alert, endpoint, known, event)
            entries = [entry]
            if alert.retests:
                entries.append(msgspec.structs.replace(entry, kind="confirmed"))
            for one in await self._store.incidents([endpoint.project_id], open_only=True):
                if one.cause == cause:
                    return await self._write(one, *entries, began=Child(alert.id, endpoint.id, event.at))
            return await self._store.add_incident(
                Incident(
                    id=0,
                    project_id=endpoint.project_id,
                    cause=cause,
                    started_at=event.at,
                    ended_at=None,
                    acknowledged_at=None,
                    acknowledged_by="",
                    children=(Child(alert.id, endpoint.id, event.at),),
                    story=tuple(entries),
                )
            )
        incident = await self._of(alert.id, endpoint.id)
        if incident is None:
            return None
        if event.kind is EventKind.REMINDED:
            return None if incident.acknowledged_at is not None else await self._write(incident, entry)
        return await self._write(incident, entry, ended=(alert.id, endpoint.id))

    async def _of(self, alert_id: int, endpoint_id: int) -> Incident | None:
        for one in await self._store.incidents(None, open_only=True):
            for child in one.children:
                if (child.alert_id, child.endpoint_id, child.ended_at) == (alert_id, endpoint_id, None):
                    return one
        return None

    async def _write(
        self,
        incident: Incident,
        *entries: Entry,
        began: Child | None = None,
        ended: tuple[int, int] | None = None,
    ) -> Incident:
        at = entries[0].at
        children = [
            msgspec.structs.replace(child, ended_at=at)
            if (child.alert_id, child.endpoint_id) == ended and child.ended_at is None
            else child
            for child in incident.children
        ]
        if began is not None:
            children.append(began)
        over = all(child.ended_at is not None for child in children)
        changed = msgspec.structs.replace(
            incident,
            children=tuple(children),
            story=(*incident.story, *entries),
            ended_at=at if over else None,
        )
        return await self._store.replace_incident(changed) or changed

    async def _set_aside(self, alert_id: int, endpoint_id: int, known: _Known, now: float) -> None:
        """The alert or the endpoint was cancelled, or they have no more to do with each other."""
        async with self._store.transaction():
            await self._store.remove_watch(alert_id, endpoint_id)
            incident = await self._of(alert_id, endpoint_id)
            if incident is not None:
                entry = Entry(now, "set aside", alert_id, endpoint_id)
                incident = await self._write(incident, entry, ended=(alert_id, endpoint_id))
                alert, endpoint = known.alerts.get(alert_id), known.every_endpoint.get(endpoint_id)
                if incident.ended_at is not None and alert is not None and endpoint is not None:
                    await self._teller.tell_closed(
                        known.alerts, known.every_endpoint, alert, endpoint, incident, now
                    )


def _orders(watch: Watch, here: Sequence[VoipTest]) -> list[Order]:
    if watch.retest is None:
        return []
    slot = watch.retest.slot
    return [
        Order(test.server_id, test.id, slot)
        for test in here
        if test.server_id in watch.retest.servers
        and ((track := watch.tracks.get(test.server_id)) is None or track.at < slot)
    ]


def _cause(alert: Alert, endpoint: Endpoint, known: _Known, event: Event) -> Cause:
    """By the newest reading of every VoIP test of the project, judged by this alert's condition."""
    bad: dict[tuple[int, int], bool] = {}
    for endpoint_id, here in known.tests.items():
        other = known.endpoints[endpoint_id]
        if other.project_id != endpoint.project_id:
            continue
        condition = rule_of(alert, other).condition
        for test in here:
            if condition.what == NO_DATA:
                silent = event.at - max(test.updated_at or 0.0, test.created_at)
                bad[test.server_id, endpoint_id] = silent >= condition.hold
                continue
            if test.slot is None or event.at - test.slot > _STALE * other.interval:
                continue
            value = condition.value(test.state, test.verdict, test.figures)
            holds = condition.holds(value, other.alert_threshold)
            if holds is not None:
                bad[test.server_id, endpoint_id] = holds
    for server in event.servers:
        bad[server, endpoint.id] = True
    explained = explain(bad)
    mine = {cause: sum(cell[1] == endpoint.id for cell in cells) for cause, cells in explained.items()}
    found = max(mine, key=lambda cause: mine[cause], default=None)
    return found or Cause(CauseKind.ENDPOINT, endpoint=endpoint.id)
