"""Digest authentication of the load loop: its answers are those of the phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.generator._loop import authorization, without_libcrypto
from tests.generator.oracle import check_challenge

BODY = b"v=0\r\n" + bytes(range(256))
TEXTS = st.text(st.sampled_from("ab1 ,=:'\u00e9"), max_size=12)
PARAMETERS = {
    "realm": TEXTS.map(lambda text: f'"{text}"') | st.sampled_from(['"a \\"b\\" c"', "bare"]),
    "nonce": st.sampled_from(['"abc"', '"a\\\\b"', "bare"]),
    "algorithm": st.sampled_from(
        ["MD5", "sha-256", '"SHA-256"', "SHA-512-256", "MD5-sess", "SHA-256-sess", "SHA-512-256-sess"]
    ),
    "qop": st.sampled_from(['"auth"', '"auth-int, AUTH"', "auth-int", '"x,auth"']),
    "opaque": st.sampled_from(['"x"', '"a, b=c"']),
    "stale": st.sampled_from(["true", "FALSE"]),
    "domain": st.just('"sip:a, sip:b"'),
}
MORE = {name: values for name, values in PARAMETERS.items() if name not in ("realm", "nonce")}
WORDS = [
    b"Digest ", b"digest\t", b"Basic ", b'realm="here"', b'realm="a \\"b\\" c"', b"realm=bare",
    b'nonce="abc"', b'nonce="a\\\\b"', b"nonce=", b"algorithm=MD5", b"algorithm=sha-256",
    b"algorithm=-sess", b"algorithm=MD5-sess-sess", b"algorithm=SHA-1", b"algorithm=\xff", b'qop="auth"',
    b"qop=auth-int", b'qop=""', b'opaque="x"', b"stale=true", b",", b", ", b"=", b'"', b"\\",
    b"\r\n ", b"\x0b",
]  # fmt: skip


@pytest.fixture(params=["libcrypto", "hashlib"])
def hashes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both ways to the hashes: a Python that was linked whole hides libcrypto."""
    if without_libcrypto(request.param == "hashlib") and request.param == "libcrypto":
        pytest.skip("this Python hides libcrypto")
    yield
    without_libcrypto(False)


@pytest.mark.usefixtures("hashes")
@given(
    st.fixed_dictionaries({"realm": PARAMETERS["realm"], "nonce": PARAMETERS["nonce"]}, optional=MORE),
    st.permutations(list(PARAMETERS)),
    st.text(max_size=8),
)
def test_the_answer_is_that_of_the_phone(said: dict[str, str], order: list[str], user: str) -> None:
    told = ", ".join(f"{name}={said[name]}" for name in order if name in said)
    assert check_challenge(f"Digest {told}".encode(), user=user, body=BODY)


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_a_challenge_that_both_answer_gets_the_same_answer(words: list[bytes]) -> None:
    check_challenge(b"".join(words))


@given(st.binary(max_size=80), st.booleans())
def test_any_octets_get_one_line_or_no_answer(junk: bytes, proxy: bool) -> None:
    for challenge in (junk, b"Digest " + junk, b'Digest realm="r", nonce="n", qop="auth"' + junk):
        line = authorization(
            challenge, proxy=proxy, user=b"u", password=b"p", method=b"BYE", uri=b"sip:a", cnonce=bytes(16)
        )
        start = b"Proxy-Authorization: Digest " if proxy else b"Authorization: Digest "
        assert line is None or (line.startswith(start) and line.endswith(b"\r\n"))


def test_what_is_too_long_to_be_hashed_gets_no_answer() -> None:
    for count in (100, 30_000):
        line = authorization(
            b'Digest realm="r", nonce="n"',
            proxy=False,
            user=b"u",
            password=b"p" * count,
            method=b"BYE",
            uri=b"sip:a",
            cnonce=bytes(16),
        )
        assert (line is None) is (count == 30_000)
