"""A book of checks: what a new trunk has to show, each check with how much depends on it, and its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from callwright.outcome.judgement import Judgement
from callwright.outcome.run import Acceptance, CheckOutcome, ConditionOutcome
from callwright.outcome.terms import Blame, Verdict
from callwright.scenario.condition import Condition, Subject

LEVELS = ("ko", "important", "optional")
"""A KO check that fails rejects the trunk, an important one leaves a reservation, an optional one costs
points alone."""
POINTS = {"ko": 3, "important": 2, "optional": 1}


@dataclass(frozen=True)
class Check:
    """`actions`: the addresses whose own verdicts belong to it, beside those that its conditions name."""

    title: str
    level: str
    conditions: tuple[Condition, ...] = ()
    actions: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        named = [c.who for c in self.conditions if c.who is not None and c.who.startswith("step.")]
        return tuple(dict.fromkeys((*self.actions, *named)))


def forgiven(checks: Sequence[Check]) -> frozenset[str]:
    """Addresses of actions that no KO check looks at: their failures do not fail the run."""
    strict = {address for check in checks if check.level == "ko" for address in check.addresses}
    return frozenset(a for check in checks for a in check.addresses if a not in strict)


@dataclass(frozen=True)
class Found:
    """What a run left for a check: `conditions` with the sentence of each that does not hold."""

    subjects: Sequence[Subject]
    conditions: Sequence[tuple[ConditionOutcome, str]] = field(default=())


def judge_check(check: Check, found: Found, *, ended_early: bool) -> CheckOutcome:
    """`ended_early`: the run was stopped or broke, so that some actions never had their turn."""
    told = CheckOutcome(check.title, check.level, None, "", check.addresses)
    by_address = {subject.address: subject for subject in found.subjects}
    for subject in found.subjects:
        if subject.verdict not in (Verdict.PASSED, Verdict.FAILED):
            return replace(told, seen=subject.reason)
    for subject in found.subjects:
        if subject.verdict is Verdict.FAILED:
            return replace(told, passed=False, seen=subject.reason)
    absent = [address for address in check.addresses if address not in by_address]
    if absent and ended_early:
        return replace(told, seen="The run ended before it.")
    for condition, sentence in found.conditions:
        if not condition.passed:
            return replace(told, passed=False, seen=sentence)
    if absent:
        return replace(told, passed=False, seen=f"Nothing came to {absent[0]}.")
    seen = [f"{c.text}: {c.seen}" for c, _ in found.conditions if c.seen is not None]
    reasons = [subject.reason for subject in found.subjects[:1]]
    return replace(told, passed=True, seen="; ".join(seen[:4]) or "".join(reasons))


def accept(checks: Sequence[CheckOutcome]) -> Acceptance:
    """The book closed: result and score of its checks."""
    counts = {level: [0, 0] for level in LEVELS}
    for check in checks:
        counts[check.level][0] += check.passed is True
        counts[check.level][1] += 1
    whole = sum(POINTS[check.level] for check in checks)
    points = sum(POINTS[check.level] for check in checks if check.passed)
    failed = {check.level for check in checks if check.passed is False}
    if "ko" in failed:
        result = "rejected"
    elif any(check.passed is None for check in checks):
        result = "undecided"
    else:
        result = "accepted with reservations" if "important" in failed else "accepted"
    return Acceptance(
        result,
        100.0 * points / whole if whole else 0.0,
        {level: passed for level, (passed, _) in counts.items()},
        {level: of for level, (_, of) in counts.items()},
    )


def verdict_of_book(judgement: Judgement, checks: Sequence[CheckOutcome], accepted: Acceptance) -> Judgement:
    """The run's verdict, its sentence led by what the book says."""
    verdict, blame, reason = judgement
    if verdict not in (Verdict.PASSED, Verdict.FAILED):
        return judgement
    counts = ", ".join(
        f"{accepted.passed[level]} of {accepted.checks[level]} {level.upper() if level == 'ko' else level}"
        for level in LEVELS
        if accepted.checks[level]
    )
    head = f"{accepted.result.capitalize()}, {accepted.score_pct:.0f} %: {counts} checks passed."
    level = "ko" if accepted.result == "rejected" else "important"
    first = next((check for check in checks if check.passed is False and check.level == level), None)
    if first is not None:
        head += f" {first.title}: {first.seen}"
    if accepted.result == "rejected":
        return Verdict.FAILED, blame or Blame.TARGET, head
    return verdict, blame, head if verdict is Verdict.PASSED else f"{reason} {head}"
