from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from callwright.scenario.actions.action import Action
from callwright.scenario.parameter import Duration, parameter


@dataclass(frozen=True, kw_only=True)
class Wait(Action):
    kind: ClassVar[str] = "wait"
    summary: ClassVar[str] = "Waits; calls and registrations of earlier steps go on."
    ready: ClassVar[str] = "when the time is over"
    example: ClassVar[str] = "wait: 2 s"
    main: ClassVar[str] = "seconds"
    aliases: ClassVar = MappingProxyType({"for": "seconds"})

    seconds: float = parameter(Duration(0), "How long.")
