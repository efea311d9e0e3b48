"""Derandomized examples do not depend on which modules other tests imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.examples import FACTOR

pytestmark = pytest.mark.skipif(bool(FACTOR), reason="a search draws what it likes")
LITERAL = 736_251_483


def drawn() -> list[int]:
    seen: list[int] = []

    @settings(max_examples=300)
    @given(st.integers())
    def look(number: int) -> None:
        seen.append(number)

    look()
    return seen


def test_examples_stay_the_same_when_a_module_with_literals_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drawn()
    (tmp_path / "module_of_literals.py").write_text(f"NUMBERS = ({LITERAL}, {LITERAL + 1}, {LITERAL + 2})\n")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("module_of_literals")
    assert drawn() == before
    sys.modules.pop("module_of_literals")
