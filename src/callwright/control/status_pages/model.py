"""A page that its link opens to anybody. Times are unix seconds (float)."""

from __future__ import annotations

import msgspec

from callwright.control.monitors.standing import Standing

__all__ = ["Day", "PublicEndpoint", "StatusPage", "View"]


class StatusPage(msgspec.Struct, frozen=True, kw_only=True):
    """``addresses``: whether it shows where the endpoints are. ``serial``: of its link; with another one the
    link is another."""

    id: int
    project_id: int
    name: str
    endpoint_ids: tuple[int, ...]
    addresses: bool
    serial: int
    created_by: str
    created_at: float
    deleted_at: float | None


class Day(msgspec.Struct, frozen=True):
    """``at``: its begin, UTC. ``answered`` of ``tested`` slots: what was not measured counts for nothing."""

    at: float
    answered: int
    tested: int


class PublicEndpoint(msgspec.Struct, frozen=True):
    """What strangers may know. ``address`` empty: the page does not show it. ``since``: of the oldest open
    incident. ``measured_at``: when its newest test was due. ``bad`` of ``servers`` find it bad now."""

    id: int
    name: str
    address: str
    standing: Standing
    mos: float | None
    bad: int
    servers: int
    since: float | None
    measured_at: float | None
    days: tuple[Day, ...]

    @property
    def answered_pct(self) -> float | None:
        tested = sum(one.tested for one in self.days)
        return 100 * sum(one.answered for one in self.days) / tested if tested else None


class View(msgspec.Struct, frozen=True):
    """``at``: when it was made."""

    name: str
    at: float
    endpoints: tuple[PublicEndpoint, ...]

    @property
    def standing(self) -> Standing:
        """The worst; nothing to see is no data."""
        return min(
            (one.standing for one in self.endpoints), key=list(Standing).index, default=Standing.NO_DATA
        )
