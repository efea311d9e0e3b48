"""Has the planner decide for each pool, and carries out what it wants."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from callwright.autoscaler.fortune import Fortune
from callwright.autoscaler.room import Room, Scene, Work
from callwright.fleet.plan import HOUR, Decision, Peaks, Seen, Tally, decide, tally
from callwright.fleet.pool import Pool, PoolError
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import Event, State
from callwright.net.clock import Clock

__all__ = ["Planner"]

_IDLE = Work()


class Planner:
    """What it remembers is by the clock of intervals, so no jump of the calendar makes a server old or idle.
    `forget` it when another platform has led meanwhile."""

    def __init__(self, room: Room, fortune: Fortune, clock: Clock) -> None:
        self._room, self._fortune, self._clock = room, fortune, clock
        self.decisions: dict[str, Decision] = {}
        self.forget()

    def forget(self) -> None:
        self._idle_since: dict[str, float] = {}
        self._errored_at: dict[str, float] = {}
        self._born: dict[str, float] = {}
        self._births: dict[str, deque[float]] = {}
        self._peaks: dict[str, Peaks] = {}

    async def attend(self, scene: Scene) -> None:
        now = self._clock.now()
        by_pool: dict[str, list[ServerRecord]] = {name: [] for name in scene.pools}
        for server in scene.servers:
            by_pool.setdefault(server.pool, []).append(server)
        self._keep_only({server.name for server in scene.servers})
        for name, servers in by_pool.items():
            pool = scene.pools.get(name) or _forgotten(name, servers)
            if pool is not None:
                await self._attend_to(pool, servers, scene, now)

    async def _attend_to(self, pool: Pool, servers: list[ServerRecord], scene: Scene, now: float) -> None:
        births = await self._births_of(pool.name, servers, now)
        seen = [self._seen(server, scene.work.get(server.name, _IDLE), now) for server in servers]
        counted = self._tally(pool, seen, births, scene.waiting.get(pool.name, 0), now)
        decision = decide(pool, counted, now, paused=scene.paused)
        by_name = {server.name: server for server in servers}
        made = await self._create(pool, decision, by_name)
        retired = await self._move(decision.retire, by_name, Event.RETIRE)
        reaped = await self._move(decision.reap, by_name, Event.REAP)
        done = replace(decision, create=made, retire=retired, reap=reaped)
        before = self.decisions.get(pool.name)
        self.decisions[pool.name] = done
        if done.changes or _news(before, done):
            await self._room.tell(done)

    async def _create(self, pool: Pool, decision: Decision, known: dict[str, ServerRecord]) -> int:
        if not decision.create:
            return 0
        added = await self._room.add(pool, decision.create, decision.size, frozenset(known))
        now = self._clock.now()
        for name in added:
            self._born[name] = now
            self._births[pool.name].append(now)
        return len(added)

    async def _move(
        self, names: Iterable[str], servers: dict[str, ServerRecord], event: Event
    ) -> tuple[str, ...]:
        return tuple([name for name in names if await self._room.move(servers[name], event) is not None])

    # -- what the planner looks at

    def _tally(
        self, pool: Pool, seen: list[Seen], births: Iterable[float], waiting: int, now: float
    ) -> Tally:
        peaks = self._peaks.get(pool.name)
        if peaks is None or peaks.window != pool.idle_seconds:
            peaks = self._peaks[pool.name] = Peaks(pool.idle_seconds)
            # Nothing was seen yet: as if all that run had been full.
            peaks.add(now, sum(one.capacity for one in seen if one.state is State.RUNNING))
        failures, last_failure_at = self._fortune.failures(pool.name)
        return tally(
            seen,
            now,
            waiting=waiting,
            failures=failures,
            last_failure_at=last_failure_at,
            out_of_stock=self._fortune.stock(pool),
            created=births,
            peaks=peaks,
        )

    def _seen(self, server: ServerRecord, work: Work, now: float) -> Seen:
        idle_since = None
        if server.state is State.RUNNING and not (work.busy or work.holds):
            idle_since = self._idle_since.setdefault(server.name, now)
        else:
            self._idle_since.pop(server.name, None)
        if server.state is State.ERROR:
            errored_at = self._errored_at.setdefault(server.name, now)
        else:
            errored_at = 0.0
            self._errored_at.pop(server.name, None)
        return Seen(
            server.name,
            server.state,
            server.capacity,
            self._born[server.name],
            busy=work.busy,
            idle_since=idle_since,
            errored_at=errored_at,
            attempts=server.attempts,
            ours=server.ours,
        )

    async def _births_of(self, pool: str, servers: list[ServerRecord], now: float) -> deque[float]:
        """When servers were made within the last hour, oldest first. The records are asked once."""
        wall = self._clock.wall()
        births = self._births.get(pool)
        first = births is None
        if births is None:
            made = await self._room.created_since(pool, wall - HOUR)
            births = self._births[pool] = deque(sorted(now - max(0.0, wall - at) for at in made))
        for server in servers:
            if server.name not in self._born:
                self._born[server.name] = now - max(0.0, wall - server.created) if first else now
                if not first and server.ours:
                    births.append(now)
        while births and births[0] <= now - HOUR:
            births.popleft()
        return births

    def _keep_only(self, names: set[str]) -> None:
        for kept in (self._idle_since, self._errored_at, self._born):
            for gone in kept.keys() - names:
                del kept[gone]


def _forgotten(name: str, servers: list[ServerRecord]) -> Pool | None:
    """The pool of servers whose settings are gone: it ends."""
    ours = [server for server in servers if server.ours]
    try:
        return Pool(name, provider=ours[0].provider, removed=True) if ours else None
    except PoolError:
        return None


def _news(before: Decision | None, after: Decision) -> bool:
    """Whether something keeps the planner from what it wants, and did not before."""
    return after.short > 0 and (before is None or before.bound is not after.bound)
