"""`callwright call URI`: one call with real audio, judged."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from callwright.cli import identity
from callwright.cli import softphone as flags
from callwright.cli.console import JsonFlag, TraceFlag, VerboseFlag, exit_code_of
from callwright.host.operator import EXIT_INTERRUPTED, Refused, say
from callwright.host.signals import first_of, run_async

if TYPE_CHECKING:
    from callwright.outcome.call import CallOutcome, StateReached
    from callwright.phone.body import ExtraBody
    from callwright.phone.plan import CallPlan, PhoneConfig

_LARGEST_BODY = 60_000
app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright call sip:1002@pbx.example.com --user 1001 --password secret

  callwright call sip:echo@192.0.2.10 --for 30 --codec G722 --codec PCMA --record echo.wav

  callwright call sip:ivr@192.0.2.10 --dtmf 1234# --report ./evidence

  callwright call sip:1002@pbx.example.com --user 1001 --password secret --transfer sip:1003@pbx.example.com

  callwright call 'sip:+43123456@carrier.example' --transport tls --json | jq .received.mos
"""


@app.command(epilog=_EXAMPLES)
def call(
    uri: Annotated[str, typer.Argument(metavar="URI", help="Whom to call.")],
    from_: Annotated[
        str | None, typer.Option("--from", metavar="URI", help="Caller to show in From.")
    ] = None,
    user: flags.UserOption = None,
    password: flags.PasswordOption = None,
    proxy: flags.ProxyOption = None,
    transport: flags.TransportOption = None,
    codec: flags.CodecOption = None,
    ptime: Annotated[int, typer.Option("--ptime", min=10, max=60, metavar="MS", help="Packet time.")] = 20,
    for_: Annotated[
        float, typer.Option("--for", min=0, metavar="SECONDS", help="Talk this long, from the answer.")
    ] = 10.0,
    ring: Annotated[
        float, typer.Option("--ring", min=0.1, metavar="SECONDS", help="Give up when nobody answers by then.")
    ] = 60.0,
    play: Annotated[
        str, typer.Option("--play", metavar="FILE|tone|speech|silence|echo", help="What the far end hears.")
    ] = "speech",
    dtmf: Annotated[
        str, typer.Option("--dtmf", metavar="DIGITS", help="Digits to send, such as 1234#.")
    ] = "",
    dtmf_by: flags.DtmfByOption = "event",
    detect_tones: flags.DetectTonesOption = False,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Record both directions to a stereo WAV."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            metavar="'X-A: b'",
            help="Add or replace a header of the INVITE; '-X-A': leave out.",
        ),
    ] = None,
    body: Annotated[
        Path | None,
        typer.Option("--body", metavar="FILE", help="Send it too, or in place of our SDP (see the guide)."),
    ] = None,
    content_type: Annotated[
        str | None, typer.Option("--content-type", metavar="TYPE", help="What --body holds.")
    ] = None,
    bind: flags.BindOption = None,
    advertise: flags.AdvertiseOption = None,
    rtp_ports: flags.RtpPortsOption = "16384-32767",
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
    no_media: Annotated[
        bool, typer.Option("--no-media", help="Signalling only: neither send nor expect audio.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Follow a redirection (3xx).")] = False,
    late_offer: Annotated[bool, typer.Option("--late-offer", help="Send the INVITE without SDP.")] = False,
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
    asserted_identity: identity.AssertedOption = None,
    preferred_identity: identity.PreferredOption = None,
    privacy: identity.PrivacyOption = None,
    identity_key: identity.IdentityKeyOption = None,
    identity_cert: identity.IdentityCertOption = None,
    cert_url: identity.CertUrlOption = None,
    attest: identity.AttestOption = "A",
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Leave the evidence in this folder.")
    ] = None,
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
    """Place one call with real audio, measure it, and say whether it was good."""
    from callwright.phone.plan import Account, CallPlan, MediaPlan

    destination = flags.sip_uri(uri)
    if proxy:
        flags.sip_uri(proxy, "--proxy")
    if password and not user:
        raise Refused("--password needs --user: a password belongs to somebody")
    _check_digits(dtmf)
    flags.check_dtmf_by(dtmf_by)
    flags.check_prack(prack, early_update)
    if not no_media:
        flags.check_play(play)
    config = flags.phone_config(
        transport=transport,
        bind=bind,
        advertise=advertise,
        rtp_ports=rtp_ports,
        codecs=codec or (),
        ptime=ptime,
        user=user or "callwright",
        ca=ca,
        cert=cert,
        key=key,
        sni=sni,
        insecure=insecure,
        ws_path=ws_path,
        ipv4=ipv4,
        ipv6=ipv6,
    )
    plan = CallPlan(
        destination=destination,
        media=MediaPlan(
            play=play,
            dtmf=dtmf,
            dtmf_by=dtmf_by,
            detect_tones=detect_tones,
            record=record,
            enabled=not no_media,
            srtp=flags.srtp_wish(srtp, srtp_suite or (), rekey_after),
            ice=flags.ice_wish(ice, stun, turn, relay_only),
        ),
        caller=caller(from_),
        account=Account(user, password or "") if user else None,
        proxy=proxy,
        headers=flags.headers_of(header or (), free=True),
        body=_body(body, content_type),
        talk_for=for_,
        ring_for=ring,
        follow=follow,
        late_offer=late_offer,
        prack=prack,
        early_update=early_update,
        session=flags.session_wish(session_expires, min_se, refresher, refresh_by),
        transfer=flags.transfer_plan(transfer, transfer_after, consult),
        transfers=accept_transfers,
        identity=identity.identity_plan(
            asserted_identity, preferred_identity, privacy, identity_key, identity_cert, cert_url, attest
        ),
    )
    (outcome, *further), interrupted, lost = run_async(
        lambda stop: _place(
            config, plan, stop, (min_mos, min_heard), report, as_json, flags.Watching(trace_sip, hep, keys)
        )
    )
    if as_json:
        document = outcome.to_json()
        if further:
            document["further"] = [each.to_json() for each in further]
        flags.print_result(document, [password])
    return (
        EXIT_INTERRUPTED
        if interrupted
        else exit_code_of(outcome.verdict, outcome.failure, lost_evidence=lost)
    )


def caller(text: str | None, flag: str = "--from") -> str | None:
    from callwright.sip.uri import NameAddr, SipSyntaxError

    if text is None:
        return None
    full = text if "<" in text or text.lower().startswith(("sip:", "sips:", "tel:")) else f"sip:{text}"
    try:
        NameAddr.parse(full)
    except SipSyntaxError as error:
        raise Refused(
            f"{flag} {text!r} is not a SIP address: {error.reason}",
            f"For example: {flag} 'Alice <sip:1001@example.com>'",
        ) from None
    return full


def _body(path: Path | None, media_type: str | None) -> ExtraBody:
    from callwright.phone.body import ExtraBody
    from callwright.sip.fields import MediaType
    from callwright.sip.grammar import SipSyntaxError

    if path is None or media_type is None:
        if path is not None or media_type is not None:
            raise Refused("--body and --content-type belong together")
        return ExtraBody()
    try:
        MediaType.parse(media_type)
        octets = path.read_bytes()
    except SipSyntaxError as error:
        raise Refused(f"--content-type {media_type!r} is no media type: {error.reason}") from None
    except OSError as error:
        raise Refused(f"--body {path} cannot be read: {error.strerror or error}") from None
    if len(octets) > _LARGEST_BODY:
        raise Refused(f"--body {path} has {len(octets):,} octets; at most {_LARGEST_BODY:,} are sent")
    return ExtraBody(octets, media_type)


def _check_digits(dtmf: str) -> None:
    wrong = sorted(set(dtmf.upper()) - set("0123456789*#ABCD"))
    if wrong:
        raise Refused(f"--dtmf sends 0-9, *, #, A-D; it has no {' '.join(wrong)}")


async def _place(
    config: PhoneConfig,
    plan: CallPlan,
    stop: asyncio.Event,
    least: tuple[float, float],  # MOS, percent heard
    report: Path | None,
    as_json: bool,
    watching: flags.Watching,
) -> tuple[list[CallOutcome], bool, bool]:
    """The call, then those that came of it by a transfer; where one of these fails, the call has failed."""
    from callwright.cli.evidence import Collection
    from callwright.scripting.phone import Phone

    secrets = (plan.account.secret,) if plan.account else ()
    collection = Collection(report, name="call", secrets=secrets, quiet=as_json)
    plan = collection.recording(plan)
    progress = flags.ProgressLine()
    aim = plan.transfer.to if plan.transfer is not None else None
    servers = flags.ice_hosts(plan.media.ice)
    permission = flags.typed_permission("call", plan.destination, plan.proxy, aim, hosts=servers)
    taps = [*collection.taps, *watching.taps(secrets)]
    min_mos, min_heard = least
    async with Phone.of(config, permission, taps=taps, on_warning=say, on_keys=watching.on_keys) as phone:
        call = await phone.place(plan, min_mos=min_mos, min_heard=min_heard)
        call.on_state(lambda state: progress.show(_in_words(state)))
        interrupted = await first_of(stop, call.ended())
        outcomes, ended = [], 0
        if interrupted:
            call.stop("Ctrl-C")
        outcomes.append(await call.finished())
        while ended < len(phone.further):
            following = phone.further[ended]
            ended += 1
            interrupted = interrupted or await first_of(stop, following.ended())
            if interrupted:
                following.stop("Ctrl-C")
            outcomes.append(await following.finished())
    progress.done()
    worst = next((each for each in outcomes if each.verdict.value != "passed"), outcomes[0])
    outcomes[0] = outcomes[0].judged(worst.verdict, worst.blame, worst.reason)
    collection.finish_calls(outcomes, min_mos=min_mos)
    return outcomes, interrupted, collection.lost


def _in_words(state: StateReached) -> str:
    return (
        f"{state.at:8.3f} s  {state.state.value.replace('_', ' ')}{f' ({state.code})' if state.code else ''}"
    )
