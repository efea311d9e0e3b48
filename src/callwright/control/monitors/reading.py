"""Reads monitors from the files in which people write them down; every problem names its line and
field. What they say is in `written`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from callwright.alerting.condition import ConditionError, parse
from callwright.alerting.retest import parse_levels, written
from callwright.control.errors import Invalid
from callwright.control.monitors.model import Category
from callwright.control.monitors.sense import TRANSPORTS, blank, settled
from callwright.control.monitors.written import (
    ALL_CHANNELS,
    ALL_SERVERS,
    COLUMNS,
    LISTS,
    MOST_ROWS,
    Written,
    WrittenAlert,
    WrittenEndpoint,
)
from callwright.scenario.source import (
    Block,
    DocumentError,
    Items,
    Mark,
    Node,
    Problem,
    Text,
    did_you_mean,
    read,
)

__all__ = ["read_csv", "read_yaml"]

_ALERT = ("name", "condition", "recovery", "retests", "reminder", "channels", "maintenance")
_WINDOW = ("from", "to", "days", "start", "end", "time_zone")
#: A CSV without one of these columns leaves them as they are.
_KEPT = ("servers", "alerts", "alert_threshold", "description", "interval")


def read_yaml(text: str) -> Written:
    """Raises DocumentError with every problem."""
    return _Reader().document(read(text))


def read_csv(text: str) -> Written:
    """First the names of the columns, then an endpoint a line. Raises DocumentError."""
    rows = csv.reader(io.StringIO(text), strict=True)
    reader = _Reader()
    found: list[WrittenEndpoint] = []
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        for name in names:
            if name not in COLUMNS:
                tail, near = did_you_mean(name, COLUMNS)
                reader.tell(f"The column {name!r} is not known.{tail}", Mark(1), near=near)
        if "name" not in names:
            reader.tell("The first line names the columns, and one of them is name.", Mark(1))
        if len(set(names)) < len(names):
            reader.tell("A column is named twice.", Mark(1))
        reader.end()
        said = tuple(name for name in COLUMNS if name in names or name not in _KEPT)
        for row in rows:
            mark = Mark(rows.line_num)
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(names):
                reader.tell(f"There are {len(row)} columns; the first line has {len(names)}.", mark)
                continue
            if len(found) >= MOST_ROWS:
                reader.tell(f"A CSV has at most {MOST_ROWS:,} endpoints.", mark)
                break
            cells = {name: _cell(name, cell, mark) for name, cell in zip(names, row, strict=True)}
            entries = tuple((Text(name, mark), node) for name, node in cells.items() if node is not None)
            one = reader.endpoint(Block(entries, mark), f"line {rows.line_num}", said=said)
            if one is not None:
                found.append(one)
    except csv.Error as error:
        reader.tell(f"This is not CSV: {error}.", Mark(rows.line_num))
    reader.twins(found)
    reader.end()
    return Written(endpoints=tuple(found))


def _cell(name: str, cell: str, mark: Mark) -> Node | None:
    """An empty cell is the default; of a list it is none."""
    if name in LISTS:
        parts = [part.strip() for part in cell.split(";") if part.strip()]
        if parts == [ALL_SERVERS] and name == "servers":
            return Text(ALL_SERVERS, mark)
        return Items(tuple(Text(part, mark) for part in parts), mark)
    return Text(cell.strip(), mark) if cell.strip() else None


class _Reader:
    """Gathers problems, so that all are told at once."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def tell(self, message: str, mark: Mark, field: str | None = None, near: str | None = None) -> None:
        self._problems.append(Problem(message, mark.line, mark.column, field, nearest=near))

    def end(self) -> None:
        if self._problems:
            raise DocumentError(self._problems)

    def document(self, node: Node) -> Written:
        known: tuple[str, ...] = ("project", "alerts", "endpoints")
        if not isinstance(node, Block) or not any(node.get(key) for key in known):
            self.tell("The file has no 'endpoints' and no 'alerts'.", node.mark)
            self.end()
            raise AssertionError
        self._known(node, known, "the file")
        project = self._text(node.get("project"), "project")
        alerts = self._rows(node.get("alerts"), "alerts", self._alert)
        endpoints = self._rows(node.get("endpoints"), "endpoints", self.endpoint)
        self.twins(alerts or ())
        self.twins(endpoints or ())
        if alerts is not None:
            names = [one.name for one in alerts]
            for one in endpoints or ():
                for name in one.alerts:
                    if name not in names:
                        tail, near = did_you_mean(name, names)
                        message = (
                            f"The endpoint {one.name!r} raises an alert {name!r} that the file lacks.{tail}"
                        )
                        self.tell(message, Mark(one.line), "alerts", near)
        self.end()
        return Written(
            project or None,
            None if endpoints is None else tuple(endpoints),
            None if alerts is None else tuple(alerts),
        )

    def twins(self, rows: Sequence[WrittenEndpoint | WrittenAlert]) -> None:
        first: dict[str, int] = {}
        for one in rows:
            if one.name in first:
                message = f"{one.name!r} is there twice; the first begins in line {first[one.name]}."
                self.tell(message, Mark(one.line), "name")
            first.setdefault(one.name, one.line)

    def _rows(self, node: Node | None, what: str, one: Callable[[Block, str], Any]) -> list[Any] | None:
        if node is None:
            return None
        if isinstance(node, Text) and not node.value:
            return []
        if not isinstance(node, Items):
            self.tell(f"{what} is a list: each begins with a dash.", node.mark, what)
            return []
        if len(node.items) > MOST_ROWS:
            self.tell(f"A file has at most {MOST_ROWS:,} {what}.", node.mark, what)
            return []
        found = []
        for number, item in enumerate(node.items, 1):
            where = f"{what[:-1]} {number}"
            if not isinstance(item, Block):
                self.tell(f"The {where} is not a block of fields, such as name: Head office PBX.", item.mark)
                continue
            made = one(item, where)
            if made is not None:
                found.append(made)
        return found

    def _known(self, block: Block, names: Sequence[str], where: str) -> None:
        for key, _ in block.entries:
            if key.value not in names:
                tail, near = did_you_mean(key.value, names)
                self.tell(f"{key.value!r} is not a field of {where}.{tail}", key.mark, key.value, near)

    # -- fields

    def endpoint(
        self, block: Block, where: str, *, said: tuple[str, ...] | None = None
    ) -> WrittenEndpoint | None:
        """``said``: of a CSV; None: all that a file could say is said."""
        before = len(self._problems)
        self._known(block, COLUMNS, f"the {where}" if where.startswith("endpoint") else "an endpoint")
        values: dict[str, Any] = {
            name: self._text(block.get(name), name)
            for name in ("name", "ip_address", "uri", "credentials", "description")
        }
        values["category"] = Category(
            self._among(block.get("category"), "category", list(Category), str(Category.PING))
        )
        values["transport"] = self._among(block.get("transport"), "transport", TRANSPORTS, "udp")
        values["port"] = self._whole(block.get("port"), "port")
        interval = self._whole(block.get("interval"), "interval")
        values["interval"] = blank().interval if interval is None else interval
        values["alert_threshold"] = self._number(block.get("alert_threshold"), "alert_threshold")
        servers = self._names(block.get("servers"), "servers")
        if servers is None and said is None:
            message = f"The {where} has no servers: name those that test it, or write servers: {ALL_SERVERS}."
            self.tell(message, block.mark, "servers")
        alerts = self._names(block.get("alerts"), "alerts")
        unlimited = values["alert_threshold"] is None and (said is None or "alert_threshold" in said)
        if alerts and unlimited and len(self._problems) == before:
            self.tell(
                "An endpoint with alerts has an alert_threshold, a MOS.", self._at(block, "alerts"), "alerts"
            )
        if len(self._problems) > before:
            return None
        try:
            endpoint = settled(msgspec.structs.replace(blank(), **values))
        except Invalid as error:
            self.tell(error.message, self._at(block, error.field), error.field)
            return None
        return WrittenEndpoint(endpoint, servers or (), alerts or (), block.mark.line or 0, said or COLUMNS)

    def _alert(self, block: Block, where: str) -> WrittenAlert | None:
        before = len(self._problems)
        self._known(block, _ALERT, f"the {where}")
        name = self._text(block.get("name"), "name")
        if not name:
            self.tell(
                f"The {where} has no name: what is wrong when it fires.", self._at(block, "name"), "name"
            )
        fields: dict[str, Any] = {
            "condition": self._condition(block, "condition", where),
            "recovery": self._condition(block, "recovery", where),
            "retests": self._condition(block, "retests", where, lambda text: written(parse_levels(text))),
            "reminder": self._number(block.get("reminder"), "reminder"),
            "channels": self._channels(block.get("channels")),
            "maintenance": self._windows(block.get("maintenance")),
        }
        if len(self._problems) > before:
            return None
        return WrittenAlert(name, fields, block.mark.line or 0)

    def _channels(self, node: Node | None) -> list[str] | None:
        names = self._names(node, "channels")
        return None if names is None or names == (ALL_CHANNELS,) else list(names)

    def _condition(
        self, block: Block, field: str, where: str, read: Callable[[str], object] = parse
    ) -> str | None:
        node = block.get(field)
        text = self._text(node, field)
        if not text:
            if field == "condition":
                self.tell(f"The {where} has no condition.", self._at(block, field), field)
            return None
        try:
            return str(read(text))
        except ConditionError as error:
            mark = node.mark if node is not None else block.mark
            quote = isinstance(node, Text) and not node.plain
            column = None if mark.column is None else mark.column + error.at + quote
            self.tell(str(error), Mark(mark.line, column), field)
            return None

    def _windows(self, node: Node | None) -> list[dict[str, Any]]:
        if node is None or (isinstance(node, Text) and not node.value):
            return []
        rows = node.items if isinstance(node, Items) else ()
        if not rows or not all(isinstance(one, Block) for one in rows):
            self.tell("maintenance is a list of windows.", node.mark, "maintenance")
            return []
        found = []
        for one in rows:
            assert isinstance(one, Block)
            self._known(one, _WINDOW, "a window")
            window: dict[str, Any] = {
                name: self._text(one.get(name), name) for name in _WINDOW if name != "days" and one.get(name)
            }
            if one.get("days") is not None:
                window["days"] = list(self._names(one.get("days"), "days") or ())
                window = {
                    name: window[name] for name in ("days", "start", "end", "time_zone") if name in window
                }
                window.setdefault("time_zone", "UTC")
            else:
                window = {name: self._date(one, name, str(window.get(name, ""))) for name in ("from", "to")}
            found.append(window)
        return found

    def _date(self, block: Block, field: str, text: str) -> str:
        """In UTC, with a Z; without a zone it is in UTC."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            message = f"{field} is a date such as 2026-12-01 21:00:00, in UTC if it has no zone."
            self.tell(message, self._at(block, field), field)
            return ""
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}Z"

    @staticmethod
    def _at(block: Block, field: str) -> Mark:
        node = block.get(field)
        return block.mark if node is None else node.mark

    def _text(self, node: Node | None, field: str) -> str:
        if node is None:
            return ""
        if not isinstance(node, Text):
            self.tell(f"{field} is a text.", node.mark, field)
            return ""
        return "" if node.plain and node.value in ("null", "~") else node.value.strip()

    def _names(self, node: Node | None, field: str) -> tuple[str, ...] | None:
        if node is None:
            return None
        items = node.items if isinstance(node, Items) else (node,)
        found = [self._text(item, field) for item in items]
        return tuple(dict.fromkeys(name for name in found if name))

    def _among(self, node: Node | None, field: str, permitted: Sequence[str], usual: str) -> str:
        word = self._text(node, field).lower()
        if not word:
            return usual
        if word not in permitted:
            tail, near = did_you_mean(word, permitted)
            assert node is not None
            self.tell(f"{word!r} is no {field}.{tail}", node.mark, field, near)
            return usual
        return word

    def _whole(self, node: Node | None, field: str) -> int | None:
        number = self._number(node, field)
        if number is None or number.is_integer():
            return None if number is None else int(number)
        assert node is not None
        self.tell(f"{field} is a whole number.", node.mark, field)
        return None

    def _number(self, node: Node | None, field: str) -> float | None:
        text = self._text(node, field)
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not 0 <= number < 1e12:
            assert node is not None
            self.tell(f"{field} is a number, not {text[:40]!r}.", node.mark, field)
            return None
        return number
