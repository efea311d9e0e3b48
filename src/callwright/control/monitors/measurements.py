"""What agents measure: the plans that they hold, the readings that come of them, and the history of these."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import msgspec

from callwright.control.credentials.service import Credentials
from callwright.control.monitors.history import RESOLUTIONS, Tally, merged, tally
from callwright.control.monitors.model import Planned, StoredReading
from callwright.control.monitors.sense import check_length
from callwright.control.monitors.store import MonitorStore
from callwright.control.servers.service import Servers
from callwright.control.targets.model import TargetRow
from callwright.control.targets.service import Targets
from callwright.evidence.shown import shown_json
from callwright.net.clock import Clock

__all__ = ["Measurements"]

KEPT = 30 * 86_400.0
"""Seconds for which readings are kept; older ones are dropped when they come."""
_MINUTES_KEPT = 90 * 86_400
_AHEAD = 3_600.0  # seconds by which a slot may lie ahead of our clock
_LATE = 120  # seconds after its end in which an hour is left open for what is on its way
_HOUR, _DAY = 3_600, 86_400
_AT_ONCE = 200  # hours rolled up between two looks at anything else
_LOOK_AROUND = 2.0  # seconds
_LARGEST_FIGURES = 16_384  # octets of JSON


class Measurements:
    """``embedded``: one person's installation, where what is near is permitted, as for runs."""

    def __init__(
        self,
        store: MonitorStore,
        servers: Servers,
        credentials: Credentials,
        targets: Targets,
        *,
        clock: Clock,
        embedded: bool,
    ) -> None:
        self._store, self._servers, self._credentials, self._targets = store, servers, credentials, targets
        self._clock, self.embedded = clock, embedded
        self._known_around, self._around_at = "", float("-inf")
        self._forgot_at = float("-inf")

    # -- plans

    async def revision(self, agent_id: str) -> int | None:
        """Of the agent's plan: another number for each change of what it holds. None: it has none."""
        server = await self._servers.of_agent(agent_id)
        found = None if server is None else await self._store.revision(server.number)
        if found is None:
            return None
        text = f"{found} {await self._around()}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 11

    async def _around(self) -> str:
        """What else stands in plans, the same for all of them: looked at once in a while."""
        now = self._clock.now()
        if now - self._around_at >= _LOOK_AROUND:
            targets = [row.id for row in await self._targets.list()]
            accounts = [(row.id, row.updated_at) for row in await self._credentials.all()]
            self._known_around, self._around_at = f"{targets} {accounts}", now
        return self._known_around

    async def planned(self, agent_id: str, after: int, limit: int) -> list[Planned]:
        """What the agent's server is to test, by the ids of VoIP tests above ``after``."""
        server = await self._servers.of_agent(agent_id)
        return [] if server is None else await self._store.planned(server.number, after, limit)

    async def accounts(self, project_id: int) -> dict[str, dict[str, str]]:
        """SIP accounts with their passwords, for plans alone."""
        return await self._credentials.revealed(project_id)

    async def targets(self) -> Sequence[TargetRow]:
        return await self._targets.list()

    # -- readings and history

    async def take(self, agent_id: str, readings: Sequence[StoredReading]) -> None:
        """Those of the agent's own VoIP tests and of a time that history keeps; others are dropped."""
        server = await self._servers.of_agent(agent_id)
        if server is None or not readings:
            return
        now = self._clock.wall()
        own = await self._store.voip_tests_of(
            server.number, sorted({one.voip_test_id for one in readings if 0 < one.voip_test_id < 2**53})
        )
        new: dict[tuple[int, int], StoredReading] = {}
        for one in readings:
            if one.voip_test_id in own and now - KEPT < one.slot <= now + _AHEAD:
                new.setdefault((one.voip_test_id, one.slot), _bounded(one))
        if new:
            await self._store.add_readings(list(new.values()))

    async def readings(
        self, voip_test_id: int, interval: int, since: float, until: float
    ) -> list[StoredReading]:
        """Oldest first; slots from ``since`` to before ``until``. ``interval``: seconds between them now.
        Raises Invalid for too many."""
        check_length(since, until, interval)
        return await self._store.readings(voip_test_id, since, until)

    async def changes(self, voip_test_ids: Sequence[int], since: float, until: float) -> list[StoredReading]:
        """Slots with another path than the usual one, or other answers of DNS, oldest first. Reads every slot
        of this time: for a day at most."""
        return await self._store.changes(voip_test_ids, since, until)

    async def history(
        self,
        voip_test_id: int,
        resolution: str,
        since: float,
        until: float,
        figure: str | None = None,
    ) -> list[tuple[int, Tally]]:
        """Oldest first; the unix seconds at which each row begins. ``figure``: the only one whose spread is
        wanted. What is not rolled up yet is read from the readings. Raises Invalid for too many rows."""
        seconds = RESOLUTIONS[resolution]
        check_length(since, until, seconds)
        begin, last = int(since // seconds) * seconds, math.ceil(until)
        rows = await self._store.tallies(voip_test_id, seconds, begin, last, figure)
        open_since, open_until = (
            begin // _HOUR * _HOUR,
            max(last, (last - 1) // seconds * seconds + seconds),
        )
        days: set[int] = set()
        for hour in await self._store.due_of(voip_test_id, open_since, open_until):
            if seconds > _HOUR:
                days.add(hour // seconds * seconds)
                continue
            found = _by(seconds, await self._store.readings(voip_test_id, hour, hour + _HOUR))
            rows |= {at: one for at, one in found.items() if begin <= at < last}
        for day in days:
            hours = await self._hours(voip_test_id, day)
            if hours:
                rows[day] = merged(hours.values())
        return sorted(rows.items())

    async def _hours(self, voip_test_id: int, day: int) -> dict[int, Tally]:
        """Of one day, those that are not rolled up from their readings."""
        hours = await self._store.tallies(voip_test_id, _HOUR, day, day + _DAY)
        for hour in await self._store.due_of(voip_test_id, day, day + _DAY):
            hours |= _by(_HOUR, await self._store.readings(voip_test_id, hour, hour + _HOUR))
        return hours

    async def roll_up(self) -> bool:
        """Some hours that are over; whether there are more."""
        due = await self._store.due(int(self._clock.wall() - _HOUR - _LATE), _AT_ONCE)
        for voip_test_id, hour in due:
            async with self._store.transaction():
                if not await self._store.take_due(voip_test_id, hour):
                    continue
                found = await self._store.readings(voip_test_id, hour, hour + _HOUR)
                await self._store.put_tallies(voip_test_id, 60, _by(60, found))
                await self._store.put_tallies(voip_test_id, _HOUR, _by(_HOUR, found))
                day = hour // _DAY * _DAY
                hours = await self._hours(voip_test_id, day)
                await self._store.put_tallies(voip_test_id, _DAY, {day: merged(hours.values())})
        return len(due) == _AT_ONCE

    async def forget_old(self) -> None:
        """Readings after 30 days, minutes after 90; hours and days stay."""
        now = self._clock.wall()
        if now - self._forgot_at < _HOUR:
            return
        self._forgot_at = now
        before = int(now - KEPT - _HOUR) // _HOUR * _HOUR
        await self._store.forget_readings(before, int(now) - _MINUTES_KEPT)


def _by(seconds: int, readings: Sequence[StoredReading]) -> dict[int, Tally]:
    parts: dict[int, list[StoredReading]] = {}
    for one in readings:
        parts.setdefault(one.slot // seconds * seconds, []).append(one)
    return {at: tally(part) for at, part in parts.items()}


def _bounded(reading: StoredReading) -> StoredReading:
    """What an agent says is hostile: figures without what acts on a terminal, and without end."""
    text = msgspec.json.encode(reading.figures)
    if len(text) > _LARGEST_FIGURES:
        return msgspec.structs.replace(reading, figures={}, reason="The figures were too large to be kept.")
    shown = shown_json(text.decode())
    return msgspec.structs.replace(reading, figures=msgspec.json.decode(shown))
