"""Whose fault it was, and why the others are cleared: each with a fact, or with the word that nobody
looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from callwright.evidence.generator_words import ranged
from callwright.evidence.naming import heard_silence
from callwright.outcome.call import CallOutcome
from callwright.outcome.load import LoadOutcome
from callwright.outcome.proof import other_end
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Failure, Verdict

_ORDER = (Blame.TARGET, Blame.NETWORK, Blame.PLATFORM, Blame.TEST)
_STOPPED = "The run was stopped before it could tell."
TIMELY_MS = 5.0
"""Audio that leaves later than this against its schedule makes our own measurement doubtful."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """One of the four. `word` is "at fault", "cleared" or "not known"."""

    name: str
    word: str
    fact: str

    @property
    def guilty(self) -> bool:
        return self.word == "at fault"


def suspects(outcome: RunOutcome, changes: Sequence[str] | None = None) -> list[Suspect]:
    """Target, network, platform and test, in this order. `changes`: what was changed in the test since its
    last pass, in sentences; None: there is no pass to compare with."""
    if outcome.verdict is Verdict.CANCELED:
        return [Suspect(blame.value.capitalize(), "not known", _STOPPED) for blame in _ORDER]
    facts = {
        Blame.TARGET: _target(outcome),
        Blame.NETWORK: _network(outcome),
        Blame.PLATFORM: _platform(outcome),
        Blame.TEST: _test(outcome, changes),
    }
    found = []
    for blame, fact in facts.items():
        if blame is outcome.blame:
            proof = changes[0] if changes and blame is Blame.TEST else _proof(outcome, blame)
            found.append(Suspect(blame.value.capitalize(), "at fault", proof))
        elif blame is Blame.TEST and changes and outcome.verdict is not Verdict.PASSED:
            found.append(Suspect("Test", "not known", changes[0]))
        else:
            found.append(
                Suspect(
                    blame.value.capitalize(),
                    "cleared" if fact else "not known",
                    fact or "Nothing was measured that could tell.",
                )
            )
    return found


Part = CallOutcome | RegistrationOutcome | RequestOutcome


def _parts(outcome: RunOutcome) -> list[Part]:
    return [*outcome.calls, *outcome.registrations, *outcome.requests]


def _placed(outcome: RunOutcome) -> list[LoadOutcome]:
    return [load for load in outcome.loads if load.role == "caller"]


def _proof(outcome: RunOutcome, blame: Blame) -> str:
    """The reason of the worst thing with this blame that is not the headline itself."""
    parts = _parts(outcome)
    for part in parts:
        if part.blame is blame and part.reason and part.reason != outcome.reason:
            return part.reason
    failed = [condition for condition in outcome.conditions if not condition.passed]
    if failed:
        count = f"{len(failed)} of {len(outcome.conditions)} conditions failed."
        return f"{failed[0].text}: {failed[0].seen or 'nothing'} was seen. {count}"
    blamed = [part for part in parts if part.blame is blame]
    facts = [_media_fact(part) for part in blamed if isinstance(part, CallOutcome)]
    facts += [_answer_fact(part) for part in blamed]
    if blame is Blame.PLATFORM:
        facts += [_generator_fact(load) for load in outcome.loads if load.blame == blame.value]
    return next((fact for fact in facts if fact), "See the verdict.")


def _media_fact(call: CallOutcome) -> str:
    """What was wrong with the audio of an answered call."""
    if not call.answered or not call.media_expected:
        return ""
    heard = call.received
    if heard_silence(call):
        came = _count(heard.packets or 0, "packet")
        return f"{came} came, {heard.lost or 0:,} were lost, and none held a sound."
    return "" if heard.packets else "It answered, and no RTP packet came from it."


def _answer_fact(part: Part) -> str:
    if part.sip_code:
        whole = f"{part.sip_code} {part.sip_reason or ''}".strip()
        return f"{part.peer or 'It'} answered {whole}."
    if part.failure is Failure.TIMEOUT:
        return "Not one packet came back, and no error of a host or router."
    return ""


def _generator_fact(load: LoadOutcome) -> str:
    limited, loaded = load.generator.get("limited_seconds"), load.generator.get("loaded_seconds")
    if not limited:
        return ""
    why = ranged(load.generator.get("why", ()))
    return f"The generator was late in {limited} of {loaded} seconds" + (f": {why[0]}." if why else ".")


def _target(outcome: RunOutcome) -> str:
    placed = _placed(outcome)
    if placed and all(load.verdict == "passed" for load in placed):
        return f"It did what was asked; {sum(load.answered for load in placed):,} calls answered."
    if placed:
        return ""
    if outcome.blame is Blame.TEST and (passed_on := _passed_on(outcome)):
        return passed_on
    parts = _parts(outcome)
    if parts and all(part.verdict is Verdict.PASSED for part in parts):
        answered = sum(call.answered for call in outcome.calls)
        return (
            f"It did what was asked; {_count(answered, 'call')} answered."
            if answered
            else "It did what was asked."
        )
    return ""


def _passed_on(outcome: RunOutcome) -> str:
    """What the target let through of a call that failed, where both of its ends are ours."""
    for call in outcome.calls:
        other = other_end(call, outcome.calls) if call.verdict is Verdict.FAILED else None
        if other is None or not other.sent.packets or not call.received.packets:
            continue
        if call.received.packets >= other.sent.packets:
            to, by = call.party or "One end", other.party or "the other"
            return f"{to.capitalize()} received all {other.sent.packets:,} packets that {by} sent."
    return ""


def _network(outcome: RunOutcome) -> str:
    media = [load.media for load in _placed(outcome) if load.media.get("received")]
    if media:
        if any(figures.get("gap_count") for figures in media):
            return ""  # no number tells where the packets of a gap went
        gone = sum(figures["lost"] for figures in media)
        came = sum(figures["received"] for figures in media)
        return f"{gone:,} of {came + gone:,} packets lost." if gone <= 0.01 * (came + gone) else ""
    received = [
        c.received for c in outcome.calls if c.received.packets is not None and c.received.lost is not None
    ]
    if not received:
        parts = _parts(outcome)
        return "Every request got an answer." if parts and all(part.sip_code for part in parts) else ""
    if any(stream.missing for stream in received):
        return ""  # no number tells where the packets of a gap went
    lost = sum(stream.lost or 0 for stream in received)
    total = sum((stream.packets or 0) + (stream.lost or 0) for stream in received)
    if total == 0 or lost / total > 0.01:
        return ""
    jitter = max((stream.max_jitter_ms or 0.0 for stream in received), default=0.0)
    return f"{lost:,} of {total:,} packets lost; jitter at most {jitter:.1f} ms."


def _platform(outcome: RunOutcome) -> str:
    late = [load.generator.get("lateness_ms", {}).get("p99") for load in _placed(outcome)]
    known = [value for value in late if value is not None]
    if known and outcome.blame is not Blame.PLATFORM:
        doubtful = any(load.generator.get("limited_seconds") for load in _placed(outcome))
        return "" if doubtful else f"Calls were placed within {max(known):.1f} ms of their time (99 of 100)."
    errors = [error for call in outcome.calls if (error := _send_error(call)) is not None]
    if not errors and outcome.blame is Blame.TARGET:
        peers = [part.peer for part in _parts(outcome) if part.sip_code and part.peer]
        return f"The answer came from {peers[0]}, not from us." if peers else ""
    if not errors or max(errors) > TIMELY_MS:
        return ""
    return f"Packets left within {max(errors):.1f} ms of their time (99 of 100)."


def _send_error(call: CallOutcome) -> float | None:
    return call.measurement.send_error_p99_ms


def _test(outcome: RunOutcome, changes: Sequence[str] | None) -> str:
    if outcome.verdict in {Verdict.ERROR, Verdict.INVALID}:
        return ""
    if outcome.verdict is Verdict.FAILED:
        return "It has not changed since its last pass." if changes == [] else ""
    if not outcome.conditions:
        return "It ran to its end."
    passed = sum(condition.passed for condition in outcome.conditions)
    return f"It ran to its end; {'its condition holds' if passed == 1 else f'all {passed} conditions hold'}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"
