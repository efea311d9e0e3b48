"""`callwright register URI`: register an account, keep it registered, take it back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callwright.cli import binding
from callwright.cli import softphone as flags
from callwright.cli.console import JsonFlag, TraceFlag, VerboseFlag, exit_code, show
from callwright.host.operator import EXIT_INTERRUPTED, Refused, say
from callwright.host.signals import first_of, run_async

if TYPE_CHECKING:
    from callwright.outcome.request import RegistrationOutcome
    from callwright.phone.plan import Account, PhoneConfig
    from callwright.phone.registration import PhoneRegistration

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright register sip:pbx.example.com --user 1001 --password secret

  callwright register sip:1001@192.0.2.10 --password secret --expires 120 --for 600

  callwright register sip:pbx.example.com --user 1001 --password secret --outbound --gruu --for 300

  callwright register sip:192.0.2.10:5061 --transport tls --ca ca.pem --user 1001 --json
"""


@app.command(epilog=_EXAMPLES)
def register(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="The registrar, or the address to register (sip:1001@…).")
    ],
    user: flags.UserOption = None,
    password: flags.PasswordOption = None,
    expires: Annotated[
        int,
        typer.Option("--expires", min=1, max=2**31, metavar="SECONDS", help="How long a binding to ask for."),
    ] = 3600,
    for_: Annotated[
        float,
        typer.Option(
            "--for",
            min=0,
            metavar="SECONDS",
            help="Stay registered this long, refreshing at half the expiry.",
        ),
    ] = 0.0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the binding when leaving.")] = False,
    domain: Annotated[
        str | None,
        typer.Option("--domain", metavar="HOST", help="Domain of the address, when not the registrar's."),
    ] = None,
    outbound: binding.OutboundOption = False,
    reg_id: binding.RegIdOption = 1,
    instance: binding.InstanceOption = None,
    gruu: binding.GruuOption = False,
    keepalive: binding.KeepaliveOption = None,
    contact: Annotated[
        list[str] | None,
        typer.Option(
            "--contact", metavar="URI", help="Bind this contact too, beside us; repeat it for more."
        ),
    ] = None,
    third_party: Annotated[
        str | None,
        typer.Option(
            "--third-party", metavar="URI", help="Register this address, as the account of --user speaking."
        ),
    ] = None,
    proxy: flags.ProxyOption = None,
    transport: flags.TransportOption = None,
    bind: flags.BindOption = None,
    advertise: flags.AdvertiseOption = None,
    ca: flags.CaOption = None,
    cert: flags.CertOption = None,
    key: flags.KeyOption = None,
    sni: flags.SniOption = None,
    insecure: flags.InsecureOption = False,
    ws_path: flags.WsPathOption = "/ws",
    ipv4: flags.Ipv4Option = False,
    ipv6: flags.Ipv6Option = False,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
    trace_sip: TraceFlag = False,
    hep: flags.HepOption = None,
) -> int:
    """Register, refresh for as long as asked, unregister, and say how it went."""
    from callwright.phone.plan import Account
    from callwright.sip.uri import Uri

    registrar = flags.sip_uri(uri)
    name = user or Uri.parse(registrar).user
    if not name:
        raise Refused(
            "nobody to register: the URI names no user", "Add --user 1001, or write sip:1001@pbx.example.com."
        )
    if proxy:
        flags.sip_uri(proxy, "--proxy")
    contacts = binding.further_contacts(contact)
    wishes = {
        "expires": expires,
        "domain": domain,
        "proxy": proxy,
        "also": contacts,
        "third_party": flags.sip_uri(third_party, "--third-party") if third_party else None,
        **binding.binding_wishes(outbound, reg_id, instance, gruu, keepalive),
    }
    config = flags.phone_config(
        transport=transport,
        bind=bind,
        advertise=advertise,
        user=name,
        ca=ca,
        cert=cert,
        key=key,
        sni=sni,
        insecure=insecure,
        ws_path=ws_path,
        ipv4=ipv4,
        ipv6=ipv6,
    )
    outcome, interrupted = run_async(
        lambda stop: _register(
            config,
            registrar,
            Account(name, password or ""),
            wishes,
            (for_, keep),
            stop,
            flags.Watching(trace_sip, hep),
        )
    )
    if as_json:
        flags.print_result(outcome.to_json(), [password])
    else:
        show(f"{outcome.verdict.value}: {outcome.reason}")
        if outcome.expires_s is not None:
            show(f"  granted {outcome.expires_s} s, refreshed {_times(outcome.refreshes)}")
        for line in _terms(outcome):
            show(f"  {line}")
    return EXIT_INTERRUPTED if interrupted else exit_code(outcome.verdict, outcome.failure)


def _terms(outcome: RegistrationOutcome) -> list[str]:
    """What was agreed on beside the binding, a line each."""
    found = []
    if outcome.bindings is not None and outcome.bindings > 1:
        found.append(f"{outcome.bindings} contacts of the account are registered")
    if outcome.outbound is not None:
        kept = "keeps" if outcome.outbound else "does not keep"
        found.append(f"the registrar {kept} our flow (RFC 5626)")
    if outcome.keepalives_sent:
        found.append(f"keep-alives: {outcome.keepalives_answered} of {outcome.keepalives_sent} answered")
    if outcome.flow_failures:
        found.append(f"the flow died {_times(outcome.flow_failures)}, at last: {outcome.flow_failed}")
    for what, value in (
        ("GRUU", outcome.public_gruu),
        ("temporary GRUU", outcome.temporary_gruu),
        ("Path", ", ".join(outcome.path)),
        ("Service-Route", ", ".join(outcome.service_route)),
    ):
        if value:
            found.append(f"{what}: {value}")
    return found


def _standing(registration: PhoneRegistration) -> str:
    if registration.registered:
        return "refreshed" if registration.refreshes else "registered"
    removed = registration.removed.done() and registration.removed.result()
    return "unregistered" if removed else "not registered"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


async def _register(
    config: PhoneConfig,
    registrar: str,
    account: Account,
    wishes: dict[str, Any],
    stay: tuple[float, bool],
    stop: asyncio.Event,
    watching: flags.Watching,
) -> tuple[RegistrationOutcome, bool]:
    from callwright.outcome.judgement import judge_registration
    from callwright.outcome.terms import Failure, Verdict
    from callwright.phone.phone import Phone

    seconds, keep = stay
    lost = asyncio.Event()

    def changed(registration: PhoneRegistration) -> None:
        say(f"{_standing(registration)}: {account.user}")
        if registration.first.done() and registration.first.result() and not registration.registered:
            lost.set()

    permission = flags.typed_permission("register", registrar, wishes.get("proxy"), *wishes["also"])
    taps = watching.taps([account.secret])
    async with Phone(config, taps=taps, permission=permission, on_warning=say) as phone:
        registration = phone.register(registrar, account=account, on_change=changed, **wishes)
        interrupted = await first_of(stop, registration.first)
        if interrupted:
            registration.abandon()
        if not interrupted and registration.first.result() and seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(first_of(stop, lost.wait()), seconds)
            interrupted = stop.is_set()
        if registration.registered and not keep:
            await registration.unregister()
        outcome = registration.outcome()
    verdict, blame, reason = judge_registration(outcome)
    if interrupted:
        # As with every verb, the verdict is the one that the exit code means.
        stopped = outcome.failure is Failure.STOPPED
        reason = "Ctrl-C ended it before an answer came." if stopped else f"Ctrl-C ended it. {reason}"
        verdict, blame = Verdict.CANCELED, None
    return outcome.judged(verdict, blame, reason), interrupted
