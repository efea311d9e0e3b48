from __future__ import annotations

import os
import struct
import wave
from array import array
from pathlib import Path

import pytest

from callwright.audio import g711
from callwright.audio.wav import AudioFileError, Wav, WavWriter, read_wav

SAMPLES = [0, 1000, -1000, 32767, -32768, 256, -256, 12345]
S16 = array("h", SAMPLES).tobytes()


def made(
    path: Path,
    data: bytes,
    *,
    encoding: int = 1,
    bits: int = 16,
    channels: int = 1,
    rate: int = 8000,
    extra: bytes = b"",
) -> Path:
    step = channels * bits // 8
    fmt = struct.pack("<HHIIHH", encoding, channels, rate, rate * step, step, bits) + extra
    body = b"WAVE" + b"LIST" + struct.pack("<I", 3) + b"abc\0"
    body += b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def heard(path: Path) -> list[int]:
    return list(array("h", read_wav(path).pcm))


def test_16_bit_mono_is_read_as_it_is(tmp_path: Path) -> None:
    assert read_wav(made(tmp_path / "a.wav", S16, rate=44100)) == Wav(44100, S16, 1)


@pytest.mark.parametrize(
    ("bits", "data"),
    [
        (24, b"".join(struct.pack("<i", s << 8)[:3] for s in SAMPLES)),
        (32, struct.pack("<8i", *(s << 16 for s in SAMPLES))),
    ],
)
def test_wider_pcm_keeps_its_upper_16_bits(tmp_path: Path, bits: int, data: bytes) -> None:
    assert heard(made(tmp_path / "a.wav", data, bits=bits)) == SAMPLES


def test_8_bit_pcm_is_unsigned(tmp_path: Path) -> None:
    assert heard(made(tmp_path / "a.wav", bytes([0, 128, 255]), bits=8)) == [-32768, 0, 32512]


@pytest.mark.parametrize(("bits", "code"), [(32, "f"), (64, "d")])
def test_floats_are_scaled_and_clipped_and_nan_is_silence(tmp_path: Path, bits: int, code: str) -> None:
    data = struct.pack(f"<6{code}", 0.0, 0.5, -1.0, 2.0, float("nan"), float("-inf"))
    assert heard(made(tmp_path / "a.wav", data, encoding=3, bits=bits)) == [
        0,
        16384,
        -32768,
        32767,
        0,
        -32768,
    ]


@pytest.mark.parametrize(("encoding", "law"), [(6, g711.alaw()), (7, g711.ulaw())])
def test_g711_in_a_wav_is_decoded(tmp_path: Path, encoding: int, law: g711.Law) -> None:
    path = made(tmp_path / "a.wav", bytes(range(256)), encoding=encoding, bits=8)
    assert heard(path) == list(law.values)


def test_the_extensible_format_is_read(tmp_path: Path) -> None:
    extra = struct.pack("<HHI", 22, 16, 4) + b"\x01\x00" + bytes.fromhex("000000001000800000aa00389b71")
    assert heard(made(tmp_path / "a.wav", S16, encoding=0xFFFE, extra=extra)) == SAMPLES


def test_stereo_is_mixed_down(tmp_path: Path) -> None:
    stereo = array("h", [100, 300, -32768, 32767, 32767, 32767]).tobytes()
    wav = read_wav(made(tmp_path / "a.wav", stereo, channels=2))
    assert (wav.channels, list(array("h", wav.pcm))) == (2, [200, 0, 32767])


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 1000])
def test_a_size_that_is_wrong_means_the_rest_of_the_file(tmp_path: Path, size: int) -> None:
    path = made(tmp_path / "a.wav", S16)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"data" + struct.pack("<I", len(S16)), b"data" + struct.pack("<I", size)))
    assert read_wav(path).pcm == S16


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"%PDF-1.7 and more of it", "it is a PDF document"),
        (b"ID3\x04\0\0\0\0\0\0\0\0", "it is an MP3 file"),
        (b"OggS\0\0\0\0\0\0\0\0", "it is an Ogg file"),
        (b"hello, this is text\n", "it is a text file"),
        (b"<!DOCTYPE html><p>", "it is an HTML page"),
        (b"RIFF\0\0\0\0AVI LIST", "it is a RIFF file of kind 'AVI '"),
        (b"\0\0\0\x20ftypisom", "it is an MP4 file"),
        (b"\x01\x02\x03\x04\x05\x06", "it is something else"),
        (b"", "is empty"),
        (b"RIFF\0\0\0\0WAVE", "is cut short"),
        (b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcd", "no format header"),
        (b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\xffabcd", "format header of 4294967295 octets"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0abcd", "cut short in its header"),
    ],
)
def test_what_is_no_wav_is_named_in_a_sentence(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "prompt.wav"
    path.write_bytes(content)
    with pytest.raises(AudioFileError, match=r"prompt\.wav") as caught:
        read_wav(path)
    assert what in str(caught.value)


def test_an_encoding_that_is_not_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match=r"GSM 06\.10"):
        read_wav(made(tmp_path / "a.wav", b"abcd", encoding=0x31, bits=0))
    with pytest.raises(AudioFileError, match="0 channels"):
        read_wav(made(tmp_path / "a.wav", b"abcd", channels=0))
    with pytest.raises(AudioFileError, match="0 samples a second"):
        read_wav(made(tmp_path / "a.wav", b"abcd", rate=0))
    with pytest.raises(AudioFileError, match="holds no audio"):
        read_wav(made(tmp_path / "a.wav", b""))


def test_a_file_that_is_missing_or_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="No such file"):
        read_wav(tmp_path / "gone.wav")
    with pytest.raises(AudioFileError, match="directory"):
        read_wav(tmp_path)


def stereo_frames(path: Path) -> list[int]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        return list(array("h", file.readframes(file.getnframes())))


def test_both_directions_stand_side_by_side_and_the_shorter_is_filled_up(tmp_path: Path) -> None:
    with WavWriter(tmp_path / "call.wav", 8000) as writer:
        writer.write(array("h", [1, 2, 3]).tobytes(), array("h", [-1, -2]).tobytes())
        writer.write(b"", array("h", [-9]).tobytes())
        assert writer.frames == 4
    assert stereo_frames(tmp_path / "call.wav") == [1, -1, 2, -2, 3, 0, 0, -9]


def test_the_file_is_playable_after_every_flush_without_a_close(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "call.wav", 8000, flush_seconds=0.02)
    assert stereo_frames(tmp_path / "call.wav") == []
    for done in range(1, 6):
        writer.write(b"\x01\x00" * 160, b"\x02\x00" * 160)
        assert stereo_frames(tmp_path / "call.wav") == [1, 2] * 160 * done
    writer.close()
    writer.close()


def test_mono_is_written_too(tmp_path: Path) -> None:
    with WavWriter(tmp_path / "a.wav", 16000, channels=1) as writer:
        writer.write(S16)
    assert read_wav(tmp_path / "a.wav") == Wav(16000, S16, 1)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="cannot be written: No such file or directory"):
        WavWriter(tmp_path / "no" / "such.wav", 8000)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_told_from_the_first_octet() -> None:
    with pytest.raises(AudioFileError, match="the disk is full"):
        WavWriter("/dev/full", 8000)


def test_a_disk_that_fills_up_keeps_what_was_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 44 + 4 * 400
    real = os.pwrite

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        space = room - offset
        if space <= 0:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:space], offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    writer = WavWriter(tmp_path / "call.wav", 8000, flush_seconds=0.02)
    writer.write(b"\x01\x00" * 320, b"\x02\x00" * 320)
    with pytest.raises(AudioFileError, match=r"stopped after 0\.0 s: the disk is full"):
        writer.write(b"\x01\x00" * 320, b"\x02\x00" * 320)
    writer.write(b"\x01\x00" * 320)
    writer.close()
    assert stereo_frames(tmp_path / "call.wav") == [1, 2] * 320
