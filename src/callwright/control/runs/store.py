"""What runs need of a database and of a place for files. Each method that changes is atomic and durable."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from callwright.control.runs.demand import Demand
from callwright.control.runs.figures import EndedRuns, LivePhase
from callwright.control.runs.model import (
    Bucket,
    Ending,
    Evidence,
    Given,
    NewRun,
    PoolShare,
    Run,
    RunFilter,
    StoredDetail,
)
from callwright.control.targets.model import TargetRow, TargetUse

__all__ = ["EvidenceStore", "RunStore"]


class RunStore(Protocol):
    on_end: list[Callable[[Sequence[Run]], Awaitable[None]]]
    """Awaited with runs that end, in the transaction that ends them."""

    async def add(
        self,
        runs: Sequence[NewRun],
        *,
        user_id: int,
        key: str | None,
        fingerprint: str,
        reserve: Callable[[], Awaitable[None]] | None = None,
    ) -> tuple[list[Run], bool]:
        """(the runs, whether they are new). With an idempotency ``key`` that this user has sent before: the
        runs of then. ``reserve`` is awaited in the transaction before new runs are inserted; what it raises
        leaves nothing. Raises IdempotencyConflict when the key came with another ``fingerprint``."""
        ...

    async def earlier(self, user_id: int, key: str, fingerprint: str) -> list[Run] | None:
        """The runs that this user has started with this key; None: none yet. Raises as ``add``."""
        ...

    async def by_session(self, session_id: str) -> Run | None: ...
    async def by_id(self, run_id: int) -> Run | None: ...
    async def of_group(self, group_id: str) -> list[Run]:
        """The runs over several servers that were started together, the first one first."""
        ...

    async def detail(self, run_id: int) -> StoredDetail | None: ...
    async def given(self, run_id: int) -> Given | None:
        """The small part of `detail`."""
        ...

    async def page(
        self,
        filter_: RunFilter,
        before: int | None,
        limit: int,
        visible: tuple[int, ...] | None = None,
    ) -> list[Run]:
        """Newest first, those whose id is below ``before``; ``visible``: of these projects alone."""
        ...

    async def live(self) -> list[Run]:
        """All that have not ended, oldest first."""
        ...

    async def count_live(self) -> int: ...
    async def demands(self) -> list[Demand]:
        """Those that have not ended, counted by pool, project, phase and agent."""
        ...

    async def reserve_queue(self, project_id: int) -> int | None:
        """How many runs of the project may wait, None without a limit of its own; a limit is nobody else's
        to reserve until the transaction ends."""
        ...

    async def count_queued(self, project_id: int) -> int: ...
    async def count_held(self, project_id: int) -> int:
        """Runs of the project that an agent has."""
        ...

    async def running_limits(self) -> dict[int, int]:
        """Of the projects that have one: how many runs agents may have at once."""
        ...

    async def reserve_running(self, project_id: int) -> int | None:
        """That limit of one project, nobody else's to reserve until the transaction ends."""
        ...

    async def pool_owner(self, pool: str) -> int | None:
        """The project that alone may use it; None: all, or there is no such pool."""
        ...

    async def shares(self, pool: str, run_id: int) -> list[PoolShare]: ...
    async def lasted(self, pool: str) -> float | None:
        """Seconds that the last runs of the pool lasted, their mean."""
        ...

    async def previous_pass(self, run: Run) -> Run | None:
        """Of the same test in the same project, with the overrides of this run or with none."""
        ...

    async def judged_before(self, run: Run, limit: int) -> list[str]:
        """Phases of the runs of the same test before this one that passed or failed, newest first."""
        ...

    async def counts(self, since: float) -> list[tuple[int, int]]:
        """(project id, runs made since then)."""
        ...

    async def history(
        self, since: float, seconds: float, visible: tuple[int, ...] | None = None
    ) -> list[Bucket]: ...

    # for a monitoring system, see runs/figures.py

    async def live_figures(self) -> list[LivePhase]: ...
    async def ended_figures(self, after: int, upto: int) -> list[EndedRuns]: ...
    async def newest_ids(self, since: float) -> tuple[int | None, int]: ...

    # compare-and-set: the run as it is afterwards, None when it was not in the right state. One that ends
    # before an INVITE may have left gives back the minutes that it reserved.

    async def claim(
        self,
        run_id: int,
        attempt: int,
        agent_id: str,
        now: float,
        lease_until: float,
        grace: float,
        pool: str | None = None,
    ) -> Run | None:
        """``pool``: of the agent, where the run may go to any."""
        ...

    async def intend(self, run_id: int, attempt: int, agent_id: str, now: float) -> Run | None: ...
    async def release(
        self, run_id: int, attempt: int, agent_id: str, now: float, patience: float
    ) -> Run | None: ...

    async def finish(
        self, run_id: int, attempt: int, agent_id: str, ending: Ending, now: float
    ) -> Run | None: ...
    async def finished_before(self, run_id: int, attempt: int, agent_id: str) -> bool:
        """Whether the result of this attempt was taken already."""
        ...

    async def stop(self, run_ids: Sequence[int] | None, now: float, reason: str) -> list[Run]:
        """Cancels the queued, notes the wish at those an agent has; None: every run. What changed."""
        ...

    async def renew(self, pairs: Iterable[tuple[int, int]], agent_id: str, until: float) -> set[int]:
        """(run id, attempt) of an agent's heartbeat; the run ids that are still its own."""
        ...

    async def expired(self, now: float) -> list[Run]:
        """Live runs whose lease or deadline is over."""
        ...

    async def requeue(self, run: Run, now: float, patience: float) -> Run | None: ...
    async def end(self, run: Run, ending: Ending, now: float) -> Run | None:
        """Ends it as it was seen in ``run``: same phase, attempt and lease."""
        ...

    async def extend_leases(self, until: float) -> None:
        """No lease ends before ``until``."""
        ...

    async def shift_times(self, seconds: float) -> None:
        """Of all that live, since the calendar was set: what happened and what is due move with it."""
        ...

    async def set_kiosk(self, run_id: int, serial: int | None, until: float | None = None) -> Run | None: ...
    async def setting(self, name: str) -> str | None: ...
    async def set_setting(self, name: str, value: str | None) -> None: ...

    # evidence and targets

    async def add_evidence(self, entry: Evidence) -> None: ...
    async def evidence(self, run_id: int, attempt: int) -> list[Evidence]: ...
    async def evidence_size(self) -> int: ...
    async def oldest_evidence(self, limit: int) -> list[tuple[int, str, float, int]]:
        """(run id, session id, created_at, octets) of ended runs that have evidence, oldest first."""
        ...

    async def forget_evidence(self, run_ids: Sequence[int]) -> None: ...
    async def aged_runs(self, now: float, limit: int) -> list[tuple[int, str]]:
        """(run id, session id) of ended runs that their project keeps no longer."""
        ...

    async def forget_runs(self, run_ids: Sequence[int]) -> None:
        """With all that belongs to them in the database."""
        ...

    async def forget_idempotency(self, before: float) -> None: ...

    async def targets(self) -> list[TargetRow]: ...
    async def reserve_target(self, target_id: int) -> TargetRow | None:
        """The target, nobody else's to reserve until the transaction ends; None when it was removed."""
        ...

    async def target_usage(self, target_id: int, day: int) -> TargetUse:
        """Calls at once and requests a second of live runs; minutes of all that were started on this day (of
        UTC, counted from the epoch)."""
        ...

    async def count_minutes(self, target_id: int, day: int, minutes: float) -> None: ...


class EvidenceStore(Protocol):
    """Files of runs, written in chunks, complete or absent. ``name``: ``call.pcap``, ``audio/alice.wav``."""

    async def write(self, session_id: str, attempt: int, name: str, offset: int, data: bytes) -> int:
        """Octets that are there now; writing the same chunk again is harmless. Raises Invalid for a name that
        leads elsewhere or a gap, QuotaExceeded, StorageUnavailable."""
        ...

    async def complete(
        self, session_id: str, attempt: int, name: str, size: int, sha256: str, media_type: str
    ) -> str:
        """The path by which it is read, durable. Raises Invalid when size or checksum differ,
        StorageUnavailable."""
        ...

    def read(self, path: str, first: int = 0, last: int | None = None) -> AsyncGenerator[bytes, None]:
        """A complete file from `first` to `last` (counted in), in pieces. Raises NotFound and
        StorageUnavailable, the former with the first piece alone."""
        ...

    def folder(
        self, session_id: str, attempt: int, names: Sequence[str]
    ) -> AbstractAsyncContextManager[Path]:
        """A folder of this machine with these files under their names, to be left unchanged. One that is
        absent is absent there."""
        ...

    async def remove(self, session_id: str) -> None: ...
    async def check(self) -> None:
        """Raises StorageUnavailable with a sentence and a remedy when nothing could be kept."""
        ...

    async def close(self) -> None: ...
