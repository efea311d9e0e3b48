"""What targets need of a database."""

from __future__ import annotations

from typing import Protocol

from callwright.control.targets.model import TargetRow

__all__ = ["TargetStore"]


class TargetStore(Protocol):
    async def targets(self) -> list[TargetRow]: ...
    async def add_target(self, row: TargetRow) -> TargetRow: ...
    async def remove_target(self, target_id: int, now: float) -> bool: ...
