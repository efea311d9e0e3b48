"""Orders to stop, repeated until the agent has obeyed; the kill switch, announced once."""

from __future__ import annotations

from callwright.control.keeping.intake import why_stopped
from callwright.control.runs.model import Run
from callwright.control.runs.service import Runs
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker
from callwright.dispatch.messages.agents import Control, Kill, StopOrder
from callwright.dispatch.messages.wire import encode

__all__ = ["Stops"]


class Stops:
    def __init__(self, runs: Runs, broker: Broker) -> None:
        self._runs, self._broker = runs, broker
        self._orders: dict[tuple[int, int], tuple[str, StopOrder]] = {}  # -> agent, what it is told
        self._killed_at: float | None = None

    def see(self, run: Run) -> bool:
        """As it is now; whether its agent is to be told."""
        key = (run.id, run.attempt)
        if run.finished:
            self._orders.pop(key, None)
        elif run.stop_requested_at is not None and run.agent_id is not None:
            self._orders[key] = (run.agent_id, StopOrder(run.id, run.attempt, why_stopped(run)))
        return key in self._orders

    def keep_only(self, attempts: set[tuple[int, int]]) -> None:
        for key in self._orders.keys() - attempts:
            del self._orders[key]

    def of(self, agent_id: str) -> list[StopOrder]:
        return [order for owner, order in self._orders.values() if owner == agent_id]

    async def tell(self) -> None:
        """Again with each look and each heartbeat."""
        for agent_id in {agent_id for agent_id, _ in self._orders.values()}:
            await self._broker.publish(
                subject.control(agent_id), encode(Control(stop=tuple(self.of(agent_id))))
            )

    async def announce_kill(self) -> None:
        switch = await self._runs.kill_switch()
        if switch is not None and switch.engaged_at != self._killed_at:
            await self._broker.publish(subject.KILL, encode(Kill(switch.to_agents)))
        self._killed_at = switch.engaged_at if switch is not None else None
