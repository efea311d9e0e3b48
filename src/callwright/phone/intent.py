"""What is said before an INVITE leaves, to who must write it down first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from callwright.policy.destination import Target


@dataclass(frozen=True, slots=True)
class Intent:
    """`call`: its identifier in the run; `destination`: the URI that is about to be called."""

    call: str
    party: str | None
    destination: str


class Withheld(Exception):
    """The INVITE must not leave; the text is a sentence, and the call fails with it as our own fault."""


class Capped(Withheld):
    """A cap of the target is reached: a refusal of policy, not our own fault."""


class Gate(Protocol):
    """Caps of targets: asked before a call is begun at one, and before any request that opens something."""

    async def enter(self, target: Target) -> Callable[[], None]:
        """Waits for the call's turn; the result is called when the call has ended. Raises Capped."""
        ...

    async def send(self, target: Target) -> None:
        """Waits for the turn of a request that begins no call, or of a call's next INVITE. Raises Capped."""
        ...

    def count(self, target: Target) -> None:
        """A request that waits for nothing, such as a refresh."""
        ...


OnIntent = Callable[[Intent], Awaitable[None]]
"""Awaited before each first INVITE to an address. Raises Withheld."""
