"""A run over several servers begins on all of them at one moment of the platform's clock.

Each agent measures that clock against its own with every question, as NTP does (RFC 5905 section 8); what it
measured in the exchange that took least counts, and half of what that took bounds the error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError
from callwright.dispatch.messages.runs import Attempt, Ready, ReadyAnswer
from callwright.dispatch.messages.wire import BadMessage, NotNow, decode, encode
from callwright.net.clock import Clock

__all__ = ["PlatformClock", "Together"]

_log = logging.getLogger(__name__)

_ASK_EVERY = 0.1  # seconds
_ANSWER_SECONDS = 2.0
_ENOUGH = 8  # exchanges, once the moment is known
_SPIN = 0.002  # seconds before the moment in which the loop is not left to its timer


class PlatformClock:
    """The platform's unix time by our interval clock; all in seconds."""

    def __init__(self) -> None:
        self.error = float("inf")
        self._ahead = 0.0
        self.exchanges = 0

    def learn(self, sent: float, heard: float, said: float, received: float) -> None:
        """``sent`` and ``received`` by our clock, ``heard`` and ``said`` by the platform's."""
        self.exchanges += 1
        error = max(0.0, (received - sent) - (said - heard)) / 2
        if error < self.error:
            self.error = error
            self._ahead = ((heard - sent) + (said - received)) / 2

    def ours(self, theirs: float) -> float:
        return theirs - self._ahead

    def theirs(self, ours: float) -> float:
        return ours + self._ahead


class Together:
    """`refuse` hears why the run is not to begin, a sentence."""

    def __init__(
        self,
        broker: Broker,
        agent_id: str,
        attempt: Attempt,
        servers: int,
        clock: Clock,
        refuse: Callable[[str], None],
    ) -> None:
        self._broker, self._clock, self._refuse, self._servers = broker, clock, refuse, servers
        self._to = subject.of_agent(agent_id, subject.READY)
        self._question = encode(Ready(attempt.run_id, attempt.session_id, attempt.attempt))
        self._platform = PlatformClock()
        self._began_at: float | None = None

    async def begin(self) -> None:
        """Returns at the moment at which all begin."""
        start_at = await self._moment()
        if start_at is None:
            return
        while (left := self._platform.ours(start_at) - self._clock.now()) > 0:
            await asyncio.sleep(max(0.0, left - _SPIN))
        self._began_at = self._platform.theirs(self._clock.now())

    async def _moment(self) -> float | None:
        known = 0
        while True:
            sent = self._clock.now()
            try:
                data = await self._broker.request(self._to, self._question, _ANSWER_SECONDS)
                received = self._clock.now()
                answer = decode(ReadyAnswer, data)
            except (BrokerError, BadMessage, NotNow) as error:
                _log.debug("the platform was not told of the run that is ready: %s", error)
                await asyncio.sleep(_ASK_EVERY)
                continue
            if answer.refused:
                self._refuse(answer.refused)
                return None
            self._platform.learn(sent, answer.heard, answer.said, received)
            if answer.start_at is not None:
                known += 1
                left = self._platform.ours(answer.start_at) - self._clock.now()
                if known >= _ENOUGH or left < 4 * _ASK_EVERY:
                    return answer.start_at
            await asyncio.sleep(_ASK_EVERY)

    def to_json(self) -> dict[str, Any]:
        """``began_at``: unix seconds at the platform, None where it did not begin; ``error_ms`` bounds how
        wrong that may be."""
        if self._began_at is None:
            return {"servers": self._servers, "began_at": None, "error_ms": None}
        error = round(1000 * self._platform.error, 3)
        return {"servers": self._servers, "began_at": self._began_at, "error_ms": error}
