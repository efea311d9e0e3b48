"""What the tests of the load loop share. Where it was not built there is nothing to test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from callwright.generator.loop import NoNativeLoop, native_loop
from tests.generator.load_peer import Peer

try:
    native_loop()
except NoNativeLoop:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()
