from __future__ import annotations

import contextlib
import math
import subprocess
import sys
from array import array

import av
import pytest

from callwright.audio import av_codecs, codecs, g711
from callwright.audio.codecs import CODECS, G722, L16, OPUS, PCMA, PCMU, Codec, CodecError


def sine(rate: int, ms: int, hz: float = 440.0, amplitude: int = 8000) -> bytes:
    return array(
        "h", [round(amplitude * math.sin(2 * math.pi * hz * k / rate)) for k in range(rate * ms // 1000)]
    ).tobytes()


def reference(name: str, pcm: bytes) -> bytes:
    context = av.CodecContext.create(name, "w")
    context.sample_rate, context.format, context.layout = 8000, "s16", "mono"  # type: ignore[attr-defined]
    frame = av.AudioFrame("s16", "mono", len(pcm) // 2)
    frame.sample_rate, frame.pts = 8000, 0
    frame.planes[0].update(pcm)
    return b"".join(bytes(packet) for packet in context.encode(frame))  # type: ignore[attr-defined]


EVERY_SAMPLE = array("h", range(-32768, 32768)).tobytes()


@pytest.mark.parametrize(("name", "law"), [("pcm_mulaw", g711.ulaw()), ("pcm_alaw", g711.alaw())])
def test_every_one_of_the_65536_samples_is_encoded_as_the_reference_does(name: str, law: g711.Law) -> None:
    assert g711.encode(law, EVERY_SAMPLE) == reference(name, EVERY_SAMPLE)


@pytest.mark.parametrize(("name", "law"), [("pcm_mulaw", g711.ulaw()), ("pcm_alaw", g711.alaw())])
def test_every_one_of_the_256_codes_is_decoded_as_the_reference_does(name: str, law: g711.Law) -> None:
    context = av.CodecContext.create(name, "r")
    context.sample_rate, context.layout = 8000, "mono"  # type: ignore[attr-defined]
    frames = context.decode(av.Packet(bytes(range(256))))  # type: ignore[attr-defined]
    assert g711.decode(law, bytes(range(256))) == bytes(frames[0].planes[0])[:512]


@pytest.mark.parametrize("law", [g711.ulaw(), g711.alaw()])
def test_a_decoded_code_is_encoded_to_itself_but_for_negative_zero(law: g711.Law) -> None:
    back = g711.encode(law, g711.decode(law, bytes(range(256))))
    assert [c for c in range(256) if back[c] != c] in ([], [0x7F])


def test_silence_is_ff_in_mu_law_and_d5_in_a_law() -> None:
    assert PCMU.silence(20) == b"\xff" * 160
    assert PCMA.silence(20) == b"\xd5" * 160


@pytest.mark.parametrize("row", CODECS, ids=lambda row: row.name)
def test_a_frame_is_one_payload_at_every_ptime_that_the_table_names(row: Codec) -> None:
    for ptime in row.ptimes:
        encoder, decoder = row.encoder(ptime), row.decoder()
        pcm = sine(row.sample_rate, 10 * ptime)
        size = row.frame_bytes(ptime)
        payloads = [encoder.encode(pcm[i * size : (i + 1) * size]) for i in range(10)]
        if row.bytes_per_ms is not None:
            assert {len(p) for p in payloads} == {row.payload_bytes(ptime)}
            assert row.duration_ms(payloads[0]) == ptime
        assert {len(decoder.decode(p)) for p in payloads} == {size}
        assert row.timestamp_step(ptime) == row.clock_rate * ptime / 1000


@pytest.mark.parametrize("row", CODECS, ids=lambda row: row.name)
def test_what_was_encoded_is_heard_again_at_the_same_level(row: Codec) -> None:
    decoder = row.decoder()
    heard = array("h", b"".join(decoder.decode(p) for p in row.frames(sine(row.sample_rate, 1000))))
    middle = heard[len(heard) // 4 : len(heard) * 3 // 4]
    rms = math.sqrt(sum(s * s for s in middle) / len(middle))
    assert rms == pytest.approx(8000 / math.sqrt(2), rel=0.15)


def test_g722_counts_at_8000_and_samples_at_16000() -> None:
    assert (G722.clock_rate, G722.sample_rate, G722.timestamp_step(20)) == (8000, 16000, 160)
    assert G722.frame_samples(20) == 320


def test_opus_refuses_the_packet_times_that_it_has_no_frame_for() -> None:
    for ptime in (30, 50):
        with pytest.raises(CodecError, match="has no frame of"):
            OPUS.encoder(ptime)


def test_an_encoder_refuses_a_frame_of_another_size() -> None:
    with pytest.raises(CodecError, match="320 octets"):
        PCMU.encoder(20).encode(b"\0" * 318)


def test_l16_is_in_network_order() -> None:
    assert L16.encoder(10).encode(b"\x01\x02" * 160) == b"\x02\x01" * 160
    with pytest.raises(CodecError):
        L16.decoder().decode(b"\x00")


@pytest.mark.parametrize("row", CODECS, ids=lambda row: row.name)
def test_no_payload_from_the_wire_raises_anything_but_codec_error(row: Codec) -> None:
    decoder = row.decoder()
    assert decoder.decode(b"") == b""
    for payload in (b"\0", b"\xff", b"\xff\xff\xff", b"\x03" + b"\xff" * 40, bytes(range(256)) * 200):
        try:
            decoder.decode(payload)
        except CodecError:
            continue
    assert decoder.decode(row.silence(20))


def test_codecs_are_found_by_name_and_alias() -> None:
    assert codecs.codec("pcmu") is PCMU
    assert codecs.codec("alaw") is PCMA
    assert codecs.codec("Opus") is OPUS
    with pytest.raises(KeyError, match=r"there are PCMU.* received only GSM"):
        codecs.codec("SILK")


# One payload of a codec that nobody here encodes: octets, and the samples that are in it.
@pytest.mark.parametrize(
    ("name", "payload", "samples"),
    [
        ("GSM", b"\xd0" + bytes(32), 160),
        ("GSM", (b"\xd0" + bytes(32)) * 3, 480),
        ("G726-32", bytes(80), 160),
        ("G729", bytes(20), 160),
        ("G729", bytes(22), 160),  # comfort noise behind it
        ("iLBC", bytes(38), 160),
        ("iLBC", bytes(50), 240),
        ("iLBC", bytes(100), 480),
        ("AMR-WB", b"\xf0\x14" + bytes(32), 320),
    ],
)
def test_what_can_only_be_received_is_decoded_and_refused_by_name_for_sending(
    name: str, payload: bytes, samples: int
) -> None:
    row = codecs.codec(name)
    decoder = row.decoder()
    assert len(decoder.decode(payload)) == 2 * samples
    for noise in (b"\0", b"\xff" * 7, bytes(range(256)) * 20):
        with contextlib.suppress(CodecError):
            decoder.decode(noise)
    assert len(decoder.decode(payload)) == 2 * samples
    with pytest.raises(CodecError, match=f"{name} can only be received"):
        row.encoder(20)


def test_a_call_either_sends_or_does_not() -> None:
    assert codecs.only_received(["G729", "GSM"])
    assert not codecs.only_received(["PCMU", "AMR"])
    with pytest.raises(CodecError, match="G729 can only be received"):
        codecs.only_received(["G729", "PCMU"])


def test_a_codec_that_ffmpeg_was_made_without_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(av_codecs._DECODERS, "GSM", "libgsm_of_nobody")
    with pytest.raises(CodecError, match="decodes no GSM: it was made without libgsm_of_nobody"):
        codecs.codec("GSM").decoder()


def test_the_last_frame_of_a_clip_is_filled_up() -> None:
    payloads = list(PCMU.frames(b"\x10\x10" * 200))
    assert [len(p) for p in payloads] == [160, 160]
    assert payloads[1][-1] == 0xFF


def test_g711_needs_neither_numpy_nor_av() -> None:
    program = (
        "import sys; from callwright.audio.codecs import PCMU; PCMU.decoder().decode(PCMU.silence());"
        "sys.exit('numpy' in sys.modules or 'av' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
