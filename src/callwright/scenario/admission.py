"""The one gate before DNS: may a test go to the places that it names?

A name that has no address yet passes, and is asked about again by the phone that sends (`phone.permission`).
"""

from __future__ import annotations

from dataclasses import dataclass

from callwright.policy.destination import Decision, Purpose, Rules, Target
from callwright.policy.way import before_dns
from callwright.scenario.scenario import Scenario
from callwright.sip.uri import SipSyntaxError, Uri

__all__ = ["Admission", "Barred", "admit"]


@dataclass(frozen=True, slots=True)
class Barred:
    """The first place where a test may not go. ``address``: of its action, "step.1.0"."""

    address: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Admission:
    """``barred`` None: the test may run. ``targets``: (address of the action, target that lets it through),
    one for each place that a rule permits."""

    barred: Barred | None
    targets: tuple[tuple[str, Target], ...] = ()


def admit(scenario: Scenario, rules: Rules) -> Admission:
    """May it run under these rules? Where it needs a PBX of ours, ask after ``on_pbx``."""
    targets: list[tuple[str, Target]] = []
    for address, text in scenario.destinations():
        try:
            uri = Uri.parse(text)
        except SipSyntaxError as error:
            return Admission(Barred(address, Decision(False, f"{text} is not a SIP URI: {error.reason}.")))
        purpose = Purpose.LOAD if scenario.is_load(address) else Purpose.RUN
        for decision in before_dns(purpose, uri, rules):
            if not decision.allowed and not decision.undecided:
                return Admission(Barred(address, decision))
            if decision.target is not None:
                targets.append((address, decision.target))
    return Admission(None, tuple(dict.fromkeys(targets)))
