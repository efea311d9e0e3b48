"""Who dials what: the way of a number through a plan, rule by rule, in sentences."""

from __future__ import annotations

from callwright.pbx.accounts import PbxAccount
from callwright.pbx.plan import Hunt, PbxPlan, RingGroup

__all__ = ["explain"]

_DEEPEST = 6


def explain(plan: PbxPlan, number: str) -> list[str]:
    """What a call to the number does, a sentence a line, indented by two for each step further."""
    lines: list[str] = []
    _follow(plan, number, lines, 0)
    return lines


def _follow(plan: PbxPlan, number: str, lines: list[str], depth: int) -> None:
    indent = "  " * depth
    if depth > _DEEPEST:
        lines.append(f"{indent}{number}: no further; calls are forwarded at most five times")
        return
    service = plan.service(number)
    account = next((one for one in plan.accounts if number in (one.user, one.extension)), None)
    steps: list[tuple[str, str]] = []
    if service is not None:
        lines.append(f"{indent}{number}: {_group(service)}")
        steps = [("nobody answers", service.otherwise)] if service.otherwise else []
    elif account is not None:
        lines.append(f"{indent}{number}: {_account(account)}")
        steps = _forwardings(account)
    else:
        lines.append(f"{indent}{number}: 404 Not Found, no account and no service has this number")
    for why, to in steps:
        lines.append(f"{indent}  if {why}:" if why else f"{indent}  always:")
        _follow(plan, to, lines, depth + 2)


def _group(group: RingGroup) -> str:
    named = f"group {group.name}" if group.name else "group"
    if group.hunt is Hunt.ALL:
        how = f"rings {', '.join(group.members)} at once for {group.seconds:g} s"
    else:
        how = f"rings {', '.join(group.members)} in order, {group.seconds:g} s each"
    return f"{named}, {how}"


def _account(account: PbxAccount) -> str:
    named = f"account {account.user}" + (f" ({account.display_name})" if account.display_name else "")
    if account.forwarding.always:
        return f"{named}, rings no phone"
    if account.do_not_disturb:
        busy = account.forwarding.busy
        return f"{named}, do not disturb: {'busy' if busy else '486 Busy Here'}"
    return f"{named}, rings all its phones at once"


def _forwardings(account: PbxAccount) -> list[tuple[str, str]]:
    forwarding = account.forwarding
    if forwarding.always:
        return [("", forwarding.always)]
    steps = [
        ("busy, declined or do not disturb", forwarding.busy),
        (f"there is no answer within {forwarding.after:g} s", forwarding.no_answer),
        ("no phone is reachable", forwarding.unreachable),
    ]
    return [(why, to) for why, to in steps if to]
