"""What agents ask for and hand in, answered by the database: each method one message, one answer."""

from __future__ import annotations

import asyncio
import logging

from callwright.control.agents.model import Agent, AgentState
from callwright.control.agents.service import Agents
from callwright.control.errors import (
    Conflict,
    DomainError,
    EvidenceAway,
    Invalid,
    NotFound,
    QuotaExceeded,
    StorageUnavailable,
)
from callwright.control.evidence.service import RunEvidence
from callwright.control.runs.model import Acceptance, Run
from callwright.control.runs.service import Runs
from callwright.control.runs.transitions import Phase
from callwright.control.servers.sites import Sites
from callwright.dispatch.messages.runs import (
    ChunkAnswer,
    Claim,
    ClaimAnswer,
    EvidenceChunk,
    IntentNotice,
    Job,
    JobPolicy,
    PolicyTarget,
    Release,
    Result,
    unpack_outcome,
)
from callwright.dispatch.messages.wire import Answer, BadMessage
from callwright.evidence.shown import shown_json
from callwright.fleet.placement import fits

__all__ = ["Intake", "why_stopped"]

_log = logging.getLogger(__name__)

_MOST_PIECES = 64 * 1024 * 1024
"""Octets of results of which not all pieces have come yet."""
_LARGE = 256 * 1024
"""Octets of a packed result that is read beside the event loop."""


class Intake:
    """Raises StorageUnavailable and NotNow where the agent is to ask again. `moved` holds the runs that
    changed by an agent's doing and have not ended, for who wants to tell: take them out with `take_moved`."""

    def __init__(
        self,
        runs: Runs,
        agents: Agents,
        evidence: RunEvidence,
        *,
        lease: float,
        own: tuple[tuple[str, int], ...] = (),
        sites: Sites | None = None,
    ) -> None:
        self.lease, self.own, self._sites = lease, own, sites
        self._runs, self._agents, self._evidence = runs, agents, evidence
        self._moved: list[Run] = []
        self._pieces: dict[tuple[str, int, int], dict[int, bytes]] = {}  # the one that moved last at the end

    def take_moved(self) -> list[Run]:
        moved, self._moved = self._moved, []
        return moved

    async def claim(self, agent_id: str, claim: Claim) -> ClaimAnswer:
        try:
            agent, wanted = await self._agents.get(agent_id), await self._runs.by_id(claim.run_id)
        except NotFound as error:
            return ClaimAnswer(None, error.message, self.lease)
        ours = await self._agents.may_use(agent.pool, (wanted.project_id,)) and await self._fits(
            agent, wanted
        )
        if not ours or agent.state != AgentState.ACTIVE:
            return ClaimAnswer(None, "It is not for this agent.", self.lease)
        run = await self._runs.held.claim(claim.run_id, claim.attempt, agent_id, self.lease, agent.pool)
        if run is None:
            return ClaimAnswer(
                None, "Already claimed, stopped, or superseded by a newer attempt.", self.lease
            )
        self._moved.append(run)
        try:
            return ClaimAnswer(await self._job(run), lease_seconds=self.lease)
        except Conflict as error:
            await self._runs.held.give_up(run, f"{error.message} {error.remedy}")
            return ClaimAnswer(None, error.message, self.lease)

    async def _fits(self, agent: Agent, run: Run) -> bool:
        """Whether the run asks for such a server: of a run over several of them each has one part."""
        if not run.placed:
            return agent.pool == run.pool
        if self._sites is None or not fits(run.wish, await self._sites.site(agent)):
            return False
        others = await self._runs.of_group(run)
        return not any(one.agent_id == agent.id and one.id != run.id for one in others)

    async def _job(self, run: Run) -> Job:
        job = await self._runs.held.job(run.id)
        targets = tuple(
            PolicyTarget(
                row.host, row.network, row.number, row.rate, row.concurrency, row.minutes, row.country
            )
            for row in job.targets
        )
        return Job(
            run.id,
            run.session_id,
            run.attempt,
            name=run.test_name,
            document=job.document,
            overrides=job.overrides,
            credentials=job.credentials,
            policy=JobPolicy(targets, self.own, job.embedded),
            servers=run.placement.count if run.group_id is not None else 1,
        )

    async def intent(self, agent_id: str, notice: IntentNotice) -> Answer:
        run = await self._runs.held.intend(notice.run_id, notice.attempt, agent_id)
        now = run or await self._runs.by_id(notice.run_id)
        if run is None and (now.attempt, now.agent_id, now.phase) == (
            notice.attempt,
            agent_id,
            Phase.STARTING,
        ):
            # Its lease may have ended only because we could not write: who asks is not silent.
            await self._runs.held.renew([(now.id, now.attempt)], agent_id, self.lease)
            run = await self._runs.held.intend(notice.run_id, notice.attempt, agent_id)
        if run is not None:
            self._moved.append(run)
            return Answer(True)
        held = (now.attempt, now.agent_id) == (notice.attempt, agent_id) and not now.finished
        if held and now.stop_requested_at is not None:
            return Answer(False, reason=why_stopped(now))
        return Answer(False, True, "Stopped by the platform: the run is no longer this agent's.")

    async def release(self, agent_id: str, release: Release) -> Answer:
        run = await self._runs.held.release(release.run_id, release.attempt, agent_id)
        return Answer(run is not None, superseded=run is None)

    async def result(self, agent_id: str, result: Result) -> Answer:
        """Pieces are remembered in this process until the last has come."""
        if result.parts > 1 and not self._remember(agent_id, result):
            return Answer(False, reason="earlier pieces of the result are gone")
        if result.part < result.parts - 1:
            return Answer(True)
        key = (agent_id, result.run_id, result.attempt)
        packed = b"".join(data for _, data in sorted(self._pieces.get(key, {0: result.outcome}).items()))
        try:
            if len(packed) < _LARGE:
                outcome = _fit(packed)
            else:
                outcome = await asyncio.to_thread(_fit, packed)
            acceptance = await self._runs.held.finish(
                result.session_id,
                result.attempt,
                outcome,
                agent_id=agent_id,
                intents=result.intents,
                files=result.files,
            )
        except StorageUnavailable:
            raise
        except (DomainError, BadMessage) as error:
            self._pieces.pop(key, None)
            return Answer(False, True, str(error))
        self._pieces.pop(key, None)
        if acceptance is Acceptance.SUPERSEDED:
            return Answer(False, True, "the run has ended otherwise")
        return Answer(True)

    def _remember(self, agent_id: str, result: Result) -> bool:
        """Whether all pieces up to this one are here. What waits longest goes when there is too much: its
        agent sends it again."""
        key = (agent_id, result.run_id, result.attempt)
        found = self._pieces.pop(key, {})
        if result.part == 0:
            found = {}
        if result.part > len(found) or result.part >= result.parts:
            return False
        found[result.part] = result.outcome
        self._pieces[key] = found
        while sum(len(data) for pieces in self._pieces.values() for data in pieces.values()) > _MOST_PIECES:
            oldest = next(iter(self._pieces))
            del self._pieces[oldest]
        return key in self._pieces

    async def chunk(self, agent_id: str, chunk: EvidenceChunk) -> ChunkAnswer:
        """A piece of a file of a run that this agent holds; with the last one the file is checked and listed.

        A disk that is full is a refusal, for it must not hold up the verdict; a store that is away is asked
        again later, and what comes after the verdict is taken too.
        """
        try:
            run = await self._runs.by_id(chunk.run_id)
        except NotFound:
            return ChunkAnswer(superseded=True)
        current = (run.session_id, run.attempt, run.agent_id) == (chunk.session_id, chunk.attempt, agent_id)
        if not current:
            return ChunkAnswer(superseded=True)
        place = (chunk.session_id, chunk.attempt, chunk.name)
        try:
            have = await self._evidence.write(*place, chunk.offset, chunk.data)
            if have < chunk.size:
                return ChunkAnswer(have)
            await self._evidence.complete(*place, chunk.size, chunk.sha256, chunk.media_type)
            return ChunkAnswer(chunk.size, done=True)
        except EvidenceAway:
            return ChunkAnswer(chunk.offset, later=True)
        except (QuotaExceeded, StorageUnavailable) as error:
            return ChunkAnswer(refused=error.message)
        except Invalid as error:
            _log.info("%s of run %d starts again: %s", chunk.name, chunk.run_id, error.message)
            return ChunkAnswer(0)


def why_stopped(run: Run) -> str:
    """The sentence that the agent gives as the reason of the run."""
    return run.result_description or "Stopped by the platform."


def _fit(packed: bytes) -> bytes:
    """The result as it is kept: what a peer wrote into it acts on nobody's terminal. Raises BadMessage."""
    return shown_json(unpack_outcome(packed).decode("utf-8", "replace")).encode("utf-8", "replace")
