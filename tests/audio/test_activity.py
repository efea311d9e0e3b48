from __future__ import annotations

import subprocess
import sys
from array import array

import pytest

from callwright.audio import g711
from callwright.audio.activity import Activity, Sound
from callwright.audio.level import FLOOR_DBFS
from callwright.audio.tones import tone
from callwright.net.media_choice import code_sums


def of_pcm(pcm: bytes, rate: int = 8000) -> Sound:
    activity = Activity(rate)
    for start in range(0, len(pcm), rate // 25):
        activity.add_pcm(pcm[start : start + rate // 25])
    return activity.sound()


def of_payload(payload: bytes, law: g711.Law) -> Sound:
    activity = Activity(8000)
    for start in range(0, len(payload), 160):
        activity.add_payload(payload[start : start + 160], law)
    return activity.sound()


def test_a_tone_is_as_loud_as_it_is_and_never_silent() -> None:
    sound = of_pcm(tone(440, 2.0, 8000, -20))
    assert sound.level_dbfs == pytest.approx(-20, abs=0.05)
    assert (sound.silence_pct, sound.clipping_pct, sound.seconds, sound.heard) == (0, 0, 2.0, True)
    assert sound.dc_pct == pytest.approx(0, abs=0.01)


def test_the_level_of_the_active_part_does_not_count_pauses() -> None:
    sound = of_pcm(tone(440, 1.0, 8000, -20) + bytes(16000))
    assert sound.silence_pct == 50
    assert sound.active_dbfs == pytest.approx(-20, abs=0.05)
    assert sound.level_dbfs == pytest.approx(-23.01, abs=0.05)


@pytest.mark.parametrize("law", [g711.ulaw(), g711.alaw()])
def test_the_octets_of_g711_tell_the_same_as_the_samples_they_mean(law: g711.Law) -> None:
    payload = g711.encode(law, tone(440, 0.5, 8000, -20) + bytes(4000) + tone(440, 0.5, 8000, -1))
    direct, decoded = of_payload(payload, law), of_pcm(g711.decode(law, payload))
    assert direct.level_dbfs == pytest.approx(decoded.level_dbfs)
    assert direct.active_dbfs == pytest.approx(decoded.active_dbfs)
    assert direct.silence_pct == decoded.silence_pct
    assert direct.dc_pct == pytest.approx(decoded.dc_pct)
    assert direct.clipping_pct is not None
    assert direct.clipping_pct > 5


def test_digital_silence_has_a_floor_and_is_not_heard() -> None:
    sound = of_payload(b"\xff" * 1600, g711.ulaw())
    assert (sound.level_dbfs, sound.active_dbfs, sound.silence_pct) == (FLOOR_DBFS, None, 100)
    assert not sound.heard


def test_nothing_received_is_unknown_and_not_zero() -> None:
    assert Activity(8000).sound() == Sound(0.0, None, None, None, None, None)
    activity = Activity(8000)
    activity.add_pcm(b"")
    activity.add_payload(b"", g711.alaw())
    assert activity.sound().level_dbfs is None


def test_clipping_is_the_share_of_samples_at_the_end_of_the_scale() -> None:
    sound = of_pcm(array("h", [32767, -32768, 0, 0] * 100).tobytes())
    assert sound.clipping_pct == 50


def test_a_constant_offset_is_found() -> None:
    sound = of_pcm(array("h", [3277] * 800).tobytes())
    assert sound.dc_pct == pytest.approx(10, abs=0.01)


def test_the_same_is_found_without_numpy() -> None:
    program = """
import sys
from callwright.audio.activity import Activity
from callwright.audio.tones import tone
from callwright.net.media_choice import code_sums
activity = Activity(8000)
activity.add_pcm(tone(440, 1.0, 8000, -20))
assert 'numpy' not in sys.modules
print(activity.sound())
import numpy
again = Activity(8000)
again.add_pcm(tone(440, 1.0, 8000, -20))
assert again.sound() == activity.sound(), again.sound()
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(code_sums() is None, reason="callwright.net._media was not built")
@pytest.mark.parametrize("law", [g711.ulaw(), g711.alaw()])
def test_the_native_sums_are_those_of_the_tables(law: g711.Law) -> None:
    every = bytes(range(256)) * 5
    assert heard_natively(every, law) == of_payload(every, law)
    assert heard_natively(b"", law) == of_payload(b"", law)
    loud = bytes([0x80, 0x00] * 80)
    assert heard_natively(loud, law) == of_payload(loud, law)


def heard_natively(payload: bytes, law: g711.Law) -> Sound:
    activity = Activity(8000)
    for start in range(0, len(payload), 160):
        activity.add_payload(payload[start : start + 160], law, code_sums())
    return activity.sound()


def test_native_sums_ask_for_whole_tables() -> None:
    sums = code_sums()
    if sums is None:
        pytest.skip("callwright.net._media was not built")
    with pytest.raises(ValueError, match="256"):
        sums(b"abc", bytes(1024), bytes(1020))
