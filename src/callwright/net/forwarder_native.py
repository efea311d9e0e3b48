"""The forwarder on the native room `_relay`: what needs no decision goes on without Python.

A crossing says which packets those are (`passing`); it hears of them some `GATHER` later (`passed`), and is
asked about every other one (`route`), as by the pure twin.

The import fails where the extension is missing; `forwarder_choice` picks.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from typing import Literal

from callwright.net._relay import HELD, PASSED, Relay
from callwright.net.address import packed
from callwright.net.clock import Clock
from callwright.net.forwarder import Crossing, Forwarder, Passing, leaves
from callwright.net.pacing import raise_priority, switch_interval
from callwright.net.ports import MediaPorts, PortPair
from callwright.net.tap import Packet, Tap
from callwright.sip.transport import Address

_log = logging.getLogger(__name__)

GATHER = 0.2
"""Seconds after which Python hears of what has passed, but for watched payload types: of those at once."""

_Pairs = tuple[PortPair, PortPair]
_NOTHING = Passing(None, None)


class _Way:
    """One socket: what comes there from `side`, and leaves by `out`."""

    def __init__(self, crossing: Crossing, side: int, is_rtcp: bool, pairs: _Pairs) -> None:
        self.crossing, self.side, self.is_rtcp, self.pairs = crossing, side, is_rtcp, pairs
        here, there = pairs[side], pairs[1 - side]
        self.sock, self.out = (here.rtcp, there.rtcp) if is_rtcp else (here.rtp, there.rtp)
        self.passing = _NOTHING
        self.key = 0

    @property
    def local(self) -> Address:
        return self._end(self.pairs[self.side])

    @property
    def leaving(self) -> Address:
        return self._end(self.pairs[1 - self.side])

    def _end(self, pair: PortPair) -> Address:
        return pair.local_rtcp if self.is_rtcp else pair.local


class NativeForwarder(Forwarder):
    """As `Forwarder`, with two threads: one passes on and knows no GIL, the other does what needs Python."""

    def __init__(
        self, *, ports: MediaPorts | None = None, clock: Clock | None = None, taps: Sequence[Tap] = ()
    ) -> None:
        super().__init__(ports=ports, clock=clock, taps=taps)
        self._turn_lock = threading.RLock()  # whoever takes from the relay, and tells crossings
        self._ways: dict[_Pairs, list[_Way]] = {}
        self._threads: list[threading.Thread] = []
        self._lost = 0

    def start(self, crossing: Crossing, pairs: _Pairs) -> None:
        """See Forwarder."""
        with self._turn_lock:
            if self._closing:
                for pair in pairs:
                    pair.close()
                return
            if not self._threads:
                self._begin()
            ways = [_Way(crossing, side, is_rtcp, pairs) for side in (0, 1) for is_rtcp in (False, True)]
            for way in ways:
                way.key = self._relay.add(way.sock.fileno(), way.out.fileno(), way, way.is_rtcp)
            self._ways[pairs] = ways
            self._apply(ways)

    def stop(self, pairs: _Pairs) -> None:
        """See Forwarder. The crossing has heard of all that passed when this returns."""
        with self._turn_lock:
            ways = self._ways.get(pairs, [])
            for way in ways:
                self._relay.halt(way.key)
            self.catch_up()
            for way in ways:
                self._relay.remove(way.key)
            self._ways.pop(pairs, None)
            for pair in pairs:
                pair.close()

    def catch_up(self) -> None:
        """See Forwarder."""
        with self._turn_lock:
            if self._threads:
                self._work()

    def changed(self, pairs: _Pairs) -> None:
        """See Forwarder."""
        with self._turn_lock:
            self.catch_up()
            self._apply(self._ways.get(pairs, []))

    def close(self) -> None:
        """See Forwarder."""
        with self._turn_lock:
            self._closing = True
            threads, self._threads = self._threads, []
            if threads:
                self._relay.close()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(1.0)
        with self._turn_lock:
            for pairs in self._ways:
                for pair in pairs:
                    pair.close()
            self._ways.clear()

    # -- inside

    def _begin(self) -> None:
        self._relay = Relay()
        self._threads = [
            threading.Thread(target=self._pass_on, name="relay", daemon=True),
            threading.Thread(target=self._decide, name="forwarder", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _pass_on(self) -> None:
        raise_priority()
        self._relay.run()

    def _decide(self) -> None:
        raise_priority()
        switch_interval.shorten()
        try:
            while self._relay.wait(GATHER):
                self.catch_up()
        except BaseException:
            _log.exception("the forwarder ended")
            raise
        finally:
            switch_interval.restore()

    def _work(self) -> None:
        """Tell the crossings of what passed, and decide about what is held. Under the lock."""
        packets: list[Packet] = []
        revised: dict[_Pairs, None] = {}
        for way, kind, watched, batch in self._relay.take():
            before = way.crossing.revision
            try:
                if kind == HELD:
                    for data, source, arrival in batch:
                        assert source is not None
                        self._look_at(way, data, source, arrival, packets)
                else:
                    way.crossing.passed(way.side, way.is_rtcp, batch, watched)
            except Exception:
                _log.exception("an exception in a crossing")
            if kind != HELD and self._taps and way.passing.source is not None:
                target = way.passing.target if kind == PASSED else None
                for data, _, arrival in batch:
                    self._show(way, data, data, way.passing.source, target, arrival, packets)
            if way.crossing.revision != before:
                revised[way.pairs] = None
        for pairs in revised:
            self._apply(self._ways.get(pairs, []))
        if packets:
            packets.sort(key=lambda packet: packet.now)
            self._tell(packets)
        if self._relay.lost != self._lost:
            _log.warning("%d relayed packets were not measured: no room", self._relay.lost - self._lost)
            self._lost = self._relay.lost

    def _look_at(
        self, way: _Way, data: bytes, source: tuple[str, int], arrival: float, packets: list[Packet]
    ) -> None:
        crossing = way.crossing
        target = crossing.route(way.side, way.is_rtcp, data, source, arrival)
        leaving = data if way.is_rtcp or target is None else crossing.rewrite(way.side, data, arrival)
        sent = target is not None and leaves(way.out, leaving, target)
        if self._taps:
            self._show(way, data, leaving, source, target if sent else None, arrival, packets)

    def _show(
        self,
        way: _Way,
        data: bytes,
        leaving: bytes,
        source: tuple[str, int],
        target: tuple[str, int] | None,
        arrival: float,
        packets: list[Packet],
    ) -> None:
        wall = self._clock.wall() - self._clock.now() + arrival
        kind: Literal["rtp", "rtcp"] = "rtcp" if way.is_rtcp else "rtp"
        packets.append(Packet(wall, arrival, "in", kind, "UDP", way.local, source, data))
        if target is not None:
            packets.append(Packet(wall, arrival, "out", kind, "UDP", way.leaving, target, leaving))

    def _apply(self, ways: Sequence[_Way]) -> None:
        """Have the relay do what the crossing says now. Under the lock."""
        for way in ways:
            passing = way.crossing.passing(way.side, way.is_rtcp)
            if passing == way.passing:
                continue
            way.passing = passing
            source = target = None
            with contextlib.suppress(ValueError, OSError):
                source = packed(passing.source) if passing.source is not None else None
                target = packed(passing.target) if passing.target is not None else None
            if passing.target is not None and target is None:
                source = None  # Python's socket knows what is wrong with it
            mask = sum(1 << number for number in passing.watched)
            self._relay.set(way.key, source or b"", target or b"", mask & 2**64 - 1, mask >> 64)
