"""Runs to look at, what holds for all of them, and their public links."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.credentials.vault import Vault
from callwright.control.errors import (
    Conflict,
    Invalid,
    LinkExpired,
    NotFound,
    StorageUnavailable,
)
from callwright.control.runs.demand import Demand
from callwright.control.runs.line import Share, ahead_of
from callwright.control.runs.model import KILL_SWITCH, Bucket, KillSwitch, Run, RunDetail, RunFilter, Waiting
from callwright.control.runs.store import RunStore
from callwright.control.runs.transitions import Phase
from callwright.net.clock import Clock
from callwright.net.entropy import as_uuid
from callwright.outcome.terms import Blame

__all__ = [
    "KIOSK_DAYS",
    "MOST_KIOSK_DAYS",
    "CredentialSource",
    "RunRecords",
]

#: How long a public link is good for when nothing else is said.
KIOSK_DAYS = 30.0
MOST_KIOSK_DAYS = 3_660.0
_DAY = 86_400.0
_STATUSES = ("running", "passed", "failed")


class CredentialSource(Protocol):
    """What runs need of SIP accounts."""

    async def revealed(self, project_id: int | None = None) -> dict[str, dict[str, str]]: ...
    async def unopened(self) -> Sequence[tuple[str, int | None]]: ...


class RunRecords:
    def __init__(
        self, store: RunStore, credentials: CredentialSource, vault: Vault, *, audit: Audit, clock: Clock
    ) -> None:
        self._store, self._credentials, self._vault, self._clock = store, credentials, vault, clock
        self._audit = audit

    # -- look

    async def get(self, identity: Identity, session_id: str) -> Run:
        """By session id, or by number. Raises NotFound, for one of another project too."""
        run = await self.known(session_id)
        if not may(identity, Right.READ, run.project_id):
            raise NotFound("run", session_id)
        return run

    async def known(self, session_id: str) -> Run:
        """As `get`, for the platform itself: whoever's it is."""
        run = await self._store.by_session(session_id)
        if run is None and session_id.isascii() and session_id.isdigit() and len(session_id) < 19:
            run = await self._store.by_id(int(session_id))
        if run is None:
            raise NotFound("run", session_id)
        return run

    async def by_id(self, run_id: int) -> Run:
        run = await self._store.by_id(run_id)
        if run is None:
            raise NotFound("run", run_id)
        return run

    async def detail(self, run: Run) -> RunDetail:
        """Document, overrides and outcome. ``overrides`` holds secrets: ``shown`` is for people."""
        stored = await self._store.detail(run.id)
        if stored is None:
            raise NotFound("run", run.session_id)
        overrides: dict[str, Any] = {}
        sealed = False
        if stored.sealed_overrides:
            try:
                overrides = msgspec.json.decode(self._vault.open(stored.sealed_overrides, run.session_id))
            except StorageUnavailable:
                sealed = True
        return RunDetail(
            run.id, stored.test_version, stored.document, overrides, stored.shown, stored.outcome, sealed
        )

    async def overrides(self, run: Run) -> dict[str, Any]:
        """What it was started with, to start it again. Holds secrets. Raises Conflict: they do not open."""
        detail = await self.detail(run)
        if detail.sealed:
            raise Conflict(
                "The parameters that this run was started with do not open with secret.key.",
                "Start the test with parameters, or restore secret.key from the backup.",
            )
        return detail.overrides

    async def list(
        self,
        identity: Identity,
        filter_: RunFilter | None = None,
        *,
        after: int | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """What the identity sees, newest first. ``after``: the id of the last row of the page before."""
        chosen = filter_ or RunFilter()
        for field, value, permitted in (
            ("status", chosen.status, _STATUSES),
            ("phase", chosen.phase, tuple(Phase)),
            ("blame", chosen.blame, tuple(Blame)),
        ):
            if value is not None and value not in permitted:
                raise _unknown(field, value, [str(one) for one in permitted])
        return await self._store.page(chosen, after, max(1, min(limit, 5000)), identity.project_ids)

    async def live(self) -> Sequence[Run]:
        """All that have not ended, oldest first."""
        return await self._store.live()

    async def waiting(self, run: Run) -> Waiting | None:
        """How long it will probably wait; None when it does not."""
        if run.phase != Phase.QUEUED:
            return None
        shares = await self._store.shares(run.pool, run.id)
        mine = next((one for one in shares if one.project_id == run.project_id), None)
        if mine is None:  # it was taken meanwhile
            return None
        others = [Share(one.waiting, one.held) for one in shares if one is not mine]
        ahead = ahead_of(mine.older, Share(mine.waiting, mine.held), others)
        at_once, each = sum(one.held for one in shares), await self._store.lasted(run.pool)
        seconds = None if each is None or at_once == 0 else (ahead + 1) * each / at_once
        return Waiting(ahead, seconds)

    async def previous_pass(self, run: Run) -> Run | None:
        """The last run of the same test before this one that passed, in the same project."""
        return await self._store.previous_pass(run)

    async def history(self, identity: Identity, since: float, bucket_seconds: float) -> Sequence[Bucket]:
        """How many runs of each phase in each stretch of time since then, and their mean MOS."""
        return await self._store.history(since, bucket_seconds, identity.project_ids)

    async def counts(self, identity: Identity, since: float) -> Mapping[int, int]:
        """Id of each project that the identity sees to how many runs began since then."""
        found = await self._store.counts(since)
        return {project_id: count for project_id, count in found if may(identity, Right.READ, project_id)}

    async def of_group(self, run: Run) -> Sequence[Run]:
        """The runs over several servers that it is one of, itself too; none where it is alone."""
        return await self._store.of_group(run.group_id) if run.group_id is not None else ()

    async def running_limits(self) -> Mapping[int, int]:
        """Project to the number of its runs that agents may have at once; of those that have a limit."""
        return await self._store.running_limits()

    async def demands(self) -> Sequence[Demand]:
        """What runs that have not ended need, counted."""
        return await self._store.demands()

    async def kill_switch(self) -> KillSwitch | None:
        """None when it is released."""
        value = await self._store.setting(KILL_SWITCH)
        return msgspec.json.decode(value, type=KillSwitch) if value else None

    # -- the public link

    def kiosk_token(self, run: Run) -> str | None:
        """The unguessable part of the public link; None when there is none. Made from the key outside the
        database, so a copy of the database opens no page."""
        if run.kiosk is None or self._link_is_over(run):
            return None
        return self._token_of(run)

    def _link_is_over(self, run: Run) -> bool:
        return run.kiosk_until is not None and run.kiosk_until <= self._clock.wall()

    def _token_of(self, run: Run) -> str:
        return as_uuid(self._vault.derive(f"kiosk/{run.session_id}/{run.kiosk}")[:16])

    async def by_kiosk(self, token: str, session_id: str) -> Run:
        """Raises NotFound for a wrong or revoked token, as for an unknown run; LinkExpired for one that was
        right."""
        run = await self._store.by_session(session_id)
        right = self._token_of(run) if run is not None and run.kiosk is not None else "-" * 36
        if not hmac.compare_digest(right.encode(), token.encode("utf-8", "replace")) or run is None:
            raise NotFound("page", token)
        if self._link_is_over(run):
            raise LinkExpired(token)
        return run

    async def share(
        self, identity: Identity, session_id: str, *, days: float | None = KIOSK_DAYS, again: bool = True
    ) -> Run:
        """Makes a public link if there is none; a revoked one never comes back. ``days``: how long it is good
        for, None for ever. ``again``: a link that is there gets this end too, and stays the same link.

        Raises NotFound, Forbidden, Invalid.
        """
        run = await self.get(identity, session_id)
        authorize(identity, Right.RUN, run.project_id)
        until = self.link_end(days)
        over = self._link_is_over(run)
        if run.kiosk is not None and not over and not again:
            return run
        # Seconds since the epoch only grow, so that no serial is used twice.
        serial = run.kiosk if run.kiosk is not None and not over else max(2, int(self._clock.wall()))
        detail = "never ends" if days is None else f"ends after {days:g} days"
        async with self._audit.change():
            shared = await self._store.set_kiosk(run.id, serial, until)
            await self._audit.note(identity, "kiosk.shared", f"run {run.session_id}", detail)
        return shared or run

    def link_end(self, days: float | None) -> float | None:
        """Unix seconds. Raises Invalid."""
        if days is None:
            return None
        if not 0 < days <= MOST_KIOSK_DAYS:
            raise Invalid(
                f"A public link is good for more than 0 and at most {MOST_KIOSK_DAYS:,.0f} days, "
                "or never ends.",
                field="days",
            )
        return self._clock.wall() + days * _DAY

    async def revoke_kiosk(self, identity: Identity, session_id: str) -> Run:
        run = await self.get(identity, session_id)
        authorize(identity, Right.RUN, run.project_id)
        async with self._audit.change():
            revoked = await self._store.set_kiosk(run.id, None)
            await self._audit.note(identity, "kiosk.revoked", f"run {run.session_id}")
        return revoked or run

    # -- what a page keeps of somebody

    async def kept(self, name: str) -> str | None:
        """What `keep` was given last under this name."""
        return await self._store.setting(f"kept/{name}")

    async def keep(self, name: str, text: str | None) -> None:
        """No secrets: it is stored as it is. None forgets it."""
        await self._store.set_setting(f"kept/{name}", text)


def _unknown(field: str, value: str, permitted: Sequence[str]) -> Invalid:
    message = f"{field} {value[:100]!r} is not known."
    entry = {"field": field, "message": message, "value": value[:200], "permitted": list(permitted)}
    return Invalid(message, f"Permitted: {', '.join(permitted)}.", field=field, errors=[entry])
