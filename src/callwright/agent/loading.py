"""Loads of one run: each on the load engine in a thread of its own, its facts posted to the run's loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from callwright.agent.caps import Caps
from callwright.agent.tasks import Tasks
from callwright.generator.loop import LoopConfig, NoNativeLoop
from callwright.load.action import (
    outcome_of,
    plan_of,
    thresholds_of,
    told_live,
    wishes_of_accept,
    wishes_of_call,
)
from callwright.load.engine import Controls, Engine
from callwright.load.guarding import load_guard
from callwright.load.plan import Plan, Stage
from callwright.load.preparation import CannotLoad, capped_configs, loop_configs
from callwright.load.statistics import LoadSecond
from callwright.load.verdict import judge
from callwright.load.worker import LoadGuard, Worker, make_workers
from callwright.net.address import Unreachable, bracketed, source_address
from callwright.net.clock import Clock
from callwright.net.resolver import ResolutionFailed, resolve
from callwright.outcome.load import LoadOutcome
from callwright.phone.guard import Guard
from callwright.phone.intent import Capped, Intent, OnIntent, Withheld
from callwright.phone.permission import Permission
from callwright.policy.destination import Target
from callwright.scenario import command, event
from callwright.scenario.actions import Accept
from callwright.scenario.scenario import Scenario
from callwright.sip.transport import Transport
from callwright.sip.uri import Uri

_log = logging.getLogger(__name__)

GENTLY_S = 2.5
"""For which calls that are up may end by themselves."""
END_S = 3.0
"""In which the engine ends all that are left; both together are less than the interpreter waits."""

Order = command.PlaceLoad | command.AnswerLoad


@dataclass(slots=True)
class _Load:
    controls: Controls = field(default_factory=Controls)
    stopped: bool = False
    """From outside, before its time."""
    over: bool = False


class Loads:
    """`prepare()` opens the ports where loads are answered; `contact(party)` says where that is."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        permission: Permission,
        bind: str | None,
        rtp_ports: tuple[int, int],
        clock: Clock,
        post: Callable[[event.Event], None],
        on_intent: OnIntent | None = None,
        caps: Caps | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._scenario, self._bind, self._rtp_ports = scenario, bind, rtp_ports
        self._rules, self._worded = permission.rules, permission.worded
        self._clock, self._post, self._on_intent = clock, post, on_intent
        self._caps = caps
        self._guard = load_guard(guard, permission.rules)
        self._open: dict[str, list[Worker]] = {}  # by the address of the accept
        self._refused: dict[str, CannotLoad] = {}
        self._running: dict[str, _Load] = {}
        self._tasks = Tasks()

    async def prepare(self) -> None:
        """What cannot be opened is told when its action begins."""
        for action in self._scenario.actions():
            if isinstance(action, Accept) and action.is_load:
                try:
                    self._open[action.address] = await self._answering(action)
                except CannotLoad as error:
                    self._refused[action.address] = error

    async def _answering(self, accept: Accept) -> list[Worker]:
        account = self._scenario.account(accept.party)
        try:
            host = self._bind or await _own_host(account.proxy or account.domain)
        except (ResolutionFailed, Unreachable) as error:
            raise CannotLoad(error.reason, blame="network") from None
        wishes = wishes_of_accept(accept, account, host, rules=self._rules, rtp_ports=self._rtp_ports)
        configs, _ = await asyncio.to_thread(loop_configs, wishes)
        return _opened(configs, self._guard)

    def contact(self, party: str, user: str) -> str | None:
        """The Contact of a party whose calls the engine answers, None for a softphone's."""
        for address, workers in self._open.items():
            if self._scenario.action(address).party == party:
                return f"sip:{user}@{bracketed(workers[0].local)}"
        return None

    # -- orders

    def place(self, order: command.PlaceLoad) -> None:
        self._tasks.spawn(self._place(order))

    def answer(self, order: command.AnswerLoad) -> None:
        refused = self._refused.get(order.address)
        workers = self._open.get(order.address)
        if refused is not None or workers is None:
            self._fail(order, refused or CannotLoad("it has no port"))
            return
        plan = Plan((Stage(1.0, 1.0),), calls=order.action.max_total_calls)
        self._tasks.spawn(self._run(order, workers, plan, target=""))
        self._post(event.Listening(order.address))

    def _fail(self, order: Order, error: CannotLoad) -> None:
        advice = error.advice(self._worded)
        outcome = LoadOutcome(
            "failed" if error.blame == "network" else "error",
            error.blame or "test",
            f"{order.address} could not be done: {error.reason.rstrip('.')}. {advice}".rstrip(),
            order.id,
            order.address,
            order.account.party,
            "caller" if isinstance(order, command.PlaceLoad) else "answerer",
        )
        self._post(event.LoadFinished(order.id, outcome))

    def stop(self, order: command.StopLoad) -> None:
        load = self._running.get(order.id)
        if load is None:
            return
        if order.gently:
            load.controls.stop = max(load.controls.stop, 1)
            asyncio.get_running_loop().call_later(GENTLY_S, partial(_end, load))
        else:
            load.stopped = True
            _end(load)

    def hold(self, holding: bool) -> None:
        """Loads that place calls pause, or go on; one that is begun meanwhile is withheld by `on_intent`."""
        for load in self._running.values():
            load.controls.paused = holding

    @property
    def busy(self) -> bool:
        return any(not load.over for load in self._running.values())

    async def close(self) -> None:
        """Whatever still runs ends its calls first, in `END_S` at most: none is left up."""
        for load in self._running.values():
            _end(load)
        await self._tasks.wait(END_S + 2.0)
        for workers in self._open.values():
            for worker in workers:
                worker.close()

    # -- a load

    async def _place(self, order: command.PlaceLoad) -> None:
        load = self._running[order.id] = _Load()
        try:
            await self._prepare_and_begin(order, load)
        finally:
            load.over = True

    async def _prepare_and_begin(self, order: command.PlaceLoad, load: _Load) -> None:
        uri = order.uri
        if self._scenario.is_direct(order.action):
            called = order.action.dial_destination
            uri = self.contact(called, self._scenario.account(called).user) or uri
        try:
            wishes = wishes_of_call(
                order.action,
                order.account,
                uri,
                rules=self._rules,
                bind=self._bind,
                rtp_ports=self._rtp_ports,
            )
            configs, _, targets = await asyncio.to_thread(capped_configs, wishes)
            leave = await self._enter(order, targets)
        except CannotLoad as error:
            self._fail(order, error)
            return
        except Capped as error:
            self._fail(order, CannotLoad(str(error), blame="test"))
            return
        try:
            await self._begin(order, load, uri, configs)
        finally:
            leave()

    async def _enter(self, order: command.PlaceLoad, targets: Sequence[Target]) -> Callable[[], None]:
        """Through the caps of its targets, as a whole; the result is called at its end. Raises Capped."""
        call = order.action
        rate = max(call.ramp.start, call.ramp.end) if call.ramp is not None else call.call_rate
        calls = call.concurrent or call.max_total_calls
        with contextlib.ExitStack() as entered:
            if self._caps is not None:
                for target in targets:
                    entered.callback(await self._caps.enter(target, calls=calls, rate=rate))
            return entered.pop_all().close

    async def _begin(
        self, order: command.PlaceLoad, load: _Load, uri: str, configs: Sequence[LoopConfig]
    ) -> None:
        try:
            if self._on_intent is not None:
                await self._on_intent(Intent(order.id, order.account.party, uri))
            workers = _opened(configs, self._guard)
        except CannotLoad as error:
            self._fail(order, error)
            return
        except Withheld as error:
            self._fail(order, CannotLoad(str(error), blame="platform"))
            return
        try:
            await self._run(order, workers, plan_of(order.action), target=uri, load=load)
        finally:
            for worker in workers:
                worker.close()

    async def _run(
        self, order: Order, workers: list[Worker], plan: Plan, *, target: str, load: _Load | None = None
    ) -> None:
        load = self._running.setdefault(order.id, load or _Load())
        loop = asyncio.get_running_loop()
        never = threading.Event()

        def pause(seconds: float) -> None:
            never.wait(seconds)

        def on_second(second: LoadSecond) -> None:
            loop.call_soon_threadsafe(self._post, event.LoadTold(order.id, told_live(second)))

        engine = Engine(
            workers,
            plan,
            now=self._clock.now,
            pause=pause,
            controls=load.controls,
            on_second=on_second,
            stop_seconds=END_S,
        )
        try:
            result = await asyncio.to_thread(engine.run)
        except Exception as error:  # of native code that is older than this too: the run is to end with it
            if not isinstance(error, OSError):
                _log.exception("the load engine broke")
            self._fail(order, _broken(error))
            return
        finally:
            load.over = True
        judgement = judge(
            result.total,
            result.clean,
            fail_if=thresholds_of(order.action, order.conditions),
            seconds=len(result.seconds),
            loaded=result.loaded,
            limited=result.limited,
            interrupted=load.stopped,
            lost=result.lost,
        )
        outcome = outcome_of(
            result,
            judgement,
            id_=order.id,
            address=order.address,
            party=order.account.party,
            role="caller" if isinstance(order, command.PlaceLoad) else "answerer",
            target=target,
            local=bracketed(workers[0].local),
        )
        self._post(event.LoadFinished(order.id, outcome))


def _opened(configs: Sequence[LoopConfig], guard: LoadGuard | None) -> list[Worker]:
    try:
        return make_workers(configs, guard=guard)
    except NoNativeLoop as error:
        raise CannotLoad(error.reason, error.remedy, blame="platform") from None
    except OSError as error:
        raise CannotLoad(f"no port for the load: {error.strerror or error}", blame="platform") from None
    except Exception as error:
        _log.exception("the load engine does not start")
        raise _broken(error) from None


def _broken(error: Exception) -> CannotLoad:
    if isinstance(error, OSError):
        return CannotLoad(f"the load engine stopped: {error.strerror or error}", blame="platform")
    return CannotLoad(
        f"the load engine broke: {type(error).__name__}: {error}",
        "If Callwright was brought up to date here, build its native code again: make install.",
        blame="platform",
    )


def _end(load: _Load) -> None:
    load.controls.stop = max(load.controls.stop, 2)


async def _own_host(domain: str) -> str:
    """The address of this machine from which a domain is reached."""
    if not domain:
        return "127.0.0.1"
    uri = Uri.parse(f"sip:{domain}")
    targets = await resolve(uri.host, uri.port, Transport.UDP, "sip")
    return source_address(targets[0].address.host)
