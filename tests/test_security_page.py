"""The page on security names tests, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_each_named_test_is_there(file: str, test: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    assert not test or re.search(rf"def {test}\(", text), f"{file} has no {test}"


@pytest.mark.parametrize("number", range(1, 11))
def test_each_point_of_the_list_is_gone_through_with_a_test(number: int) -> None:
    (section,) = re.findall(rf"\n## API{number}: .*?\n(.*?)(?=\n## )", PAGE, re.DOTALL)
    assert re.search(r"`tests/[\w/]+\.py", section)
