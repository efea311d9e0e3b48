"""Codecs by FFmpeg, through PyAV: one frame in, one payload out, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callwright.audio import amr
from callwright.audio.codecs import Codec, CodecError, Decoder

__all__ = ["AvEncoder", "decoder"]

# FFmpeg's names. Those of `audio_format` s16 are taken where there are two.
_ENCODERS = {"opus": "libopus", "G722": "g722", "AMR": "libopencore_amrnb"}
_DECODERS = {
    "opus": "libopus",
    "G722": "g722",
    "AMR": "libopencore_amrnb",
    "AMR-WB": "libopencore_amrwb",
    "GSM": "gsm",
    "iLBC": "ilbc",
    "G729": "g729",
    "G726-32": "g726le",  # RFC 3551 section 4.5.4: the first sample in the lowest bits
}
_AMR_BITS = {"AMR": amr.AMR_BITS, "AMR-WB": amr.AMR_WB_BITS}
_ILBC_FRAMES = {38: 20, 50: 30}  # octets to ms (RFC 3952 section 3.1)
_MOST_FRAMES = 24


def _context(row: Codec, name: str, mode: str) -> Any:
    try:
        import av
    except ImportError as error:
        raise CodecError(f"{row.name} needs PyAV, which cannot be loaded: {error}") from None
    try:
        context = av.CodecContext.create(name, mode)  # type: ignore[call-overload]
    except ValueError:  # UnknownCodecError
        act = "encodes" if mode == "w" else "decodes"
        raise CodecError(f"the FFmpeg that is here {act} no {row.name}: it was made without {name}") from None
    context.sample_rate, context.layout = row.sample_rate, "mono"
    return context


class AvEncoder:
    """Told to take exactly one frame at a time, so that no sample waits for the next packet."""

    def __init__(self, row: Codec, ptime: int) -> None:
        self._row, self._size, self._samples = row, row.frame_bytes(ptime), row.frame_samples(ptime)
        self._pts = 0
        context = _context(row, _ENCODERS[row.name], "w")
        import av

        self._new_frame: Callable[[], Any] = lambda: av.AudioFrame("s16", "mono", self._samples)
        context.format = "s16"
        if row.name == "opus":
            context.bit_rate = 32000
            context.options = {"frame_duration": str(ptime), "application": "voip"}
        elif row.name == "AMR":
            context.bit_rate = 12200
        else:
            context.options = {"frame_size": str(self._samples)}
        context.open()
        self._context = context

    def encode(self, pcm: bytes) -> bytes:
        if len(pcm) != self._size:
            raise CodecError(
                f"a frame of {self._row.name} here is {self._size} octets of PCM, not {len(pcm)}"
            )
        frame = self._new_frame()
        frame.sample_rate, frame.pts = self._row.sample_rate, self._pts
        self._pts += self._samples
        frame.planes[0].update(pcm)
        packets = self._context.encode(frame)
        if len(packets) != 1:
            raise CodecError(f"{self._row.name} gave {len(packets)} packets for one frame")
        made = bytes(packets[0])
        return amr.payload(made) if self._row.name == "AMR" else made


class _AvDecoder:
    def __init__(self, row: Codec, *, bit_rate: int = 0) -> None:
        context = _context(row, _DECODERS[row.name], "r")
        import av

        if row.name == "opus":
            context.format = "s16"
        elif row.name == "G726-32":
            context.options = {"bits_per_coded_sample": "4"}
        if bit_rate:
            context.bit_rate = bit_rate
        context.open()
        self._row, self._context, self._packet = row, context, av.Packet
        self._error: type[Exception] = av.FFmpegError

    def decode(self, payload: bytes) -> bytes:
        if not payload:
            return b""  # an empty packet would tell FFmpeg that the stream has ended
        try:
            frames = self._context.decode(self._packet(payload))
        except (self._error, ValueError) as error:
            raise _unreadable(self._row, payload, error) from None
        return b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)


class _Cut:
    """Hands a decoder one frame after the other."""

    def __init__(self, row: Codec) -> None:
        self._row, self._decoder = row, _AvDecoder(row)

    def decode(self, payload: bytes) -> bytes:
        return b"".join(self._decoder.decode(frame) for frame in self._frames(payload))

    def _frames(self, payload: bytes) -> list[bytes]:
        row = self._row
        if not payload:
            return []
        if row.name in _AMR_BITS:
            try:
                found = amr.frames(payload, _AMR_BITS[row.name])
            except amr.UnreadablePayload as error:
                raise _unreadable(row, payload, error) from None
            return [frame for frame in found if len(frame) > 1]
        size = self._size(payload)
        if not size or len(payload) % size or len(payload) > size * _MOST_FRAMES:
            raise _unreadable(row, payload, "no whole number of frames")
        return [payload[at : at + size] for at in range(0, len(payload), size)]

    def _size(self, payload: bytes) -> int:
        return 33  # GSM (RFC 3551 section 4.5.8)


class _Ilbc(_Cut):
    """Frames of 20 or 30 ms, as the first payload shows."""

    def __init__(self, row: Codec) -> None:
        super().__init__(row)
        self._octets = 0

    def _size(self, payload: bytes) -> int:
        fits = [size for size in _ILBC_FRAMES if len(payload) % size == 0]
        if fits and fits[0] != self._octets:
            self._octets = fits[0]
            # FFmpeg tells the two by their rate, in bits a second.
            self._decoder = _AvDecoder(self._row, bit_rate=8000 * self._octets // _ILBC_FRAMES[self._octets])
        return self._octets if fits else 0


class _G729(_Cut):
    """Frames of 10 ms; comfort noise at the end, of two octets (RFC 3551 section 4.5.6), is left out."""

    def _frames(self, payload: bytes) -> list[bytes]:
        whole = payload[:-2] if len(payload) % 10 == 2 else payload
        return super()._frames(whole)

    def _size(self, payload: bytes) -> int:
        return 10


_CUT: dict[str, Callable[[Codec], Decoder]] = {
    "AMR": _Cut,
    "AMR-WB": _Cut,
    "GSM": _Cut,
    "iLBC": _Ilbc,
    "G729": _G729,
}


def decoder(row: Codec) -> Decoder:
    return _CUT.get(row.name, _AvDecoder)(row)


def _unreadable(row: Codec, payload: bytes, why: object) -> CodecError:
    return CodecError(f"{len(payload)} octets are no payload of {row.name}: {why}")
