"""`callwright answer`: waits for calls and answers them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callwright.cli import softphone as flags
from callwright.cli.console import (
    EXIT_INTERRUPTED,
    JsonFlag,
    Refused,
    TraceFlag,
    VerboseFlag,
    exit_code,
    print_json,
    say,
)

if TYPE_CHECKING:
    from callwright.phone.inbound import InboundCall
    from callwright.phone.plan import AnswerPlan, PhoneConfig
    from callwright.scenario.outcome import CallOutcome
    from callwright.sip.transport import Transport

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright answer --listen 0.0.0.0:5060

  callwright answer --listen 127.0.0.1:5070 --after 2 --echo --calls 1 --json

  callwright answer --listen 192.0.2.7:5060 --reject 486
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
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Record to a stereo WAV; a number is added per call."),
    ] = None,
    codec: flags.CodecOption = None,
    bind: flags.BindOption = None,
    advertise: flags.AdvertiseOption = None,
    rtp_ports: flags.RtpPortsOption = "16384-32767",
    min_mos: Annotated[
        float, typer.Option("--min-mos", min=1, max=5, metavar="MOS", help="Fail below this received MOS.")
    ] = 3.5,
    no_media: Annotated[bool, typer.Option("--no-media", help="Signalling only.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Leave the evidence in this folder.")
    ] = None,
    ca: flags.CaOption = None,
    cert: flags.CertOption = None,
    key: flags.KeyOption = None,
    insecure: flags.InsecureOption = False,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
    trace_sip: TraceFlag = False,
) -> int:
    """Wait for calls, answer or refuse each, and judge what was heard."""
    from callwright.phone.phone import split_host_port
    from callwright.phone.plan import AnswerPlan, MediaPlan
    from callwright.sip.transport import Transport

    try:
        host, port = split_host_port(listen)
    except ValueError as error:
        raise Refused(f"--listen: {error}", "For example: --listen 127.0.0.1:5070") from None
    playing = "echo" if echo else play
    if not no_media:
        flags.check_play(playing)
    config = flags.phone_config(
        transport=transport,
        bind=bind,
        advertise=advertise,
        rtp_ports=rtp_ports,
        codecs=codec or (),
        ca=ca,
        cert=cert,
        key=key,
        insecure=insecure,
    )
    plan = AnswerPlan(
        media=MediaPlan(voice="man", play=playing, dtmf=dtmf, record=record, enabled=not no_media),
        ring_after=-1.0 if reject is not None and after == 0 else 0.0,
        answer_after=after,
        early_media=early_media,
        reject=reject,
        talk_for=for_,
    )
    outcomes, interrupted = flags.run_async(
        lambda stop: _wait(
            config,
            plan,
            (host, 5060 if port is None else port, config.transport or Transport.UDP),
            stop,
            _Wishes(calls, min_mos, report, as_json, trace_sip),
        )
    )
    verdict = _overall(outcomes, interrupted)
    if as_json:
        document: dict[str, Any] = {"verdict": verdict, "calls": [outcome.to_json() for outcome in outcomes]}
        worst = next((o for o in outcomes if o.verdict == verdict), None)
        document["blame"] = worst.blame if worst else None
        document["reason"] = worst.reason if worst else f"{len(outcomes)} calls"
        print_json(document)
    if interrupted and calls is not None:
        return EXIT_INTERRUPTED
    return exit_code(verdict) if verdict != "canceled" else EXIT_INTERRUPTED


class _Wishes:
    def __init__(
        self, calls: int | None, min_mos: float, report: Path | None, as_json: bool, trace_sip: bool
    ) -> None:
        self.calls, self.min_mos, self.report = calls, min_mos, report
        self.as_json, self.trace_sip = as_json, trace_sip


async def _wait(
    config: PhoneConfig,
    plan: AnswerPlan,
    listen: tuple[str, int, Transport],
    stop: asyncio.Event,
    wishes: _Wishes,
) -> tuple[list[CallOutcome], bool]:
    from dataclasses import replace

    from callwright.cli.evidence import Collection
    from callwright.net.driver import BindFailed
    from callwright.net.tls import TlsConfigurationError
    from callwright.phone.phone import LINGER, Phone
    from callwright.scenario.outcome import Failure
    from callwright.scenario.verdict import judge_call, judge_expected

    host, port, transport = listen
    collection = Collection(wishes.report, name="answer", quiet=wishes.as_json)
    outcomes: list[CallOutcome] = []
    enough = asyncio.Event()
    taken = 0

    def judge(outcome: CallOutcome) -> CallOutcome:
        # Refusing was what was asked for, so a refused call is as expected.
        refused = plan.reject is not None and outcome.sip_code == plan.reject
        return outcome.judged(
            *(judge_expected(outcome, ()) if refused else judge_call(outcome, min_mos=wishes.min_mos))
        )

    def finished(future: asyncio.Future[CallOutcome]) -> None:
        outcome = judge(future.result())
        outcomes.append(outcome)
        say(f"{outcome.remote or 'call'}: {outcome.verdict.value}. {outcome.reason}")
        if wishes.calls is not None and len(outcomes) >= wishes.calls:
            enough.set()

    def incoming(call: InboundCall) -> None:
        call.finished.add_done_callback(finished)

    phone = Phone(config, taps=[*collection.taps, *flags.taps_for(wishes.trace_sip)], on_warning=say)

    def rule(_: object) -> AnswerPlan | None:
        nonlocal taken
        if wishes.calls is not None and taken >= wishes.calls:
            return None
        taken += 1
        media = collection.media(plan.media, taken)
        if plan.media.record is not None and taken > 1:
            numbered = plan.media.record.with_stem(f"{plan.media.record.stem}-{taken}")
            media = replace(media, record=numbered)
        return replace(plan, media=media)

    async with phone:
        phone.on_call, phone.on_incoming = rule, incoming
        try:
            bound = await phone.listen(host, port, transport)
        except (BindFailed, TlsConfigurationError) as error:
            raise Refused(
                f"--listen: {error}", "Choose another port, or 0 for any free one.", code=3, blame="platform"
            ) from None
        say(f"listening on {transport.value.lower()} {bound}")
        interrupted = await flags.first_of(stop, enough.wait())
        if interrupted:
            waiting = [call.finished for call in phone.calls]
            for call in list(phone.calls):
                call.hangup(Failure.STOPPED, "Ctrl-C")
            if waiting:
                await asyncio.wait(waiting, timeout=5)
        await phone.close(linger=LINGER)
    if outcomes:
        collection.finish_calls(outcomes, min_mos=wishes.min_mos)
    return outcomes, interrupted


def _overall(outcomes: list[CallOutcome], interrupted: bool) -> str:
    """The worst of the calls; `canceled` when none was finished."""
    verdicts = {outcome.verdict.value for outcome in outcomes}
    for verdict in ("error", "failed", "invalid", "canceled"):
        if verdict in verdicts:
            return verdict
    return "passed" if outcomes else "canceled" if interrupted else "passed"
