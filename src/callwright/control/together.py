"""The runs over several servers that were started together, and how far apart they began."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.control.runs.model import Run
from callwright.control.services import Services

__all__ = ["WITHIN_MS", "Part", "Together", "together", "together_of"]

WITHIN_MS = 50.0
"""What is held to be one moment."""


@dataclass(frozen=True, slots=True)
class Part:
    """``agent``: its name; None: none has it yet, or one that is gone."""

    run: Run
    agent: str | None


@dataclass(frozen=True, slots=True)
class Together:
    """``spread_ms``: from the first beginning to the last; None until all have told theirs, with their
    results. ``error_ms``: how wrong that may be at most."""

    parts: tuple[Part, ...]
    spread_ms: float | None
    error_ms: float | None

    @property
    def sentence(self) -> str:
        count = len(self.parts)
        if self.spread_ms is None or self.error_ms is None:
            told = sum(part.run.begun_at is not None for part in self.parts)
            return f"{count} servers, of which {told} told so far when they began: each does with its result."
        kept = "" if self.spread_ms <= WITHIN_MS else f", which is more than {WITHIN_MS:g} ms"
        return f"{count} servers began within {self.spread_ms:.1f} ms, ± {self.error_ms:.1f} ms{kept}."


def together_of(parts: tuple[Part, ...]) -> Together:
    begun = [part.run.begun_at for part in parts if part.run.begun_at is not None]
    errors = sorted(part.run.begun_error_ms for part in parts if part.run.begun_error_ms is not None)
    if len(begun) < len(parts) or len(errors) < len(parts):
        return Together(parts, None, None)
    return Together(parts, 1000 * (max(begun) - min(begun)), sum(errors[-2:]))


async def together(services: Services, run: Run) -> Together | None:
    """None: it is carried out by one server."""
    runs = await services.runs.of_group(run)
    if not runs:
        return None
    names = {agent.id: agent.name for agent in await services.agents.list(revoked=True)}
    return together_of(tuple(Part(one, names.get(one.agent_id or "")) for one in runs))
