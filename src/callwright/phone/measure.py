"""From what was seen and counted to a CallOutcome: the figures of a call, each with how it was made.

The score of a direction is the E-model's, for a receiver that conceals losses as our play-out does. One-way
delay is half the round trip (unknown without RTCP, and then left out), the jitter buffer, and one packet.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from callwright.audio.activity import Sound
from callwright.media.path import PathReport
from callwright.media.recorder import Recorder
from callwright.media.source import SILENCE
from callwright.net.address import bracketed
from callwright.outcome.call import (
    AudioFile,
    CallOutcome,
    JitterBufferOutcome,
    LostMos,
    Measurement,
    ReceivedOutcome,
    SrtpOutcome,
    StreamOutcome,
)
from callwright.outcome.tls import TlsOutcome
from callwright.phone.coming import Coming, coming
from callwright.phone.facts import CallFacts
from callwright.phone.plan import AnswerPlan, CallPlan
from callwright.phone.series import seconds
from callwright.phone.way import dtls_outcome, ice_outcome, path_remarks
from callwright.quality.bands import band
from callwright.quality.burst_loss import from_counts
from callwright.quality.causes import split
from callwright.quality.score import REFERENCE_BUFFER_MS, Score, score
from callwright.rtp.report import BufferReport, LossPattern, MediaReport
from callwright.sdp.negotiation import Negotiated
from callwright.sip.call import Call

_BUFFER_NAMES = {"fixed_50": "fixed 50 ms", "fixed_200": "fixed 200 ms", "adaptive": "adaptive"}
_split = lru_cache(maxsize=1024)(split)  # calls without a loss are all alike


def burst_ratio(pattern: LossPattern) -> float | None:
    """G.107 BurstR of a pattern; None for a stream without packets."""
    if not pattern.packets:
        return None
    return from_counts(pattern.packets, pattern.bad, pattern.bad_runs).burst_r


def call_outcome(
    facts: CallFacts,
    plan: CallPlan | AnswerPlan,
    sip: Call | None,
    negotiated: Negotiated | None,
    report: MediaReport | None,
    recorder: Recorder | None,
    path: PathReport | None = None,
    tls: TlsOutcome | None = None,
) -> CallOutcome:
    """Everything that is known of a finished call; not judged."""
    answered = facts.answered_at
    codec = negotiated.format.name if negotiated and not negotiated.disabled else None
    ptime = float(negotiated.ptime) if negotiated else 20.0
    came = coming(report, facts.ended_by, ptime)
    received = _received(
        report,
        codec,
        ptime,
        recorder.sound() if recorder else None,
        facts.info_digits,
        recorder.digits if recorder else None,
        came,
        answered,
    )
    placed = plan if isinstance(plan, CallPlan) else None
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
        id=facts.id,
        address=plan.identifier or None,
        party=plan.party,
        direction=facts.direction,
        local=str(sip.local.uri) if sip else None,
        remote=str(sip.remote.uri) if sip else None,
        destination=placed.destination if placed else None,
        call_id=sip.call_id if sip else None,
        user_agent=facts.user_agent,
        peer=f"{sip.hop.transport.value.lower()}:{sip.hop.remote}" if sip else None,
        tls=tls,
        started_at=facts.wall,
        failure=facts.failure,
        failure_detail=facts.failure_detail,
        authenticated=(sip.timeline.authorized_at is not None) if sip and account else None,
        provisional_codes=tuple(facts.provisionals),
        reliable_codes=tuple(facts.reliable),
        updates=facts.updates,
        session_expires_s=sip.session.interval if sip else None,
        session_refreshes=sip.session.refreshes if sip else None,
        states=tuple(facts.states),
        messages=tuple(facts.messages),
        caller_identity=facts.caller_identity,
        caller_name=facts.caller_name,
        asserted_identity=facts.asserted_identity,
        preferred_identity=facts.preferred_identity,
        privacy=facts.privacy,
        identity=facts.identity,
        auto_answered=facts.auto_answered,
        redirected_to=facts.redirected_to,
        transfers=tuple(facts.transfers),
        retransmissions=sip.timeline.retransmissions_sent if sip else None,
        media_expected=plan.media.enabled and _promised(report, came),
        codec=codec,
        codecs_offered=facts.codecs_offered,
        srtp=_srtp(negotiated, report),
        ice=ice_outcome(path),
        dtls=dtls_outcome(path),
        early_media=facts.early_media_at is not None,
        early_media_ms=_early_media(report, facts.early_media_at, answered),
        dtmf_sent=facts.dtmf_sent or None,
        sent_silence_pct=_own_silence(plan.media.play, report, recorder),
        peer_loss_pct=report.sent.loss_pct if report else None,
        silence_at_end_ms=_silence_at_end(report),
        rtt_ms=report.rtt_ms if report else None,
        band=band(received.mos).name if received.mos is not None else None,
        causes=_causes(report, codec, ptime, came),
        jitter_buffers=_buffers(report, codec, ptime, came),
        seconds=seconds(report, codec, ptime, facts.started, recorder.levels if recorder else {}),
        audio=_audio(recorder),
        measurement=_measurement(report),
        recording_error=recorder.error if recorder else None,
        remarks=(
            *facts.remarks,
            *_sources(report, answered),
            *_unheard(report, answered),
            *_unopened(report),
            *path_remarks(path),
        ),
    )


def _promised(report: MediaReport | None, came: Coming | None) -> bool:
    """Whether the peer was to send audio at any time: False where its SDP said that it would not."""
    return report is None or came is not None or report.received.packets > 0


def _ms(later: float | None, earlier: float | None) -> float | None:
    return None if later is None or earlier is None else max(0.0, (later - earlier) * 1000)


def score_of(
    buffer: BufferReport, codec: str, rtt_ms: float | None, ptime: float, came: Coming | None
) -> Score | None:
    """One direction under a jitter buffer; None where nothing was expected, or nobody has values for the
    codec."""
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
    tones: str | None,
    came: Coming | None,
    answered: float | None,
) -> ReceivedOutcome:
    if report is None:
        return ReceivedOutcome()
    stream = report.received
    name = stream.codec or codec
    found = None
    if name and stream.audio_packets:
        found = score_of(stream.buffers[0], name, report.rtt_ms, ptime, came)
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
        dtmf=report.dtmf + info_digits or tones or "",
        dtmf_event=report.dtmf,
        dtmf_info=info_digits,
        dtmf_inband=tones,
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


def _srtp(negotiated: Negotiated | None, report: MediaReport | None) -> SrtpOutcome | None:
    if report is not None and report.srtp is not None:
        srtp = report.srtp
        return SrtpOutcome(
            srtp.suite, srtp.received, srtp.auth_failures, srtp.replayed, srtp.malformed, srtp.rekeyed
        )
    keys = negotiated.srtp if negotiated is not None else None
    return SrtpOutcome(keys.suite) if keys is not None else None


def _unopened(report: MediaReport | None) -> tuple[str, ...]:
    """A remark for packets that could not be heard, since SRTP did not let them in."""
    srtp = report.srtp if report is not None else None
    found = []
    if srtp is not None and srtp.auth_failures:
        packets, were = ("packet", "was") if srtp.auth_failures == 1 else ("packets", "were")
        found.append(
            f"{srtp.auth_failures} {packets} {were} not protected with the key that the peer's SDP named, "
            "and not heard"
        )
    if srtp is not None and srtp.replayed:
        packets, were = ("packet", "was") if srtp.replayed == 1 else ("packets", "were")
        found.append(f"{srtp.replayed} SRTP {packets} came twice, and {were} heard once")
    return tuple(found)


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


def _own_silence(play: str, report: MediaReport | None, recorder: Recorder | None) -> float | None:
    """The silent share of what we sent, in percent: measured where it is recorded, else known of silence
    alone."""
    if report is None or not report.sent.packets:
        return None
    measured = recorder.own_sound().silence_pct if recorder else None
    if measured is not None:
        return measured
    return 100.0 if play == SILENCE else None


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
            delay_ms=REFERENCE_BUFFER_MS,
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
        found = score_of(buffer, name, report.rtt_ms, ptime, came) if name else None
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
    found = score_of(buffer, name, report.rtt_ms, ptime, None) if name else None
    whole = score_of(buffer, name, report.rtt_ms, ptime, came) if name else None
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
