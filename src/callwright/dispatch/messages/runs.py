"""A run between platform and agent, from its ticket to the last file of its evidence."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from callwright.dispatch.messages.wire import CHUNK_BYTES, BadMessage, Octets, encode_json

MAX_OUTCOME = 256 * 1024 * 1024
"""Octets of a run.json that goes to the platform."""


class Attempt(msgspec.Struct, frozen=True):
    """Which run, and which attempt at it: what fences late answers."""

    run_id: int
    session_id: str
    attempt: int


class Ticket(Attempt, frozen=True, tag_field="kind", tag="run"):
    """In the queue of a pool: there is a run to be done. It promises nothing; the claim decides. On the wire
    `kind` says what is to be done, so that a queue may hold other work."""


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
    `servers`: so many carry it out and begin at one moment; with more than one it says Ready before it does.
    """

    name: str
    document: str
    overrides: dict[str, Any] = {}
    credentials: dict[str, dict[str, str]] = {}
    policy: JobPolicy = JobPolicy()
    record: bool = True
    servers: int = 1

    def __repr__(self) -> str:
        return f"Job(run_id={self.run_id}, attempt={self.attempt}, name={self.name!r}, …)"


class ClaimAnswer(msgspec.Struct, frozen=True):
    """`job` None: not yours, `reason` says why (taken, stopped, superseded)."""

    job: Job | None = None
    reason: str = ""
    lease_seconds: float = 15.0


class Ready(Attempt, frozen=True):
    """All is prepared of a run over several servers; may it begin? Asked again until a moment is named."""


class ReadyAnswer(msgspec.Struct, frozen=True):
    """`heard` and `said`: when the question came and when the answer left, unix seconds at the platform.
    `start_at`: the moment at which all begin, by the same clock; None: others are not ready. `refused`: it is
    not to begin, a sentence."""

    heard: float
    said: float
    start_at: float | None = None
    refused: str = ""


class IntentNotice(Attempt, frozen=True, kw_only=True):
    """The first INVITE of this run is about to leave. Unanswered or refused, it does not leave."""

    call: str = ""
    destination: str = ""


class Release(Attempt, frozen=True, kw_only=True):
    """I give it back: of this attempt no INVITE has left and none will. `reason` is a sentence."""

    reason: str = ""


class Result(Attempt, Octets, frozen=True, kw_only=True):
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


class EvidenceChunk(Attempt, Octets, frozen=True, kw_only=True):
    """A piece of a file of the run's folder. `sha256` and `size` are the whole file's; `offset` the piece's
    place in it. An empty file is one empty chunk."""

    name: str
    media_type: str
    size: int
    sha256: str
    offset: int
    data: bytes


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


def pack_outcome(outcome: dict[str, Any]) -> bytes:
    """A run.json of an hour has per-second figures of many calls: it shrinks to a tenth. Beyond `MAX_OUTCOME`
    the figures of each second are left to the evidence, and a warning says so; calls and their MOS stay."""
    document = encode_json(outcome)
    if len(document) > MAX_OUTCOME:
        sentence = "The figures of each second are only in run.json: there were too many for the result."
        calls = [{**call, "seconds": []} for call in outcome.get("calls", ())]
        warnings = [*outcome.get("warnings", ()), sentence]
        document = encode_json({**outcome, "calls": calls, "warnings": warnings})
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
