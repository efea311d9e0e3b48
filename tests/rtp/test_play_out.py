from __future__ import annotations

from callwright.rtp.play_out import PlayedFrame, PlayOut


def pushed(numbers: list[int]) -> PlayOut:
    out = PlayOut()
    for number in numbers:
        out.push(number, 1.0 + 0.02 * number, 0.02 * number, bytes([number]), 0)
    return out


def payloads(frames: list[PlayedFrame]) -> list[bytes | int]:
    return [frame.lost if frame.payload is None else frame.payload for frame in frames]


def test_frames_come_in_order_and_not_before_their_time() -> None:
    out = pushed([0, 2, 1, 3])
    assert out.next_due() == 1.0
    out.play(1.03)
    assert payloads(out.drain()) == [b"\0", b"\1"]
    out.play(1.2)
    assert payloads(out.drain()) == [b"\2", b"\3"]
    assert out.next_due() is None


def test_a_gap_is_told_with_its_length_and_place() -> None:
    out = pushed([0, 1, 4])
    out.play(1.07)
    assert payloads(out.drain()) == [b"\0", b"\1"]
    out.play(1.08)
    gap, frame = out.drain()
    assert (gap.payload, gap.lost, round(gap.media_time, 6)) == (None, 2, 0.04)
    assert (frame.payload, round(frame.media_time, 6)) == (b"\4", 0.08)


def test_a_frame_whose_place_was_given_up_is_not_played() -> None:
    out = pushed([0, 2])
    out.play(1.05)
    out.push(1, 1.02, 0.02, b"\1", 0)
    out.play(2.0)
    assert payloads(out.drain()) == [b"\0", 1, b"\2"]


def test_packets_without_audio_are_no_gap() -> None:
    out = pushed([0])
    out.push(1, 1.02, 0.0, None, 101)
    out.push(2, 1.04, 0.04, b"\2", 0)
    out.play(2.0)
    assert payloads(out.drain()) == [b"\0", b"\2"]


def test_another_run_of_numbers_plays_what_is_pending_first() -> None:
    out = pushed([7, 8])
    out.begin()
    out.push(3, 1.3, 0.3, b"new", 0)
    out.finish()
    assert payloads(out.drain()) == [b"\7", b"\x08", b"new"]


def test_what_nobody_fetches_does_not_grow_without_end() -> None:
    out = PlayOut()
    for number in range(20_000):
        out.push(number, 0.0, 0.02 * number, b"x", 0)
        out.play(1.0)
    assert out.undrained > 0
    assert len(out.drain()) <= 6000
