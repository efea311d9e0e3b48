"""Who dials what: the way of a number through a plan, rule by rule, in sentences."""

from __future__ import annotations

from typing import assert_never

from callwright.pbx.accounts import PbxAccount
from callwright.pbx.plan import (
    VOICEMAIL,
    ConferenceRoom,
    EchoTest,
    Hunt,
    Menu,
    MessageCenter,
    ParkingSlot,
    PbxPlan,
    Pickup,
    Queue,
    RingGroup,
    Service,
)

__all__ = ["explain"]

_DEEPEST = 6


def explain(plan: PbxPlan, number: str, user: str = "") -> list[str]:
    """What a call to the number does, a sentence a line, indented by two for each step further. `user`: who
    dials it."""
    lines: list[str] = []
    _follow(plan, number, user, lines, 0)
    return lines


def _follow(plan: PbxPlan, number: str, user: str, lines: list[str], depth: int) -> None:
    indent = "  " * depth
    if depth > _DEEPEST:
        lines.append(f"{indent}{number}: no further; calls are forwarded at most five times")
        return
    service = plan.service(number)
    account = next((one for one in plan.accounts if number in (one.user, one.extension)), None)
    steps: list[tuple[str, str]] = []
    if service is not None:
        lines.append(f"{indent}{number}: {_service(service)}")
        steps = _ways_on(service)
    elif account is not None:
        lines.append(f"{indent}{number}: {_account(account)}")
        steps = _forwardings(account)
    elif (way := plan.way_out(number, user)) is not None:
        trunks = ", then ".join(way.trunks)
        lines.append(f"{indent}{number}: outbound route {way.name}, {way.rewritten(number)} by {trunks}")
    elif number.startswith(VOICEMAIL):
        lines.append(f"{indent}{number}: the caller leaves a message")
    else:
        lines.append(f"{indent}{number}: 404 Not Found, no account and no service has this number")
    for why, to in steps:
        lines.append(f"{indent}  if {why}:" if why else f"{indent}  always:")
        _follow(plan, to, account.user if account is not None else user, lines, depth + 2)


def _service(service: Service) -> str:
    match service:
        case RingGroup():
            return _group(service)
        case Menu():
            return f"{_named('menu', service.name)}, answers and waits for a key"
        case Queue():
            members = ", ".join(service.members)
            return f"{_named('queue', service.name)}, answers with music until one of {members} is free"
        case ConferenceRoom():
            pin = ", asks for its PIN" if service.pin else ""
            return f"{_named('conference', service.name)}, at most {service.most} participants{pin}"
        case EchoTest():
            return "echo, answers and sends back what it hears"
        case MessageCenter():
            return "message center, answers and plays the messages of whoever calls"
        case ParkingSlot():
            return "parking slot, connects with the call that waits here; 404 when none does"
        case Pickup():
            return "pick-up, followed by the number that rings"
        case _:
            assert_never(service)


def _named(kind: str, name: str) -> str:
    return f"{kind} {name}" if name else kind


def _ways_on(service: Service) -> list[tuple[str, str]]:
    match service:
        case Menu():
            steps = [(f"key {key}", number) for key, number in service.keys]
            return [*steps, ("no key in time", service.otherwise)] if service.otherwise else steps
        case RingGroup() | Queue() if service.otherwise:
            return [("nobody answers", service.otherwise)]
        case _:
            return []


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
        busy = account.forwarding.busy or account.mailbox
        return f"{named}, do not disturb: {'busy' if busy else '486 Busy Here'}"
    return f"{named}, rings all its phones at once"


def _forwardings(account: PbxAccount) -> list[tuple[str, str]]:
    forwarding = account.forwarding
    if forwarding.always:
        return [("", forwarding.always)]
    last = VOICEMAIL if account.mailbox else ""
    steps = [
        ("busy, declined or do not disturb", forwarding.busy or last),
        (f"there is no answer within {forwarding.after:g} s", forwarding.no_answer or last),
        ("no phone is reachable", forwarding.unreachable or ("" if forwarding.no_answer else last)),
    ]
    return [(why, to) for why, to in steps if to]
