"""From what was seen and counted to a CallOutcome: the figures of a call, each with how it was made.

The score of a direction is the E-model's, for a receiver that conceals losses as our play-out does. One-way
delay is half the round trip (unknown without RTCP, and then left out), the jitter buffer, and one packet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from callwright.media.source import SILENCE
from callwright.net.address import bracketed
from callwright.outcome.call import (
    AudioFile,
    CallOutcome,
    JitterBufferOutcome,
    LostMos,
    Measurement,
    ReceivedOutcome,
    Second,
    SecondOfStream,
    StreamOutcome,
)
from callwright.phone.coming import Coming, coming
from callwright.phone.plan import CallPlan
from callwright.quality.bands import band
from callwright.quality.burst_loss import from_counts
from callwright.quality.causes import split
from callwright.quality.codec_table import impairment, scale_of
from callwright.quality.e_model import EModel, EModelInput, mos_from_r, path, rate
from callwright.rtp.report import BufferReport, LossPattern, MediaReport
from callwright.rtp.report import Second as Row

if TYPE_CHECKING:
    from callwright.audio.activity import Sound
    from callwright.media.recorder import Recorder
    from callwright.phone.call import PhoneCall

_BUFFER_NAMES = {"fixed_50": "fixed 50 ms", "fixed_200": "fixed 200 ms", "adaptive": "adaptive"}
_split = lru_cache(maxsize=1024)(split)  # calls without a loss are all alike
_REFERENCE_BUFFER_MS = 50.0
#: Algorithmic look-ahead of the encoder in ms, where it is not nothing (RFC 6716 section 2: Opus at 48 kHz).
_LOOK_AHEAD_MS = {"opus": 6.5, "g722": 1.5}


@dataclass(frozen=True, slots=True)
class Score:
    """One application of the E-model, with all that it used."""

    model: EModel
    ie: float
    bpl: float
    ta_ms: float
    burst_ratio: float | None
    ppl: float
    provisional: bool
    scale: str

    @property
    def mos(self) -> float:
        return self.model.mos

    @property
    def inputs(self) -> EModelInput:
        return self.model.inputs


@lru_cache(maxsize=4096)
def score(
    codec: str,
    *,
    ppl: float,
    burst_r: float | None,
    delay_ms: float,
    rtt_ms: float | None,
    ptime: float,
    rated: float = 1.0,
) -> Score | None:
    """Rate one direction; None for a codec that nobody has values for.

    `rated` is the share of the time that the E-model speaks of. The rest was silence in which packets were
    due: it is rated with R = 0, and R is the mean over time, as ETSI TS 101 329-5 annex E has it
    between bursts and gaps.

    A call asks for each of its seconds, and nearly all of them are alike: so answers are kept.
    """
    try:
        scale = scale_of(codec)
        found = impairment(codec, scale)
    except ValueError:
        return None
    ta = (rtt_ms or 0.0) / 2 + delay_ms + ptime + _LOOK_AHEAD_MS.get(codec.lower(), 0.0)
    model = rate(
        path(ie=found.ie, bpl=found.bpl, ta=ta, ppl=min(100.0, ppl), burst_r=burst_r or 1.0, scale=scale)
    )
    if rated < 1.0:
        r = max(0.0, model.r) * rated
        model = replace(model, r=r, mos=mos_from_r(r, scale))
    # A burst ratio that nobody told is taken for random: that is a guess, and said to be one.
    provisional = found.provisional(ppl) or (burst_r is None and ppl > 0)
    return Score(model, found.ie, found.bpl, ta, burst_r, ppl, provisional, scale.value)


def burst_ratio(pattern: LossPattern) -> float | None:
    """G.107 BurstR of a pattern; None for a stream without packets."""
    if not pattern.packets:
        return None
    return from_counts(pattern.packets, pattern.bad, pattern.bad_runs).burst_r


def call_outcome(call: PhoneCall, report: MediaReport | None, recorder: Recorder | None) -> CallOutcome:
    """Everything that is known of a finished call; not judged."""
    facts = call.facts
    sip = call.sip
    answered = facts.answered_at
    negotiated = call.negotiated
    codec = negotiated.format.name if negotiated and not negotiated.disabled else None
    ptime = float(negotiated.ptime) if negotiated else 20.0
    came = coming(report, facts.ended_by, ptime)
    received = _received(
        report, codec, ptime, recorder.sound() if recorder else None, facts.info_digits, came, answered
    )
    placed = call.plan if isinstance(call.plan, CallPlan) else None
    account = placed.account if placed else None
    return CallOutcome(
        sip_code=facts.sip_code,
        sip_reason=facts.sip_reason,
        pdd_ms=_ms(facts.ringing_at, facts.started),
        setup_ms=_ms(answered, facts.started),
        duration_ms=_ms(facts.ended_at, answered),
        ended_by=facts.ended_by,
        sent=_sent(report, codec, ptime),
        received=received,
        id=call.id,
        address=call.identifier or None,
        party=call.party,
        direction=call.direction,
        local=str(sip.local.uri) if sip else None,
        remote=str(sip.remote.uri) if sip else None,
        destination=placed.destination if placed else None,
        call_id=sip.call_id if sip else None,
        user_agent=facts.user_agent,
        peer=f"{sip.hop.transport.value.lower()}:{sip.hop.remote}" if sip else None,
        started_at=facts.wall,
        failure=facts.failure,
        failure_detail=facts.failure_detail,
        authenticated=(sip.timeline.authorized_at is not None) if sip and account else None,
        provisional_codes=tuple(facts.provisionals),
        states=tuple(facts.states),
        messages=tuple(facts.messages),
        caller_identity=facts.caller_identity,
        caller_name=facts.caller_name,
        redirected_to=facts.redirected_to,
        retransmissions=sip.timeline.retransmissions_sent if sip else None,
        media_expected=call.media.enabled,
        codec=codec,
        codecs_offered=call.codecs_offered,
        early_media=facts.early_media_at is not None,
        early_media_ms=_early_media(report, facts.early_media_at, answered),
        dtmf_sent=facts.dtmf_sent or None,
        sent_silence_pct=_own_silence(call, report, recorder),
        peer_loss_pct=report.sent.loss_pct if report else None,
        silence_at_end_ms=_silence_at_end(report),
        rtt_ms=report.rtt_ms if report else None,
        band=band(received.mos).name if received.mos is not None else None,
        causes=_causes(report, codec, ptime, came),
        jitter_buffers=_buffers(report, codec, ptime, came),
        seconds=_seconds(report, codec, ptime, facts.started, recorder.levels if recorder else {}),
        audio=_audio(recorder),
        measurement=_measurement(report),
        recording_error=recorder.error if recorder else None,
        remarks=(*facts.remarks, *_sources(report, answered), *_unheard(report, answered)),
    )


def _ms(later: float | None, earlier: float | None) -> float | None:
    return None if later is None or earlier is None else max(0.0, (later - earlier) * 1000)


def _score_of(
    buffer: BufferReport, codec: str, rtt_ms: float | None, ptime: float, came: Coming | None
) -> Score | None:
    if not buffer.expected:
        return None
    return score(
        codec,
        ppl=buffer.ppl_pct,
        burst_r=burst_ratio(buffer.pattern),
        delay_ms=buffer.nominal_delay_ms,
        rtt_ms=rtt_ms,
        ptime=ptime,
        rated=came.rated if came is not None else 1.0,
    )


def _received(
    report: MediaReport | None,
    codec: str | None,
    ptime: float,
    sound: Sound | None,
    info_digits: str,
    came: Coming | None,
    answered: float | None,
) -> ReceivedOutcome:
    if report is None:
        return ReceivedOutcome()
    stream = report.received
    name = stream.codec or codec
    found = None
    if name and stream.audio_packets:
        found = _score_of(stream.buffers[0], name, report.rtt_ms, ptime, came)
    missing = came.missing if came is not None else 0
    due = stream.expected + missing
    heard = sound if sound is not None and stream.audio_packets else None
    return ReceivedOutcome(
        codec=name if stream.packets else codec,
        packets=stream.packets,
        lost=stream.lost,
        late=stream.late,
        discarded=stream.discarded,
        duplicated=stream.duplicated,
        reordered=stream.reordered,
        jitter_ms=stream.jitter_ms,
        max_jitter_ms=stream.max_jitter_ms,
        loss_pct=100.0 * (stream.lost + missing) / due if stream.expected else None,
        burst_ratio=burst_ratio(stream.buffers[0].pattern),
        **_rated(found),
        heard_pct=came.heard_pct if came is not None else None,
        dtx_pct=came.dtx_pct if came is not None else None,
        gaps=came.since(answered) if came is not None and answered is not None else (),
        missing=came.missing if came is not None else None,
        audio_packets=stream.audio_packets,
        comfort_noise=stream.comfort_noise,
        silence_pct=_silence(heard, came) if stream.audio_packets or not stream.packets else 100.0,
        clipping_pct=heard.clipping_pct if heard else None,
        level_dbfs=heard.level_dbfs if heard else None,
        dtmf=report.dtmf + info_digits,
    )


def _silence(sound: Sound | None, came: Coming | None) -> float | None:
    """Share of the time in which nothing was to be heard: quiet audio, gaps, and what DTX left out."""
    if sound is None or sound.silence_pct is None:
        return None
    empty = came.gap_s + came.dtx_s if came is not None else 0.0
    return 100.0 * (sound.seconds * sound.silence_pct / 100.0 + empty) / (sound.seconds + empty)


def _sources(report: MediaReport | None, answered: float | None) -> tuple[str, ...]:
    """A remark for each change of the address that audio comes from, and for what came from elsewhere."""
    if report is None:
        return ()
    found = []
    for change in report.sources:
        there = bracketed(change.source)
        if change.before is not None:
            at = "" if answered is None else f" at {max(0.0, change.at - answered):.1f} s"
            found.append(f"RTP moved from {bracketed(change.before)} to {there}{at}, and ours goes there too")
        elif change.source != change.described:
            said = bracketed(change.described)
            found.append(f"RTP comes from {there}, where the SDP says {said}, and ours goes there")
    for stray in report.stray_sources:
        why = "the SDP in force says another address" if stray.permitted else "the policy does not permit it"
        packets, were = ("packet", "was") if stray.packets == 1 else ("packets", "were")
        place = bracketed(stray.source)
        found.append(f"{stray.packets} RTP {packets} from {place} {were} not heard: {why}")
    return tuple(found)


def _unheard(report: MediaReport | None, answered: float | None) -> tuple[str, ...]:
    """A remark where the far end's reports say that our audio does not arrive."""
    if report is None or answered is None or report.sent.unheard_since is None:
        return ()
    if report.sent.loss_pct == 100.0:
        return (
            "the peer's RTCP says that none of our audio arrived: it has seen none of our sequence numbers",
        )
    at = max(0.0, report.sent.unheard_since - answered)
    return (f"the peer's RTCP says that our audio stopped arriving at {at:.0f} s",)


def _rated(found: Score | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "mos": found.model.mos,
        "r_factor": found.model.r,
        "mos_scale": found.scale,
        "ie": found.ie,
        "bpl": found.bpl,
        "ta_ms": found.ta_ms,
        "provisional": found.provisional,
    }


def _own_silence(call: PhoneCall, report: MediaReport | None, recorder: Recorder | None) -> float | None:
    """The silent share of what we sent, in percent: measured where it is recorded, else known of silence
    alone."""
    if report is None or not report.sent.packets:
        return None
    measured = recorder.own_sound().silence_pct if recorder else None
    if measured is not None:
        return measured
    return 100.0 if call.media.play == SILENCE else None


def _sent(report: MediaReport | None, codec: str | None, ptime: float) -> StreamOutcome:
    """Our direction as the peer's RTCP tells it; without RTCP only what we did is known."""
    if report is None:
        return StreamOutcome()
    stream = report.sent
    found = None
    if codec and stream.packets and stream.loss_pct is not None:
        found = score(
            codec,
            ppl=stream.loss_pct,
            burst_r=None,
            delay_ms=_REFERENCE_BUFFER_MS,
            rtt_ms=report.rtt_ms,
            ptime=ptime,
        )
    return StreamOutcome(
        codec=codec,
        packets=stream.packets,
        lost=stream.lost,
        jitter_ms=stream.jitter_ms,
        max_jitter_ms=stream.max_jitter_ms,
        loss_pct=stream.loss_pct,
        **_rated(found),
    )


def _buffers(
    report: MediaReport | None, codec: str | None, ptime: float, came: Coming | None
) -> tuple[JitterBufferOutcome, ...]:
    if report is None or not report.received.packets:
        return ()
    name = (report.received.codec or codec) if report.received.audio_packets else None
    judged = []
    for buffer in report.received.buffers:
        found = _score_of(buffer, name, report.rtt_ms, ptime, came) if name else None
        judged.append(
            JitterBufferOutcome(
                name=_BUFFER_NAMES.get(buffer.name, buffer.name),
                delay_ms=buffer.nominal_delay_ms,
                mos=found.mos if found else None,
                r_factor=found.model.r if found else None,
                lost=buffer.lost,
                discarded=buffer.discarded,
                ppl=buffer.ppl_pct,
                burst_ratio=burst_ratio(buffer.pattern),
                ie=found.ie if found else None,
                bpl=found.bpl if found else None,
                ta_ms=found.ta_ms if found else None,
                provisional=found.provisional if found else None,
                band=band(found.mos).name if found else None,
            )
        )
    return tuple(judged)


def _causes(report: MediaReport | None, codec: str | None, ptime: float, came: Coming | None) -> LostMos:
    if report is None or not report.received.packets:
        return LostMos()
    name = (report.received.codec or codec) if report.received.audio_packets else None
    buffer = report.received.buffers[0]
    found = _score_of(buffer, name, report.rtt_ms, ptime, None) if name else None
    whole = _score_of(buffer, name, report.rtt_ms, ptime, came) if name else None
    if found is None or whole is None:
        return LostMos()
    discard = min(found.inputs.ppl, 100.0 * buffer.discarded / buffer.expected)
    causes = _split(found.inputs, discard=discard)
    return LostMos(
        codec=causes.codec,
        delay=causes.delay,
        loss=causes.loss,
        discard=causes.discard,
        gaps=max(0.0, found.mos - whole.mos),
    )


def _seconds(
    report: MediaReport | None, codec: str | None, ptime: float, started: float, levels: dict[int, float]
) -> tuple[Second, ...]:
    """The series of both directions, on the call's own time axis."""
    if report is None or report.started is None:
        return ()
    offset = max(0.0, report.started - started)
    received = {row.second: row for row in report.received.series}
    sent = {row.second: row for row in report.sent.series}
    return tuple(
        Second(
            at=offset + second,
            sent=_of_second(report, sent.get(second), None, ptime, None),
            received=_of_second(
                report,
                received.get(second),
                (report.received.codec or codec) if report.received.audio_packets else None,
                ptime,
                levels.get(second),
            ),
        )
        for second in sorted(received.keys() | sent.keys())
    )


def last_second(call: PhoneCall, report: MediaReport) -> Second | None:
    """The last whole second of a stream that flows, for who watches; None: there is none yet."""
    if report.started is None or call.negotiated is None or call.negotiated.disabled:
        return None
    second = int(report.at - report.started) - 1
    if second < 0:
        return None
    codec, ptime = call.negotiated.format.name, float(call.negotiated.ptime)
    received, sent = _row(report.received.series, second), _row(report.sent.series, second)
    return Second(
        at=max(0.0, report.started - call.facts.started) + second,
        sent=_of_second(report, sent, None, ptime, None),
        received=_of_second(report, received, report.received.codec or codec, ptime, None),
    )


def _row(series: Sequence[Row], second: int) -> Row | None:
    """Rows are in order, and some may be missing."""
    return next((row for row in reversed(series[: second + 1]) if row.second == second), None)


def _of_second(
    report: MediaReport, row: Row | None, codec: str | None, ptime: float, level: float | None
) -> SecondOfStream:
    if row is None:
        return SecondOfStream()
    mos = None
    expected = row.packets + (row.lost or 0)
    if codec and row.packets and expected:
        ppl = 100.0 * ((row.lost or 0) + (row.discarded or 0)) / expected
        found = score(
            codec, ppl=ppl, burst_r=1.0, delay_ms=_REFERENCE_BUFFER_MS, rtt_ms=report.rtt_ms, ptime=ptime
        )
        mos = found.mos if found else None
    return SecondOfStream(
        packets=row.packets,
        lost=row.lost,
        discarded=row.discarded,
        jitter_ms=row.jitter_ms,
        mos=mos,
        level_dbfs=level,
    )


def _early_media(report: MediaReport | None, offered: float | None, answered: float | None) -> float | None:
    """How long audio was heard before the answer; None when none came."""
    first = report.received.first_packet if report else None
    if first is None or offered is None or (answered is not None and first >= answered):
        return None
    return ((answered if answered is not None else report.at) - first) * 1000 if report else None


def _silence_at_end(report: MediaReport | None) -> float | None:
    """How long no packet had come when the call ended."""
    if report is None or report.received.last_packet is None:
        return None
    return max(0.0, (report.at - report.received.last_packet) * 1000)


def _audio(recorder: Recorder | None) -> tuple[AudioFile, ...]:
    if recorder is None or recorder.path is None or not recorder.writing:
        return ()
    return (
        AudioFile(
            path=recorder.path.name,
            kind="stereo",
            sample_rate=recorder.sample_rate,
            channels=2,
            duration_s=recorder.duration_s,
        ),
    )


def _measurement(report: MediaReport | None) -> Measurement:
    if report is None or not report.scheduling_error.packets:
        return Measurement()
    own = report.scheduling_error
    return Measurement(own.p99_ms, own.max_ms, own.packets)


__all__ = ["Score", "burst_ratio", "call_outcome", "score"]
