"""A train: packets at even distances, shaped like a codec's, and what came back of them.

`Train` is the machine that ICMP, STAMP and SIP OPTIONS share: it says when the next packet is due, and keeps
what became of each. The protocols add their octets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from callwright.outcome.terms import Blame, Verdict
from callwright.probe.result import ProbeResult, State
from callwright.quality.burst_loss import from_counts
from callwright.quality.score import REFERENCE_BUFFER_MS, Score, score

MOST_PACKETS = 10_000
_PTIME_MS = 20.0  # of the codec that the E-model assumes
_STARVED_SHARE = 0.1
"""Packets that may leave late by more than the distance between two before a train says nothing of the
network."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`spacing`: seconds from one packet to the next; `wait`: seconds after the last one until it is over;
    `octets`: of each packet as the payload of UDP, 172 as a G.711 packet of 20 ms has."""

    packets: int = 25
    spacing: float = 0.1
    wait: float = 2.0
    octets: int = 172
    codec: str = "g711"

    def __post_init__(self) -> None:
        if not 1 <= self.packets <= MOST_PACKETS:
            raise ValueError(f"a train has 1 to {MOST_PACKETS:,} packets, not {self.packets:,}")
        if not 0.005 <= self.spacing <= 10:
            raise ValueError(f"packets are 5 ms to 10 s apart, not {self.spacing * 1000:g} ms")
        if not 0.01 <= self.wait <= 60:
            raise ValueError(f"a train waits 10 ms to 60 s for its last packet, not {self.wait:g} s")
        if not 64 <= self.octets <= 1400:
            raise ValueError(f"a packet has 64 to 1,400 octets, not {self.octets:,}")

    @classmethod
    def call(cls) -> Shape:
        """As a call of five seconds sends: 250 packets, 20 ms apart."""
        return cls(packets=250, spacing=0.02)

    @property
    def seconds(self) -> float:
        """How long it takes at most."""
        return (self.packets - 1) * self.spacing + self.wait


@dataclass(slots=True)
class Packet:
    """`sent` and `came`: monotonic seconds; `far`: seconds that the far end had it."""

    due: float
    sent: float | None = None
    came: float | None = None
    far: float = 0.0
    copies: int = 0
    reordered: bool = False

    @property
    def round_trip(self) -> float | None:
        """Seconds on the way, both directions."""
        if self.sent is None or self.came is None:
            return None
        return max(0.0, self.came - self.sent - self.far)


def jitter(transits: Sequence[float]) -> float | None:
    """Interarrival jitter of RFC 3550 section A.8 over transit times in order of arrival, in their unit; None
    for fewer than two."""
    if len(transits) < 2:
        return None
    estimate, before = 0.0, transits[0]
    for transit in transits[1:]:
        estimate += (abs(transit - before) - estimate) / 16
        before = transit
    return estimate


@dataclass(frozen=True, slots=True)
class Loss:
    """Packets that a listener did not hear: lost, or too late for the jitter buffer."""

    lost: int
    late: int
    ppl: float
    burst_ratio: float | None


def loss_of(transits: Sequence[float | None]) -> Loss:
    """`transits`: seconds, by sequence number; None: lost."""
    came = [transit for transit in transits if transit is not None]
    playable = min(came, default=0.0) + REFERENCE_BUFFER_MS / 1000
    heard = [transit is not None and transit <= playable for transit in transits]
    lost, bad = len(transits) - len(came), heard.count(False)
    runs = sum(1 for n, good in enumerate(heard) if not good and (n == 0 or heard[n - 1]))
    pattern = from_counts(len(heard), bad, runs)
    return Loss(lost, bad - lost, pattern.ppl, round(pattern.burst_r, 6) if bad else None)


def rated(codec: str, loss: Loss, rtt: float | None) -> Score | None:
    """The E-model of one direction with this loss, played from the reference buffer. `rtt`: seconds."""
    return score(
        codec,
        ppl=round(loss.ppl, 9),
        burst_r=loss.burst_ratio or 1.0,
        delay_ms=REFERENCE_BUFFER_MS,
        rtt_ms=None if rtt is None else round(rtt * 1000, 3),
        ptime=_PTIME_MS,
    )


class Train:
    """Begins at `now`. A protocol overrides `request` and calls `answered` from its `receive`."""

    kind = ""

    def __init__(self, shape: Shape, now: float) -> None:
        self.shape, self.began = shape, now
        self.plan = [Packet(now + number * shape.spacing) for number in range(shape.packets)]
        self.order: list[int] = []  # sequence numbers as they came back, copies left out
        self.refusal: str | None = None  # what the network or the far end said instead of an answer
        self.offender: str | None = None
        self._next = 0
        self._highest = -1
        self._over = False
        self._ready: list[bytes] = []

    def request(self, sequence: int, now: float) -> bytes:
        """The octets of packet `sequence`, which leaves at `now`."""
        raise NotImplementedError

    # -- the verbs

    def wake(self, now: float) -> None:
        if self._over:
            return
        while self._next < len(self.plan) and self.plan[self._next].due <= now:
            self._ready.append(self.request(self._next, now))
            self.plan[self._next].sent = now
            self._next += 1
        if self._next == len(self.plan):
            self._over = now >= self._ends or all(packet.came is not None for packet in self.plan)

    def next_wake(self) -> float | None:
        """None: it is over."""
        if self._over:
            return None
        return self.plan[self._next].due if self._next < len(self.plan) else self._ends

    def transmissions(self) -> list[bytes]:
        """Takes what is to be sent, in order."""
        ready, self._ready = self._ready, []
        return ready

    def receive(self, data: bytes, now: float, wall: float, ttl: int | None = None) -> None:
        """A datagram of the far end. `wall`: unix seconds of the same moment."""
        raise NotImplementedError

    def refused(self, reason: str, offender: str | None = None) -> None:
        """The network or the far end gave a packet back; `reason` is a sentence."""
        self.refusal, self.offender = self.refusal or reason, self.offender or offender

    def broken(self, reason: str) -> None:
        """Nothing more can be sent or come."""
        self.refused(reason)
        self._over = True

    @property
    def over(self) -> bool:
        return self._over

    # -- what came back

    def answered(self, sequence: int, now: float, far: float = 0.0) -> bool:
        """Packet `sequence` came back at `now`, after `far` seconds at the far end. False: it is no packet
        that was sent, or a copy."""
        if not 0 <= sequence < self._next:
            return False
        packet = self.plan[sequence]
        packet.copies += 1
        if packet.came is not None or packet.sent is None:
            return False
        packet.came = now
        packet.far = far if 0.0 <= far <= max(0.0, now - packet.sent) else 0.0
        packet.reordered = sequence < self._highest
        self._highest = max(self._highest, sequence)
        self.order.append(sequence)
        self._over = len(self.order) == len(self.plan)
        return True

    @property
    def _ends(self) -> float:
        last = self.plan[-1]
        return (last.sent if last.sent is not None else last.due) + self.shape.wait

    @property
    def rtt(self) -> float | None:
        """The median, seconds."""
        trips = [trip for packet in self.plan if (trip := packet.round_trip) is not None]
        return median(trips) if trips else None

    @property
    def lateness(self) -> float:
        """By how much a packet of ours left late at worst, seconds."""
        return max((p.sent - p.due for p in self.plan[: self._next] if p.sent is not None), default=0.0)

    @property
    def starved(self) -> bool:
        late = sum(p.sent is not None and p.sent - p.due > max(0.02, self.shape.spacing) for p in self.plan)
        return late > _STARVED_SHARE * len(self.plan)

    def result(self, target: str, address: str | None, started_at: float) -> ProbeResult:
        """Of what was sent until now."""
        sent = self.plan[: self._next]
        trips = [packet.round_trip for packet in sent]
        came = [trip for trip in trips if trip is not None]
        figures = ProbeResult(
            kind=self.kind,
            target=target,
            address=address,
            started_at=started_at,
            sent=len(sent),
            received=len(came),
            lost=len(sent) - len(came),
            loss_pct=100 * (len(sent) - len(came)) / len(sent) if sent else None,
            duplicated=sum(max(0, packet.copies - 1) for packet in sent),
            reordered=sum(packet.reordered for packet in sent),
            codec=self.shape.codec,
            error_ms=self.lateness * 1000,
            packets=tuple(None if trip is None else trip * 1000 for trip in trips),
        )
        if not came:
            return self.silent(figures)
        found = loss_of(trips)
        running = jitter([trips[number] or 0.0 for number in self.order])
        e_model = rated(self.shape.codec, found, median(came))
        figures = replace(
            figures,
            late=found.late,
            rtt_ms=median(came) * 1000,
            rtt_min_ms=min(came) * 1000,
            rtt_max_ms=max(came) * 1000,
            jitter_ms=None if running is None else running * 1000,
            burst_ratio=found.burst_ratio,
            r_factor=None if e_model is None else max(0.0, e_model.model.r),
            mos=None if e_model is None else e_model.mos,
        )
        return self.judged(self.further(figures))

    def further(self, figures: ProbeResult) -> ProbeResult:
        """What the protocol knows besides."""
        return figures

    def judged(self, figures: ProbeResult) -> ProbeResult:
        if self.starved:
            reason = (
                f"This machine was too busy: packets left up to {self.lateness * 1000:.0f} ms late, so the "
                "figures say nothing about the network."
            )
            return replace(
                figures,
                state=State.DONE,
                verdict=Verdict.INVALID,
                blame=Blame.PLATFORM,
                reason=reason,
                mos=None,
                r_factor=None,
            )
        return replace(
            figures, state=State.DONE, verdict=Verdict.PASSED, blame=None, reason=self.summary(figures)
        )

    def summary(self, figures: ProbeResult) -> str:
        assert figures.rtt_ms is not None
        quality = "" if figures.mos is None else f" MOS {figures.mos:.2f} with {figures.codec}."
        return f"{figures.received} of {figures.sent} came back, {figures.rtt_ms:.1f} ms round trip.{quality}"

    def silent(self, figures: ProbeResult) -> ProbeResult:
        """Nothing came back."""
        blame, reason = Blame.NETWORK, self.refusal or self.silence()
        if not figures.sent:
            blame, reason = Blame.PLATFORM, self.refusal or "Nothing was sent."
        elif self.offender is not None and self.offender == figures.address:
            blame = Blame.TARGET
        return replace(
            figures,
            state=State.FAILED,
            verdict=Verdict.FAILED if figures.sent else Verdict.ERROR,
            blame=blame,
            reason=reason,
            mos=1.0 if figures.sent else None,
            r_factor=0.0 if figures.sent else None,
        )

    def silence(self) -> str:
        return f"Nothing came back of {len(self.plan[: self._next])} packets."
