"""What one measurement came to, in the words and units of a call's quality."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from callwright.outcome.decisive import decisive
from callwright.outcome.plain import AsJson
from callwright.outcome.terms import Blame, Verdict


class State(StrEnum):
    """How a slot of a monitor ends. A single probe is done or failed."""

    DONE = "done"  # measured
    FAILED = "failed"  # nothing answered, or it was refused
    MISSED = "missed"  # not run; the reason says why
    UNKNOWN = "unknown"  # begun, and nobody knows what came of it


@dataclass(frozen=True, slots=True)
class OneWay(AsJson):
    """Delay in each direction, ms: there to the far end, and back."""

    out: float | None = None
    back: float | None = None


@dataclass(frozen=True, slots=True)
class DirectionResult(AsJson):
    """One direction of a train, where the far end counts and stamps what it gets."""

    sent: int | None = None
    received: int | None = None
    lost: int | None = None
    loss_pct: float | None = None
    late: int | None = None
    duplicated: int | None = None
    reordered: int | None = None
    jitter_ms: float | None = None
    burst_ratio: float | None = None
    r_factor: float | None = None
    mos: float | None = None


@dataclass(frozen=True, slots=True)
class CertificateResult(AsJson):
    """The certificate that a TLS server showed. `days_left` below 0: it has expired. `problem`: why it is not
    to be trusted for the name that was asked for, a sentence; None: it is."""

    subject: str | None = None
    issuer: str | None = None
    not_after: str | None = None
    days_left: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Hop(AsJson):
    """One hop of a path. `address` None: it keeps silent."""

    ttl: int
    address: str | None = None
    sent: int = 0
    received: int = 0
    rtt_ms: float | None = None


@dataclass(frozen=True, slots=True)
class PathTaken(AsJson):
    """The way of a measurement whose quality changed. `changed`: whether it is another than the usual one;
    None: nothing is known to compare with."""

    fingerprint: str | None = None
    changed: bool | None = None
    hops: tuple[Hop, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeResult(AsJson):
    """One measurement. What was not measured is None.

    `late`: came after a jitter buffer of 50 ms would have played it. `rtt_ms`: the median, without the time
    the far end took where it tells. `jitter_ms`: RFC 3550 section A.8, after the last packet. `error_ms`: by
    how much our own packets left late at worst. `packets`: round trip of each packet sent, None where none
    came back.
    """

    kind: str = ""
    target: str = ""
    address: str | None = None
    state: State = State.FAILED
    verdict: Verdict = Verdict.ERROR
    blame: Blame | None = Blame.PLATFORM
    reason: str = "The probe was not run."
    started_at: float | None = None
    sent: int | None = None
    received: int | None = None
    lost: int | None = None
    loss_pct: float | None = None
    late: int | None = None
    duplicated: int | None = None
    reordered: int | None = None
    rtt_ms: float | None = None
    rtt_min_ms: float | None = None
    rtt_max_ms: float | None = None
    one_way_ms: OneWay | None = None
    jitter_ms: float | None = None
    burst_ratio: float | None = None
    r_factor: float | None = None
    mos: float | None = None
    codec: str | None = None
    error_ms: float | None = None
    out: DirectionResult | None = None
    back: DirectionResult | None = None
    packets: tuple[float | None, ...] = ()
    sip_code: int | None = None
    sip_reason: str | None = None
    user_agent: str | None = None
    setup_ms: float | None = None
    certificate: CertificateResult | None = None
    answers: tuple[str, ...] = ()
    fingerprint: str | None = None
    changed: bool | None = None
    hops: tuple[Hop, ...] = ()
    path: PathTaken | None = None
    failure: str | None = None

    def ended(
        self, state: State, verdict: Verdict, blame: Blame | None, reason: str, rtt_ms: float | None
    ) -> ProbeResult:
        return replace(self, state=state, verdict=verdict, blame=blame, reason=reason, rtt_ms=rtt_ms)

    def canceled(self, reason: str) -> ProbeResult:
        """The same, ended by somebody before it was whole; `reason` is a sentence."""
        return replace(self, verdict=Verdict.CANCELED, blame=None, reason=f"{reason} {self.reason}")

    def valid_for(self, days: float | None) -> ProbeResult:
        """The same, failed where the certificate that was shown ends sooner."""
        left = self.certificate.days_left if self.certificate is not None else None
        if days is None or self.verdict is not Verdict.PASSED or left is None or left >= days:
            return self
        reason = f"Its certificate ends in {decisive(left, days)} days, sooner than {days:g}."
        return replace(self, verdict=Verdict.FAILED, blame=Blame.TARGET, reason=reason)

    def at_least(self, mos: float | None) -> ProbeResult:
        """The same, failed where its MOS is below `mos`."""
        if mos is None or self.verdict is not Verdict.PASSED or self.mos is None or self.mos >= mos:
            return self
        reason = f"MOS {decisive(self.mos, mos, 2)} is below {mos:g}."
        return replace(self, verdict=Verdict.FAILED, blame=Blame.NETWORK, reason=reason)
