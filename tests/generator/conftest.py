"""What the tests of both load loops share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.generator.load_peer import Peer, needs_native


@pytest.fixture(
    params=[pytest.param(True, marks=needs_native, id="native"), pytest.param(False, id="python")]
)
def native(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()
