"""A job of the platform carried out: what `callwright run --report` does, for an agent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from callwright.agent.bequest import WrittenGuard
from callwright.agent.caps import Caps
from callwright.agent.execution import PolicyRefusal, Site, Watch, execute
from callwright.agent.live import Live
from callwright.agent.mirror import Mirror
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
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Verdict
from callwright.phone.guard import Guard
from callwright.policy.destination import PolicyError, Rules, Target
from callwright.policy.remedy import Worded
from callwright.scenario import event
from callwright.scenario.document import load
from callwright.scenario.scenario import Scenario
from callwright.scenario.source import DocumentError
from callwright.scenario.weight import weight
from callwright.version import __version__

_log = logging.getLogger(__name__)

_LADDER_SECONDS, _LADDER_AGAIN = 0.4, 4.0


class Carrier:
    """Carries out jobs, several at once, on one loop. `bind` and `rtp_ports` as in `callwright run`;
    `sounds`: the folder of the .wav files that documents may play, None: there are none. `guard` keeps what
    ends the calls though this process is killed; it lies on the disk beside the intents too. `worded`: see
    `phone.permission.Permission`. `mirror` is sent the SIP of every run."""

    def __init__(
        self,
        *,
        bind: str | None = None,
        rtp_ports: tuple[int, int] = (16384, 32767),
        entropy: Entropy = system_entropy,
        sounds: Path | None = None,
        guard: Guard | None = None,
        mirror: Mirror | None = None,
        worded: Worded,
    ) -> None:
        self._sounds, self._guard, self._mirror = sounds, guard, mirror
        self.caps = Caps(SystemClock())  # of targets, over all that this agent does
        self._place = Site(worded=worded, bind=bind, rtp_ports=rtp_ports, entropy=entropy, caps=self.caps)

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
        memory = PacketMemory()
        evidence: EvidenceFolder | None = None

        def watch(scenario: Scenario, secrets: Sequence[str]) -> Watch:
            nonlocal evidence
            evidence = EvidenceFolder.open(folder, redactor=Redactor(secrets))
            watched = _watch(scenario, secrets, live, evidence, memory)
            if self._mirror is not None:
                watched = replace(watched, taps=[*watched.taps, self._mirror.tap(secrets)])
            return watched

        try:
            outcome = await execute(
                scenario,
                rules_of(job.policy),
                self._place,
                id_=job.session_id,
                watch=watch,
                stopping=_stopping(live),
                recordings=folder if job.record else None,
                on_intent=live.intend,
                guard=WrittenGuard(self._guard, lambda: live.journal),
                news=live.calls,
                begin=live.together.begin if live.together is not None else None,
            )
        except PolicyRefusal as refused:
            return _failed(job, Blame.TEST, str(refused))
        except BindFailed as error:
            return _failed(job, Blame.PLATFORM, f"The built-in PBX does not start: {error.reason}")
        except PolicyError as error:
            return _failed(job, Blame.PLATFORM, f"A target of the policy cannot be read: {error}")
        assert evidence is not None
        # Drawing the ladder and the page takes a while, in which other calls want to be served.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, _written, evidence, outcome, memory)


def _watch(
    scenario: Scenario, secrets: Sequence[str], live: Live, evidence: EvidenceFolder, memory: PacketMemory
) -> Watch:
    unfolding = Unfolding(
        redactor=Redactor(secrets), users={user: party for party, user in scenario.users().items()}
    )
    taps: list[Tap] = [memory, unfolding]
    if evidence.capture is not None:
        taps.append(evidence.capture)

    def on_event(what: event.Event) -> None:
        news = told(what)
        if news is not None:
            live.report(*news)

    def beside(runner: Runner) -> Sequence[Coroutine[Any, Any, None]]:
        live.has_calls = lambda: runner.busy
        live.on_hold.append(runner.hold)
        return tell_seconds(runner, live.report), _tell_messages(unfolding, live, runner.clock.wall())

    return Watch(taps=taps, on_event=on_event, beside=beside)


async def _stopping(live: Live) -> str:
    await live.stopping.wait()
    return _why(live)


def _why(live: Live) -> str:
    return live.stopped or "Stopped by the platform."


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


def weigh(job: Job) -> int:
    """Calls at once that a job may hold."""
    try:
        return weight(read(job))
    except DocumentError:
        return 1


def rules_of(policy: JobPolicy) -> Rules:
    """Raises PolicyError."""
    targets = tuple(
        Target(row.host, row.network, row.number, row.rate, row.concurrency, row.minutes, row.country)
        for row in policy.targets
    )
    return Rules(
        targets=targets,
        own=policy.own,
        embedded=policy.embedded,
    )


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
        _failed(job, Blame.PLATFORM, _why(live)),
        verdict=Verdict.CANCELED,
        blame=None,
    )
