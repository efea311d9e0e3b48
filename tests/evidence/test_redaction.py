from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.evidence.redaction import Redactor, StreamRedactor

DIGEST = b'username="1001", realm="r", nonce="n0nce", uri="sip:x", response="5ec4e7"'


@pytest.mark.parametrize(
    ("line", "kept", "gone"),
    [
        (b"Authorization: Digest " + DIGEST, b'nonce="n0nce"', b"5ec4e7"),
        (b"proxy-authorization : DIGEST " + DIGEST, b'username="1001"', b"5ec4e7"),
        (b'Authorization: Digest username="a",\r\n  response="5ec4e7"', b'username="a"', b"5ec4e7"),
        (b"Authorization: Digest response=5ec4e7", b"Digest response=", b"5ec4e7"),
        (b"Authorization: Bearer eyJ0.abc", b"Bearer ", b"eyJ0"),
        (b"Authorization: Basic Zm9vOmJhcg==", b"Basic ", b"Zm9v"),
        (b'Authentication-Info: rspauth="5ec4e7", nc=00000001', b"nc=00000001", b"5ec4e7"),
        (b"X-Api-Key: 5ec4e7", b"X-Api-Key: ", b"5ec4e7"),
        (b"X-Auth-Token:5ec4e7 part two", b"X-Auth-Token:", b"part"),
        (b"To: <sip:bob:5ec4e7@example.com>", b"sip:bob:", b"5ec4e7"),
        (b"Contact: <sip:bob@h;access_token=5ec4e7;ob>", b";ob>", b"5ec4e7"),
        (b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0Rm/+=|2^20|1:32", b"|2^20|1:32", b"d0Rm"),
        (b"k=clear:5ec4e7", b"k=clear:", b"5ec4e7"),
        (b"a=ice-pwd:5ec4e7", b"a=ice-pwd:", b"5ec4e7"),
    ],
)
def test_a_secret_goes_and_what_explains_stays(line: bytes, kept: bytes, gone: bytes) -> None:
    message = b"INVITE sip:x SIP/2.0\r\n" + line + b"\r\nSubject: response time\r\n\r\n"
    redacted = Redactor().message(message)
    assert gone not in redacted
    assert kept in redacted
    assert b"Subject: response time" in redacted
    assert len(redacted) == len(message)


def test_literal_secrets_go_wherever_they_stand() -> None:
    redactor = Redactor(["hunter22", "abc"])
    assert redactor.message(b"Subject: hunter22 abc") == b"Subject: ******** abc"
    assert redactor.text("the password hunter22") == "the password ********"


def test_nothing_changes_when_it_is_switched_off() -> None:
    line = b"Authorization: Digest " + DIGEST
    assert Redactor(["hunter22"], enabled=False).message(line) == line


def test_a_document_loses_passwords_by_key_and_headers_by_name() -> None:
    document = {
        "parameters": {
            "step.0.0.password": "x",
            "step.1.0.dial_destination": "sip:a:b@c",
            "step.1.0.headers": "X-Token: abc, Authorization: Bearer def, X-Plain: g, h",
        },
        "messages": [{"headers": [["Authorization", 'Digest response="5ec4e7"'], ["Subject", "hello"]]}],
        "passed": True,
        "verdict": "passed",
    }
    assert Redactor().document(document) == {
        "parameters": {
            "step.0.0.password": "(secret)",
            "step.1.0.dial_destination": "sip:a:*@c",
            "step.1.0.headers": "X-Token: ***, Authorization: Bearer ***, X-Plain: g, h",
        },
        "messages": [{"headers": [["Authorization", 'Digest response="******"'], ["Subject", "hello"]]}],
        "passed": True,
        "verdict": "passed",
    }


@given(st.integers(1, 250), st.integers(1, 250))
def test_a_secret_cut_anywhere_by_a_stream_is_found(first: int, second: int) -> None:
    message = (
        b"BYE sip:x SIP/2.0\r\nAuthorization: Digest " + DIGEST.replace(b", r", b",\r\n r") + b"\r\n\r\n"
    )
    cuts = sorted({0, min(first, len(message)), min(second, len(message)), len(message)})
    stream = StreamRedactor(Redactor())
    pieces = [stream.feed(message[a:b]) for a, b in pairwise(cuts)]
    assert b"".join(pieces) == Redactor().message(message)


@given(st.binary(max_size=300))
def test_any_octets_keep_their_length(data: bytes) -> None:
    assert len(Redactor(["secret"]).message(data)) == len(data)
