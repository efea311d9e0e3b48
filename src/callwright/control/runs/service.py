"""Runs as people start and stop them. The state column is the queue; `holding` is what agents do with it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right
from callwright.control.agents.service import DEFAULT_POOL
from callwright.control.audit.service import Audit
from callwright.control.credentials.vault import Vault
from callwright.control.errors import (
    Invalid,
    KillSwitchEngaged,
    NotFound,
    QuotaExceeded,
    RefusedByPolicy,
)
from callwright.control.runs.admission import admit, check_caps, summed
from callwright.control.runs.holding import HeldRuns
from callwright.control.runs.model import KILL_SWITCH, KillSwitch, NewRun, Run
from callwright.control.runs.names import Names
from callwright.control.runs.reading import as_json, read_beside, require_opened
from callwright.control.runs.records import (
    KIOSK_DAYS,
    CredentialSource,
    RunRecords,
)
from callwright.control.runs.settings import RunSettings
from callwright.control.runs.store import RunStore
from callwright.control.runs.transitions import Phase
from callwright.control.targets.model import TargetRow, TargetUse, day_of
from callwright.control.tests.model import Test, TestDocument
from callwright.fleet.placement import PlacementError, Site, Wish, check, likeliest_pool
from callwright.fleet.pool import Pool
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy, uuid4
from callwright.net.resolver import NameService
from callwright.scenario.placing import wish_of
from callwright.scenario.scenario import Scenario
from callwright.scenario.weight import weight

__all__ = ["Runs"]

_MAX_KEY = 255


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
        self.held = HeldRuns(
            self,
            store,
            credentials,
            vault,
            audit=audit,
            clock=clock,
            settings=self.settings,
            tell=self._tell,
        )

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
        asked = as_json(
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
        given = as_json(dict(overrides)) if overrides else ""
        now = self._clock.wall()
        born: list[NewRun] = []
        for project_id in {test.project_id for test in tests} if pool else ():
            await self._may_use(identity, pool or "", project_id)
        for test in tests:
            document = await self._tests.document(test)
            credentials = await self._credentials.revealed(test.project_id)
            scenario = await read_beside(document.document, overrides, credentials)
            await require_opened(self._credentials, scenario, test.project_id)
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
                    sealed_overrides=self._vault.seal(given, session_id) if given else "",
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

    async def kill(self, identity: Identity, reason: str = "") -> Sequence[Run]:
        """Engages the switch: nothing starts any more; the queued are canceled, agents are to stop the rest
        (the runs returned)."""
        authorize(identity, Right.ADMINISTER)
        now = self._clock.wall()
        switch = KillSwitch(now, identity.username, reason)
        async with self._audit.change():
            await self._store.set_setting(KILL_SWITCH, as_json(switch))
            reason_told = f"The kill switch was engaged by {identity.username}."
            changed = await self._store.stop(None, now, reason_told)
            told = tuple(run.id for run in await self._store.live())
            canceled = sum(run.finished for run in changed)
            told += tuple(run.id for run in changed if not run.finished and run.id not in told)
            switch = msgspec.structs.replace(switch, canceled=canceled, told=told)
            await self._store.set_setting(KILL_SWITCH, as_json(switch))
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

    async def release_kill_switch(self, identity: Identity) -> None:
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            await self._store.set_setting(KILL_SWITCH, None)
            await self._audit.note(identity, "kill.released", "")

    async def forget_old_keys(self) -> None:
        """Idempotency keys are kept for a day."""
        await self._store.forget_idempotency(self._clock.wall() - self.settings.idempotency_kept)

    # -- telling

    def _tell(self, runs: Iterable[Run]) -> None:
        for run in runs:
            for listener in self.on_change:
                listener(run)


def _unconfirmed(run: Run) -> bool:
    return run.phase == Phase.CANCELED and run.blame == "platform"


def _strings(overrides: Mapping[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else as_json(value) for name, value in overrides.items()}
