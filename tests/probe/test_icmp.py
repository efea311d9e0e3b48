from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callwright.probe.icmp import Echo, GivenBack, echo_request, read


@given(st.sampled_from([4, 6]), st.binary(max_size=120))
def test_nothing_that_comes_makes_it_raise(version: int, data: bytes) -> None:
    assert isinstance(read(version, data), Echo | GivenBack | None)


@given(st.binary(max_size=60), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_an_error_that_quotes_a_request_names_it(quoted: bytes, identifier: int, number: int) -> None:
    request = echo_request(6, identifier, number, quoted)
    header = bytes([0x60]) + bytes(5) + bytes([58]) + bytes(33)
    found = read(6, bytes([3, 0]) + bytes(6) + header + request)
    assert found == GivenBack(identifier, number, "the way is longer than its hop limit, or a loop", True)


def test_an_error_about_something_else_is_none_of_ours() -> None:
    udp = bytes([0x45]) + bytes(8) + bytes([17]) + bytes(10) + bytes(8)
    assert read(4, bytes([3, 3]) + bytes(6) + udp) is None
