"""Caps of targets over all runs of this agent at once: asked when a call is begun, told when it has ended.

The platform holds the same caps at admission, over all agents, by what runs may take at most. Here they hold
by what calls really do: never more at once, never faster, none begun when the minutes are used up. Each agent
counts for itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from callwright.net.clock import Clock
from callwright.phone.intent import Capped
from callwright.policy.destination import Target

PATIENCE = 30.0
"""Seconds that a call waits for its turn, or for another one's end."""
_DAY = 86_400.0

Place = tuple[str | None, str | None, str | None]


@dataclass(slots=True)
class _Use:
    """Of one target. `next_at`: when the next call may begin; `begun`: serial -> (calls, since when);
    `talked`: (when it ended, seconds of calls)."""

    next_at: float = 0.0
    begun: dict[int, tuple[int, float]] = field(default_factory=dict)
    talked: deque[tuple[float, float]] = field(default_factory=deque)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def calls(self) -> int:
        return sum(calls for calls, _ in self.begun.values())

    def minutes(self, now: float) -> float:
        while self.talked and now - self.talked[0][0] > _DAY:
            self.talked.popleft()
        running = sum(calls * (now - since) for calls, since in self.begun.values())
        return (running + sum(seconds for _, seconds in self.talked)) / 60


class Caps:
    """One for each agent. A target is known by its place; the caps are those of the job that asks."""

    def __init__(self, clock: Clock, patience: float = PATIENCE) -> None:
        self._clock, self._patience = clock, patience
        self._uses: dict[Place, _Use] = {}
        self._serial = 0

    async def enter(self, target: Target, *, calls: int = 1, rate: float | None = None) -> Callable[[], None]:
        """Waits for the turn of a call; what it returns is called when the call has ended.

        A load enters as a whole, with the calls that it holds at once and the `rate` at which it begins them
        (calls per second). Raises Capped with a sentence.
        """
        use = self._uses.setdefault((target.host, target.network, target.number), _Use())
        named = target.host or target.network or target.number
        if rate is not None and target.rate is not None and rate > target.rate:
            raise Capped(
                f"the target {named} permits {target.rate:g} calls per second, this load wants {rate:g}"
            )
        self._have_minutes(target, use, named)
        await self._have_room(target, use, calls, named)
        self._serial += 1
        serial = self._serial
        use.begun[serial] = (calls, self._clock.now())

        def leave() -> None:
            taken = use.begun.pop(serial, None)
            if taken is None:
                return
            now = self._clock.now()
            if target.minutes is not None:
                use.talked.append((now, taken[0] * (now - taken[1])))
            waiting, use.left = use.left, asyncio.Event()
            waiting.set()

        try:
            await self._have_turn(target, use, calls if rate is None else 1, named)
        except BaseException:
            leave()
            raise
        return leave

    def _have_minutes(self, target: Target, use: _Use, named: str | None) -> None:
        if target.minutes is not None and use.minutes(self._clock.now()) >= target.minutes:
            raise Capped(
                f"the target {named} permits {target.minutes:g} minutes of calls in a day, "
                "and they are used up at this agent"
            )

    async def _have_room(self, target: Target, use: _Use, calls: int, named: str | None) -> None:
        cap = target.concurrency
        deadline = self._clock.now() + self._patience
        while cap is not None and use.calls + calls > cap:
            left = deadline - self._clock.now()
            if calls > cap or left <= 0:
                raise Capped(f"the target {named} permits {cap:g} calls at once, and {use.calls} are on here")
            waiting = use.left
            try:
                async with asyncio.timeout(left):
                    await waiting.wait()
            except TimeoutError:
                continue

    async def _have_turn(self, target: Target, use: _Use, calls: int, named: str | None) -> None:
        if target.rate is None:
            return
        now = self._clock.now()
        turn = max(now, use.next_at)
        if turn - now > self._patience:
            raise Capped(
                f"the target {named} permits {target.rate:g} calls per second, "
                f"and the turn of this one would come in {turn - now:.0f} s"
            )
        use.next_at = turn + calls / target.rate
        await asyncio.sleep(turn - now)
