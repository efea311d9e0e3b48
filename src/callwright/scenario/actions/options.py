from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from callwright.scenario.actions.action import Action
from callwright.scenario.parameter import Destination, Duration, Headers, Integer, parameter


@dataclass(frozen=True, kw_only=True)
class Options(Action):
    kind: ClassVar[str] = "options"
    summary: ClassVar[str] = "Sends OPTIONS; any answer says that the peer is alive."
    ready: ClassVar[str] = "when each was answered or timed out"
    example: ClassVar[str] = "options: {to: pbx.example.com, count: 3}"
    main: ClassVar[str] = "destination"
    calls: ClassVar[bool] = True
    aliases: ClassVar = MappingProxyType(
        {"from": "party", "to": "destination", "dial_destination": "destination"}
    )

    destination: str = parameter(
        Destination(512),
        "A host, a number, a user, a SIP URI, or the name of a party.",
        default="",
        default_text="the target",
    )
    count: int = parameter(Integer(1, 10_000), "How many to send.", default=1)
    interval: float = parameter(Duration(0.01), "Time between two of them.", default=1.0)
    headers: tuple[tuple[str, str], ...] = parameter(Headers(free=True), "Extra headers.", default=())
