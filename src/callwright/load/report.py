"""The folder of `callwright load --report`: a CSV line each second, and at the end JSON and a page."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from callwright.evidence.figures import UNKNOWN, number
from callwright.evidence.load_charts import charts_of, limits_of
from callwright.load.outcome import times_of
from callwright.load.statistics import LoadSecond
from callwright.load.verdict import ThresholdError, parse_threshold, seen

if TYPE_CHECKING:
    from callwright.load.engine import Result

SHEETS = ("tokens.css", "components.css", "report.css")
CSV, JSON, PAGE = "seconds.csv", "load.json", "report.html"


class ReportFolder:
    """Raises OSError when the folder or its CSV cannot be made. What fails later is in `problems`, and the
    load goes on without it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        path.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] | None = (path / CSV).open("w", encoding="utf-8", newline="", buffering=1)
        self._writer = csv.writer(self._file)
        self._write_row(LoadSecond.columns())

    def second(self, second: LoadSecond) -> None:
        """A line of the CSV, written at once."""
        self._write_row(second.row())

    def _write_row(self, row: list[Any]) -> None:
        if self._file is None:
            return
        try:
            self._writer.writerow(row)
        except OSError as error:
            self._give_up(CSV, error)

    def _give_up(self, name: str, error: OSError) -> None:
        self.problems.append(f"{self.path / name} is not complete: {error.strerror or error}")
        if name == CSV and self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError:
                return

    def finish(self, document: dict[str, Any], result: Result) -> dict[str, str]:
        """Writes JSON and page; the paths of what was left."""
        left = {}
        if self._file is not None:
            try:
                self._file.close()
                left["csv"] = str(self.path / CSV)
            except OSError as error:
                self._give_up(CSV, error)
        texts = ((JSON, json.dumps(document, indent=1) + "\n"), (PAGE, render(document, result)))
        for name, text in texts:
            try:
                (self.path / name).write_text(text, "utf-8")
            except OSError as error:
                self._give_up(name, error)
            else:
                left["json" if name == JSON else "report"] = str(self.path / name)
        return left


def render(document: dict[str, Any], result: Result) -> str:
    """The page: one file, no network, in the look of the other reports."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from callwright.evidence.page import equip

    environment = Environment(
        loader=ChoiceLoader([PackageLoader("callwright.load"), PackageLoader("callwright.evidence")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    equip(environment)
    static = resources.files("callwright.evidence").joinpath("static")
    style = "\n".join(static.joinpath(name).read_text("utf-8") for name in SHEETS)
    return environment.get_template("load.html").render(
        load=document,
        style=Markup(style),
        charts=charts_of(
            {part: [getattr(second, part) for second in result.seconds] for part in LoadSecond.columns()},
            answers=document["role"] == "answerer",
            limits=limits_of([condition["text"] for condition in document["conditions"]]),
        ),
        times=[(name, document[f"{key}_ms"]) for key, name in times_of(document)],
        conditions=[(told, _seen(told)) for told in document["conditions"]],
        started=f"{datetime.fromtimestamp(document['started_at'], UTC):%-d %b %Y, %H:%M:%S} UTC",
    )


def _seen(condition: Mapping[str, Any]) -> str:
    if condition["value"] is None:
        return UNKNOWN
    try:
        return seen(parse_threshold(condition["text"]), condition["value"])
    except ThresholdError:
        return number(condition["value"], 2)
