"""`callwright fleet`: the servers that runs and probes are placed on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callwright.cli import fleet_pools
from callwright.cli.console import JsonFlag, VerboseFlag, print_json, show
from callwright.host.operator import EXIT_PASSED, EXIT_PLATFORM, Refused, say

if TYPE_CHECKING:
    from callwright.fleet.simulation import Day, PoolResult, Result

app = typer.Typer(rich_markup_mode="rich", add_completion=False, no_args_is_help=True)

_EXAMPLES = """
[bold]Examples[/bold]

  callwright fleet list

  callwright fleet pool eu --provider process --minimum 1 --maximum 6 --capacity 16 --buffer 10

  callwright fleet show eu

  callwright fleet pause

  callwright fleet simulate day.yaml

  callwright fleet simulate arrivals.csv --pools day.yaml --svg day.svg
"""
_MOST_BYTES = 200_000_000
_SHOWN_DECISIONS = 12
_SHARES = (0.5, 0.9, 0.95, 0.99, 1.0)
_SHOWN_SHARES = (0.5, 0.95, 0.99, 1.0)


@app.callback(epilog=_EXAMPLES)
def fleet() -> None:
    """Servers in pools: what there is and why, and what the planner would do with a day of load."""


app.command("list")(fleet_pools.list_)
app.command("show")(fleet_pools.show_)
app.command("pool")(fleet_pools.pool)
app.command("pause")(fleet_pools.pause)
app.command("resume")(fleet_pools.resume)


@app.command()
def simulate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A day of load: YAML with pools and arrivals, or a CSV.")
    ],
    pools: Annotated[
        Path | None,
        typer.Option("--pools", metavar="FILE", help="YAML with the pools, for a CSV of arrivals."),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Draw the day as an SVG picture.")
    ] = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Replay a day of load against the platform's planner: servers, waiting time and cost.

    FILE says when calls arrive, how long they last and how the pools are set. No server is made.
    """
    from callwright.fleet.simulation import simulate as replay

    day = _day(file, pools)
    with _progress(enabled=not as_json) as told:
        result = replay(day, progress=told)
    if svg is not None:
        from callwright.evidence.day_chart import day_svg

        try:
            svg.write_text(day_svg(result), encoding="utf-8")
        except OSError as error:
            raise Refused(f"Cannot write {svg}: {error.strerror}.", code=EXIT_PLATFORM) from None
    if as_json:
        print_json(_plain(result))
    else:
        _print(result, day)
        if svg is not None:
            say(f"The day is drawn in {svg}.")
    return EXIT_PASSED


def _day(file: Path, pools: Path | None) -> Day:
    from callwright.fleet.day import DayError, read_csv, read_yaml

    try:
        base = read_yaml(_read(pools)) if pools is not None else None
    except DayError as error:
        raise Refused(f"{pools}: {error}") from None
    try:
        if file.suffix.lower() == ".csv":
            return read_csv(_read(file), base)
        if base is not None:
            raise Refused("--pools goes with a CSV of arrivals.", "A YAML file holds its pools itself.")
        return read_yaml(_read(file))
    except DayError as error:
        raise Refused(f"{file}: {error}") from None


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise Refused(f"{path} is larger than {_MOST_BYTES // 1_000_000} MB.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Refused(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8 text.") from None


class _progress:  # noqa: N801 - a context manager in the place of a function
    """A bar on a terminal, nothing in a pipe."""

    def __init__(self, *, enabled: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), transient=True, disable=not enabled)
        self._task = self._bar.add_task("Simulating", total=1.0)

    def __enter__(self) -> Any:
        self._bar.start()
        return lambda share: self._bar.update(self._task, completed=share)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _plain(result: Result) -> dict[str, Any]:
    from callwright.fleet.words import sentence

    def pool(one: PoolResult) -> dict[str, Any]:
        return {
            "name": one.name,
            "calls": one.calls,
            "placed": one.placed,
            "unplaced": one.unplaced,
            "created": one.created,
            "retired": one.retired,
            "most_servers": one.most_servers,
            "server_hours": round(one.server_seconds / 3600, 3),
            "cost": None if one.cost is None else round(one.cost, 4),
            "waits_s": {f"p{100 * share:g}": one.wait(share) for share in _SHARES},
            "servers": one.servers,
            "waiting": one.waiting,
            "decisions": [
                {"at": at, "sentence": sentence(decision), "cause": decision.cause, "bound": decision.bound}
                for at, decision in one.decisions
            ],
        }

    return {
        "seconds": result.seconds,
        "cost": None if result.cost is None else round(result.cost, 4),
        "waits_s": {f"p{100 * share:g}": result.wait(share) for share in _SHARES},
        "pools": [pool(one) for one in result.pools],
    }


def _print(result: Result, day: Day) -> None:
    from rich.console import Console
    from rich.table import Table

    from callwright.cli.load_view import sparkline
    from callwright.fleet.words import counted, sentence

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Pool", "Calls", "Most servers", "Hours", "Cost", "Wait p50", "p95", "p99", "max"):
        table.add_column(name, justify="left" if name == "Pool" else "right", no_wrap=True)
    for one in result.pools:
        waits = [one.wait(share) for share in _SHOWN_SHARES]
        table.add_row(
            one.name,
            f"{one.calls:,}",
            f"{one.most_servers:,}",
            f"{one.server_seconds / 3600:,.1f}",
            "-" if one.cost is None else f"{one.cost:,.2f}",
            *("-" if wait is None else f"{wait:g} s" for wait in waits),
        )
    Console().print(table)
    minutes = max((len(one.servers) for one in result.pools), default=0)
    for title, columns in (
        ("Servers", [one.servers for one in result.pools]),
        ("Waiting", [one.waiting for one in result.pools]),
    ):
        width = 72
        line = [
            float(max((sum(c[n] for c in columns if n < len(c)) for n in part), default=0))
            for part in _parts(minutes, width)
        ]
        show(f"{title:<8} {sparkline(line, width) or 'none'}  at most {max(line, default=0):,.0f}")
    left = sum(one.unplaced for one in result.pools)
    if left:
        show(f"{counted(left, 'call')} found no place before the day ended.")
    told = sorted(
        ((at, one.name, sentence(decision)) for one in result.pools for at, decision in one.decisions),
        key=lambda entry: entry[0],
    )
    for at, name, words in told[:_SHOWN_DECISIONS]:
        hours, rest = divmod(int(at), 3600)
        show(f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}  {name}: {words}")
    if len(told) > _SHOWN_DECISIONS:
        show(f"… and {counted(len(told) - _SHOWN_DECISIONS, 'decision')} more; --json lists them.")


def _parts(count: int, width: int) -> list[range]:
    """``count`` numbers in at most ``width`` neighbouring parts."""
    parts = min(count, width)
    return [range(n * count // parts, (n + 1) * count // parts) for n in range(parts)]
