"""One platform for all acceptance tests of the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.served import Served, serving


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("platform") / "data"
    with serving(folder, "--lease", "3", "--rate-limit", "1000") as served:
        yield served
