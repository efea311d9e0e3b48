"""The ramp of a load: a rate of calls that goes evenly up or down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from callwright.scenario.parameter import Duration, ParameterType, Rate, Words
from callwright.scenario.source import Block, Node, Refusal, Text, quoted


@dataclass(frozen=True)
class Climb:
    """A rate that goes evenly from `start` to `end` calls a second in so many `seconds`."""

    start: float
    end: float
    seconds: float

    @property
    def calls(self) -> int:
        """How many it makes."""
        return max(1, round((self.start + self.end) / 2 * self.seconds))


@dataclass(frozen=True)
class Ramp(ParameterType):
    """``10:200:60`` (FROM:TO:TIME), or a block ``{from: 10, to: 200, over: 60 s}``."""

    name: ClassVar[str] = "ramp"

    def read(self, node: Node) -> Climb:
        if isinstance(node, Block):
            given = {key.value: value for key, value in node.entries}
            if set(given) != {"from", "to", "over"}:
                raise Refusal("A ramp has from, to and over. Write {from: 10, to: 200, over: 60 s}.")
            parts = [given[key] for key in ("from", "to", "over")]
        else:
            words = Words().read(node).split(":")
            if len(words) != 3:
                raise Refusal(
                    f"{quoted(':'.join(words))} is not a ramp. Write FROM:TO:TIME, such as 10:200:60 s.",
                    key=":".join(words),
                )
            parts = [Text(word.strip(), node.mark) for word in words]
        low = Rate(minimum=0)
        climb = Climb(low.read(parts[0]), low.read(parts[1]), Duration(0.1).read(parts[2]))
        if not climb.start and not climb.end:
            raise Refusal("A ramp from 0 to 0 calls a second places no call.")
        return climb

    def show(self, value: Any) -> str:
        return "" if value is None else f"{value.start:g}:{value.end:g}:{value.seconds:g} s"

    def plain(self, value: Any) -> Any:
        return self.show(value) or None

    def permitted(self) -> str:
        return "FROM:TO:TIME"
