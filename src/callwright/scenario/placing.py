"""Where a platform is to carry a test out: a pool of servers, and which of its servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from callwright.fleet.placement import MOST_SERVERS, Wish
from callwright.scenario.parameter import Integer, ParameterType, Words, parameter
from callwright.scenario.source import Block, Items, Node, Refusal, Text, quoted

__all__ = ["HEAD_BLOCKS", "Agentpool", "Labels", "Placement", "wish_of"]


@dataclass(frozen=True)
class Labels(ParameterType):
    """Labels of a server: ``{rack: a1}``, or ``rack=a1, floor=2``."""

    name: ClassVar[str] = "labels"
    MOST: ClassVar[int] = 32
    LONGEST: ClassVar[int] = 255

    def read(self, node: Node) -> dict[str, str]:
        if isinstance(node, Block):
            pairs: list[tuple[str, str, Node]] = [
                (key.value, self._word(value), key) for key, value in node.entries
            ]
        else:
            items = node.items if isinstance(node, Items) else (node,)
            words = [(part.strip(), item) for item in items for part in self._word(item).split(",")]
            pairs = [self._pair(word, item) for word, item in words if word]
        if len(pairs) > self.MOST:
            raise Refusal(f"There are {len(pairs)} labels; at most {self.MOST} are permitted.")
        for key, value, at in pairs:
            if not 0 < len(key) <= self.LONGEST or len(value) > self.LONGEST:
                message = f"A label is KEY=VALUE, of at most {self.LONGEST} characters each."
                raise Refusal(message, mark=at.mark, key=key)
        return {key: value for key, value, _ in pairs}

    @staticmethod
    def _word(node: Node) -> str:
        if not isinstance(node, Text):
            raise Refusal("A label is a text: KEY=VALUE.", mark=node.mark)
        return node.value.strip()

    @staticmethod
    def _pair(word: str, node: Node) -> tuple[str, str, Node]:
        key, equals, value = word.partition("=")
        if not equals:
            raise Refusal(f"{quoted(word)} is not a label. Write KEY=VALUE.", mark=node.mark, key=word)
        return key.strip(), value.strip(), node

    def show(self, value: Any) -> str:
        return ", ".join(f"{key}={text}" for key, text in (value or {}).items())

    def plain(self, value: Any) -> Any:
        return self.show(value)


@dataclass(frozen=True, kw_only=True)
class Agentpool:
    """The block ``agentpool``."""

    main: ClassVar[str] = "name"
    name: str = parameter(
        Words(63),
        "The pool of servers that carries the test out.",
        default="",
        default_text="`default`, or the one with servers that fit the placement",
    )


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The block ``placement``."""

    main: ClassVar[str] = ""
    region: str = parameter(Words(255), "Servers of this region only.", default="")
    labels: Mapping[str, str] = parameter(
        Labels(), "Servers with all these labels only: `{rack: a1}` or `rack=a1, floor=2`.", default=None
    )
    near: str = parameter(
        Words(255),
        "Servers within 500 km of a place (`Berlin`), in a country (`DE`), in a network (`AS3320`) or with a "
        "tag; `+` joins what must hold together: `Berlin+AS3320`.",
        default="",
    )
    count: int = parameter(
        Integer(1, MOST_SERVERS),
        "So many different servers carry the test out, each a run of its own, and begin at one moment.",
        default=1,
    )


HEAD_BLOCKS: Mapping[str, type[Agentpool | Placement]] = {"agentpool": Agentpool, "placement": Placement}
"""Blocks of the document whose parameters have addresses: ``placement.region``."""


def wish_of(pool: str, placement: Placement) -> Wish:
    return Wish(pool, placement.region, dict(placement.labels or {}), placement.near, placement.count)
