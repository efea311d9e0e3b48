"""Forwards media datagrams between pairs of ports, at once, on one thread of its own.

The media engine gathers what arrives for some milliseconds, since it has the kernel's stamps; who forwards
must not, or the listener would measure our gathering as jitter.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from callwright.net.clock import Clock, SystemClock
from callwright.net.pacing import raise_priority, switch_interval
from callwright.net.ports import MediaPorts, PortPair
from callwright.net.tap import Packet, Tap
from callwright.net.udp import read_error_queue
from callwright.sip.transport import Address

_log = logging.getLogger(__name__)

BATCH = 32
"""Datagrams taken from one socket before the others have their turn."""
LARGEST_PACKET = 65_535

Passed = tuple[bytes, tuple[str, int] | None, float]
"""The octets, no matter, and monotonic seconds."""


class Passing(NamedTuple):
    """What needs no decision: datagrams from `source` go to `target`, or nowhere without one.

    No `source`: each needs one. `watched`: payload types of RTP that the crossing looks at afterwards.
    """

    source: tuple[str, int] | None
    target: tuple[str, int] | None
    watched: frozenset[int] = frozenset()


class Crossing(Protocol):
    """Decides where each datagram goes; one thread of the forwarder's at a time.

    A forwarder may ask `route` and `rewrite` about every datagram, or let some go on by `passing` and tell of
    them later by `passed`: what comes of it is the same.
    """

    @property
    def revision(self) -> int:
        """Another one when `passing` says something else."""
        ...

    def route(
        self, side: int, is_rtcp: bool, data: bytes, source: tuple[str, int], now: float
    ) -> tuple[str, int] | None:
        """The numeric address to send `data` to, which arrived at the ports of `side` (0 or 1); it leaves by
        those of the other. None: it is dropped."""
        ...

    def rewrite(self, side: int, data: bytes, now: float) -> bytes:
        """What leaves in place of RTP that `route` has let through."""
        ...

    def passing(self, side: int, is_rtcp: bool) -> Passing:
        """What goes on from `side` unseen."""
        ...

    def passed(self, side: int, is_rtcp: bool, batch: Sequence[Passed], watched: bool) -> None:
        """These did, in order. `watched`: there may be some of the watched payload types among them."""
        ...


_TRIES = 32  # as many errors as the relay reads of one socket in one turn


def leaves(sock: socket.socket, data: bytes, target: tuple[str, int]) -> bool:
    """Send one datagram. False where it is lost, as on any network: full, or unreachable."""
    for _ in range(_TRIES):
        try:
            sock.sendto(data, target)
        except BlockingIOError:
            return False
        except OSError:
            # Most likely of an earlier datagram: the kernel reports an ICMP error at the next call, and
            # further ones that wait in the error queue as another thread reads that.
            continue
        return True
    return False


class Forwarder:
    """The thread. It starts with the first crossing and ends with `close()`; usable from any thread.

    `ports` is the range that `open_ports` takes from; `taps` see what is received and sent, in batches.
    """

    def __init__(
        self, *, ports: MediaPorts | None = None, clock: Clock | None = None, taps: Sequence[Tap] = ()
    ) -> None:
        self.ports = ports or MediaPorts()
        self._clock: Clock = clock or SystemClock()
        self._taps = list(taps)
        self._lock = threading.Lock()
        self._commands: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._buffer = bytearray(LARGEST_PACKET)

    def open_ports(self, host: str) -> PortPair:
        """A pair of ports on a local numeric host. Raises PortsExhausted with a sentence, or OSError."""
        return self.ports.open(host)

    def start(self, crossing: Crossing, pairs: tuple[PortPair, PortPair]) -> None:
        """Forward between the two pairs, which belong to the forwarder from now on, until `stop`."""
        self._command(lambda: self._add(crossing, pairs))

    def stop(self, pairs: tuple[PortPair, PortPair]) -> None:
        """Forward no more, and give the ports back."""
        self._command(lambda: self._remove(pairs))

    def changed(self, pairs: tuple[PortPair, PortPair]) -> None:
        """The crossing between the two pairs says something else than before."""

    def catch_up(self) -> None:
        """When this returns the crossings have heard of all that has passed until now."""

    def close(self) -> None:
        """End the thread and close every port, within a moment. May be repeated."""
        with self._lock:
            thread, self._closing = self._thread, True
            if thread is not None:
                self._alarm()
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)

    # -- inside

    def _command(self, act: Callable[[], None]) -> None:
        with self._lock:
            if self._closing:
                return
            self._commands.append(act)
            if self._thread is None:
                self._selector = selectors.DefaultSelector()
                self._bell_in, self._bell_out = socket.socketpair()
                self._bell_in.setblocking(False)
                self._bell_out.setblocking(False)
                self._selector.register(self._bell_in, selectors.EVENT_READ, None)
                self._thread = threading.Thread(target=self._main, name="forwarder", daemon=True)
                self._thread.start()
            self._alarm()

    def _alarm(self) -> None:
        with contextlib.suppress(OSError):  # a full pipe rings as well
            self._bell_out.send(b"\0")

    def _main(self) -> None:
        raise_priority()
        switch_interval.shorten()
        try:
            while not self._closing:
                while self._commands:
                    self._commands.popleft()()
                self._turn()
        except BaseException:
            _log.exception("the forwarder ended")
            raise
        finally:
            switch_interval.restore()
            self._shut()

    def _shut(self) -> None:
        with self._lock:
            self._closing = True
            while self._commands:  # ports that were handed over meanwhile have to be closed too
                self._commands.popleft()()
            for key in list(self._selector.get_map().values()):
                if key.data is not None:
                    for pair in key.data[4]:
                        pair.close()
            self._selector.close()
            self._bell_in.close()
            self._bell_out.close()

    def _add(self, crossing: Crossing, pairs: tuple[PortPair, PortPair]) -> None:
        for side in (0, 1):
            here, there = pairs[side], pairs[1 - side]
            for is_rtcp in (False, True):
                sock, other = (here.rtcp, there.rtcp) if is_rtcp else (here.rtp, there.rtp)
                data = (crossing, side, is_rtcp, other, pairs)
                self._selector.register(sock, selectors.EVENT_READ, data)

    def _remove(self, pairs: tuple[PortPair, PortPair]) -> None:
        for pair in pairs:
            for sock in (pair.rtp, pair.rtcp):
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(sock)
            pair.close()

    def _turn(self) -> None:
        packets: list[Packet] = []
        for key, _ in self._selector.select():
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    while self._bell_in.recv(4096):
                        pass
                continue
            crossing, side, is_rtcp, out, pairs = key.data
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            for _round in range(BATCH):
                if not self._pass(crossing, side, is_rtcp, sock, out, pairs, packets):
                    break
        if packets:
            self._tell(packets)

    def _tell(self, packets: list[Packet]) -> None:
        for tap in self._taps:
            try:
                tap(packets)
            except Exception:
                _log.exception("an exception in a tap of the forwarder")

    def _pass(
        self,
        crossing: Crossing,
        side: int,
        is_rtcp: bool,
        sock: socket.socket,
        out: socket.socket,
        pairs: tuple[PortPair, PortPair],
        packets: list[Packet],
    ) -> bool:
        """Forward one datagram. False when there is none."""
        try:
            size, name = sock.recvfrom_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            read_error_queue(sock)  # readable without a packet: the network gave something back
            return False
        except OSError:
            read_error_queue(sock)
            return True
        now = self._clock.now()
        data = bytes(self._buffer[:size])
        source = (str(name[0]), int(name[1]))
        try:
            target = crossing.route(side, is_rtcp, data, source, now)
            leaving = data if is_rtcp or target is None else crossing.rewrite(side, data, now)
        except Exception:
            _log.exception("an exception in a crossing")
            return True
        sent = target is not None and leaves(out, leaving, target)
        if self._taps:
            there = target if sent else None
            self._note(side, is_rtcp, data, leaving, source, there, pairs, now, packets)
        return True

    def _note(
        self,
        side: int,
        is_rtcp: bool,
        data: bytes,
        leaving: bytes,
        source: tuple[str, int],
        target: tuple[str, int] | None,
        pairs: tuple[PortPair, PortPair],
        now: float,
        packets: list[Packet],
    ) -> None:
        wall = self._clock.wall()

        def local(pair: PortPair) -> Address:
            return pair.local_rtcp if is_rtcp else pair.local

        kind: Literal["rtp", "rtcp"] = "rtcp" if is_rtcp else "rtp"
        here, there = local(pairs[side]), local(pairs[1 - side])
        packets.append(Packet(wall, now, "in", kind, "UDP", here, source, data))
        if target is not None:
            packets.append(Packet(wall, now, "out", kind, "UDP", there, target, leaving))
