"""The media engine on the native rooms: `_media` sends, `_batch` reads.

Sessions that can make their packets ahead (`prepare`, `settle`, `withdraw`, as `rtp.Session`) are visited
every few packets, many in one go, and never have to be punctual themselves: the pacer thread, which knows no
GIL, sends their packets on time, and the kernel stamps what arrives for them. All other sessions, and those
whose source is live, are woken as by the pure twin.

The import fails where an extension is missing; `media_choice` picks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from errno import EAGAIN
from typing import Any, Protocol, TypeVar, cast

from callwright.net._batch import MOST as DATAGRAMS
from callwright.net._batch import Reader
from callwright.net._media import PacedStream, Pacer
from callwright.net.address import packed
from callwright.net.media import FETCHED, GATHER, READ_ROUNDS, MediaEngine
from callwright.net.media_session import MediaHandle
from callwright.net.pacing import raise_priority, readable_within, switch_interval
from callwright.net.tap import Packet
from callwright.net.udp import refusal
from callwright.sip.transport import Address

T = TypeVar("T")

LEAD = 0.720
"""Seconds ahead for which packets are made: what is above `VISIT`, so long may Python be held up."""
MOST = 80
"""Packets of one session on their way: `LEAD` of the shortest, 10 ms."""
GRID = 0.240
"""Visits and readings fall on multiples of this, so that one awakening serves all sessions."""
VISIT = 0.480
"""Seconds between two visits of a session."""
EAGER = 0.040
"""Readings fall on multiples of this while somebody looks on (a tap), and for a session that something is to
come to for the first time: it may have to send elsewhere as soon as it knows where its packets come from."""
WATCHED_VISIT = 0.160
"""Seconds between two visits while somebody looks on."""
PHASES = 0.004
"""Streams begin on multiples of this, so that the pacer can send for many whenever it wakes."""
PATIENCE = 0.060
"""A packet later than this is left to the session, which knows what to skip (`max_catch_up`)."""


class AheadSession(Protocol):
    """What the pacer needs of a session besides the verbs of `MediaSession`."""

    def prepare(
        self, now: float, until: float, most: int
    ) -> Sequence[tuple[float, bytes, tuple[str, int]]]: ...
    def settle(self, left: Sequence[float]) -> None: ...
    def withdraw(self, now: float) -> None: ...

    @property
    def outdated(self) -> bool: ...
    @property
    def live(self) -> bool: ...


class _Flight:
    """The packets of a session that are on their way."""

    def __init__(self, session: AheadSession, stream: PacedStream) -> None:
        self.session = session
        self.stream = stream
        self.live = False  # of the session, as it was when packets were made last
        self.under_way = 0
        self.packets: deque[tuple[float, bytes, tuple[str, int]]] = deque()  # these, where somebody looks on
        self.address: tuple[str, int] | None = None
        self.name = b""


class NativeMediaEngine(MediaEngine):
    """As `MediaEngine`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._flights: dict[MediaHandle, _Flight] = {}
        self._punctual: dict[MediaHandle, None] = {}  # those that have to be woken on time
        self._eager: dict[MediaHandle, None] = {}  # those that are read every `EAGER`
        self._read_all_after = 0.0
        self._stalls = 0
        self._offset = 0.0

    # From any thread

    def stop(self, handle: MediaHandle) -> Future[None]:
        def end() -> None:
            if handle._running:
                self._drain([handle])
                self._remove(handle)

        return self.run(end, handle)

    def run(self, act: Callable[[], T], handle: MediaHandle | None = None) -> Future[T]:
        def with_nothing_on_its_way() -> T:
            for each in [handle] if handle is not None else list(self._flights):
                self._withdraw(each)
                self._expect(each)  # after an act the far end may be another
            return act()

        return super().run(with_nothing_on_its_way, handle)

    def start_time(self, ptime: float = 0.020) -> float:
        # Streams that are due at the same moment cost one awakening of the pacer.
        return -(-super().start_time(ptime) // PHASES) * PHASES

    # On the media thread from here on

    def _begin(self) -> None:
        self._reader = Reader()
        super()._begin()

    def _pace(self) -> None:
        if self._raise_priority:
            raise_priority()
        self._pacer.run()

    def _main(self) -> None:
        self._pacer = Pacer(self._control_out.fileno())
        self._pacing = threading.Thread(target=self._pace, name="media pacer", daemon=True)
        self._pacing.start()
        try:
            super()._main()
        finally:
            self._reader.close()

    def _end(self) -> None:
        self._pacer.close()
        self._pacing.join()

    def _add(self, handle: MediaHandle) -> None:
        self._handles[handle] = None
        handle._running = True
        pair = handle.ports
        self._reader.add(pair.rtp.fileno(), handle, False)
        self._reader.add(pair.rtcp.fileno(), handle, True)
        if hasattr(handle.session, "prepare"):
            stream = PacedStream(self._pacer, pair.rtp.fileno(), PATIENCE)
            self._flights[handle] = flight = _Flight(cast(AheadSession, handle.session), stream)
            flight.live = flight.session.live
            self._expect(handle)
        self._attend(handle)

    def _attend(self, handle: MediaHandle) -> None:
        """Threads of Python have to take turns quickly only where one of them wakes a session on time."""
        flight = self._flights.get(handle)
        if handle._running and (flight is None or flight.live):
            if not self._punctual:
                switch_interval.shorten()
            self._punctual[handle] = None
            self._read_after = self._read_all_after = 0.0
        elif handle in self._punctual:
            del self._punctual[handle]
            if not self._punctual:
                switch_interval.restore()

    def _expect(self, handle: MediaHandle) -> None:
        """Something is to come, and nobody knows from where."""
        if handle._running and handle in self._flights:
            self._eager[handle] = None
            self._read_after = min(self._read_after, (self._clock.now() // EAGER + 1) * EAGER)

    def _remove(self, handle: MediaHandle) -> None:
        if not handle._running:
            return
        handle._running = False
        handle._due = None
        del self._handles[handle]
        self._withdraw(handle)
        flight = self._flights.pop(handle, None)
        if flight is not None:
            flight.stream.close()
        self._eager.pop(handle, None)
        self._attend(handle)
        for sock in (handle.ports.rtp, handle.ports.rtcp):
            handle.dropped += self._reader.remove(sock.fileno())
        handle.ports.close()

    def _rouse(self, handle: MediaHandle) -> None:
        flight = self._flights.get(handle)
        if flight is not None:
            self._settle(handle, flight)
            due = handle.session.next_wake()
            if flight.under_way and due is not None and due <= self._clock.now():
                # The pacer was held up as long as we were: what it has not sent comes before what is due now,
                # or numbers would be sent out of their order, and twice.
                self._withdraw(handle)
        super()._rouse(handle)

    def _drain(self, handles: Iterable[MediaHandle]) -> None:
        handles = [handle for handle in handles if handle._running]
        for handle in handles:
            flight = self._flights.get(handle)
            if flight is not None:
                try:
                    self._top_up(handle, flight)
                except Exception as error:
                    self._break(handle, error)
        super()._drain(handles)

    def _top_up(self, handle: MediaHandle, flight: _Flight) -> None:
        session = flight.session
        if session.outdated:
            self._withdraw(handle)
        if flight.live is not session.live:
            flight.live = session.live
            self._attend(handle)
        if flight.live:
            return
        now = self._clock.now()
        coming = session.prepare(now, now + LEAD, MOST)
        if not coming:
            due = handle.session.next_wake()
            if due is None or due > now:
                return
            self._rouse(handle)  # a slot is due already: the session sends it itself
            now = self._clock.now()
            coming = session.prepare(now, now + LEAD, MOST)
            if not coming:
                return
        address = coming[0][2]
        if address != flight.address:
            name = packed(address)
            if name is None:  # the slow way tells what is wrong with it
                session.withdraw(now)
                self._flights.pop(handle).stream.close()
                self._attend(handle)
                return
            flight.address, flight.name = address, name
        flight.under_way += len(coming)
        if self._taps or handle._tap:
            flight.packets.extend(coming)
        flight.stream.plan(coming, flight.name)

    def _settle(self, handle: MediaHandle, flight: _Flight) -> None:
        """Tells the session what has left."""
        times, errors, stalled = flight.stream.collect()
        self._account(handle, flight, times, errors)
        if stalled:
            self._withdraw(handle)

    def _withdraw(self, handle: MediaHandle) -> None:
        """Nothing of the session is on its way any more."""
        flight = self._flights.get(handle)
        if flight is None:
            return
        times, errors, _ = flight.stream.withdraw()
        try:
            self._account(handle, flight, times, errors)
            flight.under_way = 0
            flight.packets.clear()
            flight.session.withdraw(self._clock.now())
        except Exception as error:
            self._break(handle, error)

    def _account(
        self, handle: MediaHandle, flight: _Flight, times: list[float], errors: list[int] | None
    ) -> None:
        if not times:
            return
        flight.session.settle(times)
        flight.under_way -= len(times)
        if errors:
            handle.unsent += len(errors)
            self._refusals(handle, handle.ports.rtp)
            address = flight.address
            for code in set(errors) - {EAGAIN}:
                if address is not None:
                    self._refuse(handle, address, refusal(code, Address(*address)))
        if not self._taps and not handle._tap:
            return
        local = handle.ports.local
        for at in times:
            _, data, remote = flight.packets.popleft()
            self._note(handle, Packet(at + self._offset, at, "out", "rtp", "UDP", local, remote, data))

    def _show(self, packets: list[Packet]) -> None:
        packets.sort(key=_when)  # what has left is told later than what has come
        super()._show(packets)

    def _schedule(self, handle: MediaHandle, when: float | None, now: float) -> None:
        if when is not None:
            flight = self._flights.get(handle)
            if flight is not None and not flight.live:
                watched = self._taps or handle._tap
                when = (now + WATCHED_VISIT) // EAGER * EAGER if watched else (now + VISIT) // GRID * GRID
                if handle._due is not None and handle._due <= when:
                    return
        super()._schedule(handle, when, now)

    def _read(self) -> None:
        now = self._clock.now()
        if now < self._read_after or not self._handles:
            if self._alarmed:
                self._quiet_alarm()
            return
        if self._alarmed:
            self._quiet_alarm()
        offset = self._offset = self._wall_offset()
        if now >= self._read_all_after:
            heard = self._sort(*self._reader.read(now, offset, READ_ROUNDS))
            self._last_read = now
            self._read_all_after = self._next_reading(now)
        else:
            heard = {}
            for handle in list(self._eager):
                for sock in (handle.ports.rtp, handle.ports.rtcp):
                    heard |= self._sort(*self._reader.read_one(sock.fileno(), now, offset, READ_ROUNDS))
        for handle in heard:
            if handle._heard and not handle._tap:
                self._eager.pop(handle, None)
        self._read_after = self._read_all_after
        if self._eager:
            self._read_after = min(self._read_after, (now // EAGER + 1) * EAGER)
        for handle in heard:
            flight = self._flights.get(handle)
            self._hear(handle)
            if flight is not None and not flight.live and handle._due is not None:
                self._tell(handle)
                if flight.session.outdated:
                    self._drain([handle])
                continue  # it is visited soon
            if flight is not None:
                self._settle(handle, flight)
            self._drain([handle])
            self._fire()

    def _quiet_alarm(self) -> None:
        super()._quiet_alarm()
        if self._pacer.stalls == self._stalls:
            return
        self._stalls = self._pacer.stalls
        for handle, flight in list(self._flights.items()):
            if flight.stream.stalled:
                self._resume(handle)

    def _resume(self, handle: MediaHandle) -> None:
        """The pacer was so late that it has stopped: the session knows what to skip, and goes on."""
        try:
            self._rouse(handle)
        except Exception as error:
            self._break(handle, error)
        else:
            self._drain([handle])

    def _next_reading(self, now: float) -> float:
        """When all sockets are read again."""
        if self._punctual:
            return now + GATHER
        grid = EAGER if self._taps else GRID
        return (now // grid + 1) * grid

    def _sort(self, batches: Sequence[Any], errors: Sequence[Any]) -> dict[MediaHandle, None]:
        """What the reader found, to those whom it is for; who has something to hear."""
        heard: dict[MediaHandle, None] = {}
        tapped = bool(self._taps)
        offset = self._offset
        for handle, is_rtcp, batch in batches:
            (handle._heard_rtcp if is_rtcp else handle._heard).extend(batch)
            heard[handle] = None
            if tapped or handle._tap:
                local = handle.ports.local_rtcp if is_rtcp else handle.ports.local
                kind: Any = "rtcp" if is_rtcp else "rtp"
                for data, source, arrival in batch:
                    self._note(
                        handle, Packet(arrival + offset, arrival, "in", kind, "UDP", local, source, data)
                    )
        for handle, is_rtcp in errors:
            self._refusals(handle, handle.ports.rtcp if is_rtcp else handle.ports.rtp)
        return heard

    def _fetch(self, handle: MediaHandle) -> None:
        now = self._clock.now()
        self._offset = self._wall_offset()
        for sock in (handle.ports.rtp, handle.ports.rtcp):
            self._sort(*self._reader.read_one(sock.fileno(), now, self._offset, FETCHED // DATAGRAMS))
        if handle._heard or handle._heard_rtcp:
            self._hear(handle)

    def _tell(self, handle: MediaHandle) -> None:
        try:
            events = handle.session.events()
        except Exception as error:
            self._break(handle, error)
            return
        if events:
            self._call(handle._on_events, events)

    def _wait(self) -> None:
        if self._commands or self._closing:
            return
        now = self._clock.now()
        timeout = self._heap[0][0] - now if self._heap else None
        if self._handles:
            reading = self._read_after - now
            timeout = reading if timeout is None else min(timeout, reading)
        if timeout is None or timeout > 0:
            self._alarmed = readable_within(self._control_in.fileno(), timeout)


def _when(packet: Packet) -> float:
    return packet.now
