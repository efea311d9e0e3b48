"""Caps of targets over all runs of this agent at once: asked when a call is begun or a request is sent, told
when a call has ended.

The platform holds the same caps at admission, over all agents, by what runs may take at most. Here they hold
by what is really sent: never more calls at once, never a request sooner, no call when the minutes are used
up. Each agent counts for itself.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from callwright.net.clock import Clock
from callwright.phone.intent import Capped
from callwright.policy.destination import Target

PATIENCE = 30.0
"""Seconds that something waits for its turn, or a call for another one's end."""
_DAY = 86_400.0
_ROUNDING = 1e-6  # seconds, and requests per second

Place = tuple[str | None, str | None, str | None]


@dataclass(slots=True)
class _Use:
    """Of one target. `next_at`: when the next request may be sent; `line`: serials of those that wait for
    their turn, who leaves it costs nobody anything; `rates`: serial -> requests a second of a load that is
    on; `begun`: serial -> (calls, since when); `talked`: (when it ended, seconds of calls)."""

    next_at: float = 0.0
    line: list[int] = field(default_factory=list)
    rates: dict[int, float] = field(default_factory=dict)
    begun: dict[int, tuple[int, float]] = field(default_factory=dict)
    talked: deque[tuple[float, float]] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def calls(self) -> int:
        return sum(calls for calls, _ in self.begun.values())

    def minutes(self, now: float) -> float:
        while self.talked and now - self.talked[0][0] > _DAY:
            self.talked.popleft()
        running = sum(calls * (now - since) for calls, since in self.begun.values())
        return (running + sum(seconds for _, seconds in self.talked)) / 60

    def left(self, rate: float) -> float:
        """Requests a second that loads leave to others."""
        return rate - sum(self.rates.values())

    def turn(self, serial: int, rate: float, now: float) -> float:
        """When it comes, as things are now; never, while loads take the whole rate."""
        left = self.left(rate)
        if left <= _ROUNDING:
            return math.inf
        return max(now, self.next_at) + self.line.index(serial) / left

    def change(self) -> None:
        waiting, self.changed = self.changed, asyncio.Event()
        waiting.set()


class Caps:
    """One for each agent. A target is known by its place; the caps are those of the job that asks."""

    def __init__(self, clock: Clock, patience: float = PATIENCE) -> None:
        self._clock, self._patience = clock, patience
        self._uses: dict[Place, _Use] = {}
        self._serial = 0

    async def enter(self, target: Target, *, calls: int = 1, rate: float | None = None) -> Callable[[], None]:
        """Waits for the turn of a call; what it returns is called when the call has ended. Who is canceled
        while it waits leaves its place to the next.

        A load enters as a whole, with the calls that it holds at once and the `rate` at which it begins them
        (calls per second); until it leaves, others share what is left of the target's rate. Raises Capped
        with a sentence.
        """
        use, named = self._use(target)
        if rate is not None and target.rate is not None and rate > target.rate:
            raise Capped(f"{_limit(named, target.rate, 'request', ' per second')}; this load needs {rate:g}")
        self._have_minutes(target, use, named)
        await self._have_room(target, use, calls, named)
        serial = self._next_serial()
        use.begun[serial] = (calls, self._clock.now())

        def leave() -> None:
            taken = use.begun.pop(serial, None)
            if taken is None:
                return
            use.rates.pop(serial, None)
            now = self._clock.now()
            if target.minutes is not None:
                use.talked.append((now, taken[0] * (now - taken[1])))
            use.change()

        try:
            await self._have_turn(target, use, serial, rate or 0.0, named)
        except BaseException:
            use.begun.pop(serial, None)  # it never began: it used no minutes
            use.change()
            raise
        return leave

    async def send(self, target: Target) -> None:
        """Waits for the turn of a request that is no call, or of another INVITE of a call that has entered.
        Raises Capped with a sentence."""
        use, named = self._use(target)
        await self._have_turn(target, use, self._next_serial(), 0.0, named)

    def count(self, target: Target) -> None:
        """A request that is not to wait, such as the refresh of a registration: the next one waits longer."""
        if target.rate is not None:
            use, _ = self._use(target)
            use.next_at = max(use.next_at, self._clock.now()) + 1 / target.rate

    def _use(self, target: Target) -> tuple[_Use, str | None]:
        named = target.host or target.network or target.number
        return self._uses.setdefault((target.host, target.network, target.number), _Use()), named

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def _have_minutes(self, target: Target, use: _Use, named: str | None) -> None:
        if target.minutes is not None and use.minutes(self._clock.now()) >= target.minutes:
            limit = _limit(named, target.minutes, "minute", " of calls a day")
            raise Capped(f"{limit}, and they are used up at this agent")

    async def _have_room(self, target: Target, use: _Use, calls: int, named: str | None) -> None:
        cap = target.concurrency
        deadline = self._clock.now() + self._patience
        while cap is not None and use.calls + calls > cap:
            left = deadline - self._clock.now()
            if calls > cap or left <= 0:
                limit = _limit(named, cap, "concurrent call")
                raise Capped(
                    f"{limit}; {calls} {'is' if calls == 1 else 'are'} needed, {use.calls} in use here"
                )
            await _changes(use, left)

    async def _have_turn(
        self, target: Target, use: _Use, serial: int, share: float, named: str | None
    ) -> None:
        """`share`: of the rate, which a load takes for as long as it is on."""
        if target.rate is None:
            return
        deadline = self._clock.now() + self._patience
        while True:
            while share > use.left(target.rate) + _ROUNDING:
                await self._other_loads(target.rate, use, deadline, named)
            await self._line_up(target.rate, use, serial, deadline, named)
            if share <= use.left(target.rate) + _ROUNDING:  # as it was before it lined up
                break
        if share:
            use.rates[serial] = share

    async def _line_up(self, rate: float, use: _Use, serial: int, deadline: float, named: str | None) -> None:
        use.line.append(serial)
        try:
            while True:
                now = self._clock.now()
                due = use.turn(serial, rate, now)
                if due <= now + _ROUNDING:
                    use.next_at = now + 1 / use.left(rate)
                    return
                if due == math.inf:
                    await self._other_loads(rate, use, deadline, named)
                    continue
                if due > deadline + _ROUNDING:
                    limit = _limit(named, rate, "request", " per second")
                    raise Capped(f"{limit}; the turn of this one would come in {due - now:.0f} s")
                await _changes(use, due - now)
        finally:
            use.line.remove(serial)
            use.change()

    async def _other_loads(self, rate: float, use: _Use, deadline: float, named: str | None) -> None:
        left = deadline - self._clock.now()
        if left <= 0:
            taken = sum(use.rates.values())
            limit = _limit(named, rate, "request", " per second")
            raise Capped(f"{limit}, and active loads take {taken:g} of them")
        await _changes(use, left)


async def _changes(use: _Use, seconds: float) -> None:
    """Until somebody came or left, at most so long."""
    waiting = use.changed
    try:
        async with asyncio.timeout(seconds):
            await waiting.wait()
    except TimeoutError:
        return


def _limit(named: str | None, cap: float, unit: str, of: str = "") -> str:
    return f"the target {named} is limited to {cap:g} {unit}{'' if cap == 1 else 's'}{of}"
