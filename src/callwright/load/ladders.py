"""The messages of a bounded number of calls, from all loops of a load. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from callwright.evidence.redaction import Redactor
from callwright.evidence.shown import one_line, shown_octets
from callwright.generator.loop import CallNoted, FailedLadder
from callwright.generator.names import OUTCOMES

LONGEST = 16_384
"""Octets of one message that are told."""


def class_of(call: CallNoted) -> str:
    """The class of failures of a call: its final status, or how else it ended."""
    outcome = OUTCOMES[call.outcome]
    return str(call.code) if outcome == "status" else outcome


def chosen(ladders: Iterable[FailedLadder], each: int) -> list[FailedLadder]:
    """Of what several loops have kept: the first `each` of every class in order of time, then the slowest."""
    found, counted = [], Counter[str]()
    ordered = sorted(ladders, key=lambda ladder: ladder.call.at)
    for ladder in ordered:
        kind = class_of(ladder.call)
        if kind != "answered" and counted[kind] < each:
            counted[kind] += 1
            found.append(ladder)
    answered = [ladder for ladder in ordered if class_of(ladder.call) == "answered"]
    return found + sorted(answered, key=lambda ladder: ladder.call.setup)[-1:]


def told(ladder: FailedLadder, redactor: Redactor) -> dict[str, Any]:
    """A call with its messages, secrets masked. `at_ms` is since the first of them."""
    began = ladder.messages[0].at if ladder.messages else 0.0
    return told_call(ladder.call) | {
        "why": "slowest" if class_of(ladder.call) == "answered" else "failed",
        "whole": ladder.whole,
        "messages": [
            {
                "at_ms": round((message.at - began) * 1000, 3),
                "direction": "sent" if message.sent else "received",
                "summary": one_line(text.partition("\n")[0]),
                "text": text,
            }
            for message in ladder.messages
            for text in (shown_octets(redactor.message(message.data[:LONGEST])),)
        ],
    }


def told_call(call: CallNoted) -> dict[str, Any]:
    """A call in some numbers."""
    return {
        "at": round(call.at, 3),
        "number": call.number,
        "account": call.account,
        "outcome": class_of(call),
        "sip_code": call.code or None,
        "pdd_ms": round(call.pdd / 1000, 3) if call.pdd else None,
        "setup_ms": round(call.setup / 1000, 3) if call.setup else None,
        "mos": round(call.mos / 1000, 3) if call.mos >= 0 else None,
    }
