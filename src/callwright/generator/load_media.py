"""RTP of the load loop without native code: the twin of `_media.pxi`.

Streams have a port each, or share one; they are paced in forty phases of a packet time. What they count is in
`load_stream`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from callwright.generator.load_message import number
from callwright.generator.load_numbers import Numbers
from callwright.generator.load_stream import Stream, is_rtp
from callwright.generator.loop import MediaConfig, open_shared_port
from callwright.net.address import family_of, from_sockaddr, sockaddr
from callwright.net.ports import SO_TIMESTAMPNS
from callwright.sip.transport import Address

__all__ = ["Media", "Stream"]

_Key = TypeVar("_Key")

PHASES = 40
LOWEST_PORT = 1024
"""To which RTP is sent: ports below belong to services."""
UNHEARD = 100_000
"""Taken off the MOS of a stream of which too much was in gaps."""
SILENT = 0.2
"""Seconds: a stream that was open for less is not called silent."""
_MOST_STREAMS = 65_536
_ROOM = 2048
_CONTROL = 256
_SO_RXQ_OVFL = 40
_TIMESPEC = struct.Struct("@ll")
_DROPS = struct.Struct("@I")
_BUFFER = 65_536
_EXPEDITED = 46 << 2


DIRECTIONS = (b"sendrecv", b"sendonly", b"recvonly", b"inactive")
ANSWERS = (0, 2, 1, 3)
"""Index of our direction in the answer to theirs (RFC 3264 section 6.1)."""
SENDING = (0, 1)
"""Ours in which we send."""
NOWHERE = ("0.0.0.0", "::")
"""The hold of RFC 2543."""
_DIRECTION_LINES = tuple(b"a=" + direction for direction in DIRECTIONS)


class Audio(NamedTuple):
    """What an SDP says of its audio: numeric host and port (empty and 0 without), SSRC where it tells one,
    and the index of its direction."""

    host: str
    port: int
    ssrc: int | None
    direction: int


class Media:
    """All streams of a loop. `random()` gives 64 bits; `permitted(host, peer)`: whether our RTP may go to the
    host that `peer` named."""

    def __init__(
        self,
        config: MediaConfig,
        numbers: Numbers,
        *,
        salt: int,
        random: Callable[[], int],
        permitted: Callable[[str, Address | None], bool],
    ) -> None:
        if not 0 < config.frame <= 1400 or not config.payload or len(config.payload) % config.frame:
            raise ValueError("the payload is a whole number of frames")
        self._config = config
        self._numbers = numbers
        self._salt = salt
        self._random = random
        self._permitted = permitted
        self._low = config.low + config.low % 2
        self._next_port = self._low
        self._most = max(0, (config.high - self._low + 1) // 2)
        self._serial = 0
        self._active = 0
        self._opened = 0
        self._shared: socket.socket | None = None
        if config.mode == "shared":
            self._shared = open_shared_port(config)
            self._most = _MOST_STREAMS
        self._bound: list[tuple[socket.socket, int]] = []
        """Sockets of streams that have ended: they wait for another call."""
        self._streams: set[Stream] = set()
        self._phases: list[dict[Stream, None]] = [{} for _ in range(PHASES)]
        self._phase_ns = int(config.ptime * 1e9) // PHASES
        self._phase_at = 0
        self._by_ssrc: dict[int, list[Stream]] = {}
        self._by_address: dict[Address, list[Stream]] = {}
        self._drops = 0

    # -- opening and closing

    def open(self) -> Stream | None:
        """A stream for a call; None when no port is left."""
        config, sock = self._config, None
        if self._shared is not None:
            if self._active >= self._most:
                return None
            port = int(self._shared.getsockname()[1])
        elif self._bound:
            sock, port = self._bound.pop()
            _drain(sock)
        else:
            sock = self._bind() if self._opened < self._most else None
            if sock is None:
                return None
            port = int(sock.getsockname()[1])
            self._opened += 1
        self._serial += 1
        stream = Stream(
            sock,
            port,
            # Ten decimal digits, and no two alike in this loop for a thousand million streams.
            ssrc=0x40000000 | (self._serial * 0x9E3779B1 + self._salt & 0x3FFFFFFF),
            sequence=self._random() & 0xFFFF,
            timestamp=self._random() & 0xFFFFFFFF,
            at=self._random() % (len(config.payload) // config.frame) * config.frame,
        )
        self._streams.add(stream)
        self._active += 1
        self._numbers.set("streams", self._active)
        self._numbers.raise_to("streams_peak", self._active)
        return stream

    def _bind(self) -> socket.socket | None:
        """A socket on the next free port of the range; RTP has even ports (RFC 3550 section 11)."""
        host = self._config.host
        sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
        sock.setblocking(False)
        for _ in range(self._most):
            port = self._next_port
            self._next_port = port + 2 if port + 2 <= self._config.high else self._low
            try:
                sock.bind(sockaddr(Address(host, port)))
            except OSError:
                continue
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            if sys.platform == "linux":
                sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED)
            return sock
        sock.close()
        return None

    def close_stream(self, stream: Stream, now: float, *, hung_up: bool = False) -> int:
        """The end of a stream: its MOS in thousandths, 0 when it was silent, -1 when too short to say, and
        `UNHEARD` less when too much of it was in gaps. `hung_up`: by the far end."""
        if stream.sock is not None:
            self._receive(stream, stream.sock)
        self.stop(stream, hung_up=hung_up)
        stream.timed(self._numbers)
        mos = -1
        if stream.audible:
            mos = stream.judged(self._config, self._numbers)
        elif stream.began and now - stream.began > SILENT:
            mos = 0
            self._numbers.add("streams_silent")
            self._numbers.add("streams_ended")
        if stream.audible and stream.due_ns and stream.heard < self._config.min_heard:
            mos -= UNHEARD
        if stream.sock is not None:
            self._bound.append((stream.sock, stream.port))
        else:
            if stream.to is not None:
                _drop(self._by_address, stream.to, stream)
            if stream.theirs is not None:
                _drop(self._by_ssrc, stream.theirs, stream)
        self._streams.discard(stream)
        self._active -= 1
        self._numbers.set("streams", self._active)
        return mos

    def close(self) -> None:
        for sock in (*(s.sock for s in self._streams), *(sock for sock, _ in self._bound), self._shared):
            if sock is not None:
                sock.close()

    # -- what SDP says

    def start(self, stream: Stream, body: bytes, peer: Address | None) -> bool:
        """Reads the first audio of the SDP: where to, which SSRC to expect. False where RTP may not go.

        Of a later offer or answer: the SDP in force wins, and what still comes from before is late.
        """
        host, port, ssrc, _ = read_audio(body)
        if not host or host in NOWHERE or port < LOWEST_PORT or (":" in host) != (":" in self._config.host):
            if stream.theirs is None:
                self._tell(stream, ssrc)
            return False
        if (peer is None or peer.host != host) and not self._permitted(host, peer):
            if stream.theirs is None:
                self._tell(stream, ssrc)
            return False
        to = Address(host, port)
        if self._shared is not None and stream.theirs is not None:
            _drop(self._by_ssrc, stream.theirs, stream)
        if stream.to is not None and to != stream.to:
            stream.redescribed(_clock())
        self._tell(stream, ssrc)
        if self._shared is not None:
            if stream.to is not None:
                _drop(self._by_address, stream.to, stream)
            self._by_address.setdefault(to, []).append(stream)
            if stream.theirs is not None:
                self._by_ssrc.setdefault(stream.theirs, []).append(stream)
        if to != stream.to:
            stream.to = stream.out = to
        stream.peer = peer
        return True

    @staticmethod
    def _tell(stream: Stream, ssrc: int | None) -> None:
        if ssrc is not None and not stream.told:
            stream.told, stream.theirs = True, ssrc

    def promise(self, stream: Stream, body: bytes, *, answered: bool) -> None:
        """Whether audio is due after this offer or answer, and, once `answered`, from when on."""
        promised = promises(body)
        stream.promised = promised == BOTH or (promised == SENDS and not stream.talked)
        stream.talked = stream.talked or promised == BOTH
        if not answered:
            return
        if stream.promised:
            stream.expect(_clock())
        else:
            stream.excuse(_clock())

    def again(self, stream: Stream, body: bytes, peer: Address | None) -> None:
        """A new offer within a call that is answered."""
        self.start(stream, body, peer)
        self.promise(stream, body, answered=True)

    def direct(self, stream: Stream, ours: int, now: float) -> None:
        """Sends from now on, or only receives, as our direction has it; a stream keeps its turn while it is
        held."""
        stream.held = ours not in SENDING
        self.send(stream, now)
        if ours in (1, 3):
            stream.began = 0.0  # nothing is to come, so its silence says nothing
        elif not stream.began:
            stream.began = now

    def send(self, stream: Stream, now: float) -> None:
        """The call is answered: begins to send, in the phase with the fewest streams."""
        if stream.promised:
            stream.expect(_clock())
        if stream.phase >= 0 or (stream.to is None and not stream.held):
            if stream.to is None and not stream.began:
                stream.began = now
            return
        sizes = [len(phase) for phase in self._phases]
        stream.phase = sizes.index(min(sizes))
        self._phases[stream.phase][stream] = None
        stream.began = now

    def stop(self, stream: Stream, *, hung_up: bool = False) -> None:
        """The call ends: sends no more; what comes is still counted, and due no longer."""
        stream.excuse(_clock(), hung_up=hung_up)
        if stream.phase >= 0:
            del self._phases[stream.phase][stream]
            stream.phase = -1

    # -- receiving

    def _receive(self, stream: Stream, sock: socket.socket) -> None:
        """All that has come to the socket of a stream."""

        def may_go(address: Address) -> bool:
            said = stream.to
            return said is not None and (
                address.host == said.host or self._permitted(address.host, stream.peer)
            )

        for packet, arrival, source in self._packets(sock, 4096):
            if not stream.admits(packet, source, arrival, may_go=may_go):
                self._numbers.add("rtp_unmatched")
                continue
            stream.account(packet, arrival, self._config, self._numbers)
            if stream.moved:
                stream.moved = False
                self._numbers.add("streams_moved")

    def _receive_shared(self, sock: socket.socket) -> None:
        for packet, arrival, source in self._packets(sock, 2048):
            stream = self._stream_of(packet, source)
            if stream is None:
                self._numbers.add("rtp_unmatched")
            else:
                stream.account(packet, arrival, self._config, self._numbers)

    def _stream_of(self, packet: bytes, source: Address) -> Stream | None:
        """By SSRC and address; else the first of this address whose SSRC is not known; else by SSRC, since
        a port may change; else the only one of this address, whose SSRC is another than before."""
        ssrc = int.from_bytes(packet[8:12], "big")
        known = self._by_ssrc.get(ssrc, [])
        here = next((stream for stream in known if stream.to == source), None)
        if here is not None:
            return here
        there = self._by_address.get(source, [])
        stream = next((stream for stream in there if stream.theirs is None), None)
        if stream is None:
            if known:
                return known[0]
            if len(there) != 1:
                return None
            stream = there[0]
            if not stream.replaced(packet, source):
                return None
            if stream.theirs is not None:
                _drop(self._by_ssrc, stream.theirs, stream)
        stream.theirs = ssrc
        self._by_ssrc.setdefault(ssrc, []).append(stream)
        return stream

    def _packets(self, sock: socket.socket, most: int) -> list[tuple[bytes, int, Address]]:
        """RTP that has come, with the time by the kernel's clock (ns) and its source."""
        found = []
        for _ in range(most):
            try:
                data, control, _, name = sock.recvmsg(_ROOM, _CONTROL)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error of an earlier packet
            if is_rtp(data):
                found.append((data, self._arrival(control, shared=sock is self._shared), from_sockaddr(name)))
        return found

    def _arrival(self, control: list[tuple[int, int, bytes]], *, shared: bool) -> int:
        arrival = _clock()
        for level, kind, data in control:
            if level != socket.SOL_SOCKET or sys.platform != "linux":
                continue
            if kind == SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack_from(data)
                arrival = seconds * 1_000_000_000 + nanoseconds
            elif kind == _SO_RXQ_OVFL and shared:
                (drops,) = _DROPS.unpack_from(data)
                self._numbers.add("media_drops", drops - self._drops & 0xFFFFFFFF)
                self._drops = drops
        return arrival

    # -- sending

    def turn(self, began: float, now: float) -> None:
        """Sends every phase that is due; what was missed by more than a packet time is late, not lost."""
        wanted = int((now - began) * 1e9) // self._phase_ns
        if self._shared is not None:
            self._receive_shared(self._shared)
        if self._phase_at + 2 * PHASES < wanted and not self._active:
            self._phase_at = wanted
            return
        while self._phase_at < wanted:
            self._phase_at += 1
            phase = self._phases[self._phase_at % PHASES]
            if phase:
                sent = self._send_phase(phase)
                late = time.monotonic() - began - self._phase_at * self._phase_ns / 1e9
                self._numbers.record("rtp_lateness", late * 1e6, sent)

    def _send_phase(self, phase: dict[Stream, None]) -> int:
        sent = 0
        for stream in phase:
            sock = stream.sock or self._shared
            assert sock is not None
            if stream.sock is not None:
                self._receive(stream, sock)
            if stream.held or stream.out is None:
                continue
            sent += 1
            packet, to = stream.next_packet(self._config), sockaddr(stream.out)
            if not _sent(sock, packet, to) and not _sent(sock, packet, to):
                self._numbers.add("rtp_send_errors")
            self._numbers.add("rtp_sent")
        return sent

    def rest(self, wait: float, began: float) -> float:
        """`wait` in seconds, or less until the next phase that has streams."""
        if not self._active:
            return wait
        for i in range(1, PHASES + 1):
            if self._phases[(self._phase_at + i) % PHASES]:
                due = began + (self._phase_at + i) * self._phase_ns / 1e9
                return min(wait, max(0.0, due - time.monotonic()))
        return wait


NOTHING, SENDS, BOTH = range(3)
"""What an SDP promises: no audio, audio, audio both ways."""


def promises(body: bytes) -> int:
    """Of the first audio of an SDP that is not refused: whether its side sends, and receives as well.

    0.0.0.0 is a hold as it was said before RFC 3264.
    """
    session = own = ""
    direction_of_all = direction = b""
    place = 0  # 1: in a stream that does not count, 2: in the audio
    for line in body.split(b"\n"):
        line = line.strip(b" \t\r")
        if len(line) < 3 or line[1:2] != b"=":
            continue
        if line.startswith(b"m="):
            if place == 2:
                break
            audio = len(line) > 8 and line.startswith(b"m=audio ") and number(line[8:])
            place = 2 if audio else 1
        elif line.startswith(b"c=") and len(line) >= 10 and place != 1:
            if place == 2:
                own = _host(line)
            else:
                session = _host(line)
        elif place != 1 and line in _DIRECTIONS:
            if place == 2:
                direction = line
            else:
                direction_of_all = line
    if place != 2 or (own or session) in ("0.0.0.0", "::"):
        return NOTHING
    return _DIRECTIONS[direction or direction_of_all or b"a=sendrecv"]


_DIRECTIONS = {b"a=sendrecv": BOTH, b"a=sendonly": SENDS, b"a=recvonly": NOTHING, b"a=inactive": NOTHING}


def _clock() -> int:
    """Now, in ns of the clock that stamps arrivals."""
    return time.time_ns() if sys.platform == "linux" else time.monotonic_ns()


def read_audio(body: bytes) -> Audio:
    """Of the first audio of an SDP that is in use, and of the first at all where none is; lines of other
    parts of a body and of other m-lines say nothing of it."""
    session = own = ""
    port, ssrc = 0, None
    of_session: int | None = None
    direction: int | None = None
    in_audio = in_media = False
    for line in body.split(b"\n"):
        line = line.strip(b" \t\r")
        if len(line) < 3 or line[1:2] != b"=":
            continue
        if line.startswith(b"m="):
            if in_audio and port:
                break
            in_media, in_audio = True, len(line) > 8 and line.startswith(b"m=audio ")
            if in_audio:
                own, ssrc, direction = "", None, None
                port = number(line[8:]) or 0
                port = port if port <= 65535 else 0
        elif line.startswith(b"c="):
            if len(line) >= 10 and in_audio:
                own = _host(line)
            elif len(line) >= 10 and not in_media:
                session = _host(line)
        elif line in _DIRECTION_LINES:
            if in_audio:
                direction = _DIRECTION_LINES.index(line)
            elif not in_media:
                of_session = _DIRECTION_LINES.index(line)
        elif in_audio and len(line) > 7 and line.startswith(b"a=ssrc:") and ssrc is None:
            ssrc = number(line[7:])
    said = direction if direction is not None else of_session or 0
    host = own or session
    if host in NOWHERE:  # nobody may be sent anything there (RFC 3264 section 8.4)
        said = 1 if said <= 1 else 3
    return Audio(host, port, ssrc, said)


def _host(line: bytes) -> str:
    """Of `c=IN IP4 host`, where it is numeric."""
    text = re.split(rb"[/ \t\r\n\0]", line[9:], maxsplit=1)[0]
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return socket.inet_ntop(family, socket.inet_pton(family, text.decode("ascii")))
    return ""


def _drop(table: dict[_Key, list[Stream]], key: _Key, stream: Stream) -> None:
    found = table.get(key, [])
    if stream in found:
        found.remove(stream)
    if not found:
        table.pop(key, None)


def _drain(sock: socket.socket) -> None:
    """What is left of the call before is not ours."""
    for _ in range(8192):
        try:
            sock.recv(_ROOM)
        except BlockingIOError:
            return
        except OSError:
            continue


def _sent(sock: socket.socket, packet: bytes, to: tuple[Any, ...]) -> bool:
    try:
        sock.sendto(packet, to)
    except OSError:
        return False  # an ICMP error of an earlier packet comes instead of this one, once
    return True
