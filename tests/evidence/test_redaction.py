from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.evidence.redaction import Redactor, StreamRedactor, is_secret_header

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


SECRET_NAMES = (
    *(
        "X-Auth-Token",
        "X_Auth_Token",
        "X.Api.Token",
        "X-Api-Key",
        "X_Api_Key",
        "X.Api.Key",
        "X!Token",
        "XApiKey",
    ),
    *("X-Auth", "X-Auth-Key", "X-AuthKey", "XAuth", "X-Access-Key", "Ocp-Apim-Subscription-Key", "X-Keys"),
    *("X-Signature", "X-Pwd", "X-JWT", "X-Session-Id", "X-SessionID", "X-Session_Key", "X-Session", "X-Pin"),
    *("Authorization", "Proxy-Authorization", "X-Authorization", "P-Media-Authorization", "X-Authentication"),
    *("X-Passcode", "X-PSK", "X-HMAC", "X-OTP", "X-Bearer", "X-Private-Key", "Cookie", "Set-Cookie", "DPoP"),
)
SHOWN_NAMES = (
    *("Via", "From", "To", "Call-ID", "CSeq", "Contact", "Route", "Record-Route", "Max-Forwards", "Expires"),
    *("Session-Expires", "Session-ID", "Min-SE", "Security-Verify", "Security-Client", "Security-Server"),
    *("P-Asserted-Identity", "P-Preferred-Identity", "Identity", "Identity-Info", "Privacy", "Warning"),
    *("WWW-Authenticate", "Proxy-Authenticate", "Authentication-Info", "Proxy-Authentication-Info", "Reason"),
    *("Subscription-State", "Resource-Priority", "P-Charging-Vector", "P-Access-Network-Info", "Subject"),
    *("Sec-WebSocket-Key", "X-Author", "X-Pinned-To", "X-Keypad", "Authority", "Geolocation", "SIP-ETag"),
)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_the_value_of_a_header_with_a_secret_name_is_masked_wherever_it_is_written(name: str) -> None:
    redactor, value = Redactor(), "hunter22abc"
    message = redactor.message(f"INVITE sip:x SIP/2.0\r\n{name}: {value}\r\nX-A: b\r\n".encode())
    written = (
        redactor.header(name, value),
        redactor.header_line(f"{name}: {value}"),
        redactor.document({"step.0.0.headers": f"X-A: b, {name}: {value}, X-C: d"}),
        redactor.document({"headers": ["X-A: b", f"{name}: {value}"]}),
        redactor.document({"headers": {name: value}}),
        redactor.document({"messages": [{"headers": [[name, value]]}]}),
    )
    assert value not in message.decode()
    assert message.endswith(b"\r\nX-A: b\r\n")
    assert [text for text in written if value in str(text)] == []


@pytest.mark.parametrize("name", SHOWN_NAMES)
def test_a_header_that_explains_a_call_is_shown(name: str) -> None:
    assert not is_secret_header(name)
    assert Redactor().header(name, "1800;refresher=uac") == "1800;refresher=uac"


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("rawtoken", "********"),
        ("raw token", "*** *****"),
        ("Bearer abc", "Bearer ***"),
        ("Basic YTpi", "Basic ****"),
        ("Digest hunter22", "Digest ********"),
        ("Digest aGk=", "Digest ****"),
        ('Digest realm="r", response="5ec4"', 'Digest realm="r", response="****"'),
        ('Digest username = "u", cnonce="c"', 'Digest username = "u", cnonce="c"'),
    ],
)
@pytest.mark.parametrize("name", ["Authorization", "Proxy-Authorization", "X-Authorization"])
def test_credentials_without_a_known_scheme_are_masked_whole(name: str, value: str, masked: str) -> None:
    assert Redactor().header(name, value) == masked


def test_a_bearer_token_is_masked_in_any_header() -> None:
    assert Redactor().header("X-Forward", "Bearer abc def") == "Bearer *** ***"


@pytest.mark.parametrize("who", ["", "bob.", "step.1.0.", "caller.received."])
@pytest.mark.parametrize(
    "value",
    ["= hunter22", "!= hunter22", "~ /hunter22/", "in [a, hunter22]", "not in [hunter22]", "=hunter22"],
)
@pytest.mark.parametrize("name", ["X-Api-Key", "X_Auth_Token", "Authorization", "X-Pwd"])
def test_a_condition_on_a_secret_header_hides_what_was_asked_for_and_seen(
    who: str, value: str, name: str
) -> None:
    text = f"{who}header {name} of INVITE {value}"
    condition = {"text": text, "expected": value, "seen": "hunter22 (1 of 2 failed)", "passed": False}
    redacted = Redactor().document({"conditions": [condition]})["conditions"][0]
    assert "hunter22" not in str(redacted)
    assert redacted["text"].startswith(f"{who}header {name} of INVITE ")
    assert redacted["seen"] == "(secret) (1 of 2 failed)"


@pytest.mark.parametrize(
    ("text", "seen", "masked"),
    [
        ("header X-Api-Key present", "hunter22", "(secret)"),
        ("header X-Api-Key of 200 absent", "hunter22", "(secret)"),
        ("header X-Api-Key = a", None, None),
        ("header X-Api-Key = a", "nothing (2 of 2 failed)", "nothing (2 of 2 failed)"),
        ("header X-Test = a", "b", "b"),
        ("mos >= 4.0", "3.2", "3.2"),
    ],
)
def test_what_a_condition_saw_is_hidden_only_where_its_header_is_secret(
    text: str, seen: str | None, masked: str | None
) -> None:
    assert Redactor().document({"text": text, "expected": "", "seen": seen})["seen"] == masked


SEVERAL = "The X-Api-Key header of INVITE was hunter22, where hunter22 was expected (1 of 2 calls)."


@pytest.mark.parametrize(
    ("sentence", "redacted"),
    [
        (SEVERAL, "The X-Api-Key header of INVITE was (secret)"),
        ("The X_Pwd header was hunter22, where none was expected.", "The X_Pwd header was (secret)"),
        (
            "No X-JWT header of 180 came, where hunter22 was expected.",
            "No X-JWT header of 180 came, where (secret)",
        ),
        *(
            (same, same)
            for same in (
                "No X-JWT header of 180 came, where one was expected.",
                "The X-Test header was a, where b was expected.",
                "No Session-Expires header of 200 came, where 1800 was expected.",
            )
        ),
    ],
)
def test_a_reason_says_no_secret_of_a_condition(sentence: str, redacted: str) -> None:
    assert Redactor().text(sentence) == redacted


@pytest.mark.parametrize(
    ("uri", "redacted"),
    [
        ("sip:a@h?X_Auth_Token=hunter22&Subject=b", "sip:a@h?X_Auth_Token=********&Subject=b"),
        ("sip:a@h?X-Auth-Key=hunter22", "sip:a@h?X-Auth-Key=********"),
        ("sip:a@h;pwd=hunter22;lr", "sip:a@h;pwd=********;lr"),
        ("sip:a@h;transport=tcp;user=phone", "sip:a@h;transport=tcp;user=phone"),
        ("https://h/run?session_id=4711", "https://h/run?session_id=4711"),
    ],
)
def test_secret_parameters_and_headers_of_a_uri_are_masked(uri: str, redacted: str) -> None:
    assert Redactor().text(uri) == redacted


def test_a_long_line_of_secret_words_costs_no_time() -> None:
    data = b"pass" * 20_000
    assert Redactor().message(data + b"\r\n;" + data) == data + b"\r\n;" + data


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
