"""What the sections of a run's page show, made from its outcome, its ladder and its recordings.

The report of one run and the pages of the platform draw with the same templates, `templates/sections/`; this
is what goes into them. Everything that came from the wire passes `shown()` and Jinja's autoescape.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from callwright.evidence import figures
from callwright.evidence.generator_words import ranged
from callwright.evidence.innocence import suspects
from callwright.evidence.ladder import GapRow, Ladder, MessageRow, Row, StreamRow
from callwright.evidence.load_charts import failure_words, shown_loads
from callwright.evidence.naming import (
    came_short,
    has_media,
    heard_silence,
    media_notes,
    named_calls,
    tls_in_words,
    with_quality,
)
from callwright.evidence.next_step import next_step
from callwright.evidence.scope import build_scope, call_end
from callwright.evidence.shown import one_line, shown
from callwright.evidence.waterfall import call_phases, run_phases
from callwright.evidence.waveform import Waveform, read_waveform
from callwright.outcome.call import CallOutcome
from callwright.outcome.proof import other_end
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import CallState, Direction, EndedBy, Verdict
from callwright.quality.bands import BANDS, band

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_ROWS = 400
"""Rows of the ladder on the page; the capture has the others."""
MOST_CALLS = 6
"""Calls that are drawn on the time axis, the worst first; the table has all."""
EMBED_FILE, EMBED_ALL = 384_000, 1_500_000
"""Octets of a recording, and of all of them, up to which they are put into the page itself."""

_VERDICT_ORDER = {
    v: n for n, v in enumerate((Verdict.FAILED, Verdict.ERROR, Verdict.INVALID, Verdict.CANCELED))
}
_ENDERS = {
    EndedBy.LOCAL: "us",
    EndedBy.REMOTE: "the peer",
    EndedBy.NETWORK: "the network",
    EndedBy.PLATFORM: "our own fault",
}


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A file of the folder; `size` in octets, None when it is not known yet."""

    path: str
    caption: str
    size: int | None = None


def equip(environment: Environment) -> None:
    """Give an environment the filters and functions that the templates of this room use."""
    environment.finalize = _finalize
    environment.filters.update(
        ms=figures.milliseconds,
        pct=figures.percent,
        num=figures.number,
        octets=figures.octets,
        row_kind=_row_kind,
        failure=failure_words,
        tls=tls_in_words,
        ranged=ranged,
    )
    environment.globals["band_of"] = lambda mos: band(mos).name
    environment.globals["bars_on"] = _bars_on
    environment.globals["heard_silence"] = heard_silence


def _finalize(value: object) -> object:
    """Every text that a template writes: nothing in it can act, None is a dash."""
    if value is None:
        return figures.UNKNOWN
    if isinstance(value, Markup):  # a filter such as `e` escapes and no more
        return Markup(shown(str(value)))
    return shown(value) if type(value) is str else value


def static_text(name: str) -> str:
    """A stylesheet or script of `static/`."""
    return resources.files("callwright.evidence").joinpath("static", name).read_text("utf-8")


def _bars_on(mos: float | None) -> int:
    """5 to 1 signal bars, 0 for no data."""
    return 0 if mos is None else len(BANDS) - BANDS.index(band(mos))


@dataclass(frozen=True, slots=True)
class Divider:
    """Where the messages of another Call-ID begin: what it is, and the Call-ID as it was on the wire."""

    text: str
    call_id: str


def divided(rows: Sequence[Row], outcome: RunOutcome) -> list[Row | Divider]:
    """The rows with a divider before the first message of each Call-ID, where there are several."""
    ids = {row.call_id for row in rows if isinstance(row, MessageRow)}
    if len(ids) < 2:
        return list(rows)
    names = {one_line(call.call_id): name for name, call in named_calls(outcome) if call.call_id}
    found: list[Row | Divider] = []
    seen: set[str] = set()
    for row in rows:
        if isinstance(row, MessageRow) and row.call_id and row.call_id not in seen:
            seen.add(row.call_id)
            what = {"INVITE": "Call", "REGISTER": "Registration"}.get(
                row.method or "", row.method or "Messages"
            )
            name = names.get(row.call_id)
            found.append(Divider(f"{what}, {name}" if name else what, row.call_id))
        found.append(row)
    return found


def _row_kind(row: object) -> str:
    kinds = {MessageRow: "message", StreamRow: "stream", GapRow: "gap", Divider: "divider"}
    return kinds[type(row)]


def run_page(
    outcome: RunOutcome,
    ladder: Ladder,
    *,
    folder: Path | None = None,
    min_mos: float = 3.5,
    recordings_at: str | None = None,
    changes: Sequence[str] | None = None,
) -> dict[str, Any]:
    """What the templates of `sections/` need. Recordings are looked for in `folder` and put into the page
    when they are small, or else named; with `recordings_at`, a URL that ends in a slash, they stay there.
    `changes`: what was changed in the test since its last pass; None: there is none to compare with.
    """
    ladder = with_quality(ladder, outcome)
    calls = named_calls(outcome)
    drawn = sorted(calls, key=lambda pair: _VERDICT_ORDER.get(pair[1].verdict, 9))[:MOST_CALLS]
    drawn = [pair for pair in calls if pair in drawn]
    # Where both ends are ours, what one sent is what the other heard: it is shown once.
    mirrored = {call.id for _, call in calls if call.answered and other_end(call, outcome.calls) is not None}
    players, waves = _recordings(drawn, folder, outcome.started_at or 0.0, recordings_at)
    falls = [run_phases(outcome), *(call_phases(name, call, ladder) for name, call in drawn)]
    messages = ladder.messages
    return {
        "run": outcome,
        "title": outcome.title or outcome.name or "Call",
        "started": _utc(outcome.started_at),
        "took": _took(outcome),
        "suspects": suspects(outcome, changes),
        "next": next_step(outcome, changes),
        "mirrored": mirrored,
        "calls": calls,
        "facts": {call.id: _facts(call) for _, call in calls},
        "heard": [pair for pair in calls if has_media(pair[1])],
        "media_notes": [note for name, call in calls for note in media_notes(name, call)],
        "came_short": came_short,
        "silent": {call.id for _, call in calls if heard_silence(call)},
        "call_names": {call.id: name for name, call in calls},
        "failed_conditions": sum(not condition.passed for condition in outcome.conditions),
        "loads": shown_loads(outcome),
        "ladder": ladder,
        "rows": placed_rows(divided(ladder.rows[:MOST_ROWS], outcome), len(ladder.parties)),
        "hidden_rows": max(0, len(ladder.rows) - MOST_ROWS),
        "message_count": len(messages),
        "stream_count": len(ladder.streams),
        "lane_x": lane_positions(len(ladder.parties)),
        "scope": build_scope(drawn, outcome.started_at, waves, min_mos, mirrored=mirrored),
        "not_drawn": len(calls) - len(drawn),
        "moments": _moments(messages, calls),
        "players": _once(players, drawn, mirrored),
        "falls": [fall for fall in falls if fall is not None and fall.phases],
    }


def _took(outcome: RunOutcome) -> str:
    if outcome.duration_ms is None and outcome.started_at is not None:
        start = outcome.started_at
        ends = [
            call.started_at - start + call_end(call) for call in outcome.calls if call.started_at is not None
        ]
        return figures.milliseconds(max(ends) * 1000) if ends else figures.UNKNOWN
    return figures.milliseconds(outcome.duration_ms)


def _facts(call: CallOutcome) -> list[str]:
    """The line of figures below a call's sentence; what is not known is left to the tables."""
    facts = [f"{call.sip_code} {call.sip_reason or ''}".strip()] if call.sip_code else []
    for name, value in (
        ("post-dial delay", call.pdd_ms),
        ("setup", call.setup_ms),
        ("talked", call.duration_ms),
    ):
        if value is not None:
            facts.append(f"{name} {figures.milliseconds(value)}")
    if call.tls is not None:
        facts.append(tls_in_words(call.tls))
    if call.ended_by is not None:
        facts.append(f"ended by {_ENDERS[call.ended_by]}")
    return facts


def _utc(seconds: float | None) -> str:
    if seconds is None:
        return figures.UNKNOWN
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %b %Y, %H:%M:%S UTC")


def _lane_x(lane: int, lanes: int) -> float:
    return round((lane + 0.5) / max(lanes, 1) * 100, 3)


def lane_positions(lanes: int) -> list[float]:
    """The middle of each lane, in percent."""
    return [_lane_x(n, lanes) for n in range(lanes)]


def placed_rows(rows: Sequence[Row | Divider], lanes: int) -> list[tuple[Row | Divider, RowPlace]]:
    """Rows of a ladder with where each is drawn, for `sections/rows.html`."""
    return [(row, _place(row, lanes)) for row in rows]


def placed_row(row: MessageRow | StreamRow | None, lanes: int) -> PlacedRow | None:
    """One row of a ladder with where it is drawn."""
    return None if row is None else (row, _place(row, lanes))


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Where a row is drawn, in percent; `way` is 1 to the right and -1 to the left."""

    x1: float = 0.0
    x2: float = 0.0
    middle: float = 0.0
    way: int = 1

    @property
    def width(self) -> float:
        """From lane to lane: the room that its words have."""
        return round(abs(self.x2 - self.x1), 3)


PlacedRow = tuple[MessageRow | StreamRow, RowPlace]


def _place(row: object, lanes: int) -> RowPlace:
    if isinstance(row, GapRow) or not isinstance(row, MessageRow | StreamRow):
        return RowPlace()
    x1, x2 = _lane_x(row.source, lanes), _lane_x(row.destination, lanes)
    if x1 == x2:  # to itself: a short stub, so that it is seen
        x2 = round(x1 + 20 / max(lanes, 1), 3)
    return RowPlace(x1, x2, round((x1 + x2) / 2, 3), 1 if x2 > x1 else -1)


@dataclass(frozen=True, slots=True)
class _Moment:
    """A message that the reader has to see on every axis."""

    at: float
    label: str
    number: int


def _moments(messages: Sequence[MessageRow], calls: Sequence[tuple[str, CallOutcome]]) -> list[_Moment]:
    """The first troubles of calls that were answered: there something happened while people talked."""
    answered = {call.call_id for _, call in calls if call.answered}
    found = [_Moment(m.at, m.label, m.number) for m in messages if m.trouble and m.call_id in answered]
    return found[:2]


def _once(
    players: list[_Player], calls: Sequence[tuple[str, CallOutcome]], mirrored: set[str]
) -> list[_Player]:
    """The caller's recording of a call whose other end recorded the same, in stereo, the other way round."""
    outgoing = {name for name, call in calls if call.direction is Direction.OUTGOING}
    twice = {name for name, call in calls if call.id in mirrored and call.direction is Direction.INCOMING}
    if not outgoing or not any(player.owner in outgoing for player in players):
        return players
    return [player for player in players if player.owner not in twice]


@dataclass(frozen=True, slots=True)
class _Player:
    """A recording on the page; `start` is where it begins on the axis, in seconds."""

    name: str
    source: str
    path: str
    start: float
    embedded: bool
    owner: str = ""


def _recordings(
    calls: Sequence[tuple[str, CallOutcome]], folder: Path | None, run_start: float, at: str | None
) -> tuple[list[_Player], dict[str, tuple[str, Waveform]]]:
    players: list[_Player] = []
    waves: dict[str, tuple[str, Waveform]] = {}
    if folder is None:
        return players, waves
    room = EMBED_ALL
    for name, call in calls:
        for audio in call.audio:
            path = folder / audio.path
            if not path.resolve().is_relative_to(folder.resolve()):
                continue
            outline = read_waveform(path)
            if outline is None:
                continue
            waves.setdefault(call.id, (audio.kind, outline))
            size = path.stat().st_size
            embedded = at is None and size <= min(EMBED_FILE, room)
            source = (at or "") + audio.path
            if embedded:
                room -= size
                source = "data:audio/wav;base64," + base64.b64encode(path.read_bytes()).decode()
            answer = next((s.at for s in call.states if s.state is CallState.ANSWERED), 0.0)
            start = round((call.started_at or run_start) - run_start + answer, 3)
            kind = {"stereo": "left sent, right received"}.get(audio.kind, audio.kind)
            players.append(_Player(f"{name}, {kind}", source, audio.path, start, embedded, name))
    return players, waves
