"""What both kinds of transaction have in common: they obey a table and have at most two alarms.

One alarm repeats (timers A, E, G), the other limits the state (all other timers): no state of the four
machines needs more, and starting a limit replaces the one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from callwright.sip.timers import Agenda, Alarm, Timers
from callwright.sip.transaction.table import TIMER_STARTED_BY, Action, State, Table, Trigger
from callwright.sip.transport import Hop


class RetransmissionCount(Protocol):
    """Where a transaction writes down what had to be said again (the Timeline of a call)."""

    retransmissions_sent: int
    retransmissions_received: int


class Host(Protocol):
    """What a transaction needs around it: the transaction layer."""

    agenda: Agenda
    timers: Timers
    loss_seen: bool

    def transmit(self, data: bytes, hop: Hop) -> None:
        """Have `data` sent."""

    def forget(self, transaction: Machine) -> None:
        """The transaction is terminated."""


Handler = Callable[[Any, Any, float], None]
Program = Mapping[tuple["State | None", Trigger], tuple[tuple[Handler, ...], State]]

_REPEATERS = {
    Action.START_A: Trigger.TIMER_A,
    Action.START_E: Trigger.TIMER_E,
    Action.START_G: Trigger.TIMER_G,
}


class Machine:
    """A transaction in a state. `now` is monotonic seconds throughout."""

    __slots__ = (
        "_elapsed",
        "_interval",
        "_limit",
        "_repeat",
        "_repeat_trigger",
        "count",
        "data",
        "hop",
        "host",
        "key",
        "method",
        "reliable",
        "retransmissions",
        "state",
    )

    program: Program

    def __init__(self, host: Host, method: str, hop: Hop) -> None:
        self.host = host
        self.method = method
        self.hop = hop  # where it sends
        self.reliable = hop.transport.reliable
        self.state: State | None = None
        self.data = b""  # what it sent last, and sends again
        self.key: tuple[str, ...] = ()  # by which the layer finds it
        self.retransmissions = 0  # repetitions sent
        self.count: RetransmissionCount | None = None
        self._repeat: Alarm | None = None
        self._repeat_trigger = Trigger.TIMER_A
        self._interval = 0.0
        self._limit: Alarm | None = None
        self._elapsed: Trigger | None = None

    def step(self, trigger: Trigger, message: Any, now: float) -> bool:
        """Follow the table. False when the table has nothing for this state and trigger."""
        row = self.program.get((self.state, trigger))
        if row is None:
            return False
        actions, self.state = row
        if self.state is State.TERMINATED:
            self._end()
        for action in actions:
            action(self, message, now)
        elapsed = self._elapsed
        if elapsed is not None:  # a timer of zero seconds, as on TCP
            self._elapsed = None
            self.step(elapsed, None, now)
        return True

    def abandon(self, now: float) -> None:
        """The user wants no more of it."""
        self.step(Trigger.ABANDON, None, now)

    @property
    def terminated(self) -> bool:
        """True once it is forgotten."""
        return self.state is State.TERMINATED

    def _end(self) -> None:
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self.host.forget(self)

    def repeated(self) -> None:
        """The peer said something again."""
        self.host.loss_seen = True
        if self.count is not None:
            self.count.retransmissions_received += 1

    # -- actions

    def _send(self, message: Any, now: float) -> None:
        if self.data:  # else it has left already
            self.host.transmit(self.data, self.hop)

    def _resend(self, message: Any, now: float) -> None:
        if self.data:
            self.retransmissions += 1
            self.host.loss_seen = True
            if self.count is not None:
                self.count.retransmissions_sent += 1
            self.host.transmit(self.data, self.hop)

    def _stop_repeating(self, message: Any, now: float) -> None:
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None

    def _start_repeating(self, trigger: Trigger, now: float) -> None:
        if not self.reliable:
            self._repeat_trigger = trigger
            self._again(self.host.timers.t1, now)

    def _again(self, interval: float, now: float) -> None:
        # From the due time of the last one, not from when it was noticed: a late wake must not
        # stretch the row.
        # What a process missed while it slept is not made good by a burst, though.
        due = now if self._repeat is None else self._repeat.when
        self._interval = interval
        self._repeat = self.host.agenda.at(max(due + interval, now), self._on_repeat)

    def _on_repeat(self, now: float) -> None:
        self.step(self._repeat_trigger, None, now)

    def _repeat_doubled(self, message: Any, now: float) -> None:
        self._again(self._interval * 2, now)

    def _repeat_doubled_to_t2(self, message: Any, now: float) -> None:
        self._again(min(self._interval * 2, self.host.timers.t2), now)

    def _repeat_at_t2(self, message: Any, now: float) -> None:
        self._again(self.host.timers.t2, now)

    def _start_limit(self, trigger: Trigger, now: float) -> None:
        if self._limit is not None:
            self._limit.cancel()
        seconds = self._duration(trigger)
        if seconds <= 0:
            self._elapsed = trigger
            return
        self._limit = self.host.agenda.at(now + seconds, lambda at: self._on_limit(trigger, at))

    def _on_limit(self, trigger: Trigger, now: float) -> None:
        self.step(trigger, None, now)

    def _duration(self, trigger: Trigger) -> float:
        timers = self.host.timers
        if trigger is Trigger.TIMER_D:
            return 0.0 if self.reliable else timers.d
        if trigger in (Trigger.TIMER_I, Trigger.TIMER_K):
            return 0.0 if self.reliable else timers.t4
        if trigger is Trigger.TIMER_J:
            return 0.0 if self.reliable else timers.transaction_timeout
        return timers.transaction_timeout  # B, F, H, L, M, and patience


def _limit_starter(trigger: Trigger) -> Handler:
    def start(machine: Machine, message: Any, now: float) -> None:
        machine._start_limit(trigger, now)

    return start


def _repeat_starter(trigger: Trigger) -> Handler:
    def start(machine: Machine, message: Any, now: float) -> None:
        machine._start_repeating(trigger, now)

    return start


HANDLERS: dict[Action, Handler] = {
    Action.SEND: Machine._send,
    Action.RESEND: Machine._resend,
    Action.STOP_REPEATING: Machine._stop_repeating,
    Action.REPEAT_DOUBLED: Machine._repeat_doubled,
    Action.REPEAT_DOUBLED_TO_T2: Machine._repeat_doubled_to_t2,
    Action.REPEAT_AT_T2: Machine._repeat_at_t2,
    **{action: _repeat_starter(trigger) for action, trigger in _REPEATERS.items()},
    **{
        action: _limit_starter(trigger)
        for action, trigger in TIMER_STARTED_BY.items()
        if action not in _REPEATERS
    },
}
"""The actions that clients and servers share."""


def compile_table(table: Table, handlers: Mapping[Action, Handler]) -> Program:
    """A table with its actions replaced by the functions that do them."""
    return {
        (row.state, row.trigger): (tuple(handlers[action] for action in row.actions), row.then)
        for row in table.rows
    }
