"""Many calls of one scenario on one port: a SIP machine without sockets, as `net.driver` drives them."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from callwright.sip.transport import Address, Hop, PermittedHop, Transport
from callwright.sipp.call import Call
from callwright.sipp.capture import Capture
from callwright.sipp.counting import Counts, StepCounts
from callwright.sipp.message import received
from callwright.sipp.scenario import Action
from callwright.sipp.words import Setting

__all__ = ["Ended", "Logged", "Machine", "Outgoing", "Pace"]

_REMEMBERED = (
    40.0  # seconds for which a call that is over answers what comes late (RFC 3261, timer H and more)
)
_MOST_REMEMBERED = 20_000
_MOST_CALLS = 100_000
_AT_ONCE = 200  # calls begun in one turn


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Octets, and where they go."""

    data: bytes
    hop: Hop


@dataclass(frozen=True, slots=True)
class Ended:
    """A call is over; see Call.outcome."""

    call: Call


@dataclass(frozen=True, slots=True)
class Logged:
    """A line that the scenario has for its reader."""

    number: int
    line: str
    warning: bool


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate_at(elapsed)`: calls per second; `calls`: how many, 0: no end; `concurrent`: at most, 0: no limit.
    `seconds`: when no more begin."""

    rate_at: Callable[[float], float]
    calls: int = 0
    concurrent: int = 0
    seconds: float = math.inf


@dataclass(slots=True)
class _Player:
    """A capture on its way to a peer. `at`: the next packet; `left`: times that it is played again."""

    capture: Capture
    hop: Hop
    call: Call
    began: float
    at: int = 0


class Machine:
    """``hop``: where calls go, None: the scenario answers. ``refused(text)``: why a message may not leave;
    ``media_refused(address, peer)``: the same of audio; ``sounds``: captures by the value of the attribute.
    """

    def __init__(
        self,
        setting: Setting,
        pace: Pace,
        *,
        hop: PermittedHop | None,
        entropy: Callable[[int], bytes],
        refused: Callable[[str], str],
        media_refused: Callable[[Address, str], str],
        sounds: Mapping[str, Capture],
        wall: Callable[[], float],
    ) -> None:
        self.setting, self._pace, self._hop, self._entropy = setting, pace, hop, entropy
        self.refused, self._media_refused, self._sounds, self.wall = refused, media_refused, sounds, wall
        self.counts = Counts([StepCounts() for _ in setting.scenario.steps])
        self.shared: dict[str, str] = {}
        self.done = False
        self._calls: dict[str, Call] = {}
        self._over: OrderedDict[str, tuple[float, Call]] = OrderedDict()
        self._alarms: list[tuple[float, int, Call | _Player]] = []
        self._serial = itertools.count()
        self._out: list[Outgoing] = []
        self._events: list[Ended | Logged] = []
        self._began: float | None = None
        self._next_call = math.inf
        self._stopping = False

    # -- the verbs

    def start(self, now: float) -> None:
        """Begin to place calls, or to answer them."""
        self._began = now
        if self._hop is not None:
            self._next_call = now

    def receive(self, data: bytes, hop: Hop, now: float) -> None:
        """A datagram, or whole messages of a stream."""
        if hop.local.port == self.setting.media.port and self.setting.media != self.setting.local:
            self.counts.rtp_received += 1
            return
        if not data.strip(b"\r\n\0"):
            return
        message = received(data)
        if message is None or not message.call_id:
            self.counts.malformed += 1
            return
        self.counts.received += 1
        call = self._calls.get(message.call_id)
        if call is None and message.call_id in self._over:
            call = self._over[message.call_id][1]
        if call is not None:
            call.receive(data, message, hop, now)
            return
        if self._hop is None and message.method not in ("", "ACK") and not self._full:
            call = self._new(message.call_id, hop, now)
            call.begin(now)
            call.receive(data, message, hop, now)
            return
        self.counts.stray += 1

    def transport_failed(self, hop: Hop, reason: str, now: float) -> None:
        """Calls that have heard nothing yet fail; others may go on."""
        self.counts.send_errors += 1
        for call in list(self._calls.values()):
            if call.facts.hop == hop and call.facts.heard is None:
                call.failed_to_send(reason, now)

    def wake(self, now: float) -> None:
        """See SipMachine."""
        while self._alarms and self._alarms[0][0] <= now:
            due, _, what = heapq.heappop(self._alarms)
            self.counts.lateness.add(now - due)
            if isinstance(what, _Player):
                self._on(what, now)
            elif not what.over:
                what.wake(now)
        self._place(now)
        while self._over:
            at, _ = next(iter(self._over.values()))
            if at > now and len(self._over) <= _MOST_REMEMBERED:
                break
            self._over.popitem(last=False)

    def next_wake(self) -> float | None:
        moment = self._alarms[0][0] if self._alarms else math.inf
        if not self._full:
            moment = min(moment, self._next_call)
        return moment if math.isfinite(moment) else None

    def transmissions(self) -> list[Outgoing]:
        out, self._out = self._out, []
        return out

    def events(self) -> list[Ended | Logged]:
        events, self._events = self._events, []
        return events

    def stop(self, now: float, *, gently: bool) -> None:
        """No more calls; ``gently``: those that are up go on to their end."""
        self._next_call, self._stopping = math.inf, True
        if not gently:
            for call in list(self._calls.values()):
                call.abort("canceled", "it was ended before its time", now)
        self._look_for_the_end()

    # -- what calls stand on

    def transmit(self, data: bytes, hop: Hop) -> None:
        """See CallHost."""
        self._out.append(Outgoing(data, hop))

    def wake_at(self, call: Call, moment: float) -> None:
        """See CallHost."""
        heapq.heappush(self._alarms, (moment, next(self._serial), call))

    def below(self, number: int) -> int:
        """See Chance."""
        return int.from_bytes(self._entropy(8), "big") % number

    def token(self) -> str:
        """See Chance."""
        return self._entropy(16).hex()

    def play(self, call: Call, action: Action, now: float) -> str:
        """See CallHost."""
        name = action.attributes.get("play_pcap_audio") or action.attributes.get("rtp_stream", "")
        capture, remote = self._sounds.get(name), call.peer_media
        if capture is None:
            return f"there is no audio {name}"
        if remote is None:
            return "the peer has said no address for audio"
        why = self._media_refused(remote, call.facts.hop.remote.host)
        if why:
            self.counts.rtp_withheld += len(capture.packets)
            return why
        hop = Hop(Transport.UDP, self.setting.media, remote)
        self._on(_Player(capture, hop, call, now), now)
        return ""

    def log(self, call: Call, line: str, *, warning: bool) -> None:
        """See CallHost."""
        self._events.append(Logged(call.facts.number, line, warning))

    def ended(self, call: Call, now: float) -> None:
        """See CallHost."""
        counts = self.counts
        counts.active -= 1
        if call.outcome == "succeeded":
            counts.succeeded += 1
            counts.length.add(max(0.0, now - call.began))
        elif call.outcome == "canceled":
            counts.canceled += 1
        else:
            counts.failures[call.outcome] += 1
        self._calls.pop(call.facts.call_id, None)
        self._over[call.facts.call_id] = (now + _REMEMBERED, call)
        self._events.append(Ended(call))
        self._look_for_the_end()

    # -- inside

    @property
    def _full(self) -> bool:
        limit = self._pace.concurrent or _MOST_CALLS
        enough = self._pace.calls and self.counts.attempted >= self._pace.calls
        return bool(enough) or self._stopping or len(self._calls) >= limit

    def _new(self, call_id: str, hop: Hop, now: float) -> Call:
        counts = self.counts
        counts.attempted += 1
        counts.active += 1
        counts.peak = max(counts.peak, counts.active)
        call = Call(self, counts.attempted, call_id, hop, now)
        self._calls[call_id] = call
        return call

    def _place(self, now: float) -> None:
        if self._hop is None or self._began is None:
            return
        for _ in range(_AT_ONCE):
            if now < self._next_call or self._full:
                break
            self.counts.lateness.add(now - self._next_call)
            elapsed = self._next_call - self._began
            if elapsed >= self._pace.seconds:
                self._next_call = math.inf
                break
            local = self.setting.local.host
            call_id = f"{self.counts.attempted + 1}-{self.setting.pid}-{self.token()[:12]}@{local}"
            rate = max(self._pace.rate_at(elapsed), 1e-3)
            # A rate that was missed is not made up for: later calls would come in a burst.
            self._next_call = max(self._next_call + 1.0 / rate, now - 0.1)
            self._new(call_id, self._hop, now).begin(now)
            call = self._calls.get(call_id)
            if call is not None:
                call.wake(now)
        self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        if self._calls or self._began is None:
            return
        enough = self._pace.calls and self.counts.attempted >= self._pace.calls
        none_left = self._hop is not None and not math.isfinite(self._next_call)
        self.done = self.done or bool(enough) or self._stopping or none_left

    def _on(self, player: _Player, now: float) -> None:
        """Send what is due, unless the call is over."""
        packets = player.capture.packets
        while not player.call.over and player.at < len(packets):
            due = player.began + packets[player.at][0]
            if due > now:
                heapq.heappush(self._alarms, (due, next(self._serial), player))
                return
            self.counts.rtp_sent += 1
            self._out.append(Outgoing(packets[player.at][1], player.hop))
            player.at += 1
