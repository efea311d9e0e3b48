"""The report on a terminal: the verdict in a sentence, a table of both directions, and the ladder in text.

`render_text` gives plain text for a pipe; `print_report` draws it with Rich where there is a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from callwright.evidence.figures import UNKNOWN, milliseconds, number, percent
from callwright.evidence.innocence import suspects
from callwright.evidence.ladder import GapRow, Ladder, MessageRow, StreamRow
from callwright.evidence.naming import (
    SILENCE,
    came_short,
    has_media,
    heard_silence,
    media_notes,
    named_calls,
    with_quality,
)
from callwright.evidence.redaction import Redactor
from callwright.evidence.shown import one_line, shown
from callwright.outcome.call import CallOutcome, StreamOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Verdict
from callwright.quality.bands import band

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_SIGNS = {
    Verdict.PASSED: ("✔", "Passed.", "bold green"),
    Verdict.FAILED: ("✘", "Failed.", "bold red"),
    Verdict.INVALID: ("?", "Invalid.", "bold yellow"),
    Verdict.ERROR: ("▲", "Error.", "bold magenta"),
    Verdict.CANCELED: ("–", "Canceled.", "bold yellow"),
}
MOST_ROWS = 60
"""Ladder rows on a terminal; the page has more."""
_TIME = 8
_BAND_STYLES = {"Excellent": "green", "Good": "green", "Fair": "yellow", "Poor": "red", "Bad": "bold red"}

Segment = tuple[str, str]
"""Text and its style."""
Line = list[Segment]


def render_text(
    outcome: RunOutcome,
    ladder: Ladder | None = None,
    *,
    width: int = 100,
    report: Path | None = None,
    redactor: Redactor | None = None,
) -> str:
    """The same report without colour, lines at most `width` wide where names allow."""
    from rich.console import Console

    console = Console(
        width=width, no_color=True, force_terminal=False, color_system=None, highlight=False, markup=False
    )
    with console.capture() as capture:
        print_report(console, outcome, ladder, report=report, redactor=redactor)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def print_report(
    console: Console,
    outcome: RunOutcome,
    ladder: Ladder | None = None,
    *,
    report: Path | None = None,
    redactor: Redactor | None = None,
) -> None:
    """Print the report; `report` is the path of the page, said last."""
    redactor = redactor if redactor is not None else Redactor()
    outcome = RunOutcome.from_json(redactor.document(outcome.to_json()))
    for part in _parts(outcome, ladder, console.width):
        console.print(part)
    if report is not None:
        console.print(_text([("  Report  ", "dim"), (str(report), "underline")]), soft_wrap=True)


def _parts(outcome: RunOutcome, ladder: Ladder | None, width: int) -> Iterator[RenderableType]:
    yield _verdict(outcome)
    if outcome.blame is not None:
        yield _blame(outcome)
    if outcome.checks:
        yield _checks(outcome)
    if outcome.conditions:
        yield _conditions(outcome)
    if outcome.loads:
        yield _loads(outcome)
    if any(map(has_media, outcome.calls)):
        yield _streams(outcome, width)
    else:
        yield ""
    if ladder is not None and ladder.rows:
        for line in ladder_lines(with_quality(ladder, outcome), width):
            yield _text(line)
        yield ""
    for warning in outcome.warnings:
        yield _text([("  ! ", "yellow"), (shown(warning), "")])


def _text(line: Sequence[Segment]) -> RenderableType:
    from rich.text import Text

    text = Text(overflow="fold")
    for content, style in line:
        text.append(content, style)
    return text


def _verdict(outcome: RunOutcome) -> RenderableType:
    from rich.padding import Padding

    sign, word, style = _SIGNS[outcome.verdict]
    sentence = _text([(f"{sign} {word} ", style), (one_line(outcome.reason, 600), "bold")])
    return Padding(sentence, (1, 2, 0, 2))


def _blame(outcome: RunOutcome) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2), pad_edge=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for suspect in suspects(outcome):
        style = "red" if suspect.guilty else "dim"
        mark = {"at fault": "✘", "cleared": "✓"}.get(suspect.word, "·")
        table.add_row(
            _text([(f"{mark} {suspect.name}", style)]),
            _text([(suspect.word, style)]),
            _text([(one_line(suspect.fact), "" if suspect.guilty else "dim")]),
        )
    return table


def _conditions(outcome: RunOutcome) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="dim", pad_edge=True)
    table.add_column("")
    for title in ("Condition", "Expected", "Seen"):
        table.add_column(title, overflow="fold")
    silent = {call.id for call in outcome.calls if heard_silence(call)}
    for condition in sorted(outcome.conditions, key=lambda c: c.passed):
        of_transport = condition.passed and condition.call in silent and "mos" in condition.text
        style = "" if condition.passed else "red"
        seen = "nothing to look at" if condition.seen is None else condition.seen
        where = f"  {one_line(condition.address)}" if condition.address else ""
        where += "  implied" if condition.implied else ""
        table.add_row(
            _text([("✓" if condition.passed else "✘", "green" if condition.passed else "red")]),
            _text([(one_line(condition.text), style), (where, "dim")]),
            _text([(one_line(condition.expected), style)]),
            _text(
                [
                    (one_line(seen), f"bold {style}".strip() if not condition.passed else ""),
                    (" of the transport" if of_transport else "", "dim"),
                ]
            ),
        )
    return table


def _checks(outcome: RunOutcome) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="dim", pad_edge=True)
    for title in ("", "Level", "Check", "Seen"):
        table.add_column(title, overflow="fold")
    for check in outcome.checks:
        sign, style = {True: ("✓", "green"), False: ("✘", "red"), None: ("?", "yellow")}[check.passed]
        level = "KO" if check.level == "ko" else check.level
        table.add_row(
            _text([(sign, style)]), level, one_line(check.title), "" if check.passed else one_line(check.seen)
        )
    return table


def _loads(outcome: RunOutcome) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="dim", pad_edge=True)
    table.add_column("Load", overflow="fold", min_width=10)
    for title in ("Calls", "Answered", "Failed", "Canceled", "PDD p50", "p95", "p99", "MOS p5"):
        table.add_column(title, justify="right", no_wrap=True)
    for load in sorted(outcome.loads, key=lambda load: load.role != "caller"):
        arrow = "→" if load.role == "caller" else "←"
        failed = _text([(number(load.failed), "red" if load.failed else "")])
        times = [milliseconds(load.pdd_ms.get(name)) for name in ("p50", "p95", "p99")]
        mos = load.media.get("mos", {}).get("p5") if load.media.get("streams") else None
        who = one_line(f"{arrow} {load.party or load.address or ''}", 40)
        table.add_row(
            who, number(load.attempted), number(load.answered), failed, number(load.canceled), *times,
            UNKNOWN if mos is None else f"{mos:.2f}",
        )  # fmt: skip
    classes = [f"{name}: {count:,}" for load in outcome.loads for name, count in load.failures.items()]
    table.caption = one_line(f"   failures  {', '.join(classes[:8])}", 200) if classes else None
    table.caption_style, table.caption_justify = "dim", "left"
    return table


_MOST_NOTES = 12


def _streams(outcome: RunOutcome, width: int) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="dim", pad_edge=True)
    wide = width >= 88
    table.add_column("Audio", overflow="fold", min_width=10)
    titles = ("Codec", "Packets", "Lost", "Discarded", "Jitter", "Loss") if wide else ("Lost", "Jitter")
    for title in titles:
        table.add_column(title, justify="left" if title == "Codec" else "right", no_wrap=True)
    table.add_column("MOS", no_wrap=True)
    for name, call in named_calls(outcome):
        if not has_media(call):
            continue
        for arrow, way, stream in (("←", "received", call.received), ("→", "sent", call.sent)):
            who = _text([(f"{arrow} ", "cyan" if way == "received" else "magenta"), (f"{name}, {way}", "")])
            lost = _text([(number(came_short(stream)), "red" if came_short(stream) else "")])
            jitter = milliseconds(stream.jitter_ms)
            mos = _silence(stream) if way == "received" and heard_silence(call) else _mos(stream)
            if not wide:
                table.add_row(who, lost, jitter, mos)
                continue
            table.add_row(
                who,
                one_line(stream.codec or UNKNOWN, 20),
                number(stream.packets),
                lost,
                _text([(number(stream.discarded), "yellow" if stream.discarded else "")]),
                jitter,
                percent(stream.loss_pct),
                mos,
            )
    notes = [_timing(call) for _, call in named_calls(outcome)] if len(outcome.calls) == 1 else []
    notes += [f"   {line}" for name, call in named_calls(outcome) for line in media_notes(name, call)]
    table.caption = "\n".join(one_line(note, 300) for note in notes[:_MOST_NOTES]) or None
    table.caption_style, table.caption_justify = "dim", "left"
    return table


def _mos(stream: StreamOutcome) -> RenderableType:
    if stream.mos is None:
        return _text([("not known", "dim")])
    name = band(stream.mos).name
    line: Line = [(f"{stream.mos:.2f} {name}", _BAND_STYLES[name])]
    if stream.provisional:
        line.append((" provisional", "dim"))
    return _text(line)


def _silence(stream: StreamOutcome) -> RenderableType:
    transport = f" transport {stream.mos:.2f}" if stream.mos is not None else ""
    return _text([(SILENCE, "bold red"), (transport, "dim")])


def _timing(call: CallOutcome) -> str:
    parts = [
        ("post-dial delay", call.pdd_ms),
        ("setup", call.setup_ms),
        ("talked", call.duration_ms),
        ("round trip", call.rtt_ms),
    ]
    return "   " + ", ".join(f"{name} {milliseconds(value)}" for name, value in parts if value is not None)


# -- ladder --------------------------------------------------------------------------------------------------


def ladder_lines(ladder: Ladder, width: int = 100) -> Iterator[Line]:
    """The ladder as lines of text with styles; lanes share what `width` leaves beside the time."""
    lanes = len(ladder.parties)
    step = max(16, min(44, (width - _TIME - 4) // max(lanes, 1)))
    centers = [_TIME + step // 2 + n * step for n in range(lanes)]
    yield _names(ladder, centers, step)
    yield _names(ladder, centers, step, addresses=True)
    for row in ladder.rows[:MOST_ROWS]:
        yield _drawn(row, centers)
    if len(ladder.rows) > MOST_ROWS:
        yield [(f"{'':{_TIME}}… {len(ladder.rows) - MOST_ROWS} more rows are in the report", "dim")]


def _names(ladder: Ladder, centers: Sequence[int], step: int, addresses: bool = False) -> Line:
    cells = [" "] * (centers[-1] + step if centers else 0)
    for party, center in zip(ladder.parties, centers, strict=True):
        text = one_line(party.addresses[0] if addresses else party.name, step - 1)
        start = max(center - len(text) // 2, 0)
        cells[start : start + len(text)] = text
    return [("".join(cells).rstrip(), "dim" if addresses else "bold")]


def _drawn(row: MessageRow | StreamRow | GapRow, centers: Sequence[int]) -> Line:
    lives = [" "] * (centers[-1] + 1)
    for center in centers:
        lives[center] = "┊" if isinstance(row, GapRow) else "│"
    if isinstance(row, GapRow):
        text = f" {row.text} "
        start = (centers[0] + centers[-1]) // 2 - len(text) // 2
        lives[max(start, 0) : max(start, 0) + len(text)] = text
        return [("".join(lives), "dim")]
    left, right = sorted((centers[row.source], centers[row.destination]))
    if left == right:
        right = left + 12
        lives.extend(" " * max(0, right + 1 - len(lives)))
    forward = row.destination >= row.source
    if isinstance(row, MessageRow):
        shaft, label, note = ("╌" if row.repeat_of else "─"), row.label, row.note
        style = "bold red" if row.trouble else "dim" if row.repeat_of else ""
        lost = row.lost
        heads = ("▶", "◀")
    else:
        shaft, label, note = "━", row.note, row.detail
        style = "red" if row.out_of_reach else "magenta" if forward else "cyan"
        lost = row.out_of_reach
        heads = ("▶", "◀")
    arrow = _arrow(right - left - 1, shaft, label, note, heads, forward, lost)
    before, after = "".join(lives[: left + 1]), "".join(lives[right:])
    return [
        (f"{row.at:>{_TIME - 2}.3f}"[: _TIME - 2], "dim"),
        (before[_TIME - 2 :], "dim"),
        (arrow, style),
        (after, "dim"),
    ]


def _arrow(
    room: int, shaft: str, label: str, note: str, heads: tuple[str, str], forward: bool, lost: bool
) -> str:
    """The line between two lanes, with the label in it, and the note where there is room."""
    whole = f" {label}  {note} "
    text = whole if note and len(whole) <= room - 3 else f" {label} "
    if len(text) > room - 3:
        text = text[: max(room - 4, 1)].rstrip() + "…"
    body = text.center(room - 1, shaft) if room > 1 else ""
    if lost:
        return body + "✗" if forward else "✗" + body
    return body + heads[0] if forward else heads[1] + body
