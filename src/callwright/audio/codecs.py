"""The codecs a call can speak: one table, and stateful encoders and decoders made from its rows.

PCM is `bytes` of signed 16-bit little-endian mono samples at `Codec.sample_rate`. The RTP clock is another
thing: G.722 samples at 16 kHz and counts at 8 kHz (RFC 3551 section 4.5.2), Opus counts at 48 kHz whatever it
carries (RFC 7587 section 4.1).

G.711 and L16 need only the standard library; the others load PyAV (`audio/av_codecs`) when their first
encoder or decoder is made.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from callwright.audio import g711

PTIMES = (10, 20, 30, 40, 50, 60)
"""Packet times in ms that a call may ask for."""


class CodecError(ValueError):
    """A payload that cannot be decoded, or a frame that cannot be encoded. Never ends a call."""


class Encoder(Protocol):
    """Turns frames of one packet time into payloads; keeps the state of its codec between them."""

    def encode(self, pcm: bytes) -> bytes:
        """One payload for one frame of `Codec.frame_bytes(ptime)` octets; `CodecError` for another size."""


class Decoder(Protocol):
    """Turns payloads into PCM; keeps the state of its codec between them, so there is one for each stream."""

    def decode(self, payload: bytes) -> bytes:
        """s16le of any number of samples; empty for an empty payload. `CodecError` when it cannot be read."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One row of the table of codecs."""

    name: str
    """The encoding name of SDP's rtpmap."""
    payload_type: int | None
    """The static payload type of RFC 3551, or None where only dynamic ones (96 to 127) exist."""
    clock_rate: int
    """RTP timestamp units a second."""
    sample_rate: int
    """PCM samples a second, in and out."""
    bytes_per_ms: float | None
    """Octets of payload for each millisecond; None where it varies (Opus)."""
    ptimes: tuple[int, ...]
    """The packet times in ms at which a frame is exactly one payload."""
    receive_only: bool = False
    """What comes can be decoded, and nothing can be encoded: a call with it sends no audio."""

    def frame_samples(self, ptime: int) -> int:
        """PCM samples in a frame of `ptime` ms."""
        return self.sample_rate * ptime // 1000

    def frame_bytes(self, ptime: int) -> int:
        """Octets of PCM in a frame of `ptime` ms."""
        return 2 * self.frame_samples(ptime)

    def timestamp_step(self, ptime: int) -> int:
        """What the RTP timestamp grows by for a frame of `ptime` ms."""
        return self.clock_rate * ptime // 1000

    def payload_bytes(self, ptime: int) -> int | None:
        """Octets of payload for `ptime` ms; None where it varies."""
        return None if self.bytes_per_ms is None else int(self.bytes_per_ms * ptime)

    def duration_ms(self, payload: bytes) -> float | None:
        """Milliseconds in `payload`; None where its size does not tell."""
        return None if self.bytes_per_ms is None else len(payload) / self.bytes_per_ms

    def encoder(self, ptime: int = 20) -> Encoder:
        """A new encoder for frames of `ptime` ms. `CodecError` where this codec has no such frame, can only
        be received, or is not in the FFmpeg that is here."""
        if self.receive_only:
            raise CodecError(f"{self.name} can only be received")
        if ptime not in self.ptimes:
            permitted = ", ".join(map(str, self.ptimes))
            raise CodecError(f"{self.name} has no frame of {ptime} ms; it has {permitted} ms")
        return _maker(self)[0](self, ptime)

    def decoder(self) -> Decoder:
        """A new decoder. `CodecError` where it is not in the FFmpeg that is here."""
        return _maker(self)[1](self)

    @property
    def law(self) -> g711.Law | None:
        """The tables of G.711, whose payloads can be judged without decoding them; None for the others."""
        return _LAWS[self.name]() if self.name in _LAWS else None

    def silence(self, ptime: int = 20) -> bytes:
        """A payload of digital silence, as a fresh encoder makes it."""
        return self.encoder(ptime).encode(bytes(self.frame_bytes(ptime)))

    def frames(self, pcm: bytes, ptime: int = 20) -> Iterator[bytes]:
        """`pcm` as payloads of `ptime` ms; the last is filled up with silence."""
        encoder = self.encoder(ptime)
        size = self.frame_bytes(ptime)
        for start in range(0, len(pcm), size):
            yield encoder.encode(pcm[start : start + size].ljust(size, b"\0"))


_LAWS = {"PCMU": g711.ulaw, "PCMA": g711.alaw}

PCMU = Codec("PCMU", 0, 8000, 8000, 8, PTIMES)
PCMA = Codec("PCMA", 8, 8000, 8000, 8, PTIMES)
G722 = Codec("G722", 9, 8000, 16000, 8, PTIMES)
L16 = Codec("L16", None, 16000, 16000, 32, PTIMES)
# RFC 6716 section 2.1.4: a frame lasts 2.5, 5, 10, 20, 40 or 60 ms; 30 and 50 are not among them.
OPUS = Codec("opus", None, 48000, 48000, None, (10, 20, 40, 60))
AMR = Codec("AMR", None, 8000, 8000, None, (20,))

CODECS: tuple[Codec, ...] = (PCMU, PCMA, G722, OPUS, AMR, L16)
"""All codecs that can be sent and received."""

# What FFmpeg decodes and does not encode frame by frame (docs/decisions/0023-codecs-by-ffmpeg.md).
GSM = Codec("GSM", 3, 8000, 8000, 1.65, (20,), receive_only=True)
G726 = Codec("G726-32", None, 8000, 8000, 4, PTIMES, receive_only=True)
ILBC = Codec("iLBC", None, 8000, 8000, None, (20, 30), receive_only=True)
G729 = Codec("G729", 18, 8000, 8000, None, PTIMES, receive_only=True)
AMR_WB = Codec("AMR-WB", None, 16000, 16000, None, (20,), receive_only=True)

RECEIVE_ONLY: tuple[Codec, ...] = (GSM, G726, ILBC, G729, AMR_WB)

_BY_NAME = {row.name.lower(): row for row in (*CODECS, *RECEIVE_ONLY)} | {
    "ulaw": PCMU,
    "g711u": PCMU,
    "g711": PCMU,
    "g.711": PCMU,
    "alaw": PCMA,
    "g711a": PCMA,
    "g.722": G722,
}


def codec(name: str) -> Codec:
    """The codec of that name, in any case; `ulaw`, `alaw` and `g711` are understood. `KeyError` names all."""
    found = _BY_NAME.get(name.strip().lower())
    if found is None:
        names, received = (", ".join(row.name for row in rows) for rows in (CODECS, RECEIVE_ONLY))
        raise KeyError(f"no codec {name!r}; there are {names}, and to be received only {received}")
    return found


def only_received(names: Sequence[str]) -> bool:
    """Whether a call with these codecs sends no audio. `CodecError` where some of them can be sent and some
    cannot: which it will be is not known before the answer."""
    rows = [codec(name) for name in names]
    cannot = [row.name for row in rows if row.receive_only]
    if cannot and len(cannot) < len(rows):
        raise CodecError(
            f"{cannot[0]} can only be received: name it without codecs that can be sent; then nothing is sent"
        )
    return bool(cannot)


def _expect(row: Codec, size: int, pcm: bytes) -> None:
    if len(pcm) != size:
        raise CodecError(f"a frame of {row.name} here is {size} octets of PCM, not {len(pcm)}")


class _G711Encoder:
    def __init__(self, row: Codec, ptime: int) -> None:
        self._law = _LAWS[row.name]()
        self._row, self._size = row, row.frame_bytes(ptime)

    def encode(self, pcm: bytes) -> bytes:
        _expect(self._row, self._size, pcm)
        return g711.encode(self._law, pcm)


class _G711Decoder:
    def __init__(self, row: Codec) -> None:
        self._law = _LAWS[row.name]()

    def decode(self, payload: bytes) -> bytes:
        return g711.decode(self._law, payload)


def _swapped(pcm: bytes) -> bytes:
    samples = array("h", pcm)
    samples.byteswap()
    return samples.tobytes()


class _L16Encoder:
    def __init__(self, row: Codec, ptime: int) -> None:
        self._row, self._size = row, row.frame_bytes(ptime)

    def encode(self, pcm: bytes) -> bytes:
        _expect(self._row, self._size, pcm)
        return _swapped(pcm)


class _L16Decoder:
    def __init__(self, row: Codec) -> None:
        pass

    def decode(self, payload: bytes) -> bytes:
        if len(payload) % 2:
            raise CodecError(
                f"L16 has two octets a sample; {len(payload)} octets are not a whole number of them"
            )
        return _swapped(payload)


_MAKERS: dict[str, tuple[Callable[[Codec, int], Encoder], Callable[[Codec], Decoder]]] = {
    "PCMU": (_G711Encoder, _G711Decoder),
    "PCMA": (_G711Encoder, _G711Decoder),
    "L16": (_L16Encoder, _L16Decoder),
}


def _maker(row: Codec) -> tuple[Callable[[Codec, int], Encoder], Callable[[Codec], Decoder]]:
    found = _MAKERS.get(row.name)
    if found is None:
        from callwright.audio import av_codecs  # brings FFmpeg, which most calls do without

        found = (av_codecs.AvEncoder, av_codecs.decoder)
    return found
