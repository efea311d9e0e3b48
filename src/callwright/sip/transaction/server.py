"""Server transactions (RFC 3261 17.2): a request received, on its way to our final response."""

from __future__ import annotations

from typing import Any, Protocol

from callwright.sip.message import Request, Response, serialize
from callwright.sip.transaction.invite_server import INVITE_SERVER
from callwright.sip.transaction.machine import HANDLERS, Host, Machine, compile_table
from callwright.sip.transaction.non_invite_server import NON_INVITE_SERVER
from callwright.sip.transaction.table import Action, State, Trigger
from callwright.sip.transport import Hop


class ServerTransactionUser(Protocol):
    """Who answers an INVITE."""

    def transaction_acknowledged(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        """An ACK to a 2xx that bore the branch of the INVITE, as RFC 2543 peers send it."""

    def transaction_canceled(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        """A CANCEL came before the final response (9.2); it has been answered 200."""


class ServerTransaction(Machine):
    """One request received. `flow` is the hop it came over, `hop` where its responses go.

    `local_tag` is the To tag of our responses; "" until one was sent, or when the request had one already.
    """

    __slots__ = ("final_status", "flow", "local_tag", "merge_key", "request", "user")

    def __init__(self, host: Host, request: Request, flow: Hop, hop: Hop, now: float) -> None:
        super().__init__(host, request.method, hop)
        self.request = request
        self.flow = flow
        self.user: ServerTransactionUser | None = None
        self.local_tag = ""
        self.final_status: int | None = None
        self.merge_key: tuple[str, ...] | None = None

    def start(self, now: float) -> None:
        """Begin to exist."""
        self.step(Trigger.START, None, now)

    def receive(self, request: Request, now: float) -> None:
        """The request again, or the ACK to our final response (17.2.3)."""
        if request.method == "ACK":
            self.step(Trigger.ACK, request, now)
        else:
            self.repeated()
            self.step(Trigger.REQUEST, request, now)

    def respond(self, response: Response, now: float) -> bool:
        """Send a response. False when the state has no place for it (it was answered already)."""
        status = response.status
        if status < 200:
            trigger = Trigger.SEND_PROVISIONAL
        else:
            trigger = Trigger.SEND_SUCCESS if status < 300 else Trigger.SEND_FAILURE
            if self.final_status is not None:
                return False
        if (self.state, trigger) not in self.program:
            return False
        self.data = serialize(response)
        if status >= 200:
            self.final_status = status
        return self.step(trigger, response, now)

    def repeat_provisional(self, response: Response, now: float) -> None:
        """Send a reliable provisional again (RFC 3262 section 3)."""
        if self.respond(response, now):
            self._repeated_ours()

    def repeat_success(self, now: float) -> None:
        """Send the 2xx to an INVITE again (RFC 3261 13.3.1.4)."""
        self._repeated_ours()
        self.step(Trigger.SEND_SUCCESS, None, now)

    def _repeated_ours(self) -> None:
        self.retransmissions += 1
        self.host.loss_seen = True
        if self.count is not None:
            self.count.retransmissions_sent += 1

    @property
    def answered(self) -> bool:
        """True once a final response was sent."""
        return self.final_status is not None

    @property
    def waits_for_ack(self) -> bool:
        """True between a final response of 300 to 699 to an INVITE and its ACK."""
        return self.state is State.COMPLETED and self.method == "INVITE"

    def _deliver(self, message: Any, now: float) -> None:
        if self.user is not None:
            self.user.transaction_acknowledged(self, message, now)

    def _report_timeout(self, message: Any, now: float) -> None:
        """Nobody acknowledged a refusal: the call is over either way."""


_HANDLERS = HANDLERS | {
    Action.DELIVER: ServerTransaction._deliver,
    Action.REPORT_TIMEOUT: ServerTransaction._report_timeout,
}


class InviteServerTransaction(ServerTransaction):
    """The machine of figure 7, for INVITE."""

    __slots__ = ()
    program = compile_table(INVITE_SERVER, _HANDLERS)


class NonInviteServerTransaction(ServerTransaction):
    """The machine of figure 8, for all other methods."""

    __slots__ = ()
    program = compile_table(NON_INVITE_SERVER, _HANDLERS)
