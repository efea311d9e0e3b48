"""STUN requests under way, and when each is repeated (RFC 8489 section 6.2.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callwright.ice.stun import Message

__all__ = ["Answered", "Requests"]

RTO = 0.5
TRIES = 7
LAST_WAIT = 16 * RTO
Answered = Callable[[Message | None, tuple[str, int] | None, float], None]
"""Gets the response, where it came from, and now; None for both where none came."""


@dataclass(slots=True)
class _Request:
    data: bytes
    to: tuple[str, int]
    answered: Answered
    due: float
    wait: float
    left: int


class Requests:
    """All of one socket. `send` gives a packet to `transmit`, now and again until the answer is there."""

    def __init__(self, transmit: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._transmit = transmit
        self._open: dict[bytes, _Request] = {}

    def send(
        self,
        transaction: bytes,
        data: bytes,
        to: tuple[str, int],
        now: float,
        answered: Answered,
        *,
        tries: int = TRIES,
        rto: float = RTO,
    ) -> None:
        self._open[transaction] = _Request(data, to, answered, now + rto, rto, tries - 1)
        self._transmit(data, to)

    def receive(self, message: Message, source: tuple[str, int], now: float) -> bool:
        """A response; False for one that nobody waits for."""
        request = self._open.pop(message.transaction, None)
        if request is None:
            return False
        request.answered(message, source, now)
        return True

    def is_open(self, transaction: bytes) -> bool:
        return transaction in self._open

    def forget(self, transaction: bytes) -> None:
        """No answer is wanted any more."""
        self._open.pop(transaction, None)

    def next_wake(self) -> float | None:
        return min((request.due for request in self._open.values()), default=None)

    def wake(self, now: float) -> None:
        for transaction, request in list(self._open.items()):
            if request.due > now or transaction not in self._open:
                continue
            if request.left <= 0:
                del self._open[transaction]
                request.answered(None, None, now)
                continue
            request.left -= 1
            request.wait *= 2
            request.due = now + (request.wait if request.left else min(request.wait, LAST_WAIT))
            self._transmit(request.data, request.to)
