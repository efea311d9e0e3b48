"""`callwright serve`: the platform. The flags; what they start is in `host/platform.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from callwright.cli.config_file import read_config
from callwright.cli.console import VerboseFlag
from callwright.host.operator import EXIT_PASSED, Refused

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright serve

  callwright serve --host 0.0.0.0 --public-url https://calls.example.com --database postgresql://…

  callwright serve --config /etc/callwright/callwright.toml

Every setting is a flag, a variable (CALLWRIGHT_PUBLIC_URL for --public-url) and a key of the TOML file
(public_url); the flag wins, then the variable, then the file.
"""


def _variable(name: str) -> str:
    return f"CALLWRIGHT_{name.upper()}"


@app.command(epilog=_EXAMPLES)
def serve(
    host: Annotated[
        str, typer.Option("--host", envvar=_variable("host"), metavar="ADDRESS", help="Listen here.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", envvar=_variable("port"), min=0, max=65535, help="0 picks a free one.")
    ] = 8000,
    data: Annotated[
        Path,
        typer.Option("--data", envvar=_variable("data"), metavar="DIR", help="Everything is kept in here."),
    ] = Path("data"),
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            envvar=_variable("config"),
            metavar="FILE",
            is_eager=True,
            callback=read_config,
            help="Settings as TOML, a key for each flag.",
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url",
            envvar=_variable("public_url"),
            metavar="URL",
            help="Address by which people and agents reach the platform, behind a proxy.",
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            envvar=_variable("database"),
            metavar="URL",
            help="postgresql://…; without it SQLite in the data folder.",
        ),
    ] = None,
    evidence: Annotated[
        str | None,
        typer.Option(
            "--evidence",
            envvar=_variable("evidence"),
            metavar="DIR|s3://BUCKET/PREFIX",
            help="Files of runs are kept here; without it in the data folder.",
        ),
    ] = None,
    evidence_endpoint: Annotated[
        str | None,
        typer.Option(
            "--evidence-endpoint",
            envvar=_variable("evidence_endpoint"),
            metavar="URL",
            help="Of an S3 server that is not Amazon's: MinIO, Ceph, Swift, Garage.",
        ),
    ] = None,
    evidence_region: Annotated[
        str | None,
        typer.Option("--evidence-region", envvar=_variable("evidence_region"), help="Of the bucket."),
    ] = None,
    evidence_ca: Annotated[
        Path | None,
        typer.Option(
            "--evidence-ca",
            envvar=_variable("evidence_ca"),
            metavar="FILE",
            help="Authority of the S3 server's certificate.",
        ),
    ] = None,
    evidence_access_key: Annotated[
        str | None,
        typer.Option(
            "--evidence-access-key",
            envvar=_variable("evidence_access_key"),
            help="Without it the standard chain: AWS_ACCESS_KEY_ID, ~/.aws, the machine's role.",
        ),
    ] = None,
    evidence_secret_key: Annotated[
        str | None,
        typer.Option(
            "--evidence-secret-key",
            envvar=_variable("evidence_secret_key"),
            help="Better given as variable.",
        ),
    ] = None,
    evidence_retention: Annotated[
        float,
        typer.Option(
            "--evidence-retention",
            envvar=_variable("evidence_retention"),
            min=0,
            metavar="DAYS",
            help="Older files are removed, their runs stay; 0: none.",
        ),
    ] = 30.0,
    evidence_quota: Annotated[
        float,
        typer.Option(
            "--evidence-quota",
            envvar=_variable("evidence_quota"),
            min=0,
            metavar="GIB",
            help="Above it the oldest files are removed; 0: no limit.",
        ),
    ] = 20.0,
    nats: Annotated[
        str | None,
        typer.Option(
            "--nats",
            envvar=_variable("nats"),
            metavar="URL",
            help="Use this NATS: nats://user:password@host:port.",
        ),
    ] = None,
    nats_listen: Annotated[
        str | None,
        typer.Option(
            "--nats-listen",
            envvar=_variable("nats_listen"),
            metavar="HOST:PORT",
            help="Open our NATS for agents elsewhere, with TLS.",
        ),
    ] = None,
    nats_name: Annotated[
        str | None,
        typer.Option(
            "--nats-name",
            envvar=_variable("nats_name"),
            metavar="NAME",
            help="Host name by which agents elsewhere find it, for its certificate.",
        ),
    ] = None,
    nats_websocket_url: Annotated[
        str | None,
        typer.Option(
            "--nats-websocket-url",
            envvar=_variable("nats_websocket_url"),
            metavar="URL",
            help="wss://… by which agents reach its WebSocket listener through a proxy.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", envvar=_variable("workers"), min=1, max=64, help="Processes that answer HTTP."
        ),
    ] = 1,
    lease: Annotated[
        float,
        typer.Option(
            "--lease",
            envvar=_variable("lease"),
            min=0.5,
            max=300,
            help="Seconds without a heartbeat after which an agent is lost.",
        ),
    ] = 15.0,
    rate_limit: Annotated[
        float,
        typer.Option(
            "--rate-limit",
            envvar=_variable("rate_limit"),
            min=0,
            help="Requests a second for one key; five seconds' worth may come at once; 0: no limit.",
        ),
    ] = 200.0,
    connections_per_address: Annotated[
        int,
        typer.Option(
            "--connections-per-address",
            envvar=_variable("connections_per_address"),
            min=0,
            help="Connections of one address before sign-in, half as many requests at once; 0: no limit.",
        ),
    ] = 256,
    streams_per_address: Annotated[
        int,
        typer.Option(
            "--streams-per-address",
            envvar=_variable("streams_per_address"),
            min=0,
            help="Event streams of one address before sign-in, as public links have them; 0: no limit.",
        ),
    ] = 32,
    agent: Annotated[
        bool,
        typer.Option("--agent/--no-agent", envvar=_variable("agent"), help="Run an agent on this machine."),
    ] = True,
    capacity: Annotated[
        int,
        typer.Option(
            "--capacity",
            envvar=_variable("capacity"),
            min=1,
            max=100_000,
            help="Calls at once of our own agent.",
        ),
    ] = 50,
    rtp_ports: Annotated[
        str,
        typer.Option(
            "--rtp-ports",
            envvar=_variable("rtp_ports"),
            metavar="LO-HI",
            help="Ports for RTP of our own agent.",
        ),
    ] = "16384-32767",
    spool_limit: Annotated[
        float,
        typer.Option(
            "--spool-limit",
            envvar=_variable("spool_limit"),
            min=0,
            metavar="GIB",
            help="Evidence that may wait at our own agent for the store, the oldest goes; 0: no limit.",
        ),
    ] = 10.0,
    hold_after: Annotated[
        float,
        typer.Option(
            "--hold-after",
            envvar=_variable("hold_after"),
            min=0,
            metavar="LEASES",
            help="Our own agent places no new call after so many leases without an answer; 0: it goes on.",
        ),
    ] = 2.0,
    end_after: Annotated[
        float,
        typer.Option(
            "--end-after",
            envvar=_variable("end_after"),
            min=0,
            metavar="LEASES",
            help="Our own agent ends its calls after so many leases without an answer; 0: never.",
        ),
    ] = 4.0,
    pbx: Annotated[
        bool, typer.Option("--pbx/--no-pbx", envvar=_variable("pbx"), help="Run the reference PBX.")
    ] = True,
    demo: Annotated[
        bool,
        typer.Option("--demo/--no-demo", envvar=_variable("demo"), help="Make and run the demo at first."),
    ] = True,
    strangers: Annotated[
        bool,
        typer.Option(
            "--strangers/--embedded",
            envvar=_variable("strangers"),
            help="Strangers give the orders: private networks need a target too.",
        ),
    ] = False,
    admin_email: Annotated[
        str,
        typer.Option(
            "--admin-email", envvar=_variable("admin_email"), help="Of the administrator made first."
        ),
    ] = "admin@localhost",
    admin_password: Annotated[
        str | None,
        typer.Option(
            "--admin-password",
            envvar=_variable("admin_password"),
            help="Its password, better given as variable; generated without.",
        ),
    ] = None,
    new_secret_key: Annotated[
        bool,
        typer.Option(
            "--new-secret-key",
            envvar=_variable("new_secret_key"),
            help="Go on with a new secret.key if the old one is lost; SIP passwords must then be set again.",
        ),
    ] = False,
    metrics_token: Annotated[
        str | None,
        typer.Option(
            "--metrics-token",
            envvar=_variable("metrics_token"),
            help="Token that lets its bearer read /metrics; better given as variable.",
        ),
    ] = None,
    proxies: Annotated[
        str | None,
        typer.Option(
            "--proxies",
            envvar=_variable("proxies"),
            metavar="ADDRESS,…",
            help="Reverse proxies whose X-Forwarded-For is believed; with --public-url this machine's own.",
        ),
    ] = None,
    verbose: VerboseFlag = False,
) -> int:
    """Run the platform: the API, the pages, an agent and a PBX, until Ctrl-C."""
    os.umask(0o077)  # records and recordings are nobody else's, also in a folder that others may enter
    from callwright.cli import softphone as flags
    from callwright.control.api.bounds import Bounds
    from callwright.host.evidence_place import evidence_limits, evidence_location
    from callwright.host.platform import Platform, PlatformSettings

    settings = PlatformSettings(
        host=host,
        port=port,
        data=data.expanduser(),
        public_url=_public(public_url),
        database=database,
        evidence=evidence_location(
            evidence,
            endpoint=evidence_endpoint,
            region=evidence_region,
            ca=evidence_ca,
            access_key=evidence_access_key,
            secret_key=evidence_secret_key,
        ),
        evidence_limits=evidence_limits(evidence_retention, evidence_quota),
        nats=nats,
        nats_listen=_listen(nats_listen),
        nats_name=nats_name,
        nats_websocket_url=_websocket(nats_websocket_url, nats_listen),
        workers=workers,
        lease=lease,
        rate_limit=rate_limit,
        bounds=Bounds(
            connections_of_address=connections_per_address,
            requests_of_address=-(-connections_per_address // 2),
            streams_of_address=streams_per_address,
        ),
        agent=agent,
        capacity=capacity,
        rtp_ports=rtp_ports,
        spool_limit=spool_limit,
        hold_after=hold_after,
        end_after=end_after,
        pbx=pbx,
        demo=demo,
        embedded=not strangers,
        admin_email=admin_email,
        admin_password=admin_password,
        new_secret_key=new_secret_key,
        metrics_token=_metrics_token(metrics_token),
        proxies=_proxies(proxies, public_url),
        verbose=verbose,
    )
    flags.run_async(lambda stop: Platform(settings).run(stop))
    return EXIT_PASSED


def _metrics_token(token: str | None) -> str | None:
    if not token:
        return None
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise Refused(
            "--metrics-token must have at least 16 characters, without blanks",
            "Such as: openssl rand -hex 24",
        )
    return token


def _proxies(text: str | None, public_url: str | None) -> tuple[str, ...]:
    """A public URL says that there is a proxy; that it is on this machine is what the guide says."""
    from callwright.control.api.forwarded import LOOPBACK, networks_of

    if text is None:
        return LOOPBACK if public_url else ()
    given = tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        networks_of(given)
    except ValueError as error:
        raise Refused(f"--proxies: {error}", "For example: --proxies 10.0.0.7,10.1.0.0/16") from None
    return given


def _public(url: str | None) -> str | None:
    from urllib.parse import urlsplit

    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Refused(
            f"--public-url {url} is not the URL of a site", "For example: https://calls.example.com"
        )
    return url.rstrip("/")


def _websocket(url: str | None, listen: str | None) -> str | None:
    from urllib.parse import urlsplit

    if not url:
        return None
    if not listen:
        raise Refused("--nats-websocket-url needs --nats-listen", "For example: --nats-listen 127.0.0.1:4222")
    parts = urlsplit(url)
    if parts.scheme != "wss" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise Refused(f"--nats-websocket-url {url} cannot be used", "Such as wss://calls.example.com/nats")
    return url


def _listen(text: str | None) -> tuple[str, int] | None:
    from callwright.net.address import split_host_port

    if not text:
        return None
    try:
        host, port = split_host_port(text)
    except ValueError as error:
        raise Refused(f"--nats-listen: {error}", "For example: --nats-listen 0.0.0.0:4222") from None
    return host, port or 4222
