"""What alerts need of a database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from callwright.alerting.watch import Watch
from callwright.control.alerts.model import Alert, Incident

__all__ = ["AlertStore"]


class AlertStore(Protocol):
    def transaction(self) -> AbstractAsyncContextManager[object]: ...

    async def alerts(self, visible: Sequence[int] | None) -> list[Alert]:
        """Oldest first, cancelled ones included. ``visible``: projects, None: all."""
        ...

    async def alert(self, alert_id: int) -> Alert | None: ...
    async def ids_of(self, project_id: int) -> set[int]:
        """Of the project's alerts that are not cancelled."""
        ...

    async def add_alert(self, alert: Alert) -> Alert: ...
    async def replace_alert(self, alert: Alert) -> Alert | None: ...

    async def watches(self) -> dict[tuple[int, int], Watch]:
        """By alert and endpoint."""
        ...

    async def put_watch(self, alert_id: int, endpoint_id: int, watch: Watch) -> None: ...
    async def remove_watch(self, alert_id: int, endpoint_id: int) -> None: ...

    async def incidents(
        self, visible: Sequence[int] | None, *, open_only: bool = False, limit: int = 1_000
    ) -> list[Incident]:
        """Newest first."""
        ...

    async def incident(self, incident_id: int) -> Incident | None: ...
    async def add_incident(self, incident: Incident) -> Incident: ...
    async def replace_incident(self, incident: Incident) -> Incident | None: ...
