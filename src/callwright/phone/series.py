"""The figures of a call second by second, both directions on the call's own time axis."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.outcome.call import Second, SecondOfStream
from callwright.quality.score import REFERENCE_BUFFER_MS, score
from callwright.rtp.report import MediaReport
from callwright.rtp.report import StreamSecond as Row


def seconds(
    report: MediaReport | None, codec: str | None, ptime: float, started: float, levels: dict[int, float]
) -> tuple[Second, ...]:
    """The series of both directions, on the call's own time axis."""
    if report is None or report.started is None:
        return ()
    offset = max(0.0, report.started - started)
    received = {row.second: row for row in report.received.series}
    sent = {row.second: row for row in report.sent.series}
    return tuple(
        Second(
            at=offset + second,
            sent=_of_second(report, sent.get(second), None, ptime, None),
            received=_of_second(
                report,
                received.get(second),
                (report.received.codec or codec) if report.received.audio_packets else None,
                ptime,
                levels.get(second),
            ),
        )
        for second in sorted(received.keys() | sent.keys())
    )


def last_second(report: MediaReport, codec: str, ptime: float, started: float) -> Second | None:
    """The last whole second of a stream that flows, for whoever watches; None: there is none yet."""
    if report.started is None:
        return None
    second = int(report.at - report.started) - 1
    if second < 0:
        return None
    received, sent = _row(report.received.series, second), _row(report.sent.series, second)
    return Second(
        at=max(0.0, report.started - started) + second,
        sent=_of_second(report, sent, None, ptime, None),
        received=_of_second(report, received, report.received.codec or codec, ptime, None),
    )


def _row(series: Sequence[Row], second: int) -> Row | None:
    """Rows are in order, and some may be missing."""
    return next((row for row in reversed(series[: second + 1]) if row.second == second), None)


def _of_second(
    report: MediaReport, row: Row | None, codec: str | None, ptime: float, level: float | None
) -> SecondOfStream:
    if row is None:
        return SecondOfStream()
    mos = None
    expected = row.packets + (row.lost or 0)
    if codec and row.packets and expected:
        ppl = 100.0 * ((row.lost or 0) + (row.discarded or 0)) / expected
        found = score(
            codec, ppl=ppl, burst_r=1.0, delay_ms=REFERENCE_BUFFER_MS, rtt_ms=report.rtt_ms, ptime=ptime
        )
        mos = found.mos if found else None
    return SecondOfStream(
        packets=row.packets,
        lost=row.lost,
        discarded=row.discarded,
        jitter_ms=row.jitter_ms,
        mos=mos,
        level_dbfs=level,
    )
