"""The process of `callwright agent`: its folder, its identity, its ways to the platform, and the worker."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

import callwright.log_context as log_context
from callwright.agent.bequest import unended
from callwright.agent.carrier import Carrier, weigh
from callwright.agent.identity import Identity, IdentityError, read_identity, write_identity
from callwright.agent.measuring import Measurer
from callwright.agent.mirror import Mirror
from callwright.agent.monitoring import Monitoring
from callwright.agent.readings import ReadingSpool
from callwright.agent.spool import Spool
from callwright.agent.worker import Abilities, Worker
from callwright.audio.codecs import CODECS
from callwright.control.runs.remedies import by_administrator
from callwright.dispatch.broker import CredentialsRefused, Unavailable
from callwright.dispatch.http import HttpPlatform
from callwright.dispatch.nats import BrokerAddress, NatsBroker
from callwright.host import supervised as line
from callwright.host.enrolment import enrol
from callwright.host.operator import EXIT_PLATFORM, EXIT_REVOKED, Refused, say
from callwright.host.settings import AgentSettings
from callwright.host.signals import first_of, run_async
from callwright.net.address import Unreachable
from callwright.phone.guarding import guarded
from callwright.version import __version__

_WARM_UP = ("sip.endpoint", "rtp.session", "audio.codecs", "audio.speech", "evidence.report", "pbx.server")


def run_agent(settings: AgentSettings) -> None:
    """Until Ctrl-C. Raises Refused when it cannot start, or was revoked."""
    with _data_folder(settings.data):
        identity = _identity(settings)
        if settings.pool is not None and settings.pool != identity.pool:
            raise Refused(f"this agent belongs to the pool {identity.pool}, not to {settings.pool}")
        run_async(lambda stop: _serve(settings, identity, stop))


@contextlib.contextmanager
def _data_folder(data: Path) -> Iterator[None]:
    """Made, and locked: two agents in one folder would read each other's spool."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(data / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(data, error) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Refused(f"another agent runs in {data}", "Give each its own --data DIR.") from None
    finally:
        os.close(lock)


def _identity(settings: AgentSettings) -> Identity:
    try:
        if settings.enrol is not None:
            identity = enrol(settings, settings.enrol)
            if settings.nats_transport is not None:
                identity = replace(identity, transport=settings.nats_transport)
            write_identity(settings.data, identity)
            say(f"enrolled as {identity.name} in the pool {identity.pool}")
        identity = read_identity(settings.data)
    except IdentityError as error:
        raise Refused(str(error), "Enrol it: callwright agent --url URL --enrol TOKEN") from None
    except OSError as error:
        raise _unusable(settings.data, error) from None
    return replace(
        identity,
        transport=settings.nats_transport or identity.transport,
        capacity=settings.capacity or identity.capacity,
        labels={
            **identity.labels,
            **settings.label,
            **({"region": settings.region} if settings.region is not None else {}),
        },
    )


def _unusable(data: Path, error: OSError) -> Refused:
    return Refused(f"--data {data}: {error.strerror or error}", code=EXIT_PLATFORM, blame="platform")


async def _serve(settings: AgentSettings, identity: Identity, stop: asyncio.Event) -> None:
    log_context.agent.set(identity.agent_id)
    try:
        spool = Spool(settings.data / "spool")
        readings = ReadingSpool(settings.data / "monitors")
        (sounds := settings.data / "sounds").mkdir(exist_ok=True)
    except OSError as error:
        raise Refused(f"the spool cannot be created: {error}", code=EXIT_PLATFORM, blame="platform") from None
    with guarded() as guard:
        for estate, wills in unended(spool):  # what an earlier process left, and its guardian with it
            if guard is not None:
                guard.bequeath(estate, wills)
        carrier = Carrier(
            bind=settings.bind,
            rtp_ports=settings.rtp_ports,
            sounds=sounds,
            guard=guard,
            mirror=_mirror(settings.hep),
            worded=by_administrator,
        )
        measurer = Measurer(
            worded=by_administrator,
            bind=settings.bind,
            rtp_ports=settings.rtp_ports,
            guard=guard,
            caps=carrier.caps,
        )
        broker = await _connected(identity, stop, settings.exit_after)
        if broker is not None:
            monitoring = Monitoring(
                broker, identity.agent_id, readings, measurer, room=lambda: worker.used < identity.capacity
            )
            asked = (
                HttpPlatform(identity.platform_url, identity.platform_ca) if identity.platform_url else None
            )
            worker = _worker(settings, identity, broker, spool, carrier, monitoring, asked)
            await _work(settings, identity, broker, worker, asked, stop)


def _mirror(place: str | None) -> Mirror | None:
    try:
        return Mirror.to(place, on_loss=say) if place else None
    except (ValueError, Unreachable) as error:
        raise Refused(f"--hep: {error}", "For example: --hep 127.0.0.1:9060") from None


async def _connected(identity: Identity, stop: asyncio.Event, exit_after: float) -> NatsBroker | None:
    """None: stopped before there was an answer. Raises Refused, also after ``exit_after`` seconds (0: never)
    without one."""
    first, *otherwise = _ways(identity)
    connecting = asyncio.ensure_future(
        NatsBroker.connect(
            first.url,
            user=identity.user,
            password=identity.password,
            ca=first.ca,
            otherwise=otherwise,
            name=identity.name,
            wait=exit_after or None,
            refusals_pass=identity.callout,
        )
    )
    if await first_of(stop, connecting):
        connecting.cancel()
        return None
    try:
        return connecting.result()
    except CredentialsRefused as error:
        raise _revoked(str(error), identity) from None
    except (Unavailable, ValueError) as error:
        raise Refused(str(error), code=EXIT_PLATFORM, blame="platform") from None


def _ways(identity: Identity) -> list[BrokerAddress]:
    """To the broker, the preferred one first. Raises Refused when there is none of the kind wanted."""
    tcp = BrokerAddress(identity.nats_url, identity.ca)
    if identity.transport == "tcp" or (identity.transport == "auto" and not identity.websocket_url):
        return [tcp]
    if not identity.websocket_url:
        raise Refused(
            "the platform gave this agent no WebSocket address when it enrolled",
            "Open it with `callwright serve --nats-listen HOST:PORT`, and enrol the agent again.",
        )
    websocket = BrokerAddress(identity.websocket_url, identity.websocket_ca)
    return [websocket] if identity.transport == "websocket" else [tcp, websocket]


def _worker(
    settings: AgentSettings,
    identity: Identity,
    broker: NatsBroker,
    spool: Spool,
    carrier: Carrier,
    monitoring: Monitoring,
    asked: HttpPlatform | None,
) -> Worker:
    return Worker(
        identity,
        broker,
        spool,
        carrier,
        weigh=weigh,
        abilities=Abilities(__version__, tuple(codec.name for codec in CODECS)),
        spool_limit=settings.spool_octets,
        platform=asked,
        patience=settings.patience,
        exit_after=settings.exit_after,
        monitoring=monitoring,
    )


async def _work(
    settings: AgentSettings,
    identity: Identity,
    broker: NatsBroker,
    worker: Worker,
    asked: HttpPlatform | None,
    stop: asyncio.Event,
) -> None:
    hearing = asyncio.ensure_future(line.listen(worker.told)) if settings.supervised else None
    say(
        f"agent {identity.name} of the pool {identity.pool}, {identity.capacity} calls at once, "
        f"connected to {broker.place.url}; Ctrl-C ends"
    )
    for room in _WARM_UP:  # the first run is not to wait for imports
        importlib.import_module(f"callwright.{room}")
    working = asyncio.ensure_future(worker.run())
    if await first_of(stop, working):
        worker.stop()
    await working
    if hearing is not None:
        hearing.cancel()
    if asked is not None:
        await asked.close()
    await broker.close()
    if worker.revoked:
        raise _revoked(worker.revoked, identity)
    if worker.forsaken:
        raise Refused(
            f"{worker.forsaken}; agent {identity.name} ends",
            "Start it again when the platform is back; results that wait here are sent then.",
            code=EXIT_PLATFORM,
            blame="platform",
        )
    if worker.mismatch:
        raise Refused(
            f"{worker.mismatch} Agent {identity.name} ends",
            "Install the Callwright version that the platform runs; results that wait here are sent then.",
            code=EXIT_PLATFORM,
            blame="platform",
        )


def _revoked(sentence: str, identity: Identity) -> Refused:
    where = identity.platform_url or "URL"
    return Refused(
        f"{sentence}; agent {identity.name} ends",
        f"Enrol it anew: callwright agent --url {where} --enrol TOKEN",
        code=EXIT_REVOKED,
        blame="platform",
    )
