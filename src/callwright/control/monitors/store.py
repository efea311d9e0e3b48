"""What monitors need of a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from callwright.control.monitors.history import Tally
from callwright.control.monitors.model import Endpoint, Latest, Planned, StoredReading, VoipTest

__all__ = ["MonitorStore"]


class MonitorStore(Protocol):
    def transaction(self) -> AbstractAsyncContextManager[object]: ...

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

    async def latest(self, visible: Sequence[int] | None) -> list[Latest]:
        """Of every VoIP test that goes on, by endpoint. ``visible``: projects, None: all."""
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
        """The first of a slot stays. The newest of a VoIP test becomes its latest, and their hours are to be
        rolled up."""
        ...

    async def readings(self, voip_test_id: int, since: float, until: float) -> list[StoredReading]:
        """Oldest first; slots from ``since`` to before ``until``."""
        ...

    async def changes(self, voip_test_ids: Sequence[int], since: float, until: float) -> list[StoredReading]:
        """Slots whose path or answers were others than the usual ones, oldest first."""
        ...

    async def due(self, before: int, limit: int) -> list[tuple[int, int]]:
        """VoIP test and hour (unix seconds of its begin) to be rolled up, of those that began before."""
        ...

    async def due_of(self, voip_test_id: int, since: int, until: int) -> list[int]:
        """Its hours in this time that are not rolled up yet."""
        ...

    async def take_due(self, voip_test_id: int, hour: int) -> bool:
        """False: another took it. To be called in the transaction that puts the tallies."""
        ...

    async def tallies(
        self, voip_test_id: int, seconds: int, since: int, until: int, figure: str | None = None
    ) -> dict[int, Tally]:
        """Of this resolution, by the unix seconds at which they begin. ``figure``: the only one whose spread
        is read."""
        ...

    async def put_tallies(self, voip_test_id: int, seconds: int, tallies: Mapping[int, Tally]) -> None: ...

    async def forget_readings(self, before: int, minutes_before: int) -> int:
        """How many rows went: readings of slots before, and tallies of minutes."""
        ...
