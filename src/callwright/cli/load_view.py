"""The live view of a load on a terminal: rates, failures by class, percentiles, MOS, the worst calls."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from callwright.load.outcome import MOS_EDGES, worst_call

if TYPE_CHECKING:
    from callwright.load.engine import Progress

_BLOCKS = " ▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int = 60) -> str:
    """The last values as blocks, scaled to the largest."""
    values = values[-width:]
    top = max(values, default=0.0)
    if top <= 0:
        return ""
    return "".join(_BLOCKS[min(8, max(0, round(8 * value / top)))] for value in values)


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1000:.2f}" if value < 10_000 else f"{value / 1000:.0f}"


class View:
    """Shown on stderr while a load runs; nothing in a pipe."""

    def __init__(self, title: str, enabled: bool) -> None:
        self._title = title
        self._live: Any = None
        if enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
            self._live.start()

    def show(self, progress: Progress) -> None:
        if self._live is not None:
            self._live.update(self.render(progress))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def render(self, progress: Progress) -> Any:
        """What is shown; a rich renderable."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        total, seconds = progress.total, progress.seconds
        last = seconds[-1]
        state = "paused" if progress.controls.paused else "stopping" if progress.controls.stop else "running"
        head = Text.assemble(
            (self._title, "bold"),
            f"   {progress.elapsed:7.1f} s   {state}",
            no_wrap=True,
            overflow="ellipsis",
        )
        rates = Text(
            f"rate {last.rate:9.1f}/s of {progress.target_rate:.1f}   under way {total['active']:,} "
            f"(most {total['peak']:,})   attempted {total['attempted']:,}   answered {total['answered']:,}   "
        )
        rates.append(f"failed {total.failed:,}", style="red" if total.failed else "")
        rates.append(f"   canceled {total['canceled']:,}")
        parts: list[Any] = [head, rates, Text(sparkline([s.rate for s in seconds]), style="cyan")]
        if total.failures:
            classes = "   ".join(f"{name} {count:,}" for name, count in list(total.failures.items())[:8])
            parts.append(Text(classes, style="red"))
        times = Table("ms", "p50", "p90", "p95", "p99", "p99.9", "max", box=None, pad_edge=False)
        for column in times.columns[1:]:
            column.justify = "right"
        for name in ("pdd", "setup", "bye", "register"):
            histogram = total.histogram(name)
            if histogram.total:
                percents = (50, 90, 95, 99, 99.9, 100)
                times.add_row(name, *(_ms(histogram.percentile(percent)) for percent in percents))
        if times.row_count:
            parts.append(times)
        mos = total.histogram("mos")
        if mos.total:
            bars = mos.bars([edge * 1000 for edge in MOS_EDGES])
            cells = "   ".join(f"≥{edge:g} {count:,}" for edge, count in zip(MOS_EDGES, bars, strict=True))
            parts.append(Text(f"MOS  {cells}   p5 {(mos.percentile(5) or 0) / 1000:.2f}"))
        if total["streams"]:
            parts.append(
                Text(
                    f"RTP  {last.streams:,} streams   sent {last.rtp_sent:,}/s   "
                    f"received {last.rtp_received:,}/s   lost {total['rtp_lost']:,}"
                )
            )
        for call in progress.worst[:5]:
            told = worst_call(call)
            words = ", ".join(f"{k} {v}" for k, v in told.items() if v is not None and k != "number")
            parts.append(Text(f"call {told['number']}: {words}", style="dim"))
        if last.limited:
            parts.append(Text(f"the generator is the bottleneck: {last.limited}", style="bold yellow"))
        parts.append(Text("+ - rate   * / double, halve   p pause   q stop gently   Q at once", style="dim"))
        return Group(*parts)
