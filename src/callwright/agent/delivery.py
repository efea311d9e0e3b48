"""Brings what a run left to the platform: the result, then its files, each piece until it is answered."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path
from typing import Any, TypeVar

from callwright.agent.spool import Entry
from callwright.agent.waiting import Waiting
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError
from callwright.dispatch.messages.runs import (
    Attempt,
    ChunkAnswer,
    EvidenceChunk,
    Release,
    pack_outcome,
    result_pieces,
)
from callwright.dispatch.messages.wire import CHUNK_BYTES, Answer, BadMessage, decode, encode

_log = logging.getLogger(__name__)
T = TypeVar("T")

_ANSWER_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_AT_ONCE = 4
_MOST_STEPS_BACK = 10
_MEDIA_TYPES = {
    ".html": "text/html",
    ".json": "application/json",
    ".xml": "application/xml",
    ".pcap": "application/vnd.tcpdump.pcap",
    ".pcapng": "application/octet-stream",
    ".wav": "audio/wav",
}


class _Later(Exception):
    """The platform cannot take it now."""


class _Stuck(Exception):
    """The platform takes pieces of it, and never has it whole."""


class Delivery:
    """`longest_pause` limits how long it waits between two tries, in seconds."""

    def __init__(
        self,
        broker: Broker,
        agent_id: str,
        waiting: Waiting | None = None,
        *,
        longest_pause: float = _LONGEST_PAUSE,
    ) -> None:
        self._broker, self._agent_id, self._longest_pause = broker, agent_id, longest_pause
        self._waiting = waiting or Waiting()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._asking = asyncio.Lock()

    async def deliver(self, entry: Entry, outcome: dict[str, Any]) -> None:
        """Returns when the platform has it all, or wants none of it. The result goes first and waits for no
        file. Where the store of evidence is away, the files wait here until it is back, as long as there is
        room for them."""
        await self._waiting.add(entry)
        try:
            await self._deliver(entry, outcome)
        finally:
            self._waiting.remove(entry)

    async def _deliver(self, entry: Entry, outcome: dict[str, Any]) -> None:
        if not await self._send_result(entry, outcome):
            return
        async with self._turns:
            kept = not await self._send_files(entry)
        pause = _FIRST_PAUSE
        while kept:
            _log.info("the files of run %d wait for the store of evidence", entry.attempt.run_id)
            await asyncio.sleep(pause)
            pause = min(self._longest_pause, 2 * pause)
            async with self._asking:  # one asks for all that wait
                kept = not await self._send_files(entry)

    async def _send_files(self, entry: Entry) -> bool:
        """False: the platform cannot take all of them now."""
        stuck = False
        for name, path in entry.files():
            try:
                wanted = await self._send_file(entry.attempt, name, path)
            except OSError as error:
                if path.exists():  # else it was dropped, and that was told
                    _log.warning("%s of run %d cannot be read: %s", name, entry.attempt.run_id, error)
                continue
            except _Stuck:
                stuck = True
                continue
            except _Later:
                return False
            if not wanted:
                break
            self._waiting.sent(entry, entry.mark_sent(name))
        return not stuck

    async def release(self, attempt: Attempt, reason: str) -> None:
        """Give an attempt back that has placed nothing; returns when the platform knows."""
        message = Release(attempt.run_id, attempt.session_id, attempt.attempt, reason=reason)
        await self._ask(subject.RELEASE, encode(message), Answer)

    async def _send_file(self, attempt: Attempt, name: str, path: Path) -> bool:
        """False: nothing of this attempt is wanted any more. Raises _Later, _Stuck."""
        loop = asyncio.get_running_loop()
        size, digest = await loop.run_in_executor(None, _measure, path)
        offset, steps_back = 0, 0
        while True:
            data = await loop.run_in_executor(None, _read, path, offset)
            chunk = EvidenceChunk(
                attempt.run_id,
                attempt.session_id,
                attempt.attempt,
                name=name,
                media_type=_MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
                size=size,
                sha256=digest,
                offset=offset,
                data=data,
            )
            answer = await self._ask(subject.EVIDENCE, encode(chunk), ChunkAnswer)
            if answer.superseded:
                return False
            if answer.later:
                raise _Later
            if answer.refused:
                _log.warning("%s of run %d is not kept: %s", name, attempt.run_id, answer.refused)
                return True
            if answer.done:
                return True
            if answer.next_offset <= offset:
                # The platform lost what it had of it. That may happen, but not for ever: others first.
                steps_back += 1
                if steps_back > _MOST_STEPS_BACK:
                    _log.info("%s of run %d is not taken now", name, attempt.run_id)
                    raise _Stuck
            offset = min(max(0, answer.next_offset), size)

    async def _send_result(self, entry: Entry, outcome: dict[str, Any]) -> bool:
        """False: the platform wants nothing of this attempt any more."""
        attempt, loop = entry.attempt, asyncio.get_running_loop()
        dropped = entry.dropped()
        if dropped:
            sentence = f"{len(dropped)} files of evidence were dropped: too much waited at the agent"
            outcome = {**outcome, "warnings": [*outcome.get("warnings", ()), sentence]}
        files = len(await loop.run_in_executor(None, entry.files))
        packed = await loop.run_in_executor(None, pack_outcome, outcome)
        pieces = result_pieces(attempt, packed, intents=entry.intents, files=files)
        pause = _FIRST_PAUSE
        while True:
            for piece in pieces:
                answer = await self._ask(subject.RESULT, encode(piece), Answer)
                if not answer.accepted:
                    break
            if answer.superseded:
                _log.info("the result of run %d came too late: %s", attempt.run_id, answer.reason)
                return False
            if answer.accepted:
                return True
            _log.warning("the result of run %d was not taken: %s", attempt.run_id, answer.reason)
            await asyncio.sleep(pause)
            pause = min(self._longest_pause, 2 * pause)

    async def _ask(self, kind: str, data: bytes, answer: type[T]) -> T:
        """Until there is an answer."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return decode(
                    answer,
                    await self._broker.request(subject.of_agent(self._agent_id, kind), data, _ANSWER_SECONDS),
                )
            except (BrokerError, BadMessage) as error:
                _log.debug("%s was not answered: %s", kind, error)
            await asyncio.sleep(pause)
            pause = min(self._longest_pause, 2 * pause)


def _measure(path: Path) -> tuple[int, str]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()


def _read(path: Path, offset: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(CHUNK_BYTES)
