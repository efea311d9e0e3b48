"""How a call is ended when the scenario does not: the messages of RFC 3261, made from those that went."""

from __future__ import annotations

from callwright.sip.status import reason_phrase
from callwright.sipp.message import Received

__all__ = ["ack_of", "bye_as_callee", "bye_as_caller", "cancel_of", "response_to"]


def _request(method: str, target: str, via: str, fields: list[tuple[str, str]], number: int) -> str:
    lines = [f"{method} {target} SIP/2.0", via, "Max-Forwards: 70"]
    lines += [f"{name}: {value}" for name, value in fields]
    lines += [f"CSeq: {number} {method}", "Content-Length: 0"]
    return "\r\n".join(lines) + "\r\n\r\n"


def _routes(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [("Route", value) for name, value in fields if name.lower() == "route"]


def cancel_of(invite: Received) -> str:
    """Section 9.1: of our INVITE, with its branch."""
    same = [(name, invite.first(name.lower())) for name in ("From", "To", "Call-ID")]
    via = (invite.lines("via") or "").partition("\r\n")[0]
    return _request("CANCEL", invite.target, via, [*_routes(list(invite.fields)), *same], invite.cseq[0])


def ack_of(invite: Received, response: Received, via: str) -> str:
    """Sections 13.2.2.4 and 17.1.1.3; ``via``: for a 2xx, a line with a branch of its own."""
    target = _contact(response) or invite.target if response.status < 300 else invite.target
    if response.status >= 300:
        via = (invite.lines("via") or "").partition("\r\n")[0]
    same = [("From", invite.first("from")), ("To", response.first("to")), ("Call-ID", invite.call_id)]
    return _request("ACK", target, via, [*_way(invite, response), *same], invite.cseq[0])


def bye_as_caller(invite: Received, response: Received, via: str, number: int) -> str:
    """Section 15.1.1, by who sent the INVITE."""
    same = [("From", invite.first("from")), ("To", response.first("to")), ("Call-ID", invite.call_id)]
    return _request("BYE", _contact(response) or invite.target, via, [*_way(invite, response), *same], number)


def bye_as_callee(invite: Received, ours: Received, via: str, number: int) -> str:
    """By who answered ``invite`` with ``ours``."""
    same = [("From", ours.first("to")), ("To", invite.first("from")), ("Call-ID", invite.call_id)]
    route = [("Route", value) for _, value in invite.every("record-route")]
    return _request("BYE", _contact(invite) or "sip:unknown@invalid", via, [*route, *same], number)


def response_to(request: Received, status: int, tag: str = "") -> str:
    """Section 8.2.6.2; ``tag``: of ours, where the To has none."""
    lines = [f"SIP/2.0 {status} {reason_phrase(status)}"]
    for name, value in request.fields:
        lowered = name.lower()
        if lowered in ("to", "t") and tag and ";tag=" not in value.replace(" ", "").lower():
            value = f"{value};tag={tag}"
        if lowered in ("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq"):
            lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n"


def _contact(message: Received) -> str:
    value = message.first("contact")
    return value.partition("<")[2].partition(">")[0] if "<" in value else value.partition(";")[0].strip()


def _way(invite: Received, response: Received) -> list[tuple[str, str]]:
    """The route set of a dialog that we began: what a 2xx recorded, turned round; else as we sent it."""
    if response.status >= 300:
        return _routes(list(invite.fields))
    recorded = [part.strip() for _, value in response.every("record-route") for part in value.split(",")]
    return [("Route", value) for value in reversed(recorded)]
