"""What monitors need of a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from callwright.control.monitors.model import Endpoint, Planned, StoredReading, VoipTest

__all__ = ["MonitorStore"]


class MonitorStore(Protocol):
    async def endpoints(self, visible: Sequence[int] | None) -> list[Endpoint]:
        """Oldest first, cancelled ones included. ``visible``: projects, None: all."""
        ...

    async def endpoint(self, endpoint_id: int) -> Endpoint | None: ...
    async def add_endpoint(self, endpoint: Endpoint) -> Endpoint: ...
    async def replace_endpoint(self, endpoint: Endpoint) -> Endpoint | None: ...

    async def voip_tests(self, endpoint_id: int | None = None) -> list[VoipTest]:
        """Oldest first, cancelled ones included; of one endpoint or of all."""
        ...

    async def voip_test(self, voip_test_id: int) -> VoipTest | None: ...
    async def add_voip_test(self, voip_test: VoipTest) -> VoipTest:
        """Raises Conflict where the server tests the endpoint already."""
        ...

    async def replace_voip_test(self, voip_test: VoipTest) -> VoipTest | None:
        """Everything but what was measured."""
        ...

    async def planned(self, server_id: int, after: int, limit: int) -> list[Planned]:
        """What the server is to test, by the ids of VoIP tests above ``after``."""
        ...

    async def voip_tests_of(self, server_id: int, ids: Sequence[int]) -> set[int]:
        """Which of these VoIP tests are the server's, cancelled ones included."""
        ...

    async def revision(self, server_id: int) -> int | None:
        """Of the server's plan; None: it never had one."""
        ...

    async def bump(self, server_ids: Sequence[int]) -> None:
        """Their plans have changed."""
        ...

    async def add_readings(self, readings: Sequence[StoredReading]) -> None:
        """The first of a slot stays. The newest of a VoIP test becomes its latest."""
        ...

    async def readings(self, voip_test_id: int, since: float, until: float) -> list[StoredReading]:
        """Oldest first; slots from ``since`` to before ``until``."""
        ...
