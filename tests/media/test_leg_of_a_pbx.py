"""A leg without a phone speaks for a PBX: it plays an announcement to a caller and records what they say."""

from __future__ import annotations

import wave
from array import array
from math import cos, pi
from pathlib import Path

import pytest

from callwright.audio.tones import tone
from callwright.audio.wav import WavWriter
from callwright.media.leg import MediaLeg
from callwright.net.clock import SystemClock
from callwright.net.driver import Driver
from callwright.net.entropy import system_entropy
from callwright.net.media_choice import media_engine
from callwright.net.ports import MediaPorts
from callwright.phone.phone import Phone
from callwright.phone.plan import CallPlan, MediaPlan, PhoneConfig
from callwright.sdp.description import SessionDescription
from callwright.sdp.formats import audio_format
from callwright.sdp.negotiation import LocalMedia, answer
from callwright.sip import events
from callwright.sip.config import EndpointConfig
from callwright.sip.endpoint import Endpoint
from callwright.sip.transport import Transport

HOST = "127.0.0.1"
RATE = 8000
ANNOUNCEMENT_HZ = 440.0
CALLER_HZ = 1004.0  # what a phone plays as "tone"


def strength(pcm: bytes, hertz: float) -> float:
    """The share, 0 to 1, of the energy that is at one frequency (Goertzel)."""
    samples = memoryview(pcm).cast("h")
    turn, before, earlier = 2 * cos(2 * pi * hertz / RATE), 0.0, 0.0
    for sample in samples:
        before, earlier = sample + turn * before - earlier, before
    power = before * before + earlier * earlier - turn * before * earlier
    return 2 * power / (len(samples) * sum(sample * sample for sample in samples))


def side(path: Path, channel: int) -> bytes:
    """Half a second of one channel of a stereo recording: 0 what was sent, 1 what was heard."""
    with wave.open(str(path)) as file:
        samples = memoryview(file.readframes(file.getnframes())).cast("h")[channel::2]
    return array("h", samples.tolist()[RATE // 2 : RATE]).tobytes()


async def test_it_plays_an_announcement_to_a_phone_and_records_the_caller(tmp_path: Path) -> None:
    announcement, message, heard = (tmp_path / name for name in ("menu.wav", "message.wav", "heard.wav"))
    with WavWriter(announcement, RATE, channels=1) as writer:
        writer.write(tone(ANNOUNCEMENT_HZ, 1.0, sample_rate=RATE))
    clock = SystemClock()
    engine = media_engine(ports=MediaPorts(21_000, 21_999))
    legs: list[MediaLeg] = []

    def on_event(event: events.Event) -> None:
        match event:
            case events.CallTurnedAway():
                pass
            case events.CallReceived(call=call, request=request):
                leg = MediaLeg(
                    engine,
                    clock,
                    system_entropy,
                    host=HOST,
                    permits=lambda address: address[0] == HOST,
                    play=str(announcement),
                    record=message,
                )
                legs.append(leg)
                can = LocalMedia(HOST, leg.port, (audio_format("PCMU"),), rtcp_port=leg.rtcp_port)
                ours, agreed = answer(SessionDescription.parse(request.body), can, 1)
                call.answer(ours.serialize(), now=clock.now())
                leg.adjust(agreed, sending=True, answered=True)
                driver.drain()
            case events.CallEnded():
                legs[0].stop()

    driver = Driver(Endpoint(EndpointConfig(accept_calls=True), system_entropy), handler=on_event)
    at = await driver.listen(Transport.UDP, HOST, 0)
    try:
        async with Phone(PhoneConfig()) as phone:
            media = MediaPlan(play="tone", record=heard)
            outcome = await phone.call(CallPlan(f"sip:menu@{at}", media=media, talk_for=1.5)).finished
        report, recorder = await legs[0].close()
    finally:
        await driver.close()
        engine.close()
    assert outcome.failure is None
    assert outcome.received.mos is not None
    assert outcome.received.mos > 4.0
    assert strength(side(heard, 1), ANNOUNCEMENT_HZ) > 0.9, "the phone did not hear the announcement"
    assert strength(side(message, 1), CALLER_HZ) > 0.9, "the caller is not in the recording"
    assert report is not None
    assert recorder is not None
    assert report.received.timeline.due_s == pytest.approx(1.5, abs=0.4)
    assert report.received.packets == pytest.approx(75, abs=15)
