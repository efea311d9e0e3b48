"""Services of the PBX with real audio on loopback: what is played is heard, what is said is recorded."""

from __future__ import annotations

import asyncio
from pathlib import Path

from callwright.audio.wav import read_wav
from callwright.outcome.call import CallOutcome
from callwright.pbx.accounts import PbxAccount
from callwright.pbx.plan import ConferenceRoom, EchoTest, Menu, PbxPlan
from callwright.pbx.record import CallConnected, MailboxChanged, PbxEvent
from callwright.pbx.server import Pbx, PbxConfig
from callwright.phone.phone import Phone
from callwright.phone.plan import Account as PhoneAccount
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig

PLAN = PbxPlan(
    (PbxAccount("1001", "a"), PbxAccount("1002", "b", mailbox=True, greeting=("beep",))),
    menus=(Menu("500", (("1", "1002"),), ("say:number",)),),
    conferences=(ConferenceRoom("800"),),
    echoes=(EchoTest("900"),),
)


def phone(user: str) -> Phone:
    return Phone(PhoneConfig(bind="127.0.0.1", user=user))


async def call(pbx: Pbx, of: Phone, number: str, **wishes: object) -> CallOutcome:
    account = PhoneAccount("1001", "a") if of.config.user == "1001" else PhoneAccount("1002", "b")
    placed = of.call(CallPlan(f"sip:{number}@{pbx.address}", account=account, **wishes))  # type: ignore[arg-type]
    async with asyncio.timeout(20):
        return await placed.finished


async def test_echo_conference_and_menu_carry_audio_and_keys() -> None:
    async with Pbx(PbxConfig("pbx.test", (), plan=PLAN)) as pbx, phone("1001") as alice, phone("1002") as bob:
        bob.on_call = lambda received: AnswerPlan(MediaPlan(play="tone"))
        registration = bob.register(f"sip:{pbx.address}", account=PhoneAccount("1002", "b"))
        assert await registration.first
        keys = MediaPlan(play="silence", dtmf="1", dtmf_after=0.3)
        echo, one, other, menu = await asyncio.gather(
            call(pbx, alice, "900", talk_for=2.0),
            call(pbx, alice, "800", talk_for=2.0, media=MediaPlan(play="speech")),
            call(pbx, bob, "800", talk_for=2.0, media=MediaPlan(play="silence")),
            call(pbx, alice, "500", talk_for=2.5, media=keys),
        )
    for outcome in (echo, one, other, menu):
        assert outcome.sip_code == 200
        assert outcome.received.packets is not None
        assert outcome.received.packets > 60
    assert echo.received.level_dbfs is not None
    assert echo.received.level_dbfs > -40, "its own speech"
    assert other.received.level_dbfs is not None
    assert other.received.level_dbfs > -40, "the speech of the other participant"
    assert menu.received.level_dbfs is not None
    assert menu.received.level_dbfs > -30, "the tone of the phone that the key led to"


async def test_voice_message_is_recorded_and_told(tmp_path: Path) -> None:
    told: list[PbxEvent] = []
    config = PbxConfig("pbx.test", (), plan=PLAN, messages=tmp_path)
    async with Pbx(config, on_event=told.append) as pbx, phone("1001") as alice:
        pbx.adopt(PbxPlan(PLAN.accounts))
        outcome = await call(pbx, alice, "1002", talk_for=3.5, media=MediaPlan(play="tone"))
    assert outcome.sip_code == 200
    assert [(event.user, event.new) for event in told if isinstance(event, MailboxChanged)] == [("1002", 1)]
    (audio,) = tmp_path.glob("1002/*.wav")
    wav = read_wav(audio)
    assert 1.2 < wav.duration < 3.4, "what was said after the two beeps"
    assert (
        max(abs(int.from_bytes(wav.pcm[at : at + 2], "little", signed=True)) for at in range(0, 8000, 2))
        > 1000
    )


async def test_a_call_by_click_counts_as_answered_from_the_answer_of_the_number_on() -> None:
    told: list[PbxEvent] = []
    async with (
        Pbx(PbxConfig("pbx.test", (), plan=PLAN), on_event=told.append) as pbx,
        phone("1001") as alice,
        phone("1002") as bob,
    ):
        alice.on_call = lambda received: AnswerPlan()
        bob.on_call = lambda received: AnswerPlan(answer_after=0.5)
        for one, secret in ((alice, "a"), (bob, "b")):
            account = PhoneAccount(one.config.user, secret)
            assert await one.register(f"sip:{pbx.address}", account=account).first
        record = pbx.click("1001", "1002")
        assert record is not None
        while not record.branches:
            await asyncio.sleep(0.01)
            assert record.answered_at is None, "the user's own phone is no answer to the call"
        answered = [event for event in told if isinstance(event, CallConnected)]
        assert not answered
        async with asyncio.timeout(20):
            while record.answered_at is None:
                await asyncio.sleep(0.01)
        assert [branch.answered for branch in record.branches] == [True]
        pbx.hang_up(record.id)
    assert len([event for event in told if isinstance(event, CallConnected)]) == 1
    assert record.status == 200
