"""Client transactions (RFC 3261 17.1): a request on its way to a final response."""

from __future__ import annotations

from typing import Any, Protocol

from callwright.sip.headers import Headers
from callwright.sip.message import Request, Response, serialize
from callwright.sip.transaction.invite_client import INVITE_CLIENT
from callwright.sip.transaction.machine import HANDLERS, Host, Machine, compile_table
from callwright.sip.transaction.non_invite_client import NON_INVITE_CLIENT
from callwright.sip.transaction.table import Action, State, Trigger
from callwright.sip.transport import Hop

_WAITING = (State.CALLING, State.TRYING, State.PROCEEDING)


class ClientTransactionUser(Protocol):
    """Who made the request, and is told what became of it."""

    def transaction_answered(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Any response that is not a repetition; every 2xx to an INVITE, though."""

    def transaction_timed_out(self, transaction: ClientTransaction, now: float) -> None:
        """Timer B or F."""

    def transaction_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        """The transport said no."""

    def transaction_garbled(
        self, transaction: ClientTransaction, status: int, fault: str, now: float
    ) -> None:
        """A response came that could not be used; the transaction goes on waiting."""


class ClientTransaction(Machine):
    """One request, sent to one hop."""

    __slots__ = ("_ack", "request", "user")

    def __init__(
        self, host: Host, request: Request, hop: Hop, user: ClientTransactionUser, branch: str
    ) -> None:
        super().__init__(host, request.method, hop)
        self.request = request
        self.user = user
        self.key = (branch, request.method)
        self._ack = b""

    def start(self, now: float) -> None:
        """Send the request."""
        self.data = serialize(self.request)
        self.step(Trigger.START, None, now)

    def take_over(self, now: float) -> None:
        """The request has left already: wait for its response."""
        self.step(Trigger.START, None, now)

    def receive(self, response: Response, now: float) -> None:
        """A response that matched (17.1.3)."""
        status = response.status
        state = self.state
        if state is State.COMPLETED or (state is State.ACCEPTED and status >= 200):
            self.repeated()
        if status < 200:
            self.step(Trigger.PROVISIONAL, response, now)
        elif status < 300:
            self.step(Trigger.SUCCESS, response, now)
        else:
            self.step(Trigger.FAILURE, response, now)

    @property
    def waits_for_response(self) -> bool:
        """True while no final response has come."""
        return self.state in _WAITING

    def _deliver(self, message: Any, now: float) -> None:
        self.user.transaction_answered(self, message, now)

    def _report_timeout(self, message: Any, now: float) -> None:
        self.user.transaction_timed_out(self, now)

    def _report_transport(self, message: Any, now: float) -> None:
        self.user.transaction_failed(self, message, now)

    def _send_ack(self, message: Any, now: float) -> None:
        if not self._ack:
            self._ack = serialize(acknowledgement(self.request, message))
        self.host.transmit(self._ack, self.hop)


def acknowledgement(invite: Request, response: Response) -> Request:
    """The ACK to a final response other than 2xx, with the branch of the INVITE (17.1.1.3)."""
    headers = Headers()
    given = invite.headers
    headers.add("Via", given.get_all("via")[0])
    headers.add("Max-Forwards", given.get("max-forwards") or "70")
    headers.add("From", given.get("from") or "")
    headers.add("To", response.headers.get("to") or given.get("to") or "")
    headers.add("Call-ID", given.call_id)
    headers.add("CSeq", f"{given.cseq.number} ACK")
    headers.extend(("Route", route) for route in given.get_all("route"))
    return Request("ACK", invite.uri, headers, b"")


_HANDLERS = HANDLERS | {
    Action.DELIVER: ClientTransaction._deliver,
    Action.REPORT_TIMEOUT: ClientTransaction._report_timeout,
    Action.REPORT_TRANSPORT: ClientTransaction._report_transport,
    Action.SEND_ACK: ClientTransaction._send_ack,
}


class InviteClientTransaction(ClientTransaction):
    """The machine of figure 5, for INVITE."""

    __slots__ = ()
    program = compile_table(INVITE_CLIENT, _HANDLERS)


class NonInviteClientTransaction(ClientTransaction):
    """The machine of figure 6, for all other methods."""

    __slots__ = ()
    program = compile_table(NON_INVITE_CLIENT, _HANDLERS)
