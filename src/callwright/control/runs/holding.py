"""Runs in the hands of agents: claimed, begun, renewed, finished, given back, lost."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterable, Sequence

import msgspec

from callwright.control.audit.service import Audit
from callwright.control.credentials.vault import Vault
from callwright.control.errors import Conflict, WroteLate
from callwright.control.runs.model import Acceptance, Ending, Job, Run
from callwright.control.runs.reading import read_beside, require_opened
from callwright.control.runs.records import CredentialSource, RunRecords
from callwright.control.runs.result import read_outcome, weighed
from callwright.control.runs.settings import RunSettings
from callwright.control.runs.store import RunStore
from callwright.control.runs.transitions import Phase
from callwright.net.clock import Clock

__all__ = ["HeldRuns"]

_LARGE_OUTCOME = 1024 * 1024  # octets of a run.json that is read beside the event loop
_PROMPT = 2.0  # seconds in which the database writes; after more, what was decided is looked at again
_RENEWALS = 3  # writings of one heartbeat, while each takes so long that its lease is nearly over
_CLOCK_STEP = 2.0  # seconds by which calendar and interval may differ between two looks
_CANCELED = Phase.CANCELED.value


class HeldRuns:
    """What the keeper does with runs on behalf of agents. Nothing here asks for rights: an agent has proved
    who it is, and a run is moved only by the agent and attempt that hold it. ``tell`` hears every run that
    ended or was queued again, after the commit."""

    def __init__(
        self,
        records: RunRecords,
        store: RunStore,
        credentials: CredentialSource,
        vault: Vault,
        *,
        audit: Audit,
        clock: Clock,
        settings: RunSettings,
        tell: Callable[[Iterable[Run]], None],
    ) -> None:
        self._records, self._store, self._credentials, self._vault = records, store, credentials, vault
        self._audit, self._clock, self._settings, self._tell = audit, clock, settings, tell
        self._clocks: tuple[float, float] | None = None  # interval and calendar at the last look
        self._following = asyncio.Lock()

    async def job(self, run_id: int) -> Job:
        """All that an agent needs. Holds secrets. Raises NotFound; Conflict for secrets that do not open."""
        run = await self._records.by_id(run_id)
        detail = await self._records.detail(run)
        stored = await self._store.detail(run_id)
        overrides = await self._records.overrides(run)
        known = await self._credentials.revealed(run.project_id)
        try:
            scenario = await read_beside(detail.document, overrides, known, most=0)
            await require_opened(self._credentials, scenario, run.project_id)
            named = {party.credentials for party in scenario.parties.values() if party.credentials}
        except ValueError:  # an account was removed since; the agent will say so
            named = set(known)
        return Job(
            run,
            detail.document,
            overrides,
            {name: account for name, account in known.items() if name in named},
            await self._store.targets(),
            self._settings.embedded,
            stored.max_seconds if stored else 0.0,
        )

    async def claim(
        self, run_id: int, attempt: int, agent_id: str, lease: float, pool: str | None = None
    ) -> Run | None:
        """queued to starting: the agent may prepare it, and holds it for ``lease`` seconds. None: it may not.
        Asking again with the same answer is harmless. ``pool``: the agent's, for the record of a run that may
        go to any."""
        run, now = await self._records.by_id(run_id), await self._now()
        async with self._audit.change():
            limit = await self._store.reserve_running(run.project_id)
            queued = run.phase == Phase.QUEUED
            if queued and limit is not None and await self._store.count_held(run.project_id) >= limit:
                return None
            until, grace = now + lease, self._settings.grace
            return await self._store.claim(run_id, attempt, agent_id, now, until, grace, pool)

    async def intend(self, run_id: int, attempt: int, agent_id: str) -> Run | None:
        """starting to running: the agent's leave to send its first request, asked for before it does. From
        now on this run is never tried again. None: it must send nothing."""
        return await self._store.intend(run_id, attempt, agent_id, await self._now())

    async def release(self, run_id: int, attempt: int, agent_id: str) -> Run | None:
        """The agent gives back what it has not begun; queued again as the next attempt, where its document
        allows."""
        now = await self._records.by_id(run_id)
        its_own = (now.attempt, now.agent_id, now.phase) == (attempt, agent_id, Phase.STARTING)
        if its_own and not await self._may_be_tried_again(now):
            return self._told(await self._store.end(now, _not_again("gave it back"), await self._now()))
        run = await self._store.release(
            run_id, attempt, agent_id, await self._now(), self._settings.queue_patience
        )
        return self._told(run)

    async def renew(self, pairs: Iterable[tuple[int, int]], agent_id: str, lease: float) -> set[int]:
        """A heartbeat with (run id, attempt) of all the agent holds; which of them are still its own: it must
        drop the others. The lease counts from when it is written, not from when the writing began to wait."""
        held = list(pairs)
        for _ in range(_RENEWALS):
            began = self._clock.now()
            kept = await self._store.renew(held, agent_id, await self._now() + lease)
            if self._clock.now() - began < lease / 3:
                break
        return kept

    async def finish(
        self,
        session_id: str,
        attempt: int,
        outcome: bytes | str,
        *,
        agent_id: str,
        intents: int = 0,
        files: int = 0,
    ) -> Acceptance:
        """The agent's result: the document run.json. When this returns it is durable.

        ``intents``: how many requests it had announced; only for the record of a run that ends as error.
        ``files``: how many files of evidence the agent sends after it.
        """
        run = await self._records.known(session_id)
        large = len(outcome) > _LARGE_OUTCOME
        ending = await asyncio.to_thread(read_outcome, outcome) if large else read_outcome(outcome)
        ending = msgspec.structs.replace(await self._weighed(run, ending), files_due=files)
        ended = await self._store.finish(run.id, attempt, agent_id, ending, await self._now())
        if ended is not None:
            self._tell([ended])
            return Acceptance.ACCEPTED
        if await self._store.finished_before(run.id, attempt, agent_id):
            return Acceptance.REPEATED
        return Acceptance.SUPERSEDED

    async def _weighed(self, run: Run, ending: Ending) -> Ending:
        """With the blame that is left when this run is held against the last one that passed."""
        if ending.blame is None:
            return ending
        before = await self._store.previous_pass(run)
        if before is None:
            return ending
        now, then = await self._store.given(run.id), await self._store.given(before.id)
        return ending if now is None or then is None else weighed(ending, now, then)

    async def expire_leases(self, heard: Callable[[Run], bool] = lambda _: False) -> Sequence[Run]:
        """Moves on every run whose agent was not heard, that nobody took, or that lasts too long. ``heard``:
        whether its agent said within the lease that it holds it, though that may not be written yet.

        A step of the machine's clock moves the deadlines along instead of ending runs. Raises WroteLate,
        with nothing ended, when the database let it wait: then agents waited as well, and are to be heard
        before anything is judged.
        """
        now = await self._now()
        changed = []
        try:
            for run in await self._store.expired(now):
                if run.lease_until is not None and run.lease_until < now and heard(run):
                    continue
                moved = await self._expire_at_once(run, now)
                if moved is not None:
                    changed.append(moved)
        finally:
            self._tell(changed)
        return changed

    async def _expire_at_once(self, run: Run, now: float) -> Run | None:
        """Or not at all: nothing is written after a wait in which the agent could not be heard."""
        again = run.phase != Phase.STARTING or await self._may_be_tried_again(run)
        began = self._clock.now()
        async with self._audit.change():
            moved = await self._expire(run, now, again=again)
            waited = self._clock.now() - began
            if moved is not None and waited > _PROMPT:
                raise WroteLate(waited)
        return moved

    async def confirm_ended(self, agent_id: str, running: Iterable[tuple[int, int]]) -> Sequence[Run]:
        """The agent says over HTTP what it carries out: of all else that it was to stop, nothing is on any
        more, so these runs end here, though their results are still on the way."""
        still, now, changed = set(running), self._clock.wall(), []
        for run in await self._store.live():
            if run.agent_id != agent_id or run.stop_requested_at is None or (run.id, run.attempt) in still:
                continue
            reason = f"{run.result_description} Its agent confirmed the end.".strip()
            moved = await self._store.end(run, Ending(_CANCELED, _CANCELED, None, reason), now)
            if moved is not None:
                changed.append(moved)
        self._tell(changed)
        return changed

    async def orders(self, agent_id: str, running: Iterable[tuple[int, int]]) -> list[Run]:
        """Of the runs that this agent carries out, those that it is to stop."""
        pairs = set(running)
        return [
            run
            for run in await self._store.live()
            if (run.id, run.attempt) in pairs
            and run.agent_id == agent_id
            and run.stop_requested_at is not None
        ]

    async def lose_agent(self, agent_id: str) -> Sequence[Run]:
        """Its runs as if their leases were over: for an agent that was revoked, whatever it does still."""
        now, changed = self._clock.wall(), []
        for run in await self._store.live():
            if run.agent_id == agent_id and run.lease_until is not None:
                again = run.phase != Phase.STARTING or await self._may_be_tried_again(run)
                moved = await self._expire(run, now, "revoked", again=again)
                if moved is not None:
                    changed.append(moved)
        self._tell(changed)
        return changed

    async def _now(self) -> float:
        """The calendar, for the keeper alone, and never in a transaction, since it may wait for one. Where it
        was set since the last look, the times of all that live are moved first, so that no two times of a run
        are of different calendars."""
        async with self._following:
            interval, now = self._clock.now(), self._clock.wall()
            before = self._clocks
            step = 0.0 if before is None else (now - before[1]) - (interval - before[0])
            if abs(step) > _CLOCK_STEP:
                await self._store.shift_times(step)
            self._clocks = interval, now
        return now

    async def _expire(self, run: Run, now: float, lost: str = "", *, again: bool) -> Run | None:
        """`lost`: why its agent counts as lost whatever the lease says; `again`: whether its document lets it
        be tried again."""
        lease_over = run.lease_until is not None and (bool(lost) or run.lease_until < now)
        if run.stop_requested_at is not None:
            switch = await self._records.kill_switch()
            killed = switch is not None and run.id in switch.told
            return await self._store.end(run, _stopped_unheard(run, killed), now)
        if run.phase == Phase.STARTING and lease_over and run.attempt < self._settings.attempts:
            if not again:
                return await self._store.end(run, _not_again(f"was {lost or 'lost'}"), now)
            return await self._store.requeue(run, now, self._settings.queue_patience)
        if run.phase == Phase.QUEUED:
            reason = f"No agent of the pool {run.pool} took this run in time."
        elif not lease_over:
            reason = "The run lasted longer than its document can; it was given up."
        elif run.phase == Phase.STARTING:
            reason = f"Agents were lost before they began it, {run.attempt} times."
        else:
            reason = (
                f"The agent was {lost or 'lost'} during the run. "
                "A call may have been placed, so it was not tried again."
            )
        ending = Ending(Phase.ERROR.value, Phase.ERROR.value, "platform", reason)
        return await self._store.end(run, ending, now)

    async def _may_be_tried_again(self, run: Run) -> bool:
        """What its document says; one that cannot be read any more says so to the next agent."""
        try:
            job = await self.job(run.id)
            scenario = await read_beside(job.document, job.overrides, job.credentials, most=0)
            return scenario.retry != "never"
        except (ValueError, Conflict):
            return True

    async def give_up(self, run: Run, reason: str) -> None:
        """Ends a run that the platform itself cannot hand to an agent."""
        ending = Ending(Phase.ERROR.value, Phase.ERROR.value, "platform", reason)
        ended = await self._store.end(run, ending, self._clock.wall())
        if ended is not None:
            self._tell([ended])

    async def extend_leases(self, seconds: float) -> None:
        """For a keeper that begins, or whose database was away: no lease ends within ``seconds``, so that
        agents which carried on meanwhile can be heard."""
        await self._store.extend_leases(await self._now() + seconds)

    def _told(self, run: Run | None) -> Run | None:
        if run is not None:
            self._tell([run])
        return run

    # -- how an agent proves over HTTP which one it is

    def ask_token(self, agent_id: str) -> str:
        """What this agent shows when it asks over HTTP; it hears it in the answer to its heartbeat."""
        return self._vault.derive(f"agent asks {agent_id}").hex()

    def knows(self, agent_id: str, token: str) -> bool:
        return hmac.compare_digest(self.ask_token(agent_id).encode(), token.encode("utf-8", "replace"))


def _stopped_unheard(run: Run, killed: bool) -> Ending:
    """Nobody but its agent knows whether the calls of a run that was begun have ended: the blame says so."""
    reason = run.result_description or "The run was stopped."
    if run.phase != Phase.RUNNING:
        return Ending(_CANCELED, _CANCELED, None, reason)
    if killed:
        reason = f"{reason} Its agent did not confirm that it ended its calls: they may be up."
    return Ending(_CANCELED, _CANCELED, "platform", reason)


def _not_again(how: str) -> Ending:
    reason = f"The agent {how} before it placed a call, and the document says `retry: never`."
    return Ending(Phase.ERROR.value, Phase.ERROR.value, "platform", reason)
