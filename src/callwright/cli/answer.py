"""`callwright answer`: waits for calls and answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callwright.cli import binding, identity
from callwright.cli import softphone as flags
from callwright.cli.console import JsonFlag, LogFormatFlag, TraceFlag, VerboseFlag, exit_code_of, log_as
from callwright.host.operator import EXIT_FAILED, EXIT_INTERRUPTED, Refused, say
from callwright.host.signals import first_of, run_async

if TYPE_CHECKING:
    from callwright.cli.evidence import Collection
    from callwright.outcome.call import CallOutcome
    from callwright.phone.call import PhoneCall
    from callwright.phone.permission import Permission
    from callwright.phone.phone import Phone
    from callwright.phone.plan import Account, AnswerPlan, PhoneConfig
    from callwright.phone.registration import PhoneRegistration
    from callwright.sip.transport import Transport

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright answer --listen 0.0.0.0:5060

  callwright answer --listen 127.0.0.1:5070 --after 2 --echo --calls 1 --json

  callwright answer --listen 192.0.2.7:5060 --reject 486

  callwright answer --listen 0.0.0.0:0 --register sip:pbx.example.com --user 1002 --password secret

  callwright answer --listen 0.0.0.0:5060 --allow-media 203.0.113.0/24
"""


@app.command(epilog=_EXAMPLES)
def answer(
    listen: Annotated[
        str,
        typer.Option(
            "--listen", metavar="HOST:PORT", help="Where to wait for calls; port 0 picks a free one."
        ),
    ] = "0.0.0.0:5060",
    transport: flags.TransportOption = "udp",
    register: Annotated[
        str | None,
        typer.Option("--register", metavar="URI", help="Register there first, to be called there."),
    ] = None,
    outbound: binding.OutboundOption = False,
    gruu: binding.GruuOption = False,
    keepalive: binding.KeepaliveOption = None,
    user: flags.UserOption = None,
    password: flags.PasswordOption = None,
    after: Annotated[
        float, typer.Option("--after", min=0, metavar="SECONDS", help="Ring this long before the answer.")
    ] = 0.0,
    early_media: Annotated[
        bool, typer.Option("--early-media", help="183 with audio while it rings.")
    ] = False,
    reject: Annotated[
        int | None,
        typer.Option("--reject", min=300, max=699, metavar="CODE", help="Refuse with this status."),
    ] = None,
    play: Annotated[
        str, typer.Option("--play", metavar="FILE|tone|speech|silence|echo", help="What the caller hears.")
    ] = "speech",
    echo: Annotated[bool, typer.Option("--echo", help="Send back what the caller says.")] = False,
    calls: Annotated[
        int | None, typer.Option("--calls", min=1, metavar="N", help="Leave after so many calls.")
    ] = None,
    for_: Annotated[
        float | None,
        typer.Option("--for", min=0, metavar="SECONDS", help="Hang up this long after the answer."),
    ] = None,
    dtmf: Annotated[
        str, typer.Option("--dtmf", metavar="DIGITS", help="Digits to send after the answer.")
    ] = "",
    dtmf_by: flags.DtmfByOption = "event",
    detect_tones: flags.DetectTonesOption = False,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Record to a stereo WAV; a number is added per call."),
    ] = None,
    codec: flags.CodecOption = None,
    bind: flags.BindOption = None,
    advertise: flags.AdvertiseOption = None,
    rtp_ports: flags.RtpPortsOption = "16384-32767",
    allow_media: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-media",
            metavar="ADDRESS|CIDR",
            help="Permit callers' media from there too, besides where they signal from; repeat it for more.",
        ),
    ] = None,
    min_mos: Annotated[
        float, typer.Option("--min-mos", min=1, max=5, metavar="MOS", help="Fail below this received MOS.")
    ] = 3.5,
    min_heard: Annotated[
        float,
        typer.Option(
            "--min-heard",
            min=0,
            max=100,
            metavar="PERCENT",
            help="Fail when audio came for a smaller share of the call than this; 0: do not check.",
        ),
    ] = 90,
    no_media: Annotated[bool, typer.Option("--no-media", help="Signalling only.")] = False,
    srtp: flags.SrtpOption = "off",
    srtp_suite: flags.SrtpSuiteOption = None,
    ice: flags.IceOption = "off",
    stun: flags.StunOption = None,
    turn: flags.TurnOption = None,
    relay_only: flags.RelayOnlyOption = False,
    rekey_after: flags.RekeyOption = None,
    keys: flags.KeysOption = None,
    prack: flags.PrackOption = "offered",
    early_update: flags.EarlyUpdateOption = None,
    session_expires: flags.SessionExpiresOption = None,
    min_se: flags.MinSeOption = 90,
    refresher: flags.RefresherOption = None,
    refresh_by: flags.RefreshByOption = None,
    transfer: flags.TransferOption = None,
    transfer_after: flags.TransferAfterOption = 3.0,
    consult: flags.ConsultOption = None,
    accept_transfers: flags.AcceptTransfersOption = False,
    verify_identity: identity.VerifyOption = False,
    trust: identity.TrustOption = None,
    answer_unverified: identity.AllTheSameOption = False,
    auto_answer: Annotated[
        bool,
        typer.Option(
            "--auto-answer",
            help="Answer when the caller asks for it (Call-Info: answer-after), rather than after --after.",
        ),
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Leave the evidence in this folder.")
    ] = None,
    ca: flags.CaOption = None,
    cert: flags.CertOption = None,
    key: flags.KeyOption = None,
    insecure: flags.InsecureOption = False,
    ws_path: flags.WsPathOption = "/ws",
    ipv4: flags.Ipv4Option = False,
    ipv6: flags.Ipv6Option = False,
    as_json: JsonFlag = False,
    log_format: LogFormatFlag = "text",
    verbose: VerboseFlag = False,
    trace_sip: TraceFlag = False,
    hep: flags.HepOption = None,
) -> int:
    """Wait for calls, answer or refuse each, and judge what was heard."""
    log_as(log_format)
    from callwright.net.address import split_host_port
    from callwright.phone.plan import Account, AnswerPlan, MediaPlan
    from callwright.sip.transport import Transport
    from callwright.sip.uri import Uri

    try:
        host, port = split_host_port(listen)
    except ValueError as error:
        raise Refused(f"--listen: {error}", "For example: --listen 127.0.0.1:5070") from None
    if ipv6 and host == "0.0.0.0":
        host = "::"
    elif (ipv4 or ipv6) and (":" in host) != ipv6:
        raise Refused(f"--listen {listen} is not an address of {'IPv6' if ipv6 else 'IPv4'}")
    flags.check_dtmf_by(dtmf_by)
    flags.check_prack(prack, early_update)
    if early_update is not None and not early_media:
        raise Refused("--early-update needs --early-media")
    playing = "echo" if echo else play
    if not no_media:
        flags.check_play(playing)
    registrar = flags.sip_uri(register, "--register") if register else None
    name = user or (Uri.parse(registrar).user if registrar else None)
    if registrar and not name:
        raise Refused("--register: nobody to register", "Add --user 1002, or write sip:1002@pbx.example.com.")
    account = Account(name, password or "") if registrar and name else None
    if registrar is None and (outbound or gruu or keepalive is not None):
        raise Refused("--outbound, --gruu and --keepalive need --register")
    config = flags.phone_config(
        transport=transport,
        bind=bind,
        advertise=advertise,
        rtp_ports=rtp_ports,
        user=name or "callwright",
        codecs=codec or (),
        ca=ca,
        cert=cert,
        key=key,
        insecure=insecure,
        ws_path=ws_path,
        ipv4=ipv4,
        ipv6=ipv6,
        min_se=min_se,
    )
    wish = flags.ice_wish(ice, stun, turn, relay_only)
    permission = permission_of_callers(registrar, allow_media or (), transfer, flags.ice_hosts(wish))
    plan = AnswerPlan(
        media=MediaPlan(
            voice="man",
            play=playing,
            dtmf=dtmf,
            dtmf_by=dtmf_by,
            detect_tones=detect_tones,
            record=record,
            enabled=not no_media,
            srtp=flags.srtp_wish(srtp, srtp_suite or (), rekey_after),
            ice=wish,
        ),
        ring_after=-1.0 if reject is not None and after == 0 else 0.0,
        answer_after=after,
        early_media=early_media,
        reject=reject,
        talk_for=for_,
        account=account,
        prack=prack,
        early_update=early_update,
        session=flags.session_wish(session_expires, min_se, refresher, refresh_by),
        transfer=flags.transfer_plan(transfer, transfer_after, consult),
        transfers=accept_transfers,
        identity=identity.identity_check(verify_identity, trust, answer_unverified),
        auto_answer=auto_answer,
    )
    watching = flags.Watching(trace_sip, hep, keys)
    heard: list[str] = []  # of what came and was no call
    outcomes, interrupted, lost = run_async(
        lambda stop: _wait(
            config,
            plan,
            (host, 5060 if port is None else port, config.transport or Transport.UDP),
            stop,
            _Wishes(
                calls,
                min_mos,
                min_heard,
                report,
                as_json,
                watching,
                registrar,
                account,
                permission,
                binding.binding_wishes(outbound, gruu=gruu, keepalive=keepalive),
            ),
            heard,
        )
    )
    verdict = _overall(outcomes, interrupted)
    if as_json:
        document: dict[str, Any] = {"verdict": verdict, "calls": [outcome.to_json() for outcome in outcomes]}
        worst = next((o for o in outcomes if o.verdict == verdict), None)
        document["blame"] = worst.blame if worst else None
        document["reason"] = worst.reason if worst else _nobody(heard)
        flags.print_result(document, [password])
    if interrupted and calls is not None:
        return EXIT_INTERRUPTED
    failures = [outcome.failure for outcome in outcomes if outcome.verdict == verdict]
    refused = bool(failures) and all(failure == "policy" for failure in failures)
    return exit_code_of(verdict, "policy" if refused else None, lost_evidence=lost)


def _nobody(heard: list[str]) -> str:
    return f"No call came, but {heard[0]}." if heard else "No call came."


@dataclass(frozen=True, slots=True)
class _Wishes:
    calls: int | None
    min_mos: float
    min_heard: float
    report: Path | None
    as_json: bool
    watching: flags.Watching
    registrar: str | None = None
    account: Account | None = None
    permission: Permission | None = None
    binding: dict[str, Any] = field(default_factory=dict)


def permission_of_callers(
    registrar: str | None, media: Sequence[str], transfer: str | None = None, servers: Sequence[str] = ()
) -> Permission:
    """Calls that come by way of a registrar that was typed may bring media from elsewhere, as those that were
    placed to a typed callee; media of other callers comes from where they signal, or from what is named."""
    from callwright.cli.remedies import of_callers
    from callwright.phone.permission import Permission
    from callwright.policy.destination import PolicyError, Purpose, Rules, parse_allow
    from callwright.sip.uri import Uri

    networks = []
    for text in media:
        try:
            target = parse_allow(text)
        except PolicyError:
            target = None
        if target is None or target.network is None:
            raise Refused(
                f"--allow-media takes an address or a network, not {text!r}",
                "For example: --allow-media 203.0.113.0/24",
            )
        networks.append(target)
    typed = [registrar, flags.sip_uri(transfer, "--transfer") if transfer else None]
    rules = Rules(
        typed=(*(Uri.parse(uri).host for uri in typed if uri), *servers),
        media=tuple(networks),
    )
    return Permission(Purpose.CALL, rules, of_callers)


class _Desk:
    """Where calls come in: gives each its plan, judges it when it is over, knows when it was enough."""

    def __init__(self, plan: AnswerPlan, wishes: _Wishes, collection: Collection) -> None:
        self.outcomes: list[CallOutcome] = []
        self.enough = asyncio.Event()
        self._plan, self._wishes, self._collection = plan, wishes, collection
        self._taken = 0
        self._open = 0

    def plan(self, _: object) -> AnswerPlan | None:
        """What to do with the next call; None when there were enough."""
        if self._wishes.calls is not None and self._taken >= self._wishes.calls:
            return None
        self._taken += 1
        media = self._collection.media(self._plan.media, self._taken)
        record = self._plan.media.record
        if record is not None and self._taken > 1:
            media = replace(media, record=record.with_stem(f"{record.stem}-{self._taken}"))
        return replace(self._plan, media=media)

    def incoming(self, call: PhoneCall) -> None:
        self._open += 1
        call.finished.add_done_callback(self._finished)

    def further(self, _: PhoneCall, further: PhoneCall) -> None:
        """A call that came of another: of a transfer, or in another's place."""
        self.incoming(further)

    def _finished(self, future: asyncio.Future[CallOutcome]) -> None:
        outcome = self._judged(future.result())
        self.outcomes.append(outcome)
        say(f"{outcome.remote or 'call'}: {outcome.verdict.value}. {outcome.reason}")
        self._open -= 1
        if self._wishes.calls is not None and self._taken >= self._wishes.calls and not self._open:
            self.enough.set()

    def _judged(self, outcome: CallOutcome) -> CallOutcome:
        from callwright.outcome.judgement import judge_call, judge_expected, judge_transfers
        from callwright.outcome.terms import Verdict

        # Refusing was what was asked for, so a refused call is as expected.
        if self._plan.reject is not None and outcome.sip_code == self._plan.reject and not outcome.failure:
            return outcome.judged(*judge_expected(outcome, ()))
        wishes = self._wishes
        judgement = judge_call(outcome, min_mos=wishes.min_mos, min_heard=wishes.min_heard)
        if judgement[0] is Verdict.PASSED:
            judgement = judge_transfers(outcome) or judgement
        return outcome.judged(*judgement)


async def _wait(
    config: PhoneConfig,
    plan: AnswerPlan,
    listen: tuple[str, int, Transport],
    stop: asyncio.Event,
    wishes: _Wishes,
    heard: list[str],
) -> tuple[list[CallOutcome], bool, bool]:
    from callwright.cli.evidence import Collection
    from callwright.phone.guarding import guarded
    from callwright.phone.phone import LINGER, Phone

    secrets = (wishes.account.secret,) if wishes.account else ()
    collection = Collection(wishes.report, name="answer", secrets=secrets, quiet=wishes.as_json)
    desk = _Desk(plan, wishes, collection)
    taps = [*collection.taps, *wishes.watching.taps(secrets)]
    with guarded() as guard:
        async with Phone(
            config,
            permission=wishes.permission,
            taps=taps,
            guard=guard,
            on_keys=wishes.watching.on_keys,
            on_warning=say,
        ) as phone:
            phone.on_call, phone.on_incoming = desk.plan, desk.incoming
            phone.on_further = desk.further
            await _listen(phone, listen)
            registration = await _registered(phone, wishes)
            interrupted = await first_of(stop, desk.enough.wait())
            if interrupted:
                await _hang_up(phone)
            if registration is not None:
                await registration.unregister()
            await phone.close(linger=LINGER)
            heard += phone.unusable
    if desk.outcomes:
        collection.finish_calls(desk.outcomes, min_mos=wishes.min_mos)
    return desk.outcomes, interrupted, collection.lost


async def _listen(phone: Phone, listen: tuple[str, int, Transport]) -> None:
    from callwright.net.driver import BindFailed
    from callwright.net.tls import TlsConfigurationError

    host, port, transport = listen
    try:
        bound = await phone.listen(host, port, transport)
    except (BindFailed, TlsConfigurationError) as error:
        raise Refused(
            f"--listen: {error}", "Choose another port, or 0 for any free one.", code=3, blame="platform"
        ) from None
    say(f"listening on {transport.value.lower()} {bound}")


async def _registered(phone: Phone, wishes: _Wishes) -> PhoneRegistration | None:
    """Register where calls shall come from. Raises Refused (exit code 1) when the registrar refuses."""
    from callwright.outcome.judgement import judge_registration

    if wishes.registrar is None or wishes.account is None:
        return None
    registration = phone.register(wishes.registrar, account=wishes.account, **wishes.binding)
    if not await registration.first:
        _, blame, reason = judge_registration(registration.outcome())
        raise Refused(reason, code=EXIT_FAILED, blame=blame.value if blame else "target")
    say(f"registered {registration.aor}")
    return registration


async def _hang_up(phone: Phone) -> None:
    from callwright.outcome.terms import Failure

    waiting = [call.finished for call in phone.calls]
    for call in list(phone.calls):
        call.hangup(Failure.STOPPED, "Ctrl-C")
    if waiting:
        await asyncio.wait(waiting, timeout=5)


def _overall(outcomes: list[CallOutcome], interrupted: bool) -> str:
    """The worst of the calls; `canceled` when none was finished."""
    verdicts = {outcome.verdict.value for outcome in outcomes}
    for verdict in ("error", "failed", "invalid", "canceled"):
        if verdict in verdicts:
            return verdict
    return "passed" if outcomes else "canceled" if interrupted else "passed"
