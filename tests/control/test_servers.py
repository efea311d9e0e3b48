"""Servers: ordered, adopted, lost, heard again, deleted and recovered."""

from __future__ import annotations

import pytest

from callwright.autoscaler.places import Places
from callwright.autoscaler.rounds import Autoscaler
from callwright.control.accounts.model import PLATFORM, RIGHTS, Identity, Role
from callwright.control.agents.model import AgentInfo
from callwright.control.errors import Conflict, Forbidden, NotFound
from callwright.control.keeping.servers import ServerKeeper
from callwright.control.servers.service import STOPPED_DAYS
from callwright.control.services import Services
from callwright.dispatch.memory import MemoryBroker
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import Event, State
from callwright.host.fleet import Records
from callwright.net.clock import ManualClock
from tests.kit.machines import Cloud, MemoryProvider

VIEWER = Identity(9, "vic", Role.VIEWER, RIGHTS[Role.VIEWER])


class World:
    def __init__(self, services: Services, clock: ManualClock) -> None:
        self.services, self.clock = services, clock
        self.expelled: list[str] = []
        self.restored: list[str] = []
        self.keeper = ServerKeeper(
            services.servers, services.agents, clock, expel=self._expel, restore=self._restore
        )
        self.cloud, self.broker = Cloud(), MemoryBroker()
        records = Records(services, self.broker, expel=self._expel, url="http://127.0.0.1:1")
        places = Places({"process": lambda: MemoryProvider(self.cloud)}, clock, {"process": 0.0})
        self.fleet = Autoscaler(records, places, clock)

    async def _expel(self, agent_id: str) -> None:
        self.expelled.append(agent_id)

    async def _restore(self, agent_id: str) -> None:
        self.restored.append(agent_id)

    async def enrol(self, name: str = "lab-1") -> str:
        token, _ = await self.services.agents.create_enrolment(PLATFORM)
        agent, _ = await self.services.agents.enrol(token, name, AgentInfo(), address="192.0.2.9")
        return agent.id

    async def beat(self, agent_id: str) -> None:
        self.clock.advance(0.1)
        await self.services.agents.heartbeat(agent_id, AgentInfo("1.2", 20))
        await self.look()

    async def look(self) -> None:
        """What the platform does each second, and all that it began."""
        await self.keeper.once()
        await self.fleet.round()
        await self.fleet.doing.settle()

    async def silence(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            await self.look()

    async def machine(self, name: str) -> str:
        """The agent on a machine that was made enrols with what it was given."""
        info = AgentInfo("1.2", 10)
        agent, _ = await self.services.agents.enrol(self.cloud.tokens[name], "whatever", info)
        return agent.id

    async def server(self, name: str = "lab-1") -> ServerRecord:
        return await self.services.servers.get(name)


@pytest.fixture
def world(services: Services, clock: ManualClock) -> World:
    return World(services, clock)


async def test_an_agent_is_a_server_from_its_first_sign_of_life(world: World) -> None:
    agent_id = await world.enrol()
    await world.keeper.once()
    assert await world.services.servers.listed() == []
    await world.beat(agent_id)
    server = await world.server()
    assert (server.provider, server.pool, server.state) == ("private", "default", State.RUNNING)
    assert (server.version, server.capacity, server.last_login_ip) == ("1.2", 20, "192.0.2.9")
    embedded, _ = await world.services.agents.ensure_embedded("embedded", AgentInfo())
    await world.beat(embedded.id)
    assert (await world.server("embedded")).provider == "embedded"


async def test_a_silent_server_is_lost_within_30_s_and_runs_again_when_it_is_heard(world: World) -> None:
    agent_id = await world.enrol()
    await world.beat(agent_id)
    await world.silence(24)
    assert (await world.server()).state is State.RUNNING
    await world.silence(4)
    lost = await world.server()
    assert lost.state is State.ERROR
    assert lost.error in ("lost: not heard for 25 s", "lost: not heard for 26 s")
    await world.beat(agent_id)
    back = await world.server()
    assert (back.state, back.error) == (State.RUNNING, "")


async def test_nobody_is_lost_while_the_platform_could_not_listen(world: World) -> None:
    agent_id = await world.enrol()
    await world.beat(agent_id)
    world.clock.advance(3600)
    await world.silence(20)
    assert (await world.server()).state is State.RUNNING
    await world.silence(30)
    assert (await world.server()).state is State.ERROR


async def test_a_deleted_server_is_refused_and_may_be_recovered(world: World, admin: Identity) -> None:
    agent_id = await world.enrol()
    await world.beat(agent_id)
    number = (await world.server()).number
    deleted = await world.services.servers.cancel(admin, number)
    assert deleted.state is State.SHUTDOWN
    assert deleted.deleted_at is not None
    for _ in range(4):
        await world.look()
    assert (await world.server()).state is State.STOPPED
    assert world.expelled == [agent_id]
    assert await world.services.agents.heartbeat(agent_id, AgentInfo()) is None
    world.clock.advance(60)
    back = await world.services.servers.recover(admin, number)
    assert back.deleted_at is None
    await world.look()
    assert world.restored == [agent_id]
    await world.beat(agent_id)
    assert (await world.server()).state is State.RUNNING


async def test_an_ordered_server_gets_a_machine_whose_agent_makes_it_run(
    world: World, admin: Identity
) -> None:
    made = await world.services.servers.order(admin)
    await world.look()
    assert world.cloud.tags() == [made.name]
    await world.look()
    assert (await world.server(made.name)).state is State.STAGING
    await world.beat(await world.machine(made.name))
    running = await world.server(made.name)
    assert (running.state, running.version, running.capacity) == (State.RUNNING, "1.2", 20)
    assert running.address == world.cloud.machines[0][1].address
    assert running.last_login_at == world.clock.wall()


async def test_a_deleted_server_drains_and_its_agent_may_do_nothing_once_the_machine_is_gone(
    world: World, admin: Identity
) -> None:
    servers, agents = world.services.servers, world.services.agents
    made = await servers.order(admin)
    await world.silence(2)
    agent_id = await world.machine(made.name)
    await world.beat(agent_id)
    await agents.heartbeat(agent_id, AgentInfo("1.2", 10, busy=3))
    await servers.end(admin, made.name)
    await world.silence(5)
    assert (await world.server(made.name)).state is State.SHUTDOWN
    assert (await agents.get(agent_id)).state == "draining"
    assert world.cloud.tags() == [made.name]
    await agents.heartbeat(agent_id, AgentInfo("1.2", 10))
    await world.silence(2)
    gone = await world.server(made.name)
    assert (gone.state, gone.deleted_at is not None) == (State.STOPPED, True)
    assert world.cloud.tags() == []
    assert world.expelled == [agent_id]
    assert await agents.heartbeat(agent_id, AgentInfo()) is None


async def test_the_agent_of_a_stopped_server_is_revoked_though_the_platform_was_killed_before(
    world: World, admin: Identity
) -> None:
    servers = world.services.servers
    made = await servers.order(admin)
    await world.silence(2)
    agent_id = await world.machine(made.name)
    seen: ServerRecord | None = await world.server(made.name)
    for event in (Event.RETIRE, Event.DRAINED, Event.GONE):
        assert seen is not None
        seen = await servers.move(seen, event)
    await world.keeper.once()
    assert world.expelled == [agent_id]
    assert (await world.services.agents.get(agent_id)).state == "revoked"


async def test_nobody_creates_where_another_created_meanwhile(world: World, admin: Identity) -> None:
    servers = world.services.servers
    await servers.set_pool(admin, "lab", {"maximum": 9}, whole=True)
    (first,) = await servers.create("lab", 1, known=frozenset())
    assert await servers.create("lab", 1, known=frozenset()) == []
    assert len(await servers.create("lab", 1, known={first.name})) == 1


async def test_an_order_has_its_bounds_and_a_dormant_pool_makes_no_server(
    world: World, admin: Identity
) -> None:
    servers = world.services.servers
    with pytest.raises(NotFound):
        await servers.order(admin, "nowhere")
    with pytest.raises(Forbidden):
        await servers.order(VIEWER)
    made = await servers.order(admin)
    assert (made.pool, made.state, len(made.name)) == ("default", State.PENDING, len("agent-") + 8)
    assert (await servers.pool("default")).maximum == 10
    await world.services.agents.ensure_pool("north")
    with pytest.raises(Conflict, match="at most 0"):
        await servers.order(admin, "north")
    await servers.set_pool(admin, "lab", {"maximum": 2, "max_created_per_hour": 3}, whole=True)
    assert len(await servers.create("lab", 5)) == 2
    with pytest.raises(Conflict, match="2 of at most 2"):
        await servers.order(admin, "lab")
    await servers.set_pool(admin, "lab", {"maximum": "9"})
    assert len(await servers.create("lab", 5)) == 1
    with pytest.raises(Conflict, match="in an hour"):
        await servers.order(admin, "lab")
    with pytest.raises(Conflict, match="has 3 servers"):
        await servers.remove_pool(admin, "lab")
    with pytest.raises(Conflict, match="cannot be removed"):
        await servers.remove_pool(admin, "default")


async def test_force_hides_an_errored_server_whose_machine_is_destroyed_all_the_same(
    world: World, admin: Identity
) -> None:
    servers = world.services.servers
    made = await servers.order(admin)
    failed = await servers.move(made, Event.FAIL, error="the provider answers 500")
    assert failed is not None
    assert await servers.end(admin, made.name, force=True) is None
    with pytest.raises(NotFound):
        await servers.get(made.name)
    (kept,) = await servers.all()
    assert (kept.state, kept.forgotten) == (State.STOPPING, True)
    assert (await servers.counts())["created_err"] == 1


async def test_stopped_servers_of_a_provider_are_forgotten_after_a_month_and_enrolled_ones_never(
    world: World, admin: Identity
) -> None:
    servers = world.services.servers
    await world.beat(await world.enrol())
    (private,) = await servers.all()
    ordered = await servers.order(admin)
    for name in (private.name, ordered.name):
        await servers.end(admin, name)
    await world.silence(3)
    assert {one.state for one in await servers.all()} == {State.STOPPED}
    world.clock.advance((STOPPED_DAYS - 1) * 86_400)
    assert await servers.forget_stopped() == 0
    world.clock.advance(2 * 86_400)
    assert await servers.forget_stopped() == 1
    assert [one.name for one in await servers.all()] == [private.name]
    assert (await servers.recover(admin, private.number)).state is State.ERROR
