"""A platform's records in memory, a cloud beyond it, and agents that boot, are heard and die, in virtual
time. Several platforms may work on it, and each may be killed between any two steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Unpack

import msgspec

from callwright.autoscaler.places import Places
from callwright.autoscaler.room import Enrolment, Scene, Work
from callwright.autoscaler.rounds import Autoscaler
from callwright.fleet.plan import Decision
from callwright.fleet.pool import Pool
from callwright.fleet.record import Facts, NoSuchMove, ServerRecord, moved
from callwright.fleet.server import Event, State
from callwright.fleet.words import sentence
from tests.kit.machines import Cloud, MemoryProvider

ON_THE_WAY = {State.PENDING, State.CREATING, State.CREATED, State.STAGING, State.RUNNING}


class JumpingClock:
    """The time of the running loop; the calendar beside it jumps when a test says so."""

    def __init__(self) -> None:
        self.offset = 1_700_000_000.0

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return self.now() + self.offset


@dataclass
class World:
    """`boot`: seconds from a machine's creation to its agent's first sign of life. `busy`: calls by server.
    `dead`: servers whose agents say nothing."""

    pools: dict[str, Pool] = field(default_factory=dict)
    cloud: Cloud = field(default_factory=Cloud)
    clock: JumpingClock = field(default_factory=JumpingClock)
    boot: float = 20.0
    rows: dict[str, ServerRecord] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    paused: bool = False
    listening: bool = True
    told: list[str] = field(default_factory=list)
    drained: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    moves: list[tuple[str, Event]] = field(default_factory=list)
    leader: Any = None  # None: everybody leads
    provider: str = "memory"
    other: Cloud = field(default_factory=Cloud)  # of the provider `other`
    _number: int = 0
    _marks: dict[str, float] = field(default_factory=dict)
    _seen_at: dict[str, float] = field(default_factory=dict)
    _running: list[tuple[Autoscaler, asyncio.Task[None]]] = field(default_factory=list)

    # -- platforms

    def platform(self, every: float = 1.0) -> Autoscaler:
        room = RoomOf(self)
        clouds = {"memory": self.cloud, "other": self.other}
        openers = {name: partial(MemoryProvider, cloud) for name, cloud in clouds.items()}
        places = Places(openers, self.clock, dict.fromkeys(clouds, 0.0))
        made = Autoscaler(room, places, self.clock, every=every)
        room.platform = made
        self._running.append((made, asyncio.ensure_future(made.run())))
        return made

    async def kill(self) -> None:
        """Every platform, wherever it is."""
        for made, task in self._running:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await made.doing.close()
        self._running.clear()

    # -- what a test says and sees

    def add_pool(self, **settings: Any) -> Pool:
        provider = settings.pop("provider", self.provider)
        pool = Pool(settings.pop("name", "lab"), provider=provider, **settings)
        self.pools[pool.name] = pool
        return pool

    def create(self, pool: str = "lab", **fields: Any) -> str:
        """As `POST /api/servers` does."""
        self._number += 1
        name: str = fields.pop("name", f"agent-{self._number:04}")
        now = self.clock.wall()
        self.rows[name] = ServerRecord(
            number=self._number,
            name=name,
            label=name,
            provider=fields.pop("provider", self.provider),
            pool=pool,
            state=fields.pop("state", State.PENDING),
            created=now,
            updated=now,
            since=now,
            capacity=self.pools[pool].capacity,
            **fields,
        )
        return name

    def delete(self, name: str) -> ServerRecord:
        """As `DELETE /api/servers/<name>` does. Raises NoSuchMove."""
        self.rows[name] = moved(self.rows[name], Event.RETIRE, self.clock.wall())
        return self.rows[name]

    def names(self, *states: State) -> list[str]:
        return [name for name, row in self.rows.items() if not states or row.state in states]

    def alive(self) -> list[ServerRecord]:
        return [row for row in self.rows.values() if row.state is not State.STOPPED]

    def running(self) -> int:
        return len(self.names(State.RUNNING))

    def state(self, name: str) -> State:
        return self.rows[name].state

    async def until(self, condition: Any, seconds: float = 3600.0) -> None:
        deadline = self.clock.now() + seconds
        while not condition():
            assert self.clock.now() < deadline, {n: (r.state, r.error) for n, r in self.rows.items()}
            await asyncio.sleep(0.5)

    def settled(self) -> bool:
        """As many as the pools' minimum run, each on one machine, and nothing else is anywhere."""
        running = sorted(self.names(State.RUNNING))
        others = set(self.names()) - set(running) - set(self.names(State.STOPPED))
        return (
            not others
            and sorted(self.cloud.tags()) == running
            and len(running) == sum(pool.minimum for pool in self.pools.values() if not pool.removed)
        )

    # -- agents

    def work(self) -> dict[str, Work]:
        now = self.clock.now()
        found = {}
        tags = set(self.cloud.tags())
        for name, row in self.rows.items():
            if row.provider == self.provider:
                born = self._seen_at.setdefault(name, now) if name in tags else None
                if name not in tags:
                    self._seen_at.pop(name, None)
                alive = born is not None and now - born >= self.boot
            else:
                alive = True
            last = self._marks.get(name)
            if alive and name not in self.dead:
                last = self._marks[name] = now // 5
            found[name] = Work(self.busy.get(name, 0), mark=last)
        return found


class RoomOf:
    """What one platform sees of the world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.platform: Autoscaler | None = None

    async def leads(self) -> bool:
        await asyncio.sleep(0)
        return self.world.leader in (None, self.platform)

    async def look(self) -> Scene:
        world = self.world
        await asyncio.sleep(0)
        return Scene(
            world.alive(),
            dict(world.pools),
            world.work(),
            dict(world.waiting),
            world.paused,
            world.listening,
        )

    async def move(self, seen: ServerRecord, event: Event, **facts: Unpack[Facts]) -> ServerRecord | None:
        await asyncio.sleep(0)
        row = self.world.rows[seen.name]
        if row.revision != seen.revision or row.state is not seen.state:
            return None
        try:
            after = moved(seen, event, self.world.clock.wall(), **facts)
        except NoSuchMove:
            return None
        self.world.rows[seen.name] = after
        self.world.moves.append((seen.name, event))
        if after.error and after.error not in self.world.errors:
            self.world.errors.append(after.error)
        await asyncio.sleep(0)
        return after

    async def learn(self, name: str, **facts: Unpack[Facts]) -> ServerRecord | None:
        await asyncio.sleep(0)
        self.world.rows[name] = msgspec.structs.replace(self.world.rows[name], **facts)
        return self.world.rows[name]

    async def add(self, pool: Pool, count: int, size: str, known: Set[str]) -> Sequence[str]:
        await asyncio.sleep(0)
        world = self.world
        there = {
            n for n, row in world.rows.items() if row.pool == pool.name and row.state is not State.STOPPED
        }
        if there - known:
            return []
        return [world.create(pool.name, size=size) for _ in range(count)]

    async def created_since(self, pool: str, time: float) -> Sequence[float]:
        await asyncio.sleep(0)
        return [row.created for row in self.world.rows.values() if row.pool == pool and row.created > time]

    async def enrolment(self, server: ServerRecord) -> Enrolment:
        await asyncio.sleep(0)
        return Enrolment("http://127.0.0.1:1", f"token-{server.name}-{server.revision}")

    async def drain(self, server: ServerRecord) -> None:
        self.world.drained.append(server.name)

    async def tell(self, decision: Decision) -> None:
        self.world.told.append(sentence(decision))
