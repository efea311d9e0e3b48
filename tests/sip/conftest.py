"""The wire format is tested on both scanners."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sip.twins import NATIVE, TWINS, scanner

ON_BOTH = {
    "test_framing",
    "test_headers",
    "test_lint",
    "test_message",
    "test_torture",
    "test_wire_properties",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of the files above runs once on each twin."""
    if metafunc.module.__name__.rpartition(".")[2] in ON_BOTH:
        metafunc.parametrize("twin", TWINS, indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def twin(request: pytest.FixtureRequest) -> Iterator[str]:
    """Which scanner `parse_datagram` runs on."""
    name = getattr(request, "param", "")
    if name == "native" and NATIVE is None:
        pytest.skip("callwright.sip._scan was not built")
    if not name:
        yield ""
        return
    with scanner(name):
        yield name
