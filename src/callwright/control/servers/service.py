"""Servers: one record, moved by compare-and-set through the table of `fleet/server`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, Literal, Unpack

import msgspec

from callwright.control.accounts.authorize import authorize
from callwright.control.accounts.model import PLATFORM, Identity, Right
from callwright.control.agents.model import Agent
from callwright.control.agents.service import DEFAULT_POOL, Agents
from callwright.control.audit.service import Audit
from callwright.control.errors import Conflict, Invalid, NotFound
from callwright.control.servers.model import ServerRecord, counted
from callwright.control.servers.store import ServerStore
from callwright.fleet.pool import SETTINGS, Pool, PoolError, dormant, with_settings
from callwright.fleet.record import EMBEDDED, PRIVATE, Facts, NoSuchMove, moved
from callwright.fleet.server import Event, State
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy
from callwright.policy.addresses import is_host

__all__ = ["LIVE", "STOPPED_DAYS", "Servers", "facts_of"]

LIVE = tuple(state for state in State if state is not State.STOPPED)
STOPPED_DAYS = 31.0
"""That a server which a provider made is listed after it stopped, as long as decisions of the planner are."""
_HOUR, _DAY = 3600.0, 86_400.0
_TRIES = 20  # of a move that others were faster with
_LABELED: tuple[Literal["region", "place", "country", "network"], ...] = (
    "region",
    "place",
    "country",
    "network",
)  # labels that are fields of a server
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TOKEN_LASTS = 3600.0  # seconds that a machine has to boot and to enrol
_LONGEST = 255

#: Hears of every move: the server as it was, what happened, the server as it is.
Watcher = Callable[[ServerRecord, Event, ServerRecord], None]


class Servers:
    """Without an identity: for the workers of the fleet, of whom nobody needs to ask for it. With one: for
    people."""

    def __init__(
        self, store: ServerStore, agents: Agents, *, audit: Audit, clock: Clock, entropy: Entropy
    ) -> None:
        self._store, self._agents, self._audit = store, agents, audit
        self._clock, self._entropy = clock, entropy
        self.on_move: list[Watcher] = []

    # -- looking

    async def all(self, *states: State) -> Sequence[ServerRecord]:
        """Oldest first, those that stopped and those that were removed by force included; ``states``: only
        those in one of them."""
        return await self._store.servers(states)

    async def listed(self) -> list[ServerRecord]:
        """As people see them: without those that were removed by force."""
        return [one for one in await self._store.servers() if not one.forgotten]

    async def get(self, name: str) -> ServerRecord:
        """Raises NotFound."""
        found = await self._store.server(name)
        if found is None or found.forgotten:
            raise NotFound("server", name)
        return found

    async def of_agent(self, agent_id: str) -> ServerRecord | None:
        return await self._store.server_of_agent(agent_id)

    async def listed_for(self, identity: Identity) -> list[ServerRecord]:
        """Those in pools that the identity sees."""
        hidden = {pool.name for pool in await self._agents.pools()}
        hidden -= {pool.name for pool in await self._agents.pools_seen(identity)}
        return [one for one in await self.listed() if one.pool not in hidden]

    async def numbered(self, identity: Identity, number: int) -> ServerRecord:
        """Raises NotFound, for a server in another project's pool too."""
        found = await self._store.server_numbered(number)
        if found is None or found.forgotten or not await self._seen(identity, found):
            raise NotFound("server", number)
        return found

    async def _seen(self, identity: Identity, server: ServerRecord) -> bool:
        return await self._agents.may_use(server.pool, identity.project_ids)

    async def counts(self) -> Mapping[str, float]:
        """See `model.counted`."""
        return await self._store.counts()

    # -- moving

    async def move(self, seen: ServerRecord, event: Event, **facts: Unpack[Facts]) -> ServerRecord | None:
        """The server after the event, and what was learned with it; None when somebody else moved it since it
        was seen, or the table has no such move: look again."""
        try:
            after = moved(seen, event, self._clock.wall(), **facts)
        except NoSuchMove:
            return None
        async with self._store.transaction():
            written = await self._store.write_move(seen, after)
            if written is not None:
                await self._store.count(counted(seen, event, written))
        if written is not None:
            for watcher in self.on_move:
                watcher(seen, event, written)
        return written

    async def learn(self, name: str, **facts: Unpack[Facts]) -> ServerRecord | None:
        """What was learned of a server beside its state; None when it is gone."""
        return await self._store.learn(name, facts, self._clock.wall())

    async def token(self, server: ServerRecord) -> str:
        """The single-use token with which the agent of this server enrols; told only now."""
        token, _ = await self._agents.create_enrolment(
            PLATFORM, server.pool, _TOKEN_LASTS, server=server.name
        )
        return token

    # -- making

    async def create(
        self,
        pool_name: str,
        count: int = 1,
        *,
        size: str = "",
        region: str = "",
        known: Set[str] | None = None,
    ) -> list[ServerRecord]:
        """At most ``count`` servers more, as many as maximum and spending bound of the pool permit; two who
        create at once never pass them together. ``known``: none where the pool has a server that lives and is
        not among them, for somebody else created meanwhile. Raises NotFound for the pool."""
        async with self._store.transaction():
            pool = await self._pool(pool_name, lock=True)
            if known is not None and await self._names(pool) - known:
                return []
            room = 0 if pool.removed else max(0, pool.maximum - await self._held(pool))
            room = min(room, count, max(0, await self._may_spend(pool)))
            made = [await self._add(pool, size, region) for _ in range(room)]
        self._tell_new(made)
        return made

    async def order(
        self, identity: Identity, pool_name: str | None = None, *, size: str = "", region: str = ""
    ) -> ServerRecord:
        """One server that a person asks for; without a pool in `default`, beyond its maximum too. A `default`
        that nobody has set up is a pool of the usual settings from then on. Raises NotFound, Conflict with
        the bound that forbids it."""
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            if pool_name is None:
                await self._agents.ensure_pool(DEFAULT_POOL)
            pool = await self._pool(pool_name or DEFAULT_POOL, lock=True)
            if pool_name is None and pool == dormant(DEFAULT_POOL):
                await self._store.put_fleet_pool(pool := Pool(DEFAULT_POOL))
            if pool.removed:
                raise Conflict(f"The pool {pool.name} is being removed.", "Choose another one.")
            if pool_name is not None and (held := await self._held(pool)) >= pool.maximum:
                raise Conflict(
                    f"The pool {pool.name} has {held} of at most {pool.maximum} servers.",
                    "Raise its maximum, or delete a server first.",
                )
            if await self._may_spend(pool) < 1:
                raise Conflict(
                    f"The pool {pool.name} may make {pool.max_created_per_hour} servers in an hour, "
                    "and has made as many.",
                    "Wait, or raise max_created_per_hour.",
                )
            made = await self._add(pool, size, region)
            await self._audit.note(identity, "server.created", f"server {made.name}", f"pool {pool.name}")
        self._tell_new([made])
        return made

    async def _names(self, pool: Pool) -> set[str]:
        return {one.name for one in await self._store.servers(LIVE) if one.pool == pool.name}

    async def _held(self, pool: Pool) -> int:
        """Servers that cost money: errored ones count apart, since they are replaced at once."""
        return sum(
            one.pool == pool.name and one.ours and one.state is not State.ERROR
            for one in await self._store.servers(LIVE)
        )

    async def _may_spend(self, pool: Pool) -> int:
        if pool.max_created_per_hour is None:
            return 1_000_000
        recent = await self._store.created_since(pool.name, self._clock.wall() - _HOUR)
        return pool.max_created_per_hour - len(recent)

    async def _add(self, pool: Pool, size: str, region: str) -> ServerRecord:
        now = self._clock.wall()
        name = f"agent-{self._word(8)}"
        return await self._store.add_server(
            ServerRecord(
                number=0,
                name=name,
                label=name,
                provider=pool.provider,
                pool=pool.name,
                state=State.PENDING,
                created=now,
                updated=now,
                since=now,
                image=pool.image,
                region=region or pool.region,
                size=size or pool.sizes[0],
                capacity=pool.capacity,
                labels=pool.labels,
            )
        )

    def _word(self, length: int) -> str:
        return "".join(_LETTERS[octet % len(_LETTERS)] for octet in self._entropy(length))

    async def adopt(self, agent: Agent, *, embedded: bool = False) -> ServerRecord:
        """The server of an agent that no provider made, at its first sign of life."""
        now = self._clock.wall()
        server = ServerRecord(
            number=0,
            name=agent.name,
            label=agent.name,
            provider=EMBEDDED if embedded else PRIVATE,
            pool=agent.pool,
            state=State.RUNNING,
            created=now,
            updated=now,
            since=now,
            started=now,
            last_login_at=now,
        )
        server = msgspec.structs.replace(server, **facts_of(agent))
        try:
            made = await self._store.add_server(server)
        except Conflict:  # a server of a provider may be called the same
            name = f"{agent.name}-{agent.id[:6]}"
            made = await self._store.add_server(msgspec.structs.replace(server, name=name, label=name))
        self._tell_new([made])
        return made

    def _tell_new(self, made: Sequence[ServerRecord]) -> None:
        for one in made:
            for watcher in self.on_move:
                watcher(one, Event.ALLOCATE if one.state is State.PENDING else Event.HEARD, one)

    # -- ending, and bringing back

    async def end(self, identity: Identity, name: str, *, force: bool = False) -> ServerRecord | None:
        """It takes no new work, finishes what it has and goes; the record as it is then. ``force``: an
        errored one is listed no more from now on (None), and its machine is destroyed at once. Raises
        NotFound."""
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            for _ in range(_TRIES):
                server = await self.get(name)
                if force and server.state is State.ERROR:
                    ended = await self._forget(server)
                elif server.state in (State.SHUTDOWN, State.STOPPING, State.STOPPED):
                    return server
                else:
                    ended = await self._retire(server)
                if ended is not None:
                    break
            else:
                raise Conflict(f"The server {name} changes too fast.", "Try again.")
            how = "by force" if ended.forgotten else ""
            await self._audit.note(identity, "server.deleted", f"server {name}", how)
        return None if ended.forgotten else ended

    async def cancel(self, identity: Identity, number: int) -> ServerRecord:
        """As `end`, of the server with this number."""
        authorize(identity, Right.ADMINISTER)
        server = await self.numbered(identity, number)
        ended = await self.end(identity, server.name)
        assert ended is not None
        if ended.deleted_at is None:  # it was on its way already
            ended = await self.learn(ended.name, deleted_at=self._clock.wall()) or ended
        return ended

    async def _retire(self, server: ServerRecord) -> ServerRecord | None:
        return await self.move(server, Event.RETIRE, deleted_at=self._clock.wall())

    async def _forget(self, server: ServerRecord) -> ServerRecord | None:
        now = self._clock.wall()
        if server.ours:
            return await self.move(server, Event.REAP, forgotten=True, deleted_at=now)
        gone = await self._store.remove_server(server)
        return msgspec.structs.replace(server, forgotten=True) if gone else None

    async def recover(self, identity: Identity, number: int) -> ServerRecord:
        """A deleted one that a person enrolled works again when its agent is heard. Raises Conflict where a
        provider made it and its machine is going or gone."""
        authorize(identity, Right.ADMINISTER)
        server = await self.numbered(identity, number)
        if server.deleted_at is None:
            return server
        if server.ours:
            raise Conflict(
                f"The server {server.name} cannot be recovered: its machine is {server.state}.",
                "Ask for a new one: POST /api/servers",
            )
        async with self._audit.change():
            if server.agent_id is not None:
                await self._agents.restore(identity, server.agent_id)
            back = await self.move(
                server, Event.RECOVER, deleted_at=None, error="not heard since it was recovered"
            )
            if back is None:
                raise Conflict(f"The server {server.name} was changed meanwhile.", "Try again.")
            await self._audit.note(identity, "server.recovered", f"server {server.name}")
        return back

    async def describe(self, identity: Identity, number: int, **facts: Unpack[Facts]) -> ServerRecord:
        """What people call it, and where they say that it is. Raises NotFound, Invalid for an address that is
        none."""
        authorize(identity, Right.ADMINISTER)
        host = facts.get("ip_address")
        if host is not None and not is_host(host):
            raise Invalid(f"{host!r} is neither an address nor a host name.", field="ip_address")
        async with self._audit.change():
            server = await self.numbered(identity, number)
            changed = await self._store.learn(server.name, facts, self._clock.wall())
            if changed is None:
                raise NotFound("server", number)
            await self._audit.note(
                identity, "server.changed", f"server {server.name}", ", ".join(sorted(facts))
            )
        return changed

    async def forget_stopped(self) -> int:
        """Those that a provider made and that stopped long ago are listed no more; how many. One that a
        person enrolled stays, since it may be recovered."""
        before = self._clock.wall() - STOPPED_DAYS * _DAY
        old = [
            one
            for one in await self._store.servers((State.STOPPED,))
            if one.ours and one.stopped is not None and one.stopped < before
        ]
        return sum([await self._store.remove_server(one) for one in old])

    # -- the fleet

    async def installation(self) -> str:
        """By which this platform knows its machines in a cloud; made once."""
        async with self._store.transaction():
            word = await self._store.installation()
            if word is None:
                word = f"cw{self._word(6)}"
                await self._store.set_installation(word)
        return word

    async def paused(self) -> bool:
        return await self._store.paused()

    async def pause(self, identity: Identity, paused: bool) -> None:
        """While it is paused servers are neither made nor ended by themselves; it outlives a restart."""
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            await self._store.set_paused(paused)
            await self._audit.note(identity, "fleet.paused" if paused else "fleet.resumed", "fleet")

    # -- pools

    async def pools(self) -> Sequence[Pool]:
        return await self._store.fleet_pools()

    async def created_since(self, pool: str, time: float) -> Sequence[float]:
        """When the pool's servers were created since then, those that are gone included."""
        return await self._store.created_since(pool, time)

    async def _pool(self, name: str, *, lock: bool = False) -> Pool:
        found = await self._store.fleet_pool(name, lock=lock)
        if found is None:
            raise NotFound("pool", name, near=[one.name for one in await self._store.fleet_pools()][:3])
        return found

    async def pool(self, name: str) -> Pool:
        """Raises NotFound."""
        return await self._pool(name)

    async def set_pool(
        self, identity: Identity, name: str, settings: Mapping[str, Any], *, whole: bool = False
    ) -> Pool:
        """Changes what ``settings`` name; ``whole``: all else gets its default, and the pool is made when it
        is not there. Raises NotFound, Invalid, Conflict while it is being removed."""
        authorize(identity, Right.ADMINISTER)
        try:
            begun = with_settings(Pool(name), settings)
            async with self._audit.change():
                if whole:
                    await self._agents.ensure_pool(name)
                known = await self._pool(name, lock=True)
                if known.removed:
                    raise Conflict(f"The pool {name} is being removed.", "Wait until it has no servers.")
                pool = begun if whole else with_settings(known, settings)
                if pool == known:
                    return known
                await self._store.put_fleet_pool(pool)
                changed = [one for one in SETTINGS if getattr(pool, one) != getattr(known, one)]
                await self._audit.note(identity, "fleet.pool", f"pool {name}", ", ".join(changed))
        except PoolError as error:
            raise Invalid(str(error), field=error.field) from None
        return pool

    async def remove_pool(self, identity: Identity, name: str, *, drain: bool = False) -> bool:
        """Whether it is gone now; with ``drain`` its servers end first. Raises Conflict while it has servers,
        or some that a person enrolled; NotFound."""
        authorize(identity, Right.ADMINISTER)
        if name == DEFAULT_POOL:
            raise Conflict(f"The pool {DEFAULT_POOL} cannot be removed.")
        async with self._audit.change():
            pool = await self._pool(name, lock=True)
            inside = [one for one in await self._store.servers(LIVE) if one.pool == name]
            by_hand = [one for one in inside if not one.ours and one.deleted_at is None]
            if by_hand:
                raise Conflict(
                    f"The pool {name} has servers that were enrolled by hand: "
                    f"{', '.join(one.label for one in by_hand[:5])}.",
                    "Delete them first.",
                )
            if not inside:
                await self._agents.delete_pool(identity, name)
                return True
            if not drain:
                raise Conflict(f"The pool {name} has {len(inside)} servers.", "Add ?drain=true to end them.")
            await self._store.put_fleet_pool(replace(pool, removed=True))
            await self._audit.note(identity, "fleet.pool", f"pool {name}", "drained, to be removed")
        return False

    async def finish_removals(self) -> None:
        """Pools that were to be drained and have no servers any more go."""
        for pool in await self._store.fleet_pools():
            if pool.removed:
                async with self._audit.change():
                    if not any(one.pool == pool.name for one in await self._store.servers(LIVE)):
                        await self._agents.delete_pool(PLATFORM, pool.name)


def facts_of(agent: Agent, server: ServerRecord | None = None) -> Facts:
    """What an agent says of its server; its labels may name the region and the place. An address that the
    provider gave stays."""
    known = server.address if server is not None and server.ours else ""
    facts = Facts(
        agent_id=agent.id,
        version=agent.version,
        capacity=agent.capacity,
        address=known or agent.address,
        last_login_ip=agent.address,
        labels=agent.labels,
    )
    for name in _LABELED:
        if agent.labels.get(name):
            facts[name] = agent.labels[name]
    return facts
