"""What a rule would have told of the last week, by the readings that are stored. Bounded: it says how far."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import msgspec

from callwright.alerting.condition import FIGURES, Condition
from callwright.alerting.rehearsal import Rehearsal, rehearse
from callwright.alerting.watch import Reading, Rule
from callwright.alerting.windows import is_open
from callwright.control.alerts.model import Alert
from callwright.control.alerts.service import rule_of
from callwright.control.monitors.model import Endpoint, VoipTest
from callwright.control.monitors.store import MonitorStore

__all__ = ["DAYS", "Preview", "Previews", "Replayed", "Threshold"]

DAYS = 7.0
_SHORTEST = 86_400.0  # seconds: rather fewer endpoints than a shorter time
_MOST_READINGS = 32_000
_STEPS = {"mos": 0.1, "r_factor": 2.0, "loss": 1.0, "rtt": 25.0, "jitter": 5.0, "burst_ratio": 0.5}


class Replayed(msgspec.Struct, frozen=True):
    endpoint: Endpoint
    found: Rehearsal


class Threshold(msgspec.Struct, frozen=True):
    """With another limit: how often it would have fired, and for how many seconds in all."""

    limit: float
    count: int
    seconds: float
    as_set: bool


class Preview(msgspec.Struct, frozen=True):
    """``replayed``: the endpoint with most to tell first. ``left_out``: endpoints that there was no room for.
    ``readings``: how many were read; 0: nothing is known of that time."""

    since: float
    until: float
    readings: int
    replayed: tuple[Replayed, ...]
    left_out: int
    thresholds: tuple[Threshold, ...]

    @property
    def count(self) -> int:
        return sum(len(one.found.fired) for one in self.replayed)


class Previews:
    """One at a time: it is much to reckon, and nobody is in a hurry."""

    def __init__(self, store: MonitorStore) -> None:
        self._store = store
        self._turn = asyncio.Semaphore(1)

    async def of(
        self,
        alert: Alert,
        endpoints: Sequence[Endpoint],
        tests: Sequence[VoipTest],
        now: float,
    ) -> Preview:
        """``endpoints``: those that raise it; ``tests``: at least theirs. ``now``: unix seconds."""
        servers: dict[int, list[VoipTest]] = {}
        for test in tests:
            if test.deleted_at is None:
                servers.setdefault(test.endpoint_id, []).append(test)
        taken, seconds = _room(endpoints, servers)
        since = now - seconds
        async with self._turn:
            read: list[tuple[Endpoint, list[int], list[Reading]]] = []
            for endpoint in taken:
                here = servers.get(endpoint.id, [])
                readings = [
                    Reading(test.server_id, row.slot, str(row.state), row.verdict, row.figures)
                    for test in here
                    for row in await self._store.readings(test.id, since, now)
                ]
                read.append((endpoint, [test.server_id for test in here], readings))
            return await asyncio.to_thread(_reckon, alert, read, since, now, len(endpoints) - len(taken))


def _room(endpoints: Sequence[Endpoint], tests: dict[int, list[VoipTest]]) -> tuple[list[Endpoint], float]:
    """Which endpoints, and how many seconds of them."""
    taken: list[Endpoint] = []
    rate = 0.0  # readings a second
    for endpoint in endpoints:
        more = len(tests.get(endpoint.id, ())) / endpoint.interval
        if taken and (rate + more) * _SHORTEST > _MOST_READINGS:
            break
        taken.append(endpoint)
        rate += more
    return taken, min(DAYS * 86_400, _MOST_READINGS / rate if rate else DAYS * 86_400)


def _reckon(
    alert: Alert,
    read: Sequence[tuple[Endpoint, list[int], list[Reading]]],
    since: float,
    until: float,
    left_out: int,
) -> Preview:
    def muted(now: float) -> bool:
        return is_open(alert.windows, now)

    def replay(rule: Rule, servers: list[int], readings: list[Reading]) -> Rehearsal:
        return rehearse(rule, readings, servers, since, until, muted=muted)

    replayed = [
        Replayed(endpoint, replay(rule_of(alert, endpoint), servers, readings))
        for endpoint, servers, readings in read
    ]
    replayed.sort(key=lambda one: (-len(one.found.fired), -len(one.found.near), one.endpoint.name))
    condition = alert.rule[0]
    thresholds: list[Threshold] = []
    if condition.what in FIGURES and condition.limit is not None:
        step = _STEPS[condition.what]
        for factor in (-3, -1, 0, 2) if condition.operator[0] == "<" else (-2, 0, 1, 3):
            limit = round(condition.limit + factor * step, 3)
            if limit <= 0:
                continue
            if factor == 0:
                fired = [one for row in replayed for one in row.found.fired]
            else:
                fired = []
                for endpoint, servers, readings in read:
                    rule = rule_of(alert, endpoint)
                    changed = msgspec.structs.replace(rule, condition=_with_limit(rule, limit))
                    fired += replay(changed, servers, readings).fired
            seconds = sum((until if one.ended is None else one.ended) - one.began for one in fired)
            thresholds.append(Threshold(limit, len(fired), seconds, factor == 0))
    count = sum(len(readings) for _, _, readings in read)
    return Preview(since, until, count, tuple(replayed), left_out, tuple(thresholds))


def _with_limit(rule: Rule, limit: float) -> Condition:
    return dataclasses.replace(rule.condition, limit=limit)
