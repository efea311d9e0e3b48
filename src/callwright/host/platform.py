"""The parent process of `serve`: the keeper, and the children it starts, watches and ends.

Children: nats-server, the HTTP workers, the agent of this machine, the reference PBX. They share nothing but
the database and NATS, and none outlives the parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from callwright.host import first_start
from callwright.host.evidence_place import note_place
from callwright.host.hearing import agent_hears, pbx_hears, until_healthy, web_hears
from callwright.host.logging import log_nats_line, set_up
from callwright.host.operator import EXIT_PLATFORM, EXIT_REVOKED, Refused, say
from callwright.host.ports import claim_port, free_udp_port
from callwright.host.settings import NatsAddress, ServeSettings, secret_variables
from callwright.host.several import join, node_of
from callwright.host.supervised import ProcessLine
from callwright.host.supervisor import Child, Supervisor
from callwright.host.web_worker import WebSettings, figures_folder, write_settings

if TYPE_CHECKING:
    from callwright.control.services import Services
    from callwright.dispatch.nats import NatsBroker
    from callwright.host.callout import Callout
    from callwright.host.nats_server import NatsServer
    from callwright.host.several import Node
    from callwright.host.term import Term

AGENT_NAME = "embedded"
_LOOPBACK = "127.0.0.1"
_BROKER_SECONDS = 20.0
# Not for the children. The HTTP workers read evidence too, and may need what the standard chain looks at.
_PRIVATE = secret_variables(ServeSettings)
_FOR_WEB = "AWS_"
_NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class Platform:
    """`await Platform(settings).run(stop)` until `stop` is set. Raises Refused when it cannot start."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self._supervisor = Supervisor(self._fell)
        self._nats: NatsServer | None = None
        self._lock: IO[str] | None = None
        self.port = settings.port
        self._pbx: tuple[str, int] | None = None
        self._node: Node
        self._sip_socket: tuple[int, str] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await self._run(stop)
        except OSError as error:
            if error.errno not in _NO_PLACE:
                raise
            raise _no_place(error, self.settings.data) from None

    async def _run(self, stop: asyncio.Event) -> None:
        self._prepare()
        async with contextlib.AsyncExitStack() as exits:
            broker = await self._start_broker(exits)
            if stop.is_set():
                return
            connection = await self._connect(exits, broker)
            services, new = await self._open_services(exits, broker)
            exits.push_async_callback(self._supervisor.stop)
            own = (await self._start_pbx(services, broker),) if self.settings.pbx else ()
            term = self._term(services, connection, own, await self._callout(services, connection), exits)
            await self._lead(term, services, connection, exits)
            exits.push_async_callback(self._supervisor.stop)
            await self._start_web(broker)
            if self.settings.agent:
                await self._start_agent(services, broker)
            exits.push_async_callback(term.close_fleet)
            await self._say_ready(services, stop, new)
            await stop.wait()
            say("ending …")

    # -- before anything

    def _prepare(self) -> None:
        settings = self.settings
        set_up(settings.log_format, logging.INFO if settings.verbose else logging.WARNING)
        try:
            settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = open(settings.data / "serve.lock", "a")  # noqa: SIM115 (held until we end)
        except OSError as error:
            raise Refused(
                f"--data {settings.data} cannot be used: {error.strerror or error}",
                "Give the folder to the user that Callwright runs as, or name another one.",
                code=EXIT_PLATFORM,
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(
                f"another `callwright serve` is using {settings.data}",
                "End it first, or give this one another --data.",
                code=EXIT_PLATFORM,
            ) from None
        self.port = claim_port(settings.host, settings.port)

    # -- NATS

    async def _start_broker(self, exits: contextlib.AsyncExitStack) -> NatsAddress:
        from callwright.dispatch.broker import BrokerError
        from callwright.host.nats_server import NatsServer

        settings = self.settings
        if settings.nats is not None:
            return settings.nats
        names = [settings.nats_name] if settings.nats_name else []
        if settings.public_url and not names:
            names = [urlsplit(settings.public_url).hostname or ""]
        server = NatsServer(
            settings.data / "nats",
            listen=settings.nats_listen,
            names=names,
            websocket_url=settings.nats_websocket_url,
            on_fall=say,
            on_line=log_nats_line if settings.log_format == "json" else None,
        )
        try:
            await server.start()
        except (BrokerError, OSError) as error:
            await server.close()
            if isinstance(error, OSError) and error.errno in _NO_PLACE:
                raise
            remedy = (
                f"Its log is {server.folder / 'nats-server.log'}; see that --nats-listen names a free port."
            )
            raise Refused(str(error), remedy, code=EXIT_PLATFORM, blame="platform") from None
        exits.push_async_callback(server.close)
        self._nats = server
        shown = server.credentials()
        return NatsAddress(server.url, shown["user"], shown["password"], shown["ca"])

    async def _connect(self, exits: contextlib.AsyncExitStack, broker: NatsAddress) -> NatsBroker:
        from callwright.dispatch.broker import BrokerError, CredentialsRefused
        from callwright.dispatch.nats import NatsBroker

        try:
            connection = await NatsBroker.connect(
                broker.url,
                user=broker.user,
                password=broker.password,
                ca=broker.ca,
                name="callwright-keeper",
                wait=_BROKER_SECONDS,
            )
            exits.push_async_callback(connection.close)
            await _require_jetstream(connection, _BROKER_SECONDS if "," in broker.url else 0.0)
        except CredentialsRefused as error:
            remedy = "Put them into the URL: --nats nats://user:password@host:port."
            raise Refused(str(error), remedy, code=EXIT_PLATFORM, blame="platform") from None
        except (BrokerError, ValueError) as error:
            remedy = "See the page on deployment, A NATS of your own; without --nats we start one ourselves."
            raise Refused(
                str(error), remedy if self._nats is None else "", code=EXIT_PLATFORM, blame="platform"
            ) from None
        return connection

    # -- the records

    async def _open_services(
        self, exits: contextlib.AsyncExitStack, broker: NatsAddress
    ) -> tuple[Services, first_start.FirstStart | None]:
        from callwright.control.errors import DomainError
        from callwright.control.runs.settings import RunSettings
        from callwright.control.services import Services
        from callwright.control.storage.occupancy import Occupancy
        from callwright.control.storage.schema import Location
        from callwright.net.clock import SystemClock
        from callwright.net.entropy import system_entropy

        settings = self.settings
        try:
            location = Location.of(settings.data, settings.database)
            occupancy = await Occupancy.take(location, on_loss=_tell_of_restore)
            exits.push_async_callback(occupancy.close)
            services = await Services.open(
                settings.data,
                clock=SystemClock(),
                entropy=system_entropy,
                database=settings.database,
                evidence=settings.evidence_location,
                limits=settings.evidence_limits,
                cdr_retention=settings.cdr_retention * 86_400.0 or None,
                settings=RunSettings(embedded=not settings.strangers),
                migrate=True,
                new_secret_key=settings.new_secret_key,
                site=settings.public_url,
            )
        except (DomainError, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno in _NO_PLACE:
                raise
            remedy = getattr(error, "remedy", "")
            raise Refused(str(error), remedy, code=EXIT_PLATFORM, blame="platform") from None
        exits.push_async_callback(services.close)
        self._node = node_of(settings.data, services.entropy)
        if self._database_is_shared:
            await join(services, self._node, one_nats=settings.nats is not None)
        note_place(settings.data, settings.evidence_location)
        await _tell_of_closed_secrets(services)
        looking = asyncio.ensure_future(_look_at_evidence(services))
        exits.callback(looking.cancel)
        new = await first_start.prepare(
            services, settings.admin_email, settings.admin_password, demo=settings.demo
        )
        await _set_pools(services, settings.pools)
        if new is not None:
            first_start.keep(new, settings.data)
            exits.callback(first_start.tell, new)  # where we end before it was told
        return services, new

    # -- what one platform does at a time

    def _term(
        self,
        services: Services,
        broker: NatsBroker,
        own: tuple[tuple[str, int], ...],
        callout: Callout | None,
        exits: contextlib.AsyncExitStack,
    ) -> Term:
        from callwright.control.notifications.delivery import Delivery
        from callwright.host.apprise_sender import AppriseSender
        from callwright.host.providers import Agents
        from callwright.host.term import Term
        from callwright.net.posting import Posting
        from callwright.policy.outward import refusal_of

        networks = self.settings.notify_networks
        posting = Posting(lambda address: refusal_of(address, networks))
        exits.push_async_callback(posting.close)
        delivery = Delivery(
            services.stores.notifications,
            services.vault,
            posting,
            AppriseSender(networks),
            audit=services.audit,
            clock=services.clock,
            entropy=services.entropy,
        )
        host = _reachable(self.settings.host)
        nats, nats_elsewhere = self._nats, self.settings.nats
        return Term(
            self.settings,
            services,
            broker,
            delivery,
            own=own,
            accounts=self._nats or callout,
            restart=self._nats.restart if self._nats is not None else None,
            url=f"http://{_authority(host, self.port)}",
            agents=Agents(
                Path(self.settings.data),
                [sys.executable, "-m", "callwright", "agent", *self._of_every_agent()],
                _environment((_FOR_WEB,)),
                [nats.agents_url if nats is not None else nats_elsewhere.url if nats_elsewhere else ""],
            ),
            answers=web_hears(host, self.port),
        )

    async def _callout(self, services: Services, broker: NatsBroker) -> Callout | None:
        """Every platform answers, whichever leads."""
        from callwright.host.callout import Callout

        if self.settings.nats is None:
            return None
        callout = Callout(services, broker, self.settings.nats)
        await callout.listen()
        return callout

    async def _lead(
        self, term: Term, services: Services, broker: NatsBroker, exits: contextlib.AsyncExitStack
    ) -> None:
        """At once where nobody else does, else as soon as the one that does is gone."""
        from callwright.control.leading import Leadership

        shared = services.stores.leaders if self._database_is_shared else None
        leadership = Leadership(shared, self._node.holder, broker, begin=term.begin, end=term.end)
        exits.push_async_callback(leadership.close)
        await leadership.start()
        if not leadership.leads:
            say("another platform of this database leads; this one answers, runs tests, and takes over")

    @property
    def _database_is_shared(self) -> bool:
        from callwright.control.storage.schema import Location

        return Location.of(self.settings.data, self.settings.database).path is None

    # -- children

    def _child(self, name: str, *command: str, final: frozenset[int] = frozenset()) -> Child:
        environment = _environment(() if name == "web" else (_FOR_WEB,))
        line = [sys.executable, "-m", *command]
        log = self.settings.data / "log" / f"{name}.log"
        return Child(name, lambda: line, environment, log, final=final)

    async def _start_web(self, broker: NatsAddress) -> None:
        settings = self.settings
        path = settings.data / "run" / "web.json"
        write_settings(path, self._told(broker))
        figures = figures_folder(settings.data)
        shutil.rmtree(figures, ignore_errors=True)  # counters begin anew with the platform
        figures.mkdir(parents=True)
        child = self._child("web", "callwright.host.web_worker", str(path))
        child.hears = web_hears(_reachable(settings.host), self.port)
        await self._supervisor.start(child)

    def _told(self, broker: NatsAddress) -> WebSettings:
        return WebSettings(
            replace(self.settings, admin_password=None, providers={}),
            self.port,
            broker,
            self._pbx,
            self._sip_socket,
        )

    async def _start_pbx(self, services: Services, broker: NatsAddress) -> tuple[str, int]:
        """The address by which runs reach it, and its port; the same at each start where that is free."""
        from callwright.control.services import PBX_MESSAGES, PBX_PLAN, PBX_RECORDINGS
        from callwright.net.address import bracketed
        from callwright.net.entropy import system_entropy

        folder = self.settings.data / "pbx"
        accounts = await first_start.pbx_accounts(services, folder)
        kept = folder / "port"
        host, wanted = self.settings.pbx_listen
        port = free_udp_port(host, wanted or (int(kept.read_text()) if kept.is_file() else 0))
        if wanted not in (0, port):
            raise Refused(
                f"port {wanted} of {host} is in use by another program",
                "Choose another with --pbx-listen, or end what holds it.",
                code=EXIT_PLATFORM,
                blame="platform",
            )
        kept.write_text(str(port))
        plan = self.settings.data / PBX_PLAN
        self._pbx = host, port
        socket_port = free_udp_port(_LOOPBACK)
        self._sip_socket = socket_port, system_entropy(24).hex()
        told = self.settings.data / "run" / "pbx.json"
        write_settings(told, self._told(broker))
        words = ["callwright", "pbx", "--listen", bracketed((host, port)), "--accounts", str(accounts)]
        words += ["--ws", bracketed((_LOOPBACK, socket_port))]
        words += ["--platform", str(told), "--messages", str(self.settings.data / PBX_MESSAGES)]
        words += ["--recordings", str(self.settings.data / PBX_RECORDINGS)]
        words += ["--registrations", str(folder / "registrations")]
        words += ["--plan", str(plan)] if plan.is_file() else []
        child = self._child("pbx", *words)
        near = _reachable(host)
        child.hears = pbx_hears(near, port)
        await self._supervisor.start(child)
        await first_start.keep_pbx_credentials(services, folder, bracketed((near, port)))
        return near, port

    async def _start_agent(self, services: Services, broker: NatsAddress) -> None:
        from callwright.agent.identity import Identity, write_identity
        from callwright.control.agents.model import AgentInfo

        settings = self.settings
        # One of several has a name of its own, by which its record is found at the next start.
        several = self._database_is_shared and settings.nats is not None
        name = f"{AGENT_NAME}-{self._node.id[:6]}" if several else AGENT_NAME
        agent, _ = await services.agents.ensure_embedded(name, AgentInfo(capacity=settings.capacity))
        url, user, password = broker.url, broker.user, broker.password
        if self._nats is not None:
            account = await self._nats.account(agent.id, agent.pool)
            user, password = account.user, account.password
        folder = settings.data / "agent"
        write_identity(
            folder,
            Identity(
                agent_id=agent.id,
                pool=agent.pool,
                nats_url=url,
                user=user or "",
                password=password or "",
                name=name,
                ca=broker.ca,
                lease_seconds=settings.lease,
                capacity=settings.capacity,
                platform_url=f"http://{_authority(_reachable(settings.host), self.port)}",
            ),
        )
        child = self._child(
            "agent",
            *("callwright", "agent", "--data", str(folder), "--supervised"),
            *self._of_every_agent(),
            final=frozenset({EXIT_REVOKED}),
        )
        child.line = ProcessLine()
        child.hears = agent_hears(child.line, services.runs)
        await self._supervisor.start(child)

    def _of_every_agent(self) -> list[str]:
        """The flags of all agents on this machine."""
        settings = self.settings
        flags = ["--rtp-ports", "{}-{}".format(*settings.rtp_ports)]
        flags += ["--spool-limit", str(settings.spool_limit)]
        flags += ["--hold-after", str(settings.hold_after), "--end-after", str(settings.end_after)]
        return [*flags, *(("--hep", settings.hep) if settings.hep else ())]

    def _fell(self, child: Child, how: str) -> None:
        say(f"{child.name} {how} (see {child.log})")

    # -- ready

    async def _say_ready(
        self, services: Services, stop: asyncio.Event, new: first_start.FirstStart | None
    ) -> None:
        """Waits until a run would be accepted, then says where everything is. The first time there is a run
        to look at."""
        base = self.settings.public_url or f"http://{_authority(self.settings.host, self.port)}"
        local = f"http://{_authority(_reachable(self.settings.host), self.port)}"
        while not stop.is_set() and (missing := await until_healthy(f"{local}/healthz", stop)):
            if not stop.is_set():
                say(f"not ready yet: {missing} (logs are in {self.settings.data / 'log'}; pages at {base})")
        if stop.is_set():
            return
        if new is not None:
            first_start.tell(new)
        say(f"Callwright is at {base}  ·  API {base}/api/v2/  ·  try it {base}/api/v2/docs")
        proxies = ", ".join(self.settings.trusted_proxies)
        say(f"Limits: {self.settings.bounds}" + (f"; behind {proxies} each client" if proxies else ""))
        if new is not None and new.demo:
            run = await first_start.run_demo(services)
            if run is not None:
                say(f"A first call is on its way: {base}/run/details/{run.session_id}")


def _environment(without: tuple[str, ...]) -> dict[str, str]:
    """Ours, for a child: no secrets, and no variable that begins so."""
    return {
        key: value for key, value in os.environ.items() if key not in _PRIVATE and not key.startswith(without)
    }


def _no_place(error: OSError, data: Path) -> Refused:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Refused(
        f"{error.filename or data} cannot be written: {error.strerror}",
        f"Make room on the disk of {data}."
        if full
        else "Give the folder and all in it to the user that Callwright runs as.",
        code=EXIT_PLATFORM,
        blame="platform",
    )


async def _set_pools(services: Services, pools: dict[str, dict[str, Any]]) -> None:
    """The file says how a pool is at each start; those that it does not name stay as they are."""
    from callwright.control.accounts.model import PLATFORM
    from callwright.control.errors import DomainError

    for name, settings in pools.items():
        try:
            await services.servers.set_pool(PLATFORM, name, settings, whole=True)
        except DomainError as error:
            say(f"the pool {name} stays as it is: {error.message} {error.remedy}")


async def _require_jetstream(connection: NatsBroker, wait: float) -> None:
    """``wait``: seconds for the servers of a cluster that just began to elect one of them. Raises
    Unavailable."""
    from callwright.dispatch.broker import Unavailable

    deadline = asyncio.get_running_loop().time() + wait
    while True:
        try:
            await connection.require_jetstream()
            return
        except Unavailable:
            if asyncio.get_running_loop().time() >= deadline:
                raise
        await asyncio.sleep(0.25)


def _tell_of_restore() -> None:
    say(
        "the database was away, and a backup is being restored into it now: end this platform, and start it "
        "when the restore has ended"
    )


async def _tell_of_closed_secrets(services: Services) -> None:
    lost = await services.credentials.unopened()
    own = [name for name, project in lost if project is None and name.startswith(first_start.PBX_PREFIX)]
    others = [name for name, _ in lost if name not in own]
    if others:
        say(f"secret.key does not open the passwords of the SIP accounts {', '.join(others)}: set them again")


async def _look_at_evidence(services: Services) -> None:
    """A store that is away is told and no reason to end: runs are accepted, and agents keep their files."""
    from callwright.control.errors import StorageUnavailable

    try:
        await services.evidence.check()
    except StorageUnavailable as error:
        say(f"evidence: {error.message} {error.remedy}")


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
