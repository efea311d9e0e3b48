"""A request of ours, from the first sending to its final response, over as many transactions as it takes.

A 401 or 407 is met by the same request with credentials, one CSeq higher (RFC 3261 22.2, 22.3), again and
again for other realms and stale nonces, but never twice for the same refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from callwright.sip.digest import DigestClient
from callwright.sip.events import FailureCause, ResponseDiscarded
from callwright.sip.glance import from_tag
from callwright.sip.headers import Headers
from callwright.sip.message import Request, Response
from callwright.sip.transaction.client import ClientTransaction
from callwright.sip.transaction.machine import RetransmissionCount
from callwright.sip.transport import Hop

if TYPE_CHECKING:
    from callwright.sip.user_agent import UserAgent

_MAX_ATTEMPTS = 5


class ClientRequestUser(Protocol):
    """Who is told what became of a request."""

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """A provisional response."""

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """The final response; for INVITE also every further 2xx."""

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """It was challenged and is about to be sent again, with credentials."""

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """None will come: TIMED_OUT or TRANSPORT. `reason` is a sentence that names the host and port."""


class ClientRequest:
    """The handle of a request. Attributes, read only for users:

    request    as sent last (with credentials when challenged)
    hop        where it went
    response   the final response, or None
    sent_at    monotonic seconds of the first sending
    retransmissions_sent, retransmissions_received   repetitions of it, and of its responses
    user_data  the user's own
    """

    def __init__(
        self,
        agent: UserAgent,
        request: Request,
        hop: Hop,
        user: ClientRequestUser,
        *,
        digest: DigestClient | None = None,
        next_cseq: Callable[[], int] | None = None,
        count: RetransmissionCount | None = None,
    ) -> None:
        self._agent = agent
        self._user = user
        self._digest = digest
        self._next_cseq = next_cseq
        self._count: RetransmissionCount = count if count is not None else self
        self._attempts = 0
        self.request = request
        self.hop = hop
        self.response: Response | None = None
        self.transaction: ClientTransaction | None = None
        self.sent_at = 0.0
        self.retransmissions_sent = 0
        self.retransmissions_received = 0
        self.user_data: Any = None

    @property
    def method(self) -> str:
        """Its method."""
        return self.request.method

    @property
    def finished(self) -> bool:
        """True when it has its final response, or will have none."""
        return self.response is not None or self.transaction is None or self.transaction.terminated

    @property
    def was_challenged(self) -> bool:
        """True when it was sent again with credentials."""
        return self._attempts > 1

    def start(self, branch: str, now: float) -> None:
        """Send it; `branch` is that of its Via. Credentials of an earlier challenge are put in."""
        self.sent_at = now
        if self._digest is not None:
            request = self.request
            fields = self._digest.authorize(method=request.method, uri=request.uri, body=request.body)
            request.headers.extend(fields)
        self._send(branch, now)

    def take_over(self, branch: str, now: float) -> None:
        """It was sent by another process; wait for its response, and send nothing again."""
        self.sent_at = now
        transaction = self._agent.layer.request(self.request, self.hop, self, branch, now)
        transaction.count = self._count
        self.transaction = transaction
        transaction.take_over(now)

    def abandon(self, now: float) -> None:
        """Wait no longer for a response, and tell nobody."""
        if self.transaction is not None:
            self.transaction.abandon(now)

    def repeat(self, headers: Iterable[tuple[str, str]], now: float) -> None:
        """Send it once more after its final response; these headers replace those of the same name."""
        fields = list(headers)
        replaced = {name.lower() for name, _ in fields}
        number = self._next_cseq() if self._next_cseq is not None else self.request.headers.cseq.number + 1
        branch = self._agent.branch()
        new = again(self.request, self._agent.sent_by(self.hop), self.hop, number, branch)
        kept = [field for field in new.headers if field[0].lower() not in replaced]
        if self._digest is not None:
            fields += self._digest.authorize(method=new.method, uri=new.uri, body=new.body)
        self.request = Request(new.method, new.uri, Headers.adopt([*kept, *fields]), new.body, new.edits)
        self.response = None
        self._send(branch, now)

    def retry_no_more(self) -> None:
        """Take the next challenge for the final answer."""
        self._digest = None

    def _send(self, branch: str, now: float) -> None:
        self._attempts += 1
        transaction = self._agent.layer.request(self.request, self.hop, self, branch, now)
        transaction.count = self._count
        self.transaction = transaction
        transaction.start(now)

    def transaction_answered(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """From the transaction."""
        if transaction is not self.transaction:
            return
        status = response.status
        if status < 200:
            self._user.request_progressed(self, response, now)
            return
        if status in (401, 407) and self._retry(response, now):
            return
        if self.response is None:
            self.response = response
        self._user.request_answered(self, response, now)

    def transaction_timed_out(self, transaction: ClientTransaction, now: float) -> None:
        """From the transaction."""
        if transaction is self.transaction:
            heard = "no answer" if self.method == "INVITE" else "no final response"
            seconds = f"{self._agent.config.timers.transaction_timeout:g}"
            reason = f"{heard} from {self.hop.remote} to {self.method} within {seconds} s"
            self._user.request_failed(self, FailureCause.TIMED_OUT, reason, now)

    def transaction_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        """From the transaction."""
        if transaction is self.transaction:
            text = f"{self.hop.transport.value} to {self.hop.remote}: {reason}"
            self._user.request_failed(self, FailureCause.TRANSPORT, text, now)

    def transaction_garbled(
        self, transaction: ClientTransaction, status: int, fault: str, now: float
    ) -> None:
        """From the transaction."""
        if transaction is self.transaction and self.response is None:
            headers = self.request.headers
            call = self._agent.calls.get((headers.call_id, from_tag(headers)))
            self._agent.emit(ResponseDiscarded(now, self, call, status, fault))

    def _retry(self, response: Response, now: float) -> bool:
        if self._digest is None or self._attempts >= _MAX_ATTEMPTS:
            return False
        old = self.request
        fields = self._digest.answer(
            response.headers, method=old.method, uri=old.uri, body=old.body, refused=old.headers
        )
        if not fields:
            return False
        number = self._next_cseq() if self._next_cseq is not None else old.headers.cseq.number + 1
        branch = self._agent.branch()
        self.request = again(old, self._agent.sent_by(self.hop), self.hop, number, branch)
        self.request.headers.extend(fields)
        self._user.request_repeated(self, now)
        self._send(branch, now)
        return True


def again(old: Request, sent_by: str, hop: Hop, cseq: int, branch: str) -> Request:
    """The same request as a new transaction."""
    fields: list[tuple[str, str]] = []
    for name, value in old.headers:
        if name == "Via":
            value = f"SIP/2.0/{hop.transport.value} {sent_by};branch={branch};rport"
        elif name == "CSeq":
            value = f"{cseq} {old.method}"
        elif name in ("Authorization", "Proxy-Authorization"):
            continue
        fields.append((name, value))
    return Request(old.method, old.uri, Headers.adopt(fields), old.body, old.edits)
