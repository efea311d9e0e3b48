"""A relayed call on tape: announced to both sides, then kept, the caller left and the callee right.

The announcement takes the place of the audio in packets that pass, so that numbers, clocks and addresses of
both streams stay as they are. Nothing is kept before both sides have heard all of it.
"""

from __future__ import annotations

import threading
from collections import deque

from callwright.audio.codecs import CodecError, Decoder, Encoder, codec
from callwright.audio.resample import Resampler, resample
from callwright.rtp.packet import RtpError, payload_bounds
from callwright.sdp.formats import AudioFormat

__all__ = ["RATE", "Tape"]

RATE = 16_000
"""Samples a second."""
_MOST_WAITING = 12_000  # packets that nobody has taken: a minute of both sides
_BEHIND = 0.5  # seconds that a late packet may still come in
_ASTRAY = 0.2  # seconds between clock and timestamps from which the clock is believed
_LONGEST_PACKET = 0.2  # seconds


class _Side:
    """`said`: samples of the announcement that this side's stream has carried to the other."""

    def __init__(self) -> None:
        self.said = 0
        self.encoder: tuple[str, int, Encoder] | None = None
        self.decoder: tuple[str, Decoder, Resampler] | None = None
        self.anchor: tuple[int, int] | None = None  # (RTP timestamp, sample)
        self.pcm = bytearray()

    def put(self, pcm: bytes, at: int) -> None:
        """Samples from number `at` on, counted from what was taken last."""
        if at < 0:
            pcm, at = pcm[-2 * at :], 0
        end = 2 * at + len(pcm)
        if len(self.pcm) < end:
            self.pcm.extend(bytes(end - len(self.pcm)))
        self.pcm[2 * at : end] = pcm

    def take(self, samples: int) -> bytes:
        taken = bytes(self.pcm[: 2 * samples])
        del self.pcm[: 2 * samples]
        return taken.ljust(2 * samples, b"\0")


class Tape:
    """`announcement`: s16le mono at `RATE`. `pass_on` is called on the forwarder's thread, all else on
    another."""

    def __init__(self, announcement: bytes) -> None:
        self.began: float | None = None
        self.lost = 0  # packets that nobody took in time
        self._announcement = {RATE: announcement, 8000: resample(announcement, RATE, 8000)}
        self._sides = (_Side(), _Side())
        self._waiting: deque[tuple[int, str, int, int, bytes, float]] = deque()
        self._lock = threading.Lock()
        self._taken = 0
        self._ended = False

    def pass_on(self, side: int, kind: AudioFormat | None, data: bytes, now: float) -> bytes:
        """What goes on in place of a packet that came from `side`, whose payload type means `kind`."""
        if kind is None or self._ended:
            return data
        try:
            row = codec(kind.name)
            start, end = payload_bounds(data)
        except (KeyError, RtpError):
            return data
        if self.began is None:
            return self._announced(side, row.name, data, start, end, now)
        if len(self._waiting) >= _MOST_WAITING:
            self.lost += 1
            return data
        timestamp = int.from_bytes(data[4:8], "big")
        self._waiting.append((side, row.name, kind.clock_rate, timestamp, data[start:end], now))
        return data

    def _announced(self, side: int, name: str, data: bytes, start: int, end: int, now: float) -> bytes:
        row, here = codec(name), self._sides[side]
        clip = self._announcement.get(row.sample_rate)
        ms = row.duration_ms(data[start:end])
        if clip is None or ms is None or int(ms) not in row.ptimes:
            return data  # of a codec whose packets do not tell how long they are
        whole = len(clip) // 2
        if here.said >= whole:
            return data
        ptime = int(ms)
        if here.encoder is None or here.encoder[:2] != (name, ptime):
            here.encoder = name, ptime, row.encoder(ptime)
        count = row.frame_samples(ptime)
        piece = clip[2 * here.said : 2 * (here.said + count)].ljust(2 * count, b"\0")
        here.said += count
        if all(one.said >= whole for one in self._sides):
            self.began = now
        return data[:start] + here.encoder[2].encode(piece) + data[end:]

    def take(self, now: float) -> tuple[bytes, bytes]:
        """Left and right since the last time, as many samples each; the newest half second comes later."""
        return self._taken_until(now - _BEHIND)

    def end(self, now: float) -> tuple[bytes, bytes]:
        """The rest; nothing is kept any more."""
        self._ended = True
        return self._taken_until(now)

    def _taken_until(self, moment: float) -> tuple[bytes, bytes]:
        began = self.began
        if began is None:
            return b"", b""
        with self._lock:
            while self._waiting:
                self._place(*self._waiting.popleft(), began)
            count = max(0, int((moment - began) * RATE) - self._taken)
            self._taken += count
            left, right = (side.take(count) for side in self._sides)
        return left, right

    def _place(
        self, side: int, name: str, clock: int, timestamp: int, payload: bytes, now: float, began: float
    ) -> None:
        here = self._sides[side]
        if here.decoder is None or here.decoder[0] != name:
            row = codec(name)
            here.decoder = name, row.decoder(), Resampler(row.sample_rate, RATE)
            here.anchor = None
        try:
            pcm = here.decoder[2].feed(here.decoder[1].decode(payload))[: int(2 * RATE * _LONGEST_PACKET)]
        except CodecError:
            return
        came = int((now - began) * RATE)
        if here.anchor is None:
            here.anchor = timestamp, came
        step = ((timestamp - here.anchor[0] + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        at = here.anchor[1] + step * RATE // clock
        if abs(at - came) > _ASTRAY * RATE:
            here.anchor, at = (timestamp, came), came
        here.put(pcm, at - self._taken)
