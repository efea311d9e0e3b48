"""A STAMP train: a session sender and a session reflector (RFC 8762), each direction apart."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from dataclasses import dataclass, replace
from statistics import median

from callwright.probe.result import DirectionResult, OneWay, ProbeResult
from callwright.probe.stamp_packet import (
    ReflectorPacket,
    SenderPacket,
    read_reflector,
    read_sender,
    reflector_packet,
    sender_packet,
)
from callwright.probe.train import Loss, Shape, Train, jitter, loss_of, rated

MOST_SESSIONS = 4096
MOST_IN_SECOND = 1000
"""Packets of one session that are answered in a second: twenty calls' worth."""
SESSION_SECONDS = 900.0
"""Without a packet for so long a session is over: RFC 4656's REFWAIT, which TWAMP reflectors keep too."""


@dataclass(frozen=True, slots=True)
class _Stamps:
    """Of one packet: unix seconds, T1 and T4 by our clock, T2 and T3 by the reflector's."""

    t1: float
    t2: float
    t3: float
    t4: float
    number: int  # of the reflector, by its own count


class StampSender(Train):
    """`wall`: unix seconds at `now`. `synchronised`: our clock is kept by NTP or the like. `same_clock`: the
    reflector is on this machine."""

    kind = "udp"

    def __init__(
        self,
        shape: Shape,
        now: float,
        wall: float,
        *,
        ssid: int,
        synchronised: bool = False,
        same_clock: bool = False,
    ) -> None:
        super().__init__(shape, now)
        self._offset = wall - now
        self._ssid, self._synchronised, self._same_clock = ssid, synchronised, same_clock
        self._comparable = same_clock
        self._stateful = False  # it counts by itself, as far as we know
        self._stamps: dict[int, _Stamps] = {}
        self._copies_there: list[int] = []  # the reflector's numbers of copies, sorted
        self._copies_back = 0

    def request(self, sequence: int, now: float) -> bytes:
        packet = SenderPacket(sequence, now + self._offset, self._synchronised, self._ssid)
        return sender_packet(packet, self.shape.octets)

    def receive(self, data: bytes, now: float, wall: float, ttl: int | None = None) -> None:
        found = read_reflector(data, now + self._offset)
        if found is None or found.ssid not in (self._ssid, 0):
            return
        if self.answered(found.sender_sequence, now, found.stamp - found.received):
            self._learn(found, now)
        elif found.sender_sequence in self._stamps:
            self._learn_copy(found)

    def _learn(self, found: ReflectorPacket, now: float) -> None:
        sent = self.plan[found.sender_sequence].sent
        assert sent is not None
        self._stamps[found.sender_sequence] = _Stamps(
            sent + self._offset, found.received, found.stamp, now + self._offset, found.sequence
        )
        if found.stateful or found.sequence != found.sender_sequence:
            self._stateful = True
        self._comparable = self._same_clock or (self._synchronised and found.synchronised)

    def _learn_copy(self, found: ReflectorPacket) -> None:
        """The reflector gives each copy that it gets a number of its own; one that the way back made has the
        number of its original."""
        if found.sequence == self._stamps[found.sender_sequence].number:
            self._copies_back += 1
        elif len(self._copies_there) < len(self.plan):
            insort(self._copies_there, found.sequence)

    def further(self, figures: ProbeResult) -> ProbeResult:
        stamps = self._stamps
        if self._comparable and stamps:
            figures = replace(
                figures,
                one_way_ms=OneWay(
                    median(one.t2 - one.t1 for one in stamps.values()) * 1000,
                    median(one.t4 - one.t3 for one in stamps.values()) * 1000,
                ),
            )
        numbers = {self._number(sequence) for sequence in stamps}
        sensible = len(numbers) == len(stamps) and max(numbers) < self._next
        if not (self._stateful and sensible):
            return figures
        out, back = self._out(), self._back()
        if out.mos is not None and back.mos is not None:
            # A call suffers in the direction that is worse; the round trip has the loss of both.
            worse = min(out, back, key=lambda one: one.mos or 0.0)
            figures = replace(figures, mos=worse.mos, r_factor=worse.r_factor)
        return replace(figures, out=out, back=back)

    def _number(self, sequence: int) -> int:
        """By the reflector's count, copies left out."""
        number = self._stamps[sequence].number
        return number - bisect_left(self._copies_there, number)

    def _out(self) -> DirectionResult:
        """Until the last packet that the reflector told of: what it got later, nobody says."""
        sent = max(self._stamps) + 1
        arrived = max(self._number(sequence) for sequence in self._stamps) + 1
        gone = self._lost_there(sent, max(0, sent - arrived))
        transit = {sequence: one.t2 - one.t1 for sequence, one in self._stamps.items()}
        least = min(transit.values())
        transits = [
            None if sequence in gone else transit.get(sequence, least) - least for sequence in range(sent)
        ]
        arrivals = sorted(self._stamps, key=self._number)
        return self._direction(
            loss_of(transits),
            sent,
            [transit[sequence] for sequence in arrivals],
            _overtaken(arrivals),
            len(self._copies_there),
        )

    def _lost_there(self, sent: int, lost: int) -> set[int]:
        """Which packets never got there, `lost` in all: between two answers that came, as many as the
        reflector's count lags behind ours."""
        missing = [sequence for sequence in range(sent) if sequence not in self._stamps]
        gone: list[int] = []
        before, counted = -1, -1
        for sequence in sorted(self._stamps):
            number = self._number(sequence)
            lag = (sequence - before) - (number - counted)
            gone += [one for one in missing if before < one < sequence][: max(0, lag)]
            before, counted = sequence, max(number, counted)
        rest = [one for one in missing if one not in gone]
        return set((gone + rest)[:lost])

    def _back(self) -> DirectionResult:
        transit = {self._number(sequence): one.t4 - one.t3 for sequence, one in self._stamps.items()}
        least, sent = min(transit.values()), max(transit) + 1
        arrivals = [self._number(sequence) for sequence in self.order]
        transits = [transit[number] - least if number in transit else None for number in range(sent)]
        return self._direction(
            loss_of(transits),
            sent,
            [transit[number] for number in arrivals],
            _overtaken(arrivals),
            self._copies_back,
        )

    def _direction(
        self, found: Loss, sent: int, transits: list[float], reordered: int, duplicated: int
    ) -> DirectionResult:
        running = jitter(transits)
        e_model = None if self.starved else rated(self.shape.codec, found, self.rtt)
        return DirectionResult(
            sent=sent,
            received=sent - found.lost,
            lost=found.lost,
            loss_pct=100 * found.lost / sent,
            late=found.late,
            duplicated=duplicated,
            reordered=reordered,
            jitter_ms=None if running is None else running * 1000,
            burst_ratio=found.burst_ratio,
            r_factor=None if e_model is None else max(0.0, e_model.model.r),
            mos=None if e_model is None else e_model.mos,
        )

    def silence(self) -> str:
        return (
            "No reflected packet came back: no STAMP reflector listens there, or a firewall drops it. "
            "`callwright reflect` starts one."
        )


def _overtaken(numbers: list[int]) -> int:
    """How many came after a higher one (RFC 4737)."""
    highest, count = -1, 0
    for number in numbers:
        count += number < highest
        highest = max(highest, number)
    return count


@dataclass(slots=True)
class _Session:
    count: int
    last: float
    second: float = 0.0
    in_second: int = 0

    def may(self, now: float) -> bool:
        """Whether one packet more is answered in this second."""
        if now - self.second >= 1.0:
            self.second, self.in_second = now, 0
        self.in_second += 1
        return self.in_second <= MOST_IN_SECOND


@dataclass(frozen=True, slots=True)
class Reflection:
    """A packet to be sent to `remote` (host, port)."""

    data: bytes
    remote: tuple[str, int]


class Reflector:
    """Answers each packet of a session sender, and counts those of each session (stateful, RFC 8762 section
    4.3). `port`: where it listens; a packet from the same port is of another reflector, and the two would
    answer each other for ever. `synchronised`: our clock is kept by NTP or the like."""

    def __init__(self, port: int, *, synchronised: bool = False) -> None:
        self._port = port
        self.answered = 0
        self.ignored = 0
        self._synchronised = synchronised
        self._sessions: OrderedDict[tuple[str, int, int], _Session] = OrderedDict()
        self._waiting: list[tuple[bytes, tuple[str, int], int, float, int]] = []

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    def receive(
        self, data: bytes, source: tuple[str, int], now: float, wall: float, ttl: int | None = None
    ) -> None:
        """`wall`: unix seconds of the arrival; `ttl`: of the packet as it came, None: not known."""
        packet = read_sender(data, wall)
        if packet is None or source[1] == self._port:
            self.ignored += 1
            return
        key = (source[0], source[1], packet.ssid)
        session = self._sessions.get(key)
        if session is None or now - session.last > SESSION_SECONDS:
            session = _Session(0, now)
        self._sessions[key] = session
        self._sessions.move_to_end(key)
        if not session.may(now):
            self.ignored += 1
            return
        if len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        # 255 is the TTL that a sender uses (RFC 8762 section 4.3); an unknown one is told as 0.
        self._waiting.append((data, source, session.count, wall, ttl or 0))
        session.count, session.last = session.count + 1, now
        self.answered += 1

    def transmissions(self, wall: float) -> list[Reflection]:
        """Takes the answers; they carry `wall` as the time at which they leave."""
        waiting, self._waiting = self._waiting, []
        return [
            Reflection(
                reflector_packet(
                    data,
                    sequence=number,
                    stamp=max(received, wall),
                    received=received,
                    synchronised=self._synchronised,
                    ttl=ttl,
                ),
                source,
            )
            for data, source, number, received, ttl in waiting
        ]
