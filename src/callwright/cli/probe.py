"""`callwright probe`: measure a way once, as a monitor does again and again."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from callwright.cli import softphone as flags
from callwright.cli.console import JsonFlag, TraceFlag, VerboseFlag, exit_code, print_json, show
from callwright.host.operator import EXIT_INTERRUPTED, Refused
from callwright.host.signals import run_async

if TYPE_CHECKING:
    import asyncio

    from callwright.net.tap import Tap
    from callwright.net.tls import TlsSettings
    from callwright.phone.plan import PhoneConfig
    from callwright.probe.prober import Prober
    from callwright.probe.result import ProbeResult
    from callwright.probe.telephony import Telephone
    from callwright.probe.train import Shape, Train

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

PacketsOption = Annotated[
    int | None,
    typer.Option("--packets", "-c", min=1, max=10_000, metavar="N", help="Packets; 25 by default."),
]
SpacingOption = Annotated[
    float | None,
    typer.Option(
        "--interval", min=5, max=10_000, metavar="MS", help="From one packet to the next; 100 by default."
    ),
]
CallOption = Annotated[
    bool, typer.Option("--call", help="As a call of five seconds sends: 250 packets, 20 ms apart.")
]
WaitOption = Annotated[
    float,
    typer.Option("--wait", min=0.01, max=60, metavar="SECONDS", help="Wait this long for the last packet."),
]
CodecOption = Annotated[
    str, typer.Option("--codec", metavar="NAME", help="The codec that the MOS is estimated for.")
]
MinMosOption = Annotated[
    float | None, typer.Option("--min-mos", min=1, max=5, metavar="MOS", help="Fail below this MOS.")
]
FourOption = Annotated[bool, typer.Option("-4", help="IPv4 only.")]
SixOption = Annotated[bool, typer.Option("-6", help="IPv6 only.")]

_EXIT_CODES = (
    "Exit codes: 0 measured (and no worse than --min-mos); 1 nothing came back, refused or worse; 2 usage or "
    "policy; 3 our own error, or this machine was too busy to measure; 130 after Ctrl-C."
)


@app.callback()
def probe() -> None:
    """Measure a way once: loss, delay, jitter and the MOS that a call would have."""


@app.command(
    epilog="[bold]Examples[/bold]\n\n  callwright probe ping pbx.example.com\n\n"
    f"  callwright probe ping 192.0.2.10 --call --min-mos 4 --json\n\n{_EXIT_CODES}"
)
def ping(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A host or an address.")],
    packets: PacketsOption = None,
    interval: SpacingOption = None,
    call: CallOption = False,
    wait: WaitOption = 2.0,
    codec: CodecOption = "g711",
    min_mos: MinMosOption = None,
    four: FourOption = False,
    six: SixOption = False,
    bind: flags.BindOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """ICMP echo in the shape of a call's packets."""
    shape = _shape(packets, interval, call, wait, codec)
    host, version = _host(target), _version(four, six)
    return _measure(host, lambda it: it.ping(host, shape, version), (bind, None), min_mos, (as_json, verbose))


@app.command(
    epilog="[bold]Examples[/bold]\n\n  callwright probe sip sip:pbx.example.com\n\n"
    f"  callwright probe sip pbx.example.com --transport tls -c 1 --json\n\n{_EXIT_CODES}"
)
def sip(
    target: Annotated[str, typer.Argument(metavar="URI", help="The server, or a user on it.")],
    packets: PacketsOption = None,
    interval: SpacingOption = None,
    wait: WaitOption = 2.0,
    codec: CodecOption = "g711",
    min_mos: MinMosOption = None,
    min_days: Annotated[
        float | None,
        typer.Option("--min-days", metavar="DAYS", help="Fail when the certificate ends sooner than this."),
    ] = None,
    transport: flags.TransportOption = None,
    bind: flags.BindOption = None,
    ca: flags.CaOption = None,
    cert: flags.CertOption = None,
    key: flags.KeyOption = None,
    sni: flags.SniOption = None,
    insecure: flags.InsecureOption = False,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
    trace_sip: TraceFlag = False,
    hep: flags.HepOption = None,
) -> int:
    """SIP OPTIONS, each sent once: any answer proves life. Over TLS it tells the certificate's last day."""
    from callwright.sip.uri import Uri

    uri = flags.sip_uri(target, "TARGET")
    shape = _shape(packets, interval, False, wait, codec)
    config = flags.phone_config(
        transport=transport, bind=bind, ca=ca, cert=cert, key=key, sni=sni, insecure=insecure
    )

    async def asked(prober: Prober) -> ProbeResult:
        return (await prober.options(uri, shape, config.transport)).valid_for(min_days)

    return _measure(
        Uri.parse(uri).host,
        asked,
        (bind, config.tls),
        min_mos,
        (as_json, verbose),
        flags.Watching(trace_sip, hep).taps(),
    )


@app.command(
    epilog="[bold]Examples[/bold]\n\n  callwright probe udp reflector.example.com\n\n"
    f"  callwright probe udp 192.0.2.10:8620 --call --json\n\n{_EXIT_CODES}"
)
def udp(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A STAMP reflector: host or host:port; port 862 if none.")
    ],
    packets: PacketsOption = None,
    interval: SpacingOption = None,
    call: CallOption = False,
    wait: WaitOption = 2.0,
    codec: CodecOption = "g711",
    min_mos: MinMosOption = None,
    four: FourOption = False,
    six: SixOption = False,
    bind: flags.BindOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """STAMP (RFC 8762) to any reflector, or to `callwright reflect`: each direction apart."""
    from callwright.net.address import split_host_port

    shape = _shape(packets, interval, call, wait, codec)
    try:
        named, port = split_host_port(target)
    except ValueError as error:
        raise Refused(f"TARGET: {error}") from None
    host, version = _host(named), _version(four, six)
    return _measure(
        host, lambda it: it.udp(host, port, shape, version), (bind, None), min_mos, (as_json, verbose)
    )


@app.command(
    epilog="[bold]Examples[/bold]\n\n  callwright probe path pbx.example.com\n\n"
    f"  callwright probe path 192.0.2.10 --hops 12 --json\n\n{_EXIT_CODES}"
)
def path(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A host or an address.")],
    hops: Annotated[
        int, typer.Option("--hops", min=1, max=64, metavar="N", help="Go no further than this.")
    ] = 30,
    each: Annotated[int, typer.Option("--each", min=1, max=10, metavar="N", help="Packets to each hop.")] = 3,
    four: FourOption = False,
    six: SixOption = False,
    bind: flags.BindOption = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """The way hop by hop, with delay and loss of each; needs no privilege. Linux."""
    from callwright.probe.path import Steps

    host, version, steps = _host(target), _version(four, six), Steps(hops, each)
    return _measure(host, lambda it: it.path(host, steps, version), (bind, None), None, (as_json, verbose))


@app.command(
    epilog="[bold]Examples[/bold]\n\n  callwright probe dns example.com\n\n"
    f"  callwright probe dns example.com --json | jq -r .fingerprint\n\n{_EXIT_CODES}"
)
def dns(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A SIP domain.")],
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="FINGERPRINT", help="Fail when the records have another one."),
    ] = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """NAPTR, SRV and addresses of a SIP domain, how long they took, and a fingerprint that tells a change."""
    from callwright.net.clock import SystemClock
    from callwright.probe.names import expected, look_up

    host = _host(name)

    async def asked(_: Prober) -> ProbeResult:
        return expected(await look_up(host, SystemClock()), expect)

    return _measure(host, asked, (None, None), None, (as_json, verbose))


@app.command(
    epilog="[bold]Examples[/bold]\n\n  callwright probe call sip:echo@pbx.example.com --for 5 --min-mos 4\n\n"
    f"{_EXIT_CODES}"
)
def call(
    uri: Annotated[str, typer.Argument(metavar="URI", help="An echo, a menu, anything that answers.")],
    for_: Annotated[
        float, typer.Option("--for", min=0.5, max=600, metavar="SECONDS", help="Stay this long.")
    ] = 10.0,
    user: flags.UserOption = None,
    password: flags.PasswordOption = None,
    min_mos: MinMosOption = None,
    transport: flags.TransportOption = None,
    bind: flags.BindOption = None,
    rtp_ports: flags.RtpPortsOption = "16384-32767",
    ca: flags.CaOption = None,
    cert: flags.CertOption = None,
    key: flags.KeyOption = None,
    sni: flags.SniOption = None,
    insecure: flags.InsecureOption = False,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
    trace_sip: TraceFlag = False,
    hep: flags.HepOption = None,
) -> int:
    """A real call with speech, as a measurement: both directions, where the far end reports the other."""
    from callwright.phone.plan import Account

    target = flags.sip_uri(uri)
    config = flags.phone_config(
        transport=transport,
        bind=bind,
        rtp_ports=rtp_ports,
        user=user or "callwright",
        ca=ca,
        cert=cert,
        key=key,
        sni=sni,
        insecure=insecure,
    )
    account = Account(user, password or "") if user else None
    return _telephone(
        "call",
        target,
        config,
        lambda it: it.call(target, seconds=for_, account=account),
        min_mos,
        (as_json, verbose),
        flags.Watching(trace_sip, hep).taps([password] if password else ()),
    )


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    f"  callwright probe register sip:1001@pbx.example.com --password secret\n\n{_EXIT_CODES}"
)
def register(
    uri: Annotated[str, typer.Argument(metavar="URI", help="The account at its registrar.")],
    user: flags.UserOption = None,
    password: flags.PasswordOption = None,
    transport: flags.TransportOption = None,
    bind: flags.BindOption = None,
    ca: flags.CaOption = None,
    cert: flags.CertOption = None,
    key: flags.KeyOption = None,
    sni: flags.SniOption = None,
    insecure: flags.InsecureOption = False,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
    trace_sip: TraceFlag = False,
    hep: flags.HepOption = None,
) -> int:
    """Whether an account can register, and how long it takes; the binding is taken back."""
    from callwright.phone.plan import Account
    from callwright.sip.uri import Uri

    target = flags.sip_uri(uri)
    name = user or Uri.parse(target).user
    if not name:
        raise Refused("nobody to register: the URI names no user", "Add --user 1001.")
    config = flags.phone_config(
        transport=transport, bind=bind, user=name, ca=ca, cert=cert, key=key, sni=sni, insecure=insecure
    )
    account = Account(name, password or "")
    return _telephone(
        "register",
        target,
        config,
        lambda it: it.register(target, account),
        None,
        (as_json, verbose),
        flags.Watching(trace_sip, hep).taps([password] if password else ()),
    )


def _telephone(
    purpose: str,
    target: str,
    config: PhoneConfig,
    work: Callable[[Telephone], Awaitable[ProbeResult]],
    min_mos: float | None,
    shown: tuple[bool, bool],
    taps: Sequence[Tap],
) -> int:
    from callwright.phone.guarding import guarded
    from callwright.probe.telephony import Telephone

    permission = flags.typed_permission(purpose, target)

    async def measure(stop: asyncio.Event) -> tuple[ProbeResult, bool]:
        with guarded() as guard:
            return await work(Telephone(config, permission, guard, stop=stop, taps=taps)), stop.is_set()

    return _tell(*run_async(measure), min_mos, shown)


def _shape(packets: int | None, interval: float | None, call: bool, wait: float, codec: str) -> Shape:
    from callwright.probe.train import Shape
    from callwright.quality.codec_table import impairment, scale_of

    try:
        impairment(codec, scale_of(codec))
    except ValueError as error:
        raise Refused(f"--codec: {error}") from None
    plain = Shape.call() if call else Shape()
    return Shape(
        packets or plain.packets,
        plain.spacing if interval is None else interval / 1000,
        wait,
        codec=codec,
    )


def _version(four: bool, six: bool) -> int | None:
    if four and six:
        raise Refused("-4 and -6 exclude each other")
    return 4 if four else 6 if six else None


def _host(text: str) -> str:
    host = text.strip().removeprefix("[").removesuffix("]")
    if not host or any(character in host for character in "/@ \t") or "://" in text:
        raise Refused(f"TARGET is a host or an address, not {text!r}", "For example: pbx.example.com")
    return host


def _measure(
    host: str,
    work: Callable[[Prober], Awaitable[ProbeResult]],
    ways: tuple[str | None, TlsSettings | None],
    min_mos: float | None,
    shown: tuple[bool, bool],
    taps: Sequence[Tap] = (),
) -> int:
    """`shown`: as JSON, and with more of what is going on."""
    from callwright.cli.remedies import without_allow
    from callwright.net.address import numeric_host
    from callwright.net.tls import TlsSettings
    from callwright.phone.permission import Permission
    from callwright.policy.destination import Purpose, Rules
    from callwright.probe.prober import Prober
    from callwright.version import __version__

    bind, tls = ways
    if bind is not None and numeric_host(bind) is None:
        raise Refused(f"--bind takes an address of this machine, not {bind!r}", "For example: 192.0.2.7")
    progress = flags.ProgressLine(enabled=not shown[0] and not taps)

    def tell(train: Train) -> None:
        sent = sum(packet.sent is not None for packet in train.plan)
        progress.show(f"{len(train.order)} of {sent} came back, {len(train.plan) - sent} to be sent")

    async def measure(stop: asyncio.Event) -> tuple[ProbeResult, bool]:
        prober = Prober(
            Permission(Purpose.OPTIONS, Rules(typed=(host,)), without_allow),
            bind=bind,
            tls=tls or TlsSettings(),
            user_agent=f"Callwright/{__version__}",
            stop=stop,
            on_progress=tell,
            taps=taps,
        )
        return await work(prober), stop.is_set()

    result, interrupted = run_async(measure)
    progress.done()
    return _tell(result, interrupted, min_mos, shown)


def _tell(result: ProbeResult, interrupted: bool, min_mos: float | None, shown: tuple[bool, bool]) -> int:
    as_json, verbose = shown
    result = result.canceled("Ctrl-C ended it.") if interrupted else result.at_least(min_mos)
    if as_json:
        print_json(result.to_json())
    else:
        from callwright.cli.probe_view import lines

        for line in lines(
            result, verbose=verbose, plain=(sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
        ):
            show(line)
    return EXIT_INTERRUPTED if interrupted else exit_code(result.verdict, result.failure)
