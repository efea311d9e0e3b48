"""The monitors of an agent: it holds the plan, measures each slot once, and brings the readings home.

Cut off from the platform it goes on by the plan it has, and its readings wait in the spool. Calls and
registrations stop with the dead-man's switch; their slots are missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec

from callwright.agent.measuring import GUARDED, Measure, figures_of, state_of
from callwright.agent.readings import ReadingSpool
from callwright.agent.tasks import Tasks, canceled
from callwright.agent.ways import TRACED, Ways
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError
from callwright.dispatch.messages.monitors import Monitor, Plan, PlanRequest, Reading, Readings, Slot
from callwright.dispatch.messages.wire import Answer, BadMessage, NotNow, decode, encode
from callwright.net.clock import Clock, WakefulClock
from callwright.outcome.terms import Verdict
from callwright.probe.calendar import Calendar
from callwright.probe.plan import Begin, Planned, ProbePlan
from callwright.probe.result import ProbeResult, State

_log = logging.getLogger(__name__)

AT_ONCE = 500
"""Slots that are measured at once; others are missed, with the reason."""
_LOOKS_AT_ONCE = 10
"""Paths that are traced at once, since each sends to strangers on the way."""
_ENDS = "this agent was ended"
_ANSWER_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_GATHER = 0.2  # seconds in which readings become a batch
_LONGEST_SLEEP = 1.0  # the calendar may be corrected while nothing is due
_MOST_PAGES = 1000


class Monitoring:
    """`await monitoring.run()` beside the worker, which tells it what it hears. `room`: whether one call more
    may be placed; `pause`: seconds between two tries at the platform at most."""

    def __init__(
        self,
        broker: Broker,
        agent_id: str,
        spool: ReadingSpool,
        measure: Measure,
        *,
        clock: Clock | None = None,
        room: Callable[[], bool] = lambda: True,
        pause: float = _LONGEST_PAUSE,
    ) -> None:
        self._broker, self._agent_id = broker, agent_id
        self._spool, self._measure, self._room, self._pause = spool, measure, room, pause
        self._clock: Clock = clock or WakefulClock()
        self._calendar = Calendar(self._clock.wall() - self._clock.now())
        self._plan = ProbePlan(self._calendar.offset, spool.decided)
        self._monitors: dict[int, Monitor] = {}
        self._revision: int | None = None  # of the plan that is held
        self._wanted: int | None = None
        self._stops: dict[tuple[int, int], asyncio.Event] = {}
        self._why: dict[tuple[int, int], str] = {}
        self._due, self._fetch, self._deliver = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._tasks = Tasks()
        self._ways, self._looks = Ways(), 0

    # -- what the worker hears

    def heard(self, plan: int | None, unix: float | None, asked: float) -> None:
        """An answer to a heartbeat that was `asked` at: the revision of our plan, and the platform's time."""
        if unix is not None:
            self._calendar.hear(unix, asked, self.now())
            self._plan.offset = self._calendar.offset
            self._due.set()
        self.named(plan)

    def named(self, plan: int | None) -> None:
        """The plan has this revision now; None: there is none."""
        if plan is not None and plan != self._revision:
            self._wanted = plan
            self._fetch.set()

    def ordered(self, slots: tuple[Slot, ...]) -> None:
        """To be measured at once, beside the plan."""
        for one in slots:
            self._plan.order(one.monitor_id, one.slot, self.now())
        self._due.set()

    def hold(self, cut_off: bool, withheld: str) -> None:
        """`cut_off`: calls and registrations are held; `withheld`: why nothing at all is begun, empty: it
        is."""
        self._plan.cut_off, self._plan.withheld = cut_off, withheld

    def end_calls(self, reason: str) -> None:
        """Those that are on end now, and their slots are missed."""
        self._stop(reason, guarded=True)

    def end_all(self, reason: str) -> None:
        self._stop(reason, guarded=False)

    async def settle(self, seconds: float) -> None:
        """The agent ends: nothing new is begun, and what is on ends, in so many seconds."""
        self.hold(True, _ENDS)
        self.end_all(_ENDS)
        await self._tasks.wait(seconds)

    def now(self) -> float:
        return self._clock.now()

    @property
    def calls(self) -> int:
        """Calls and registrations that are on."""
        return sum(self._is_guarded(key[0]) for key in self._stops)

    def _stop(self, reason: str, *, guarded: bool) -> None:
        for key, stop in self._stops.items():
            if not guarded or self._is_guarded(key[0]):
                self._why.setdefault(key, reason)
                stop.set()

    def _is_guarded(self, monitor_id: int) -> bool:
        monitor = self._monitors.get(monitor_id)
        return monitor is None or monitor.category in GUARDED

    # -- its life

    async def run(self) -> None:
        """Until it is canceled."""
        if self._spool.waiting:
            self._deliver.set()
        kept = (self._keep_time, self._keep_plan, self._bring)
        loops = [asyncio.ensure_future(_for_ever(one)) for one in kept]
        try:
            await asyncio.gather(*loops)
        finally:
            await canceled((*loops, *self._tasks))

    async def _keep_time(self) -> None:
        while True:
            self._due.clear()
            self._plan.wake(self.now())
            for event in self._plan.events():
                if isinstance(event, Begin):
                    self._begin(event)
                else:
                    self._add(Reading(event.monitor_id, event.slot, "missed", reason=event.reason))
            due = self._plan.next_wake()
            pause = _LONGEST_SLEEP if due is None else max(0.0, min(due - self.now(), _LONGEST_SLEEP))
            try:
                async with asyncio.timeout(pause):
                    await self._due.wait()
            except TimeoutError:
                continue

    # -- measuring

    def _begin(self, slot: Begin) -> None:
        monitor = self._monitors[slot.monitor_id]
        at = self.now() + self._calendar.offset
        reason = ""
        if len(self._stops) >= AT_ONCE:
            reason = "this agent measures too much at once"
        elif monitor.category == "call" and not self._room():
            reason = "this agent has no free place for a call"
        else:
            try:
                self._spool.begin(slot.monitor_id, slot.slot, at)
            except OSError as error:
                reason = f"this agent cannot write to its spool: {error.strerror}"
        if reason:
            self._plan.finished(slot.monitor_id, slot.slot)
            self._add(Reading(slot.monitor_id, slot.slot, "missed", reason=reason))
            return
        self._stops[slot.monitor_id, slot.slot] = asyncio.Event()
        self._tasks.spawn(self._do(monitor, slot, at))

    async def _do(self, monitor: Monitor, slot: Begin, at: float) -> None:
        key = slot.monitor_id, slot.slot
        try:
            result = await self._measure(monitor, self._stops[key])
        except Exception as error:
            _log.exception("a slot of monitor %d ended by an error of the agent", slot.monitor_id)
            result = ProbeResult(reason=f"The agent itself failed: {type(error).__name__}: {error}")
        finally:
            stop = self._stops.pop(key)
            self._plan.finished(*key)
        result = await self._with_changes(monitor, result, stop)
        self._add(self._reading(key, at, result, self._why.pop(key, "")))

    async def _with_changes(self, monitor: Monitor, result: ProbeResult, stop: asyncio.Event) -> ProbeResult:
        """With what is another than the time before: the records of a name; the way to the far end, where the
        quality is."""
        if monitor.category == "dns":
            return self._ways.named(monitor.monitor_id, result)
        seen = monitor.category in TRACED and result.address and not stop.is_set()
        if not seen or result.verdict is Verdict.INVALID or state_of(result) is State.MISSED:
            return result
        if not self._ways.to_look(monitor.monitor_id, result, self.now()) or self._looks >= _LOOKS_AT_ONCE:
            return result
        self._looks += 1
        try:
            hops = await self._measure.path(monitor, result.address or "", stop)
        except Exception:
            _log.exception("the path of monitor %d was not traced", monitor.monitor_id)
            return result
        finally:
            self._looks -= 1
        return replace(result, path=self._ways.taken(monitor.monitor_id, result, hops))

    def _reading(self, key: tuple[int, int], at: float, result: ProbeResult, stopped: str) -> Reading:
        state = state_of(result)
        if stopped or state == "missed":
            return Reading(*key, "missed", at, stopped or result.reason, figures=failure_of(result))
        return Reading(*key, state.value, at, result.reason, figures_of(result), result.verdict.value)

    def _add(self, reading: Reading) -> None:
        self._spool.add(reading)
        self._deliver.set()

    # -- the plan

    async def _keep_plan(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            await self._fetch.wait()
            self._fetch.clear()
            if self._wanted == self._revision:
                continue
            try:
                await self._take_plan()
                pause = _FIRST_PAUSE
            except (BrokerError, BadMessage) as error:
                level = logging.WARNING if type(error) is BadMessage else logging.DEBUG
                _log.log(level, "the plan of monitors was not read: %s", error)
                await asyncio.sleep(pause)
                pause = min(self._pause, 2 * pause)
                self._fetch.set()

    async def _take_plan(self) -> None:
        """Page by page; the old plan holds until the new one is whole. Raises BrokerError, BadMessage."""
        monitors: dict[int, Monitor] = {}
        revision: int | None = None
        after = 0
        for _ in range(_MOST_PAGES):
            page = decode(Plan, await self._ask(subject.PLAN, encode(PlanRequest(after))))
            if revision is None:
                revision = page.revision
            elif page.revision != revision:  # changed meanwhile
                monitors, revision, after = {}, None, 0
                continue
            monitors.update((one.monitor_id, _with_policy(one, page)) for one in page.monitors)
            if not page.more:
                break
            last = max((one.monitor_id for one in page.monitors), default=after)
            if last <= after:
                raise BadMessage("a page of the plan is empty and says that there is more")
            after = last
        else:
            raise BadMessage(f"the plan has more than {_MOST_PAGES} pages")
        self._hold(revision, monitors)

    def _hold(self, revision: int | None, monitors: dict[int, Monitor]) -> None:
        self._monitors, self._revision = monitors, revision
        self._plan.hold((planned(one) for one in monitors.values()), self.now())
        self._spool.forget_others(monitors)
        self._ways.keep(set(monitors))
        self._due.set()
        _log.info("the plan has %d monitors", len(monitors))

    # -- the way home

    async def _bring(self) -> None:
        """Batch by batch, each until it is answered."""
        pause = _FIRST_PAUSE
        while True:
            await self._deliver.wait()
            await asyncio.sleep(_GATHER)
            self._deliver.clear()
            while batch := self._spool.batch():
                try:
                    data = await self._ask(subject.READINGS, encode(Readings(batch)))
                    answer = decode(Answer, data)
                except (BrokerError, BadMessage) as error:
                    _log.debug("%d readings wait: %s", self._spool.waiting, error)
                    await asyncio.sleep(pause)
                    pause = min(self._pause, 2 * pause)
                    continue
                if not (answer.accepted or answer.superseded):
                    _log.warning("readings are not accepted: %s", answer.reason)
                    await asyncio.sleep(pause)
                    pause = min(self._pause, 2 * pause)
                    continue
                pause = _FIRST_PAUSE
                self._spool.home(batch)

    async def _ask(self, kind: str, data: bytes) -> bytes:
        """Raises BrokerError, NotNow."""
        answer = await self._broker.request(
            subject.of_agent(self._agent_id, kind), data, min(_ANSWER_SECONDS, 2 * self._pause)
        )
        if not answer:
            raise NotNow("the platform cannot answer now")
        return answer


async def _for_ever(loop: Callable[[], Awaitable[None]]) -> None:
    """An error of ours in one monitor is not to end all monitoring."""
    while True:
        try:
            await loop()
        except Exception:
            _log.exception("monitoring goes on after an error of the agent")
            await asyncio.sleep(_LONGEST_SLEEP)


def _with_policy(monitor: Monitor, page: Plan) -> Monitor:
    if monitor.policy is not None:
        return monitor
    return msgspec.structs.replace(monitor, policy=page.policy)


def planned(monitor: Monitor) -> Planned:
    return Planned(
        monitor.monitor_id, max(1, monitor.interval), monitor.phase, guarded=monitor.category in GUARDED
    )


def failure_of(result: ProbeResult) -> dict[str, str]:
    """What a slot that was missed knows besides its reason."""
    if result.verdict is Verdict.CANCELED:
        return {}
    return {"failure": result.failure} if result.failure else {}
