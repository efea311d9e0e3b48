"""The live view of a load on a terminal: rates, failures by class, percentiles, MOS, the worst calls.

It takes the whole screen and gives it back, so that nothing is left of it between the lines of the shell,
whatever the size of the window becomes meanwhile. A terminal that knows no more than lines gets one line now
and then, and a pipe nothing.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from callwright.host.operator import say
from callwright.load.ladders import told_call
from callwright.load.outcome import MOS_EDGES

if TYPE_CHECKING:
    from callwright.load.engine import Controls, LoadProgress

_BLOCKS = " ▁▂▃▄▅▆▇█"
_PLAIN_EVERY = 5.0
"""Seconds between two lines on a terminal without a screen."""
_PERCENTS = (50, 90, 95, 99, 99.9, 100)
_MOST_WORST = 10
_KEYS = "+ - rate  * / double, halve  p {p}  q stop gently  Q, Ctrl-C end all calls"


def sparkline(values: list[float], width: int = 60) -> str:
    """The last values as blocks, scaled to the largest."""
    values = values[-width:] if width > 0 else []
    top = max(values, default=0.0)
    if top <= 0:
        return ""
    return "".join(_BLOCKS[min(8, max(0, round(8 * value / top)))] for value in values)


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1000:.2f}" if value < 10_000 else f"{value / 1000:,.0f}"


def in_foreground(file: Any) -> bool:
    """Whether the file is our terminal, and ours to write to: not that of a job in the background."""
    try:
        return bool(file.isatty()) and os.tcgetpgrp(file.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


class View:
    """Shown on stderr while a load runs."""

    def __init__(self, title: str, enabled: bool) -> None:
        self._title = title
        self._progress: LoadProgress | None = None
        self._seen: object = None
        self._live: Any = None
        self._plain_at: float | None = None
        self._said: list[str] = []
        if not enabled or not in_foreground(sys.stderr):
            return
        if os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
            self._plain_at = 0.0
            return
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True),
            auto_refresh=False,
            screen=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        self._paint()

    def show(self, progress: LoadProgress) -> None:
        self._progress = progress
        if self._live is not None:
            self._paint()
        elif self._plain_at is not None and progress.elapsed >= self._plain_at:
            self._plain_at = progress.elapsed + _PLAIN_EVERY
            total = progress.total
            say(
                f"{progress.elapsed:.0f} s: {progress.seconds[-1].rate:.1f} calls/s, attempted "
                f"{total['attempted']:,}, answered {total['answered']:,}, failed {total.failed:,}"
            )

    def say(self, text: str) -> None:
        """A line that stays: shown meanwhile, and left in the terminal when the screen is given back."""
        if self._live is None:
            say(text)
            return
        from callwright.evidence.shown import shown

        self._said.append(shown(text))  # rich lets escapes through
        self._paint()

    def look(self) -> None:
        """Paints again where the window has another size, or a key was pressed; asked ten times a second."""
        if self._live is not None and self._state() != self._seen:
            self._paint()

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
            for text in self._said:
                say(text)

    def _state(self) -> object:
        controls = self._progress.controls if self._progress is not None else None
        pressed = (controls.paused, controls.stop, controls.factor, controls.rate) if controls else None
        return self._live.console.size, pressed

    def _paint(self) -> None:
        self._seen = self._state()
        size = self._live.console.size
        self._live.update(self.render(self._progress, size.width, size.height), refresh=True)

    def render(self, progress: LoadProgress | None, width: int, height: int) -> Any:
        """What is shown, at most `height` lines; a rich renderable. What matters least is left out first."""
        from rich.console import Group

        sections = [(1, self._head(progress)), *((1, _line(text, "")) for text in self._said[-5:])]
        if progress is not None and progress.seconds:
            sections += _sections(progress, width)
        shown, left = [], height - 1
        for lines, section in sections:
            if lines <= left:
                shown.append(section)
                left -= lines
        if progress is not None and left > 1 and progress.worst:
            shown.append(_worst(progress, min(_MOST_WORST, left - 1)))
        paused = progress is not None and progress.controls.paused
        shown.append(_line(_KEYS.format(p="resume" if paused else "pause"), "dim"))
        return Group(*shown)

    def _head(self, progress: LoadProgress | None) -> Any:
        if progress is None:
            return _line(f"{self._title}   starting", "bold")
        line = _line(f"{progress.elapsed:9.1f} s   ", "")
        line.append(*_doing(progress.controls))
        line.append(f"   {self._title}", style="bold")
        return line


def _doing(controls: Controls) -> tuple[str, str]:
    """What the load does, and the style of it."""
    if controls.stop >= 2:
        return "ending every call", "bold yellow"
    if controls.stop:
        return "stopping: no new calls", "bold yellow"
    return ("paused", "bold yellow") if controls.paused else ("running", "bold green")


def _line(text: str, style: str) -> Any:
    """One line, cut where the window ends."""
    from rich.text import Text

    return Text(text, style=style, no_wrap=True, overflow="ellipsis", end="\n")


def _sections(progress: LoadProgress, width: int) -> list[tuple[int, Any]]:
    """Each with its lines, by importance, though the most important is to be nearest to the top."""
    total, seconds = progress.total, progress.seconds
    last = seconds[-1]
    counts = _line(f"attempted {total['attempted']:,}   answered {total['answered']:,}   ", "")
    counts.append(f"failed {total.failed:,}", style="bold red" if total.failed else "")
    counts.append(f"   canceled {total['canceled']:,}")
    target = "" if progress.controls.paused or progress.controls.stop else f" of {progress.target_rate:,.1f}"
    rate = f"rate {last.rate:,.1f}/s{target}   under way {total['active']:,} (most {total['peak']:,})   "
    rates = _line(rate, "")
    rates.append(sparkline([s.rate for s in seconds], min(60, width - len(rate))), style="cyan")
    found: list[tuple[int, Any]] = [(1, rates), (1, counts)]
    if total.failures:
        classes = "   ".join(f"{name} {count:,}" for name, count in list(total.failures.items())[:8])
        found.append((1, _line(classes, "red")))
    if last.limited:
        found.append((1, _line(f"the generator is the bottleneck: {last.limited}", "bold yellow")))
    times, rows = _times(progress)
    if rows:
        found.append((1 + rows, times))
    mos = total.histogram("mos")
    if mos.total:
        bars = mos.bars([edge * 1000 for edge in MOS_EDGES])
        cells = [f"≥{edge:g} {count:,}" for edge, count in zip(MOS_EDGES, bars, strict=True) if count]
        found.append((1, _line(f"MOS  p5 {(mos.percentile(5) or 0) / 1000:.2f}   {'   '.join(cells)}", "")))
    if total["streams_peak"]:
        told = (
            f"RTP  {last.streams:,} streams   sent {last.rtp_sent:,}/s   received {last.rtp_received:,}/s   "
            f"lost {total['rtp_lost']:,}"
        )
        found.append((1, _line(told, "")))
    return found


def _times(progress: LoadProgress) -> tuple[Any, int]:
    """Response times as percentiles, and how many rows there are."""
    from rich.table import Table

    table = Table("ms", "p50", "p90", "p95", "p99", "p99.9", "max", box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap, column.justify = True, "left" if column is table.columns[0] else "right"
    for name in ("pdd", "setup", "bye", "register"):
        histogram = progress.total.histogram(name)
        if histogram.total:
            table.add_row(name, *(_ms(histogram.percentile(percent)) for percent in _PERCENTS))
    return table, table.row_count


def _worst(progress: LoadProgress, most: int) -> Any:
    """The calls that failed, sounded worst or were slowest."""
    from rich.table import Table

    names = {"at": "at s", "account": "account", "outcome": "outcome", "sip_code": "code", "pdd_ms": "pdd ms"}
    names |= {"setup_ms": "setup ms", "mos": "MOS"}
    table = Table("worst call", *names.values(), box=None, pad_edge=False, style="dim", header_style="dim")
    for column in table.columns:
        column.no_wrap = True
        column.justify = "left" if column.header in ("worst call", "outcome") else "right"
    decimals = {"at": 1, "pdd_ms": 2, "setup_ms": 2, "mos": 2}
    for call in progress.worst[:most]:
        told = told_call(call)
        cells = [(told[key], decimals.get(key)) for key in names]
        shown = ("-" if v is None else str(v) if d is None else f"{v:.{d}f}" for v, d in cells)
        table.add_row(str(told["number"]), *shown)
    return table
