from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from callwright.scenario.actions.action import Action
from callwright.scenario.parameter import Destination, Headers, Words, parameter


@dataclass(frozen=True, kw_only=True)
class Message(Action):
    kind: ClassVar[str] = "message"
    summary: ClassVar[str] = "Sends a text with MESSAGE (RFC 3428)."
    ready: ClassVar[str] = "when it was answered or timed out"
    example: ClassVar[str] = 'message: {to: bob, text: "Lunch at noon?"}'
    main: ClassVar[str] = "text"
    calls: ClassVar[bool] = True
    aliases: ClassVar = MappingProxyType(
        {"from": "party", "to": "destination", "dial_destination": "destination"}
    )

    destination: str = parameter(Destination(512), "A number, a user, a SIP URI, or the name of a party.")
    text: str = parameter(Words(1300), "What to send.")
    type: str = parameter(Words(128), "Content-Type of the text.", default="text/plain")
    headers: tuple[tuple[str, str], ...] = parameter(Headers(free=True), "Extra headers.", default=())
