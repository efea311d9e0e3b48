"""Endpoints and VoIP tests: who may change them, and what makes sense."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right
from callwright.control.agents.service import Agents
from callwright.control.audit.service import Audit
from callwright.control.credentials.service import Credentials
from callwright.control.errors import Conflict, NotFound, RefusedByPolicy
from callwright.control.monitors.measurements import Measurements
from callwright.control.monitors.model import Category, Endpoint, Latest, VoipTest
from callwright.control.monitors.sense import blank, checked_test, first, settled, uri, wrong
from callwright.control.monitors.store import MonitorStore
from callwright.control.projects.service import Projects
from callwright.control.runs.admission import rules
from callwright.control.runs.remedies import by_administrator
from callwright.control.servers.service import Servers
from callwright.control.targets.service import Targets
from callwright.net.clock import Clock
from callwright.policy.destination import Destination, Purpose, decide

__all__ = ["FIELDS", "Monitors"]

#: Of an endpoint, as `create` and `change` take them.
FIELDS = (
    "name",
    "ip_address",
    "port",
    "description",
    "category",
    "interval",
    "alert_threshold",
    "alert_ids",
    "uri",
    "credentials",
    "transport",
)
_PURPOSE = {
    Category.CALL: Purpose.CALL,
    Category.REGISTER: Purpose.REGISTER,
    Category.PING: Purpose.OPTIONS,
    Category.SIP: Purpose.OPTIONS,
    Category.UDP: Purpose.OPTIONS,
}


class Monitors:
    """``alert_ids``: those of a project that may be raised. ``embedded``: one person's installation, where
    what is near is permitted, as for runs."""

    def __init__(
        self,
        store: MonitorStore,
        projects: Projects,
        servers: Servers,
        agents: Agents,
        credentials: Credentials,
        targets: Targets,
        *,
        audit: Audit,
        clock: Clock,
        alert_ids: Callable[[int], Awaitable[Collection[int]]],
        embedded: bool = True,
    ) -> None:
        self._alert_ids = alert_ids
        self._store, self._projects, self._servers, self._agents = store, projects, servers, agents
        self._credentials, self._targets = credentials, targets
        self._audit, self._clock, self._embedded = audit, clock, embedded
        self.measurements = Measurements(store, servers, credentials, targets, clock=clock, embedded=embedded)

    # -- endpoints

    async def endpoints(self, identity: Identity) -> list[Endpoint]:
        """Those the identity sees, oldest first, cancelled ones included."""
        return await self._store.endpoints(identity.project_ids)

    async def endpoint(self, identity: Identity, endpoint_id: int) -> Endpoint:
        """Cancelled or not. Raises NotFound."""
        found = await self._store.endpoint(endpoint_id)
        if found is None or not may(identity, Right.READ, found.project_id):
            raise NotFound("endpoint", endpoint_id)
        return found

    async def create(
        self,
        identity: Identity,
        fields: Mapping[str, Any],
        *,
        server_ids: Sequence[int] = (),
        project: str | None = None,
    ) -> Endpoint:
        """With a VoIP test for each server. Raises Invalid, NotFound, RefusedByPolicy, Forbidden."""
        authorize(identity, Right.EDIT)
        owner = await self._projects.own(identity, project)
        authorize(identity, Right.EDIT, owner.id)
        now = self._clock.wall()
        endpoint = await self._checked(msgspec.structs.replace(blank(owner.id, now), **fields))
        await self._check_servers(identity, endpoint, server_ids)
        async with self._audit.change():
            added = await self._store.add_endpoint(endpoint)
            for server_id in dict.fromkeys(server_ids):
                await self._store.add_voip_test(first(added.id, server_id, now))
            await self._store.bump(server_ids)
            await self._audit.note(identity, "endpoint.created", f"endpoint {added.name}", added.category)
        return added

    async def change(
        self,
        identity: Identity,
        endpoint_id: int,
        fields: Mapping[str, Any],
        *,
        server_ids: Sequence[int] | None = None,
    ) -> Endpoint:
        """What ``fields`` name; ``server_ids``: exactly these servers test it from now on. Raises NotFound,
        Invalid, Conflict for a cancelled one, RefusedByPolicy, Forbidden."""
        known = await self._editable(identity, endpoint_id)
        if "category" in fields and "port" not in fields and fields["category"] != known.category:
            fields = {**fields, "port": None}
        changed = await self._checked(msgspec.structs.replace(known, **fields))
        tests = await self._store.voip_tests(endpoint_id)
        if server_ids is not None:
            new = set(server_ids) - {one.server_id for one in tests if one.deleted_at is None}
            await self._check_servers(identity, changed, [one for one in server_ids if one in new])
        async with self._audit.change():
            kept = await self._store.replace_endpoint(changed)
            if kept is None:
                raise NotFound("endpoint", endpoint_id)
            if server_ids is not None:
                await self._set_servers(kept, tests, server_ids)
            await self._bump_all(kept.id)
            named = sorted([*fields, *(["server_ids"] if server_ids is not None else [])])
            await self._audit.note(identity, "endpoint.changed", f"endpoint {kept.name}", ", ".join(named))
        return kept

    async def check(self, identity: Identity, endpoint: Endpoint, server_ids: Sequence[int]) -> Endpoint:
        """As it would be kept; changes nothing. Raises what `create` and `change` do."""
        authorize(identity, Right.EDIT, endpoint.project_id)
        checked = await self._checked(endpoint)
        await self._check_servers(identity, checked, server_ids)
        return checked

    async def cancel(self, identity: Identity, endpoint_id: int) -> Endpoint:
        """It is tested no more; record and history stay. Raises NotFound, Forbidden."""
        return await self._move(identity, endpoint_id, self._clock.wall(), "endpoint.deleted")

    async def recover(self, identity: Identity, endpoint_id: int) -> Endpoint:
        """Raises NotFound, Forbidden, RefusedByPolicy."""
        return await self._move(identity, endpoint_id, None, "endpoint.recovered")

    async def _move(
        self, identity: Identity, endpoint_id: int, deleted_at: float | None, action: str
    ) -> Endpoint:
        known = await self.endpoint(identity, endpoint_id)
        authorize(identity, Right.EDIT, known.project_id)
        if (known.deleted_at is None) == (deleted_at is None):
            return known
        if deleted_at is None:
            await self._check_place(known)
        async with self._audit.change():
            kept = await self._store.replace_endpoint(msgspec.structs.replace(known, deleted_at=deleted_at))
            if kept is None:
                raise NotFound("endpoint", endpoint_id)
            await self._bump_all(endpoint_id)
            await self._audit.note(identity, action, f"endpoint {kept.name}")
        return kept

    async def pause(self, identity: Identity, endpoint_id: int) -> Endpoint:
        """No server tests it until `resume`: its VoIP tests are cancelled together. Raises NotFound, Conflict
        for a cancelled one, Forbidden."""
        known = await self._editable(identity, endpoint_id)
        active = [one for one in await self._store.voip_tests(endpoint_id) if one.deleted_at is None]
        await self._set_paused(identity, known, active, self._clock.wall())
        return known

    async def resume(self, identity: Identity, endpoint_id: int) -> Endpoint:
        """The servers test it again that were the last to be cancelled. Raises NotFound, Conflict, Invalid,
        Forbidden."""
        known = await self._editable(identity, endpoint_id)
        tests = await self._store.voip_tests(endpoint_id)
        paused_at = max((one.deleted_at for one in tests if one.deleted_at is not None), default=None)
        if all(one.deleted_at is not None for one in tests):
            paused = [one for one in tests if one.deleted_at == paused_at]
            await self._check_servers(identity, known, [one.server_id for one in paused])
            await self._check_place(known)
            await self._set_paused(identity, known, paused, None)
        return known

    async def _set_paused(
        self, identity: Identity, endpoint: Endpoint, tests: Sequence[VoipTest], deleted_at: float | None
    ) -> None:
        if not tests:
            return
        async with self._audit.change():
            for one in tests:
                await self._store.replace_voip_test(msgspec.structs.replace(one, deleted_at=deleted_at))
            await self._store.bump([one.server_id for one in tests])
            await self._note(identity, endpoint, "resumed" if deleted_at is None else "paused")

    async def _editable(self, identity: Identity, endpoint_id: int) -> Endpoint:
        known = await self.endpoint(identity, endpoint_id)
        authorize(identity, Right.EDIT, known.project_id)
        if known.deleted_at is not None:
            raise Conflict(f"The endpoint {known.name!r} was cancelled.", "Recover it first.")
        return known

    async def _set_servers(
        self, endpoint: Endpoint, tests: Sequence[VoipTest], server_ids: Sequence[int]
    ) -> None:
        now = self._clock.wall()
        there = {one.server_id: one for one in tests}
        for server_id in dict.fromkeys(server_ids):
            known = there.get(server_id)
            if known is None:
                await self._store.add_voip_test(first(endpoint.id, server_id, now))
            elif known.deleted_at is not None:
                await self._store.replace_voip_test(msgspec.structs.replace(known, deleted_at=None))
        for one in tests:
            if one.server_id not in server_ids and one.deleted_at is None:
                await self._store.replace_voip_test(msgspec.structs.replace(one, deleted_at=now))

    async def _bump_all(self, endpoint_id: int) -> None:
        """The plans of all servers that test it, or did."""
        await self._store.bump([one.server_id for one in await self._store.voip_tests(endpoint_id)])

    # -- VoIP tests

    async def voip_tests(self, identity: Identity, endpoint_id: int) -> list[VoipTest]:
        await self.endpoint(identity, endpoint_id)
        return await self._store.voip_tests(endpoint_id)

    async def all_voip_tests(self, identity: Identity) -> list[VoipTest]:
        """Of the endpoints that the identity sees."""
        seen = {one.id for one in await self.endpoints(identity)}
        return [one for one in await self._store.voip_tests() if one.endpoint_id in seen]

    async def latest(self, identity: Identity) -> list[Latest]:
        """The newest slot of each VoIP test that goes on, of the endpoints that the identity sees."""
        return await self._store.latest(identity.project_ids)

    async def latest_of_all(self) -> list[Latest]:
        """For the platform's own metrics, which belong to no identity."""
        return await self._store.latest(None)

    async def names(self) -> dict[int, str]:
        """Of all endpoints, for the platform's own metrics."""
        return {one.id: one.name for one in await self._store.endpoints(None)}

    async def voip_test(self, identity: Identity, endpoint_id: int, voip_test_id: int) -> VoipTest:
        await self.endpoint(identity, endpoint_id)
        found = await self._store.voip_test(voip_test_id)
        if found is None or found.endpoint_id != endpoint_id:
            raise NotFound("VoIP test", voip_test_id)
        return found

    async def add_voip_test(
        self, identity: Identity, endpoint_id: int, server_id: int, fields: Mapping[str, Any]
    ) -> VoipTest:
        """Raises NotFound, Invalid, Conflict where the server tests the endpoint already."""
        endpoint = await self._editable(identity, endpoint_id)
        await self._check_servers(identity, endpoint, [server_id])
        row = checked_test(
            msgspec.structs.replace(first(endpoint.id, server_id, self._clock.wall()), **fields)
        )
        try:
            async with self._audit.change():
                added = await self._store.add_voip_test(row)
                await self._store.bump([server_id])
                await self._note(identity, endpoint, f"server {server_id} tests it")
        except Conflict:
            raise Conflict(
                f"The server {server_id} has a VoIP test of this endpoint already.",
                "Change it, or recover it when it was cancelled.",
            ) from None
        return added

    async def change_voip_test(
        self, identity: Identity, endpoint_id: int, voip_test_id: int, fields: Mapping[str, Any]
    ) -> VoipTest:
        endpoint = await self._editable(identity, endpoint_id)
        known = await self.voip_test(identity, endpoint_id, voip_test_id)
        return await self._replace(identity, endpoint, msgspec.structs.replace(known, **fields))

    async def cancel_voip_test(self, identity: Identity, endpoint_id: int, voip_test_id: int) -> VoipTest:
        return await self._move_test(identity, endpoint_id, voip_test_id, self._clock.wall())

    async def recover_voip_test(self, identity: Identity, endpoint_id: int, voip_test_id: int) -> VoipTest:
        return await self._move_test(identity, endpoint_id, voip_test_id, None)

    async def _move_test(
        self, identity: Identity, endpoint_id: int, voip_test_id: int, deleted_at: float | None
    ) -> VoipTest:
        endpoint = await self._editable(identity, endpoint_id)
        known = await self.voip_test(identity, endpoint_id, voip_test_id)
        if (known.deleted_at is None) == (deleted_at is None):
            return known
        if deleted_at is None:
            await self._check_servers(identity, endpoint, [known.server_id])
        return await self._replace(identity, endpoint, msgspec.structs.replace(known, deleted_at=deleted_at))

    async def _replace(self, identity: Identity, endpoint: Endpoint, test: VoipTest) -> VoipTest:
        checked = checked_test(test)
        async with self._audit.change():
            kept = await self._store.replace_voip_test(checked)
            if kept is None:
                raise NotFound("VoIP test", test.id)
            await self._store.bump([kept.server_id])
            await self._note(identity, endpoint, f"VoIP test {kept.id}")
        return kept

    async def _note(self, identity: Identity, endpoint: Endpoint, detail: str) -> None:
        await self._audit.note(identity, "endpoint.changed", f"endpoint {endpoint.name}", detail)

    # -- what makes sense

    async def _check_servers(self, identity: Identity, endpoint: Endpoint, server_ids: Sequence[int]) -> None:
        for server_id in server_ids:
            try:
                server = await self._servers.numbered(identity, server_id)
            except NotFound:
                raise wrong("server_ids", f"There is no server {server_id}.") from None
            if server.deleted_at is not None:
                raise wrong("server_ids", f"The server {server.label} was cancelled.", "Recover it first.")
            if not await self._agents.may_use(server.pool, (endpoint.project_id,)):
                raise wrong("server_ids", f"The server {server.label} belongs to another project.")

    async def _checked(self, endpoint: Endpoint) -> Endpoint:
        """With the defaults of its category. Raises Invalid, RefusedByPolicy."""
        endpoint = settled(endpoint)
        if endpoint.alert_ids:
            known = await self._alert_ids(endpoint.project_id)
            for alert_id in endpoint.alert_ids:
                if alert_id not in known:
                    raise wrong("alert_ids", f"There is no alert {alert_id} in this project.")
        name = endpoint.credentials
        if name and name not in await self._credentials.revealed(endpoint.project_id):
            raise wrong(
                "credentials", f"There is no SIP account {name!r}.", "Add it on the page SIP accounts."
            )
        await self._check_place(endpoint)
        return endpoint

    async def _check_place(self, endpoint: Endpoint) -> None:
        """A name without an address passes here; the agent asks again after DNS."""
        purpose = _PURPOSE.get(endpoint.category)
        if purpose is None:
            return
        user = ""
        if endpoint.category is Category.CALL and endpoint.uri:
            user = uri(endpoint.uri).user or ""
        place = Destination(host=endpoint.ip_address, port=endpoint.port, user=user)
        decision = decide(purpose, place, rules(await self._targets.list(), embedded=self._embedded))
        if not decision.allowed:
            remedy = by_administrator(decision.remedy) if decision.remedy is not None else ""
            raise RefusedByPolicy("ip_address", decision.reason, remedy)
