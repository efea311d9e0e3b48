"""Keys for SRTP in descriptions: read, refused by name, offered, answered (RFC 4568)."""

from __future__ import annotations

import base64
import contextlib
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.sdp.crypto import Crypto, parse_crypto
from callwright.sdp.description import SessionDescription
from callwright.sdp.formats import audio_format
from callwright.sdp.lines import SdpError
from callwright.sdp.negotiation import (
    LocalMedia,
    Negotiated,
    NotAcceptable,
    answer,
    conclude,
    offer,
    reanswer,
    reoffer,
)
from callwright.srtp.suite import FIRST_OFFERED, SUITES
from tests.kit.examples import examples

CM, CM32, GCM = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_256_GCM"
HEAD = "v=0\r\no=peer 5 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"


def key(suite: str, seed: int = 1) -> bytes:
    return random.Random(f"{suite}{seed}").randbytes(SUITES[suite].master)


def inline(octets: int) -> str:
    return "inline:" + base64.b64encode(bytes(range(octets))).decode()


def side(srtp: str, *suites: str, seed: int = 1, port: int = 4000) -> LocalMedia:
    named = () if srtp == "off" else suites or tuple(SUITES)
    crypto = tuple(Crypto(0, name, key(name, seed)) for name in named)
    return LocalMedia("192.0.2.1", port, (audio_format("pcmu"),), srtp=srtp, crypto=crypto)


def theirs(*lines: str) -> SessionDescription:
    return SessionDescription.parse(HEAD + "".join(f"{line}\r\n" for line in lines))


def refusal(description: SessionDescription, local: LocalMedia) -> str:
    with pytest.raises(NotAcceptable) as caught:
        answer(description, local, 9)
    assert (caught.value.status, caught.value.warning_code) == (488, 302)
    return caught.value.reason


def settled(one: LocalMedia, other: LocalMedia) -> tuple[Negotiated, Negotiated, SessionDescription]:
    """What caller and callee agree on, over the wire; and the answer."""
    sent = SessionDescription.parse(offer(one, 1).serialize())
    described, callee = answer(sent, other, 2)
    back = SessionDescription.parse(described.serialize())
    return conclude(sent, back), callee, back


# -- one line


@pytest.mark.parametrize("suite", SUITES)
def test_a_line_is_read_as_it_was_written(suite: str) -> None:
    one = Crypto(3, suite, key(suite))
    value = one.attribute.value
    assert value is not None
    assert parse_crypto(value) == one


@pytest.mark.parametrize(
    "tail",
    ["|2^20", "|2^48", "|1048576", " WSH=64", "|2^31 WSH=1024", " KDR=0", " -FUTURE=1"],
)
def test_what_changes_nothing_is_accepted(tail: str) -> None:
    assert parse_crypto(f"1 {CM} {inline(30)}{tail}").key == bytes(range(30))


def test_a_key_without_its_padding_and_a_suite_in_small_letters_are_accepted() -> None:
    assert parse_crypto(f"1 {GCM.lower()} {inline(44).rstrip('=')}").suite == GCM


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "not of the form"),
        (f"1 {CM}", "not of the form"),
        (f"x {CM} {inline(30)}", "not of the form"),
        (f"1234567890 {CM} {inline(30)}", "not of the form"),
        (f"1 F8_128_HMAC_SHA1_80 {inline(30)}", "the crypto suite 'F8_128_HMAC_SHA1_80' is unknown here"),
        (f"1 AES_192_CM_HMAC_SHA1_80 {inline(38)}", "'AES_192_CM_HMAC_SHA1_80' is unknown"),
        (f"1 {CM} uri:https://keys.example/1", "the key method 'uri' is unknown; there is only inline"),
        (f"1 {CM} inline", "the key method 'inline' is unknown"),
        (f"1 {CM} {inline(16)}", f"{CM} takes a key and salt of 30 octets, not 16"),
        (f"1 {CM} {inline(46)}", f"{CM} takes a key and salt of 30 octets, not 46"),
        (f"1 {GCM} {inline(46)}", f"{GCM} takes a key and salt of 44 octets, not 46"),
        (f"1 {CM} inline:", "takes a key and salt of 30 octets, not 0"),
        (f"1 {CM} inline:!!!!", "is not base64"),
        (f"1 {CM} inline:\udcff", "is not base64"),
        (f"1 {CM} {inline(30)}|1:4", r"the key has an MKI \(1:4\), which is not done here"),
        (f"1 {CM} {inline(30)}|2^20|1:32", r"the key has an MKI \(1:32\)"),
        (f"1 {CM} {inline(30)}|2^20|1:4;{inline(30)}|2^20|2:4", "2 keys at once need an MKI"),
        (f"1 {CM} {inline(30)}|2^49", r"the lifetime 2\^49 is above the 2\^48 packets"),
        (f"1 {CM} {inline(30)}|2^10", r"the lifetime 2\^10 is below 2\^16 packets"),
        (f"1 {CM} {inline(30)}|0", "the lifetime 0 is below"),
        (f"1 {CM} {inline(30)}|soon", "'soon' is neither the lifetime of a key nor its MKI"),
        (f"1 {CM} {inline(30)} KDR=1", "the session parameter 'KDR=1' is not done here"),
        (f"1 {CM} {inline(30)} UNENCRYPTED_SRTP", "'UNENCRYPTED_SRTP' is not done here"),
        (f"1 {CM} {inline(30)} UNAUTHENTICATED_SRTP", "'UNAUTHENTICATED_SRTP' is not done here"),
        (f"1 {CM} {inline(30)} FEC_ORDER=FEC_SRTP", "is not done here"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_by_name_and_not_shown(value: str, reason: str) -> None:
    with pytest.raises(SdpError, match=reason) as caught:
        parse_crypto(value)
    assert inline(30).removeprefix("inline:") not in str(caught.value)


@settings(max_examples=examples(200))
@given(st.text(max_size=80))
def test_any_text_is_a_key_or_an_error(text: str) -> None:
    with contextlib.suppress(SdpError):
        assert parse_crypto(text).suite in SUITES


def test_keys_show_in_no_text_of_a_value() -> None:
    caller, callee, _ = settled(side("required"), side("required", seed=2))
    for value in (side("required"), caller, callee):
        for secret in (key(CM), key(CM, 2)):
            assert repr(secret)[2:12] not in repr(value)
            assert base64.b64encode(secret).decode() not in repr(value)


# -- offer and answer


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize(("offering", "protocol"), [("optional", "RTP/AVP"), ("required", "RTP/SAVP")])
def test_both_sides_have_the_same_keys_the_other_way_round(suite: str, offering: str, protocol: str) -> None:
    caller, callee, described = settled(side(offering, suite), side("optional", seed=2))
    assert described.media[0].protocol == protocol
    assert len(described.media[0].values("crypto")) == 1
    assert caller.srtp is not None
    assert callee.srtp is not None
    assert caller.srtp.suite == callee.srtp.suite == suite
    assert caller.srtp.send == callee.srtp.receive == key(suite)
    assert caller.srtp.receive == callee.srtp.send == key(suite, 2)
    assert caller.remarks == callee.remarks == ()


def test_the_answer_takes_the_first_suite_of_the_offer_that_it_has_with_the_tag_of_the_offer() -> None:
    caller, callee, described = settled(side("required", CM32, GCM, CM), side("optional", CM, GCM, seed=2))
    assert caller.srtp is not None
    assert callee.srtp is not None
    assert caller.srtp.suite == callee.srtp.suite == GCM
    assert described.media[0].values("crypto")[0].startswith(f"2 {GCM} inline:")


@pytest.mark.parametrize(
    ("offering", "answering"), [("off", "optional"), ("optional", "off"), ("off", "off")]
)
def test_a_side_without_keys_makes_it_plain_rtp(offering: str, answering: str) -> None:
    caller, callee, described = settled(side(offering, CM), side(answering, CM))
    assert caller.srtp is callee.srtp is None
    assert described.media[0].protocol == "RTP/AVP"
    assert not described.media[0].has("crypto")
    said = ("The peer names SRTP keys (a=crypto) for plain RTP/AVP; they are not used.",)
    assert callee.remarks == (said if offering == "optional" else ())


@pytest.mark.parametrize(
    ("lines", "local", "reason"),
    [
        (["m=audio 4 RTP/SAVP 0"], side("off"), "it wants RTP/SAVP, this side has RTP/AVP"),
        (["m=audio 4 RTP/SAVP 0"], side("optional"), "is RTP/SAVP and has no key (a=crypto)"),
        (["m=audio 4 RTP/AVP 0"], side("required"), "is plain RTP/AVP, SRTP is required here, and it has no"),
        (["m=audio 4 RTP/SAVPF 0"], side("optional"), "it wants RTP/SAVPF, this side has RTP/AVP and RTP/SA"),
        (["m=audio 4 UDP/TLS/RTP/SAVP 0"], side("required"), "it wants UDP/TLS/RTP/SAVP"),
        (
            ["m=audio 4 RTP/SAVP 0", f"a=crypto:1 {CM} {inline(16)}", f"a=crypto:2 NULL {inline(30)}"],
            side("optional"),
            f"{CM} takes a key and salt of 30 octets, not 16; the crypto suite 'NULL' is unknown here.",
        ),
        (
            ["m=audio 4 RTP/AVP 0", f"a=crypto:1 {CM} {inline(30)}|1:4"],
            side("required"),
            "No key for SRTP on offer can be used: the key has an MKI (1:4)",
        ),
        (
            ["m=audio 4 RTP/SAVP 0", f"a=crypto:1 {CM} {inline(30)}"],
            side("optional", GCM),
            f"the crypto suite {CM} was not chosen here",
        ),
    ],
)
def test_an_offer_that_cannot_be_encrypted_as_wanted_is_refused_by_name(
    lines: list[str], local: LocalMedia, reason: str
) -> None:
    assert reason in refusal(theirs(*lines), local)


def test_a_bad_key_beside_plain_rtp_is_remarked_and_the_call_is_plain() -> None:
    described = theirs("m=audio 4 RTP/AVP 0", f"a=crypto:1 {CM} {inline(16)}")
    negotiated = answer(described, side("optional"), 9)[1]
    assert negotiated.srtp is None
    assert negotiated.remarks == (
        f"A key for SRTP on offer was not used: {CM} takes a key and salt of 30 octets, not 16.",
    )


def test_of_a_plain_and_an_encrypted_stream_the_one_that_may_be_is_taken() -> None:
    both = theirs("m=audio 4 RTP/AVP 0", "m=audio 6 RTP/SAVP 0", f"a=crypto:7 {CM} {inline(30)}")
    described, negotiated = answer(both, side("required"), 9)
    assert [media.port for media in described.media] == [0, 4000]
    assert negotiated.srtp is not None
    assert described.media[1].values("crypto")[0].startswith(f"7 {CM} ")
    described, negotiated = answer(both, side("off"), 9)
    assert [media.port for media in described.media] == [4000, 0]
    assert negotiated.srtp is None


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["m=audio 4 RTP/SAVP 0"], "has no key for SRTP (a=crypto), and our offer was RTP/SAVP"),
        (["m=audio 4 RTP/AVP 0"], "has no key for SRTP (a=crypto), and our offer was RTP/SAVP"),
        (
            ["m=audio 4 RTP/SAVP 0", f"a=crypto:9 {CM} {inline(30)}"],
            "our offer had no key with the tag 9",
        ),
        (
            ["m=audio 4 RTP/SAVP 0", f"a=crypto:1 {CM32} {inline(30)}"],
            f"its key 1 is for {CM32}, ours was for {CM}",
        ),
        (["m=audio 4 RTP/SAVP 0", f"a=crypto:1 {CM} {inline(29)}"], "30 octets, not 29"),
    ],
)
def test_an_answer_whose_key_cannot_be_used_ends_the_agreement(lines: list[str], reason: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        conclude(offer(side("required", CM), 1), theirs(*lines))
    assert reason in caught.value.reason


def test_a_key_in_an_answer_of_the_other_profile_is_used_with_a_remark() -> None:
    described = theirs("m=audio 4 RTP/AVP 0", f"a=crypto:1 {CM} {inline(30)}")
    negotiated = conclude(offer(side("required", CM), 1), described)
    assert negotiated.srtp is not None
    assert negotiated.remarks == ("The answer is RTP/AVP with a key, the offer was RTP/SAVP.",)


# -- a session goes on


def test_hold_keeps_keys_and_profile() -> None:
    local = side("optional", *FIRST_OFFERED)
    first = theirs("m=audio 4 RTP/SAVP 0", f"a=crypto:4 {CM} {inline(30)}")
    ours, before = answer(first, local, 9)
    again = reoffer(ours, replace(local, direction="sendonly"))
    assert again.media[0].protocol == "RTP/SAVP"
    back = theirs("m=audio 4 RTP/SAVP 0", f"a=crypto:1 {CM} {inline(30)}", "a=recvonly")
    assert conclude(again, back).srtp == before.srtp
    assert reanswer(first, again, local)[1].srtp == before.srtp


def test_new_keys_of_either_side_are_in_the_next_agreement() -> None:
    local = side("required", CM)
    ours, before = answer(theirs("m=audio 4 RTP/SAVP 0", f"a=crypto:1 {CM} {inline(30)}"), local, 9)
    other = base64.b64encode(bytes(30)).decode()
    again = theirs("m=audio 4 RTP/SAVP 0", f"a=crypto:1 {CM} inline:{other}")
    _, after = reanswer(again, ours, side("required", CM, seed=5))
    assert before.srtp is not None
    assert after.srtp is not None
    assert (after.srtp.receive, after.srtp.send) == (bytes(30), key(CM, 5))
    assert before.srtp.send != after.srtp.send


def test_sides_name_keys_exactly_where_they_do_srtp() -> None:
    with pytest.raises(SdpError, match="does not go with 0 keys"):
        replace(side("off"), srtp="optional")
    with pytest.raises(SdpError, match="does not go with 6 keys"):
        replace(side("required"), srtp="off")
