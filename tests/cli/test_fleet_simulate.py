"""`callwright fleet simulate`: a day of load on the terminal, as JSON and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from callwright.cli.main import run

DAY = """
hours: 1
pools: {berlin: {capacity: 10, maximum: 2, prices: {"": 0.5}}}
arrivals: [{at: "00:10", calls: 30, seconds: 120}]
"""


def test_the_day_is_told_with_its_decisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "day.yaml").write_text(DAY)
    assert run(["fleet", "simulate", str(tmp_path / "day.yaml"), "--svg", str(tmp_path / "day.svg")]) == 0
    shown = capsys.readouterr().out
    assert "00:10:00  berlin: started 2: 30 calls waiting, 0 places free" in shown
    assert "did not start 1: the pool's maximum is 2" in shown
    title, *_ = ElementTree.parse(tmp_path / "day.svg").getroot()
    assert title.tag.endswith("title")


def test_the_same_figures_stand_in_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "day.yaml").write_text(DAY)
    assert run(["fleet", "simulate", str(tmp_path / "day.yaml"), "--json"]) == 0
    (pool,) = json.loads(capsys.readouterr().out)["pools"]
    assert (pool["calls"], pool["placed"], pool["most_servers"], pool["retired"]) == (30, 30, 2, 2)
    assert pool["waits_s"] == {"p50": 60.0, "p90": 180.0, "p95": 180.0, "p99": 180.0, "p100": 180.0}


@pytest.mark.parametrize(
    ("name", "text"), [("day.yaml", "pools: 3"), ("day.csv", "x\n"), ("gone.yaml", None)]
)
def test_a_file_that_is_no_day_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | None
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert run(["fleet", "simulate", str(tmp_path / name), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]
