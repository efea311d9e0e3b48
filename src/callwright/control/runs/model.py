"""A run and what belongs to it. Times are unix seconds (float)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from callwright.control.runs.transitions import FINAL, Phase
from callwright.control.targets.model import TargetRow, TargetUse
from callwright.fleet.placement import Wish

__all__ = [
    "KILL_SWITCH",
    "Acceptance",
    "Bucket",
    "Ending",
    "Evidence",
    "Given",
    "Job",
    "KillStanding",
    "KillSwitch",
    "NewRun",
    "Phase",
    "PoolShare",
    "Run",
    "RunDetail",
    "RunFilter",
    "StoredDetail",
    "Waiting",
]


class Run(msgspec.Struct, frozen=True, gc=False):  # no field can lead back to it
    """A row of the list. ``attempt`` counts from 1. ``placement``: of which servers an agent may take it; its
    pool is "" where any will do, and ``pool`` then is the one in which it is expected, or was begun.
    ``group_id``: the session id of the first of the runs over several servers that it is one of."""

    id: int
    session_id: str
    test_id: int
    test_name: str
    testcase_name: str  # the document's title
    project_id: int
    project_name: str
    pool: str
    phase: str
    verdict: str | None
    blame: str | None
    result_description: str
    attempt: int
    agent_id: str | None
    lease_until: float | None
    intent_at: float | None  # since when an INVITE may have left
    stop_requested_at: float | None
    tags: tuple[str, ...]
    created_at: float
    started_at: float | None
    stopped_at: float | None
    started_by: str  # user name
    kiosk: int | None  # serial of the public link; None: there is none, or it was revoked
    mos: float | None  # the lowest of its calls, as received; None when one that was to hear heard nothing
    kiosk_until: float | None = None  # when the public link ends; None: never
    files_due: int | None = None  # files of evidence that its agent announced with the result
    pdd_ms: float | None = None  # the longest of its calls: INVITE to the first ringing or answer
    placement: Wish = Wish()
    group_id: str | None = None
    begun_at: float | None = None  # of one of several: by the platform's clock, as its agent measured it
    begun_error_ms: float | None = None  # how wrong that may be

    @property
    def placed(self) -> bool:
        """Whether servers are chosen for it, rather than any agent of its pool taking it."""
        return self.placement.chooses

    @property
    def wish(self) -> Wish:
        """What is asked of the one server that carries it out."""
        return msgspec.structs.replace(self.placement, count=1)

    @property
    def finished(self) -> bool:
        return self.phase in FINAL

    @property
    def status(self) -> str:
        """``running``, ``passed`` or ``failed``: all that the original API knows."""
        if self.phase == Phase.PASSED:
            return "passed"
        return "failed" if self.phase in FINAL else "running"


class RunDetail(msgspec.Struct, frozen=True):
    """What is too large for a list. ``overrides`` and ``shown``: address to value; secrets
    are in the first only. ``outcome`` is the document run.json, None until there is one.
    ``parameters`` as in Test. ``sealed``: the overrides do not open with our key, and are empty.
    """

    run_id: int
    test_version: int
    document: str
    overrides: dict[str, Any]
    shown: dict[str, Any]
    outcome: str | None
    sealed: bool = False


class RunFilter(msgspec.Struct, frozen=True):
    """None: any. ``status``: running, passed, failed. ``search``: anywhere in the test's name or the reason,
    or a whole Call-ID or number. ``since``/``until``: unix seconds of ``created_at``."""

    status: str | None = None
    phase: str | None = None
    project_id: int | None = None
    test_id: int | None = None
    test_name: str | None = None
    pool: str | None = None
    tag: str | None = None
    blame: str | None = None
    search: str | None = None
    since: float | None = None
    until: float | None = None
    agent_id: str | None = None


class Acceptance(StrEnum):
    """The answer to an agent's result. Either of the first two: it may forget the result."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"  # it was accepted before
    SUPERSEDED = "superseded"  # of an older attempt, or of a run that has ended otherwise: changes nothing


class Evidence(msgspec.Struct, frozen=True):
    """One file. ``path``: below the evidence folder."""

    run_id: int
    attempt: int
    name: str
    size: int
    sha256: str
    media_type: str
    path: str
    created_at: float


class NewRun(msgspec.Struct, frozen=True):
    """What a run is born with. ``deadline_at``: by when an agent must have taken it. ``weight``: calls at
    once that it may hold."""

    session_id: str
    test_id: int
    test_name: str
    testcase_name: str
    project_id: int
    project_name: str
    pool: str
    tags: tuple[str, ...]
    created_at: float
    started_by: str
    kiosk: int | None
    deadline_at: float
    max_seconds: float
    test_version: int
    sealed_overrides: str
    shown: dict[str, Any]
    usage: tuple[TargetUse, ...] = ()
    kiosk_until: float | None = None
    weight: int = 1
    placement: Wish = Wish()
    group_id: str | None = None


class StoredDetail(msgspec.Struct, frozen=True):
    """A RunDetail as it lies in the database: overrides sealed. ``document``: that version's of the test."""

    run_id: int
    test_version: int
    document: str
    sealed_overrides: str
    shown: dict[str, Any]
    outcome: str | None
    max_seconds: float


class Given(msgspec.Struct, frozen=True):
    """What a run was told to do: the version of its test, and `shown` as in RunDetail."""

    test_version: int
    shown: dict[str, Any]


class Ending(msgspec.Struct, frozen=True):
    """How a run ends. ``outcome`` None: the platform ended it, there is no document of the agent."""

    phase: str
    verdict: str
    blame: str | None
    reason: str
    mos: float | None = None
    outcome: str | None = None
    files_due: int | None = None
    failed_at: tuple[str, ...] = ()
    """Addresses (`step.1.0`) of the actions whose calls or requests failed."""
    pdd_ms: float | None = None
    words: tuple[str, ...] = ()
    """What the run is found by: Call-IDs and numbers, as `find_words` gives them."""
    begun_at: float | None = None
    begun_error_ms: float | None = None


class Waiting(msgspec.Struct, frozen=True):
    """``ahead``: runs that come first as things are now. ``seconds``: until it begins, as long as runs of its
    pool lasted of late; None where none was carried out yet, or none is now."""

    ahead: int
    seconds: float | None


class PoolShare(msgspec.Struct, frozen=True):
    """Runs of one project in a pool: those that wait, of these the ones that are older than the one in
    question, and those that agents have."""

    project_id: int
    waiting: int
    older: int
    held: int


class Bucket(msgspec.Struct, frozen=True):
    """Runs of one stretch of time. ``start``: unix seconds; ``mos``: the mean of the runs that have one."""

    start: float
    phase: str
    count: int
    mos: float | None


#: The setting that holds the switch.
KILL_SWITCH = "kill_switch"


class KillSwitch(msgspec.Struct, frozen=True):
    """``canceled``: runs that waited and were canceled by it; ``told``: ids of those whose agents were to end
    them."""

    engaged_at: float
    by: str
    reason: str = ""
    canceled: int = 0
    told: tuple[int, ...] = ()

    @property
    def to_agents(self) -> str:
        """The end of a sentence."""
        return f"by the kill switch of {self.by}"


class KillStanding(msgspec.Struct, frozen=True):
    """What came of the switch. ``stopped``: runs of which it is confirmed that they have ended; ``waiting``:
    those of which it is not; ``silent``: names of agents that were not heard since and may have calls."""

    switch: KillSwitch | None = None
    stopped: int = 0
    waiting: int = 0
    silent: tuple[str, ...] = ()


class Job(msgspec.Struct, frozen=True):
    """All that an agent needs to carry out one attempt. Holds secrets: never logged, never stored.

    ``overrides``: address to text; ``credentials``: name to the fields of an account, as
    scenario.document.load takes them; ``targets``: policy rows.
    """

    run: Run
    document: str
    overrides: dict[str, str]
    credentials: dict[str, dict[str, str]]
    targets: list[TargetRow]
    embedded: bool
    max_seconds: float
