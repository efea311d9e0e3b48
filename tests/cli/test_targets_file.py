"""`callwright run --targets`: what a line permits, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from callwright.cli import main


def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, lines: str, number: str
) -> tuple[int, dict[str, Any]]:
    """Every one is refused before anything is sent."""
    file = tmp_path / "targets.txt"
    file.write_text(lines)
    code = main.run(
        [
            *("run", "basic_call", "--targets", str(file), "--json"),
            *("--set", "target=203.0.113.7", "--set", "alice=1:a", "--set", "bob=2:b"),
            *("--set", f"step.1.0.dial_destination={number}"),
        ]
    )
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


@pytest.mark.parametrize(
    ("lines", "number", "reason"),
    [
        ("203.0.113.7 country=FR", "15", "15 is an emergency number in FR"),
        ("203.0.113.0/24 country=fr # France", "0899123456", "0899123456 is a premium-rate number in FR"),
        ("203.0.113.7", "112#", "112# is an emergency number"),
        ("203.0.113.7\n203.0.113.7 number=112", "*31#112", "*31#112 is an emergency number"),
        ("203.0.113.7 number=43123", "43123;phone-context=+1", "203.0.113.7 is not permitted"),
        ("203.0.113.7 country=XX", "100", "'XX' is not a country"),
        ("203.0.113.7 land=FR", "100", "neither number=PATTERN nor country=CODE"),
    ],
)
def test_number_that_a_targets_file_does_not_permit_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, lines: str, number: str, reason: str
) -> None:
    code, document = run(capsys, tmp_path, lines, number)
    assert code == 2
    assert reason in document["reason"]


def test_hash_within_a_word_of_a_targets_file_is_part_of_a_number(tmp_path: Path) -> None:
    from callwright.cli.run import _from_file

    file = tmp_path / "targets.txt"
    file.write_text("# all\n203.0.113.7 number=112# country=AT # ours\n#203.0.113.8\n")
    (target,) = _from_file(file)
    assert (target.network, target.number, target.country) == ("203.0.113.7/32", "112#", "AT")
