"""What a relay measures of the audio that comes from one side of a call, as it passes.

The figures are those at the relay: what the way from there to the listener loses is not among them. A stream
under SRTP is measured too, since its header is in the clear.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from callwright.outcome.terms import EndedBy
from callwright.pbx.record import StreamQuality
from callwright.phone.coming import coming_of
from callwright.phone.measure import score_of
from callwright.rtp.rtcp import Bye, ReceiverReport, RtcpError, SenderReport, middle_32, parse_compound
from callwright.rtp.streams import IncomingStream
from callwright.sdp.formats import AudioFormat

__all__ = ["RoundTrip", "StreamMeasure"]

_MOST_REPORTS = 8  # sender reports that an answer may still name
_LONGEST_ROUND_TRIP = 10.0  # seconds


class StreamMeasure:
    """One stream. `receive` is called on the forwarder's thread, all else on another: hence the lock.

    `ptime`: ms of a packet, as its sender describes it.
    """

    def __init__(self) -> None:
        self.ptime = 20.0
        self._stream = IncomingStream(tap=False)
        self._lock = threading.Lock()
        self._goodbye: float | None = None
        self._named: dict[int, str] = {}

    def may_come(self, formats: Mapping[int, AudioFormat]) -> None:
        """By payload type, from now on."""
        with self._lock:
            self._named = {number: str(one) for number, one in formats.items()}
            self._stream.set_formats({number: (one.name, one.clock_rate) for number, one in formats.items()})

    def receive(self, data: bytes, now: float) -> None:
        """One packet of that side. Work and memory are bounded, whatever is in it."""
        stream = self._stream
        with self._lock:
            stream.receive(data, now)
            if stream.started:
                stream.started.clear()
            if stream.new_digits:
                stream.new_digits.clear()

    def receive_batch(self, batch: Sequence[tuple[bytes, Any, float]]) -> None:
        """As `receive`, of packets in order."""
        stream, index, source = self._stream, 0, batch[0][1]
        with self._lock:
            while index < len(batch):
                after = stream.receive_run(batch, index, source)
                if after == index:  # a payload type that RTCP has beside RTP
                    stream.receive(batch[index][0], batch[index][2])
                    after += 1
                index = after
                stream.started.clear()
                stream.new_digits.clear()

    def goodbye(self, now: float) -> None:
        """The side said BYE by RTCP."""
        self._goodbye = now

    def expect(self, now: float) -> None:
        """Audio is due from now on."""
        with self._lock:
            self._stream.expect(now)

    def excuse(self, now: float) -> None:
        """Audio is no longer due: the call is on hold."""
        with self._lock:
            self._stream.excuse(now)

    def quality(self, now: float, *, hung_up: bool, rtt_ms: float | None) -> StreamQuality | None:
        """Of the whole stream; None where nothing came and nothing was due. `hung_up`: this side ended the
        call, so that the silence before its BYE is no loss."""
        with self._lock:
            received = self._stream.report(None, now)
        ended_by = EndedBy.REMOTE if hung_up else EndedBy.LOCAL
        came = coming_of(received, self._goodbye, ended_by, self.ptime)
        if not received.expected and came is None:
            return None
        missing = came.missing if came is not None else 0
        due = received.expected + missing
        found = None
        if received.codec is not None and received.audio_packets:
            found = score_of(received.buffers[0], received.codec, rtt_ms, self.ptime, came)
        return StreamQuality(
            codec=self._named.get(received.payload_type) if received.payload_type is not None else None,
            packets=received.packets,
            loss_pct=100.0 * (received.lost + missing) / due if due else None,
            jitter_ms=received.jitter_ms,
            r_factor=found.model.r if found is not None else None,
            mos=found.mos if found is not None else None,
        )


class RoundTrip:
    """The time from the relay to each side and back, from the RTCP that passes (RFC 3550 section 6.4.1).

    A sender report that goes on to a side comes back in a report block of that side, which says how long it
    kept it. What is encrypted names no report that we know of.
    """

    def __init__(self) -> None:
        self._passed: tuple[dict[int, float], dict[int, float]] = ({}, {})
        self._seconds: tuple[list[float], list[float]] = ([0.0, 0], [0.0, 0])

    def receive(self, side: int, data: bytes, now: float) -> bool:
        """RTCP that came from `side`. Whether it was a goodbye."""
        try:
            packets = parse_compound(data)
        except RtcpError:
            return False
        for packet in packets:
            if isinstance(packet, SenderReport):
                sent = self._passed[side]
                sent[middle_32(packet.ntp)] = now
                if len(sent) > _MOST_REPORTS:
                    del sent[next(iter(sent))]
            if isinstance(packet, SenderReport | ReceiverReport):
                for block in packet.blocks:
                    at = self._passed[1 - side].get(block.last_report) if block.last_report else None
                    seconds = -1.0 if at is None else now - at - block.delay / 65536.0
                    if 0.0 <= seconds <= _LONGEST_ROUND_TRIP:
                        total = self._seconds[side]
                        total[0] += seconds
                        total[1] += 1
        return any(isinstance(packet, Bye) for packet in packets)

    @property
    def ms(self) -> float | None:
        """From side to side and back: the mean of each way from here, as far as it is known."""
        known = [total / count for total, count in self._seconds if count]
        return 1000.0 * sum(known) if known else None
