"""Digest authentication of the load loop: both loops answer a challenge with the same octets."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callwright.generator import load_digest
from callwright.generator.loop import is_native
from callwright.sip.digest import Challenge, Credentials, answer_challenge, parse_parameters

pytestmark = pytest.mark.skipif(not is_native(), reason="the native loop was not built here")

CNONCE = b"0123456789abcdef"
BODY = b"v=0\r\n" + bytes(range(256))
WORDS = [
    b"Digest ", b"digest\t", b"Basic ", b'realm="here"', b'realm="a \\"b\\" c"', b"realm=bare",
    b'nonce="abc"', b'nonce="a\\\\b"', b"nonce=", b"algorithm=MD5", b"algorithm=sha-256",
    b'algorithm="SHA-256"', b"algorithm=SHA-512-256", b"algorithm=SHA-256-sess", b"algorithm=-sess",
    b"algorithm=MD5-sess-sess",
    b"algorithm=SHA-1", b"algorithm=\xff", b'qop="auth"', b'qop="auth-int, AUTH"', b"qop=auth-int", b'qop=""',
    b'opaque="x"', b"stale=true", b",", b", ", b"=", b'"', b"\\", b"\r\n ", b"\x0b", b"",
]  # fmt: skip


@pytest.mark.parametrize(
    ("algorithm", "name"), [("MD5", "md5"), ("SHA-256", "sha256"), ("SHA-512-256", "sha512_256")]
)
@given(data=st.binary(max_size=400))
def test_every_hash_is_that_of_the_standard(algorithm: str, name: str, data: bytes) -> None:
    from callwright.generator._loop import digest

    if name not in hashlib.algorithms_available:
        pytest.skip(f"this Python has no {name} to compare with")
    assert digest(data, algorithm).decode() == hashlib.new(name, data, usedforsecurity=False).hexdigest()


def _both(challenge: bytes, *, proxy: bool, user: bytes) -> tuple[bytes | None, bytes | None]:
    from callwright.generator import _loop

    answers = [
        room.authorization(
            challenge,
            proxy=proxy,
            user=user,
            password=b"pass word",
            method=b"INVITE",
            uri=b"sip:a@b",
            cnonce=CNONCE,
            body=BODY,
        )
        for room in (_loop, load_digest)
    ]
    return answers[0], answers[1]


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.booleans(), st.binary(max_size=8))
@example([b"Digest ", b'nonce="abc"', b", ", b"algorithm=SHA-256-sess"], False, b'a"b')
@example([b"Digest ", b'nonce="abc\\'], True, b"")
def test_both_answer_a_challenge_with_the_same_octets(words: list[bytes], proxy: bool, user: bytes) -> None:
    ours, theirs = _both(b"".join(words), proxy=proxy, user=user)
    assert ours == theirs


@given(st.binary(max_size=80))
def test_both_answer_whatever_comes_as_a_challenge(junk: bytes) -> None:
    for challenge in (junk, b"Digest " + junk, b'Digest realm="r", nonce="n", qop="auth"' + junk):
        ours, theirs = _both(challenge, proxy=False, user=b"u")
        assert ours == theirs


@pytest.mark.parametrize("algorithm", ["", "MD5", "MD5-sess", "SHA-256", "SHA-512-256", "SHA-512-256-sess"])
@pytest.mark.parametrize("qop", ["", "auth", "auth-int,auth", "auth-int", "x, AUTH-INT"])
def test_the_answer_is_that_of_the_phone(algorithm: str, qop: str) -> None:
    text = 'Digest realm="at \\"home\\"", nonce="abc", opaque="o"'
    text += f", algorithm={algorithm}" if algorithm else ""
    text += f', qop="{qop}"' if qop else ""
    ours, _ = _both(text.encode(), proxy=False, user=b"1001")
    assert ours is not None
    challenge = Challenge.parse(text)
    assert challenge is not None
    expected = answer_challenge(
        challenge,
        Credentials("1001", "pass word"),
        method="INVITE",
        uri="sip:a@b",
        cnonce=CNONCE.decode(),
        body=BODY,
    )
    name, _, value = ours.decode().strip().partition(": ")
    assert name == "Authorization"
    assert parse_parameters(value)[1] == parse_parameters(expected)[1]
