"""The 2xx to an INVITE: said again until its ACK comes (RFC 3261 13.3.1.4), on every transport."""

from __future__ import annotations

from collections.abc import Callable

from callwright.sip.glance import cseq_of
from callwright.sip.timers import Alarm
from callwright.sip.transaction.server import ServerTransaction


class Success:
    """One 2xx of ours that waits for its ACK: repeated after T1, doubling up to T2, given up after 64*T1."""

    __slots__ = ("_interval", "_on_missing", "_repeat", "_timeout", "cseq", "transaction")

    def __init__(
        self, transaction: ServerTransaction, on_missing: Callable[[float], None], now: float
    ) -> None:
        self.transaction = transaction
        self.cseq = cseq_of(transaction.request.headers)[0]
        self._on_missing = on_missing
        host = transaction.host
        self._interval = host.timers.t1
        self._repeat: Alarm | None = host.agenda.at(now + self._interval, self._again)
        self._timeout: Alarm | None = host.agenda.at(now + host.timers.transaction_timeout, self._missing)

    @property
    def waits(self) -> bool:
        """True until the ACK came or is overdue."""
        return self._timeout is not None

    def stop(self) -> None:
        """The ACK came, or nobody waits for it any more."""
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def _again(self, now: float) -> None:
        self.transaction.repeat_success(now)
        due = now if self._repeat is None else self._repeat.when
        self._interval = min(self._interval * 2, self.transaction.host.timers.t2)
        self._repeat = self.transaction.host.agenda.at(max(due + self._interval, now), self._again)

    def _missing(self, now: float) -> None:
        self.stop()
        self._on_missing(now)
