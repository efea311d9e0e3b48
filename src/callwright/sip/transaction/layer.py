"""The transaction layer: all transactions of an endpoint, found by the rules of RFC 3261
17.1.3 and 17.2.3."""

from __future__ import annotations

import re
from typing import NamedTuple

from callwright.sip.fields import Via
from callwright.sip.glance import branch_of, cseq_of, from_tag
from callwright.sip.headers import Headers
from callwright.sip.message import Request, Response
from callwright.sip.status import KNOWN_METHODS
from callwright.sip.timers import Agenda, Timers
from callwright.sip.transaction.client import (
    ClientTransaction,
    ClientTransactionUser,
    InviteClientTransaction,
    NonInviteClientTransaction,
)
from callwright.sip.transaction.machine import Machine
from callwright.sip.transaction.server import (
    InviteServerTransaction,
    NonInviteServerTransaction,
    ServerTransaction,
)
from callwright.sip.transaction.table import Trigger
from callwright.sip.transport import Address, Hop, Transport


class Transmission(NamedTuple):
    """A message to send: a whole datagram, or a chunk for the stream of `hop`; empty: close that stream."""

    data: bytes
    hop: Hop


Key = tuple[str, ...]

_STATUS = re.compile(rb"\s*SIP/2\.0 ([1-6][0-9]{2})", re.IGNORECASE)
_BRANCH = re.compile(rb"\n(?:via|v)[ \t]*:[^\n]{0,300}?;[ \t]*branch=([\w.\-]{1,80})", re.IGNORECASE)
_CSEQ = re.compile(rb"\ncseq[ \t]*:[ \t]*[0-9]+[ \t]+([A-Z]+)", re.IGNORECASE)


def server_key(request: Request, via: Via, method: str) -> Key:
    """What a request has in common with its repetitions, its ACK (not of a 2xx) and, but for the method, its
    CANCEL. `via` is its topmost; `method` the one to look for: INVITE for an ACK or CANCEL."""
    branch = via.branch
    if branch is not None and via.has_magic_cookie:
        return (branch, f"{via.host.lower()}:{via.port or ''}", method)
    headers = request.headers
    # RFC 2543: no unique branch. To is left out: its tag differs in the ACK.
    return (
        request.uri,
        from_tag(headers),
        headers.call_id,
        str(cseq_of(headers)[0]),
        str(via),
        method,
    )


class TransactionLayer:
    """Transactions, their alarms, and what is to be sent."""

    def __init__(self, timers: Timers, limit: int) -> None:
        self.agenda = Agenda()
        self.timers = timers
        self.limit = limit
        self.loss_seen = False
        self.out: list[Transmission] = []
        self.clients: dict[Key, ClientTransaction] = {}
        self.servers: dict[Key, ServerTransaction] = {}
        self._merged: dict[Key, ServerTransaction] = {}
        self._by_remote: dict[tuple[Transport, Address], dict[ClientTransaction, None]] = {}

    @property
    def full(self) -> bool:
        """True when no further request may be taken."""
        return len(self.clients) + len(self.servers) >= self.limit

    @property
    def overfull(self) -> bool:
        """True when not even requests within calls are taken."""
        return len(self.clients) + len(self.servers) >= 2 * self.limit

    def transmit(self, data: bytes, hop: Hop) -> None:
        """Have `data` sent to `hop`."""
        self.out.append(Transmission(data, hop))

    def close(self, hop: Hop) -> None:
        """Have the stream of `hop` closed, after what is to be sent over it."""
        self.out.append(Transmission(b"", hop))

    def request(
        self, request: Request, hop: Hop, user: ClientTransactionUser, branch: str, now: float
    ) -> ClientTransaction:
        """Send a request whose top Via bears `branch`; not an ACK. Start it with `start`."""
        kind = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        transaction = kind(self, request, hop, user, branch)
        self.clients[transaction.key] = transaction
        self._by_remote.setdefault((hop.transport, hop.remote), {})[transaction] = None
        return transaction

    def accept(self, request: Request, key: Key, flow: Hop, hop: Hop, now: float) -> ServerTransaction:
        """Make the server transaction of a request that is new; responses go to `hop`."""
        kind = InviteServerTransaction if request.method == "INVITE" else NonInviteServerTransaction
        transaction = kind(self, request, flow, hop, now)
        transaction.key = key
        self.servers[key] = transaction
        transaction.start(now)
        return transaction

    def merged(self, request: Request, transaction: ServerTransaction) -> bool:
        """True when this request without a To tag came before by another way (8.2.2.2); else remember it."""
        headers: Headers = request.headers
        # The Request-URI is in the key since one endpoint may be several users, each of whom is to ring.
        key = (from_tag(headers), headers.call_id, headers.get("cseq") or "", request.uri)
        if self._merged.get(key, transaction) is not transaction:
            return True
        self._merged[key] = transaction
        transaction.merge_key = key
        return False

    def find_client(self, response: Response) -> ClientTransaction | None:
        """The transaction that a response belongs to (17.1.3)."""
        headers = response.headers
        branch = branch_of(headers)
        return None if branch is None else self.clients.get((branch, cseq_of(headers)[1]))

    def find_garbled(self, data: bytes) -> tuple[ClientTransaction, int] | None:
        """The transaction that a response of no use is about, by what can be seen of it, and its status."""
        seen = _STATUS.match(data)
        branch, cseq = _BRANCH.search(data), _CSEQ.search(data)
        if seen is None or branch is None:
            return None
        # Where CSeq is the fault, the branch alone names it: only CANCEL has that of another request.
        methods = KNOWN_METHODS if cseq is None else (cseq[1].decode("latin-1"), *KNOWN_METHODS)
        for method in methods:
            found = self.clients.get((branch[1].decode("latin-1"), method))
            if found is not None:
                return found, int(seen[1])
        return None

    def fail(self, hop: Hop, reason: str, now: float) -> None:
        """No request reaches the remote of `hop`."""
        for transaction in list(self._by_remote.get((hop.transport, hop.remote), ())):
            transaction.step(Trigger.TRANSPORT_ERROR, reason, now)

    def forget(self, transaction: Machine) -> None:
        """Called by a transaction that has terminated."""
        key = transaction.key
        if isinstance(transaction, ClientTransaction):
            self.clients.pop(key, None)
            remote = (transaction.hop.transport, transaction.hop.remote)
            of_remote = self._by_remote.get(remote)
            if of_remote is not None:
                of_remote.pop(transaction, None)
                if not of_remote:
                    del self._by_remote[remote]
        elif isinstance(transaction, ServerTransaction):
            self.servers.pop(key, None)
            if transaction.merge_key is not None and self._merged.get(transaction.merge_key) is transaction:
                del self._merged[transaction.merge_key]
