"""The one way a run is carried out, by `callwright run` and by an agent alike.

The PBX of a test without a target, the question whether policy permits it, the runner, and the end of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from callwright.agent.caps import Caps
from callwright.agent.runner import Runner
from callwright.net.entropy import Entropy, system_entropy
from callwright.net.tap import Tap
from callwright.net.tls import TlsSettings
from callwright.outcome.run import RunOutcome
from callwright.pbx.embedded import embedded_pbx
from callwright.pbx.news import NewsOfCalls
from callwright.phone.guard import Guard
from callwright.phone.intent import OnIntent
from callwright.phone.permission import Permission
from callwright.policy.destination import Purpose, Rules
from callwright.policy.remedy import Worded
from callwright.scenario import event
from callwright.scenario.admission import Barred, admit
from callwright.scenario.scenario import Scenario
from callwright.version import __version__

__all__ = ["PolicyRefusal", "Site", "Watch", "execute"]


class PolicyRefusal(Exception):
    """Policy bars the run before anything is sent. `reason` and `remedy` are sentences."""

    def __init__(self, barred: Barred, remedy: str) -> None:
        super().__init__(f"{barred.address}: {barred.decision.reason} {remedy}".rstrip())
        self.address, self.reason, self.remedy = barred.address, barred.decision.reason, remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where runs are carried out. `worded` puts the remedies of refusals into words; `caps` are those of
    targets, over all runs of this place."""

    worded: Worded
    bind: str | None = None
    family: int | None = None  # 4 or 6: calls go over that IP version alone
    rtp_ports: tuple[int, int] = (16384, 32767)
    tls: TlsSettings = field(default_factory=TlsSettings)
    user_agent: str = f"Callwright/{__version__}"
    entropy: Entropy = system_entropy
    caps: Caps | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who looks on at a run. `beside` goes on beside it and is canceled at its end."""

    taps: Sequence[Tap] = ()
    on_event: Callable[[event.Event], None] = lambda _: None
    on_warning: Callable[[str], None] = lambda _: None
    beside: Callable[[Runner], Sequence[Coroutine[Any, Any, None]]] = lambda _: ()


async def execute(
    scenario: Scenario,
    rules: Rules,
    place: Site,
    *,
    id_: str,
    watch: Callable[[Scenario, Sequence[str]], Watch],
    stopping: Awaitable[str],
    recordings: Path | None = None,
    on_intent: OnIntent | None = None,
    guard: Guard | None = None,
    news: NewsOfCalls | None = None,
    begin: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> RunOutcome:
    """Carry out a run to its end; without a target, `rules` permit the PBX that is started for it.

    `watch` is called once nothing is in the way of the run, with the scenario and the secrets that nobody may
    see. `stopping` ends with the sentence that says who stopped the run. `recordings`: the folder for WAVs;
    `news` hears of the calls of that PBX. `begin` is awaited when all is prepared, before the
    first step. Raises BindFailed when the PBX does not start, and PolicyRefusal.
    """
    asked: asyncio.Future[Any] = asyncio.ensure_future(stopping)
    others: list[asyncio.Future[Any]] = [asked]
    running: asyncio.Future[Any] | None = None
    passwords = {
        user: password or place.entropy(12).hex() for user, password in scenario.pbx_accounts().items()
    }
    secrets = [*passwords.values(), *scenario.secrets()]
    tls = place.tls
    async with AsyncExitStack() as left_at_the_end:
        try:
            if scenario.needs_pbx:
                address, trusting = await left_at_the_end.enter_async_context(
                    embedded_pbx(passwords, scenario.transport, news)
                )
                rules = replace(rules, own=(*rules.own, (address.host, address.port)))
                tls = trusting or tls
                scenario = scenario.on_pbx(f"{address.host}:{address.port}", passwords)
            _ask_policy(scenario, rules, place.worded)
            watched = watch(scenario, secrets)
            runner = Runner(
                scenario,
                permission=Permission(Purpose.RUN, rules, place.worded),
                taps=watched.taps,
                recordings=recordings,
                bind=place.bind,
                family=place.family,
                rtp_ports=place.rtp_ports,
                tls=tls,
                user_agent=place.user_agent,
                entropy=place.entropy,
                on_intent=on_intent,
                caps=place.caps,
                guard=guard,
                on_event=watched.on_event,
                on_warning=watched.on_warning,
            )
            if begin is not None:
                beginning = asyncio.ensure_future(begin())
                others.append(beginning)
                await asyncio.wait({beginning, asked}, return_when=asyncio.FIRST_COMPLETED)
                if beginning.done():
                    beginning.result()
            running = asyncio.ensure_future(runner.run())
            others += [asyncio.ensure_future(each) for each in watched.beside(runner)]
            await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                runner.stop(asked.result())
            outcome: RunOutcome = await running
            return replace(outcome, id=id_, version=__version__)
        finally:
            for task in others:
                task.cancel()
            if running is not None and not running.done():
                running.cancel()
            await asyncio.gather(*others, return_exceptions=True)


def _ask_policy(scenario: Scenario, rules: Rules, worded: Worded) -> None:
    barred = admit(scenario, rules).barred
    if barred is not None:
        remedy = barred.decision.remedy
        raise PolicyRefusal(barred, worded(remedy) if remedy is not None else "")
