"""What every kind of action shares: an address, a party, its expectations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from callwright.scenario.actions.engine import Unfit
from callwright.scenario.condition import Condition
from callwright.scenario.parameter import PartyName, parameter

NO_ALIASES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing a party does. A subclass a kind, in a file of its own; its parameters are its fields."""

    kind: ClassVar[str]
    summary: ClassVar[str]  # one sentence for the reference
    ready: ClassVar[str]  # when the next step may begin, for the reference
    example: ClassVar[str]
    main: ClassVar[str]  # the parameter meant by a scalar: ``wait: 2 s``
    aliases: ClassVar[Mapping[str, str]] = NO_ALIASES  # other names people type
    calls: ClassVar[bool] = False  # by default done by the first party rather than the last

    address: str = ""  # "step.1.0"
    expect: tuple[Condition, ...] = ()
    party: str = parameter(PartyName(max_length=64), "Who does it.", default="", default_text="see Parties")

    @property
    def expects_failure(self) -> bool:
        return any(condition.expects_failure for condition in self.expect)

    @property
    def is_load(self) -> bool:
        """Whether the load engine does it, not a softphone."""
        return False

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values with the defaults that depend on others."""
        return dict(values)

    def unfit(self, given: Collection[str]) -> list[Unfit]:
        """Parameters that do not go together; `given` are the names that were written."""
        return []
