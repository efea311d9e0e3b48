"""One call, as it went: facts of signalling and media, and its verdict.

Units, in this room: a name that ends in ``_ms`` is milliseconds, ``_pct`` percent (0 to 100), ``_s`` seconds,
``_dbfs`` dB below full scale; ``started_at`` and ``stopped_at`` are unix seconds; ``at`` is seconds since its
owner's ``started_at``. Everything is a frozen value.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from callwright.outcome.captured import CapturedMessage
from callwright.outcome.plain import AsJson
from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import Blame, CallState, Direction, EndedBy, Failure, Verdict
from callwright.outcome.tls import TlsOutcome

SILENT_PCT = 99.0  # of the audio: from here on nobody heard anything


@dataclass(frozen=True, slots=True)
class StreamOutcome(AsJson):
    """One direction of audio. ``sent`` quality comes from the peer's RTCP or our own far end, else None."""

    codec: str | None = None
    packets: int | None = None
    lost: int | None = None
    late: int | None = None  # came after their turn in the reference buffer
    discarded: int | None = None  # by the reference jitter buffer (late or overflow)
    duplicated: int | None = None
    reordered: int | None = None
    jitter_ms: float | None = None  # mean of the running estimate, RFC 3550 A.8
    max_jitter_ms: float | None = None
    loss_pct: float | None = None  # of what was due: lost by number, and missing in gaps
    burst_ratio: float | None = None  # G.107 BurstR; 1 = random loss
    mos: float | None = None
    r_factor: float | None = None
    mos_scale: str | None = None  # "nb" or "wb"
    ie: float | None = None
    bpl: float | None = None
    ta_ms: float | None = None  # one-way delay used by the E-model
    provisional: bool | None = None  # ITU publishes no Ie or Bpl for this case


@dataclass(frozen=True, slots=True)
class SilentGap:
    """Half a second or more without a packet, in seconds since the answer.

    `why`: "never began", "began late", "stopped", "lost", "paused", "replaced" or "from elsewhere".
    """

    from_s: float
    to_s: float
    why: str


@dataclass(frozen=True, slots=True)
class ReceivedOutcome(StreamOutcome):
    silence_pct: float | None = None  # of the audio and of the gaps in it
    clipping_pct: float | None = None
    level_dbfs: float | None = None
    dtmf: str | None = None  # digits of events and INFO, else those in the audio; "" when none came
    dtmf_event: str | None = None  # by telephone-event (RFC 4733)
    dtmf_info: str | None = None  # by INFO
    dtmf_inband: str | None = None  # as tones in the audio; None: nobody listened
    heard_pct: float | None = None  # of the time in which audio was due: what was not in a gap
    dtx_pct: float | None = None  # of the same time: left out by the sender on purpose, DTX or comfort noise
    gaps: tuple[SilentGap, ...] = ()
    missing: int | None = None  # packets that the gaps would have held and that no number tells of
    audio_packets: int | None = None  # new packets that hold audio: no events, no comfort noise
    comfort_noise: int | None = None  # packets

    @property
    def without_sound(self) -> bool:
        """Whether packets came, and nothing but silence was in them."""
        if self.packets and self.audio_packets == 0:
            return True
        if not self.packets or self.silence_pct is None:
            return False
        came = 100.0 if self.heard_pct is None else self.heard_pct - (self.dtx_pct or 0.0)
        return 100.0 - self.silence_pct <= (100.0 - SILENT_PCT) / 100.0 * max(came, 0.0)


@dataclass(frozen=True, slots=True)
class StateReached:
    at: float  # seconds since started_at
    state: CallState
    code: int | None = None  # the SIP status that caused it


@dataclass(frozen=True, slots=True)
class JitterBufferOutcome:
    """The received stream judged under one jitter buffer."""

    name: str  # "fixed 50 ms"
    delay_ms: float
    mos: float | None = None
    r_factor: float | None = None
    lost: int | None = None
    discarded: int | None = None
    ppl: float | None = None  # percent, lost and discarded together
    burst_ratio: float | None = None
    ie: float | None = None
    bpl: float | None = None
    ta_ms: float | None = None
    provisional: bool | None = None
    band: str | None = None


@dataclass(frozen=True, slots=True)
class LostMos:
    """How many points of MOS each cause took from the best that the scale allows."""

    codec: float | None = None
    delay: float | None = None
    loss: float | None = None
    discard: float | None = None
    gaps: float | None = None


@dataclass(frozen=True, slots=True)
class SecondOfStream:
    packets: int | None = None
    lost: int | None = None
    discarded: int | None = None
    jitter_ms: float | None = None
    mos: float | None = None
    level_dbfs: float | None = None


@dataclass(frozen=True, slots=True)
class Second(AsJson):
    """One second of a call; ``at`` in seconds since the call's ``started_at``."""

    at: float
    sent: SecondOfStream = SecondOfStream()
    received: SecondOfStream = SecondOfStream()


@dataclass(frozen=True, slots=True)
class AudioFile:
    path: str  # relative to the folder of the evidence
    kind: str = "stereo"  # "stereo" (left: sent, right: received), "sent" or "received"
    sample_rate: int | None = None
    channels: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """Our own error, so that a reader can judge whether to believe the rest."""

    send_error_p99_ms: float | None = None  # how late RTP left us against its schedule
    send_error_max_ms: float | None = None
    packets_scheduled: int | None = None


@dataclass(frozen=True, slots=True)
class SrtpOutcome:
    """What came to us under SRTP, RTP and RTCP together; the counts are None where no audio flowed."""

    suite: str
    received: int | None = None  # packets that were opened
    auth_failures: int | None = None  # packets that the key did not fit, plain RTP among them
    replayed: int | None = None  # packets that had come before
    malformed: int | None = None
    rekeyed: int | None = None  # changes of keys by a new offer and answer


@dataclass(frozen=True, slots=True)
class IceOutcome:
    """How media found its way (RFC 8445). `local`, `remote`: the pair that won, as "192.0.2.1:5", whose types
    are host, srflx, prflx or relay; all four are None where none did."""

    role: str  # controlling or controlled
    lite: bool
    local: str | None = None
    local_type: str | None = None
    remote: str | None = None
    remote_type: str | None = None
    gathered_ms: float | None = None  # until our own addresses were known
    connected_ms: float | None = None  # from offer and answer to the pair
    rtt_ms: float | None = None  # of the last check
    local_candidates: int = 0
    remote_candidates: int = 0
    refused_candidates: int = 0  # of the peer, which our policy does not permit
    checks: int = 0  # that we sent
    consent_lost: bool = False  # RFC 7675


@dataclass(frozen=True, slots=True)
class DtlsOutcome:
    """How the keys came (RFC 5763, 5764). `fingerprint`: of the peer's SDP, which its certificate has; None
    where the handshake did not come so far, or it has another."""

    role: str  # client or server
    fingerprint: str | None = None
    suite: str | None = None
    handshake_ms: float | None = None
    retransmissions: int = 0  # flights of ours that went again


@dataclass(frozen=True, slots=True)
class IdentityOutcome:
    """What a signed Identity (RFC 8224) of a call that came to us was worth, and what it claims."""

    verdict: str  # valid, invalid or absent
    code: int | None = None  # 428, 436, 437, 438 or 403, as RFC 8224 has it; None: it is valid
    phrase: str = ""
    reason: str = ""  # why, in a sentence
    attest: str | None = None
    orig: str | None = None
    dest: tuple[str, ...] = ()
    info: str | None = None  # the URL of the certificate


@dataclass(frozen=True, slots=True)
class CallOutcome(AsJson):
    """One call leg. The phone fills the facts; ``judged()`` adds verdict, blame and reason."""

    # the keys every reader knows
    verdict: Verdict = Verdict.ERROR
    blame: Blame | None = Blame.PLATFORM
    reason: str = "The call was not judged."
    sip_code: int | None = None  # of the last final response to the INVITE, sent or received
    pdd_ms: float | None = None  # INVITE to the first ringing or answer
    setup_ms: float | None = None  # INVITE to 2xx
    duration_ms: float | None = None  # 2xx to the end
    ended_by: EndedBy | None = None
    sent: StreamOutcome = StreamOutcome()
    received: ReceivedOutcome = ReceivedOutcome()
    # who and where
    id: str = ""
    address: str | None = None  # "step.1.0", None for a call from the command line
    party: str | None = None
    direction: Direction = Direction.OUTGOING
    local: str | None = None  # our From or To
    remote: str | None = None
    destination: str | None = None  # what was dialled
    call_id: str | None = None
    user_agent: str | None = None  # User-Agent or Server of the peer
    peer: str | None = None  # "udp:192.0.2.10:5060"
    tls: TlsOutcome | None = None  # None: the signalling went without TLS
    started_at: float | None = None
    # signalling facts
    failure: Failure | None = None
    failure_detail: str | None = (
        None  # the host, the error text, the remedy: words that may stand in the reason
    )
    sip_reason: str | None = None  # reason phrase that came with sip_code
    authenticated: bool | None = None  # we answered a challenge of this call with credentials
    provisional_codes: tuple[int, ...] = ()
    reliable_codes: tuple[int, ...] = ()  # provisionals that a PRACK acknowledged (RFC 3262)
    updates: int | None = None  # UPDATEs of either side that were accepted (RFC 3311)
    states: tuple[StateReached, ...] = ()
    session_expires_s: int | None = None  # the session timer (RFC 4028) agreed on last; None: none
    session_refreshes: int | None = None  # of either side, accepted
    messages: tuple[CapturedMessage, ...] = ()
    caller_identity: str | None = None  # user part the peer showed us: P-Asserted-Identity, else From
    caller_name: str | None = None
    asserted_identity: str | None = None  # P-Asserted-Identity as it came (RFC 3325)
    preferred_identity: str | None = None
    privacy: str | None = None  # RFC 3323
    identity: IdentityOutcome | None = None  # None: it was not verified
    auto_answered: bool | None = None  # the caller asked for an answer without a person; False: it got none
    redirected_to: tuple[str, ...] = ()
    transfers: tuple[RequestOutcome, ...] = ()  # REFERs of ours within the call
    retransmissions: int | None = None  # of ours, for want of an answer
    # media facts
    media_expected: bool = True  # False with --no-media, and of a peer whose SDP promised no audio
    codec: str | None = None
    codecs_offered: tuple[str, ...] = ()
    srtp: SrtpOutcome | None = None  # None: the audio was plain RTP
    ice: IceOutcome | None = None  # None: media went where the SDP said
    dtls: DtlsOutcome | None = None  # None: no keys by DTLS were agreed on
    early_media: bool | None = None  # audio came before the answer
    early_media_ms: float | None = None
    dtmf_sent: str | None = None
    sent_silence_pct: float | None = None  # of what we sent, where it is recorded or was nothing but silence
    peer_loss_pct: float | None = (
        None  # the fraction of our audio lost, as the peer's last RTCP reports tell it
    )
    silence_at_end_ms: float | None = None
    rtt_ms: float | None = None  # from LSR and DLSR
    band: str | None = None
    causes: LostMos = LostMos()
    jitter_buffers: tuple[JitterBufferOutcome, ...] = ()
    seconds: tuple[Second, ...] = ()
    audio: tuple[AudioFile, ...] = ()
    measurement: Measurement = Measurement()
    recording_error: str | None = None  # why the recording is not whole
    remarks: tuple[str, ...] = ()  # what was odd and cost nothing, in sentences

    @property
    def answered(self) -> bool:
        return any(reached.state is CallState.ANSWERED for reached in self.states)

    def judged(self, verdict: Verdict, blame: Blame | None, reason: str) -> CallOutcome:
        return dataclasses.replace(self, verdict=verdict, blame=blame, reason=reason)
