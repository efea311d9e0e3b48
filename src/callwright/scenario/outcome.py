"""What a run leaves behind: the only types about results that phone, evidence, agent and cli share.

Everything here is a frozen value. ``to_json()`` gives plain dicts, lists, texts, numbers, booleans and None:
every key is always there, what is not known is None (never guessed, never NaN), times of day are UTC texts.
``from_json()`` reads such a document back.

Units: a name that ends in ``_ms`` is milliseconds, ``_pct`` percent (0 to 100), ``_s`` seconds, ``_dbfs`` dB
below full scale; ``started_at`` and ``stopped_at`` are unix seconds; ``at`` is seconds since its owner's
``started_at``.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any, Self

from callwright.scenario.outcome_of_load import LoadOutcome

Json = dict[str, Any]

SILENT_PCT = 99.0  # of the audio: from here on nobody heard anything


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"  # the target or the network did not do what was asked
    INVALID = "invalid"  # measured, but not to be believed
    ERROR = "error"  # ours: it says nothing about the target
    CANCELED = "canceled"  # somebody stopped it


class Blame(StrEnum):
    TARGET = "target"
    NETWORK = "network"
    PLATFORM = "platform"
    TEST = "test"


class Direction(StrEnum):
    OUTGOING = "outgoing"  # we sent the INVITE
    INCOMING = "incoming"  # the INVITE came to us


class EndedBy(StrEnum):
    LOCAL = "local"  # we sent the BYE, the CANCEL or the final refusal
    REMOTE = "remote"  # the peer did
    NETWORK = "network"  # a timeout or a transport failure ended it
    PLATFORM = "platform"  # we broke


class CallState(StrEnum):
    """The vocabulary of ``states`` and of the conditions on them."""

    CALLING = "calling"  # INVITE sent
    INCOMING = "incoming"  # INVITE received
    TRYING = "trying"  # 100
    RINGING = "ringing"  # 180 (or 181, 182 and 183 without SDP)
    EARLY_MEDIA = "early_media"  # a provisional with SDP
    ANSWERED = "answered"  # 2xx to the INVITE
    CONFIRMED = "confirmed"  # ACK
    HELD = "held"  # we put the peer on hold
    RESUMED = "resumed"  # we took it back
    HELD_BY_PEER = "held_by_peer"
    RESUMED_BY_PEER = "resumed_by_peer"
    REDIRECTED = "redirected"  # 3xx
    CANCELED = "canceled"  # CANCEL sent or received
    FAILED = "failed"  # a final refusal, a timeout, a transport failure
    ENDED = "ended"  # BYE, or the end of the call by our own doing


class Failure(StrEnum):
    """Why a call, a registration or a request did not succeed, as the phone knows it; the verdict's input."""

    REFUSED = "refused"  # a final response of 300 to 699 that was not what we were after: see sip_code
    TIMEOUT = "timeout"  # no response at all came back (Timer B or F)
    NO_ANSWER = "no_answer"  # it rang (or was trying) and nobody answered in the time allowed
    UNREACHABLE = "unreachable"  # ICMP port or host unreachable, TCP connection refused or lost
    TLS = "tls"  # the handshake or the certificate
    UNRESOLVED = "unresolved"  # the host name has no address
    TRANSPORT = "transport"  # the URI asks for a transport that we do not speak
    NOT_BOUND = "not_bound"  # the registrar said 200 and keeps no binding of ours
    POLICY = "policy"  # our own policy refused to send
    MALFORMED = "malformed"  # the peer's message could not be used
    NO_CREDENTIALS = "no_credentials"  # challenged, and we have no password for that realm
    NOT_ACKNOWLEDGED = "not_acknowledged"  # our 2xx never got its ACK (32 s)
    NEGOTIATION = "negotiation"  # the peer's SDP has no audio that we can use
    NEVER_CAME = "never_came"  # a call that was awaited did not come
    STOPPED = "stopped"  # from outside: Ctrl-C, stop, kill switch
    DEADLINE = "deadline"  # the run's own time was over first
    PLATFORM = "platform"  # our own fault; the detail says which


def utc_text(unix_seconds: float | None) -> str | None:
    """``2026-11-22T13:55:41.123456Z`` for unix seconds."""
    if unix_seconds is None:
        return None
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def unix_seconds(text: str | float | None) -> float | None:
    """The reverse of ``utc_text``; a number passes through. Raises ValueError for any other text."""
    if text is None or isinstance(text, int | float):
        return text
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


_TIMES_OF_DAY = frozenset({"started_at", "stopped_at"})


def plain(value: Any) -> Any:
    """Dataclasses, enums and tuples to what JSON knows; NaN and infinity to None; floats to six decimals."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, str | int | None):
        return value
    if dataclasses.is_dataclass(value):
        return {
            f.name: utc_text(getattr(value, f.name))
            if f.name in _TIMES_OF_DAY
            else plain(getattr(value, f.name))
            for f in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value]


def _times_as_numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: unix_seconds(item)
            if key in _TIMES_OF_DAY and isinstance(item, str)
            else _times_as_numbers(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_times_as_numbers(item) for item in value]
    return value


#: msgspec 0.22 ends the process when two threads convert to the same dataclass for the first time.
_READING = threading.Lock()


class _Document:
    """Mixin: to and from the JSON of the type's own fields."""

    __slots__ = ()

    def to_json(self) -> Json:
        document: Json = plain(self)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Raises ``msgspec.ValidationError`` (a ValueError) for a wrong type. Unknown keys are ignored,
        absent ones take their default, so that an older or newer writer can be read."""
        import msgspec

        with _READING:
            return msgspec.convert(_times_as_numbers(document), cls, strict=False)


@dataclass(frozen=True, slots=True)
class StreamOutcome(_Document):
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
    dtmf: str | None = None  # digits in order of arrival, "" when none came
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
class Second(_Document):
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
class CapturedMessage:
    """Headers of a message that came to us: the first INVITE, the first response of each status, and every
    request inside the dialog (32 messages in all, and what ended the call)."""

    start: str  # "INVITE", "180", "BYE", "re-INVITE": what a condition names
    headers: tuple[tuple[str, str], ...] = ()  # (name, value) as received, in order

    def values(self, name: str) -> list[str]:
        wanted = name.lower()
        return [value for header, value in self.headers if header.lower() == wanted]


@dataclass(frozen=True, slots=True)
class Measurement:
    """Our own error, so that a reader can judge whether to believe the rest."""

    send_error_p99_ms: float | None = None  # how late RTP left us against its schedule
    send_error_max_ms: float | None = None
    packets_scheduled: int | None = None


@dataclass(frozen=True, slots=True)
class CallOutcome(_Document):
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
    started_at: float | None = None
    # signalling facts
    failure: Failure | None = None
    failure_detail: str | None = (
        None  # the host, the error text, the remedy: words that may stand in the reason
    )
    sip_reason: str | None = None  # reason phrase that came with sip_code
    authenticated: bool | None = None  # we answered a challenge of this call with credentials
    provisional_codes: tuple[int, ...] = ()
    states: tuple[StateReached, ...] = ()
    messages: tuple[CapturedMessage, ...] = ()
    caller_identity: str | None = None  # user part the peer showed us: P-Asserted-Identity, else From
    caller_name: str | None = None
    redirected_to: tuple[str, ...] = ()
    retransmissions: int | None = None  # of ours, for want of an answer
    # media facts
    media_expected: bool = True  # False with --no-media
    codec: str | None = None
    codecs_offered: tuple[str, ...] = ()
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


@dataclass(frozen=True, slots=True)
class RegistrationOutcome(_Document):
    """One account at one registrar, from the first REGISTER to the unregistration."""

    verdict: Verdict = Verdict.ERROR
    blame: Blame | None = Blame.PLATFORM
    reason: str = "The registration was not judged."
    sip_code: int | None = None
    address: str | None = None
    party: str | None = None
    account: str | None = None  # the address of record
    registrar: str | None = None
    contact: str | None = None
    peer: str | None = None
    user_agent: str | None = None
    started_at: float | None = None
    registered_ms: float | None = None  # first REGISTER to its 200
    expires_s: int | None = None  # as granted
    refreshes: int = 0
    unregistered: bool | None = None
    authenticated: bool | None = None
    failure: Failure | None = None
    failure_detail: str | None = None
    sip_reason: str | None = None
    messages: tuple[CapturedMessage, ...] = ()

    def judged(self, verdict: Verdict, blame: Blame | None, reason: str) -> RegistrationOutcome:
        return dataclasses.replace(self, verdict=verdict, blame=blame, reason=reason)


@dataclass(frozen=True, slots=True)
class RequestOutcome(_Document):
    """One request outside a call: OPTIONS or MESSAGE."""

    verdict: Verdict = Verdict.ERROR
    blame: Blame | None = Blame.PLATFORM
    reason: str = "The request was not judged."
    sip_code: int | None = None
    method: str = "OPTIONS"
    address: str | None = None
    party: str | None = None
    target: str | None = None
    peer: str | None = None
    user_agent: str | None = None
    started_at: float | None = None
    round_trip_ms: float | None = None
    retransmissions: int | None = None
    authenticated: bool | None = None
    allow: tuple[str, ...] = ()  # methods the peer says it takes
    failure: Failure | None = None
    failure_detail: str | None = None
    sip_reason: str | None = None
    messages: tuple[CapturedMessage, ...] = ()

    def judged(self, verdict: Verdict, blame: Blame | None, reason: str) -> RequestOutcome:
        return dataclasses.replace(self, verdict=verdict, blame=blame, reason=reason)


@dataclass(frozen=True, slots=True)
class ConditionOutcome(_Document):
    text: str  # as the author wrote it: "mos >= 4.0"
    expected: str  # ">= 4.0"
    seen: str | None  # "3.2"; None when there was nothing to look at
    passed: bool
    address: str | None = None  # "step.1.0" of its action, None at the end of the document
    call: str | None = None  # id of the call that was looked at
    implied: bool = False  # nobody wrote it: a rule of every call, told where it was broken


@dataclass(frozen=True, slots=True)
class PhaseOutcome(_Document):
    """How long a step took; ``at`` in seconds since the run's ``started_at``."""

    name: str  # "step.0", "teardown"
    at: float
    duration_ms: float


@dataclass(frozen=True, slots=True)
class RunOutcome(_Document):
    """The document ``run.json``."""

    verdict: Verdict = Verdict.ERROR
    blame: Blame | None = Blame.PLATFORM
    reason: str = "The run was not judged."
    name: str = ""
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    conditions: tuple[ConditionOutcome, ...] = ()
    calls: tuple[CallOutcome, ...] = ()
    registrations: tuple[RegistrationOutcome, ...] = ()
    requests: tuple[RequestOutcome, ...] = ()
    loads: tuple[LoadOutcome, ...] = ()
    id: str = ""
    started_at: float | None = None
    stopped_at: float | None = None
    duration_ms: float | None = None
    phases: tuple[PhaseOutcome, ...] = ()
    parameters: Mapping[str, str] = field(
        default_factory=dict
    )  # address -> value as text, secrets as "(secret)"
    evidence: Mapping[str, str] = field(
        default_factory=dict
    )  # "report", "pcap", "junit", … -> path in its folder
    warnings: tuple[str, ...] = ()
    version: str = ""  # of Callwright

    def with_evidence(self, **paths: str) -> RunOutcome:
        return dataclasses.replace(self, evidence={**self.evidence, **paths})
