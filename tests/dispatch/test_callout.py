"""Logins that a NATS server asks us about: read from whatever comes, answered in signed tokens."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from callwright.dispatch.callout import BadRequest, Issuer, Login, account_of, login_of, nkey

KEY = nkey(20 << 3, bytes(range(32)))


def token(claims: Any) -> bytes:
    return b"head." + base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=") + b".signature"


def asked(**opts: Any) -> dict[str, Any]:
    return {"nats": {"server_id": {"id": "NSERVER"}, "user_nkey": KEY, "connect_opts": opts}}


def claims(answer: bytes) -> Any:
    body = answer.split(b".")[1]
    return json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))


def test_a_login_is_read() -> None:
    assert login_of(token(asked(user="agent-7", **{"pass": "secret"}))) == Login(
        "NSERVER", KEY, "agent-7", "secret"
    )
    assert "secret" not in repr(Login("NSERVER", KEY, "agent-7", "secret"))
    assert login_of(token(asked())).user == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a.b",
        b"a.!!!.c",
        b"a." + b"x" * 100_000 + b".c",
        token([]),
        token({"nats": None}),
        token({"nats": {"server_id": {"id": "N"}, "user_nkey": KEY[:-1] + "A", "connect_opts": {}}}),
        token({"nats": {"server_id": {"id": "N"}, "user_nkey": nkey(0, bytes(32)), "connect_opts": {}}}),
    ],
)
def test_what_is_no_login_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        login_of(data)


def test_an_answer_is_signed_for_the_server_that_asked_and_ends() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    issuer, seed = Issuer(b"s" * 32), Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    login = Login("NSERVER", KEY, "agent-7", "secret")
    rights = {"publish": {"allow": ["cw.agent.7.>"]}, "subscribe": {"allow": ["cw.kill"]}}
    answer = issuer.admit(login, rights, account="$G", now=1000.0, lasts=60.0)
    told = claims(answer)
    assert (told["aud"], told["sub"], told["iss"]) == ("NSERVER", KEY, issuer.public)
    user = claims(told["nats"]["jwt"].encode())
    assert (user["aud"], user["sub"], user["exp"], user["name"]) == ("$G", KEY, 1060, "agent-7")
    assert user["nats"]["pub"] == {"allow": ["cw.agent.7.>"]}
    assert user["nats"]["sub"] == {"allow": ["cw.kill"]}
    for signed in (answer, told["nats"]["jwt"].encode()):
        text, _, signature = signed.rpartition(b".")
        seed.public_key().verify(base64.urlsafe_b64decode(signature + b"=="), text)
    assert "secret" not in str(told)
    assert claims(issuer.refuse(login, "revoked", 1000.0))["nats"]["error"] == "revoked"


def test_our_account_is_read() -> None:
    assert account_of(b'{"data": {"account": "CW"}}') == "CW"
    for wrong in (b"", b"[]", b"{}", b'{"data": null}'):
        with pytest.raises(BadRequest):
            account_of(wrong)
