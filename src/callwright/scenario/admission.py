"""The one gate before DNS: may a test go to the places that it names?

A name that has no address yet passes, and is asked about again by the phone that sends (`phone.permission`).
"""

from __future__ import annotations

from dataclasses import dataclass

from callwright.policy.destination import Decision, Purpose, Rules, Target
from callwright.policy.way import before_dns, named
from callwright.scenario.scenario import Scenario
from callwright.sip.uri import SipSyntaxError, Uri

__all__ = ["Admission", "Barred", "Unresolved", "admit"]


@dataclass(frozen=True, slots=True)
class Barred:
    """The first place where a test may not go. ``address``: of its action, "step.1.0"."""

    address: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A name that an action goes to, of which nothing is known before DNS."""

    address: str
    purpose: Purpose
    uri: Uri
    host: str


@dataclass(frozen=True, slots=True)
class Admission:
    """``barred`` None: the test may run. ``targets``: (address of the action, target that lets it through),
    one for each place that a rule permits by what is written. ``unresolved``: the names that pass for now."""

    barred: Barred | None
    targets: tuple[tuple[str, Target], ...] = ()
    unresolved: tuple[Unresolved, ...] = ()


def admit(scenario: Scenario, rules: Rules) -> Admission:
    """May it run under these rules? Where it needs a PBX of ours, ask after ``on_pbx``."""
    targets: list[tuple[str, Target]] = []
    unresolved: list[Unresolved] = []
    for address, text in scenario.destinations():
        try:
            uri = Uri.parse(text)
        except SipSyntaxError as error:
            return Admission(Barred(address, Decision(False, f"{text} is not a SIP URI: {error.reason}.")))
        purpose = Purpose.LOAD if scenario.is_load(address) else Purpose.RUN
        for host, decision in zip(named(uri), before_dns(purpose, uri, rules), strict=True):
            if decision.undecided:
                unresolved.append(Unresolved(address, purpose, uri, host))
            elif not decision.allowed:
                return Admission(Barred(address, decision))
            if decision.target is not None:
                targets.append((address, decision.target))
    return Admission(None, tuple(dict.fromkeys(targets)), tuple(unresolved))
