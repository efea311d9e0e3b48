"""Runs to look at, their public links, and the targets they may go to."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Protocol

from callwright.control.accounts.model import Identity, Right
from callwright.control.accounts.vault import Vault
from callwright.control.errors import Forbidden, Invalid, NotFound
from callwright.control.runs.admission import policy_target
from callwright.control.runs.model import Bucket, Run, RunDetail, RunFilter, TargetRow
from callwright.control.runs.store import RunStore
from callwright.control.runs.transitions import Phase
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy
from callwright.policy.destination import PolicyError

__all__ = ["AccountSource", "RunRecords", "new_session_id", "require"]


class AccountSource(Protocol):
    """What runs need of accounts."""

    async def revealed_credentials(self) -> dict[str, dict[str, str]]: ...
    async def audit(self, identity: Identity, action: str, object_: str, detail: str = "") -> None: ...


class RunRecords:
    def __init__(self, store: RunStore, accounts: AccountSource, vault: Vault, *, clock: Clock) -> None:
        self._store, self._accounts, self._vault, self._clock = store, accounts, vault, clock

    # -- look

    async def get(self, session_id: str) -> Run:
        """By session id, or by number. Raises NotFound."""
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
        overrides = (
            self._vault.open(stored.sealed_overrides, run.session_id) if stored.sealed_overrides else "{}"
        )
        return RunDetail(
            run.id, stored.test_version, stored.document, overrides, stored.shown, stored.outcome
        )

    async def list(
        self, filter_: RunFilter | None = None, *, after: int | None = None, limit: int = 100
    ) -> list[Run]:
        """Newest first. ``after``: the id of the last row of the page before."""
        chosen = filter_ or RunFilter()
        if chosen.status not in (None, "running", "passed", "failed"):
            raise Invalid(
                f"status {chosen.status!r} is not known.",
                "Permitted: running, passed, failed.",
                field="status",
            )
        if chosen.phase is not None and chosen.phase not in list(Phase):
            raise Invalid(
                f"phase {chosen.phase!r} is not known.", f"Permitted: {', '.join(Phase)}.", field="phase"
            )
        return await self._store.page(chosen, after, max(1, min(limit, 5000)))

    async def live(self) -> Sequence[Run]:
        """All that have not ended, oldest first."""
        return await self._store.live()

    async def previous_pass(self, run: Run) -> Run | None:
        """The last run of the same test before this one that passed."""
        return await self._store.previous_pass(run)

    async def history(
        self, since: float, bucket_seconds: float, project_id: int | None = None
    ) -> Sequence[Bucket]:
        """How many runs of each phase in each stretch of time since then, and their mean MOS."""
        return await self._store.history(since, bucket_seconds, project_id)

    # -- the public link

    def kiosk_token(self, run: Run) -> str | None:
        """The unguessable part of the public link; None when there is none. Made from the key outside the
        database, so a copy of the database opens no page."""
        if run.kiosk is None:
            return None
        return _uuid(self._vault.derive(f"kiosk/{run.session_id}/{run.kiosk}")[:16])

    async def by_kiosk(self, token: str, session_id: str) -> Run:
        """Raises NotFound for a wrong or revoked token, as for an unknown run."""
        run = await self._store.by_session(session_id)
        right = (self.kiosk_token(run) if run is not None else None) or "-" * 36
        if not hmac.compare_digest(right.encode(), token.encode("utf-8", "replace")) or run is None:
            raise NotFound("page", token)
        return run

    async def share(self, identity: Identity, session_id: str) -> Run:
        """Makes a public link if there is none; a revoked one never comes back."""
        require(identity, Right.RUN)
        run = await self.get(session_id)
        if run.kiosk is not None:
            return run
        # Seconds since the epoch only grow, so that no serial is used twice.
        shared = await self._store.set_kiosk(run.id, max(2, int(self._clock.wall())))
        await self._accounts.audit(identity, "kiosk.shared", f"run {run.session_id}")
        return shared or run

    async def revoke_kiosk(self, identity: Identity, session_id: str) -> Run:
        require(identity, Right.RUN)
        run = await self.get(session_id)
        revoked = await self._store.set_kiosk(run.id, None)
        await self._accounts.audit(identity, "kiosk.revoked", f"run {run.session_id}")
        return revoked or run

    # -- targets

    async def targets(self) -> Sequence[TargetRow]:
        return await self._store.targets()

    async def add_target(
        self,
        identity: Identity,
        *,
        host: str | None = None,
        network: str | None = None,
        number: str | None = None,
        rate: float | None = None,
        concurrency: int | None = None,
        minutes: float | None = None,
        note: str = "",
    ) -> TargetRow:
        """Permits a destination. Raises Invalid with the policy's own sentence."""
        require(identity, Right.ADMINISTER)
        row = TargetRow(
            0,
            host or None,
            network or None,
            number or None,
            rate,
            concurrency,
            minutes,
            note,
            identity.username,
            self._clock.wall(),
        )
        try:
            policy_target(row)
        except PolicyError as error:
            raise Invalid(str(error)) from None
        added = await self._store.add_target(row)
        await self._accounts.audit(
            identity, "target.added", f"target {added.id}", added.host or added.network or added.number or ""
        )
        return added

    async def remove_target(self, identity: Identity, target_id: int) -> None:
        require(identity, Right.ADMINISTER)
        if not await self._store.remove_target(target_id, self._clock.wall()):
            raise NotFound("target", target_id)
        await self._accounts.audit(identity, "target.removed", f"target {target_id}")


def new_session_id(entropy: Entropy) -> str:
    """A UUID of version 4 (RFC 9562 section 5.4)."""
    octets = bytearray(entropy(16))
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    return _uuid(bytes(octets))


def _uuid(octets: bytes) -> str:
    text = octets.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def require(identity: Identity, right: Right) -> None:
    if not identity.can(right):
        raise Forbidden(
            f"The role {identity.role} of {identity.username} does not permit this; it needs {right}.",
            "Ask an administrator.",
        )
