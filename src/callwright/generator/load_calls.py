"""The calls of the load loop without native code: where they are found, their timers, and the end of each."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from callwright.generator.load_media import UNHEARD, Media, Stream
from callwright.generator.load_message import LoadMessage
from callwright.generator.load_numbers import Numbers
from callwright.generator.load_wire import Wire
from callwright.generator.loop import LADDER_MESSAGES, LoopConfig, MessageNoted
from callwright.sip.transport import Address

_WORD = 2**64 - 1


@dataclass(slots=True, eq=False)
class Call:
    """Times in seconds of the loop's clock."""

    number: int
    started: float
    state: str = "calling"
    marked: float = 0.0
    """When the request that is now waited for was sent first."""
    cseq: int = 1
    repeats: int = 0
    account: int = 0
    due: float = 0.0
    """When its timer fires, 0 without."""
    hold: float = 0.0
    pdd: float = 0.0
    setup: float = 0.0
    code: int = 0
    heard: bool = False
    """A provisional response came."""
    answered: bool = False
    tried: bool = False
    """Credentials were sent."""
    stopped: bool = False
    """Ended early by us."""
    hung_up: bool = False
    """Ended by the far end."""
    incoming: bool = False
    for_want_of_port: bool = False
    remote: bytes = b""
    local: bytes = b""
    call_id: bytes = b""
    target: bytes = b""
    routes: bytes = b""
    headers: bytes = b""
    invite_cseq: int = 1
    peer: Address | None = None
    challenge: bytes = b""
    proxy_challenge: bool = False
    key: tuple[bytes, bytes] = (b"", b"")
    stream: Stream | None = None
    direction: int = 0
    """Ours, in the SDP that we answer with: index of load_media.DIRECTIONS."""
    version: int = 0
    """Of that SDP, from the first."""
    bye_challenge: bytes = b""
    late: bool = False
    """Answered after we gave up ringing."""
    said: deque[MessageNoted] = field(default_factory=lambda: deque(maxlen=LADDER_MESSAGES + 1))

    @property
    def bye_cseq(self) -> int:
        return self.cseq + (2 if self.bye_challenge else 1)


def unended(call: Call, outcome: str) -> str:
    """Why a call has failed whose BYE went unanswered: where we answered and never saw the ACK, for that."""
    return "no_ack" if call.incoming and not call.answered else outcome


class Calls:
    """What both sides of a call share. `now` is set by the loop, once a turn."""

    def __init__(self, config: LoopConfig, numbers: Numbers) -> None:
        self.config = config
        self.numbers = numbers
        numbers.ladders_each = config.ladders
        self._random = int.from_bytes(config.seed[8:16], "little")
        self.wire = Wire(config, numbers, self.say)
        self.media: Media | None = None
        if config.media is not None:
            try:
                self.media = Media(
                    config.media,
                    numbers,
                    salt=config.salt,
                    random=self.random,
                    permitted=self.wire.permitted,
                )
            except BaseException:
                self.wire.close()
                raise
        self.now = 0.0
        self.began = 0.0
        self.limit = config.calls
        self.stopping = 0
        self.by_key: dict[tuple[bytes, bytes], Call] = {}
        """Calls that came in, by Call-ID and tag of From."""
        self._calls: dict[int, Call] = {}
        self._ended: dict[int, tuple[float, Call]] = {}
        self._numbers = itertools.count(1)
        self._timers: list[tuple[float, int]] = []

    def close(self) -> None:
        self.wire.close()
        if self.media is not None:
            self.media.close()

    def random(self) -> int:
        """splitmix64: spread, not secrecy."""
        self._random = self._random + 0x9E3779B97F4A7C15 & _WORD
        z = self._random
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _WORD
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _WORD
        return z ^ z >> 31

    # -- the table

    def new(self) -> Call:
        call = Call(next(self._numbers) & 0xFFFFFFFF, self.now, marked=self.now)
        call.account = self.numbers.get("attempted")
        self._calls[call.number] = call
        self.numbers.add("attempted")
        self.numbers.add("active")
        self.numbers.raise_to("peak", self.numbers.get("active"))
        return call

    def enough(self) -> bool:
        """Whether as many calls were placed, or taken, as were asked for."""
        return bool(self.limit) and self.numbers.get("attempted") >= self.limit

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls.values()))

    def named(self, text: bytes) -> Call | bool | None:
        """The call of `ssssssss-nnnnnnnn-gggggggg`; True when it was ours and is forgotten, None when not."""
        try:
            salt, slot, generation = (int(word, 16) for word in text[:26].split(b"-"))
        except ValueError:
            return None
        if salt != self.config.salt or generation != 1:
            return None
        call = self._calls.get(slot)
        if call is None and slot in self._ended:
            call = self._ended[slot][1]
        return call if call is not None else True

    # -- timers

    def timer(self, call: Call, seconds: float) -> None:
        call.due = self.now + seconds
        heapq.heappush(self._timers, (call.due, call.number))

    def next_timer(self) -> float | None:
        return self._timers[0][0] if self._timers else None

    def fired(self) -> list[Call]:
        """Calls whose timer is due; what has been ended for long enough is forgotten."""
        found = []
        while self._timers and self._timers[0][0] <= self.now:
            due, name = heapq.heappop(self._timers)
            call = self._calls.get(name)
            if call is not None and call.due == due:
                call.due = 0.0
                found.append(call)
        while self._ended:
            name, (since, call) = next(iter(self._ended.items()))
            if self.now - since < self.config.linger:
                break
            del self._ended[name]
            self.by_key.pop(call.key, None)
        return found

    def too_long(self, call: Call, cap: float | None) -> bool:
        """Whether the 64·T1 of a request are over; else its timer is set for the next repeat."""
        waited = self.now - call.marked
        timeout = 64 * self.config.t1
        if waited + 0.001 >= timeout:
            return True
        call.repeats += 1
        after = self.config.t1 * 2 ** min(call.repeats, 16)
        self.timer(call, min(after if cap is None else min(after, cap), timeout - waited))
        self.numbers.add("resent")
        return False

    def heard(self, call: Call, m: LoadMessage) -> None:
        """A message of the call has come."""
        if self.config.ladders:
            call.said.append(MessageNoted(self.now - self.began, False, m.whole))

    def say(self, call: Call, data: bytes) -> bytes:
        """A message of the call that is sent now."""
        if self.config.ladders:
            call.said.append(MessageNoted(self.now - self.began, True, data))
        return data

    # -- the end of a call

    def finish(self, call: Call, outcome: str, *, keep: bool = False) -> None:
        """Counts the call once; with `keep` it goes on answering what is repeated."""
        mos = -1
        if self.wire.wills is not None:
            self.wire.wills.over(call.number)
        if call.stream is not None and self.media is not None:
            mos = self.media.close_stream(call.stream, self.now, hung_up=call.hung_up)
            call.stream = None
            unheard = ""
            if mos == 0:
                mos, unheard = -1, "no_media"
            elif mos < -1:
                mos, unheard = mos + UNHEARD, "media_gaps"
            if unheard and outcome == "answered" and not call.stopped:
                outcome = unheard
        if outcome == "answered" and call.late:
            outcome = "no_answer"
        self.numbers.note(
            outcome,
            at=self.now - self.began,
            number=call.number,
            account=call.account,
            code=call.code,
            pdd=call.pdd,
            setup=call.setup,
            mos=mos,
            said=call.said if self.config.ladders else None,
            incoming=call.incoming,
        )
        self.numbers.ended(outcome, call.code)
        if not keep:
            self.forget(call)

    def forget(self, call: Call) -> None:
        call.state, call.due = "free", 0.0
        self._calls.pop(call.number, None)
        self._ended[call.number] = (self.now, call)

    def abandon(self) -> None:
        """What has not ended when the time for stopping is over is counted as it stands. Where it was left at
        once nobody has ended it: what ends it stays in memory, for the guardian."""
        wills = self.wire.wills
        if self.stopping >= 3:
            self.wire.wills = None
        for call in self:
            if call.state == "completed":
                continue
            self.numbers.add("abandoned")
            if call.state in ("ending", "talking", "confirmed"):
                self.finish(call, unended(call, "bye_timeout"))
            elif call.state in ("answered", "rejected"):
                self.finish(call, "no_ack")
            else:
                self.finish(call, "canceled")
        self.wire.wills = wills

    # -- ending a dialog, whoever called

    def bye(self, call: Call) -> None:
        call.state, call.repeats, call.marked = "ending", 0, self.now
        if call.stream is not None and self.media is not None:
            self.media.stop(call.stream)
        self.send_bye(call)
        self.timer(call, self.config.t1)

    def send_bye(self, call: Call) -> None:
        """With the answer to a challenge where it was asked for one; the same octets each time."""
        if call.incoming:
            self.wire.request("hangup", call, 1)
        else:
            self.wire.request("bye", call, call.bye_cseq)
