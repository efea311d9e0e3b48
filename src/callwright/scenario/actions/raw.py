from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from callwright.scenario.actions.action import Action
from callwright.scenario.octets import Octets
from callwright.scenario.parameter import Destination, Duration, parameter


@dataclass(frozen=True, kw_only=True)
class Raw(Action):
    kind: ClassVar[str] = "raw"
    summary: ClassVar[str] = (
        "Sends a message as it is written, right or wrong, and waits for the first final answer to it."
    )
    ready: ClassVar[str] = "when it was answered or `timeout` is over"
    example: ClassVar[str] = 'raw: {to: bob, text: "OPTIONS [target] SIP/2.0", expect: failure = timeout}'
    main: ClassVar[str] = "text"
    calls: ClassVar[bool] = True
    aliases: ClassVar = MappingProxyType({"from": "party", "to": "destination"})

    destination: str = parameter(
        Destination(512), "Where it goes: a number, a user, a SIP URI, or the name of a party."
    )
    text: bytes = parameter(
        Octets(60_000),
        "The message. `[branch]`, `[call_id]`, `[tag]`, `[local]`, `[target]`, `[transport]`, `[user]` and "
        "`[len]` are filled in.",
    )
    timeout: float = parameter(Duration(0.1, 60), "How long an answer is waited for.", default=4.0)
