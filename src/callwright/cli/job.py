"""A job of the platform carried out: what `callwright run --report` does, for an agent.

Here the rooms meet that are strangers to one another: the runner, the reference PBX and the evidence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from callwright.agent.bequest import WrittenGuard
from callwright.agent.caps import Caps
from callwright.agent.live import Live
from callwright.agent.pulse import tell_seconds, told
from callwright.agent.runner import Runner
from callwright.dispatch.messages.runs import Job, JobPolicy
from callwright.evidence.folder import EvidenceFolder
from callwright.evidence.memory import PacketMemory
from callwright.evidence.redaction import Redactor
from callwright.evidence.unfolding import Unfolding
from callwright.net.clock import SystemClock
from callwright.net.driver import BindFailed
from callwright.net.entropy import Entropy, system_entropy
from callwright.net.tap import Tap
from callwright.net.tls import TlsSettings
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Verdict
from callwright.pbx.embedded import embedded_pbx
from callwright.phone.guard import Guard
from callwright.phone.permission import Permission
from callwright.policy.destination import PolicyError, Purpose, Rules, Target
from callwright.policy.remedy import Worded
from callwright.scenario.actions import Call
from callwright.scenario.admission import admit
from callwright.scenario.document import load
from callwright.scenario.scenario import Scenario
from callwright.scenario.source import DocumentError
from callwright.version import __version__

_log = logging.getLogger(__name__)

_LADDER_SECONDS, _LADDER_AGAIN = 0.4, 4.0


class Carrier:
    """Carries out jobs, several at once, on one loop. `bind` and `rtp_ports` as in `callwright run`;
    `sounds`: the folder of the .wav files that documents may play, None: there are none. `guard` keeps what
    ends the calls though this process is killed; it lies on the disk beside the intents too. `worded`: see
    `phone.permission.Permission`."""

    def __init__(
        self,
        *,
        bind: str | None = None,
        rtp_ports: tuple[int, int] = (16384, 32767),
        entropy: Entropy = system_entropy,
        sounds: Path | None = None,
        guard: Guard | None = None,
        worded: Worded | None = None,
    ) -> None:
        self._worded = worded
        self._sounds, self._guard = sounds, guard
        self._bind, self._rtp_ports, self._entropy = bind, rtp_ports, entropy
        self._caps = Caps(SystemClock())  # over all runs

    async def __call__(self, job: Job, folder: Path, live: Live) -> RunOutcome:
        try:
            scenario = read(job)
        except DocumentError as error:
            shown = "; ".join(str(problem) for problem in error.problems[:5])
            return _failed(job, Blame.TEST, f"The document cannot be run: {shown}")
        try:
            scenario = scenario.with_sounds(str(self._sounds or folder / "sounds"))
        except ValueError as error:
            remedy = f"Put the file into {self._sounds} of the agent and name it from there."
            return _failed(job, Blame.TEST, f"{error} {remedy if self._sounds else ''}".strip())
        if live.stopped is not None:
            return _stopped(job, live)
        passwords = {
            user: password or self._entropy(12).hex() for user, password in scenario.pbx_accounts().items()
        }
        secrets = [*passwords.values(), *scenario.secrets()]
        own = job.policy.own
        trusting: TlsSettings | None = None
        try:
            async with AsyncExitStack() as left_at_the_end:
                if scenario.needs_pbx:
                    address, trusting = await left_at_the_end.enter_async_context(
                        embedded_pbx(passwords, scenario.transport, live.calls)
                    )
                    own = (*own, (address.host, address.port))
                    scenario = scenario.on_pbx(f"{address.host}:{address.port}", passwords)
                rules = rules_of(job.policy, own)
                permission = Permission(Purpose.RUN, rules, self._worded)
                refusal = _refusal(scenario, permission)
                if refusal:
                    return _failed(job, Blame.TEST, refusal)
                runner, evidence, unfolding, memory = self._prepare(
                    job, scenario, permission, secrets, folder, live, trusting
                )
                return await _carry_out(job, runner, live, evidence, unfolding, memory)
        except BindFailed as error:
            return _failed(job, Blame.PLATFORM, f"The built-in PBX does not start: {error.reason}")
        except PolicyError as error:
            return _failed(job, Blame.PLATFORM, f"A target of the policy cannot be read: {error}")

    def _prepare(
        self,
        job: Job,
        scenario: Scenario,
        permission: Permission,
        secrets: Sequence[str],
        folder: Path,
        live: Live,
        trusting: TlsSettings | None,
    ) -> tuple[Runner, EvidenceFolder, Unfolding, PacketMemory]:
        memory = PacketMemory()
        evidence = EvidenceFolder.open(folder, redactor=Redactor(secrets))
        unfolding = Unfolding(
            redactor=Redactor(secrets), users={user: party for party, user in scenario.users().items()}
        )
        taps: list[Tap] = [memory, unfolding]
        if evidence.capture is not None:
            taps.append(evidence.capture)

        def on_event(what: Any) -> None:
            news = told(what)
            if news is not None:
                live.report(*news)

        runner = Runner(
            scenario,
            permission=permission,
            taps=taps,
            recordings=folder if job.record else None,
            bind=self._bind,
            rtp_ports=self._rtp_ports,
            tls=trusting or TlsSettings(),
            user_agent=f"Callwright/{__version__}",
            entropy=self._entropy,
            on_intent=live.intend,
            caps=self._caps,
            guard=WrittenGuard(self._guard, lambda: live.journal),
            on_event=on_event,
        )
        return runner, evidence, unfolding, memory


async def _carry_out(
    job: Job,
    runner: Runner,
    live: Live,
    evidence: EvidenceFolder,
    unfolding: Unfolding,
    memory: PacketMemory,
) -> RunOutcome:
    outcome = await _until_done(runner, live, unfolding)
    outcome = replace(outcome, id=job.session_id, version=__version__)
    # Drawing the ladder and the page takes a while, in which other calls want to be served.
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, _written, evidence, outcome, memory)


def _written(evidence: EvidenceFolder, outcome: RunOutcome, memory: PacketMemory) -> RunOutcome:
    """The outcome for the platform, as redacted as run.json: it is shown to viewers and kiosks.

    A fault of ours in the report does not cost the verdict.
    """
    try:
        outcome = evidence.write(outcome, memory.packets())
    except Exception as error:
        _log.exception("the evidence of %s is not whole", outcome.id)
        sentence = f"The evidence is not whole: writing it failed ({type(error).__name__}: {error})."
        outcome = replace(outcome, warnings=(*outcome.warnings, sentence))
    return RunOutcome.from_json(evidence.redactor.document(outcome.to_json()))


async def _until_done(runner: Runner, live: Live, unfolding: Unfolding) -> RunOutcome:
    live.has_calls = lambda: runner.busy
    live.on_hold.append(runner.hold)
    running = asyncio.ensure_future(runner.run())
    stopping = asyncio.ensure_future(live.stopping.wait())
    seconds = asyncio.ensure_future(tell_seconds(runner, live.report))
    messages = asyncio.ensure_future(_tell_messages(unfolding, live, runner.clock.wall()))
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            runner.stop(live.stopped or "Stopped by the platform.")
        return await running
    finally:
        for task in (stopping, seconds, messages):
            task.cancel()
        if not running.done():
            running.cancel()
        await asyncio.gather(stopping, seconds, messages, return_exceptions=True)


async def _tell_messages(unfolding: Unfolding, live: Live, origin: float) -> None:
    """The ladder so far, whenever there is more of it, and now and then for who began to watch late.
    `origin`: when the run began, in the calendar of its phones."""
    loop = asyncio.get_running_loop()
    told_at = 0.0
    while True:
        await asyncio.sleep(_LADDER_SECONDS)
        if unfolding.changed or loop.time() - told_at > _LADDER_AGAIN:
            told_at = loop.time()
            live.report("ladder", await loop.run_in_executor(None, unfolding.tell, origin))


def read(job: Job) -> Scenario:
    """Raises DocumentError. The agent's own environment is none of a test's business."""
    return load(job.document, overrides=job.overrides, environment={}, credentials=job.credentials)


LOAD_WEIGHT = 10
"""Calls of softphones that a load is taken for, however many it places: one core's worth of them."""


def weigh(job: Job) -> int:
    """Calls at once that a job may hold, both ends when both are here."""
    try:
        scenario = read(job)
    except DocumentError:
        return 1
    calls = [action for action in scenario.actions() if isinstance(action, Call)]
    legs = 2 if scenario.needs_pbx else 1
    weights = [
        LOAD_WEIGHT if call.is_load else call.concurrent or min(call.max_total_calls, _overlap(call))
        for call in calls
    ]
    return max(1, legs * sum(weights))


def _overlap(call: Call) -> int:
    return 1 + int(call.call_rate * (call.ring_timeout + call.max_duration))


def rules_of(policy: JobPolicy, own: tuple[tuple[str, int], ...]) -> Rules:
    """Raises PolicyError."""
    targets = tuple(
        Target(row.host, row.network, row.number, row.rate, row.concurrency, row.minutes, row.country)
        for row in policy.targets
    )
    return Rules(
        targets=targets,
        own=own,
        embedded=policy.embedded,
    )


def _refusal(scenario: Scenario, permission: Permission) -> str:
    """Why it may not be run, with the remedy."""
    barred = admit(scenario, permission.rules).barred
    return f"{barred.address}: {permission.said(barred.decision)}" if barred is not None else ""


def _failed(job: Job, blame: Blame, reason: str) -> RunOutcome:
    return RunOutcome(
        verdict=Verdict.ERROR,
        blame=blame,
        reason=reason,
        name=job.name,
        id=job.session_id,
        version=__version__,
    )


def _stopped(job: Job, live: Live) -> RunOutcome:
    return replace(
        _failed(job, Blame.PLATFORM, live.stopped or "Stopped by the platform."),
        verdict=Verdict.CANCELED,
        blame=None,
    )
