"""How punctual the media thread is on one core while another Python thread spins.

    python benchmarks/pacing.py [--calls 20] [--seconds 10] [--cores 1] [--no-spin] [--no-priority]
                                [--engine pure|native]

Each call is a session that sends 50 packets a second and receives as many. The error of a packet is its
arrival at the other end of the loopback, as the kernel stamps it, minus the time at which it was due: so it
holds all of the thread's lateness, and about 10 µs of the kernel's own.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence

from callwright.net.entropy import system_entropy
from callwright.net.media import MediaEngine
from callwright.net.media_choice import native_engine
from callwright.net.ports import PortPair
from callwright.rtp.session import Prepared, RtpTransmission, Session, SessionConfig
from callwright.sip.transport import Address

PTIME = 0.020


class Silence:
    """A source whose frames cost nothing: the codec is measured elsewhere."""

    def next_frame(self) -> bytes:
        return bytes(160)


class Stream:
    """An RTP session as the phone has it, that also notes how late the packets of the other side were."""

    def __init__(self, start: float, remote: Address) -> None:
        self.start = start
        self.quiet = False
        self.sent = 0
        self.received = 0
        self.errors: list[float] = []
        self.other: Stream | None = None
        self._first: int | None = None
        self._session = Session(
            SessionConfig(
                remote=remote,
                remote_rtcp=(remote.host, remote.port + 1),
                payload_type=0,
                clock_rate=8000,
                samples_per_packet=160,
                ptime_ms=20,
                receive_payload_types={0: ("PCMU", 8000)},
                cname="pacing",
            ),
            system_entropy,
            Silence(),
        )
        self._session.start(start)
        self.receive_rtcp = self._session.receive_rtcp
        self.wake = self._session.wake
        self.withdraw = self._session.withdraw
        self.live = False
        self.outdated = False
        self.events = self._session.events

    def next_wake(self) -> float | None:
        return None if self.quiet else self._session.next_wake()

    def prepare(self, now: float, until: float, most: int) -> list[Prepared]:
        return [] if self.quiet else self._session.prepare(now, until, most)

    def settle(self, left: Sequence[float]) -> None:
        self.sent += len(left)
        self._session.settle(left)

    def transmissions(self) -> list[RtpTransmission]:
        outgoing = self._session.transmissions()
        self.sent += sum(not packet.is_rtcp for packet in outgoing)
        return outgoing

    def receive_batch(self, batch: Iterable[tuple[bytes, tuple[str, int], float]]) -> None:
        batch = list(batch)
        assert self.other is not None
        for data, _, arrival in batch:
            number = int.from_bytes(data[2:4], "big")
            if self._first is None:
                self._first = number
            self.received += 1
            due = self.other.start + (number - self._first) % 65536 * PTIME
            self.errors.append(arrival - due)
        self._session.receive_batch(batch)


def engine_of(name: str) -> type[MediaEngine]:
    """The engine of that name; SystemExit where the native one was not built."""
    found = MediaEngine if name == "pure" else native_engine()
    if found is None:
        raise SystemExit("the native rooms were not built")
    return found


def measure(
    calls: int, seconds: float, *, spin: bool, priority: bool, engine_name: str = "pure"
) -> dict[str, float]:
    """Runs the streams and returns p50_ms, p99_ms, max_ms, sent, lost and cpu_pct of the process."""
    engine = engine_of(engine_name)(raise_priority=priority)
    pairs: list[PortPair] = [engine.open_ports("127.0.0.1") for _ in range(calls + calls % 2)]
    streams = [Stream(engine.start_time() + 0.1, pairs[index ^ 1].local) for index in range(len(pairs))]
    for index, stream in enumerate(streams):
        stream.other = streams[index ^ 1]
    spinning = spin

    def busy() -> None:
        count = 0
        while spinning:
            count += 1

    spinner = threading.Thread(target=busy, daemon=True)
    if spin:
        spinner.start()
    before = time.process_time()
    begun = time.monotonic()
    handles = [engine.start(stream, pair) for stream, pair in zip(streams, pairs, strict=True)]
    time.sleep(seconds + 0.1)

    def hush() -> None:
        for stream in streams:
            stream.quiet = True

    engine.run(hush).result()
    time.sleep(0.05)  # for what is on its way
    for handle in handles:
        handle.stop().result()
    elapsed = time.monotonic() - begun
    cpu = time.process_time() - before
    spinning = False
    if spin:
        spinner.join()
    engine.close()
    sent = sum(stream.sent for stream in streams)
    errors = sorted(error for stream in streams for error in stream.errors)
    return {
        "p50_ms": errors[len(errors) // 2] * 1000,
        "p99_ms": errors[len(errors) * 99 // 100] * 1000,
        "max_ms": errors[-1] * 1000,
        "sent": sent,
        "lost": sent - sum(stream.received for stream in streams),
        "cpu_pct": 100 * cpu / elapsed,
    }


def measure_on_one_core(engine_name: str, seconds: float, spin: bool) -> dict[str, float]:
    """20 calls; for a process of its own, since it is bound to its first core from now on."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    return measure(20, seconds, spin=spin, priority=True, engine_name=engine_name)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--no-spin", action="store_true")
    parser.add_argument("--no-priority", action="store_true")
    parser.add_argument(
        "--engine", choices=["pure", "native"], default="native" if native_engine() else "pure"
    )
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    result = measure(
        options.calls,
        options.seconds,
        spin=not options.no_spin,
        priority=not options.no_priority,
        engine_name=options.engine,
    )
    spun = "while a Python thread spins" if not options.no_spin else "alone"
    print(
        f"{options.engine} engine, {options.calls} calls, {options.cores} core(s), {spun}, "
        f"priority {not options.no_priority}:"
    )
    print(
        f"  send-time error p50 {result['p50_ms']:.3f} ms, p99 {result['p99_ms']:.3f} ms, "
        f"max {result['max_ms']:.3f} ms; {result['sent']:.0f} packets, {result['lost']:.0f} lost, "
        f"CPU {result['cpu_pct']:.1f} %"
    )
    return 0 if result["p99_ms"] < 2.0 else 1


if __name__ == "__main__":
    sys.exit(main())
