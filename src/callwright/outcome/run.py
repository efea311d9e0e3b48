"""A whole run: the document ``run.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from callwright.outcome.call import CallOutcome
from callwright.outcome.load import LoadOutcome
from callwright.outcome.plain import AsJson
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.terms import Blame, Verdict


@dataclass(frozen=True, slots=True)
class ConditionOutcome(AsJson):
    text: str  # as the author wrote it: "mos >= 4.0"
    expected: str  # ">= 4.0"
    seen: str | None  # "3.2"; None when there was nothing to look at
    passed: bool
    address: str | None = None  # "step.1.0" of its action, None at the end of the document
    call: str | None = None  # id of the call that was looked at
    implied: bool = False  # nobody wrote it: a rule of every call, told where it was broken
    check: str | None = None  # title of the check that it belongs to


@dataclass(frozen=True, slots=True)
class CheckOutcome(AsJson):
    """One check of a book. ``passed`` None: it could not be judged, and ``seen`` says why."""

    title: str
    level: str  # ko, important or optional
    passed: bool | None
    seen: str
    addresses: tuple[str, ...] = ()  # of its actions


@dataclass(frozen=True, slots=True)
class Acceptance(AsJson):
    """What the checks come to. ``passed`` and ``checks`` count them by level; ``score_pct`` weighs a KO check
    three times, an important one twice."""

    result: str  # "accepted", "accepted with reservations", "rejected" or "undecided"
    score_pct: float
    passed: Mapping[str, int]
    checks: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PhaseOutcome(AsJson):
    """How long a step took; ``at`` in seconds since the run's ``started_at``."""

    name: str  # "step.0", "teardown"
    at: float
    duration_ms: float


@dataclass(frozen=True, slots=True)
class RunOutcome(AsJson):
    """The document ``run.json``."""

    verdict: Verdict = Verdict.ERROR
    blame: Blame | None = Blame.PLATFORM
    reason: str = "The run was not judged."
    name: str = ""
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    conditions: tuple[ConditionOutcome, ...] = ()
    checks: tuple[CheckOutcome, ...] = ()
    acceptance: Acceptance | None = None  # None: the test is no book of checks
    calls: tuple[CallOutcome, ...] = ()
    registrations: tuple[RegistrationOutcome, ...] = ()
    requests: tuple[RequestOutcome, ...] = ()
    loads: tuple[LoadOutcome, ...] = ()
    id: str = ""
    started_at: float | None = None
    stopped_at: float | None = None
    duration_ms: float | None = None
    phases: tuple[PhaseOutcome, ...] = ()
    parameters: Mapping[str, str] = field(
        default_factory=dict
    )  # address -> value as text, secrets as "(secret)"
    evidence: Mapping[str, str] = field(
        default_factory=dict
    )  # "report", "pcap", "junit", … -> path in its folder
    warnings: tuple[str, ...] = ()
    version: str = ""  # of Callwright

    def with_evidence(self, **paths: str) -> RunOutcome:
        return dataclasses.replace(self, evidence={**self.evidence, **paths})
