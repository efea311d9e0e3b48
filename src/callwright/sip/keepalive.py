"""A flow that is kept alive (RFC 5626 section 4.4): CRLF and its answer over a stream, STUN over UDP.

It says when the flow is dead: a stream that does not answer in time, a Binding request that nobody answers
however often it is sent, or an answer that says that a NAT has given us another address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from callwright.sip import stun
from callwright.sip.timers import Alarm
from callwright.sip.transport import Address, Hop

if TYPE_CHECKING:
    from callwright.sip.user_agent import UserAgent

__all__ = ["Keepalive", "OnDeadFlow", "pause_between"]

OnDeadFlow = Callable[[str, float], None]
"""Is told in a sentence why the flow is dead, and when that was noticed."""

PONG = 10.0  # seconds that a stream has for its answer (4.4.1)
_STREAM, _DATAGRAM = 120.0, 29.0  # seconds between two, at most, where no Flow-Timer says it (4.4.1, 4.4.2)
_RESENDS = 7  # of a Binding request (RFC 8489 section 6.2.1: Rc)
_LAST_WAIT = 16  # times RTO, after the last of them (Rm)


def pause_between(most: float, octet: int) -> float:
    """80 to 100 percent of `most` seconds, as a random octet decides: phones shall not speak in step."""
    return most * (0.8 + 0.2 * octet / 255)


class Keepalive:
    """Of one flow. `sent` and `answered` count; `mapped` is our address as the server sees it (UDP)."""

    def __init__(self, agent: UserAgent, hop: Hop) -> None:
        self._agent, self._hop = agent, hop
        self._listeners: dict[object, OnDeadFlow] = {}
        self._alarm: Alarm | None = None
        self._awaited: bytes | None = None  # the transaction of the Binding request; b"" over a stream
        self._tries = 0
        self._most = 0.0
        self.sent = self.answered = 0
        self.mapped: Address | None = None

    def tell(self, who: object, on_dead: OnDeadFlow, most: float | None, now: float) -> None:
        """Keep the flow for `who` from now on. `most`: seconds between two; None: as RFC 5626 has it."""
        self._listeners[who] = on_dead
        if most is None:
            most = _STREAM if self._hop.transport.reliable else _DATAGRAM
        if self._alarm is None or most < self._most:
            self._most = most
            if self._awaited is None:
                self._rest(now)

    def forget(self, who: object) -> None:
        """It is kept for `who` no more; without anybody it rests."""
        self._listeners.pop(who, None)
        if not self._listeners:
            self._stop()

    @property
    def idle(self) -> bool:
        """It is kept for nobody."""
        return not self._listeners

    def line_end(self, now: float) -> bool:
        """A CRLF came by itself over the stream; whether it was waited for."""
        if self._awaited is None or not self._hop.transport.reliable:
            return False
        self._live(now)
        return True

    def binding(self, found: stun.Mapped, now: float) -> None:
        """An answer to a Binding request came over UDP."""
        if not self._awaited or found.transaction != self._awaited:
            return
        before, self.mapped = self.mapped, found.address
        self._live(now)
        if before is not None and before != found.address:
            self._dead(f"a NAT gave us another address: {found.address} instead of {before}", now)

    def lost(self, reason: str, now: float) -> None:
        """The transport reports that nothing arrives any more."""
        self._dead(reason, now, close=False)

    # -- inside

    def _live(self, now: float) -> None:
        self.answered += 1
        self._awaited = None
        self._rest(now)

    def _rest(self, now: float) -> None:
        self._cancel()
        pause = pause_between(self._most, self._agent.entropy(1)[0])
        self._alarm = self._agent.agenda.at(now + pause, self._ask)

    def _ask(self, now: float) -> None:
        self.sent += 1
        agent, hop = self._agent, self._hop
        if hop.transport.reliable:
            self._awaited = b""
            agent.layer.transmit(b"\r\n\r\n", hop)
            self._alarm = agent.agenda.at(now + PONG, self._unanswered)
            return
        self._awaited, self._tries = agent.entropy(12), 0
        self._send(now)

    def _send(self, now: float) -> None:
        agent, rto = self._agent, self._agent.config.timers.t1
        if self._tries == _RESENDS:
            self._unanswered(now)
            return
        agent.layer.transmit(stun.request(self._awaited or b""), self._hop)
        self._tries += 1
        wait = rto * (_LAST_WAIT if self._tries == _RESENDS else 2 ** (self._tries - 1))
        self._alarm = agent.agenda.at(now + wait, self._send)

    def _unanswered(self, now: float) -> None:
        what = "a keep-alive (CRLF)" if self._hop.transport.reliable else "a keep-alive (STUN)"
        self._dead(f"{self._hop.remote} did not answer {what} in time", now)

    def _dead(self, reason: str, now: float, *, close: bool = True) -> None:
        self._stop()
        self.mapped = None
        if close and self._hop.transport.reliable:
            self._agent.layer.close(self._hop)
            self._agent.note_dead_flow(self._hop)
        listeners, self._listeners = list(self._listeners.values()), {}
        for told in listeners:
            told(reason, now)

    def _stop(self) -> None:
        self._cancel()
        self._awaited = None

    def _cancel(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
