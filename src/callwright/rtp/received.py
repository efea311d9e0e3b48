"""What both twins of `IncomingStream` do alike: which payload types may come, and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from callwright.rtp.jitter_buffer import Judges
from callwright.rtp.loss_pattern import Ledger
from callwright.rtp.packet import RtpError, payload_bounds
from callwright.rtp.reception import ArrivalTiming, SequenceCount, SilenceWatch
from callwright.rtp.report import BufferReport, ReceivedReport
from callwright.rtp.series import SecondSeries
from callwright.rtp.telephone_event import EventReceiver
from callwright.rtp.timeline import Timeline

AUDIO, EVENT, NOISE = range(3)
Kind = tuple[int, int, str, int]
"""AUDIO, EVENT or NOISE; clock rate; name; octets of the shortest payload that holds anything."""
_STATIC_NOISE: dict[int, Kind] = {13: (NOISE, 8000, "CN", 0), 19: (NOISE, 8000, "CN", 0)}
_SHORTEST_FRAME = {"pcmu": 40, "pcma": 40, "g722": 40, "l16": 80}
"""Octets of 5 ms, the shortest packet time in use; of other codecs one octet may be a frame."""
_SHORTEST_EVENT = 4  # octets, RFC 4733 section 2.3


def kinds_of(payload_types: Mapping[int, tuple[str, int]], digits: EventReceiver) -> dict[int, Kind]:
    """Number -> `Kind` of payload types as number -> (name, clock rate).

    `digits` is told the clock rate of telephone-events. ValueError for numbers that cannot be.
    """
    kinds: dict[int, Kind] = dict(_STATIC_NOISE)
    for number, (name, clock_rate) in payload_types.items():
        lowered = name.lower()
        kind = EVENT if lowered == "telephone-event" else NOISE if lowered == "cn" else AUDIO
        if clock_rate < 1 or not 0 <= number <= 127:
            raise ValueError(f"payload type {number} with clock rate {clock_rate}")
        least = _SHORTEST_FRAME.get(lowered, 1) if kind == AUDIO else _SHORTEST_EVENT if kind == EVENT else 0
        kinds[number] = (kind, clock_rate, name, least)
        if kind == EVENT:
            digits.set_clock_rate(clock_rate)
    return kinds


def knows(data: bytes, kinds: Mapping[int, Kind]) -> bool:
    """Whether `data` is RTP of a payload type that may come."""
    try:
        payload_bounds(data)
    except RtpError:
        return False
    return data[1] & 0x7F in kinds


class Measured(Protocol):
    """What the report is made of."""

    sequence: SequenceCount
    timing: ArrivalTiming
    silence: SilenceWatch
    timeline: Timeline
    ledger: Ledger
    judges: Judges
    series: SecondSeries
    kinds: dict[int, Kind]
    quiet: bool
    ssrc: int | None
    payload_type: int | None
    audio_packets: int
    octets: int
    unknown_payload: int
    comfort_noise: int
    event_packets: int
    ssrc_changes: int


def received_report(stream: Measured, source: tuple[str, int] | None, now: float) -> ReceivedReport:
    """What was measured of the stream until `now`."""
    sequence, timing, silence = stream.sequence, stream.timing, stream.silence
    patterns = stream.ledger.patterns()
    expected, lost = sequence.expected, sequence.lost
    buffers = tuple(
        BufferReport(
            buffer.name,
            1000.0 * buffer.nominal_delay,
            1000.0 * buffer.max_delay,
            buffer.played,
            buffer.late,
            buffer.overflow,
            lost,
            expected,
            pattern,
        )
        for buffer, pattern in zip(stream.judges.buffers, patterns[1:], strict=True)
    )
    last = silence.last if silence.first is not None else None
    kind = stream.kinds.get(stream.payload_type) if stream.payload_type is not None else None
    jitter = timing.measured
    return ReceivedReport(
        ssrc=stream.ssrc,
        source=source,
        payload_type=stream.payload_type,
        codec=kind[2] if kind else None,
        clock_rate=kind[1] if kind else None,
        packets=sequence.packets,
        octets=stream.octets,
        expected=expected,
        lost=lost,
        late=buffers[0].late,
        discarded=buffers[0].discarded,
        duplicated=sequence.duplicated,
        reordered=sequence.reordered,
        loss_pct=100.0 * lost / expected if expected else 0.0,
        jitter_ms=1000.0 * timing.mean_jitter if jitter else None,
        last_jitter_ms=1000.0 * timing.jitter if jitter else None,
        max_jitter_ms=1000.0 * timing.max_jitter if jitter else None,
        pattern=patterns[0],
        buffers=buffers,
        first_packet=silence.first,
        last_packet=last,
        timeline=stream.timeline.report(now, last, stream.quiet),
        ssrc_changes=stream.ssrc_changes,
        restarts=sequence.restarts,
        timestamp_jumps=timing.jumps,
        comfort_noise=stream.comfort_noise,
        telephone_event_packets=stream.event_packets,
        unknown_payload=stream.unknown_payload,
        audio_packets=stream.audio_packets,
        series=stream.series.received(),
    )
