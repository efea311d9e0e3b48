"""What the agents of living runs have told until now, for those who begin to watch late: lossy, bounded."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["SoFar"]

_MOST_SECONDS = 2_000
_ONLY_THE_LAST = frozenset({"states", "ladder", "phase"})
"""Kinds of which each message holds all that the ones before it held."""
_MOST_OCTETS = 64 * 1024 * 1024


@dataclass(slots=True)
class _Run:
    latest: dict[str, bytes] = field(default_factory=dict)
    others: deque[bytes] = field(default_factory=lambda: deque(maxlen=_MOST_SECONDS))

    @property
    def octets(self) -> int:
        return sum(map(len, self.latest.values())) + sum(map(len, self.others))


class SoFar:
    """Messages of progress by session id, as they came."""

    def __init__(self, most_octets: int = _MOST_OCTETS) -> None:
        self._most_octets = most_octets
        self._runs: dict[str, _Run] = {}  # the one that was heard last at the end
        self._octets = 0

    def keep(self, session_id: str, kind: str, data: bytes) -> None:
        run = self._runs.pop(session_id, None) or _Run()
        self._runs[session_id] = run
        if kind in _ONLY_THE_LAST:
            self._octets -= len(run.latest.get(kind, b""))
            run.latest[kind] = data
        else:
            if len(run.others) == _MOST_SECONDS:
                self._octets -= len(run.others[0])
            run.others.append(data)
        self._octets += len(data)
        while self._octets > self._most_octets and len(self._runs) > 1:
            self.forget(next(iter(self._runs)))

    def told(self, session_id: str) -> list[bytes]:
        """In an order that can be taken one after the other."""
        run = self._runs.get(session_id)
        return [*run.latest.values(), *run.others] if run is not None else []

    def forget(self, session_id: str) -> None:
        run = self._runs.pop(session_id, None)
        self._octets -= run.octets if run is not None else 0

    def keep_only(self, session_ids: set[str]) -> None:
        for session_id in [known for known in self._runs if known not in session_ids]:
            self.forget(session_id)
