"""May this run start? The document with its overrides is read, and policy asked for each place it goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callwright.control.errors import RefusedByPolicy
from callwright.control.runs.model import TargetRow, TargetUse
from callwright.policy.destination import Decision, Destination, PolicyError, Purpose, Rules, Target, decide
from callwright.scenario.actions import Call
from callwright.scenario.scenario import Scenario
from callwright.sip.uri import SipSyntaxError, Uri

__all__ = ["Admission", "admit", "policy_target", "remedy_for_caps", "rules"]

#: Stands for the built-in PBX, whose address only the agent knows; nothing else listens on port 1.
_OWN = ("127.0.0.1", 1)
_REMEDY = "An administrator can permit it on the page Targets."
_NUMBER_REMEDY = (
    "If it is safe there, an administrator can permit this number at this host on the page Targets."
)


@dataclass(frozen=True, slots=True)
class Admission:
    """``usage``: what the run may take of each target whose rule let it through."""

    usage: tuple[TargetUse, ...]


def policy_target(row: TargetRow) -> Target:
    """Raises PolicyError for a row that makes no sense."""
    return Target(row.host, row.network, row.number, row.rate, row.concurrency, row.minutes, row.country)


def rules(rows: Sequence[TargetRow], *, embedded: bool) -> Rules:
    """The rules of the platform, with the built-in PBX at the address that `admit` gives it."""
    targets = []
    for row in rows:
        try:
            targets.append(policy_target(row))
        except PolicyError:
            continue  # it permits nothing
    return Rules(targets=tuple(targets), own=(_OWN,), embedded=embedded)


def admit(scenario: Scenario, rows: Sequence[TargetRow], *, embedded: bool) -> Admission:
    """Raises RefusedByPolicy for the first destination that is not permitted.

    A name that has no address yet passes here; the agent asks again after DNS.
    """
    aimed = scenario.on_pbx(f"{_OWN[0]}:{_OWN[1]}", {}) if scenario.needs_pbx else scenario
    policy = rules(rows, embedded=embedded)
    by_target = {policy_target(row): row for row in rows if _makes_sense(row)}
    used: dict[int, list[str]] = {}
    for address, text in aimed.destinations():
        try:
            uri = Uri.parse(text)
        except SipSyntaxError as error:
            raise RefusedByPolicy(address, f"{text} is no SIP URI: {error.reason}.", "") from None
        purpose = Purpose.LOAD if scenario.is_load(address) else Purpose.RUN
        decision = decide(purpose, Destination(uri.host, (), uri.port, uri.user or ""), policy)
        if not decision.allowed and not decision.undecided:
            raise RefusedByPolicy(address, decision.reason, _remedy(decision))
        if decision.target is not None:
            used.setdefault(by_target[decision.target].id, []).append(address)
    calls = {action.address: action for action in scenario.actions() if isinstance(action, Call)}
    return Admission(tuple(_use(target_id, addresses, calls) for target_id, addresses in used.items()))


def _makes_sense(row: TargetRow) -> bool:
    try:
        policy_target(row)
    except PolicyError:
        return False
    return True


def _remedy(decision: Decision) -> str:
    """The rules' own words are for the command line; here an administrator is the one who may."""
    if decision.remedy.startswith("Add --allow"):
        return _REMEDY
    return _NUMBER_REMEDY if "targets file" in decision.remedy else decision.remedy


def _use(target_id: int, addresses: Sequence[str], calls: Mapping[str, Call]) -> TargetUse:
    made = [calls[address] for address in dict.fromkeys(addresses) if address in calls]
    return TargetUse(
        target_id,
        sum(call.concurrent or call.max_total_calls for call in made),
        sum(min(call.highest_rate, call.max_total_calls) for call in made),
        sum(call.max_total_calls * call.max_duration for call in made) / 60,
    )


def remedy_for_caps(row: TargetRow, asked: TargetUse, taken: TargetUse) -> str | None:
    """Which cap of a target the run would break, as a sentence; None when there is room."""
    place = row.host or row.network or row.number
    for name, unit, cap in (
        ("concurrency", "calls at once", row.concurrency),
        ("rate", "calls per second", row.rate),
        ("minutes", "minutes of calls in a day", row.minutes),
    ):
        wanted, used = getattr(asked, name), getattr(taken, name)
        if cap is not None and wanted + used > cap:
            return (
                f"The target {place} permits {cap:g} {unit}; this run may take {wanted:g}, "
                f"and others have {used:g}."
            )
    return None
