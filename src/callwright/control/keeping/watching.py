"""What living runs tell, passed on to the pages that watch them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from callwright.control.errors import DomainError
from callwright.control.keeping.so_far import SoFar
from callwright.control.runs.model import Run
from callwright.control.runs.service import Runs
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, Message
from callwright.dispatch.messages.live import Progress, SoFarAnswer, SoFarRequest
from callwright.dispatch.messages.wire import BadMessage, decode, encode
from callwright.net.clock import Clock

__all__ = ["Watching"]

_log = logging.getLogger(__name__)

_MOST = 4 * 1024 * 1024  # octets of one answer


class Watching:
    def __init__(self, runs: Runs, broker: Broker, clock: Clock) -> None:
        self._runs, self._broker, self._clock = runs, broker, clock
        self._owners: dict[tuple[int, int], tuple[str, str]] = {}  # -> agent, session id
        self._so_far = SoFar()

    def see(self, run: Run) -> None:
        if run.agent_id is not None:
            self._owners[run.id, run.attempt] = (run.agent_id, run.session_id)

    def keep_only(self, live: Sequence[Run]) -> None:
        for key in self._owners.keys() - {(run.id, run.attempt) for run in live}:
            del self._owners[key]
        self._so_far.keep_only({run.session_id for run in live})

    async def progress(self, message: Message) -> None:
        """Of an agent, passed on where the run is its own."""
        agent_id = subject.sender(message.subject)
        try:
            event = decode(Progress, message.data)
        except BadMessage as error:
            _log.debug("%s: %s", message.subject, error)
            return
        if await self._owner(event) == (agent_id, event.session_id):
            self._so_far.keep(event.session_id, event.kind, message.data)
            await self._broker.publish(subject.live(event.session_id), message.data)

    async def _owner(self, event: Progress) -> tuple[str, str] | None:
        """(agent, session id) of a run that is being carried out."""
        key = (event.run_id, event.attempt)
        if key not in self._owners:
            try:
                run = await self._runs.by_id(event.run_id)
            except DomainError:
                return None
            if run.attempt != event.attempt or run.agent_id is None or run.finished:
                return None
            self.see(run)
        return self._owners[key]

    async def tell_so_far(self, message: Message) -> None:
        wanted = decode(SoFarRequest, message.data)
        chosen: list[bytes] = []
        room = _MOST
        for data in reversed(self._so_far.told(wanted.session_id)):
            room -= len(data)
            if room < 0:
                break
            chosen.append(data)
        events = tuple(decode(Progress, data) for data in reversed(chosen))
        await message.respond(encode(SoFarAnswer(events)))

    async def say_phase(self, run: Run) -> None:
        """The same way as what the agent tells."""
        at = max(0.0, self._clock.wall() - (run.started_at or run.created_at))
        data: dict[str, Any] = {
            "phase": run.phase,
            "status": run.status,
            "verdict": run.verdict,
            "reason": run.result_description,
        }
        event = Progress(run.session_id, run.id, run.attempt, round(at, 3), "phase", data)
        await self._broker.publish(subject.live(run.session_id), encode(event))
