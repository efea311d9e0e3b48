"""The kinds of actions, one file each. A new kind is a file and a line here."""

from __future__ import annotations

from callwright.scenario.actions.accept import Accept
from callwright.scenario.actions.action import Action
from callwright.scenario.actions.call import Call
from callwright.scenario.actions.message import Message
from callwright.scenario.actions.options import Options
from callwright.scenario.actions.publish import Publish
from callwright.scenario.actions.raw import Raw
from callwright.scenario.actions.register import Register
from callwright.scenario.actions.subscribe import Subscribe
from callwright.scenario.actions.transfer import AttendedTransfer, Transfer
from callwright.scenario.actions.wait import Wait

KINDS: dict[str, type[Action]] = {
    kind.kind: kind
    for kind in (
        Register,
        Accept,
        Call,
        Transfer,
        AttendedTransfer,
        Wait,
        Options,
        Message,
        Subscribe,
        Publish,
        Raw,
    )
}

__all__ = [
    "KINDS",
    "Accept",
    "Action",
    "AttendedTransfer",
    "Call",
    "Message",
    "Options",
    "Publish",
    "Raw",
    "Register",
    "Subscribe",
    "Transfer",
    "Wait",
]
