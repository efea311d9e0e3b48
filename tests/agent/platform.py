"""A platform of a few lines, on the other end of a broker in memory: grants, records, and fails on demand."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import msgspec

from callwright.dispatch import subject
from callwright.dispatch.broker import Message
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.agents import Heartbeat, HeartbeatAnswer, StopOrder
from callwright.dispatch.messages.live import Progress
from callwright.dispatch.messages.monitors import Monitor, Plan, PlanRequest, Reading, Readings
from callwright.dispatch.messages.protocol import Spoken
from callwright.dispatch.messages.runs import (
    Attempt,
    ChunkAnswer,
    Claim,
    ClaimAnswer,
    EvidenceChunk,
    IntentNotice,
    Job,
    Release,
    Result,
    Ticket,
    unpack_outcome,
)
from callwright.dispatch.messages.wire import Answer, decode, encode

POOL, AGENT = "lab", "a1"
Key = tuple[int, int]


class Platform:
    """`deaf` to a kind of message: it is heard and not answered. `refuses` a kind: the answer is no."""

    def __init__(self, broker: MemoryBroker, *, lease: float = 1.0) -> None:
        self.broker, self.lease = broker, lease
        self.jobs: dict[Key, Job] = {}
        self.claims: list[Key] = []
        self.intents: list[IntentNotice] = []
        self.releases: list[Release] = []
        self.results: dict[Key, dict[str, Any]] = {}
        self.result_intents: dict[Key, int] = {}
        self.files_due: dict[Key, int] = {}
        self.pieces: dict[Key, list[bytes]] = {}
        self.forgets_pieces = 0  # so many times the pieces of a result are lost before the last
        self.files: dict[tuple[Key, str], bytes] = {}
        self.whole: set[tuple[Key, str]] = set()
        self.heartbeats: list[Heartbeat] = []
        self.progress: list[Progress] = []
        self.monitors: list[Monitor] = []
        self.readings: list[Reading] = []
        self.stops: tuple[StopOrder, ...] = ()
        self.draining = False
        self.cannot_write = False  # heartbeats find no database
        self.deaf: set[str] = set()
        self.refuses: set[str] = set()
        self.temporary: list[str] = []
        self.away = 0  # so many messages find no database
        self.store_away = 0  # so many pieces of evidence find no store
        self.forgets: set[str] = set()  # files of which it never keeps a piece
        self.speaks: int | None = None  # another protocol than ours
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        for kind, act in (
            (subject.CLAIM, self._claim),
            (subject.INTENT, self._intent),
            (subject.RELEASE, self._release),
            (subject.RESULT, self._result),
            (subject.EVIDENCE, self._chunk),
            (subject.HEARTBEAT, self._heartbeat),
            (subject.PROGRESS, self._progress),
            (subject.PLAN, self._plan),
            (subject.READINGS, self._readings),
        ):
            await self.broker.subscribe(subject.of_agents(kind), self._hearing(kind, act))
        await self.broker.open_queue(POOL)

    def _hearing(self, kind: str, act: Any) -> Any:
        async def hear(message: Message) -> None:
            if kind in self.deaf:
                return
            assert subject.sender(message.subject) == AGENT
            if self.away and kind != subject.HEARTBEAT:
                self.away -= 1
                await message.respond(b"")
                return
            if self.cannot_write and kind == subject.HEARTBEAT:
                self.heartbeats.append(decode(Heartbeat, message.data))
                await message.respond(b"")
                async with self._changed:
                    self._changed.notify_all()
                return
            answer = act(message.data)
            async with self._changed:
                self._changed.notify_all()
            if answer is not None:
                await message.respond(encode(answer))

        return hear

    async def until(self, condition: Any, seconds: float = 10.0) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), seconds)

    async def queue(self, run_id: int, attempt: int = 1, **job: Any) -> Job:
        made = Job(run_id, f"s{run_id}", attempt, name="test", document="{}", **job)
        self.jobs[run_id, attempt] = made
        await self.broker.enqueue(POOL, str(run_id), encode(Ticket(run_id, f"s{run_id}", attempt)))
        return made

    # -- what it answers

    def _claim(self, data: bytes) -> ClaimAnswer:
        claim = decode(Claim, data)
        self.claims.append(key(claim))
        if subject.CLAIM in self.refuses:
            return ClaimAnswer(None, "somebody else has it")
        return ClaimAnswer(self.jobs.get(key(claim)), lease_seconds=self.lease)

    def _intent(self, data: bytes) -> Answer:
        self.intents.append(decode(IntentNotice, data))
        if subject.INTENT in self.refuses:
            return Answer(False, superseded=True, reason="another attempt has it")
        return Answer(True)

    def _release(self, data: bytes) -> Answer:
        self.releases.append(decode(Release, data))
        return Answer(True)

    def _result(self, data: bytes) -> Answer:
        result = decode(Result, data)
        if self.temporary:
            return Answer(False, reason=self.temporary.pop())
        if subject.RESULT in self.refuses:
            return Answer(False, superseded=True)
        pieces = self.pieces.setdefault(key(result), [])
        if result.part == 0:
            pieces.clear()
        if result.part != len(pieces):
            return Answer(False, reason="pieces are missing")
        pieces.append(result.outcome)
        if len(pieces) < result.parts:
            return Answer(True)
        if self.forgets_pieces:
            self.forgets_pieces -= 1
            pieces.clear()
            return Answer(False, reason="pieces are missing")
        self.results[key(result)] = json.loads(unpack_outcome(b"".join(pieces)))
        self.result_intents[key(result)] = result.intents
        self.files_due[key(result)] = result.files
        return Answer(True)

    def _chunk(self, data: bytes) -> ChunkAnswer:
        chunk = decode(EvidenceChunk, data)
        if subject.EVIDENCE in self.refuses:
            return ChunkAnswer(refused="the quota is used up")
        if self.store_away:
            self.store_away -= 1
            return ChunkAnswer(chunk.offset, later=True)
        if chunk.name in self.forgets:
            return ChunkAnswer(0)
        place = (key(chunk), chunk.name)
        have = self.files.setdefault(place, b"")
        if chunk.offset > len(have):
            return ChunkAnswer(len(have))
        self.files[place] = have[: chunk.offset] + chunk.data
        done = len(self.files[place]) == chunk.size
        if done:
            self.whole.add(place)
        return ChunkAnswer(len(self.files[place]), done=done)

    def _heartbeat(self, data: bytes) -> HeartbeatAnswer | Spoken:
        self.heartbeats.append(decode(Heartbeat, data))
        if self.speaks is not None:
            return Spoken(self.speaks)
        plan = 1 if self.monitors else None
        return HeartbeatAnswer(
            self.lease, self.stops, self.draining, ask_token="the token", plan=plan, now=time.time()
        )

    def _plan(self, data: bytes) -> Plan:
        assert decode(PlanRequest, data).after == 0
        return Plan(1, tuple(self.monitors))

    def _readings(self, data: bytes) -> Answer:
        self.readings += decode(Readings, data).readings
        return Answer(True)

    def _progress(self, data: bytes) -> None:
        self.progress.append(decode(Progress, data))


def key(attempt: Attempt) -> Key:
    return attempt.run_id, attempt.attempt


def plain(value: msgspec.Struct) -> Any:
    return msgspec.to_builtins(value)
