"""Two sessions over a seeded wire in virtual time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from callwright.rtp.session import FrameSource, RtpTransmission, Session, SessionConfig

A = ("192.0.2.1", 4000)
B = ("192.0.2.2", 5000)
FORMATS = {0: ("PCMU", 8000), 8: ("PCMA", 8000), 101: ("telephone-event", 8000), 13: ("CN", 8000)}


def entropy(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def config(remote: tuple[str, int] = B, **changes: Any) -> SessionConfig:
    plain = SessionConfig(
        remote=remote,
        remote_rtcp=(remote[0], remote[1] + 1),
        payload_type=0,
        clock_rate=8000,
        samples_per_packet=160,
        ptime_ms=20,
        receive_payload_types=FORMATS,
        cname="tester@192.0.2.1",
        wall_offset=1_700_000_000.0,
        telephone_event=101,
    )
    return replace(plain, **changes)


class Counting:
    """A source whose frames carry their own number."""

    def __init__(self, frames: int | None = None) -> None:
        self.count = 0
        self.frames = frames

    def next_frame(self) -> bytes | None:
        if self.frames is not None and self.count >= self.frames:
            return None
        self.count += 1
        return self.count.to_bytes(4, "big") * 40


class Blocks(Counting):
    """A source that gives as many frames as are wanted at once."""

    def next_frames(self, count: int) -> list[bytes | None]:
        return [self.next_frame() for _ in range(count)]


@dataclass
class Wire:
    """What one direction does to packets; `drop` is asked first."""

    seed: int = 1
    loss: float = 0.0
    delay: float = 0.01
    jitter: float = 0.0
    duplicate: float = 0.0
    drop: Callable[[RtpTransmission], bool] | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.dropped = 0
        self.duplicated = 0
        self.carried = 0

    def arrivals(self, now: float, transmission: RtpTransmission) -> list[float]:
        if self.drop is not None and self.drop(transmission):
            self.dropped += not transmission.is_rtcp
            return []
        if transmission.is_rtcp:
            return [now + self.delay]
        self.carried += 1
        if self.random.random() < self.loss:
            self.dropped += 1
            return []
        arrival = now + self.delay + self.random.random() * self.jitter
        if self.random.random() < self.duplicate:
            self.duplicated += 1
            return [arrival, arrival + 0.001]
        return [arrival]


class Pair:
    """`a` at A and `b` at B; `run` lets virtual time pass."""

    def __init__(
        self,
        to_b: Wire | None = None,
        to_a: Wire | None = None,
        *,
        a: SessionConfig | None = None,
        b: SessionConfig | None = None,
        a_source: FrameSource | None = None,
        b_source: FrameSource | None = None,
        start: float = 100.0,
    ) -> None:
        self.now = start
        self.to_b, self.to_a = to_b or Wire(), to_a or Wire(seed=2)
        self.a = Session(a or config(B), entropy(11), a_source or Counting())
        self.b = Session(b or config(A), entropy(22), b_source or Counting())
        self._flying: list[tuple[float, int, bytes, tuple[str, int], bool, bool]] = []
        self._order = 0
        self.a.start(start)
        self.b.start(start)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        self._drain()
        while True:
            times = [t for t in (self.a.next_wake(), self.b.next_wake()) if t is not None]
            if self._flying:
                times.append(self._flying[0][0])
            if not times or min(times) > end:
                break
            self.now = max(self.now, min(times))
            while self._flying and self._flying[0][0] <= self.now:
                arrival, _, data, source, is_rtcp, for_b = heapq.heappop(self._flying)
                session = self.b if for_b else self.a
                if is_rtcp:
                    session.receive_rtcp(data, source, arrival)
                else:
                    session.receive_batch([(data, source, arrival)])
            self.a.wake(self.now)
            self.b.wake(self.now)
            self._drain()
        self.now = end

    def _drain(self) -> None:
        for session, wire, home, for_b in ((self.a, self.to_b, A, True), (self.b, self.to_a, B, False)):
            for transmission in session.transmissions():
                source = (home[0], home[1] + 1) if transmission.is_rtcp else home
                for arrival in wire.arrivals(self.now, transmission):
                    self._order += 1
                    item = (arrival, self._order, transmission.data, source, transmission.is_rtcp, for_b)
                    heapq.heappush(self._flying, item)

    def close(self) -> None:
        """Both stop sending, what flies lands, and both end."""
        self.a.set_direction(self.now, sending=False, receiving=True)
        self.b.set_direction(self.now, sending=False, receiving=True)
        self.run(0.5)
        self.a.close(self.now)
        self.b.close(self.now)
        self.run(1.0)
