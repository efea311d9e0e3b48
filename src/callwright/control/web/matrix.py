"""The matrix of endpoints and servers: its rows, cells and sentences. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from callwright.alerting.cause import Cause, CauseKind, explain
from callwright.control.monitors.model import Category, Endpoint, Latest
from callwright.control.monitors.newest import Newest, newest
from callwright.control.web.rendering import clock_time, listed, moment, span
from callwright.evidence.figures import milliseconds, percent
from callwright.fleet.words import counted
from callwright.quality.bands import BANDS, band

__all__ = [
    "NO_DATA",
    "Board",
    "Cell",
    "Column",
    "Figure",
    "Line",
    "Wanted",
    "board",
    "cell_of",
    "endpoint_says",
    "place",
]

NO_DATA = "No data"
_WELL = 4.0  # from this MOS on a cell is calm
_LOSS, _JITTER, _DELAY = 0.5, 30.0, 150.0  # %, ms, ms: from here on a figure is told beside a MOS
_LOOKS = {one.name: one.name.lower() for one in BANDS}
_MOST_ROWS = 200
_WORST, _UNKNOWN, _NONE = 0.0, 9.0, 10.0  # ranks beside those of MOS


class Figure(StrEnum):
    MOS = "mos"
    LOSS = "loss"
    DELAY = "delay"


@dataclass(frozen=True, slots=True)
class Column:
    """A server. ``note``: below its name. ``heard``: when it was heard last, None where it is alive."""

    number: int
    name: str
    note: str = ""
    lost: bool = False
    heard: float | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """``look``: a band in small letters, ``works`` (measured, without a MOS), ``nodata`` or ``none`` (not
    tested). ``detail``: the figure that explains it, or why there is none. ``says``: all of it in a sentence.
    """

    endpoint: int
    server: int
    look: str
    figure: str = ""
    word: str = ""
    detail: str = ""
    says: str = ""
    rank: float = _NONE
    bad: bool = False
    known: bool = False

    @property
    def calm(self) -> bool:
        return self.known and not self.bad

    @property
    def band(self) -> str:
        """By which rows are filtered: the name of a band, or that there is no data."""
        return NO_DATA if self.look == "nodata" else self.word if self.look in _LOOKS.values() else ""


@dataclass(frozen=True, slots=True)
class Line:
    """One endpoint with a cell for each column. ``rest``: what a small screen leaves out, in words."""

    endpoint: Endpoint
    place: str
    cells: tuple[Cell, ...]
    rest: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the address of the page asks for; empty: all. ``page`` counts from 1."""

    text: str = ""
    category: str = ""
    band: str = ""
    server: int | None = None
    project: int | None = None
    figure: Figure = Figure.MOS
    by_name: bool = False
    page: int = 1


@dataclass(frozen=True, slots=True)
class Board:
    """``implicated``: the server that explains most of what is not well, by its number."""

    headline: str
    lead: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    fits: int
    pages: int
    implicated: int | None


def cell_of(latest: Latest, now: float, column: Column | None, figure: Figure = Figure.MOS) -> Cell:
    """``column`` None: the server is not known any more."""
    stands = newest(latest, now)
    if not stands.known:
        return _without_data(latest, stands, now, column)
    got = latest.figures
    if stands is Newest.FAILED:
        at = f"measured {clock_time(latest.slot)} UTC"
        answer = " ".join(str(part) for part in (got.sip_code, got.sip_reason) if part is not None)
        word = answer[:24] if answer else "No answer" if not got.received else "Failed"
        return Cell(
            latest.endpoint_id,
            latest.server_id,
            "bad",
            word,
            "Bad",
            says=f"{latest.reason or word} ({at})",
            rank=_WORST,
            bad=True,
            known=True,
        )
    delay = got.setup_ms if got.rtt_ms is None else got.rtt_ms
    if got.mos is None:
        wrong = latest.verdict == "failed"
        at = f"measured {clock_time(latest.slot)} UTC"
        return Cell(
            latest.endpoint_id,
            latest.server_id,
            "bad" if wrong else "works",
            milliseconds(delay),
            "Bad" if wrong else "Works",
            says=f"{latest.reason or 'It works'} ({at})",
            rank=_WORST if wrong else 5.0,
            bad=wrong,
            known=True,
        )
    word, mos = band(got.mos).name, f"{got.mos:.2f}"
    shown = mos
    if figure is not Figure.MOS:
        shown = percent(got.loss_pct) if figure is Figure.LOSS else milliseconds(delay)
    bad = got.mos < _WELL
    if not bad:  # most cells are calm, and tell their figure alone
        return Cell(latest.endpoint_id, latest.server_id, _LOOKS[word], shown, word, rank=got.mos, known=True)
    at = f"measured {clock_time(latest.slot)} UTC"
    facts = [
        f"MOS {mos}",
        *([f"{percent(got.loss_pct)} loss"] if got.loss_pct is not None else []),
        *([f"{milliseconds(delay)} round trip"] if delay is not None else []),
        *([f"{milliseconds(got.jitter_ms)} jitter"] if got.jitter_ms is not None else []),
    ]
    return Cell(
        latest.endpoint_id,
        latest.server_id,
        _LOOKS[word],
        shown,
        word,
        _explained(latest) if figure is Figure.MOS else f"MOS {mos}",
        f"{word}, {', '.join(facts)} ({at})",
        got.mos,
        bad,
        True,
    )


def _explained(latest: Latest) -> str:
    """The figure that makes a MOS what it is, as far as one does."""
    got = latest.figures
    if (got.loss_pct or 0) >= _LOSS:
        return f"{percent(got.loss_pct)} loss"
    if (got.jitter_ms or 0) >= _JITTER:
        return f"{milliseconds(got.jitter_ms)} jitter"
    if (got.rtt_ms or 0) >= _DELAY:
        return f"{milliseconds(got.rtt_ms)} delay"
    return ""


def _without_data(latest: Latest, stands: Newest, now: float, column: Column | None) -> Cell:
    last = f" It was measured last {moment(latest.updated_at)} UTC." if latest.updated_at is not None else ""
    detail, says = {
        Newest.NEW: ("not tested yet", "No slot has ended yet."),
        Newest.MISSED: ("missed", f"The last slot was missed: {latest.reason or 'no reason was given'}."),
        Newest.UNKNOWN: ("unknown", "The last slot began, and nobody knows what came of it."),
        Newest.INVALID: (
            "invalid",
            f"The server spoilt its own measurement: {latest.reason or 'no reason was given'}.",
        ),
        Newest.STALE: (span(now - (latest.slot or now)), ""),
    }[stands]
    if stands in (Newest.STALE, Newest.NEW) and column is None:
        says = "The server is gone."
    elif stands in (Newest.STALE, Newest.NEW) and column is not None and column.lost:
        since = (
            f"was last heard {moment(column.heard)} UTC" if column.heard is not None else "was never heard"
        )
        says = f"The server {since}."
    elif stands is Newest.STALE:
        says = f"Nothing came since {moment(latest.slot)} UTC, though the server is alive."
    return Cell(
        latest.endpoint_id,
        latest.server_id,
        "nodata",
        NO_DATA,
        detail=detail,
        says=f"{says.replace('..', '.')}{last}",
        rank=_UNKNOWN,
    )


def board(
    endpoints: Iterable[Endpoint],
    latest: Iterable[Latest],
    servers: Mapping[int, Column],
    wanted: Wanted,
    now: float,
) -> Board:
    """``endpoints``: those that go on. ``servers``: all that may be columns, by number; those that test
    nothing are left out."""
    chosen = {one.id: one for one in endpoints if _fits(one, wanted)}
    cells: dict[int, dict[int, Cell]] = {one: {} for one in chosen}
    for one in latest:
        if one.endpoint_id in chosen and wanted.server in (None, one.server_id):
            cells[one.endpoint_id][one.server_id] = cell_of(
                one, now, servers.get(one.server_id), wanted.figure
            )
    if wanted.server is not None:
        cells = {key: row for key, row in cells.items() if row}
    if wanted.band:
        cells = {key: row for key, row in cells.items() if any(c.band == wanted.band for c in row.values())}
    numbers = {number for row in cells.values() for number in row}
    columns = sorted(
        (servers.get(number) or Column(number, f"server {number}", "gone", lost=True) for number in numbers),
        key=lambda one: (one.name, one.number),
    )
    every = [cell for row in cells.values() for cell in row.values()]
    causes = explain({(cell.server, cell.endpoint): cell.bad for cell in every if cell.known})
    first = next(iter(sorted(causes, key=lambda one: (-len(causes[one]), one))), None)
    order = sorted(
        cells,
        key=lambda key: (
            0.0 if wanted.by_name else min((cell.rank for cell in cells[key].values()), default=_NONE),
            chosen[key].name.lower(),
            key,
        ),
    )
    pages = max(1, -(-len(order) // _MOST_ROWS))
    start = (min(wanted.page, pages) - 1) * _MOST_ROWS
    return Board(
        _headline(every, causes, len(cells), chosen, servers),
        _lead(every, causes, first, chosen, servers),
        tuple(columns),
        tuple(_line(chosen[key], cells[key], columns) for key in order[start : start + _MOST_ROWS]),
        len(order),
        pages,
        first.server if first is not None and first.kind is CauseKind.SERVER else None,
    )


def place(endpoint: Endpoint) -> str:
    """Where it is and how it is tested: "192.0.2.71, ping"."""
    where = endpoint.uri.partition(":")[2] if endpoint.category is Category.CALL else ""
    return f"{where or endpoint.ip_address}, {endpoint.category}"


def _fits(endpoint: Endpoint, wanted: Wanted) -> bool:
    text = wanted.text.lower()
    return (
        (not text or text in endpoint.name.lower() or text in place(endpoint).lower())
        and wanted.category in ("", endpoint.category)
        and wanted.project in (None, endpoint.project_id)
    )


def _line(endpoint: Endpoint, cells: Mapping[int, Cell], columns: Sequence[Column]) -> Line:
    row = tuple(cells.get(one.number) or Cell(endpoint.id, one.number, "none") for one in columns)
    calm = sum(cell.calm for cell in row)
    others = "other server" if calm < len(cells) else "server"
    rest = f"Well from {counted(calm, others)}" if calm else "" if cells else "No server tests it"
    return Line(endpoint, place(endpoint), row, rest)


# -- sentences


def _headline(
    cells: Sequence[Cell],
    causes: Mapping[Cause, set[tuple[int, int]]],
    rows: int,
    endpoints: Mapping[int, Endpoint],
    servers: Mapping[int, Column],
) -> str:
    bad, known = sum(cell.bad for cell in cells), sum(cell.known for cell in cells)
    if not cells:
        return "No server tests an endpoint yet." if rows else "No endpoint is here."
    if not known:
        return f"No data: none of {counted(len(cells), 'cell')} was measured."
    if not bad:
        what = "Every endpoint is well" if known == len(cells) else "All that was measured is well"
        return f"{what}: {counted(known, 'cell')} of {counted(rows, 'endpoint')}."
    cause, explained = max(causes.items(), key=lambda pair: len(pair[1]))
    if bad == 1:
        return f"One cell of {known} is not well: {_cause_words(cause, endpoints, servers)}."
    words = _cause_words(cause, endpoints, servers)
    if len(explained) == bad:
        return f"One cause explains all {bad} cells that are not well: {words}."
    if len(explained) > 1:
        return f"One cause explains {len(explained)} of the {bad} cells that are not well: {words}."
    most = _busiest(cells)
    if most is not None:
        name = _server_name(most[0], servers)
        return f"{bad} of {known} cells are not well, {most[1]} of them seen from {name}."
    return f"{bad} of {known} cells are not well, each by itself."


def _busiest(cells: Sequence[Cell]) -> tuple[int, int] | None:
    """The server from which most of what is bad is seen, and how much, where most that it sees is bad."""
    bad = Counter(cell.server for cell in cells if cell.bad)
    server, count = bad.most_common(1)[0]
    seen = sum(cell.known for cell in cells if cell.server == server)
    return (server, count) if 2 * count > bad.total() and 2 * count > seen else None


def _cause_words(cause: Cause, endpoints: Mapping[int, Endpoint], servers: Mapping[int, Column]) -> str:
    server = _server_name(cause.server, servers)
    endpoint = endpoints[cause.endpoint].name if cause.endpoint is not None else ""
    match cause.kind:
        case CauseKind.SERVER:
            return f"the server {server}, which finds everything bad"
        case CauseKind.ENDPOINT:
            return f"{endpoint}, which no server finds well"
    return f"{endpoint} from {server}"


def _server_name(number: int | None, servers: Mapping[int, Column]) -> str:
    known = servers.get(number) if number is not None else None
    return known.name if known is not None else f"server {number}"


def _lead(
    cells: Sequence[Cell],
    causes: Mapping[Cause, set[tuple[int, int]]],
    first: Cause | None,
    endpoints: Mapping[int, Endpoint],
    servers: Mapping[int, Column],
) -> str:
    said = []
    others = [one for one in causes if one != first]
    if others and first is not None and len(causes[first]) > 1:
        names = [_cause_words(one, endpoints, servers) for one in others[:3]]
        more = f", and {len(others) - 3} more" if len(others) > 3 else ""
        said.append(f"Apart from it: {'; '.join(names)}{more}.")
    elif first is not None and len(causes) > 1:
        names = [_cause_words(one, endpoints, servers) for one in list(causes)[:3]]
        text = f"{listed(names)}{', and others' if len(causes) > 3 else ''}."
        said.append(text[:1].upper() + text[1:])
    blank = sum(not cell.known for cell in cells)
    if blank:
        said.append(f"{counted(blank, 'cell')} {'has' if blank == 1 else 'have'} no data.")
    lost = sorted({cell.server for cell in cells if cell.server in servers and servers[cell.server].lost})
    if lost:
        silent = listed([servers[one].name for one in lost[:5]])
        said.append(f"{silent} {'is' if len(lost) == 1 else 'are'} not heard.")
    return " ".join(said)


def endpoint_says(endpoint: Endpoint, cells: Sequence[Cell]) -> str:
    """How one endpoint is, seen from all servers that test it."""
    name, known = endpoint.name, [cell for cell in cells if cell.known]
    if endpoint.deleted_at is not None:
        return f"{name} was deleted: it is tested no more, and its history stays."
    if not cells:
        return f"{name} is paused: no server tests it."
    if not known:
        return f"{name}: no data from any of {counted(len(cells), 'server')}."
    bad = [cell for cell in known if cell.bad]
    measured = counted(len(known), "server")
    where = measured if len(known) == 1 else f"all {measured}"
    if not bad:
        words = sorted({cell.word for cell in known}, key=lambda word: -_ORDER.get(word, 0))
        return f"{name} is well: {' or '.join(words)} from {where}."
    silent = [cell for cell in bad if cell.rank == _WORST]
    some = f"{len(bad)} of {measured}" if len(bad) < len(known) else where
    if len(silent) == len(bad):
        return f"{name} is not reached from {some}: {silent[0].figure}."
    words = sorted({cell.word for cell in bad}, key=lambda word: _ORDER.get(word, 0))
    return f"{name} sounds {' or '.join(words)} from {some}."


_ORDER = {one.name: n for n, one in enumerate(reversed(BANDS))}
