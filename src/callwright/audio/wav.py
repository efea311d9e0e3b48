"""WAV files: read whatever people have, write what survives a killed process.

`read_wav` takes PCM of 8, 16, 24 or 32 bits, floats of 32 or 64 bits, G.711 of both laws, the extensible
format, any rate and any number of channels, and gives mono s16le. `WavWriter` streams 16-bit PCM, and its
header is right after every flush.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from callwright.audio import g711

MAXIMUM_SECONDS = 3600
"""No more than this much of a file is read: a prompt is seconds long, and a whole hour fits in memory."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"ID3", "an MP3 file"),
    (b"\xff\xfb", "an MP3 file"),
    (b"\xff\xf3", "an MP3 file"),
    (b"OggS", "an Ogg file (Vorbis or Opus)"),
    (b"fLaC", "a FLAC file"),
    (b"#!AMR", "an AMR file"),
    (b"FORM", "an AIFF file"),
    (b".snd", "a Sun/NeXT .au file"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x7fELF", "a program"),
    (b"\xd4\xc3\xb2\xa1", "a packet capture"),
    (b"\x0a\x0d\x0d\x0a", "a packet capture"),
    (b"RIFX", "a big-endian RIFF file"),
)

_ENCODINGS = {
    0x0002: "Microsoft ADPCM",
    0x0011: "IMA ADPCM",
    0x0031: "GSM 06.10",
    0x0055: "MP3",
    0x0064: "G.726",
    0x0083: "G.729",
}


class AudioFileError(ValueError):
    """A file cannot be read as audio, or not be written. The text names the file and says why, in a
    sentence.
    """


@dataclass(frozen=True, slots=True)
class Wav:
    """What a file holds, mixed down to one channel."""

    sample_rate: int
    pcm: bytes
    """s16le mono."""
    channels: int
    """How many channels the file had."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.pcm) / 2 / self.sample_rate


def read_wav(path: str | os.PathLike[str]) -> Wav:
    """The audio of a WAV file. `AudioFileError` where it is missing, unreadable, or something else."""
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            return _parse(name, file)
    except OSError as error:
        raise AudioFileError(f"{name} cannot be read: {error.strerror or error}") from None


def _what_it_is(head: bytes) -> str:
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    if head[4:8] == b"ftyp":
        return "an MP4 file"
    if head[:4] == b"RIFF":
        return f"a RIFF file of kind {head[8:12].decode('ascii', 'replace')!r}"
    start = head.lstrip()[:9].lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "an HTML page"
    if head and all(octet in b"\t\n\r" or 32 <= octet < 127 for octet in head):
        return "a text file"
    return "something else"


def _parse(name: str, file: BinaryIO) -> Wav:
    head = file.read(12)
    if not head:
        raise AudioFileError(f"{name} is empty")
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        raise AudioFileError(f"{name} is not a WAV file: it is {_what_it_is(head)}")
    layout: tuple[int, int, int, int] | None = None
    while len(chunk := file.read(8)) == 8:
        kind, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        if kind == b"fmt ":
            if not 16 <= size <= 4096:
                raise AudioFileError(f"{name} has a format header of {size} octets, which no WAV file has")
            layout = _layout(name, file.read(size))
            file.seek(size & 1, os.SEEK_CUR)
        elif kind == b"data":
            if layout is None:
                raise AudioFileError(f"{name} has no format header before its audio")
            encoding, channels, rate, bits = layout
            step = channels * bits // 8
            # A writer that streams leaves 0 or the greatest number as the size; then the rest of the file
            # is meant.
            wanted = 0xFFFFFFFF if size == 0 else size
            data = file.read(min(wanted, MAXIMUM_SECONDS * rate * step))
            data = data[: len(data) // step * step]
            if not data:
                raise AudioFileError(f"{name} holds no audio")
            return Wav(rate, _mixed_down(_to_s16(encoding, bits, data), channels), channels)
        else:
            file.seek(size + (size & 1), os.SEEK_CUR)
    raise AudioFileError(f"{name} is cut short: it has no audio")


def _layout(name: str, fmt: bytes) -> tuple[int, int, int, int]:
    """(encoding, channels, sample rate, bits), checked."""
    if len(fmt) < 16:
        raise AudioFileError(f"{name} is cut short in its header")
    encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", fmt)
    if encoding == 0xFFFE and len(fmt) >= 26:  # WAVE_FORMAT_EXTENSIBLE: the encoding begins the GUID
        encoding = int.from_bytes(fmt[24:26], "little")
    if not 1 <= channels <= 64:
        raise AudioFileError(f"{name} says that it has {channels} channels")
    if not 1000 <= rate <= 768_000:
        raise AudioFileError(f"{name} says that it has {rate} samples a second; 1000 to 768000 are read")
    if (encoding, bits) not in _READERS:
        kind = {1: "PCM", 3: "floating point"}.get(encoding) or _ENCODINGS.get(encoding)
        raise AudioFileError(
            f"{name} holds {kind or f'encoding {encoding:#06x}'} of {bits} bits; "
            "PCM, floating point, A-law and µ-law are read"
        )
    return encoding, channels, rate, bits


def _from_8(data: bytes) -> bytes:
    pcm = bytearray(2 * len(data))  # unsigned with 128 as zero, so the high octet has its first bit turned
    pcm[1::2] = data.translate(bytes(value ^ 0x80 for value in range(256)))
    return bytes(pcm)


def _from_24(data: bytes) -> bytes:
    pcm = bytearray(len(data) // 3 * 2)
    pcm[0::2], pcm[1::2] = data[1::3], data[2::3]
    return bytes(pcm)


def _from_32(data: bytes) -> bytes:
    pcm = bytearray(len(data) // 2)
    pcm[0::2], pcm[1::2] = data[2::4], data[3::4]
    return bytes(pcm)


def _from_float(data: bytes, kind: str) -> bytes:
    import numpy as np

    values = np.nan_to_num(np.frombuffer(data, kind).astype(np.float64), posinf=1.0, neginf=-1.0)
    return np.clip(np.rint(values * 32768), -32768, 32767).astype("<i2").tobytes()


_READERS: dict[tuple[int, int], Callable[[bytes], bytes]] = {
    (1, 8): _from_8,
    (1, 16): lambda data: data,
    (1, 24): _from_24,
    (1, 32): _from_32,
    (3, 32): lambda data: _from_float(data, "<f4"),
    (3, 64): lambda data: _from_float(data, "<f8"),
    (6, 8): lambda data: g711.decode(g711.alaw(), data),
    (7, 8): lambda data: g711.decode(g711.ulaw(), data),
}


def _to_s16(encoding: int, bits: int, data: bytes) -> bytes:
    return _READERS[encoding, bits](data)


def _mixed_down(pcm: bytes, channels: int) -> bytes:
    if channels == 1:
        return pcm
    import numpy as np

    mono: bytes = np.frombuffer(pcm, "<i2").reshape(-1, channels).mean(axis=1).round().astype("<i2").tobytes()
    return mono


class WavWriter:
    """A 16-bit WAV file that grows. After every `flush` the header says exactly what stands in the file.

    For stereo, `write(left, right)` takes s16le of both channels; the shorter is filled up with silence.
    What is written is held for `flush_seconds` at most, then flushed by itself; it is then in the hands
    of the operating system, so a killed process leaves all but that much. `AudioFileError` when the file
    cannot be made or the disk is full; what was flushed before stays playable, and `close` is then quiet.
    """

    def __init__(
        self, path: str | os.PathLike[str], sample_rate: int, *, channels: int = 2, flush_seconds: float = 1.0
    ) -> None:
        if channels not in (1, 2):
            raise ValueError(f"a recording has 1 or 2 channels, not {channels}")
        self.path = Path(path)
        self.sample_rate = sample_rate
        self.channels = channels
        self._pending = bytearray()
        self._threshold = int(flush_seconds * sample_rate) * 2 * channels
        self._written = 0
        self._failed = False
        try:
            self._file: BinaryIO | None = open(self.path, "wb", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise AudioFileError(f"{self.path} cannot be written: {error.strerror or error}") from None
        self._guarded(lambda file: self._put(file, 0, self._header()))

    @property
    def frames(self) -> int:
        """Samples of each channel that were taken so far."""
        return (self._written + len(self._pending)) // (2 * self.channels)

    def write(self, left: bytes, right: bytes = b"") -> None:
        """Takes s16le for one channel (mono) or both (stereo); nothing more once the disk was full."""
        if self._failed:
            return
        if self.channels == 1:
            self._pending += left
        else:
            size = max(len(left), len(right))
            left, right = left.ljust(size, b"\0"), right.ljust(size, b"\0")
            both = bytearray(2 * size)
            both[0::4], both[1::4] = left[0::2], left[1::2]
            both[2::4], both[3::4] = right[0::2], right[1::2]
            self._pending += both
        if len(self._pending) >= self._threshold:
            self.flush()

    def flush(self) -> None:
        """Writes what is held, then the header that counts it."""
        if self._pending and not self._failed:
            self._guarded(self._append)

    def close(self) -> None:
        """Flushes and closes. Can be called again."""
        file = self._file
        if file is None:
            return
        try:
            self.flush()
        finally:
            self._file = None
            file.close()

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, file: BinaryIO) -> None:
        data = bytes(self._pending)
        self._put(file, 44 + self._written, data)
        self._written += len(data)
        self._pending.clear()
        self._put(file, 0, self._header())

    @staticmethod
    def _put(file: BinaryIO, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:  # a disk that fills up takes a part first, and refuses at the next call
            done = os.pwrite(file.fileno(), view, offset)
            view, offset = view[done:], offset + done

    def _guarded(self, action: Callable[[BinaryIO], None]) -> None:
        if self._file is None:
            raise ValueError(f"{self.path} is closed")
        try:
            action(self._file)
        except OSError as error:
            self._failed = True
            seconds = self._written / (2 * self.channels) / self.sample_rate
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            why = "the disk is full" if full else (error.strerror or str(error))
            raise AudioFileError(f"the recording {self.path} stopped after {seconds:.1f} s: {why}") from None

    def _header(self) -> bytes:
        size = min(self._written, 0xFFFFFFFF - 36)
        step = 2 * self.channels
        return b"RIFF" + struct.pack(
            "<I4s4sIHHIIHH4sI",
            36 + size,
            b"WAVE",
            b"fmt ",
            16,
            1,
            self.channels,
            self.sample_rate,
            self.sample_rate * step,
            step,
            16,
            b"data",
            size,
        )
