"""A capture of what the taps saw, written while it happens: SIP, RTP and RTCP in one file that Wireshark
opens.

The link type is RAW (101): each record starts at its IP header. TLS is written as what was inside it, over
TCP, and the port it used is kept; `PcapWriter.notes` says so. Two parties in one process show each packet
twice, once as it leaves and once as it arrives; it is written once, as on a wire between them.

A full disk never ends a call: the file is cut back to its last whole record, closed, and `problem` says why.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Literal, Self

from callwright.evidence.redaction import Redactor, StreamRedactor
from callwright.evidence.wire import (
    ACK,
    MAX_TCP_SEGMENT,
    PSH,
    SYN,
    Endpoint,
    tcp_segment,
    udp_packet,
)
from callwright.net.tap import Packet

LINKTYPE_RAW = 101
_MAGIC = {"ns": 0xA1B23C4D, "us": 0xA1B2C3D4}
_FILE_HEADER = Struct("<IHHiIII")
_RECORD_HEADER = Struct("<IIII")
_FIRST_SEQUENCE = 1000
_TWINS_REMEMBERED = 8192
"""Datagrams that wait for the other end's view of them; older ones are taken for seen from one side only."""


@dataclass(slots=True)
class _Half:
    """One direction of a TCP connection: octets of it in the file, and octets that each kind of tap has
    shown.
    """

    written: int = 0
    shown: dict[str, int] = field(default_factory=lambda: {"in": 0, "out": 0})
    redactor: StreamRedactor = field(default_factory=lambda: StreamRedactor(Redactor(enabled=False)))


class PcapWriter:
    """Writes packets to `path` as they come; usable as a tap from several threads, and as a context manager.

    `resolution` is "ns" or "us"; `snap_length` cuts each record (its original length is kept). Secrets in SIP
    are taken out by `redactor` (the default one when None), octet for octet. Raises OSError only while
    opening; after that `problem` is None or a sentence, and what was written before stays readable.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        resolution: Literal["ns", "us"] = "ns",
        snap_length: int = 262_144,
        redactor: Redactor | None = None,
    ) -> None:
        self.path = Path(path)
        self.problem: str | None = None
        self.packets = 0
        """Records written, the synthetic TCP handshakes not counted."""
        self.skipped = 0
        """Packets that could not be put into IP (an address that is not numeric)."""
        self.decrypted_tls = False
        self._snap = snap_length
        self._redactor = redactor if redactor is not None else Redactor()
        self._unit = 1_000_000_000 if resolution == "ns" else 1_000_000
        self._lock = threading.Lock()
        self._origin: tuple[float, float] | None = None
        self._halves: dict[tuple[Endpoint, Endpoint], _Half] = {}
        self._twins: OrderedDict[tuple[Endpoint, Endpoint, bytes], int] = OrderedDict()
        self._identification = 0
        self._file: int | None = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._size = 0
        self._append(_FILE_HEADER.pack(_MAGIC[resolution], 2, 4, 0, 0, snap_length, LINKTYPE_RAW))

    def __call__(self, packets: Sequence[Packet]) -> None:
        self.write(packets)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def notes(self) -> list[str]:
        """What a reader of the capture has to know, in sentences."""
        notes = ["IP, UDP and TCP headers are written by Callwright; payloads, ports and times are real."]
        if self.decrypted_tls:
            notes.append(
                "TLS is written decrypted, as if it were TCP; where Wireshark expects TLS, use Decode As SIP."
            )
        if self.skipped:
            notes.append(f"{self.skipped} packets are left out, since their addresses are not numeric.")
        if self.problem is not None:
            notes.append(self.problem)
        return notes

    def write(self, packets: Sequence[Packet]) -> None:
        """Append packets; after a full disk this does nothing. Never raises for what is in a packet or for
        the disk.
        """
        with self._lock:
            if self._file is None:
                return
            out = bytearray()
            for packet in packets:
                try:
                    self._packet(packet, out)
                except (ValueError, OverflowError):
                    self.skipped += 1
            if out:
                self._append(bytes(out))

    def close(self) -> None:
        """Close the file. Can be called twice."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    # -- one packet ------------------------------------------------------------------------------------------

    def _packet(self, packet: Packet, out: bytearray) -> None:
        source, destination = packet.local, packet.remote
        if packet.direction == "in":
            source, destination = destination, source
        source, destination = (source[0], source[1]), (destination[0], destination[1])
        seconds, fraction = self._time(packet)
        transport = packet.transport.lower()
        if transport == "udp":
            if self._is_twin(source, destination, packet):
                return
            self._identification += 1
            payload = self._redactor.message(packet.data) if packet.kind == "sip" else packet.data
            self._record(
                seconds, fraction, udp_packet(source, destination, payload, self._identification), out
            )
            self.packets += 1
            return
        self.decrypted_tls = self.decrypted_tls or transport in {"tls", "wss"}
        self._stream(source, destination, packet, seconds, fraction, out)

    def _time(self, packet: Packet) -> tuple[int, int]:
        # One origin, then the monotonic clock: a clock that is set during a call moves nothing.
        if self._origin is None:
            self._origin = (packet.wall, packet.now)
        wall, now = self._origin
        whole = int(wall)
        ticks = whole * self._unit + round((wall - whole + packet.now - now) * self._unit)
        return divmod(max(ticks, 0), self._unit)

    def _is_twin(self, source: Endpoint, destination: Endpoint, packet: Packet) -> bool:
        """Whether the other end, in this process, has shown this datagram already.

        Counted, not just remembered: a retransmission is two departures and two arrivals, and stays two.
        """
        key = (source, destination, packet.data)
        step = 1 if packet.direction == "out" else -1
        waiting = self._twins.get(key, 0)
        if waiting * step < 0:
            if waiting + step:
                self._twins[key] = waiting + step
            else:
                del self._twins[key]
            return True
        self._twins[key] = waiting + step
        if len(self._twins) > _TWINS_REMEMBERED:
            self._twins.popitem(last=False)
        return False

    def _stream(
        self,
        source: Endpoint,
        destination: Endpoint,
        packet: Packet,
        seconds: int,
        fraction: int,
        out: bytearray,
    ) -> None:
        half = self._halves.get((source, destination))
        if half is None:
            self._handshake(source, destination, seconds, fraction, out)
            half = self._halves[source, destination]
        reverse = self._halves[destination, source]
        # Both ends of one connection may be tapped: what the second one shows is in the file already.
        half.shown[packet.direction] += len(packet.data)
        fresh = half.shown[packet.direction] - half.written
        if fresh <= 0:
            return
        data = half.redactor.feed(packet.data[-fresh:])
        for start in range(0, len(data), MAX_TCP_SEGMENT):
            chunk = data[start : start + MAX_TCP_SEGMENT]
            self._identification += 1
            segment = tcp_segment(
                source,
                destination,
                _FIRST_SEQUENCE + 1 + half.written,
                _FIRST_SEQUENCE + 1 + reverse.written,
                PSH | ACK,
                chunk,
                self._identification,
            )
            self._record(seconds, fraction, segment, out)
            half.written += len(chunk)
        self.packets += 1

    def _handshake(
        self, client: Endpoint, server: Endpoint, seconds: int, fraction: int, out: bytearray
    ) -> None:
        first, second = _FIRST_SEQUENCE, _FIRST_SEQUENCE + 1
        for segment in (
            tcp_segment(client, server, first, 0, SYN),
            tcp_segment(server, client, first, second, SYN | ACK),
            tcp_segment(client, server, second, second, ACK),
        ):
            self._record(seconds, fraction, segment, out)
        for ends in ((client, server), (server, client)):
            self._halves[ends] = _Half(redactor=StreamRedactor(self._redactor))

    def _record(self, seconds: int, fraction: int, data: bytes, out: bytearray) -> None:
        kept = min(len(data), self._snap)
        out += _RECORD_HEADER.pack(seconds, fraction, kept, len(data))
        out += data[:kept]

    # -- the file --------------------------------------------------------------------------------------------

    def _append(self, data: bytes) -> None:
        """Write all of `data`, or cut the file back to the last whole batch and stop capturing."""
        assert self._file is not None
        view, done = memoryview(data), 0
        try:
            while done < len(data):
                done += os.write(self._file, view[done:])
        except OSError as error:
            self._give_up(error, data, done)
            return
        self._size += len(data)

    def _give_up(self, error: OSError, data: bytes, done: int) -> None:
        assert self._file is not None
        end = self._size + _whole_records(data, done) if self._size else 0
        self.problem = (
            f"The capture {self.path.name} stops after {end:,} octets: {error.strerror or error}. "
            "The call went on; its result is complete."
        )
        try:
            os.ftruncate(self._file, end)
        except OSError:
            pass  # a pipe or a device: nothing to cut
        finally:
            os.close(self._file)
            self._file = None


def _whole_records(data: bytes, limit: int) -> int:
    """How many of the first `limit` octets of `data` are whole records."""
    end = 0
    while end + _RECORD_HEADER.size <= limit:
        kept = _RECORD_HEADER.unpack_from(data, end)[2]
        if end + _RECORD_HEADER.size + kept > limit:
            break
        end += _RECORD_HEADER.size + kept
    return end
