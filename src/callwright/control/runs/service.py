"""Runs: started, claimed, finished, stopped, expired. The state column is the queue."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right
from callwright.control.agents.service import DEFAULT_POOL
from callwright.control.audit.service import Audit
from callwright.control.credentials.vault import Vault
from callwright.control.errors import (
    Conflict,
    Invalid,
    KillSwitchEngaged,
    NotFound,
    QuotaExceeded,
    RefusedByPolicy,
    WroteLate,
)
from callwright.control.runs.admission import admit, check_caps, summed
from callwright.control.runs.demand import Demand
from callwright.control.runs.model import KILL_SWITCH, Acceptance, Ending, Job, KillSwitch, NewRun, Run
from callwright.control.runs.names import Names
from callwright.control.runs.records import (
    KIOSK_DAYS,
    CredentialSource,
    RunRecords,
)
from callwright.control.runs.result import read_outcome, weighed
from callwright.control.runs.store import RunStore
from callwright.control.runs.transitions import Phase
from callwright.control.targets.model import TargetRow, TargetUse, day_of
from callwright.control.tests.model import Test, TestDocument
from callwright.control.tests.reading import WAITING, beside
from callwright.fleet.placement import PlacementError, Site, Wish, check, likeliest_pool
from callwright.fleet.pool import Pool
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy, uuid4
from callwright.net.resolver import NameService
from callwright.scenario.document import load
from callwright.scenario.placing import wish_of
from callwright.scenario.scenario import Scenario
from callwright.scenario.weight import weight

__all__ = ["KILL_SWITCH", "RunSettings", "Runs"]

_LARGE_OUTCOME = 1024 * 1024  # octets of a run.json that is read beside the event loop
_PROMPT = 2.0  # seconds in which the database writes; after more, what was decided is looked at again
_RENEWALS = 3  # writings of one heartbeat, while each takes so long that its lease is nearly over
_CLOCK_STEP = 2.0  # seconds by which calendar and interval may differ between two looks
_MAX_KEY = 255


@dataclasses.dataclass(frozen=True, slots=True)
class RunSettings:
    """Seconds, unless said otherwise. ``embedded``: one person's installation, so what is near is permitted
    without a target of its own."""

    embedded: bool = True
    queue_patience: float = 600.0
    grace: float = 60.0  # beyond what the document may last
    attempts: int = 3
    queue_length: int = 10_000
    project_queue_length: int = 5_000  # of a project that has no limit of its own
    idempotency_kept: float = 86_400.0


class TestSource(Protocol):
    """What runs need of tests."""

    async def get(self, identity: Identity, name: str, *, project: str | None = None) -> Test: ...
    async def document(self, test: Test) -> TestDocument: ...
    async def of_project(
        self, identity: Identity, project: str | None, tags: Sequence[str]
    ) -> Sequence[Test]: ...


class Fleet(Protocol):
    """What runs need of servers."""

    async def sites(self) -> Sequence[Site]: ...
    async def pools(self) -> Sequence[Pool]: ...


class Runs(RunRecords):
    """``on_change`` hears every run that was queued, stopped or ended here, after the commit. ``fleet`` None:
    what a placement asks for is not held against the servers that there are. ``names`` None: caps of a
    network count only for addresses that a test names itself."""

    def __init__(
        self,
        store: RunStore,
        tests: TestSource,
        credentials: CredentialSource,
        vault: Vault,
        *,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
        settings: RunSettings | None = None,
        on_change: Callable[[Run], None] | None = None,
        fleet: Fleet | None = None,
        names: NameService | None = None,
    ) -> None:
        super().__init__(store, credentials, vault, audit=audit, clock=clock)
        self._names = names
        self._tests, self._entropy, self._fleet = tests, entropy, fleet
        self.settings = settings or RunSettings()
        self.on_change: list[Callable[[Run], None]] = [on_change] if on_change else []
        self._clocks: tuple[float, float] | None = None  # interval and calendar at the last look
        self._following = asyncio.Lock()

    # -- start

    async def start(
        self,
        identity: Identity,
        test_name: str,
        overrides: Mapping[str, Any] | None = None,
        *,
        project: str | None = None,
        report_mode: str | None = None,
        kiosk_days: float | None = KIOSK_DAYS,
        idempotency_key: str | None = None,
        tags: Sequence[str] = (),
        pool: str | None = None,
    ) -> Run:
        """Queues a run of the test; of a run over several servers it is the first. The same
        ``idempotency_key`` again gives the same run. ``kiosk_days``: how long the link of ``report_mode``
        kiosk is good for, None for ever. ``pool`` None: the document's.

        Raises NotFound, DocumentError (problems of the overrides), Invalid, RefusedByPolicy, QuotaExceeded,
        KillSwitchEngaged, IdempotencyConflict, Forbidden.
        """
        runs = await self.start_each(
            identity,
            test_name,
            overrides,
            project=project,
            report_mode=report_mode,
            kiosk_days=kiosk_days,
            idempotency_key=idempotency_key,
            tags=tags,
            pool=pool,
        )
        return runs[0]

    async def start_each(
        self,
        identity: Identity,
        test_name: str,
        overrides: Mapping[str, Any] | None = None,
        *,
        project: str | None = None,
        report_mode: str | None = None,
        kiosk_days: float | None = KIOSK_DAYS,
        idempotency_key: str | None = None,
        tags: Sequence[str] = (),
        pool: str | None = None,
    ) -> Sequence[Run]:
        """As `start`: a run for each server that the placement asks for."""
        authorize(identity, Right.RUN)
        test = await self._tests.get(identity, test_name, project=project)
        authorize(identity, Right.RUN, test.project_id)
        what = ("test", test_name, *([str(test.project_id)] if project else []))
        link = (report_mode, kiosk_days)
        return await self._start(identity, [test], overrides or {}, link, idempotency_key, tags, pool, what)

    async def start_all(
        self,
        identity: Identity,
        project: str | None = None,
        with_tags: Sequence[str] = (),
        *,
        report_mode: str | None = None,
        kiosk_days: float | None = KIOSK_DAYS,
        idempotency_key: str | None = None,
        tags: Sequence[str] = (),
        pool: str | None = None,
        placement: Mapping[str, Any] | None = None,
    ) -> Sequence[Run]:
        """Queues every test of the project, or all that have all the tags ``with_tags``: all or none. Without
        a project those that the identity may run. ``placement``: addresses (``placement.region``) that are
        overridden in all of them."""
        authorize(identity, Right.RUN)
        seen = await self._tests.of_project(identity, project, with_tags)
        chosen = [test for test in seen if may(identity, Right.RUN, test.project_id)]
        if seen and not chosen:
            authorize(identity, Right.RUN, seen[0].project_id)
        if not chosen:
            raise NotFound(
                "test", f"of project {project}" if project else f"with tags {', '.join(with_tags)}"
            )
        # Whoever sees other projects by now asks something else.
        ids = "" if identity.project_ids is None else f" of {sorted(identity.project_ids)}"
        what = ("project", f"{project or ''}{ids}", *with_tags)
        link = (report_mode, kiosk_days)
        return await self._start(identity, chosen, placement or {}, link, idempotency_key, tags, pool, what)

    async def _start(
        self,
        identity: Identity,
        tests: Sequence[Test],
        overrides: Mapping[str, Any],
        link: tuple[str | None, float | None],
        key: str | None,
        tags: Sequence[str],
        pool: str | None,
        what: Sequence[str],
    ) -> Sequence[Run]:
        report_mode, kiosk_days = link
        kiosk_until = self.link_end(kiosk_days) if report_mode == "kiosk" else None
        if report_mode not in (None, "", "kiosk"):
            raise Invalid(
                f"report.mode {report_mode!r} is not known.", "Permitted: kiosk.", field="report.mode"
            )
        if key is not None and not 0 < len(key) <= _MAX_KEY:
            raise Invalid(f"An Idempotency-Key has 1 to {_MAX_KEY} characters.", field="Idempotency-Key")
        days = [kiosk_days] if report_mode == "kiosk" and kiosk_days != KIOSK_DAYS else []
        asked = _json(
            [
                list(what),
                sorted(_strings(overrides).items()),
                report_mode or "",
                list(tags),
                pool or "",
                *days,
            ]
        )
        fingerprint = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()
        if key is not None:
            earlier = await self._store.earlier(identity.user_id, key, fingerprint)
            if earlier is not None:
                return earlier
        switch = await self.kill_switch()
        if switch is not None:
            raise KillSwitchEngaged(
                f"The kill switch is engaged by {switch.by}: nothing is started.",
                "An administrator releases it when it is safe again.",
            )
        if await self._store.count_live() + len(tests) > self.settings.queue_length:
            raise QuotaExceeded(
                f"{self.settings.queue_length} runs wait already.", "Try again when some have ended."
            )
        targets = await self._store.targets()
        names = Names(self._names) if self._names is not None else None
        now = self._clock.wall()
        born: list[NewRun] = []
        for project_id in {test.project_id for test in tests} if pool else ():
            await self._may_use(identity, pool or "", project_id)
        for test in tests:
            document = await self._tests.document(test)
            credentials = await self._credentials.revealed(test.project_id)
            scenario = await _read_beside(document.document, overrides, credentials)
            await self._require_opened(scenario, test.project_id)
            usage = await self._usage(scenario, targets, names)
            expected, wish = await self._place(identity, scenario, pool, test.project_id)
            sessions = [uuid4(self._entropy) for _ in range(wish.count)]
            born += [
                NewRun(
                    session_id=session_id,
                    test_id=test.id,
                    test_name=test.name,
                    testcase_name=scenario.title or test.title,
                    project_id=test.project_id,
                    project_name=test.project_name,
                    pool=expected,
                    placement=wish if wish.chooses else Wish(),
                    group_id=sessions[0] if wish.count > 1 else None,
                    tags=tuple(dict.fromkeys([*scenario.tags, *tags])),
                    created_at=now,
                    started_by=identity.username,
                    kiosk=1 if report_mode == "kiosk" else None,
                    kiosk_until=kiosk_until,
                    deadline_at=now + self.settings.queue_patience,
                    max_seconds=scenario.deadline,
                    test_version=document.version,
                    sealed_overrides=self._vault.seal(_texts(overrides), session_id) if overrides else "",
                    shown=scenario.shown_parameters(),
                    usage=usage,
                    weight=weight(scenario),
                )
                for session_id in sessions
            ]
        if len(born) > self.settings.queue_length:
            raise QuotaExceeded(f"At most {self.settings.queue_length} runs may wait.", "Start fewer.")

        async def reserve() -> None:
            await self._reserve_room(born)
            await self._reserve_caps(born, now)

        async with self._audit.change():
            runs, new = await self._store.add(
                born, user_id=identity.user_id, key=key, fingerprint=fingerprint, reserve=reserve
            )
            for run in runs if new else ():
                what = f"test {run.test_name} of the project {run.project_name}"
                await self._audit.note(identity, "run.started", f"run {run.session_id}", what)
        if new:
            self._tell(runs)
        return runs

    async def _place(
        self, identity: Identity, scenario: Scenario, pool: str | None, project_id: int
    ) -> tuple[str, Wish]:
        """(the pool in which it is expected, what is asked of its servers). Raises Invalid for what no server
        and no pool of the project could have."""
        named = pool or scenario.agentpool.name
        wish = wish_of(named, scenario.placement)
        if not wish.chooses and (pool or not named):
            return named or DEFAULT_POOL, wish
        if named and not pool:
            await self._may_use(identity, named, project_id)
        if self._fleet is None:
            return named or DEFAULT_POOL, wish
        pools, sites = await self._fleet.pools(), await self._fleet.sites()
        open_to = {one.name: await self._store.pool_owner(one.name) in (None, project_id) for one in pools}
        pools = [one for one in pools if open_to[one.name]]
        sites = [one for one in sites if open_to.get(one.pool, True)]
        try:
            check(wish, sites, pools)
        except PlacementError as error:
            raise Invalid(str(error), field=error.field) from None
        return named or likeliest_pool(wish, sites, pools) or DEFAULT_POOL, wish

    async def _may_use(self, identity: Identity, pool: str, project_id: int) -> None:
        owner = await self._store.pool_owner(pool)
        if owner in (None, project_id):
            return
        assert owner is not None
        if not may(identity, Right.READ, owner):
            raise NotFound("pool", pool)
        raise Invalid(
            f"The pool {pool} belongs to another project.", "Choose a pool of this project.", field="pool"
        )

    async def _usage(
        self, scenario: Scenario, targets: Sequence[TargetRow], names: Names | None
    ) -> tuple[TargetUse, ...]:
        """What a run may take of the targets. Raises RefusedByPolicy."""
        embedded = self.settings.embedded
        admission = admit(scenario, targets, embedded=embedded)
        if admission.unresolved and names is not None:
            found = await names.look_up(admission.unresolved)
            admission = admit(scenario, targets, embedded=embedded, found=found)
        return admission.usage

    async def _reserve_room(self, born: Sequence[NewRun]) -> None:
        """One project cannot fill the queue that all share."""
        names = {run.project_id: run.project_name for run in born}
        for project_id in sorted(names):
            limit = await self._store.reserve_queue(project_id)
            most = self.settings.project_queue_length if limit is None else limit
            waiting = await self._store.count_queued(project_id)
            more = sum(run.project_id == project_id for run in born)
            if waiting + more > most:
                raise QuotaExceeded(
                    f"The project {names[project_id]} is limited to {most:,} waiting "
                    f"{'run' if most == 1 else 'runs'}; this adds {more:,}, and {waiting:,} "
                    f"{'waits' if waiting == 1 else 'wait'}.",
                    "Try again when some have begun.",
                )

    async def _reserve_caps(self, born: Sequence[NewRun], now: float) -> None:
        """In the transaction that inserts the runs: what they may take of each target is theirs, or they are
        not started."""
        day = day_of(now)
        asked = summed(use for run in born for use in run.usage)
        for target_id in sorted(asked):  # in one order: two that reserve never wait for each other
            row = await self._store.reserve_target(target_id)
            if row is None:
                raise RefusedByPolicy(
                    "",
                    "The target of this test was removed meanwhile.",
                    "Start it again to see what holds now.",
                )
            runs = sum(any(use.target_id == target_id for use in run.usage) for run in born)
            check_caps(row, asked[target_id], await self._store.target_usage(target_id, day), runs=runs)
            await self._store.count_minutes(target_id, day, asked[target_id].minutes)

    async def _require_opened(self, scenario: Scenario, project_id: int | None) -> None:
        """Raises Conflict for an account whose password does not open: without it the test would be wrong."""
        named = {party.credentials for party in scenario.parties.values() if party.credentials}
        if not named:
            return
        for name, owner in await self._credentials.unopened():
            if name in named and owner in (None, project_id):
                raise Conflict(
                    f"The password of the SIP account {name!r} does not open with secret.key.",
                    "Set it again, or restore secret.key from the backup.",
                )

    # -- what agents do, by the keeper

    async def job(self, run_id: int) -> Job:
        """All that an agent needs. Holds secrets. Raises NotFound; Conflict for secrets that do not open."""
        run = await self.by_id(run_id)
        detail = await self.detail(run)
        stored = await self._store.detail(run_id)
        overrides = await self.overrides(run)
        known = await self._credentials.revealed(run.project_id)
        try:
            scenario = await _read_beside(detail.document, overrides, known, most=0)
            await self._require_opened(scenario, run.project_id)
            named = {party.credentials for party in scenario.parties.values() if party.credentials}
        except ValueError:  # an account was removed since; the agent will say so
            named = set(known)
        return Job(
            run,
            detail.document,
            overrides,
            {name: account for name, account in known.items() if name in named},
            await self._store.targets(),
            self.settings.embedded,
            stored.max_seconds if stored else 0.0,
        )

    async def claim(
        self, run_id: int, attempt: int, agent_id: str, lease: float, pool: str | None = None
    ) -> Run | None:
        """queued to starting: the agent may prepare it, and holds it for ``lease`` seconds. None: it may not.
        Asking again with the same answer is harmless. ``pool``: the agent's, for the record of a run that may
        go to any."""
        run, now = await self.by_id(run_id), await self._now()
        async with self._audit.change():
            limit = await self._store.reserve_running(run.project_id)
            queued = run.phase == Phase.QUEUED
            if queued and limit is not None and await self._store.count_held(run.project_id) >= limit:
                return None
            until, grace = now + lease, self.settings.grace
            return await self._store.claim(run_id, attempt, agent_id, now, until, grace, pool)

    async def of_group(self, run: Run) -> Sequence[Run]:
        """The runs over several servers that it is one of, itself too; none where it is alone."""
        return await self._store.of_group(run.group_id) if run.group_id is not None else ()

    async def running_limits(self) -> Mapping[int, int]:
        """Project to the number of its runs that agents may have at once; of those that have a limit."""
        return await self._store.running_limits()

    async def demands(self) -> Sequence[Demand]:
        """What runs that have not ended need, counted."""
        return await self._store.demands()

    async def intend(self, run_id: int, attempt: int, agent_id: str) -> Run | None:
        """starting to running: the agent's leave to send its first request, asked for before it does. From
        now on this run is never tried again. None: it must send nothing."""
        return await self._store.intend(run_id, attempt, agent_id, await self._now())

    async def release(self, run_id: int, attempt: int, agent_id: str) -> Run | None:
        """The agent gives back what it has not begun; queued again as the next attempt, where its document
        allows."""
        now = await self.by_id(run_id)
        its_own = (now.attempt, now.agent_id, now.phase) == (attempt, agent_id, Phase.STARTING)
        if its_own and not await self._may_be_tried_again(now):
            return self._told(await self._store.end(now, _not_again("gave it back"), await self._now()))
        run = await self._store.release(
            run_id, attempt, agent_id, await self._now(), self.settings.queue_patience
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
        run = await self.known(session_id)
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
            switch = await self.kill_switch()
            killed = switch is not None and run.id in switch.told
            return await self._store.end(run, _stopped_unheard(run, killed), now)
        if run.phase == Phase.STARTING and lease_over and run.attempt < self.settings.attempts:
            if not again:
                return await self._store.end(run, _not_again(f"was {lost or 'lost'}"), now)
            return await self._store.requeue(run, now, self.settings.queue_patience)
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
            scenario = await _read_beside(job.document, job.overrides, job.credentials, most=0)
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

    # -- stop

    async def stop(self, identity: Identity, session_id: str) -> Run:
        """A queued run is canceled at once; of a running one the wish is noted, for its agent to be told."""
        run = await self.get(identity, session_id)
        authorize(identity, Right.RUN, run.project_id)
        async with self._audit.change():
            changed = await self._store.stop([run.id], self._clock.wall(), f"Stopped by {identity.username}.")
            if changed:
                await self._audit.note(identity, "run.stopped", f"run {run.session_id}")
        self._tell(changed)
        return changed[0] if changed else await self.by_id(run.id)

    async def kill_switch(self) -> KillSwitch | None:
        """None when it is released."""
        value = await self._store.setting(KILL_SWITCH)
        return msgspec.json.decode(value, type=KillSwitch) if value else None

    async def kill(self, identity: Identity, reason: str = "") -> Sequence[Run]:
        """Engages the switch: nothing starts any more; the queued are canceled, agents are to stop the rest
        (the runs returned)."""
        authorize(identity, Right.ADMINISTER)
        now = self._clock.wall()
        switch = KillSwitch(now, identity.username, reason)
        async with self._audit.change():
            await self._store.set_setting(KILL_SWITCH, _json(switch))
            reason_told = f"The kill switch was engaged by {identity.username}."
            changed = await self._store.stop(None, now, reason_told)
            told = tuple(run.id for run in await self._store.live())
            canceled = sum(run.finished for run in changed)
            told += tuple(run.id for run in changed if not run.finished and run.id not in told)
            switch = msgspec.structs.replace(switch, canceled=canceled, told=told)
            await self._store.set_setting(KILL_SWITCH, _json(switch))
            await self._audit.note(identity, "kill.engaged", f"{len(changed)} runs", reason)
        self._tell(changed)
        return changed

    async def unended(self, switch: KillSwitch) -> list[Run]:
        """Of the runs whose agents were told: those that have not ended."""
        told = set(switch.told)
        return [run for run in await self._store.live() if run.id in told] if told else []

    async def kill_counts(self, switch: KillSwitch) -> tuple[int, list[Run]]:
        """(how many are confirmed to have ended, those that are not: they go on, or their agent was lost)."""
        open_ = {run.id: run for run in await self.unended(switch)}
        ended = 0
        for run_id in switch.told:
            if run_id in open_:
                continue
            with contextlib.suppress(NotFound):
                run = await self.by_id(run_id)
                if _unconfirmed(run):
                    open_[run_id] = run
                else:
                    ended += 1
        return switch.canceled + ended, list(open_.values())

    def ask_token(self, agent_id: str) -> str:
        """What this agent shows when it asks over HTTP; it hears it in the answer to its heartbeat."""
        return self._vault.derive(f"agent asks {agent_id}").hex()

    def knows(self, agent_id: str, token: str) -> bool:
        return hmac.compare_digest(self.ask_token(agent_id).encode(), token.encode("utf-8", "replace"))

    async def release_kill_switch(self, identity: Identity) -> None:
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            await self._store.set_setting(KILL_SWITCH, None)
            await self._audit.note(identity, "kill.released", "")

    async def forget_old_keys(self) -> None:
        """Idempotency keys are kept for a day."""
        await self._store.forget_idempotency(self._clock.wall() - self.settings.idempotency_kept)

    # -- telling

    def _told(self, run: Run | None) -> Run | None:
        if run is not None:
            self._tell([run])
        return run

    def _tell(self, runs: Iterable[Run]) -> None:
        for run in runs:
            for listener in self.on_change:
                listener(run)


_CANCELED = Phase.CANCELED.value


def _stopped_unheard(run: Run, killed: bool) -> Ending:
    """Nobody but its agent knows whether the calls of a run that was begun have ended: the blame says so."""
    reason = run.result_description or "The run was stopped."
    if run.phase != Phase.RUNNING:
        return Ending(_CANCELED, _CANCELED, None, reason)
    if killed:
        reason = f"{reason} Its agent did not confirm that it ended its calls: they may be up."
    return Ending(_CANCELED, _CANCELED, "platform", reason)


def _unconfirmed(run: Run) -> bool:
    return run.phase == Phase.CANCELED and run.blame == "platform"


def _not_again(how: str) -> Ending:
    reason = f"The agent {how} before it placed a call, and the document says `retry: never`."
    return Ending(Phase.ERROR.value, Phase.ERROR.value, "platform", reason)


def read_scenario(
    document: str, overrides: Mapping[str, Any], credentials: Mapping[str, Mapping[str, str]]
) -> Scenario:
    """The document with its overrides. The platform's own environment is none of a test's business.

    Raises DocumentError.
    """
    return _read_cached(document, _json(dict(overrides)), _json({k: dict(v) for k, v in credentials.items()}))


async def _read_beside(
    document: str,
    overrides: Mapping[str, Any],
    credentials: Mapping[str, Mapping[str, str]],
    *,
    most: int = WAITING,
) -> Scenario:
    """`read_scenario`, without holding up the loop."""
    return await beside(len(document), lambda: read_scenario(document, overrides, credentials), most=most)


@lru_cache(maxsize=256)
def _read_cached(document: str, overrides: str, credentials: str) -> Scenario:
    return load(
        document,
        overrides=msgspec.json.decode(overrides),
        environment={},
        credentials=msgspec.json.decode(credentials),
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _strings(overrides: Mapping[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else _json(value) for name, value in overrides.items()}


def _texts(overrides: Mapping[str, Any]) -> str:
    return _json(dict(overrides))
