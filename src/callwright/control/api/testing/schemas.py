"""What the chapter of tests and runs answers with. The names and their order are the contract's."""

from __future__ import annotations

from typing import Any

import msgspec

from callwright.control.cdrs.reconciliation import Reconciled


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of a test. `value`: its present value; `given`: whether the document has it."""

    address: str
    name: str
    type: str
    default: Any
    value: Any
    required: bool
    given: bool
    unit: str | None
    minimum: float | None
    maximum: float | None
    choices: list[str]
    help: str
    action: str | None


class TestRow(msgspec.Struct, frozen=True, kw_only=True):
    __test__ = False  # pytest: this is no test of ours

    id: int
    name: str
    title: str
    testcase_name: str
    description: str
    project_id: int
    project_name: str
    tags: list[str]
    version: int
    created_at: str
    updated_at: str
    parameters: list[Parameter]


class TestDetail(TestRow, frozen=True, kw_only=True):
    document: str


class Version(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    author: str
    created_at: str


class Testcase(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the catalogue with a full example."""

    __test__ = False

    name: str
    title: str
    description: str
    tags: list[str]
    parameters: list[Parameter]
    document: str


class Started(msgspec.Struct, frozen=True, kw_only=True):
    report_url: str
    session_id: str
    status_url: str


class StartedRuns(Started, frozen=True, kw_only=True):
    """The first run's links, as always. `runs`: all of them, if a project or a `placement.count` began
    several."""

    runs: list[Started] | msgspec.UnsetType = msgspec.UNSET


class RunStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A run. `tags` is a JSON text. `phase` says more than `status`, which is running, passed or failed."""

    agentpool_name: str
    has_passed: int
    id: int
    is_failed: int
    is_finished: int
    project_id: int
    project_name: str
    result_description: str
    session_id: str
    started_at: str | None
    status: str
    session_status: str
    stopped_at: str | None
    tags: str
    test_id: int
    test_name: str
    testcase_name: str
    phase: str


class RunAnswer(msgspec.Struct, frozen=True, kw_only=True):
    run: RunStatus
    status: int = 200


class RunRow(RunStatus, frozen=True, kw_only=True):
    verdict: str | None
    blame: str | None
    attempt: int
    created_at: str
    started_by: str
    report_url: str
    status_url: str


class EvidenceFile(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    size: int
    media_type: str
    sha256: str
    url: str


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A queued run: how many runs are ahead of it, and in how many seconds it will probably begin,
    estimated from recent runs of its pool. `seconds` null: nothing of that pool was measured, or no agent
    carries anything out."""

    ahead: int
    seconds: float | None


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """One of the runs over several servers. `began_at`: unix seconds by the platform's clock, exact to
    `error_ms`; null until its result is there."""

    session_id: str
    agent_name: str | None
    status: str
    phase: str
    began_at: float | None
    error_ms: float | None


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """Runs over several servers. `spread_ms`: from the first beginning to the last, exact to `error_ms`; null
    until all have ended that began."""

    servers: int
    spread_ms: float | None
    error_ms: float | None
    runs: list[Beginning]


class RunDetail(RunRow, frozen=True, kw_only=True):
    """`waiting` and `waiting_for` (a sentence): null once an agent has it. `conditions` and `calls` as in
    run.json; empty until the run has ended. `evidence_due`: how many files the agent announced with its
    result; they follow the verdict. `agent_name`: of the agent that has it or had it; null: none yet, or one
    that is gone. `together`: the runs over several servers that it is one of; null: it is alone."""

    agent_name: str | None
    waiting: Waiting | None
    waiting_for: str | None
    kiosk_url: str | None
    kiosk_expires_at: str | None
    parameters: dict[str, Any]
    conditions: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    registrations: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    phases: list[dict[str, Any]]
    warnings: list[str]
    evidence: list[EvidenceFile]
    evidence_due: int | None = None
    together: Together | None = None


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """`messages` in the order in which they were sent and received."""

    session_id: str
    messages: list[dict[str, Any]]


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """``recorded`` legs have a record; ``differing`` ones differ from it, or have none."""

    calls: int
    recorded: int
    differing: int
    legs: list[Reconciled]


class CallMetrics(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    party: str | None
    direction: str
    mos: float | None
    band: str | None
    pdd_ms: float | None
    setup_ms: float | None
    duration_ms: float | None
    sent: dict[str, Any]
    received: dict[str, Any]
    causes: dict[str, Any]
    jitter_buffers: list[dict[str, Any]]
    seconds: list[dict[str, Any]]


class Kiosk(msgspec.Struct, frozen=True, kw_only=True):
    """`expires_at`: when the link expires; null with a link: never."""

    session_id: str
    kiosk_url: str | None
    expires_at: str | None = None


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """`project`: only runs of it may use the pool; null: runs of all projects."""

    id: int
    name: str
    project: str | None
    agents: int
    alive: int
    capacity: int
    busy: int


class FleetServer(msgspec.Struct, frozen=True, kw_only=True):
    """A server of a pool that has not stopped. `name` is its key, `label` what people call it. `busy`: calls
    that it has, of `capacity`; null before its agent was heard. `error`: why its state is error."""

    name: str
    label: str
    provider: str
    state: str
    since: str
    region: str
    size: str
    address: str
    capacity: int
    busy: int | None
    version: str
    heard_at: str | None
    error: str


class FleetReason(msgspec.Struct, frozen=True, kw_only=True):
    """What the planner decided, and why. `cause`: what moved it; `bound`: what kept it from more, or null."""

    at: str
    sentence: str
    cause: str
    bound: str | None


class FleetPool(msgspec.Struct, frozen=True, kw_only=True):
    """`capacity`: calls at once on one server; `places`: on all agents alive, of which `busy` have a call.
    `removed`: its servers finish their calls, and then it goes. `reasons`: the newest first."""

    id: int
    name: str
    project: str | None
    provider: str
    region: str
    image: str
    sizes: list[str]
    minimum: int
    maximum: int
    capacity: int
    buffer: int
    min_age_seconds: float
    idle_seconds: float
    drain_seconds: float
    labels: dict[str, str]
    max_created_per_hour: int | None
    prices: dict[str, float]
    removed: bool
    agents: int
    alive: int
    places: int
    busy: int
    servers: list[FleetServer]
    reasons: list[FleetReason]


class AgentSpool(msgspec.Struct, frozen=True, kw_only=True):
    """What waits at an agent for the platform: bytes of evidence, of so many runs (`limit_bytes` 0: no
    limit). `dropped_files`: files that the limit cost since the agent began."""

    waiting_bytes: int
    limit_bytes: int
    waiting_runs: int
    dropped_files: int


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """`protocol`: the number of the messages that it speaks; null before it has said so. With another number
    than the platform's it does no work until one of both is upgraded."""

    id: str
    name: str
    pool: str
    state: str
    alive: bool
    version: str
    capacity: int
    busy: int
    codecs: list[str]
    labels: dict[str, str]
    enrolled_at: str
    last_seen_at: str | None
    spool: AgentSpool
    protocol: int | None


class EnrolmentToken(msgspec.Struct, frozen=True, kw_only=True):
    """`token` is shown once, in the answer that makes it."""

    id: int
    pool: str
    created_at: str
    expires_at: str
    used_at: str | None
    agent_id: str | None
    token: str | None = None


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent connects with. Shown once. `callout`: the broker asks the platform at each login."""

    agent_id: str
    name: str
    pool: str
    nats_url: str
    websocket_url: str
    user: str
    password: str
    callout: bool
    ca: str | None
    websocket_ca: str | None
    lease_seconds: float
    capacity: int
    labels: dict[str, str]


class StopOrder(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` is a sentence."""

    run_id: int
    attempt: int
    reason: str


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent may do. `killed`: who engaged the kill switch, as the end of a sentence; empty: it is
    released."""

    lease_seconds: float
    stop: list[StopOrder]
    draining: bool
    revoked: bool
    killed: str


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A destination that an administrator permits; null means no restriction."""

    id: int
    host: str | None
    network: str | None
    number: str | None
    country: str | None
    rate: float | None
    concurrency: int | None
    minutes: float | None
    note: str
    created_by: str
    created_at: str


class KillSwitch(msgspec.Struct, frozen=True, kw_only=True):
    """`stopped`: number of runs whose end is confirmed. `waiting`: number of runs that must end and whose
    end is not confirmed yet. `silent`: names of agents that were not heard since the switch was engaged and
    may have calls up; each ends them by itself after four leases without an answer."""

    engaged: bool
    by: str | None
    reason: str | None
    engaged_at: str | None
    stopped: int = 0
    waiting: int = 0
    silent: list[str] = []
