"""What an agent remembers of each monitor, to tell a change: of its quality, its way, its records in DNS."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.probe.names import compared
from callwright.probe.path import fingerprint
from callwright.probe.result import Hop, PathTaken, ProbeResult, State
from callwright.quality.bands import band

TRACED = frozenset({"ping", "udp", "sip"})
"""Categories that tell a numeric address, to which a path can be traced."""
_AGAIN = 300.0
"""Seconds between two looks for one monitor, since routers answer few."""


@dataclass(slots=True)
class _Known:
    quality: str = ""
    looked_at: float | None = None
    usual: str | None = None  # of the way while all was well
    records: tuple[str, ...] | None = None  # of the name, the time before


class Ways:
    """What is known of each monitor. `now` is monotonic."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def to_look(self, monitor_id: int, result: ProbeResult, now: float) -> bool:
        """Whether the way of this measurement is to be traced: the first one's, so that the usual way is
        known, and then where the band of its quality is another than the one before."""
        known = self._known.setdefault(monitor_id, _Known())
        quality, before = _quality(result), known.quality
        known.quality = quality
        if quality == before or (known.looked_at is not None and now - known.looked_at < _AGAIN):
            return False
        known.looked_at = now
        return True

    def taken(self, monitor_id: int, result: ProbeResult, hops: tuple[Hop, ...]) -> PathTaken:
        """Compared with the usual way, which a good measurement sets."""
        known = self._known.setdefault(monitor_id, _Known())
        found = fingerprint(hops)
        changed = None if found is None or known.usual is None else found != known.usual
        if found is not None and result.state is State.DONE and known.usual is None:
            known.usual = found
        return PathTaken(found, changed, hops)

    def named(self, monitor_id: int, result: ProbeResult) -> ProbeResult:
        """A measurement of DNS, compared with the one before."""
        known = self._known.setdefault(monitor_id, _Known())
        found = result if known.records is None else compared(result, known.records)
        if result.state is State.DONE:
            known.records = result.answers
        return found

    def keep(self, monitors: set[int]) -> None:
        """Others are forgotten."""
        self._known = {monitor: known for monitor, known in self._known.items() if monitor in monitors}


def _quality(result: ProbeResult) -> str:
    if result.state is not State.DONE:
        return result.state.value
    return band(result.mos).name if result.mos is not None else State.DONE.value
