"""The media engine: one thread that hosts many RTP sessions, sends on time and reads all that comes.

How it keeps time while other Python threads are busy:

- Whoever gives up the GIL waits up to a switch interval to have it back; so the interval is short while
  there are sessions, and the thread gives the GIL up as seldom as it can: all that is due is computed first
  and sent in one go, and after a reading the sockets are left alone for a few milliseconds. That costs no
  accuracy, since the kernel stamps each arrival.
- epoll counts in milliseconds, select in microseconds; so the thread sleeps in a select on the one descriptor
  of the epoll.
- It runs at a higher priority where that is permitted.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from callwright.net.address import numeric_host, sockaddr
from callwright.net.clock import Clock, SystemClock
from callwright.net.media_session import MediaHandle as MediaHandle
from callwright.net.media_session import MediaSession as MediaSession
from callwright.net.pacing import raise_priority, readable_within, switch_interval
from callwright.net.ports import SO_TIMESTAMPNS, MediaPorts, PortPair
from callwright.net.tap import Packet, Tap
from callwright.net.udp import read_error_queue, refusal
from callwright.sip.transport import Address

_log = logging.getLogger(__name__)

T = TypeVar("T")

GATHER = 0.004
"""Seconds between readings of the sockets, where the kernel stamps arrivals."""
READ_ROUNDS = 16
"""Packets taken from one socket in one reading."""
FETCHED = 512
"""The most that is taken from one socket before an act: a flood must not hold it up."""
SHORTEST_WAIT = 0.00005
LARGEST_PACKET = 65_535
CLOSE_SECONDS = 0.05
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY = 128


def _ignore(*_: object) -> None:
    pass


class MediaEngine:
    """The thread. It starts with the first session and ends with `close()`.

    ports   the range that `open_ports` takes from
    taps    see what is sent and received, in batches, on the media thread
    """

    def __init__(
        self,
        *,
        ports: MediaPorts | None = None,
        clock: Clock | None = None,
        taps: Sequence[Tap] = (),
        raise_priority: bool = True,
    ) -> None:
        self.ports = ports or MediaPorts()
        self._clock: Clock = clock or SystemClock()
        self._taps = list(taps)
        self._raise_priority = raise_priority
        self._commands: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._handles: dict[MediaHandle, None] = {}
        self._heap: list[tuple[float, int, MediaHandle]] = []
        self._order = itertools.count()
        self._phases = itertools.count()
        self._buffer = memoryview(bytearray(LARGEST_PACKET))
        self._read_after = 0.0
        self._last_read = 0.0
        self._alarmed = False
        self._stamped = sys.platform == "linux"
        self._packets: list[Packet] = []

    # From any thread

    @property
    def sessions(self) -> int:
        """Sessions that run now."""
        return len(self._handles)

    def open_ports(self, host: str) -> PortPair:
        """A pair of ports on a local numeric host. Raises PortsExhausted with a sentence."""
        return self.ports.open(host)

    def start_time(self, ptime: float = 0.020) -> float:
        """A monotonic time within the next `ptime` seconds to start a session at, apart from the others."""
        # Multiples of the golden ratio fall evenly over the interval, however many there are.
        return self._clock.now() + (next(self._phases) * 0.618033988749895 % 1.0) * ptime

    def start(
        self,
        session: MediaSession,
        ports: PortPair,
        *,
        on_events: Callable[[Sequence[Any]], None] = _ignore,
        on_broken: Callable[[BaseException], None] = _ignore,
        on_refused: Callable[[tuple[str, int], str], None] = _ignore,
        tap: Tap | None = None,
        rtcp_mux: bool = False,
    ) -> MediaHandle:
        """Hosts a session on a pair of ports, which from now on belongs to the engine.

        Called on the media thread, so be quick and hand over: `on_events` with each batch of events,
        `on_broken` once when the session raised (it is off the engine then, the others go on), `on_refused`
        once for each destination that the network gave back, with a sentence. `rtcp_mux` sends RTCP from the
        port of RTP.
        """
        handle = MediaHandle(self, session, ports, on_events, on_broken, on_refused, tap, rtcp_mux)

        def begin() -> None:
            try:
                self._add(handle)
            except (OSError, ValueError, KeyError) as error:
                ports.close()
                self._call(on_broken, error)

        if self._closing:
            raise RuntimeError("the media engine is closed")
        self.run(begin, handle)
        return handle

    def stop(self, handle: MediaHandle) -> Future[None]:
        """As `MediaHandle.stop`."""

        def end() -> None:
            if handle._running:
                self._drain([handle])
                self._remove(handle)

        return self.run(end)

    def run(self, act: Callable[[], T], handle: MediaHandle | None = None) -> Future[T]:
        """Runs something on the media thread; the Future gets its result or exception.

        What has arrived for the handle's session, or for every session when none is named, is taken in
        before, so that `act` sees all of it. Afterwards it is drained: so `act` may use its verbs.
        """
        done: Future[T] = Future()

        def command() -> None:
            if not done.set_running_or_notify_cancel():
                return
            for each in [handle] if handle is not None else list(self._handles):
                if each._running:
                    self._fetch(each)
            try:
                result = act()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(result)
            self._drain([handle] if handle is not None else list(self._handles))

        if threading.current_thread() is self._thread:
            command()
            return done
        with self._lock:
            if self._closing:
                done.set_exception(RuntimeError("the media engine is closed"))
                return done
            self._commands.append(command)
            if self._thread is None:
                self._begin()
            self._alarm()
        return done

    def close(self) -> None:
        """Ends all sessions and the thread, within 50 ms. May be repeated."""
        with self._lock:
            thread = self._thread
            if self._closing or thread is None:
                self._closing = True
                return
            self._closing = True
            self._alarm()
        if thread is not threading.current_thread():
            thread.join(CLOSE_SECONDS)

    def _begin(self) -> None:
        # Opened before the ports of any call, so that their numbers are low enough for select().
        self._selector = selectors.DefaultSelector()
        self._control_in, self._control_out = socket.socketpair()
        self._control_in.setblocking(False)
        self._control_out.setblocking(False)
        self._selector.register(self._control_in, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._main, name="media", daemon=True)
        self._thread.start()

    def _alarm(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            self._control_out.send(b"\0")

    # On the media thread from here on

    def _main(self) -> None:
        if self._raise_priority:
            raise_priority()
        try:
            while not self._closing:
                self._obey()
                self._fire()
                self._read()
                self._wait()
        except BaseException:
            _log.exception("the media thread ended")
            raise
        finally:
            for handle in list(self._handles):
                self._drain([handle])
                self._remove(handle)
            self._end()
            with self._lock:
                self._closing = True
                self._selector.close()
                self._control_in.close()
                self._control_out.close()
            self._obey()  # nobody shall wait for ever for a Future

    def _end(self) -> None:
        """The last that is done before the thread's own sockets are closed."""

    def _obey(self) -> None:
        while self._commands:
            self._commands.popleft()()

    def _add(self, handle: MediaHandle) -> None:
        if not self._handles:
            switch_interval.shorten()
        self._handles[handle] = None
        handle._running = True
        pair = handle.ports
        self._selector.register(pair.rtp, selectors.EVENT_READ, (handle, pair.rtp, False))
        self._selector.register(pair.rtcp, selectors.EVENT_READ, (handle, pair.rtcp, True))

    def _remove(self, handle: MediaHandle) -> None:
        if not handle._running:
            return
        handle._running = False
        handle._due = None
        del self._handles[handle]
        for sock in (handle.ports.rtp, handle.ports.rtcp):
            self._selector.unregister(sock)
        handle.ports.close()
        if not self._handles:
            switch_interval.restore()

    def _break(self, handle: MediaHandle, error: BaseException) -> None:
        self._remove(handle)
        self._call(handle._on_broken, error)

    def _call(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            _log.exception("an exception in a callback of the media engine")

    def _fire(self) -> None:
        """Wakes all sessions whose time has come, then sends for all of them."""
        heap = self._heap
        if not heap:
            return
        now = self._clock.now()
        due: list[MediaHandle] = []
        while heap and heap[0][0] <= now:
            when, _, handle = heapq.heappop(heap)
            if handle._due != when:
                continue  # moved since
            handle._due = None
            try:
                self._rouse(handle)
            except Exception as error:
                self._break(handle, error)
            else:
                due.append(handle)
        if due:
            self._drain(due)

    def _rouse(self, handle: MediaHandle) -> None:
        handle.session.wake(self._clock.now())  # each records how late it is

    def _drain(self, handles: Iterable[MediaHandle]) -> None:
        """Sends what the sessions have to send, and only then turns to what can wait: events, taps."""
        outgoing: list[tuple[MediaHandle, bytes, tuple[str, int], bool]] = []
        live: list[MediaHandle] = []
        for handle in handles:
            if not handle._running:
                continue
            try:
                outgoing += [(handle, *sent) for sent in handle.session.transmissions()]
                live.append(handle)
            except Exception as error:
                self._break(handle, error)
        for handle, data, address, is_rtcp in outgoing:
            if handle._running:
                self._send(handle, data, address, is_rtcp)
        now = self._clock.now()
        for handle in live:
            try:
                self._schedule(handle, handle.session.next_wake(), now)
                events = handle.session.events()
            except Exception as error:
                self._break(handle, error)
                continue
            if events:
                self._call(handle._on_events, events)
        if self._packets:
            packets, self._packets = self._packets, []
            self._show(packets)

    def _schedule(self, handle: MediaHandle, when: float | None, now: float) -> None:
        if when is None:
            handle._due = None
            return
        when = max(when, now + SHORTEST_WAIT)  # a session that is always due must not take the whole core
        if handle._due != when:
            handle._due = when
            heapq.heappush(self._heap, (when, next(self._order), handle))

    def _send(self, handle: MediaHandle, data: bytes, address: tuple[str, int], is_rtcp: bool) -> None:
        pair = handle.ports
        over_rtcp = is_rtcp and not handle.rtcp_mux
        sock = pair.rtcp if over_rtcp else pair.rtp
        if address not in handle._numeric and not self._is_numeric(handle, address):
            return
        try:
            try:
                sock.sendto(data, address)
            except BlockingIOError:
                raise
            except OSError:
                # Most likely an ICMP error about an earlier packet: the kernel reports it at the next call.
                self._refusals(handle, sock)
                sock.sendto(data, sockaddr(Address(*address)))
        except (OSError, ValueError, OverflowError, TypeError) as error:
            handle.unsent += 1
            if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
                self._refuse(handle, address, refusal(error.errno or 0, Address(*address)))
            return
        if self._taps or handle._tap:
            local = pair.local_rtcp if over_rtcp else pair.local
            packet = Packet(
                self._clock.wall(),
                self._clock.now(),
                "out",
                "rtcp" if is_rtcp else "rtp",
                "UDP",
                local,
                address,
                data,
            )
            self._note(handle, packet)

    def _is_numeric(self, handle: MediaHandle, address: tuple[str, int]) -> bool:
        """A name out of a stranger's SDP would make sendto ask DNS, and everybody wait for the answer."""
        if numeric_host(address[0]) is None:
            handle.unsent += 1
            self._refuse(handle, address, f"RTP goes to numeric addresses only, not to {address[0]!r}")
            return False
        if len(handle._numeric) < 64:
            handle._numeric.add(address)
        return True

    def _note(self, handle: MediaHandle, packet: Packet) -> None:
        if self._taps:
            self._packets.append(packet)
        if handle._tap:
            self._call(handle._tap, (packet,))

    def _show(self, packets: list[Packet]) -> None:
        for tap in self._taps:
            self._call(tap, packets)

    def _refusals(self, handle: MediaHandle, sock: socket.socket) -> None:
        if self._stamped:
            for remote, reason in read_error_queue(sock):
                self._refuse(handle, remote, reason)

    def _refuse(self, handle: MediaHandle, remote: tuple[str, int], reason: str) -> None:
        if remote not in handle._refused and len(handle._refused) < 64:
            handle._refused.add(remote)
            self._call(handle._on_refused, remote, reason)

    def _read(self) -> None:
        """Takes what has arrived on all sockets and hands each session its batch."""
        now = self._clock.now()
        if now < self._read_after or not self._handles:
            if self._alarmed:
                self._quiet_alarm()
            return
        heard: dict[MediaHandle, None] = {}
        offset = self._wall_offset()  # from the kernel's wall time back to ours
        for _ in range(READ_ROUNDS):
            ready = self._selector.select(0)
            taken = False
            for key, _mask in ready:
                if key.data is None:
                    self._quiet_alarm()
                    continue
                handle, sock, is_rtcp = key.data
                if self._take(handle, sock, is_rtcp, offset):
                    heard[handle] = None
                    taken = True
            if not taken:
                self._last_read = now  # nothing that came before is left
                break
        if self._stamped:
            self._read_after = now + GATHER
        for handle in heard:
            self._hear(handle)
            self._drain([handle])
            self._fire()  # what has become due in the meantime goes first

    def _wall_offset(self) -> float:
        """Wall time minus monotonic time, of the try that was interrupted least."""
        best, offset = float("inf"), 0.0
        for _ in range(3):
            before = self._clock.now()
            wall = self._clock.wall()
            after = self._clock.now()
            if after - before < best:
                best, offset = after - before, wall - (before + after) / 2
            if best < 0.00002:
                break
        return offset

    def _quiet_alarm(self) -> None:
        self._alarmed = False
        with contextlib.suppress(BlockingIOError):
            while len(self._control_in.recv(4096)) == 4096:
                pass

    def _take(self, handle: MediaHandle, sock: socket.socket, is_rtcp: bool, offset: float) -> bool:
        try:
            size, control, _, name = sock.recvmsg_into([self._buffer], _ANCILLARY)
        except (BlockingIOError, InterruptedError):
            self._refusals(handle, sock)  # readable without a packet: there are errors
            return False
        except OSError:
            self._refusals(handle, sock)
            return True
        now = self._clock.now()
        arrival = now
        for level, kind, stamp in control:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(stamp) >= _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack_from(stamp)
                # Within what is possible, even when somebody sets the wall clock in between.
                arrival = min(now, max(self._last_read, seconds + nanoseconds * 1e-9 - offset))
        data = bytes(self._buffer[:size])
        source = (name[0], name[1])
        (handle._heard_rtcp if is_rtcp else handle._heard).append((data, source, arrival))
        if self._taps or handle._tap:
            local = handle.ports.local_rtcp if is_rtcp else handle.ports.local
            kind_ = "rtcp" if is_rtcp else "rtp"
            self._note(
                handle, Packet(arrival + offset, arrival, "in", cast(Any, kind_), "UDP", local, source, data)
            )
        return True

    def _fetch(self, handle: MediaHandle) -> None:
        """Takes in what has arrived for one session."""
        offset = self._wall_offset()
        for sock, is_rtcp in ((handle.ports.rtp, False), (handle.ports.rtcp, True)):
            for _ in range(FETCHED):
                if not self._take(handle, sock, is_rtcp, offset):
                    break
        if handle._heard or handle._heard_rtcp:
            self._hear(handle)

    def _hear(self, handle: MediaHandle) -> None:
        batch, handle._heard = handle._heard, []
        reports, handle._heard_rtcp = handle._heard_rtcp, []
        if not handle._running:
            return
        try:
            if batch:
                handle.session.receive_batch(batch)
            for data, source, arrival in reports:
                handle.session.receive_rtcp(data, source, arrival)
        except Exception as error:
            self._break(handle, error)

    def _wait(self) -> None:
        """Sleeps until the next session is due, packets come, or somebody calls."""
        if self._commands or self._closing:
            return
        now = self._clock.now()
        timeout = self._heap[0][0] - now if self._heap else None
        if timeout is not None and timeout <= 0:
            return
        gathering = self._read_after - now
        watched = self._control_in.fileno() if gathering > 0 else self._selector.fileno()
        if gathering > 0:
            timeout = gathering if timeout is None else min(timeout, gathering)
        self._alarmed = readable_within(watched, timeout)
