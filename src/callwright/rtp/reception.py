"""What arrives, counted: sequence numbers (RFC 3550 A.1, A.3) and interarrival jitter (A.8)."""

from __future__ import annotations

from math import inf

from callwright.rtp.loss_pattern import RECEIVED, Ledger

# RFC 3550 A.1 takes 3000 and 100 at 50 packets a second. We hold further back, since a packet ten seconds
# late is to be told from a lost one, and we let an outage of any length be a loss rather than a restart.
MAX_DROPOUT = 3000
MAX_MISORDER = 500
PACKETS_PER_SECOND = 100.0  # at the shortest ptime
MAX_JUMP = 32000
MAX_EARLIER = 16  # the first packets of a stream may be reordered among themselves

# Below any number: those before the first packet may be negative.
DUPLICATE = -0x100001
HELD = -0x100002  # an implausible number: wait for the next one
RESTARTED = -0x100003  # the next one came in sequence: feed the held packet again, then this one

# A timestamp further than this from the arrival is a new time line, not a delay.
DISCONTINUITY = 5.0


class SequenceCount:
    """Extended sequence numbers of one stream: expected, lost, duplicated, reordered.

    A stream may restart at another number, and a new SSRC may follow it: both `begin` anew, and the counts
    add up.
    """

    __slots__ = (
        "_awaited",
        "_base",
        "_earlier_expected",
        "_started",
        "_unique",
        "duplicated",
        "highest",
        "ledger",
        "packets",
        "reordered",
        "restarts",
        "stale",
        "step",
    )

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.highest = -1  # extended sequence number
        self.packets = 0
        self.duplicated = 0
        self.reordered = 0
        self.restarts = 0
        self.stale = 0  # held packets that nothing followed
        self.step = 0  # of the packet before: how far it moved `highest`; 0 when it came out of order
        self._awaited = -1
        self._base = 0
        self._started = False
        self._unique = 0
        self._earlier_expected = 0

    def begin(self) -> None:
        """The next packet is the first of a new run of numbers."""
        if self._started:
            self._earlier_expected += self.highest - self._base + 1
        self._started = False
        self._awaited = -1

    def receive(self, sequence: int, elapsed: float) -> int:
        """The extended number of a packet that is new, else DUPLICATE, HELD or RESTARTED.

        `elapsed` is seconds since the packet before; it makes a long outage plausible. A number below
        `highest` before the call came out of order.
        """
        if not self._started:
            self._started = True
            self._base = self.highest = sequence
            self.ledger.begin(sequence)
            self.ledger.open_to(sequence, MAX_MISORDER)
            self.ledger.mark(sequence, RECEIVED)
            self.packets += 1
            self._unique += 1
            self.step = 1
            return sequence
        highest = self.highest
        ahead = (sequence - highest) & 0xFFFF
        if ahead == 1 or 0 < ahead < MAX_DROPOUT or self._plausible(ahead, elapsed):
            number = self.highest = highest + ahead
            self.step = ahead
            self.ledger.open_to(number, MAX_MISORDER)
        elif ahead == 0 or ahead >= 0x10000 - MAX_MISORDER:
            number = highest - ((0x10000 - ahead) & 0xFFFF)
            if number < self._base:  # before what we took for the first: it widens the run
                if self._earlier(number):
                    self.step = 0
                    self.packets += 1
                    self._unique += 1
                    self.reordered += 1
                    return number
                self.packets += 1
                self.stale += 1
                return DUPLICATE
            if self.ledger.seen(number):
                self.packets += 1
                self.duplicated += 1
                return DUPLICATE
            self.reordered += 1
            self.step = 0
        elif sequence == self._awaited:
            self.begin()
            self.restarts += 1
            self.packets -= 1  # the held packet comes again
            self.stale -= 1
            return RESTARTED
        else:
            self._awaited = (sequence + 1) & 0xFFFF
            self.packets += 1
            self.stale += 1
            return HELD
        self.packets += 1
        self._unique += 1
        self.ledger.mark(number, RECEIVED)
        self._awaited = -1
        return number

    def _plausible(self, ahead: int, elapsed: float) -> bool:
        return (
            MAX_DROPOUT <= ahead < min(MAX_JUMP, MAX_DROPOUT + PACKETS_PER_SECOND * elapsed) and elapsed > 1.0
        )

    def _earlier(self, number: int) -> bool:
        """Whether a number before the first one can still be let in."""
        if self._base - number > MAX_EARLIER or not self.ledger.widen(number):
            return False
        self._base = number
        self.ledger.mark(number, RECEIVED)
        return True

    @property
    def fresh(self) -> bool:
        """The next packet is the first of a run of numbers."""
        return not self._started

    @property
    def expected(self) -> int:
        current = self.highest - self._base + 1 if self._started else 0
        return self._earlier_expected + current

    @property
    def unique(self) -> int:
        return self._unique

    @property
    def lost(self) -> int:
        return self.expected - self._unique


class ArrivalTiming:
    """Media time and jitter out of timestamps and arrivals of audio packets.

    Media time is seconds since the first packet by the sender's clock. Where the time line breaks (restart,
    new SSRC, another clock rate, a leap of the timestamp) it goes on by the time of arrival, and the break is
    no jitter.
    """

    __slots__ = (
        "_broken",
        "_timestamp",
        "arrival",
        "jitter",
        "jumps",
        "max_jitter",
        "mean_jitter",
        "measured",
        "media_time",
        "rate",
    )

    def __init__(self) -> None:
        self.arrival = 0.0
        self.media_time = 0.0
        self.jitter = 0.0  # seconds, running (RFC 3550 A.8)
        self.mean_jitter = 0.0  # mean of the running jitter over packets
        self.max_jitter = 0.0
        self.measured = False  # two packets of one time line came
        self.jumps = 0
        self._broken = True
        self._timestamp = 0
        self.rate = 0

    def discontinue(self, *, forget_jitter: bool = False) -> None:
        """The next packet begins a new time line. A new source begins with no jitter (RFC 3550 6.4.1)."""
        self._broken = True
        if forget_jitter:
            self.jitter = 0.0

    def skew(self, timestamp: int, arrival: float, rate: int) -> float | None:
        """Seconds by which the clock went further than the timestamps since the audio packet before; None
        where no time line goes on."""
        if self._broken or rate != self.rate:
            return None
        step = (((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000) / rate
        return arrival - self.arrival - step

    def receive(self, timestamp: int, arrival: float, rate: int, marker: bool, earlier: int) -> float:
        """The media time of an audio packet, a duplicate too.

        Every packet moves the running jitter, in order of arrival (RFC 3550 6.4.1). Those without marker
        enter mean and maximum, as in Wireshark's RTP analysis; `earlier`, packets of the stream before this
        one, is the weight there of the mean so far.
        """
        if self._broken or rate != self.rate:
            first = self.rate == 0
            media_time = 0.0 if first else self.media_time + (arrival - self.arrival)
            self._broken = False
            self.rate = rate
        else:
            # Shortest way round the 32 bits, so wrap-around and reordering come out right.
            step = (((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000) / rate
            difference = arrival - self.arrival - step
            if -DISCONTINUITY < difference < DISCONTINUITY:
                media_time = self.media_time + step
                jitter = self.jitter = self.jitter + (abs(difference) - self.jitter) / 16.0
                self.measured = True
                if not marker:
                    self.mean_jitter += (jitter - self.mean_jitter) / (earlier or 1)
                    if jitter > self.max_jitter:
                        self.max_jitter = jitter
            else:
                self.jumps += 1
                media_time = self.media_time + (arrival - self.arrival)
        self._timestamp = timestamp
        self.arrival = arrival
        self.media_time = media_time
        return media_time


class SilenceWatch:
    """When packets of the far end came."""

    __slots__ = ("first", "last")

    def __init__(self) -> None:
        self.first: float | None = None
        self.last = 0.0

    def receive(self, arrival: float) -> float:
        """Seconds since the packet before; infinite for the first."""
        if self.first is None:
            self.first = self.last = arrival
            return inf
        elapsed = arrival - self.last
        if elapsed > 0.0:
            self.last = arrival
        return elapsed

    def forget(self, elapsed: float) -> None:
        """The packet that came last is none of the stream; `elapsed` is what was said of it."""
        if 0.0 < elapsed < inf:
            self.last -= elapsed
