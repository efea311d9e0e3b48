"""The queues of pools: the next runs of each lie in it, and no others, which would be taken out of turn."""

from __future__ import annotations

from collections import Counter

from callwright.control.agents.model import AgentState
from callwright.control.agents.service import Agents
from callwright.control.keeping.placing import Placing
from callwright.control.runs.line import Turns
from callwright.control.runs.model import Run
from callwright.control.runs.service import Runs
from callwright.control.runs.transitions import Phase
from callwright.dispatch.broker import Broker
from callwright.dispatch.messages.runs import Ticket
from callwright.dispatch.messages.wire import encode
from callwright.net.clock import Clock

__all__ = ["Queues"]

_AGAIN = 15.0  # seconds after which a run that still waits is put into its queue once more


class Queues:
    """Whatever it remembers is read again from the database, and whatever lies in a queue may be lost.
    ``placing`` None: runs that ask for servers wait."""

    def __init__(
        self,
        runs: Runs,
        agents: Agents,
        broker: Broker,
        *,
        lease: float,
        clock: Clock,
        placing: Placing | None = None,
    ) -> None:
        self._placing = placing
        self._runs, self._agents, self._broker = runs, agents, broker
        self._lease, self._clock = lease, clock
        self._line = Turns()
        self._queued: dict[tuple[int, int], tuple[str, float]] = {}  # -> pool, when it was put in
        self._open: set[str] = set()  # pools whose queue is there
        self._rooms: dict[str, int] = {}  # pool -> runs that are offered to its agents at once
        self._limits: dict[int, int] = {}  # project -> runs that agents may have of it
        self._owners: dict[str, int] = {}  # pool -> the project that alone may use it

    def forget(self) -> None:
        """What lay in the queues may be gone."""
        self._open.clear()
        self._queued.clear()

    async def see(self, run: Run) -> None:
        """As it is now."""
        self._line.see(run)
        if run.phase == Phase.QUEUED:
            return
        waiting = self._queued.pop((run.id, run.attempt), None)
        if run.finished and waiting is not None and run.agent_id is None:
            await self._broker.withdraw(waiting[0], _ticket_name(run.id))

    def keep_only(self, attempts: set[tuple[int, int]]) -> None:
        """The others have ended meanwhile."""
        for key in self._queued.keys() - attempts:
            del self._queued[key]
        self._line.keep_only({run_id for run_id, _ in attempts})

    async def count_rooms(self) -> None:
        """An agent asks for one run at a time; one more lies ready for whoever is first."""
        wall = self._clock.wall()
        agents = Counter(
            agent.pool
            for agent in await self._agents.list()
            if agent.state == AgentState.ACTIVE and agent.alive(wall, self._lease)
        )
        self._rooms = {pool: 1 + number for pool, number in agents.items()}
        pools = await self._agents.pools()
        self._owners = {pool.name: pool.project_id for pool in pools if pool.project_id is not None}
        self._limits = dict(await self._runs.running_limits())
        if self._placing is not None:
            self._placing.look_again()

    async def offer(self) -> None:
        chosen = self._line.chosen(self._rooms, self._limits, self._owners)
        wanted = {(run.id, run.attempt) for run in chosen}
        for key in self._queued.keys() - wanted:
            pool, _ = self._queued.pop(key)
            await self._broker.withdraw(pool, _ticket_name(key[0]))
        for run in chosen:
            await self._enqueue(run)
        if self._placing is not None:
            waiting = self._line.placed(self._limits)
            await self._placing.offer(waiting, *(self._line.held_by() if waiting else ({}, {})), self._owners)

    async def _enqueue(self, run: Run) -> None:
        key = (run.id, run.attempt)
        now = self._clock.now()
        _, since = self._queued.get(key, ("", None))
        if since is not None and now - since < _AGAIN:
            return
        if run.pool not in self._open:
            await self._broker.open_queue(run.pool)
            self._open.add(run.pool)
        ticket = Ticket(run.id, run.session_id, run.attempt)
        await self._broker.enqueue(run.pool, _ticket_name(run.id), encode(ticket))
        self._queued[key] = (run.pool, now)


def _ticket_name(run_id: int) -> str:
    return str(run_id)
