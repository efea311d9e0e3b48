"""The SIP endpoint: a user agent core on a transaction layer, without sockets, clock or randomness.

A driver holds one Endpoint, gives it what arrives (`receive`), wakes it when it asks for it (`next_wake`), and
carries out what it wants sent (`transmissions`) and tells its user what happened (`events`). Any number of
calls, registrations and requests live in one endpoint, over any number of hops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from callwright.sip.call import SDP, Call, HeaderPairs
from callwright.sip.config import EndpointConfig

if TYPE_CHECKING:
    from callwright.sip.client_request import ClientRequest
    from callwright.sip.digest import Credentials
    from callwright.sip.events import Event
    from callwright.sip.registration import Registration
    from callwright.sip.transaction.server import ServerTransaction
    from callwright.sip.transport import Hop
    from callwright.sip.uri import NameAddr, Uri


class Transmission(NamedTuple):
    """A message to send: a whole datagram, or a chunk for the stream of `hop`."""

    data: bytes
    hop: Hop


class Pending(NamedTuple):
    """What an endpoint still has in hand; see `Endpoint.pending`."""

    calls: int  # not over yet
    requests: int  # client transactions without a final response
    unanswered: int  # requests received that nobody has answered
    unconfirmed: int  # finals sent to an INVITE whose ACK has not come
    waiting: int  # transactions that only wait to absorb repetitions (timers D, I, J, K, L, M)


class Endpoint:
    """A SIP user agent (RFC 3261). `entropy(n)` gives n random octets, as os.urandom."""

    def __init__(self, config: EndpointConfig, entropy: Callable[[int], bytes]) -> None:
        raise NotImplementedError

    # -- what a driver does

    def receive(self, data: bytes, hop: Hop, now: float) -> None:
        """A datagram, or the next chunk of the stream `hop`."""
        raise NotImplementedError

    def transport_failed(self, hop: Hop, reason: str, now: float) -> None:
        """Nothing sent to `hop` arrives: an ICMP error, a refused connection, a lost one.

        Client transactions on it that wait for a response fail at once; `reason` ("connection refused")
        appears in their events, joined with the host and port.
        """
        raise NotImplementedError

    def wake(self, now: float) -> None:
        """Do what has become due."""
        raise NotImplementedError

    def next_wake(self) -> float | None:
        """When to call `wake` next (monotonic seconds), or None."""
        raise NotImplementedError

    def transmissions(self) -> list[Transmission]:
        """Take what is to be sent, in order."""
        raise NotImplementedError

    def events(self) -> list[Event]:
        """Take what happened, in order."""
        raise NotImplementedError

    # -- what a user does

    def invite(
        self,
        target: Uri | str,
        *,
        local: NameAddr,
        hop: Hop,
        now: float,
        remote: NameAddr | None = None,
        body: bytes = b"",
        content_type: str = SDP,
        headers: HeaderPairs = (),
        route: Sequence[str] = (),
        credentials: Credentials | None = None,
        call_id: str | None = None,
    ) -> Call:
        """Call `target` over `hop`. `remote` is To, by default the target; `route` are Route values
        (`<sip:proxy;lr>`); without a body the offer is left to the callee (late offer)."""
        raise NotImplementedError

    def request(
        self,
        method: str,
        target: Uri | str,
        *,
        local: NameAddr,
        hop: Hop,
        now: float,
        remote: NameAddr | None = None,
        body: bytes = b"",
        content_type: str | None = None,
        headers: HeaderPairs = (),
        route: Sequence[str] = (),
        credentials: Credentials | None = None,
    ) -> ClientRequest:
        """A request outside of any dialog: OPTIONS, MESSAGE, … not INVITE, ACK, CANCEL, BYE (ValueError).

        Ends in ResponseReceived, RequestTimedOut or RequestFailed.
        """
        raise NotImplementedError

    def register(
        self,
        registrar: Uri | str,
        *,
        local: NameAddr,
        hop: Hop,
        now: float,
        credentials: Credentials | None = None,
        expires: int = 3600,
        contact: Uri | None = None,
        headers: HeaderPairs = (),
        route: Sequence[str] = (),
    ) -> Registration:
        """Bind `local` (address of record) to our Contact at `registrar`, and keep it bound.

        Refreshes at half of what was granted. Ends by `registration.unregister(now=…)`.
        """
        raise NotImplementedError

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        *,
        now: float,
        reason: str | None = None,
        headers: HeaderPairs = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> bool:
        """Answer the request of RequestReceived. False when it has had its final response already."""
        raise NotImplementedError

    def challenge(
        self,
        received: ServerTransaction | Call,
        realm: str,
        *,
        now: float,
        proxy: bool = False,
        stale: bool = False,
        algorithms: Iterable[str] = ("SHA-256", "MD5"),
    ) -> bool:
        """Answer a request (or an unanswered inbound call) with 401, or 407 when `proxy`, and fresh challenges.

        The call is forgotten; the peer's next INVITE is a new one.
        """
        raise NotImplementedError

    # -- how things stand

    @property
    def quiescent(self) -> bool:
        """True when nothing is in hand but wait timers: a process may exit without harm on a clean network.

        When a retransmission was seen (`loss_seen`), stay for one retransmission window after this turned true.
        """
        raise NotImplementedError

    @property
    def loss_seen(self) -> bool:
        """Any message of this endpoint, or of a peer, was repeated so far."""
        raise NotImplementedError

    def pending(self) -> Pending:
        """Counts of what is in hand."""
        raise NotImplementedError

    @property
    def calls(self) -> Iterable[Call]:
        """Calls that are not over, oldest first."""
        raise NotImplementedError
