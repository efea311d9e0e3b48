from __future__ import annotations

import pytest

from callwright.evidence.ladder import build_ladder
from callwright.evidence.ladder_file import read_ladder, write_ladder
from tests.evidence.sample import STARTED, packets


def test_a_ladder_is_read_back_as_it_was_written() -> None:
    ladder = build_ladder(packets(), origin=STARTED)
    assert ladder.streams
    assert read_ladder(write_ladder(ladder)) == ladder


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"origin":1,"parties":[],"rows":[{"kind":"spy"}]}'])
def test_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_ladder(text)
