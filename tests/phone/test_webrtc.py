"""Phones whose audio finds its way by ICE and has its keys by DTLS, with one another."""

from __future__ import annotations

from typing import Any

import pytest

from callwright.ice.wish import IceWish
from callwright.net.own_certificate import make_identity
from callwright.outcome.call import CallOutcome
from callwright.outcome.judgement import judge_call
from callwright.outcome.terms import Blame, Failure, Verdict
from callwright.phone import audio
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan
from callwright.srtp.wish import SrtpWish
from tests.phone.test_srtp import heard, talk, two, until


def media(srtp: str = "dtls", ice: str = "on", *suites: str) -> MediaPlan:
    return MediaPlan(play="tone", srtp=SrtpWish(srtp, suites), ice=IceWish(ice))


def judged(one: CallOutcome) -> CallOutcome:
    assert one.failure is None, one.failure_detail
    assert one.received.packets is not None
    assert one.received.packets >= 5
    assert one.received.level_dbfs is not None
    assert one.received.level_dbfs > -40, "the tone, once it is open"
    return one


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"])
async def test_two_phones_hear_each_other_by_ice_with_keys_by_dtls(suite: str) -> None:
    outcomes = await talk(media("dtls", "on", suite), media())
    for one, role, dtls in zip(outcomes, ("controlling", "controlled"), ("server", "client"), strict=True):
        judged(one)
        assert one.ice is not None
        assert (one.ice.role, one.ice.local_type, one.ice.remote_type) == (role, "host", "host")
        assert one.ice.connected_ms is not None
        assert one.dtls is not None
        assert (one.dtls.role, one.dtls.suite) == (dtls, suite)
        assert one.dtls.fingerprint is not None
        assert one.dtls.fingerprint.startswith("sha-256 ")
        assert one.dtls.handshake_ms is not None
        assert one.srtp is not None
        assert (one.srtp.suite, one.srtp.auth_failures) == (suite, 0)
        assert one.remarks == ()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("dtls", "off"), ("dtls", "off")),
        (("off", "on"), ("off", "on")),
        (("required", "on"), ("optional", "on")),
        (("dtls", "on"), ("dtls", "lite")),
        (("dtls", "lite"), ("dtls", "on")),
        (("dtls", "lite"), ("dtls", "lite")),
        (("dtls", "on"), ("dtls", "off")),
    ],
)
async def test_each_part_works_without_the_others(ours: tuple[str, str], theirs: tuple[str, str]) -> None:
    outcomes = await talk(media(*ours), media(*theirs))
    for one in outcomes:
        judged(one)
        assert (one.ice is None) is ("off" in (ours[1], theirs[1]))
        assert (one.dtls is None) is (ours[0] != "dtls")
        assert (one.srtp is None) is (ours[0] == "off")


async def test_late_offer_and_hold_keep_way_and_keys() -> None:
    for plan in ({"late_offer": True}, {"hold_at": 0.1, "hold_for": 0.2}):

        def enough(report: Any) -> bool:
            return heard(report) and report.received.packets >= 40

        outcomes = await talk(media(), media(), enough, **plan)
        for one in outcomes:
            judged(one)
            assert one.srtp is not None
            assert one.srtp.auth_failures == 0


async def test_a_certificate_that_does_not_match_gives_no_media(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody between both has a certificate of their own."""
    stranger = make_identity()
    honest = audio.CallAudio._path

    def forged(self: audio.CallAudio) -> Any:
        from dataclasses import replace

        made = honest(self)
        return replace(made, identity=stranger) if made is not None and self.plan.voice == "man" else made

    monkeypatch.setattr(audio.CallAudio, "_path", forged)
    async with two() as (caller, callee):
        address = await callee.listen("127.0.0.1", 0)
        theirs = MediaPlan(play="tone", voice="man", srtp=SrtpWish("dtls"), ice=IceWish("on"))
        callee.on_call = lambda _: AnswerPlan(media=theirs)
        outcome = await caller.call(CallPlan(f"sip:bob@{address}", media(), talk_for=10.0)).finished
    assert outcome.failure is Failure.DTLS
    assert "The certificate of the peer does not match its SDP" in (outcome.failure_detail or "")
    assert not outcome.received.packets
    assert not outcome.sent.packets
    verdict, blame, reason = judge_call(outcome)
    assert (verdict, blame) == (Verdict.FAILED, Blame.TARGET)
    assert "agreed on no keys by DTLS: the certificate of the peer does not match" in reason


async def test_who_wants_dtls_makes_no_call_without() -> None:
    ours, theirs = await talk(media(), MediaPlan(play="tone"))
    assert ours.sip_code == theirs.sip_code == 488
    ours, theirs = await talk(MediaPlan(play="tone"), media())
    assert ours.sip_code == 488
    assert "keys by DTLS are required here" in (theirs.failure_detail or "")


async def test_a_call_that_ends_before_the_handshake_is_told() -> None:
    async with two() as (caller, callee):
        address = await callee.listen("127.0.0.1", 0)
        callee.on_call = lambda _: AnswerPlan(media=media("dtls", "on"))
        placed = caller.call(CallPlan(f"sip:bob@{address}", media(), talk_for=0.0))
        outcome = await placed.finished
    assert outcome.failure in (Failure.ICE, Failure.DTLS, None)


async def test_a_long_call_keeps_hearing() -> None:
    """Beyond the moment when the engine is no longer quick for checks."""
    async with two() as (caller, callee):
        address = await callee.listen("127.0.0.1", 0)
        callee.on_call = lambda _: AnswerPlan(media=media())
        placed = caller.call(CallPlan(f"sip:bob@{address}", media(), talk_for=None))
        await until(placed, lambda report: heard(report) and report.received.packets >= 60)
        placed.hangup()
        outcome = judged(await placed.finished)
    assert outcome.received.heard_pct is not None
    assert outcome.received.heard_pct > 90
