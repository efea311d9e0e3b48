"""Runs a scenario as a machine: events and the time in, commands out. No socket, no clock, no thread.

For the author of a runner
--------------------------

    scenario = load(text, …)
    if scenario.needs_pbx:                      # no target: start the built-in PBX with these accounts
        accounts = scenario.pbx_accounts()      # {user: password or ""}; make a password for each ""
        scenario = scenario.on_pbx("127.0.0.1:5070", accounts)
    for address, uri in scenario.destinations():
        …                                       # ask the policy before anything is sent
    interpreter = Interpreter(scenario)
    interpreter.start(now)
    loop:
        for command in interpreter.commands(): carry it out (never block; a result comes as an event)
        interpreter.receive(event, now)         # as things happen; then drain commands() again
        interpreter.wake(now)                   # at next_wake()
    until Finish(outcome) was among the commands; then interpreter.finished is True

- ``now`` is monotonic seconds, never less than before.
- Ids: those of Register, PlaceCall, SendOptions and SendMessage are made here (``step.1.0/1``); that of a
  call that arrives is the runner's, unique in the run. Events about an unknown or finished id are
  ignored.
- Register → RegistrationDone (first answer; fill ``failure`` when it is no 2xx). Keep it refreshed.
  Unregister → RegistrationEnded with the final outcome.
- Listen → Listening. An INVITE for that party → CallArrived(id, party) → TakeCall with everything that is
  to be done, or RefuseCall. StopListening: refuse what comes from then on with 480.
- PlaceCall, TakeCall → CallStateChanged at each state of ``CallState`` (ANSWERED is needed: hold, resume
  and the hang-up are timed from it) → CallFinished, once, when all is measured. Hold, Resume, Cancel and
  Hangup come as their own commands. The runner hangs up nothing by itself, and ends a call when its peer
  does.
- SendOptions, SendMessage → RequestDone. Transfer → RequestDone, when its outcome was told.
  Subscribe, Publish → RequestDone, once it was refused or has ended; Unsubscribe ends it.
- A call that comes of another (a REFER that is followed, an INVITE with Replaces) → FurtherCall, before its
  first CallStateChanged; the runner answers and places it by itself.
- PlaceLoad, AnswerLoad (→ Listening) → LoadTold each second → LoadFinished, judged. Before a party registers
  whose calls AnswerLoad takes, the engine's port is open: it is the Contact. StopLoad ends it early.
- What fails on our side of the wire is ``Failure.PLATFORM`` in the outcome, or ActionFailed(address,
  detail).
- Verdicts are made here: the runner delivers facts (``CallOutcome`` with ``failure``, ``states``,
  ``sent`` …).
- ``stop(reason, now)`` (Ctrl-C) hangs up, unregisters and finishes within ``STOP_LIMIT_S``; call ``wake``
  meanwhile.
- Finish always comes: every wait in here has a deadline, and ``max_duration`` of the document is above
  all.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import Enum, auto

from callwright.outcome.judgement import Judgement, judge_registration
from callwright.outcome.run import PhaseOutcome, RunOutcome
from callwright.outcome.terms import Blame, Failure, Verdict
from callwright.scenario import command, event
from callwright.scenario.ending import judge
from callwright.scenario.load_progress import AnsweringLoad, progress_of
from callwright.scenario.progress import AcceptProgress, Leg, Progress, RegisterProgress
from callwright.scenario.scenario import Scenario

LINGER_S = 3.0  # after the last step, for the peer's BYE to arrive at calls that came to us
HANGUP_LIMIT_S = 8.0  # from our hang-up to CallFinished
UNREGISTER_LIMIT_S = 5.0
STOP_LIMIT_S = 15.0  # from stop() to Finish, at the very most


class Phase(Enum):
    NEW = auto()
    STEPS = auto()
    LINGERING = auto()  # steps are done; calls that came to us may still be up
    HANGING_UP = auto()
    UNREGISTERING = auto()
    FINISHED = auto()


class Interpreter:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.phase = Phase.NEW
        self._commands: list[command.Command] = []
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._timer_count = 0
        self._steps: list[list[Progress]] = []
        self._owners: dict[str, Progress] = {}
        self._phases: list[PhaseOutcome] = []
        self._trouble: Judgement | None = None
        self._stopped: str | None = None
        self._began = self._phase_began = 0.0

    # What a runner uses

    @property
    def finished(self) -> bool:
        return self.phase is Phase.FINISHED

    def start(self, now: float) -> None:
        self._began = now
        self.phase = Phase.STEPS
        self.at(now + self.scenario.deadline, self._out_of_time)
        self._begin_step(now)
        self._advance(now)

    def receive(self, what: event.Event, now: float) -> None:
        if self.phase in (Phase.NEW, Phase.FINISHED):
            return
        self._run_timers(now)
        if isinstance(what, event.CallArrived):
            self._call_arrived(what, now)
        elif isinstance(what, event.FurtherCall):
            self._further(what, now)
        elif isinstance(what, event.ActionFailed):
            self.fail(what.address, what.detail, now, by_test=what.by_test)
        elif isinstance(what, event.Listening):
            for progress in self._all():
                if progress.base.address == what.address:
                    progress.receive(what, now)
        else:
            owner = self._owners.get(what.id)
            if owner is not None:
                owner.receive(what, now)
        for progress in self._all():
            progress.stirred(now)
        self._advance(now)

    def wake(self, now: float) -> None:
        self._run_timers(now)
        self._advance(now)

    def next_wake(self) -> float | None:
        return self._timers[0][0] if self._timers and not self.finished else None

    def commands(self) -> list[command.Command]:
        drained, self._commands = self._commands, []
        return drained

    def stop(self, reason: str, now: float) -> None:
        """From outside; ``reason`` is a sentence: "Stopped by Ctrl-C." A second call changes nothing."""
        if self.phase in (Phase.NEW, Phase.FINISHED) or self._stopped is not None:
            return
        self._stopped = reason
        self.at(now + STOP_LIMIT_S, self._finish)
        self._hang_up(now)
        self._advance(now)

    # What the actions use

    def emit(self, order: command.Command) -> None:
        self._commands.append(order)

    def at(self, when: float, then: Callable[[float], None]) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, then))

    def own(self, id_: str, progress: Progress) -> None:
        self._owners[id_] = progress

    def stopping(self) -> bool:
        return self.phase is not Phase.STEPS

    def call_of(self, party: str) -> Leg | None:
        """The oldest call of a party that was answered and is up."""
        legs = [leg for p in self._all() if p.base.party == party for leg in p.legs_up()]
        answered = [leg for leg in legs if leg.answered_at is not None]
        return min(answered, key=lambda leg: leg.begun_at, default=None)

    def fail(self, address: str, detail: str, now: float, *, by_test: bool = False) -> None:
        """Something that is no call went wrong on our side: the run ends here."""
        if by_test:
            judgement = (Verdict.ERROR, Blame.TEST, f"{address} could not be done: {detail.rstrip('.')}.")
        else:
            reason = f"Callwright itself failed at {address}: {detail.rstrip('.')}."
            judgement = (Verdict.ERROR, Blame.PLATFORM, f"{reason} This says nothing about the target.")
        self._abort(judgement, now)

    # Inside

    def _all(self) -> list[Progress]:
        return [progress for step in self._steps for progress in step]

    def _run_timers(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now and not self.finished:
            heapq.heappop(self._timers)[2](now)
            self._advance(now)

    def _begin_step(self, now: float) -> None:
        step = self.scenario.steps[len(self._steps)]
        last = len(self._steps) + 1 == len(self.scenario.steps)
        self._phase_began = now
        started = [progress_of(action, self, last_step=last) for action in step.actions]
        self._steps.append(started)
        for progress in started:
            if self.phase is Phase.STEPS:
                progress.begin(now)

    def _advance(self, now: float) -> None:
        while self.phase is Phase.STEPS and all(progress.ready for progress in self._steps[-1]):
            self._end_phase(f"step.{len(self._steps) - 1}", now)
            self._close_accepts()
            broken = self._failed_registration()
            if broken is not None:
                self._abort(broken, now)
            elif len(self._steps) < len(self.scenario.steps):
                self._begin_step(now)
            else:
                self.phase = Phase.LINGERING
                self.at(now + LINGER_S, self._linger_over)
        if self.phase is Phase.LINGERING and not self._up():
            self._hang_up(now)
        if self.phase is Phase.HANGING_UP and not self._up():
            self._unregister(now)
        if self.phase is Phase.UNREGISTERING and not self._registered():
            self._finish(now)

    def _end_phase(self, name: str, now: float) -> None:
        took = round((now - self._phase_began) * 1000, 3)
        self._phases.append(PhaseOutcome(name, round(self._phase_began - self._began, 6), took))
        self._phase_began = now

    def _close_accepts(self) -> None:
        """In a book of checks a call that never came must not shift those of later checks: what accepts a
        number of calls does so until the step after its own is over."""
        if not self.scenario.checks or len(self._steps) < 2:
            return
        for progress in self._steps[-2]:
            if isinstance(progress, AcceptProgress):
                progress.closed = progress.action.max_total_calls > 0

    def _failed_registration(self) -> Judgement | None:
        """A step after a registration that failed against expectation would only fail for want of it."""
        for progress in self._steps[-1]:
            for outcome in progress.registrations.values():
                if outcome is not None and not progress.base.expects_failure:
                    judgement = judge_registration(outcome)
                    if judgement[0] is not Verdict.PASSED:
                        return judgement
        return None

    def _call_arrived(self, arrived: event.CallArrived, now: float) -> None:
        if arrived.id in self._owners:
            return
        if self.phase in (Phase.STEPS, Phase.LINGERING):
            for progress in self._all():
                if (
                    isinstance(progress, AcceptProgress)
                    and progress.base.party == arrived.party
                    and progress.takes_calls
                ):
                    progress.take(arrived.id, now)
                    return
        self.emit(command.RefuseCall(arrived.id, 480))

    def _further(self, what: event.FurtherCall, now: float) -> None:
        owner = self._owners.get(what.of)
        if owner is None or what.id in self._owners:
            return
        owner.further(what, now)
        if self.phase in (Phase.HANGING_UP, Phase.UNREGISTERING):
            self.emit(command.Hangup(what.id))

    # The end

    def _abort(self, judgement: Judgement, now: float) -> None:
        if self._trouble is None:
            self._trouble = judgement
        if self.phase is Phase.STEPS:
            self._end_phase(f"step.{len(self._steps) - 1}", now)
        if self.phase in (Phase.STEPS, Phase.LINGERING):
            self._hang_up(now)

    def _out_of_time(self, now: float) -> None:
        limit = f"{self.scenario.deadline:g} s"
        self.at(now + STOP_LIMIT_S, self._finish)
        self._abort(
            (Verdict.FAILED, Blame.TEST, f"The run was not done after {limit}, its max_duration."), now
        )

    def _up(self) -> bool:
        waiting = (
            self.phase is Phase.LINGERING
        )  # who answers a load waits for nobody once all others are done
        return any(p.up for p in self._all() if not (waiting and isinstance(p, AnsweringLoad)))

    def _linger_over(self, now: float) -> None:
        if self.phase is Phase.LINGERING:
            self._hang_up(now)

    def _hang_up(self, now: float) -> None:
        if self.phase not in (Phase.STEPS, Phase.LINGERING):
            return
        self.phase = Phase.HANGING_UP
        for progress in self._all():
            for leg in progress.legs_up():
                self.emit(command.Hangup(leg.id))
            if progress.load_id is not None:
                gently = isinstance(progress, AnsweringLoad) and self._stopped is None
                self.emit(command.StopLoad(progress.load_id, gently=gently))
            if isinstance(progress, AcceptProgress):
                self.emit(command.StopListening(progress.base.address))
        self.at(now + HANGUP_LIMIT_S, self._hang_up_over)

    def _hang_up_over(self, now: float) -> None:
        if self.phase is Phase.HANGING_UP:
            self._give_up(now)
            self._unregister(now)

    def _give_up(self, now: float) -> None:
        failure = Failure.PLATFORM
        detail = "a call never reported its end"
        if self._stopped is not None:
            failure, detail = Failure.STOPPED, self._stopped
        elif self._trouble is not None:
            failure, detail = Failure.DEADLINE, "the run ended before it"
        for progress in self._all():
            progress.give_up(failure, detail, now)

    def _registered(self) -> list[str]:
        return [id_ for p in self._all() if isinstance(p, RegisterProgress) for id_ in p.registered()]

    def _unregister(self, now: float) -> None:
        self.phase = Phase.UNREGISTERING
        for id_ in self._registered():
            self.emit(command.Unregister(id_))
        self.at(now + UNREGISTER_LIMIT_S, self._finish)

    def _finish(self, now: float) -> None:
        if self.finished:
            return
        self._give_up(now)
        self._end_phase("teardown", now)
        self.phase = Phase.FINISHED
        self._timers.clear()
        outcome: RunOutcome = judge(
            self.scenario,
            self._all(),
            phases=tuple(self._phases),
            duration_ms=round((now - self._began) * 1000, 3),
            stopped=self._stopped,
            trouble=self._trouble,
        )
        self.emit(command.Finish(outcome))
