"""The settings of `serve` and of `agent`: each is a flag, a variable and a key of a TOML file.

The flag wins, then the variable, then the file, then the default. `cli.setting_flags` reads all of them once,
into one of these classes; nothing else asks for a flag, a variable or a file.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from callwright.agent.silence import Patience
    from callwright.control.api.bounds import Bounds
    from callwright.control.evidence.service import EvidenceLimits
    from callwright.control.storage.evidence.location import EvidenceLocation

_DAY, _GIB = 86_400.0, 1024**3


class SettingError(ValueError):
    """A value that cannot be used. `name`: the field; the reader says where the value was given."""

    def __init__(self, name: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.name, self.message, self.remedy = name, message, remedy


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a field is given from outside. `default`: as it would be typed; `parse` makes the field's value of
    what was typed, and raises ValueError with a sentence and maybe a remedy."""

    default: Any
    help: str
    metavar: str | None = None
    flag: str | None = None  # --name-of-the-field where None
    variable: bool = False  # CALLWRIGHT_NAME_OF_THE_FIELD
    least: float | None = None
    most: float | None = None
    parse: Callable[[Any], Any] | None = None
    several: bool = False  # the flag may be repeated; `parse` gets a list
    table: bool = False  # no flag and no variable, a table of the file alone; `parse` gets it as it is
    hidden: bool = False


_HEP = "Mirror SIP to this collector (HEP version 3, as HOMER takes it)"


def setting(
    default: Any,
    help: str,  # noqa: A002 (as Typer calls it)
    metavar: str | None = None,
    *,
    secret: bool = False,
    **more: Any,
) -> Any:
    """A field of a settings class. `secret`: not in its repr."""
    one = Setting(default=default, help=help, metavar=metavar, **more)

    def value() -> Any:
        return one.parse(default) if one.parse is not None and default is not None else default

    return field(default_factory=value, repr=not secret, metadata={"setting": one})


def _serving(*arguments: Any, **more: Any) -> Any:
    return setting(*arguments, variable=True, **more)


def variable_of(name: str) -> str:
    """The environment variable of a field."""
    return f"CALLWRIGHT_{name.upper()}"


def secret_variables(kind: Any) -> set[str]:
    """Those of a class of settings that no child needs, and no other user may read."""
    return {variable_of(one.name) for one in fields(kind) if not one.repr}


# -- what is typed, as values


@dataclass(frozen=True)
class NatsAddress:
    """Where NATS is, and what our own processes show it; `url` is without the password, with a comma between
    the servers of a cluster."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)


def _folder(text: str) -> Path:
    return Path(text).expanduser()


def _site(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url} is not the URL of a site", "For example: https://calls.example.com")
    return url.rstrip("/")


def _nats(text: str) -> NatsAddress:
    bare, logins = [], []
    for url in text.split(","):
        parts = urlsplit(url.strip())
        if parts.scheme not in ("nats", "tls", "ws", "wss") or not parts.hostname:
            raise ValueError(
                f"{parts.scheme}://… is not the URL of a NATS server", "For example: tls://nats:4222"
            )
        bare.append(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))
        logins.append((unquote(parts.username or "") or None, unquote(parts.password or "") or None))
    given = {login for login in logins if login != (None, None)}
    if len(given) > 1:
        raise ValueError(
            "the servers of a cluster take the same user and password",
            "For example: nats://user:password@a:4222,nats://b:4222,nats://c:4222",
        )
    user, password = given.pop() if given else (None, None)
    return NatsAddress(",".join(bare), user, password)


def _listener(text: str) -> tuple[str, int]:
    from callwright.net.address import split_host_port

    try:
        host, port = split_host_port(text)
    except ValueError as error:
        raise ValueError(str(error), "For example: 0.0.0.0:4222") from None
    return host, port or 4222


def _origins(text: str) -> tuple[str, ...]:
    given = tuple(part.strip() for part in text.split(",") if part.strip())
    for one in given:
        parts = urlsplit(one)
        if one != "*" and (
            parts.scheme not in ("http", "https") or one != f"{parts.scheme}://{parts.netloc}"
        ):
            raise ValueError(f"{one} is not the origin of a site", "For example: https://app.example.com")
    return given


def _sip_listener(text: str) -> tuple[str, int]:
    from callwright.net.address import numeric_host, split_host_port

    try:
        host, port = split_host_port(text)
    except ValueError as error:
        raise ValueError(str(error), "For example: 192.0.2.7:5060") from None
    if numeric_host(host) is None:
        raise ValueError(f"{host!r} is not an address of this machine", "For example: 192.0.2.7:5060")
    return host, port or 0


def _websocket(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "wss" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError(f"{url} is not a wss:// URL", "For example: wss://calls.example.com/nats")
    return url


def _token(text: str) -> str:
    if len(text) < 16 or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            "the token needs at least 16 printable ASCII characters and no blanks",
            "For example: openssl rand -hex 24",
        )
    return text


def _networks(text: str) -> tuple[str, ...]:
    from callwright.control.api.forwarded import networks_of

    given = tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        networks_of(given)
    except ValueError as error:
        raise ValueError(str(error), "For example: 10.0.0.7,10.1.0.0/16") from None
    return given


def _pools(given: Any) -> dict[str, dict[str, Any]]:
    """`[pools.NAME]` of the file."""
    from callwright.fleet.pool import Pool, PoolError, with_settings

    for name, settings in given.items():
        if not isinstance(settings, dict):
            raise ValueError(f"pools.{name} is not a table", "For example: [pools.default]")
        try:
            with_settings(Pool(name), settings)
        except PoolError as error:
            raise ValueError(f"[pools.{name}] {error}") from None
    return dict(given)


def _providers(given: Any) -> dict[str, dict[str, Any]]:
    """`[providers.NAME]` of the file."""
    import msgspec

    from callwright.fleet.pool import Pool, PoolError
    from callwright.host.providers import checked

    for name, table in given.items():
        try:
            if name == "process":
                raise ValueError("is there without a table")
            Pool("default", provider=name)
            checked(table)
        except (msgspec.ValidationError, PoolError, ValueError) as error:
            raise ValueError(f"[providers.{name}] {error}", 'For example: driver = "ec2"') from None
    return dict(given)


def port_range(text: str) -> tuple[int, int]:
    """`LO-HI`."""
    low, dash, high = text.partition("-")
    if not dash or not low.isdigit() or not high.isdigit() or not 1 <= int(low) < int(high) <= 65535:
        raise ValueError(f"{text!r} is not a range LO-HI within 1-65535", "For example: 16384-16483")
    return int(low), int(high)


def _local_address(text: str) -> str:
    from callwright.net.address import numeric_host

    if numeric_host(text) is None:
        raise ValueError(f"{text!r} is not an address of this machine", "For example: 192.0.2.7")
    return text


def _labels(texts: list[str]) -> dict[str, str]:
    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{text!r} is not KEY=VALUE", "For example: site=frankfurt")
        labels[key.strip()] = value.strip()
    return labels


# -- the settings


def _verbose() -> Any:
    return setting(False, "Log more.", flag="-v --verbose")


def _log_format() -> Any:
    return _serving("text", "Log lines of text, or one JSON object per line.")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """What `callwright serve` is told. Seconds unless a field says otherwise; 0 is no limit."""

    host: str = _serving("127.0.0.1", "Address to listen on.", "ADDRESS")
    port: int = _serving(8000, "Port to listen on; 0 picks a free one.", least=0, most=65535)
    data: Path = _serving("data", "Folder that holds all data.", "DIR", parse=_folder)
    public_url: str | None = _serving(
        None, "URL at which people and agents reach the platform, behind a proxy.", "URL", parse=_site
    )
    database: str | None = _serving(
        None, "postgresql://…; SQLite in the data folder if absent.", "URL", secret=True
    )
    evidence: str | None = _serving(
        None, "Where to keep the files of runs; in the data folder if absent.", "DIR|s3://BUCKET/PREFIX"
    )
    evidence_endpoint: str | None = _serving(
        None, "S3 server other than Amazon's: MinIO, Ceph, Swift, Garage.", "URL"
    )
    evidence_region: str | None = _serving(None, "Region of the bucket.")
    evidence_ca: Path | None = _serving(
        None, "CA that signed the S3 server's certificate (PEM).", "FILE", parse=_folder
    )
    evidence_access_key: str | None = _serving(
        None,
        "S3 access key; if absent, the standard chain: AWS_ACCESS_KEY_ID, ~/.aws, the machine's role.",
        secret=True,
    )
    evidence_secret_key: str | None = _serving(
        None, "S3 secret key; better given as a variable.", secret=True
    )
    evidence_retention: float = _serving(
        30.0, "Delete files older than this; their runs stay. 0: keep them.", "DAYS", least=0
    )
    evidence_quota: float = _serving(
        20.0, "Delete the oldest files beyond this size; 0: no limit.", "GIB", least=0
    )
    cdr_retention: float = _serving(
        0.0, "Delete call detail records older than this; 0: keep them.", "DAYS", least=0
    )
    nats: NatsAddress | None = _serving(
        None,
        "Use this NATS server, or the servers of a cluster: nats://user:password@host:port.",
        "URL,…",
        secret=True,
        parse=_nats,
    )
    nats_listen: tuple[str, int] | None = _serving(
        None, "Open our NATS server to agents elsewhere, with TLS.", "HOST:PORT", parse=_listener
    )
    nats_name: str | None = _serving(
        None, "Host name at which agents elsewhere reach it, for its certificate.", "NAME"
    )
    nats_websocket_url: str | None = _serving(
        None,
        "wss:// URL at which agents reach its WebSocket listener, behind a proxy.",
        "URL",
        parse=_websocket,
    )
    workers: int = _serving(1, "Processes that answer HTTP.", least=1, most=64)
    lease: float = _serving(
        15.0, "Seconds without a heartbeat after which an agent counts as lost.", least=0.5, most=300
    )
    rate_limit: float = _serving(
        200.0,
        "Requests per second for each key, in bursts of up to five seconds' worth; 0: no limit.",
        least=0,
    )
    connections_per_address: int = _serving(
        256,
        "Connections from one address before sign-in, and half as many requests; 0: no limit.",
        least=0,
    )
    streams_per_address: int = _serving(
        32, "Event streams to one address before sign-in, as for public links; 0: no limit.", least=0
    )
    agent: bool = _serving(True, "Run an agent on this machine.", flag="--agent/--no-agent")
    capacity: int = _serving(50, "Concurrent calls of our own agent.", least=1, most=100_000)
    rtp_ports: tuple[int, int] = _serving(
        "16384-32767", "RTP ports of our own agent.", "LO-HI", parse=port_range
    )
    hep: str | None = _serving(None, f"{_HEP}, of our own agent.", "HOST:PORT")
    spool_limit: float = _serving(
        10.0,
        "Evidence that may wait at our own agent for upload; the oldest is dropped. 0: no limit.",
        "GIB",
        least=0,
    )
    hold_after: float = _serving(
        2.0,
        "Leases without an answer after which our own agent places no new calls; 0: never hold.",
        "LEASES",
        least=0,
    )
    end_after: float = _serving(
        4.0, "Leases without an answer after which our own agent ends its calls; 0: never.", "LEASES", least=0
    )
    pbx: bool = _serving(True, "Run the reference PBX.", flag="--pbx/--no-pbx")
    pbx_listen: tuple[str, int] = _serving(
        "127.0.0.1:0",
        "Where phones reach the PBX over UDP and TCP; port 0 is chosen once and kept.",
        "ADDRESS:PORT",
        parse=_sip_listener,
    )
    demo: bool = _serving(True, "Create and run the demo on the first start.", flag="--demo/--no-demo")
    strangers: bool = _serving(
        False, "Users may be strangers: private networks need a target too.", flag="--strangers/--embedded"
    )
    admin_email: str = _serving("admin@localhost", "Email of the first administrator.")
    admin_password: str | None = _serving(
        None, "Their password, better given as a variable; generated if absent.", secret=True
    )
    new_secret_key: bool = _serving(
        False, "Continue with a new secret.key if the old one is lost; SIP passwords must be set again."
    )
    metrics_token: str | None = _serving(
        None, "Token that grants access to /metrics; better given as a variable.", secret=True, parse=_token
    )
    proxies: tuple[str, ...] | None = _serving(
        None,
        "Reverse proxies whose X-Forwarded-For is trusted; with --public-url, this machine by default.",
        "ADDRESS,…",
        parse=_networks,
    )

    providers: dict[str, dict[str, Any]] = setting(
        {},
        "Clouds that servers are made in, each a table [providers.NAME].",
        table=True,
        parse=_providers,
        secret=True,
    )
    pools: dict[str, dict[str, Any]] = setting(
        {}, "Pools of servers, each a table [pools.NAME]; set up so at each start.", table=True, parse=_pools
    )

    cors_origins: tuple[str, ...] = _serving(
        "",
        "Sites whose scripts may use the telephony API from a browser; * for any.",
        "ORIGIN,…",
        parse=_origins,
    )
    notify_networks: tuple[str, ...] = _serving(
        "",
        "Private networks that notifications may reach, such as that of a mail relay; none by default.",
        "NETWORK,…",
        parse=_networks,
    )
    log_format: Literal["text", "json"] = _log_format()
    verbose: bool = _verbose()

    def __post_init__(self) -> None:
        if self.nats_websocket_url and not self.nats_listen:
            raise SettingError(
                "nats_websocket_url",
                "it needs --nats-listen too",
                "For example: --nats-listen 127.0.0.1:4222",
            )
        try:
            _ = self.evidence_location
        except ValueError as error:
            raise SettingError(
                "evidence",
                str(error),
                "Give a folder, or for example --evidence s3://bucket/prefix "
                "--evidence-endpoint https://minio.example.com",
            ) from None

    @property
    def evidence_location(self) -> EvidenceLocation:
        from callwright.control.storage.evidence.location import EvidenceLocation

        return EvidenceLocation.parse(
            self.evidence,
            endpoint=self.evidence_endpoint,
            region=self.evidence_region,
            ca=str(self.evidence_ca.absolute()) if self.evidence_ca is not None else None,
            access_key=self.evidence_access_key,
            secret_key=self.evidence_secret_key,
        )

    @property
    def evidence_limits(self) -> EvidenceLimits:
        from callwright.control.evidence.service import EvidenceLimits

        return EvidenceLimits(
            retention=self.evidence_retention * _DAY or None, quota=int(self.evidence_quota * _GIB) or None
        )

    @property
    def bounds(self) -> Bounds:
        from callwright.control.api.bounds import Bounds

        return Bounds(
            connections_of_address=self.connections_per_address,
            requests_of_address=-(-self.connections_per_address // 2),
            streams_of_address=self.streams_per_address,
        )

    @property
    def trusted_proxies(self) -> tuple[str, ...]:
        """A public URL says that there is a proxy; that it is on this machine is what the guide says."""
        from callwright.control.api.forwarded import LOOPBACK

        if self.proxies is None:
            return LOOPBACK if self.public_url else ()
        return self.proxies


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """What `callwright agent` is told."""

    url: str | None = setting(None, "The platform's URL, as people use it.", "URL")
    enrol: str | None = setting(
        None, "Enrol with this single-use token.", "TOKEN", variable=True, secret=True
    )
    pool: str | None = setting(None, "Refuse a token that is meant for another pool.", "NAME")
    data: Path = setting("callwright-agent", "Folder for identity and spool.", "DIR", parse=Path)
    name: str | None = setting(None, "Name of the agent; the host's name by default.", "NAME")
    capacity: int | None = setting(None, "Concurrent calls; 50 by default.", "N", least=1)
    label: dict[str, str] = setting(
        (), "Label shown in lists of agents; may be repeated.", "KEY=VALUE", parse=_labels, several=True
    )
    region: str | None = setting(None, "Region of the machine, for `placement.region`.", "NAME")
    ca: Path | None = setting(None, "CA to trust for --url (PEM).", "FILE", parse=Path)
    nats_transport: Literal["auto", "tcp", "websocket"] | None = setting(
        None, "How to reach the platform: TCP, WebSocket over TLS, or whichever gets through.", variable=True
    )
    bind: str | None = setting(None, "Local address to send from.", "HOST", parse=_local_address)
    rtp_ports: tuple[int, int] = setting("16384-32767", "Ports for RTP and RTCP.", "LO-HI", parse=port_range)
    hep: str | None = setting(None, f"{_HEP}.", "HOST:PORT", variable=True)
    spool_limit: float = setting(
        10.0,
        "Evidence that may wait for upload; the oldest is dropped, results never are. 0: no limit.",
        "GIB",
        variable=True,
        least=0,
    )
    hold_after: float = setting(
        2.0,
        "Leases without an answer from the platform after which to place no new calls; 0: never hold.",
        "LEASES",
        variable=True,
        least=0,
    )
    end_after: float = setting(
        4.0,
        "Leases without an answer from the platform after which to end all calls; 0: never.",
        "LEASES",
        variable=True,
        least=0,
    )
    exit_after: float = setting(
        0.0,
        "Seconds without an answer from the platform after which the agent ends; 0: never.",
        "SECONDS",
        variable=True,
        least=0,
    )
    supervised: bool = setting(False, "Standard input is a line to a supervisor.", hidden=True)
    log_format: Literal["text", "json"] = _log_format()
    verbose: bool = _verbose()

    @property
    def patience(self) -> Patience:
        from callwright.agent.silence import Patience

        return Patience(self.hold_after, self.end_after)

    @property
    def spool_octets(self) -> int:
        return round(self.spool_limit * _GIB)

    @property
    def display_name(self) -> str:
        return self.name or platform.node() or "agent"
