"""From flags to a phone: what `call`, `answer`, `register` and `options` have in common."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeVar

import typer

from callwright.cli.console import print_json
from callwright.host.operator import Refused, say
from callwright.host.settings import port_range

if TYPE_CHECKING:
    from callwright.ice.wish import IceWish
    from callwright.net.tap import Packet, Tap
    from callwright.phone.permission import Permission
    from callwright.phone.plan import PhoneConfig, TransferPlan
    from callwright.sip.session_timer import SessionWish
    from callwright.srtp.key_file import KeysAgreed
    from callwright.srtp.wish import SrtpWish

T = TypeVar("T")

TransportOption = Annotated[
    str | None,
    typer.Option(
        "--transport", metavar="udp|tcp|tls|ws|wss", help="Transport, instead of what the URI and DNS say."
    ),
]
Ipv4Option = Annotated[bool, typer.Option("--ipv4", help="Only addresses of IPv4.")]
Ipv6Option = Annotated[bool, typer.Option("--ipv6", help="Only addresses of IPv6.")]
WsPathOption = Annotated[
    str,
    typer.Option("--ws-path", metavar="PATH", help="WebSocket: the path to ask a server for."),
]
BindOption = Annotated[str | None, typer.Option("--bind", metavar="HOST", help="Local address to send from.")]
AdvertiseOption = Annotated[
    str | None,
    typer.Option(
        "--advertise", metavar="HOST", help="Address to put in Via, Contact and SDP, when a NAT changes ours."
    ),
]
CaOption = Annotated[Path | None, typer.Option("--ca", metavar="FILE", help="TLS: trust this CA (PEM).")]
CertOption = Annotated[
    Path | None, typer.Option("--cert", metavar="FILE", help="TLS: our certificate (PEM).")
]
KeyOption = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="TLS: our private key (PEM).")]
SniOption = Annotated[
    str | None, typer.Option("--sni", metavar="NAME", help="TLS: name to ask for and to verify.")
]
HepOption = Annotated[
    str | None,
    typer.Option(
        "--hep",
        metavar="HOST:PORT",
        envvar="CALLWRIGHT_HEP",
        show_envvar=True,
        help="Mirror SIP to this collector (HEP version 3, as HOMER takes it).",
    ),
]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="TLS: accept any certificate.")]
UserOption = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Name to authenticate with.")]
PasswordOption = Annotated[
    str | None,
    typer.Option(
        "--password",
        metavar="SECRET",
        envvar="CALLWRIGHT_PASSWORD",
        show_envvar=True,
        help="Its password; better kept in the environment.",
    ),
]
ProxyOption = Annotated[
    str | None, typer.Option("--proxy", metavar="URI", help="Send everything by way of this proxy.")
]
RtpPortsOption = Annotated[str, typer.Option("--rtp-ports", metavar="LO-HI", help="Ports for RTP and RTCP.")]
CodecOption = Annotated[
    list[str] | None,
    typer.Option(
        "--codec", metavar="NAME", help="Codec to offer or take; repeat it, the first is preferred."
    ),
]

PrackOption = Annotated[
    str,
    typer.Option(
        "--prack",
        metavar="no|offered|required",
        help="Reliable provisionals (100rel): not supported, as the caller wishes, or not without.",
    ),
]
EarlyUpdateOption = Annotated[
    float | None,
    typer.Option(
        "--early-update",
        min=0,
        metavar="SECONDS",
        help="Offer anew by UPDATE this long after early media was agreed on, if not answered.",
    ),
]

SrtpOption = Annotated[
    str,
    typer.Option(
        "--srtp",
        metavar="off|optional|required|fallback|dtls",
        help="Keys for SRTP in the SDP: none, beside plain RTP, RTP/SAVP, or that and after a 488 plain RTP; "
        "or by a DTLS handshake, as browsers do.",
    ),
]
SrtpSuiteOption = Annotated[
    list[str] | None,
    typer.Option(
        "--srtp-suite", metavar="NAME", help="Crypto suite to offer or take; repeat it for more, in order."
    ),
]
IceOption = Annotated[
    str,
    typer.Option(
        "--ice",
        metavar="off|on|lite",
        help="How media finds its way: as the SDP says, by checks (ICE), or by answering checks alone.",
    ),
]
StunOption = Annotated[
    str | None,
    typer.Option("--stun", metavar="HOST[:PORT]", help="STUN server that tells our address outside a NAT."),
]
TurnOption = Annotated[
    str | None,
    typer.Option(
        "--turn",
        metavar="USER:PASSWORD@HOST[:PORT]",
        envvar="CALLWRIGHT_TURN",
        show_envvar=True,
        help="TURN server that relays media; better kept in the environment.",
    ),
]
RelayOnlyOption = Annotated[
    bool, typer.Option("--relay-only", help="Use no address but that at the TURN server.")
]
KeysOption = Annotated[
    Path | None,
    typer.Option("--keys", metavar="FILE", help="Write the keys of SRTP here, to open captures with."),
]
RekeyOption = Annotated[
    float | None,
    typer.Option(
        "--rekey-after", min=0, metavar="SECONDS", help="Offer new keys this long after the answer."
    ),
]
TransferOption = Annotated[
    str | None,
    typer.Option("--transfer", metavar="URI", help="Send the other side there (REFER)."),
]
TransferAfterOption = Annotated[
    float,
    typer.Option("--transfer-after", min=0, metavar="SECONDS", help="Transfer this long after the answer."),
]
ConsultOption = Annotated[
    float | None,
    typer.Option(
        "--consult",
        min=0,
        metavar="SECONDS",
        help="Call the target of the transfer first, talk this long, then connect the two (Replaces).",
    ),
]
AcceptTransfersOption = Annotated[
    bool,
    typer.Option(
        "--accept-transfers", help="Follow a REFER of the other side, as far as the policy permits it."
    ),
]

DtmfByOption = Annotated[
    str,
    typer.Option(
        "--dtmf-by",
        metavar="event|dtmf-relay|dtmf|inband",
        help="Send digits as telephone-events, in INFO with either body, or as tones.",
    ),
]
DetectTonesOption = Annotated[
    bool, typer.Option("--detect-tones", help="Listen for digits in the audio itself, too.")
]
SessionExpiresOption = Annotated[
    int | None,
    typer.Option(
        "--session-expires",
        min=4,
        metavar="SECONDS",
        help="Session timer (RFC 4028) to ask for or agree to.",
    ),
]
MinSeOption = Annotated[
    int,
    typer.Option("--min-se", min=4, metavar="SECONDS", help="Least session timer that we take (Min-SE)."),
]
RefresherOption = Annotated[
    str | None,
    typer.Option("--refresher", metavar="local|remote", help="Who refreshes the session: we, or the peer."),
]
RefreshByOption = Annotated[
    str | None,
    typer.Option(
        "--refresh-by",
        metavar="update|reinvite",
        help="How we refresh the session, instead of by UPDATE where the peer allows it.",
    ),
]

_PATH = re.compile(r"/[!-~]{0,255}")
TRANSPORTS = ("udp", "tcp", "tls", "ws", "wss")


def phone_config(
    *,
    transport: str | None = None,
    bind: str | None = None,
    advertise: str | None = None,
    rtp_ports: str = "16384-32767",
    codecs: Sequence[str] = (),
    ptime: int = 20,
    user: str = "callwright",
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    sni: str | None = None,
    insecure: bool = False,
    ws_path: str = "/ws",
    ipv4: bool = False,
    ipv6: bool = False,
    min_se: int = 90,
) -> PhoneConfig:
    """Check the flags that need it and make the phone's configuration. Raises Refused, naming the flag."""
    from callwright.net.address import numeric_host
    from callwright.net.tls import TlsSettings
    from callwright.phone.plan import DEFAULT_CODECS, PhoneConfig
    from callwright.sip.transport import Transport
    from callwright.version import __version__

    if transport is not None and transport.lower() not in TRANSPORTS:
        raise Refused(f"--transport is udp, tcp, tls, ws or wss, not {transport!r}")
    if not _PATH.fullmatch(ws_path):
        raise Refused(f"--ws-path begins with / and has no spaces, unlike {ws_path!r}")
    if bind is not None and numeric_host(bind) is None:
        raise Refused(
            f"--bind takes an address of this machine, not {bind!r}", "For example: --bind 192.0.2.7"
        )
    for flag, file in (("--ca", ca), ("--cert", cert), ("--key", key)):
        if file is not None and not file.is_file():
            raise Refused(f"{flag} {file}: there is no such file")
    check_codecs(codecs)
    return PhoneConfig(
        bind=bind,
        transport=Transport(transport.upper()) if transport else None,
        advertise=advertise,
        rtp_ports=ports_of(rtp_ports),
        tls=TlsSettings(ca, cert, key, sni, insecure),
        user_agent=f"Callwright/{__version__}",
        user=user,
        codecs=tuple(codecs) or DEFAULT_CODECS,
        ptime=ptime,
        ws_path=ws_path,
        family=family_of_flags(ipv4, ipv6, bind),
        min_se=min_se,
    )


def family_of_flags(ipv4: bool, ipv6: bool, bind: str | None) -> int | None:
    """4, 6, or None for both. Raises Refused."""
    if ipv4 and ipv6:
        raise Refused("--ipv4 and --ipv6 leave no address: give one of them, or neither")
    if not ipv4 and not ipv6:
        return None
    if bind is not None and (":" in bind) != ipv6:
        raise Refused(f"--bind {bind} is not an address of {'IPv6' if ipv6 else 'IPv4'}")
    return 6 if ipv6 else 4


def ports_of(text: str) -> tuple[int, int]:
    try:
        return port_range(text)
    except ValueError as error:
        raise Refused(f"--rtp-ports: {error.args[0]}", *error.args[1:]) from None


def check_codecs(codecs: Sequence[str]) -> None:
    from callwright.audio.codecs import CodecError, codec, only_received

    for name in codecs:
        try:
            codec(name).decoder()
        except (KeyError, CodecError) as error:
            raise Refused(f"--codec {name}: {error.args[0]}") from None
    try:
        only_received(codecs)
    except CodecError as error:
        raise Refused(f"--codec: {error}") from None


def check_prack(prack: str, early_update: float | None) -> None:
    from callwright.phone.plan import PRACK

    if prack not in PRACK:
        raise Refused(f"--prack is {', '.join(PRACK[:-1])} or {PRACK[-1]}, not {prack!r}")
    if early_update is not None and prack == "no":
        raise Refused("--early-update needs reliable provisionals: leave out --prack no")


def srtp_wish(use: str, suites: Sequence[str], rekey_after: float | None) -> SrtpWish:
    from callwright.srtp.suite import SUITES
    from callwright.srtp.wish import DTLS_SUITES, USES, SrtpWish

    if use not in USES:
        raise Refused(f"--srtp is {', '.join(USES[:-1])} or {USES[-1]}, not {use!r}")
    if use == "off" and (suites or rekey_after is not None):
        flag = "--srtp-suite" if suites else "--rekey-after"
        raise Refused(f"{flag} needs --srtp optional, required, fallback or dtls")
    for name in suites:
        if name.upper() not in SUITES:
            raise Refused(f"--srtp-suite {name}: there is {', '.join(SUITES)}")
    if use == "dtls":
        from callwright.net.own_certificate import process_identity

        process_identity()  # OpenSSL is loaded before the first call, not while it rings
        for name in suites:
            if name.upper() not in DTLS_SUITES:
                raise Refused(f"--srtp-suite {name}: DTLS agrees on {', '.join(DTLS_SUITES)} alone")
        if rekey_after is not None:
            raise Refused("--rekey-after is for keys in the SDP, not for --srtp dtls")
    return SrtpWish(use, tuple(dict.fromkeys(name.upper() for name in suites)), rekey_after)


def ice_wish(use: str, stun: str | None, turn: str | None, relay_only: bool) -> IceWish:
    """Raises Refused, which never shows the password."""
    from callwright.ice.wish import USES, IceWish, parse_server, parse_turn

    if use not in USES:
        raise Refused(f"--ice is {', '.join(USES[:-1])} or {USES[-1]}, not {use!r}")
    for flag, given in (("--stun", stun), ("--relay-only", relay_only)):
        if given and use != "on":
            raise Refused(f"{flag} needs --ice on")
    if relay_only and not turn:
        raise Refused("--relay-only needs --turn: there is no other relay")
    try:
        server = parse_server(stun) if stun else None
    except ValueError as error:
        raise Refused(f"--stun: {error}") from None
    try:
        relay = parse_turn(turn) if turn and use == "on" else None
    except ValueError as error:
        raise Refused(f"--turn: {error}") from None
    return IceWish(use, server, relay, relay_only)


def ice_hosts(wish: IceWish) -> tuple[str, ...]:
    """The servers that were typed."""
    return tuple(server.host for server in (wish.stun, wish.turn) if server is not None)


def session_wish(
    interval: int | None, minimum: int, refresher: str | None, refresh_by: str | None
) -> SessionWish:
    from callwright.sip.events import Side
    from callwright.sip.session_timer import SessionWish

    if refresher not in (None, "local", "remote"):
        raise Refused(f"--refresher is local or remote, not {refresher!r}")
    methods = {None: None, "update": "UPDATE", "reinvite": "INVITE"}
    if refresh_by not in methods:
        raise Refused(f"--refresh-by is update or reinvite, not {refresh_by!r}")
    return SessionWish(interval, minimum, Side(refresher) if refresher else None, methods[refresh_by])


def check_dtmf_by(by: str) -> None:
    from callwright.phone.plan import DTMF_BY

    if by not in DTMF_BY:
        raise Refused(f"--dtmf-by is {', '.join(DTMF_BY[:-1])} or {DTMF_BY[-1]}, not {by!r}")


def check_play(play: str) -> None:
    """A file to be played is read before anybody is called. Raises Refused with what is wrong with it."""
    from callwright.audio.wav import AudioFileError, read_wav
    from callwright.media.source import BUILT_IN

    if play in BUILT_IN:
        return
    try:
        read_wav(play)
    except AudioFileError as error:
        raise Refused(f"--play: {error}", f"It takes a WAV file, or one of {', '.join(BUILT_IN)}.") from None


def headers_of(texts: Sequence[str], *, hops: bool = True, free: bool = False) -> tuple[tuple[str, str], ...]:
    """`X-A: b` of --header, checked so that no header can end early, bring another along, or stand in the
    place of one that the call writes itself, in whichever form. `hops`: Max-Forwards may be set; `free`: any
    may, and `-Name` leaves one out."""
    from callwright.sip.edits import is_removal
    from callwright.sip.headers import Unfit, header_key, unfit

    headers = []
    for text in texts:
        name, colon, value = text.partition(":")
        name, value = name.strip(), value.strip()
        if free and not colon and unfit(name, "") is not Unfit.NAME and is_removal(name):
            headers.append((name, ""))
            continue
        fault = unfit(name, value)
        if not colon or fault is Unfit.NAME:
            raise Refused(f"--header takes 'Name: value', not {text!r}")
        if fault is Unfit.VALUE:
            raise Refused(f"--header {name}: a value has no control characters")
        if fault is Unfit.RESERVED and not free and not (hops and header_key(name) == "max-forwards"):
            raise Refused(f"--header {name}: the call writes this header itself", "Leave it out.")
        headers.append((name, value))
    return tuple(headers)


def sip_uri(text: str, what: str = "the URI") -> str:
    """`text` as a SIP URI, `sip:` put before it where it is missing. Raises Refused with what is wrong."""
    from callwright.sip.uri import SipSyntaxError, Uri

    full = text if text.partition(":")[0].lower() in ("sip", "sips") else f"sip:{text}"
    try:
        uri = Uri.parse(full)
    except SipSyntaxError as error:
        raise Refused(
            f"{what} {text!r} is not a SIP URI: {error.reason}", "For example: sip:1002@pbx.example.com"
        ) from None
    if not uri.is_sip or not uri.host:
        raise Refused(f"{what} {text!r} names no SIP host", "For example: sip:1002@pbx.example.com")
    if (uri.parameter("transport") or "udp").lower() not in TRANSPORTS:
        from callwright.phone.addressing import unknown_transport

        raise Refused(
            f"{what}: {unknown_transport(uri)}", "For example: sip:1002@pbx.example.com;transport=tcp"
        )
    return full


class Trace:
    """A tap that prints SIP messages on stderr as they pass, secrets taken out."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        from callwright.evidence.redaction import Redactor

        self._redactor = Redactor(secrets)
        self._started: float | None = None

    def __call__(self, packets: Sequence[Packet]) -> None:
        from callwright.evidence.shown import shown_octets

        for packet in packets:
            if packet.kind != "sip":
                continue
            if self._started is None:
                self._started = packet.now
            arrow = "->" if packet.direction == "out" else "<-"
            remote = f"[{packet.remote[0]}]" if ":" in packet.remote[0] else packet.remote[0]
            say(
                f"--- {packet.now - self._started:9.3f}  {arrow} {packet.transport.lower()} "
                f"{remote}:{packet.remote[1]}  {len(packet.data)} octets"
            )
            say(shown_octets(self._redactor.message(packet.data)).rstrip("\n"))
            say("")


class ProgressLine:
    """One line on a terminal that says how things stand; nothing at all in a pipe."""

    def __init__(self, enabled: bool = True) -> None:
        self._live = enabled and sys.stderr.isatty()
        self._shown = False

    def show(self, text: str) -> None:
        if self._live:
            from callwright.evidence.shown import one_line

            sys.stderr.write(f"\r\x1b[2K{one_line(text)}")
            sys.stderr.flush()
            self._shown = True

    def done(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._shown = False


def transfer_plan(to: str | None, after: float, consult: float | None) -> TransferPlan | None:
    """The transfer that the flags ask for. Raises Refused."""
    from callwright.phone.plan import TransferPlan

    if to is None:
        if consult is not None:
            raise Refused("--consult needs --transfer: nobody to consult")
        return None
    return TransferPlan(sip_uri(to, "--transfer"), after, consult)


def typed_permission(purpose: str, *uris: str | None, hosts: Sequence[str] = ()) -> Permission:
    """The policy for a command whose destination a person has typed: there, and where the peer's media is.
    `hosts`: servers that were typed beside."""
    from callwright.cli.remedies import without_allow
    from callwright.phone.permission import Permission
    from callwright.policy.destination import Purpose, Rules
    from callwright.sip.uri import Uri

    called = tuple(Uri.parse(sip_uri(uri)).host for uri in uris if uri)
    return Permission(Purpose(purpose), Rules(typed=(*called, *hosts)), without_allow)


class Watching:
    """Who looks on besides the evidence: a trace on stderr, a collector of HEP, a file that gets the keys of
    SRTP. Raises Refused."""

    def __init__(self, trace_sip: bool, hep: str | None, keys: Path | None = None) -> None:
        from callwright.agent.mirror import Mirror
        from callwright.net.address import Unreachable

        self._trace = trace_sip
        try:
            self._mirror = Mirror.to(hep, on_loss=say) if hep else None
        except (ValueError, Unreachable) as error:
            raise Refused(f"--hep: {error}", "For example: --hep 127.0.0.1:9060") from None

        self._keys = _key_file(keys) if keys is not None else None

    @property
    def on_keys(self) -> Callable[[KeysAgreed], None] | None:
        """What writes the keys of SRTP, where that is wanted."""
        file = self._keys
        if file is None:
            return None

        def write(agreed: KeysAgreed) -> None:
            file.write(agreed.lines())
            file.flush()

        return write

    def taps(self, secrets: Iterable[str] = ()) -> list[Tap]:
        hidden = tuple(secrets)
        mirrors = [self._mirror.tap(hidden)] if self._mirror is not None else []
        return [*([Trace(hidden)] if self._trace else []), *mirrors]


def _key_file(path: Path) -> TextIO:
    """Written anew, and readable to nobody else."""
    from callwright.srtp.key_file import HEADING

    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Refused(f"--keys {path}: the file cannot be made: {error.strerror or error}") from None
    file = os.fdopen(descriptor, "w")
    file.write(HEADING)
    file.flush()
    return file


def print_result(document: dict[str, Any], secrets: Iterable[str | None] = ()) -> None:
    """The JSON document of a result on stdout, without the secrets in headers of the messages in it."""
    from callwright.evidence.redaction import Redactor

    print_json(Redactor([secret for secret in secrets if secret]).document(document))
