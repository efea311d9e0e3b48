"""May this run start? The document with its overrides is read, and policy asked for each place it goes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from callwright.control.errors import CapReached, RefusedByPolicy
from callwright.control.runs.remedies import by_administrator
from callwright.control.targets.model import TargetRow, TargetUse, policy_target
from callwright.policy.destination import PolicyError, Rules
from callwright.policy.way import by_address
from callwright.scenario.actions import Action, Call, Options
from callwright.scenario.admission import Unresolved
from callwright.scenario.admission import admit as admission_of
from callwright.scenario.scenario import Scenario

__all__ = ["Admission", "admit", "check_caps", "rules", "summed"]

#: Stands for the built-in PBX, whose address only the agent knows; nothing else listens on port 1.
_OWN = ("127.0.0.1", 1)
_ROUNDING = 1e-9  # sums of rates such as 0.1
_WAIT = "Wait for other runs to end, or ask for a larger cap."
_WAIT_A_DAY = "The day ends at midnight UTC. Wait for it, or ask for a larger cap."


@dataclass(frozen=True, slots=True)
class Admission:
    """``usage``: what the run may take of each target whose rule let it through. ``unresolved``: names whose
    addresses may fall under a network that has caps; empty where no network has any."""

    usage: tuple[TargetUse, ...]
    unresolved: tuple[Unresolved, ...] = ()


def rules(rows: Sequence[TargetRow], *, embedded: bool) -> Rules:
    """The rules of the platform, with the built-in PBX at the address that `admit` gives it."""
    targets = []
    for row in rows:
        try:
            targets.append(policy_target(row))
        except PolicyError:
            continue  # it permits nothing
    return Rules(targets=tuple(targets), own=(_OWN,), embedded=embedded)


def admit(
    scenario: Scenario,
    rows: Sequence[TargetRow],
    *,
    embedded: bool,
    found: Mapping[str, Sequence[str]] | None = None,
) -> Admission:
    """Raises RefusedByPolicy for the first destination that is not permitted.

    A name that has no address yet passes here; the agent asks again after DNS. ``found``: addresses of such
    names, by which the caps of networks are counted, and nothing is permitted.
    """
    aimed = scenario.on_pbx(f"{_OWN[0]}:{_OWN[1]}", {}) if scenario.needs_pbx else scenario
    known = rules(rows, embedded=embedded)
    admission = admission_of(aimed, known)
    if admission.barred is not None:
        address, decision = admission.barred.address, admission.barred.decision
        remedy = by_administrator(decision.remedy) if decision.remedy is not None else ""
        raise RefusedByPolicy(address, decision.reason, remedy)
    by_target = {policy_target(row): row for row in reversed(rows) if _makes_sense(row)}
    used: dict[int, list[str]] = {}
    by_dns = [
        (one.address, target)
        for one in admission.unresolved
        for target in by_address(one.purpose, one.uri, one.host, (found or {}).get(one.host, ()), known)
    ]
    for address, target in (*admission.targets, *by_dns):
        used.setdefault(by_target[target].id, []).append(address)
    by_id = {row.id: row for row in rows}
    actions = {action.address: action for action in scenario.actions()}
    return Admission(
        tuple(_use(by_id[target_id], addresses, actions) for target_id, addresses in used.items()),
        admission.unresolved if any(row.network and _has_caps(row) for row in by_target.values()) else (),
    )


def _has_caps(row: TargetRow) -> bool:
    return any(cap is not None for cap in (row.rate, row.concurrency, row.minutes))


def _makes_sense(row: TargetRow) -> bool:
    try:
        policy_target(row)
    except PolicyError:
        return False
    return True


def _use(row: TargetRow, addresses: Sequence[str], actions: Mapping[str, Action]) -> TargetUse:
    """Calls hold lines and minutes; every request that opens something counts for the rate. What softphones
    send is paced by the agent, so that one run takes the whole cap at most; a load is not."""
    senders = [actions[address] for address in dict.fromkeys(addresses)]
    made = [action for action in senders if isinstance(action, Call)]
    loads = sum(_rate(action) for action in senders if action.is_load)
    paced = sum(_rate(action) for action in senders if not action.is_load)
    if row.rate is not None:
        paced = min(paced, max(row.rate - loads, 0.0))
    return TargetUse(
        row.id,
        sum(call.concurrent or call.max_total_calls for call in made),
        loads + paced,
        sum(call.max_total_calls * call.max_duration for call in made) / 60,
    )


def _rate(action: Action) -> float:
    """Requests a second at most: INVITE, OPTIONS, MESSAGE, REGISTER, SUBSCRIBE, PUBLISH."""
    if isinstance(action, Call):
        return min(action.highest_rate, action.max_total_calls)
    if isinstance(action, Options):
        return min(1 / action.interval, action.count)
    return 1.0


def summed(uses: Iterable[TargetUse]) -> dict[int, TargetUse]:
    """What several runs may take of each target together."""
    found: dict[int, TargetUse] = {}
    for use in uses:
        had = found.get(use.target_id, TargetUse(use.target_id))
        found[use.target_id] = TargetUse(
            use.target_id, had.concurrency + use.concurrency, had.rate + use.rate, had.minutes + use.minutes
        )
    return found


def check_caps(row: TargetRow, asked: TargetUse, taken: TargetUse, *, runs: int = 1) -> None:
    """``asked``: by ``runs`` runs that start together; ``taken``: by all others.

    Raises CapReached when there is no room now, RefusedByPolicy when there never will be for this run.
    """
    place = row.host or row.network or row.number
    for name, one, many, cap in (
        ("concurrency", "concurrent call", "concurrent calls", row.concurrency),
        ("rate", "request per second", "requests per second", row.rate),
        ("minutes", "minute of calls a day", "minutes of calls a day", row.minutes),
    ):
        wanted, used = getattr(asked, name), getattr(taken, name)
        if cap is None or wanted <= 0 or wanted + used <= cap + _ROUNDING:
            continue
        who = "this run needs" if runs == 1 else f"these {runs} runs need"
        limit = f"The target {place} is limited to {cap:g} {one if cap == 1 else many}"
        if runs == 1 and wanted > cap + _ROUNDING:
            raise RefusedByPolicy(
                "", f"{limit}; {who} {wanted:g}.", "Let the test do less, or ask for a larger cap."
            )
        raise CapReached(
            f"{limit}; {who} {wanted:g}, and {used:g} {'is' if used == 1 else 'are'} in use.",
            _WAIT_A_DAY if name == "minutes" else _WAIT,
        )
