"""The addresses of our side: the socket, what a STUN server sees of it, what a TURN server lends."""

from __future__ import annotations

from collections.abc import Callable

from callwright.ice import stun
from callwright.ice.candidate import HOST, RELAY, SRFLX, Candidate, priority
from callwright.ice.events import AddressTuple, IceSettings
from callwright.ice.requests import Requests
from callwright.ice.stun import Message
from callwright.ice.turn import Allocation

__all__ = ["Gathering"]

PATIENCE = 3.0
"""Seconds that the servers are waited for."""


class Gathering:
    """`candidates` grow until `done` is a time. `turn`: the allocation, where a server was named."""

    def __init__(
        self,
        entropy: Callable[[int], bytes],
        base: AddressTuple,
        advertised: str | None,
        settings: IceSettings,
        requests: Requests,
        transmit: Callable[[bytes, AddressTuple], None],
        remark: Callable[[str], None],
    ) -> None:
        self.host = Candidate("1", 1, priority(HOST), advertised or base[0], base[1], HOST)
        self.relay: Candidate | None = None
        self.candidates: list[Candidate] = [] if settings.relay_only else [self.host]
        self.turn: Allocation | None = None
        self.began: float | None = None
        self.done: float | None = None
        self.until: float | None = None
        self._entropy, self._base, self._settings = entropy, base, settings
        self._requests, self._transmit, self._remark = requests, transmit, remark
        self._asking = False  # the STUN server

    def start(self, now: float) -> None:
        """Ask the servers; without any that is done at once."""
        settings = self._settings
        self.began = now
        if settings.lite or (settings.stun is None and settings.turn is None):
            self.done = now
            return
        self.until = now + PATIENCE
        if settings.stun is not None and not settings.relay_only:
            transaction, self._asking = self._entropy(12), True
            data = stun.build(stun.REQUEST, stun.BINDING, transaction)
            self._requests.send(transaction, data, settings.stun, now, self._mapped)
        if settings.turn is not None:
            server = settings.turn
            self.turn = Allocation(
                server.address, server.user, server.password, self._entropy, self._transmit
            )
            self.turn.start(now)

    def look(self, now: float) -> None:
        """Take what the servers have told, and end when all have, or none will."""
        turn = self.turn
        if turn is not None and self.relay is None and turn.relayed is not None:
            if turn.mapped is not None:
                self._reflexive(turn.mapped)
            self.relay = Candidate("3", 1, priority(RELAY), *turn.relayed, RELAY, turn.mapped or self._base)
            self.candidates.append(self.relay)
        if self.until is None:
            return
        late = now >= self.until
        if not late and (self._asking or (turn is not None and turn.relayed is None and turn.failed is None)):
            return
        if turn is not None and turn.relayed is None:
            self._remark(turn.failed or "The TURN server did not answer in time.")
        if self._asking:
            self._remark("The STUN server did not answer in time.")
        self.until, self.done = None, now

    def _mapped(self, message: Message | None, _: object, now: float) -> None:
        found = message.address(stun.XOR_MAPPED_ADDRESS) if message is not None else None
        if found is not None:
            self._reflexive(found)
        elif self._asking and self.until is not None:
            self._remark("The STUN server did not tell our address.")
        self._asking = False
        self.look(now)

    def _reflexive(self, found: AddressTuple) -> None:
        known = {candidate.address for candidate in self.candidates}
        if found not in known and not self._settings.relay_only:
            self.candidates.append(Candidate("2", 1, priority(SRFLX), *found, SRFLX, self._base))
