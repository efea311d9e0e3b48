"""What a run being carried out says to the platform, and hears from it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from callwright.agent.spool import Entry
from callwright.agent.together import Together
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError
from callwright.dispatch.messages.live import Progress
from callwright.dispatch.messages.runs import Attempt, IntentNotice
from callwright.dispatch.messages.wire import Answer, BadMessage, decode, encode
from callwright.dispatch.telling import Teller
from callwright.net.clock import Clock
from callwright.phone.intent import Intent, Withheld

_log = logging.getLogger(__name__)

_INTENT_SECONDS = 2.0
_INTENT_PATIENCE = 10.0  # at least so long, and at least two leases, an INVITE waits for the platform
_AGAIN = 0.1
_MOST_WAITING = 500  # events; older ones are dropped, for they are only watched


class Live:
    """One for each attempt. `journal` is set when its spool entry is open; before that nothing may be called.

    `stopped` is the sentence that says who stopped it, once there is one, and `stopping` is set then.
    `superseded`: the platform did not give leave for the first INVITE, as the attempt is another's business
    by now; none has left.
    `withheld`: why no call is placed now, the end of a sentence; `on_hold` hears of it (True) and of its end.
    `together`: with whom it begins, if several servers carry it out.
    `has_calls` tells whether any is on, or may be. `calls` takes news of the calls of the run's own PBX.
    """

    def __init__(
        self,
        broker: Broker,
        agent_id: str,
        attempt: Attempt,
        clock: Clock,
        lease_seconds: Callable[[], float],
    ) -> None:
        self.attempt = attempt
        self.journal: Entry | None = None
        self.stopped: str | None = None
        self.stopping = asyncio.Event()
        self.superseded = False
        self.together: Together | None = None
        self.withheld: str | None = None
        self.on_hold: list[Callable[[bool], None]] = []
        self.has_calls: Callable[[], bool] = lambda: self.journal is not None and self.journal.intents > 0
        self._broker, self._agent_id, self._clock = broker, agent_id, clock
        self._lease_seconds = lease_seconds
        self._began = clock.now()
        self._announced: asyncio.Future[None] | None = None
        self._progress = Teller(broker, subject.of_agent(agent_id, subject.PROGRESS), _MOST_WAITING)
        self.calls = Teller(broker, subject.of_agent(agent_id, subject.CALL), _MOST_WAITING)

    # -- stopping

    def stop(self, reason: str) -> None:
        """`reason` is a sentence. The first one counts."""
        if self.stopped is None:
            self.stopped = reason
            self.stopping.set()

    def hold(self, reason: str | None) -> None:
        """No call is placed until it is said again with None."""
        changed = (reason is None) != (self.withheld is None)
        self.withheld = reason
        if changed:
            for listener in self.on_hold:
                listener(reason is not None)

    # -- before an INVITE

    async def intend(self, intent: Intent) -> None:
        """On our disk, and for the first of the run in the platform's database. Raises Withheld."""
        self._check()
        if self.journal is None:
            raise Withheld("the run has no journal")
        record = {"call": intent.call, "destination": intent.destination, "at": self._clock.wall()}
        try:
            await asyncio.get_running_loop().run_in_executor(None, self.journal.intend, record)
        except OSError as error:
            raise Withheld(f"the agent cannot write down the call: {error.strerror or error}") from None
        if self._announced is None:
            self._announced = asyncio.ensure_future(self._announce(intent))
        await asyncio.shield(self._announced)
        self._check()

    def _check(self) -> None:
        if self.stopped is not None:
            raise Withheld(f"the run was stopped: {self.stopped}")
        if self.withheld is not None:
            raise Withheld(f"no call is placed {self.withheld}")

    async def _announce(self, intent: Intent) -> None:
        attempt = self.attempt
        notice = encode(
            IntentNotice(
                attempt.run_id,
                attempt.session_id,
                attempt.attempt,
                call=intent.call,
                destination=intent.destination,
            )
        )
        to = subject.of_agent(self._agent_id, subject.INTENT)
        deadline = self._clock.now() + max(_INTENT_PATIENCE, 2 * self._lease_seconds())
        while self.stopped is None and self._clock.now() < deadline:
            try:
                answer = decode(Answer, await self._broker.request(to, notice, _INTENT_SECONDS))
            except (BrokerError, BadMessage) as error:
                _log.debug("the intent was not answered: %s", error)
                await asyncio.sleep(_AGAIN)
                continue
            if answer.accepted:
                return
            self.superseded = answer.superseded
            self.stop(answer.reason or "Stopped by the platform.")
        if self.stopped is None:
            raise Withheld("the platform could not be told of the call in time, so it was not placed")

    # -- progress

    def report(self, kind: str, data: dict[str, Any]) -> None:
        """For people who watch; never waits, and may be lost."""
        attempt = self.attempt
        at = round(self._clock.now() - self._began, 3)
        self._progress.tell(Progress(attempt.session_id, attempt.run_id, attempt.attempt, at, kind, data))

    def close(self) -> None:
        self._progress.forget()
