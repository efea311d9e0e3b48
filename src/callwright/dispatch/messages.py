"""What platform and agents say to one another, as values; `encode` and `decode` put them on the wire.

JSON, so that a person with a NATS client can read along; only chunks of evidence, which are octets, go as
MessagePack. Unknown keys are ignored and new ones have defaults, so a platform and an agent may differ by a
version.

The way of a run: a `Ticket` lies in the queue of a pool; the agent that takes it sends a `Claim`; the answer
holds the `Job`, with its secrets, which therefore never lie in the broker's store. Before the first INVITE an
`IntentNotice` is answered; the `Result` goes, then chunks of evidence, each repeated until it is answered. An
answer says that the database has it; an empty one, that it cannot be asked now.
"""

from __future__ import annotations

import zlib
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

CHUNK_BYTES = 512 * 1024
MAX_OUTCOME = 256 * 1024 * 1024
"""Octets of a run.json that goes to the platform."""


class BadMessage(ValueError):
    """Octets that are not the message that was expected; the text is a sentence."""


class NotNow(BadMessage):
    """An empty answer: the database is away, ask again."""


class Attempt(msgspec.Struct, frozen=True):
    """Which run, and which attempt at it: what fences late answers."""

    run_id: int
    session_id: str
    attempt: int


class Ticket(Attempt, frozen=True):
    """In the queue of a pool: there is a run to be done. It promises nothing; the claim decides."""


class Claim(Attempt, frozen=True):
    """May I run this?"""


class PolicyTarget(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of the targets; see `policy.destination.Target`."""

    host: str | None = None
    network: str | None = None
    number: str | None = None
    rate: float | None = None
    concurrency: int | None = None
    minutes: float | None = None
    country: str | None = None


class JobPolicy(msgspec.Struct, frozen=True):
    """Where the run may go, decided again at the agent when names have addresses.

    `own`: (numeric host, port) of PBXs of the platform. `embedded`: see `policy.destination.Rules`.
    """

    targets: tuple[PolicyTarget, ...] = ()
    own: tuple[tuple[str, int], ...] = ()
    embedded: bool = True


class Job(Attempt, frozen=True, kw_only=True):
    """All that an agent needs to do a run. Holds secrets: never logged, never stored.

    `document`: the text of the test. `overrides`: address to value. `credentials`: name of an account to its
    fields (user, password, domain …), as the documents name them. `name`: of the test, for people.
    """

    name: str
    document: str
    overrides: dict[str, Any] = {}
    credentials: dict[str, dict[str, str]] = {}
    policy: JobPolicy = JobPolicy()
    record: bool = True

    def __repr__(self) -> str:
        return f"Job(run_id={self.run_id}, attempt={self.attempt}, name={self.name!r}, …)"


class ClaimAnswer(msgspec.Struct, frozen=True):
    """`job` None: not yours, `reason` says why (taken, stopped, superseded)."""

    job: Job | None = None
    reason: str = ""
    lease_seconds: float = 15.0


class IntentNotice(Attempt, frozen=True, kw_only=True):
    """The first INVITE of this run is about to leave. Unanswered or refused, it does not leave."""

    call: str = ""
    destination: str = ""


class Release(Attempt, frozen=True, kw_only=True):
    """I give it back: of this attempt no INVITE has left and none will. `reason` is a sentence."""

    reason: str = ""


class Answer(msgspec.Struct, frozen=True):
    """`accepted`: the database has it. Otherwise `reason`; `superseded`: it is too late, do not repeat it."""

    accepted: bool
    superseded: bool = False
    reason: str = ""


class HeldRun(msgspec.Struct, frozen=True):
    """A run that an agent has: `phase` is running, or spooled (done, waiting to be acknowledged)."""

    run_id: int
    attempt: int
    phase: str = "running"


class SpoolState(msgspec.Struct, frozen=True):
    """What waits at an agent for the platform: `octets` of evidence, of `limit` (0: none), of so many `runs`;
    `dropped`: files that went for want of room since the agent began."""

    octets: int = 0
    limit: int = 0
    runs: int = 0
    dropped: int = 0


class Heartbeat(msgspec.Struct, frozen=True):
    """An agent is alive and holds these runs. `capacity` and `used` count calls at once."""

    name: str = ""
    version: str = ""
    capacity: int = 0
    used: int = 0
    codecs: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    runs: tuple[HeldRun, ...] = ()
    spool: SpoolState | None = None


class StopOrder(msgspec.Struct, frozen=True):
    """`reason` ends a sentence: "by alice", "by the kill switch"."""

    run_id: int
    attempt: int
    reason: str


class HeartbeatAnswer(msgspec.Struct, frozen=True):
    """Leases are renewed for all runs that are not among `stop`. `revoked`: this agent is one no more.
    `killed`: the kill switch is engaged, by whom ends a sentence; empty: it is not. `ask_token`: what the
    agent shows when it asks over HTTP; empty: as before."""

    lease_seconds: float = 15.0
    stop: tuple[StopOrder, ...] = ()
    draining: bool = False
    revoked: bool = False
    killed: str = ""
    ask_token: str = ""

    def __repr__(self) -> str:
        return f"HeartbeatAnswer(stop={self.stop!r}, killed={self.killed!r}, …)"


class Ask(msgspec.Struct, frozen=True):
    """The second way beside the broker, over HTTP: what may I do? `runs` are those that are carried out now:
    of all others it has no calls any more. Answered by a HeartbeatAnswer."""

    agent_id: str
    token: str
    runs: tuple[HeldRun, ...] = ()

    def __repr__(self) -> str:
        return f"Ask(agent_id={self.agent_id!r}, runs={self.runs!r}, …)"


class Health(msgspec.Struct, frozen=True):
    """What the keeper misses, in words; nothing when all is well."""

    missing: tuple[str, ...] = ()


class Word(msgspec.Struct, frozen=True):
    """What the supervisor tells its embedded agent, a line of JSON each. `killed` as in a HeartbeatAnswer."""

    killed: str = ""


class Control(msgspec.Struct, frozen=True):
    """Platform to one agent, at once; what is lost of it comes again with the next heartbeat's answer."""

    stop: tuple[StopOrder, ...] = ()
    draining: bool | None = None
    revoked: bool = False


class Kill(msgspec.Struct, frozen=True):
    reason: str = "by the kill switch"


class Result(Attempt, frozen=True, kw_only=True):
    """`outcome`: the document run.json, packed (see `pack_outcome`), or piece `part` of `parts` of it, at
    most `CHUNK_BYTES` each. `intents`: INVITEs that were written down. `files`: how many files of evidence
    follow.

    A piece is accepted when it is remembered, the last one when the database has the result. A platform that
    lost earlier pieces does not accept the last; the agent then sends all of them again."""

    outcome: bytes
    intents: int = 0
    files: int = 0
    part: int = 0
    parts: int = 1


class EvidenceChunk(Attempt, frozen=True, kw_only=True):
    """A piece of a file of the run's folder. `sha256` and `size` are the whole file's; `offset` the piece's
    place in it. An empty file is one empty chunk. `patient`: the agent knows the answer `later`; one that
    does not would give the file up, so it is left without an answer."""

    name: str
    media_type: str
    size: int
    sha256: str
    offset: int
    data: bytes
    patient: bool = False


class ChunkAnswer(msgspec.Struct, frozen=True):
    """Go on at `next_offset` (which may be behind, after a restart); `done`: the file is whole and stored.

    `refused`: this file is not wanted (quota, a bad name); the run goes on without it. `superseded`: nothing
    of this attempt is wanted any more. `later`: it cannot be taken now; it is to be kept, and brought again.
    """

    next_offset: int = 0
    done: bool = False
    refused: str = ""
    superseded: bool = False
    later: bool = False


class Progress(msgspec.Struct, frozen=True):
    """What happens now: lossy, for people who watch. `at`: seconds since the run began.

    `kind`: state {call, party, state, code} · registration {id, registered} · metrics {calls: […]} ·
    phase {phase} · note {text}.
    """

    session_id: str
    run_id: int
    attempt: int
    at: float
    kind: str
    data: dict[str, Any] = {}


class SoFarRequest(msgspec.Struct, frozen=True):
    """What was told of this run until now? The answer is a `SoFarAnswer`."""

    session_id: str


class SoFarAnswer(msgspec.Struct, frozen=True):
    """`events` as they were told, oldest first; the newest of them where all would be too much."""

    events: tuple[Progress, ...] = ()


class RunsChanged(msgspec.Struct, frozen=True):
    run_id: int | None = None


class AccountRequest(msgspec.Struct, frozen=True):
    """Make the broker's account for a new agent. `revoke`: take it away instead."""

    agent_id: str
    pool: str
    revoke: bool = False


class AccountAnswer(msgspec.Struct, frozen=True):
    """`reason` is a sentence when there is no account. `ca`, `websocket_ca`: PEM texts to trust at the two
    addresses; None: the system's authorities."""

    nats_url: str = ""
    websocket_url: str = ""
    websocket_ca: str | None = None
    user: str = ""
    password: str = ""
    ca: str | None = None
    reason: str = ""

    def __repr__(self) -> str:
        return f"AccountAnswer(user={self.user!r}, reason={self.reason!r}, …)"


_json_encoder = msgspec.json.Encoder()
_pack_encoder = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    if isinstance(message, EvidenceChunk | Result):
        return _pack_encoder.encode(message)
    return _json_encoder.encode(message)


def decode(kind: type[T], data: bytes) -> T:
    """Raises BadMessage with what is wrong, NotNow when there is nothing at all."""
    if not data:
        raise NotNow("there is no answer now; it is to be asked again")
    try:
        if kind in (EvidenceChunk, Result):
            return msgspec.msgpack.decode(data, type=kind)
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadMessage(f"this is no {kind.__name__}: {error}") from None


def pack_outcome(outcome: dict[str, Any]) -> bytes:
    """A run.json of an hour has per-second figures of many calls: it shrinks to a tenth. Beyond `MAX_OUTCOME`
    the figures of each second are left to the evidence, and a warning says so; calls and their MOS stay."""
    document = _json_encoder.encode(outcome)
    if len(document) > MAX_OUTCOME:
        sentence = "The figures of each second are only in run.json: there were too many for the result."
        calls = [{**call, "seconds": []} for call in outcome.get("calls", ())]
        warnings = [*outcome.get("warnings", ()), sentence]
        document = _json_encoder.encode({**outcome, "calls": calls, "warnings": warnings})
    return zlib.compress(document, 3)


def result_pieces(attempt: Attempt, packed: bytes, *, intents: int, files: int) -> list[Result]:
    """The messages that carry a packed outcome, in order."""
    parts = max(1, -(-len(packed) // CHUNK_BYTES))
    return [
        Result(
            attempt.run_id,
            attempt.session_id,
            attempt.attempt,
            outcome=packed[part * CHUNK_BYTES : (part + 1) * CHUNK_BYTES],
            intents=intents,
            files=files,
            part=part,
            parts=parts,
        )
        for part in range(parts)
    ]


def unpack_outcome(packed: bytes) -> bytes:
    """The octets of run.json. Raises BadMessage; bounded, whatever the octets claim."""
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MAX_OUTCOME)
    except zlib.error as error:
        raise BadMessage(f"the outcome cannot be unpacked: {error}") from None
    if unpacker.unconsumed_tail:
        raise BadMessage(f"the outcome is larger than {MAX_OUTCOME:,} octets")
    return data
