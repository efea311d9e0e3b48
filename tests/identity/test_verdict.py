"""STIR/SHAKEN: each way in which an Identity can fail, with its code (RFC 8224 section 6.2.2)."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.identity.authority import INFO, Authority, Signer, tn_auth_list
from callwright.identity.certificates import Numbers, Store, numbers_of
from callwright.identity.passport import (
    Claims,
    Malformed,
    Token,
    canonical,
    header_of,
    identity_header,
    payload_of,
    signed,
)
from callwright.identity.verdict import Judged, judge

NOW = 1_700_000_000.0
AUTHORITY = Authority(NOW)
SIGNER = AUTHORITY.signer()
CLAIMS = Claims("+43 (1) 234", ("+43456",), int(NOW), "A", "2c8b0fd4-0d4c-4b40-9d39-98ee0e3b4a9f")


def verdict(
    value: str,
    *,
    orig: str = "+431234",
    dest: str = "43456",
    now: float = NOW,
    store: Store | None = None,
) -> Judged:
    return judge([value], orig=orig, dest=dest, now=now, store=store or AUTHORITY.store(SIGNER))


def header(claims: Claims = CLAIMS, signer: Signer = SIGNER) -> str:
    return identity_header(claims, signer.key, INFO)


def test_a_signed_call_is_valid_and_tells_its_attestation() -> None:
    found = verdict(header())
    assert (found.verdict, found.attest, found.orig, found.dest) == ("valid", "A", "431234", ("43456",))


def test_the_token_is_that_of_rfc_8588() -> None:
    parts = header().split(";")[0].split(".")
    head, body = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in parts[:2])
    assert head == {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": INFO}
    assert list(body) == ["attest", "dest", "iat", "orig", "origid"]
    assert body["dest"] == {"tn": ["43456"]}
    assert header().endswith(f";info=<{INFO}>;alg=ES256;ppt=shaken")


def test_without_identity_it_is_428() -> None:
    found = judge([], orig="1", dest="2", now=NOW, store=AUTHORITY.store(SIGNER))
    assert (found.code, found.verdict) == (428, "absent")


@pytest.mark.parametrize(
    ("seconds", "code"), [(-61, 403), (-59, None), (0, None), (59, None), (61, 403), (3600, 403)]
)
def test_a_token_is_good_for_a_minute(seconds: int, code: int | None) -> None:
    assert verdict(header(), now=NOW + seconds).code == code


def test_the_wrong_key_is_438_and_named() -> None:
    found = verdict(header(signer=Authority(NOW).signer()))
    assert found.code == 438
    assert "another key" in found.reason


def test_a_signer_of_another_authority_is_437() -> None:
    other = Authority(NOW, "Others").signer()
    store = Store([AUTHORITY.root], [other.chain[0]])
    assert verdict(header(signer=other), store=store).code == 437


def test_an_authority_of_the_same_name_is_no_authority_of_ours() -> None:
    imposter = Authority(NOW).signer()
    assert verdict(header(signer=imposter), store=Store([AUTHORITY.root], imposter.chain)).code == 437


def test_an_expired_certificate_is_437() -> None:
    late = AUTHORITY.signer(expired=True)
    found = verdict(header(signer=late), store=AUTHORITY.store(late))
    assert found.code == 437
    assert "not valid at this time" in found.reason


def test_without_certificates_it_is_436() -> None:
    assert verdict(header(), store=Store([AUTHORITY.root])).code == 436


@pytest.mark.parametrize("info", ["http://a.example/x.pem", "file:///etc/passwd", "sip:x"])
def test_a_certificate_that_is_not_at_https_is_436(info: str) -> None:
    assert verdict(identity_header(CLAIMS, SIGNER.key, info)).code == 436


@pytest.mark.parametrize(("orig", "dest"), [("431235", "43456"), ("431234", "43457"), ("anonymous", "43456")])
def test_a_token_of_another_call_is_438(orig: str, dest: str) -> None:
    assert verdict(header(), orig=orig, dest=dest).code == 438


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256", "", "es256"])
def test_other_algorithms_are_438_even_with_a_good_signature(alg: str) -> None:
    token = signed({**header_of(INFO), "alg": alg}, payload_of(CLAIMS), SIGNER.key)
    found = verdict(f"{token};info=<{INFO}>")
    assert found.code == 438
    assert "ES256" in found.reason


def test_an_unsigned_token_is_438() -> None:
    said = header().split(";")[0].rsplit(".", 1)[0]
    assert verdict(f"{said}.;info=<{INFO}>;alg=ES256;ppt=shaken").code == 438


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "a.b.c;info=<https://x>",
        "..;info=<https://x>",
        header().replace("ppt=shaken", "ppt=div"),
        header().replace("alg=ES256", "alg=none"),
        header().replace(f"info=<{INFO}>", "info=<https://elsewhere.example/>"),
        header().split(";")[0],
        header() + ";broken",
        "A" * 100_000,
        base64.urlsafe_b64encode(b"[" * 10_000).decode() + ".e30.AA;info=<https://x>",
    ],
)
def test_what_cannot_be_read_is_438(value: str) -> None:
    assert verdict(value).code == 438


@pytest.mark.parametrize(
    "change",
    [
        {"iat": "now"},
        {"iat": True},
        {"iat": -1},
        {"orig": "431234"},
        {"orig": {"tn": 5}},
        {"dest": {}},
        {"dest": {"tn": [5]}},
        {"dest": {"tn": ["1"] * 65}},
        {"attest": 7},
        {"attest": "Z"},
    ],
)
def test_claims_that_claim_nothing_are_438(change: dict[str, object]) -> None:
    token = signed(header_of(INFO), {**payload_of(CLAIMS), **change}, SIGNER.key)
    assert verdict(f"{token};info=<{INFO}>").code == 438


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        (tn_auth_list(single=["431234"]), None),
        (tn_auth_list(ranges=[("431200", 100)]), None),
        (tn_auth_list(providers=["709J"]), None),
        (tn_auth_list(single=["431235"]), 437),
        (tn_auth_list(ranges=[("431000", 100)]), 437),
        (b"\x30\x82\xff\xff\x00", 437),
        (b"", 437),
    ],
)
def test_a_certificate_signs_for_its_numbers_alone(numbers: bytes, code: int | None) -> None:
    signer = AUTHORITY.signer(numbers=numbers)
    assert verdict(header(signer=signer), store=AUTHORITY.store(signer)).code == code


def test_a_list_of_numbers_is_read_whole() -> None:
    octets = tn_auth_list(providers=["709J"], ranges=[("1" * 60, 300)], single=["5"])
    found = numbers_of(AUTHORITY.signer(numbers=octets).chain[0])
    assert found == Numbers(("709J",), (("1" * 60, 300),), ("5",))


def test_one_good_token_of_several_is_enough() -> None:
    store = AUTHORITY.store(SIGNER)
    assert judge(["x", header()], orig="431234", dest="43456", now=NOW, store=store).code is None


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(value: str) -> None:
    with contextlib.suppress(Malformed):
        Token.read(value)


@given(st.text("0123456789", min_size=1, max_size=15), st.sampled_from(["", "+"]))
def test_numbers_are_compared_without_their_dress(digits: str, plus: str) -> None:
    assert canonical(f"{plus}{digits[:1]} ({digits[1:]})") == digits
