"""`callwright agent`: takes runs from a platform and carries them out here."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import platform
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer

from callwright.cli import softphone as flags
from callwright.cli.config_file import read_config
from callwright.cli.console import VerboseFlag
from callwright.host.operator import EXIT_PASSED, EXIT_PLATFORM, EXIT_REVOKED, Refused, say

if TYPE_CHECKING:
    from callwright.agent.carrier import Carrier
    from callwright.agent.identity import Identity, Transport
    from callwright.agent.silence import Patience
    from callwright.agent.spool import Spool
    from callwright.dispatch.nats import Place

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright agent --url https://calls.example.com --enrol TOKEN --pool lab --data /var/lib/callwright

  callwright agent --data /var/lib/callwright

  callwright agent --config /etc/callwright/agent.toml

The token is good for one enrolment; what it gives is kept in DIR/agent.json (readable by its owner alone),
and the agent finds its way back by itself from then on. Ctrl-C stops the runs it has, and tells. An agent
that was revoked ends with exit code 4.
"""
_WARM_UP = ("sip.endpoint", "rtp.session", "audio.codecs", "audio.speech", "evidence.report", "pbx.server")


@app.command(epilog=_EXAMPLES)
def agent(
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="The platform, as people reach it.")
    ] = None,
    enrol: Annotated[
        str | None,
        typer.Option(
            "--enrol",
            metavar="TOKEN",
            envvar="CALLWRIGHT_ENROL",
            show_envvar=True,
            help="Enrol with this single-use token.",
        ),
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option("--pool", metavar="NAME", help="The pool that the token is meant for, as a check."),
    ] = None,
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="Where identity and spool are kept.")
    ] = Path("callwright-agent"),
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="By default the name of this host.")
    ] = None,
    capacity: Annotated[
        int | None, typer.Option("--capacity", min=1, metavar="N", help="Calls at once; 50 unless said.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY=VALUE", help="Said of this agent in lists; repeat it for more."),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="Trust this CA for --url, as PEM.")
    ] = None,
    nats_transport: Annotated[
        Literal["auto", "tcp", "websocket"] | None,
        typer.Option(
            "--nats-transport",
            envvar="CALLWRIGHT_NATS_TRANSPORT",
            help="How the platform is reached: by TCP, by WebSocket over TLS, or by whichever gets through.",
        ),
    ] = None,
    bind: flags.BindOption = None,
    rtp_ports: flags.RtpPortsOption = "16384-32767",
    spool_limit: Annotated[
        float,
        typer.Option(
            "--spool-limit",
            envvar="CALLWRIGHT_SPOOL_LIMIT",
            min=0,
            metavar="GIB",
            help="Evidence that may wait for the platform; beyond it the oldest goes, results never. "
            "0: no limit.",
        ),
    ] = 10.0,
    hold_after: Annotated[
        float,
        typer.Option(
            "--hold-after",
            envvar="CALLWRIGHT_HOLD_AFTER",
            min=0,
            metavar="LEASES",
            help="Place no new call after so many leases without an answer from the platform; 0: go on.",
        ),
    ] = 2.0,
    end_after: Annotated[
        float,
        typer.Option(
            "--end-after",
            envvar="CALLWRIGHT_END_AFTER",
            min=0,
            metavar="LEASES",
            help="End the calls that are up after so many leases without an answer; 0: never.",
        ),
    ] = 4.0,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            envvar="CALLWRIGHT_AGENT_CONFIG",
            metavar="FILE",
            is_eager=True,
            callback=read_config,
            help="Settings as TOML, a key for each flag.",
        ),
    ] = None,
    verbose: VerboseFlag = False,
) -> int:
    """Take runs from a platform and carry them out here, until Ctrl-C."""
    os.umask(0o077)  # what waits in the spool is nobody else's, also in a folder that others may enter
    from callwright.agent.identity import IdentityError, read_identity, write_identity
    from callwright.agent.silence import Patience

    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    phone = flags.phone_config(bind=bind, rtp_ports=rtp_ports)
    labels = _labels(label or [])
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _lock(data)
        if enrol is not None:
            if url is None:
                raise Refused("--enrol needs --url", "Give the address of the platform.")
            identity = _enrol(url, enrol, name or platform.node() or "agent", capacity or 50, labels, ca)
            identity = _adjusted(identity, None, {}, nats_transport)
            write_identity(data, identity)
            say(f"enrolled as {identity.name} in the pool {identity.pool}")
        identity = read_identity(data)
    except IdentityError as error:
        raise Refused(str(error), "Enrol it: callwright agent --url URL --enrol TOKEN") from None
    except OSError as error:
        raise Refused(
            f"--data {data}: {error.strerror or error}", code=EXIT_PLATFORM, blame="platform"
        ) from None
    if pool is not None and pool != identity.pool:
        raise Refused(f"this agent belongs to the pool {identity.pool}, not to {pool}")
    identity = _adjusted(identity, capacity, labels, nats_transport)
    try:
        flags.run_async(
            lambda stop: _serve(
                identity,
                data,
                phone.bind,
                phone.rtp_ports,
                stop,
                spool_limit=round(spool_limit * 1024**3),
                patience=Patience(hold_after, end_after),
                supervised=supervised,
            )
        )
    finally:
        lock.close()
    return EXIT_PASSED


def _labels(texts: list[str]) -> dict[str, str]:
    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise Refused(f"--label takes KEY=VALUE, not {text!r}", "Such as --label site=frankfurt")
        labels[key.strip()] = value.strip()
    return labels


def _adjusted(
    identity: Identity, capacity: int | None, labels: dict[str, str], transport: Transport | None
) -> Identity:
    from msgspec.structs import replace

    if transport is not None:
        identity = replace(identity, transport=transport)
    if capacity is not None:
        identity = replace(identity, capacity=capacity)
    return replace(identity, labels={**identity.labels, **labels}) if labels else identity


def _lock(data: Path) -> IO[str]:
    """One agent to a folder: two would read each other's spool. Held until the process ends."""
    lock = open(os.open(data / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Refused(f"another agent runs in {data}", "Give each its own --data DIR.") from None
    return lock


def _enrol(
    url: str, token: str, name: str, capacity: int, labels: dict[str, str], ca: Path | None
) -> Identity:
    """Ask the platform; raises Refused with its answer."""
    import httpx
    import msgspec

    from callwright.agent.identity import Identity
    from callwright.net.trust import verifying_context
    from callwright.version import __version__

    try:
        trust = verifying_context(ca.read_text()) if ca is not None else verifying_context()
    except (OSError, ValueError) as error:
        raise Refused(f"--ca {ca}: {error}") from None
    asked = {
        "token": token,
        "name": name,
        "version": __version__,
        "capacity": capacity,
        "labels": labels,
        "codecs": list(_codecs()),
    }
    address = f"{url.rstrip('/')}/api/v2/agents/enrol"
    try:
        answer = httpx.post(address, json=asked, timeout=30, verify=trust, follow_redirects=False)
        told: Any = answer.json() if answer.content else {}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Refused(f"{address} cannot be asked: {error}", code=EXIT_PLATFORM, blame="platform") from None
    except ValueError:
        raise Refused(f"{address} answers {answer.status_code}, and no JSON: is it a Callwright?") from None
    if answer.status_code not in (200, 201):
        message = told.get("message") if isinstance(told, dict) else None
        raise Refused(f"the platform does not enrol this agent: {message or answer.status_code}")
    if isinstance(told, dict) and isinstance(told.get("data"), dict):
        told = told["data"]
    try:
        identity = msgspec.convert({"platform_url": url, **told}, type=Identity)
    except (msgspec.MsgspecError, TypeError) as error:
        raise Refused(f"the platform's answer to the enrolment cannot be used: {error}") from None
    if ca is not None:
        identity = msgspec.structs.replace(identity, platform_ca=ca.read_text())
    if ca is not None and identity.websocket_url and identity.websocket_ca is None:
        # It stands behind the same proxy as the pages.
        identity = msgspec.structs.replace(identity, websocket_ca=ca.read_text())
    return msgspec.structs.replace(identity, capacity=capacity, labels=labels)


def _codecs() -> tuple[str, ...]:
    from callwright.audio.codecs import CODECS

    return tuple(codec.name for codec in CODECS)


def _ways(identity: Identity) -> list[Place]:
    """To the broker, the one to try first first. Raises Refused when there is none of the kind wanted."""
    from callwright.dispatch.nats import Place

    tcp = Place(identity.nats_url, identity.ca)
    if identity.transport == "tcp" or (identity.transport == "auto" and not identity.websocket_url):
        return [tcp]
    if not identity.websocket_url:
        raise Refused(
            "the platform gave this agent no WebSocket address when it enrolled",
            "Open it with `callwright serve --nats-listen HOST:PORT`, and enrol the agent again.",
        )
    websocket = Place(identity.websocket_url, identity.websocket_ca)
    return [websocket] if identity.transport == "websocket" else [tcp, websocket]


async def _serve(
    identity: Identity,
    data: Path,
    bind: str | None,
    rtp_ports: tuple[int, int],
    stop: asyncio.Event,
    *,
    spool_limit: int,
    patience: Patience,
    supervised: bool,
) -> None:
    from callwright.agent.bequest import unended
    from callwright.agent.carrier import Carrier
    from callwright.agent.spool import Spool
    from callwright.control.runs.remedies import by_administrator
    from callwright.phone.guarding import guarded

    try:
        spool = Spool(data / "spool")
        (data / "sounds").mkdir(exist_ok=True)
    except OSError as error:
        raise Refused(f"the spool cannot be made: {error}", code=EXIT_PLATFORM, blame="platform") from None
    with guarded() as guard:
        for estate, wills in unended(spool):  # what an earlier process left, and its guardian with it
            if guard is not None:
                guard.bequeath(estate, wills)
        await _work(
            identity,
            data,
            spool,
            Carrier(
                bind=bind, rtp_ports=rtp_ports, sounds=data / "sounds", guard=guard, worded=by_administrator
            ),
            stop,
            spool_limit=spool_limit,
            patience=patience,
            supervised=supervised,
        )


async def _work(
    identity: Identity,
    data: Path,
    spool: Spool,
    carrier: Carrier,
    stop: asyncio.Event,
    *,
    spool_limit: int,
    patience: Patience,
    supervised: bool,
) -> None:
    from callwright.agent.carrier import weigh
    from callwright.agent.worker import Abilities, Worker
    from callwright.dispatch.broker import CredentialsRefused, Unavailable
    from callwright.dispatch.http import HttpPlatform
    from callwright.dispatch.nats import NatsBroker
    from callwright.host import supervised as line
    from callwright.version import __version__

    first, *otherwise = _ways(identity)
    connecting = asyncio.ensure_future(
        NatsBroker.connect(
            first.url,
            user=identity.user,
            password=identity.password,
            ca=first.ca,
            otherwise=otherwise,
            name=identity.name,
        )
    )
    if await flags.first_of(stop, connecting):
        connecting.cancel()
        return
    try:
        broker = connecting.result()
    except CredentialsRefused as error:
        raise _revoked(str(error), identity) from None
    except (Unavailable, ValueError) as error:
        raise Refused(str(error), code=EXIT_PLATFORM, blame="platform") from None
    asked = HttpPlatform(identity.platform_url, identity.platform_ca) if identity.platform_url else None
    worker = Worker(
        identity,
        broker,
        spool,
        carrier,
        weigh=weigh,
        abilities=Abilities(__version__, _codecs()),
        spool_limit=spool_limit,
        platform=asked,
        patience=patience,
    )
    hearing = asyncio.ensure_future(line.listen(worker.told)) if supervised else None
    say(
        f"agent {identity.name} of the pool {identity.pool}, {identity.capacity} calls at once, "
        f"connected to {broker.place.url}; Ctrl-C ends"
    )
    _warm_up()
    working = asyncio.ensure_future(worker.run())
    if await flags.first_of(stop, working):
        worker.stop()
    await working
    if hearing is not None:
        hearing.cancel()
    if asked is not None:
        await asked.close()
    await broker.close()
    if worker.revoked:
        raise _revoked(worker.revoked, identity)


def _revoked(sentence: str, identity: Identity) -> Refused:
    where = identity.platform_url or "URL"
    return Refused(
        f"{sentence}; agent {identity.name} ends",
        f"Enrol it anew: callwright agent --url {where} --enrol TOKEN",
        code=EXIT_REVOKED,
        blame="platform",
    )


def _warm_up() -> None:
    """What the first run needs is loaded before it comes: it is not to wait for imports."""
    import importlib

    for room in _WARM_UP:
        importlib.import_module(f"callwright.{room}")
