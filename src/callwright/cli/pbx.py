"""`callwright pbx`: the reference PBX alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callwright.cli import softphone as flags
from callwright.cli.console import JsonFlag, LogFormatFlag, TraceFlag, VerboseFlag, log_as, print_json
from callwright.host.operator import EXIT_FAILED, EXIT_INTERRUPTED, Refused, say
from callwright.host.signals import run_async

if TYPE_CHECKING:
    from callwright.host.pbx_link import PbxLink
    from callwright.pbx.accounts import PbxAccount
    from callwright.pbx.plan import PbxPlan
    from callwright.pbx.record import CallRecord, PbxEvent
    from callwright.pbx.server import Pbx, PbxConfig, PbxListener

app = typer.Typer(
    rich_markup_mode="rich", add_completion=False, subcommand_metavar="[bans|check|reload|route]"
)

ControlOption = Annotated[
    Path | None,
    typer.Option(
        "--control",
        metavar="PATH",
        help="Socket over which `callwright pbx bans` and `pbx reload` speak to this PBX.",
    ),
]

_EXAMPLES = """
[bold]Examples[/bold]

  callwright pbx --listen 127.0.0.1:5060 --account 1001:secret --account 1002:secret

  callwright pbx --listen 192.0.2.7:5060 --domain pbx.test --accounts accounts.yaml

  callwright pbx --listen 192.0.2.7:5060 --plan pbx.yaml

  callwright pbx check pbx.yaml

  callwright pbx route 600 --plan pbx.yaml

  callwright pbx bans release 203.0.113.9

  callwright pbx --transport tls --listen 0.0.0.0:5061 --cert cert.pem --key key.pem --account 1001:secret

[bold]Files of --accounts[/bold]

  YAML, a mapping:            CSV, with or without a first line of names:

    1001: secret                user,secret,display_name
    1002:                       1001,secret,
      secret: other             1002,other,Bob Brown
      display_name: Bob Brown
"""


@app.callback(invoke_without_command=True, epilog=_EXAMPLES)
def pbx(
    context: typer.Context,
    listen: Annotated[
        str,
        typer.Option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 picks a free one."),
    ] = "127.0.0.1:5060",
    domain: Annotated[
        str | None,
        typer.Option("--domain", metavar="NAME", help="Domain and realm; by default the host of --listen."),
    ] = None,
    account: Annotated[
        list[str] | None,
        typer.Option("--account", metavar="USER:SECRET", help="An account; repeat it for more."),
    ] = None,
    accounts: Annotated[
        Path | None, typer.Option("--accounts", metavar="FILE", help="Accounts from a YAML or CSV file.")
    ] = None,
    plan_file: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            help="Users, groups and other numbers from a YAML file; see docs/pbx.md.",
        ),
    ] = None,
    transport: Annotated[
        list[str] | None,
        typer.Option("--transport", metavar="udp|tcp|tls|ws|wss", help="Repeatable; by default udp and tcp."),
    ] = None,
    ws: Annotated[
        str | None,
        typer.Option("--ws", metavar="HOST:PORT", help="Listen for SIP over WebSocket there, too."),
    ] = None,
    wss: Annotated[
        str | None,
        typer.Option("--wss", metavar="HOST:PORT", help="Likewise over TLS, with --cert and --key."),
    ] = None,
    relay: Annotated[
        bool,
        typer.Option(
            "--relay/--direct", help="RTP goes through the PBX, which measures it, or from phone to phone."
        ),
    ] = True,
    rtp_ports: flags.RtpPortsOption = "16384-32767",
    advertise: flags.AdvertiseOption = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Calls and messages need no password; registering does.")
    ] = False,
    digest: Annotated[
        list[str] | None,
        typer.Option(
            "--digest",
            metavar="MD5|SHA-256|SHA-512-256",
            help="Algorithms to challenge with, in order; older phones know only MD5, the default.",
        ),
    ] = None,
    permit: Annotated[
        list[str] | None,
        typer.Option(
            "--permit",
            metavar="ADDRESS|CIDR",
            help="Never ban these addresses for wrong passwords; repeat it for more.",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="HOST|CIDR",
            help="Permit trunks beyond loopback and private ranges; repeat it for more.",
        ),
    ] = None,
    messages: Annotated[
        Path | None,
        typer.Option(
            "--messages", metavar="FOLDER", help="Where voice messages are kept; by default none are taken."
        ),
    ] = None,
    registrations: Annotated[
        Path | None,
        typer.Option(
            "--registrations",
            metavar="FILE",
            help="Keep registrations there, so that phones on UDP are reachable at once after a restart.",
        ),
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(
            "--recordings",
            metavar="FOLDER",
            help="Where recorded calls are kept; by default none is recorded.",
        ),
    ] = None,
    control: ControlOption = None,
    platform: Annotated[
        Path | None, typer.Option("--platform", hidden=True, help="Settings of the `serve` that it is of.")
    ] = None,
    ca: flags.CaOption = None,
    cert: flags.CertOption = None,
    key: flags.KeyOption = None,
    as_json: JsonFlag = False,
    log_format: LogFormatFlag = "text",
    verbose: VerboseFlag = False,
    trace_sip: TraceFlag = False,
    hep: flags.HepOption = None,
) -> int:
    """Run the reference PBX: a registrar, and calls between its accounts, until Ctrl-C."""
    from callwright.cli import pbx_plan
    from callwright.pbx.plan import PbxPlan

    if context.invoked_subcommand is not None:
        return 0
    log_as(log_format, stdout=not as_json)
    from callwright.net.address import WILDCARDS
    from callwright.pbx.server import PbxConfig
    from callwright.policy.destination import Rules, parse_allow

    listening = _listeners(listen, transport or ("udp", "tcp"), ws, wss, has_certificate=cert is not None)
    phone = flags.phone_config(advertise=advertise, rtp_ports=rtp_ports, ca=ca, cert=cert, key=key)
    people = [*map(pbx_plan.account, account or ()), *(pbx_plan.read_accounts(accounts) if accounts else ())]
    plan = pbx_plan.read(plan_file) if plan_file is not None else PbxPlan()
    if not people and not plan.accounts:
        raise Refused(
            "a PBX without accounts serves nobody",
            "Add --account 1001:secret, --accounts FILE or --plan FILE.",
        )
    if domain is None:
        host = listening[0].host
        domain = "callwright.invalid" if host in WILDCARDS else host
    try:
        config = PbxConfig(
            domain,
            people,
            listening,
            relay=relay,
            rtp_ports=phone.rtp_ports,
            advertise=advertise,
            tls=phone.tls,
            user_agent=phone.user_agent,
            algorithms=tuple(digest or ("MD5",)),
            permitted=tuple(permit or ()),
            open_methods=frozenset({"OPTIONS", "INVITE", "MESSAGE"} if no_auth else ()),
            messages=messages,
            registrations=registrations,
            recordings=recordings,
            rules=Rules(targets=tuple(map(parse_allow, allow or ()))),
            plan=plan,
        )
        for problem in plan.problems():
            say(problem)
        files = _Files(accounts, plan_file, tuple(map(pbx_plan.account, account or ())))
        watching = flags.Watching(trace_sip, hep)
        calls = run_async(lambda stop: _serve(config, control, files, platform, stop, verbose, watching))
    except ValueError as error:
        raise Refused(str(error)) from None
    if as_json:
        # Nothing is judged here: as with every verb, the verdict is the one that the exit code means.
        print_json(
            {
                "verdict": "canceled",
                "blame": None,
                "reason": f"Ctrl-C ended the PBX; {len(calls)} {'call' if len(calls) == 1 else 'calls'} "
                "went through it.",
                "exit_code": EXIT_INTERRUPTED,
                "calls": [_call_json(record) for record in calls],
            }
        )
    return EXIT_INTERRUPTED  # nothing else ends it


def _listeners(
    listen: str, transports: Sequence[str], ws: str | None, wss: str | None, *, has_certificate: bool
) -> tuple[PbxListener, ...]:
    """Raises Refused."""
    from callwright.net.address import split_host_port
    from callwright.pbx.server import PbxListener
    from callwright.sip.transport import Transport

    wanted = [("--listen", listen, "127.0.0.1:5060", name.lower()) for name in dict.fromkeys(transports)]
    wanted += [("--ws", ws, "127.0.0.1:8080", "ws")] if ws is not None else []
    wanted += [("--wss", wss, "127.0.0.1:8443", "wss")] if wss is not None else []
    found = []
    for flag, place, example, name in wanted:
        try:
            host, port = split_host_port(place or "")
        except ValueError as error:
            raise Refused(f"{flag}: {error}", f"For example: {flag} {example}") from None
        if name not in flags.TRANSPORTS:
            raise Refused(f"--transport is udp, tcp, tls, ws or wss, not {name!r}")
        transport = Transport(name.upper())
        if transport.secure and not has_certificate:
            what = "--wss" if flag == "--wss" else f"--transport {name}"
            raise Refused(f"{what} needs a certificate", "Add --cert FILE and --key FILE.")
        found.append(PbxListener(transport, host, transport.default_port if port is None else port))
    return tuple(found)


@app.command("bans")
def bans(
    action: Annotated[
        str, typer.Argument(metavar="[list|release|permit]", help="What to do; by default list them.")
    ] = "list",
    place: Annotated[
        str, typer.Argument(metavar="[ADDRESS|CIDR]", help="The address to release, or never to ban.")
    ] = "",
    control: ControlOption = None,
    as_json: JsonFlag = False,
) -> int:
    """Bans of a running PBX for many accounts tried from one address: list, release or permit an address.

    They are kept in memory: a PBX that starts anew has none, and permits what --permit says.
    """
    from callwright.cli import pbx_bans

    if action not in pbx_bans.ACTIONS:
        raise Refused(f"bans takes {', '.join(pbx_bans.ACTIONS)}, not {action!r}")
    if (action == "list") == bool(place):
        raise Refused(
            f"bans {action} takes {'no' if action == 'list' else 'an'} address",
            "For example: callwright pbx bans release 203.0.113.9",
        )
    answer = pbx_bans.ask(control, [action, place] if place else [action])
    if not answer.get("ok"):
        raise Refused(str(answer.get("error")))
    if as_json:
        print_json(answer)
    else:
        pbx_bans.show(answer)
    return 0


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file of --plan.")],
    as_json: JsonFlag = False,
) -> int:
    """Read a file of --plan and name every number and user in it that does not exist: exit 0 or 1."""
    from callwright.cli import pbx_plan

    problems = pbx_plan.check(file)
    if as_json:
        print_json({"verdict": "failed" if problems else "passed", "problems": problems})
    else:
        pbx_plan.show_check(file, problems)
    return EXIT_FAILED if problems else 0


@app.command("reload")
def reload(control: ControlOption = None, as_json: JsonFlag = False) -> int:
    """Have a running PBX read --plan and --accounts anew. No call is dropped, no phone is forgotten."""
    from callwright.cli import pbx_bans

    answer = pbx_bans.ask(control, ["reload"])
    if not answer.get("ok"):
        raise Refused(str(answer.get("error")))
    if as_json:
        print_json(answer)
    else:
        say(f"reloaded: {answer['accounts']} accounts")
    return 0


@app.command("route")
def route(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="What somebody dials.")],
    plan_file: Annotated[Path, typer.Option("--plan", metavar="FILE", help="The file of --plan.")],
    user: Annotated[
        str,
        typer.Option("--user", metavar="USER", help="Who dials it; some outbound routes are for some users."),
    ] = "",
    as_json: JsonFlag = False,
) -> int:
    """Explain the way of a dialled number, rule by rule."""
    from callwright.cli import pbx_plan
    from callwright.cli.console import show
    from callwright.pbx.explain import explain

    lines = explain(pbx_plan.read(plan_file), number, user)
    if as_json:
        print_json({"number": number, "way": lines})
    else:
        for line in lines:
            show(line)
    return 0


@dataclass(frozen=True, slots=True)
class _Files:
    """What `callwright pbx reload` reads anew. `typed`: accounts of the command line."""

    accounts: Path | None
    numbers: Path | None
    typed: tuple[PbxAccount, ...]

    def plan(self) -> PbxPlan:
        """Raises Refused, ValueError."""
        from callwright.cli import pbx_plan
        from callwright.pbx.plan import PbxPlan

        plan = pbx_plan.read(self.numbers) if self.numbers is not None else PbxPlan()
        people = [*self.typed, *(pbx_plan.read_accounts(self.accounts) if self.accounts else ())]
        return replace(plan, accounts=(*people, *plan.accounts))


async def _serve(
    config: PbxConfig,
    control: Path | None,
    files: _Files,
    platform: Path | None,
    stop: asyncio.Event,
    verbose: bool,
    watching: flags.Watching,
) -> list[CallRecord]:
    from callwright.pbx.server import Pbx
    from callwright.phone.guarding import guarded

    def told(event: PbxEvent) -> None:
        line = _line(event, verbose)
        if line:
            say(line)

    async with contextlib.AsyncExitStack() as exits:
        link: PbxLink | None = None
        if platform is not None:
            from callwright.control.errors import DomainError
            from callwright.dispatch.broker import BrokerError
            from callwright.host.pbx_link import PbxLink

            try:
                link = await PbxLink.open(platform, files.plan())
            except (OSError, DomainError, BrokerError) as error:
                raise Refused(f"--platform {platform}: {error}", code=3, blame="platform") from None
            exits.push_async_callback(link.close)
            config = replace(
                config, accounts=(), plan=link.plan, rules=link.rules, websocket_trust=link.socket_trust
            )
        guard = exits.enter_context(guarded())
        pbx = Pbx(
            config,
            taps=watching.taps(),
            call_guard=guard,
            news=link,
            on_event=told,
            on_warning=say,
        )
        return await _served(pbx, control, files, link, stop)


async def _served(
    pbx: Pbx, control: Path | None, files: _Files, link: PbxLink | None, stop: asyncio.Event
) -> list[CallRecord]:
    from callwright.cli.pbx_bans import Door, folder
    from callwright.net.driver import BindFailed
    from callwright.net.tls import TlsConfigurationError

    config = pbx.config
    try:
        await pbx.start()
    except (BindFailed, TlsConfigurationError) as error:
        raise Refused(
            f"--listen: {error}", "Choose another port, or 0 for any free one.", code=3, blame="platform"
        ) from None
    for transport, address in pbx.listening:
        say(f"listening on {transport.value.lower()} {address}")
    media = "relayed" if config.relay else "direct"
    accounts = "1 account" if len(pbx.accounts) == 1 else f"{len(pbx.accounts)} accounts"
    say(f"domain {config.domain}, {accounts}, media {media}; Ctrl-C ends")

    def reload() -> None:
        try:
            plan = files.plan()
        except Refused as refused:
            raise ValueError(refused.message) from None
        pbx.adopt(plan if link is None else link.rebase(plan))
        say(f"reloaded: {len(pbx.accounts)} accounts")
        for problem in plan.problems():
            say(problem)

    door = Door(pbx, control or folder() / f"pbx-{pbx.address.port}.sock", reload)
    try:
        await door.open()
    except OSError as error:
        if control is not None:
            await pbx.close()
            raise Refused(f"--control {control}: {error.strerror or error}") from None
        say(f"`callwright pbx bans` cannot reach this PBX: {error.strerror or error}")
    if link is not None:
        await link.follow(pbx)
    await stop.wait()
    await door.close()
    await pbx.close()
    return pbx.calls


def _line(event: PbxEvent, verbose: bool) -> str:
    """One event as a line for people; empty for what only `-v` shows."""
    from callwright.pbx.record import (
        AccessDenied,
        BindingChanged,
        CallConnected,
        CallPlaced,
        CallRinging,
        DigitHeard,
        MailboxChanged,
        SourceBanned,
        SourceReleased,
        TrunkChanged,
    )
    from callwright.pbx.registrar import ChangeKind

    if isinstance(event, BindingChanged):
        change = event.change
        if change.kind is ChangeKind.REFRESHED and not verbose:
            return ""
        return f"{change.binding.user}: {change.kind.value} {change.binding.contact}"
    if isinstance(event, AccessDenied):
        return f"{event.method} from {event.source} as {event.username}: {event.reason}"
    if isinstance(event, TrunkChanged):
        return f"trunk {event.trunk}: {'registered' if event.registered else event.reason}"
    if isinstance(event, MailboxChanged):
        return f"{event.user}: new messages: {event.new}, old: {event.heard}"
    if isinstance(event, SourceBanned | SourceReleased | CallRinging | CallConnected | DigitHeard):
        return (
            ""  # the PBX logs bans; a call has a line at its begin and one at its end, and keys may be a PIN
        )
    record = event.record
    if isinstance(event, CallPlaced):
        return f"call {record.number}: {record.caller or 'somebody'} calls {record.callee}"
    talk = f" after {record.talked:.1f} s of talk" if record.answered_at is not None else ""
    return f"call {record.number}: {record.status}{talk}, ended by the {record.ended_by}: {record.reason}"


def _call_json(record: CallRecord) -> dict[str, Any]:
    from dataclasses import asdict

    start = record.started_at

    def after(moment: float | None) -> float | None:
        return None if moment is None else round((moment - start) * 1000, 1)

    return {
        "id": record.number,
        "caller": record.caller,
        "callee": record.callee,
        "call_id": record.call_id,
        "sip_code": record.status,
        "reason": record.reason,
        "ended_by": record.ended_by,
        "ringing_ms": after(record.ringing_at),
        "answered_ms": after(record.answered_at),
        "ended_ms": after(record.ended_at),
        "branches": [asdict(branch) for branch in record.branches],
        "relayed": None if record.relayed is None else asdict(record.relayed),
    }
