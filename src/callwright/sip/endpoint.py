"""The SIP endpoint: a user agent core on a transaction layer, without sockets, clock or randomness.

A driver holds one Endpoint, gives it what arrives (`receive`), wakes it when it asks for it (`next_wake`),
and carries out what it wants sent (`transmissions`) and tells its user what happened (`events`). Any number
of calls, registrations and requests live in one endpoint, over any number of hops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from callwright.sip.binding_wish import PLAIN, BindingWish
from callwright.sip.call import SDP, Call, HeaderPairs
from callwright.sip.client_request import ClientRequest
from callwright.sip.config import EndpointConfig
from callwright.sip.digest import Credentials, DigestClient
from callwright.sip.digest_server import DigestServer, Judgement
from callwright.sip.dispatch import Dispatch
from callwright.sip.events import Event
from callwright.sip.glance import cseq_of, from_tag
from callwright.sip.headers import Headers
from callwright.sip.inbound_call import InboundCall
from callwright.sip.inherited_call import InheritedCall
from callwright.sip.inquiry import Inquiry
from callwright.sip.message import Response
from callwright.sip.notice import EventName
from callwright.sip.outbound_call import OutboundCall
from callwright.sip.refer import wants_news
from callwright.sip.registration import Registration
from callwright.sip.session_timer import NO_WISH, SessionWish, first_asked
from callwright.sip.subscriber import Subscriber
from callwright.sip.subscription import Subscription
from callwright.sip.transaction.layer import Transmission
from callwright.sip.transaction.server import ServerTransaction
from callwright.sip.transport import Hop, PermittedHop
from callwright.sip.uri import NameAddr, Uri
from callwright.sip.user_agent import UserAgent
from callwright.sip.will import Will, dialog_of

__all__ = ["Endpoint", "EndpointConfig", "Pending", "Transmission"]

_NOT_A_REQUEST = ("INVITE", "ACK", "CANCEL", "BYE", "REGISTER")
_WITH_CONTACT = ("OPTIONS", "SUBSCRIBE", "NOTIFY", "REFER")


class Pending(NamedTuple):
    """What an endpoint still has in hand; see `Endpoint.pending`."""

    calls: int  # not over yet
    requests: int  # client transactions without a final response
    unanswered: int  # requests received that nobody has answered
    unconfirmed: int  # finals of ours to an INVITE whose ACK has not come, 2xx included
    waiting: int  # transactions that only wait to absorb repetitions (timers D, I, J, K, L, M)


class Endpoint:
    """A SIP user agent (RFC 3261). `entropy(n)` gives n random octets, as os.urandom."""

    def __init__(self, config: EndpointConfig, entropy: Callable[[int], bytes]) -> None:
        self.config = config
        self._agent = UserAgent(config, entropy)
        self._dispatch = Dispatch(self._agent)

    # -- what a driver does

    def receive(self, data: bytes, hop: Hop, now: float) -> None:
        """A datagram, or the next chunk of the stream `hop`."""
        self._dispatch.receive(data, hop, now)

    def transport_failed(self, hop: Hop, reason: str, now: float) -> None:
        """Nothing sent to `hop` arrives: an ICMP error, a refused connection, a lost one.

        Client transactions on it that wait for a response fail at once; `reason` ("connection refused")
        appears in their events, joined with the host and port.
        """
        self._agent.note_dead_flow(hop)
        self._dispatch.flow_lost(hop)
        self._agent.layer.fail(hop, reason, now)
        keepalive = self._agent.keepalives.get(hop)
        if keepalive is not None:
            keepalive.lost(reason, now)

    def wake(self, now: float) -> None:
        """Do what has become due."""
        self._agent.agenda.ring(now)

    def next_wake(self) -> float | None:
        """When to call `wake` next (monotonic seconds), or None."""
        return self._agent.agenda.next()

    def transmissions(self) -> list[Transmission]:
        """Take what is to be sent, in order."""
        layer = self._agent.layer
        out, layer.out = layer.out, []
        return out

    def events(self) -> list[Event]:
        """Take what happened, in order."""
        agent = self._agent
        events, agent.events = agent.events, []
        return events

    def wills(self) -> list[tuple[str, Will | None]]:
        """Take what changed of what ends each call, under its key; None: there is nothing to end any more. To
        be told to who keeps them before `transmissions` are sent; see `EndpointConfig.keep_wills`."""
        agent = self._agent
        changed, agent.changed = agent.changed, {}
        return [(f"{call.call_id};{call.local_tag}", call.will()) for call in changed]

    def inherit(
        self, will: Will, hop: PermittedHop, *, now: float, way: PermittedHop | None = None
    ) -> Call | None:
        """End the call of another process: BYE, or CANCEL, and an answer that still comes; or 480 to a call
        that came in, which the user hears of as CallReceived and rejects (None). `hop`: of its INVITE, from
        here; `way`: where requests of its dialog go. Raises MalformedMessage, ValueError."""
        agent, request, state = self._agent, will.request(), will.dialog
        if state is not None:
            dialog = dialog_of(state, request.headers.call_id, hop)
            call: Call = InheritedCall(
                agent, request, hop, dialog, will.credentials, outbound=will.outbound, now=now
            )
            if way is not None:
                call.use_hop(way)
            call.hangup(now=now)
            return call
        if will.outbound:
            placed = OutboundCall(agent, request, hop, will.local_tag, will.credentials, now)
            placed.take_over(request.headers.top_via.branch or "", now)
            return placed
        self.receive(will.invite, hop, now)
        return None

    # -- what a user does

    def invite(
        self,
        target: Uri | str,
        *,
        local: NameAddr,
        hop: PermittedHop,
        now: float,
        remote: NameAddr | None = None,
        body: bytes = b"",
        content_type: str = SDP,
        headers: HeaderPairs = (),
        route: Sequence[str] = (),
        credentials: Credentials | None = None,
        call_id: str | None = None,
        supported: Sequence[str] | None = None,
        session: SessionWish = NO_WISH,
    ) -> Call:
        """Call `target` over `hop`. `remote` is To, by default the target; `route` are Route values
        (`<sip:proxy;lr>`); without a body the offer is left to the callee (late offer). `supported`: the
        option tags of this call, by default the endpoint's; `session`: its timer, where they have it."""
        agent = self._agent
        uri = _target(target)
        local = replace(local, uri=local.uri.escaped())
        remote = None if remote is None else replace(remote, uri=remote.uri.escaped())
        tag = agent.token()
        branch = agent.branch()
        request = agent.build_request(
            "INVITE",
            str(uri),
            from_=str(local.with_tag(tag)),
            to=str(remote if remote is not None else NameAddr("", uri)),
            call_id=call_id or agent.token() + agent.token(),
            cseq=1,
            hop=hop,
            branch=branch,
            routes=route,
            contact=agent.contact(local.uri.user, hop, uri.is_secure),
            headers=(*first_asked(session, agent.config.supported), *headers),
            body=body,
            content_type=content_type,
            supported=None if supported is None else ", ".join(supported),
        )
        call = OutboundCall(agent, request, hop, tag, credentials, now)
        if session is not NO_WISH:
            call.session.wish = session
        call.start(branch, now)
        return call

    def request(
        self,
        method: str,
        target: Uri | str,
        *,
        local: NameAddr,
        hop: PermittedHop,
        now: float,
        remote: NameAddr | None = None,
        body: bytes = b"",
        content_type: str | None = None,
        headers: HeaderPairs = (),
        route: Sequence[str] = (),
        credentials: Credentials | None = None,
    ) -> ClientRequest:
        """A request outside of any dialog: OPTIONS, MESSAGE, … not INVITE, ACK, CANCEL, BYE (ValueError).

        Ends in ResponseReceived, RequestTimedOut or RequestFailed. After a SUBSCRIBE, its NOTIFYs come as
        RequestReceived.
        """
        if method in _NOT_A_REQUEST:
            raise ValueError(f"{method} has a verb of its own")
        agent = self._agent
        uri = _target(target)
        local = replace(local, uri=local.uri.escaped())
        branch, tag = agent.branch(), agent.token()
        request = agent.build_request(
            method,
            str(uri),
            from_=str(local.with_tag(tag)),
            to=str(remote if remote is not None else NameAddr("", uri)),
            call_id=agent.token() + agent.token(),
            cseq=1,
            hop=hop,
            branch=branch,
            routes=route,
            contact=agent.contact(local.uri.user, hop, uri.is_secure) if method in _WITH_CONTACT else None,
            headers=headers,
            body=body,
            content_type=content_type,
        )
        digest = DigestClient(credentials, agent.entropy) if credentials is not None else None
        if method == "SUBSCRIBE":
            while len(agent.subscribed) >= self.config.limits.subscriptions:
                del agent.subscribed[next(iter(agent.subscribed))]
            agent.subscribed[(request.headers.call_id, tag)] = None
        handle = ClientRequest(agent, request, hop, Inquiry(agent), digest=digest)
        handle.start(branch, now)
        return handle

    def send_raw(
        self, data: bytes, hop: PermittedHop, answered: Callable[[Response, float], None]
    ) -> Callable[[], None]:
        """Send octets as they are. `answered` gets every response from there that belongs to nothing else,
        until what is returned is called."""
        waiting = self._agent.raw.setdefault((hop.transport, hop.remote), {})
        key = object()
        waiting[key] = answered
        self._agent.layer.transmit(data, hop)
        return lambda: waiting.pop(key, None) and None

    def subscribe(
        self,
        target: Uri | str,
        event: str,
        *,
        local: NameAddr,
        hop: PermittedHop,
        now: float,
        expires: int = 3600,
        accept: str = "",
        headers: HeaderPairs = (),
        route: Sequence[str] = (),
        credentials: Credentials | None = None,
    ) -> Subscriber:
        """Subscribe to an event package of `target`, and keep that until `subscriber.unsubscribe(now)`.

        `event`: the value of Event; `accept`: of Accept, empty: none. Raises ValueError for what is no Event.
        """
        agent = self._agent
        name = EventName.of(Headers([("Event", event)]))
        if name is None:
            raise ValueError(f"{event!r} is no event package")
        uri = _target(target)
        local = replace(local, uri=local.uri.escaped())
        branch = agent.branch()
        accepted = [("Accept", accept)] if accept else []
        request = agent.build_request(
            "SUBSCRIBE",
            str(uri),
            from_=str(local.with_tag(agent.token())),
            to=str(NameAddr("", uri)),
            call_id=agent.token() + agent.token(),
            cseq=1,
            hop=hop,
            branch=branch,
            routes=route,
            contact=agent.contact(local.uri.user, hop, uri.is_secure),
            headers=[("Event", event), ("Expires", str(expires)), *accepted, *headers],
        )
        digest = DigestClient(credentials, agent.entropy) if credentials is not None else None
        subscriber = Subscriber(agent, request, hop, name, expires, digest)
        subscriber.start(branch, now)
        return subscriber

    def register(
        self,
        registrar: Uri | str,
        *,
        local: NameAddr,
        hop: PermittedHop,
        now: float,
        credentials: Credentials | None = None,
        expires: int = 3600,
        contact: Uri | None = None,
        headers: HeaderPairs = (),
        route: Sequence[str] = (),
        wish: BindingWish = PLAIN,
    ) -> Registration:
        """Bind `local` (address of record) to our Contact at `registrar`, and keep it bound.

        Refreshes at half of what was granted. Ends by `registration.unregister(now=…)`.
        """
        agent = self._agent
        uri = _target(registrar)
        local = replace(local, uri=local.uri.escaped())
        if contact is None:
            agent.gruus.pop(local.uri.user or "", None)  # a GRUU is no contact (RFC 5627 section 4.2)
            contact = NameAddr.parse(agent.contact(local.uri.user, hop, uri.is_secure)).uri
        registration = Registration(
            agent,
            str(uri),
            local,
            hop,
            contact=contact,
            credentials=credentials,
            expires=expires,
            headers=headers,
            routes=route,
            wish=wish,
        )
        registration.start(now)
        return registration

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
        if isinstance(transaction.user, Call):
            raise ValueError("an INVITE is answered by the verbs of its call")
        return self._agent.reply(
            transaction, status, now, reason=reason, headers=headers, body=body, content_type=content_type
        )

    def accept_subscription(
        self, transaction: ServerTransaction, event: str, *, now: float, longest: int = 3_600
    ) -> Subscription | None:
        """Answer the SUBSCRIBE of RequestReceived with 200, for `longest` seconds at most; see Subscription.
        None, and 503 sent, when there are too many. `event`: the value of its Event header."""
        agent = self._agent
        if len(agent.subscriptions) >= self.config.limits.subscriptions:
            agent.reply(transaction, 503, now, headers=[("Retry-After", "60")])
            return None
        return Subscription(agent, transaction, event, longest, now)

    def accept_refer(
        self, transaction: ServerTransaction, call: Call, *, now: float, longest: int = 180
    ) -> Subscription | None:
        """Answer the REFER of RequestReceived with 202. The subscription that it makes is told by `notify`
        with a `refer.fragment` at once and whenever the status is another (RFC 3515 section 2.4.4); the last
        of these has `ended="noresource"`. None, and 503 sent, when there are too many; None, and 202 sent,
        where the peer asked not to be told (RFC 4488)."""
        agent, request = self._agent, transaction.request
        dialog = call.dialog_with(from_tag(request.headers))
        if dialog is None or len(agent.subscriptions) >= self.config.limits.subscriptions:
            agent.reply(transaction, 503, now, headers=[("Retry-After", "60")])
            return None
        if not wants_news(request.headers):
            agent.reply(transaction, 202, now, contact=call.contact, headers=[("Refer-Sub", "false")])
            return None
        event = f"refer;id={cseq_of(request.headers)[0]}"
        return Subscription(agent, transaction, event, longest, now, dialog)

    def challenge(
        self,
        received: ServerTransaction | Call,
        server: DigestServer,
        *,
        now: float,
        proxy: bool = False,
        stale: bool = False,
        peer: str = "",
    ) -> bool:
        """Answer a request, or an unanswered inbound call, with 401 (407 when `proxy`) and fresh challenges.

        The call is forgotten without an event; the peer's next INVITE is a new one. False when it was too
        late.
        """
        transaction = _transaction_of(received)
        status, name = (407, "Proxy-Authenticate") if proxy else (401, "WWW-Authenticate")
        headers = [(name, value) for value in server.challenges(now, stale=stale, peer=peer)]
        done = self._agent.reply(transaction, status, now, headers=headers)
        if done and isinstance(received, InboundCall):
            received.challenged(now)
        return done

    def verify(
        self,
        received: ServerTransaction | Call,
        server: DigestServer,
        password_of: Callable[[str], str | None],
        *,
        now: float,
        proxy: bool = False,
        peer: str = "",
    ) -> Judgement:
        """Judge the Authorization (Proxy-Authorization when `proxy`) of a request or of a call's INVITE.

        `password_of(username)` is None for an unknown user. On any verdict but ACCEPTED, challenge. `peer`:
        who it comes from, as `challenge` was told (DigestServer).
        """
        request = _transaction_of(received).request
        values = request.headers.get_fields("proxy-authorization" if proxy else "authorization")
        return server.verify(
            values, method=request.method, now=now, password_of=password_of, body=request.body, peer=peer
        )

    # -- how things stand

    def find(self, call_id: str, local_tag: str, remote_tag: str) -> Call | None:
        """The call whose confirmed or early dialog that is, as a Replaces header names it (RFC 3891)."""
        call = self._agent.calls.get((call_id, local_tag))
        return call if call is not None and call.dialog_with(remote_tag) is not None else None

    @property
    def quiescent(self) -> bool:
        """True when nothing is in hand but wait timers: a process may exit without harm on a clean network.

        When a retransmission was seen (`loss_seen`), stay for one retransmission window after this turned
        true.
        """
        return not any(self.pending()[:4])

    @property
    def loss_seen(self) -> bool:
        """Any message of this endpoint, or of a peer, was repeated so far."""
        return self._agent.layer.loss_seen

    def pending(self) -> Pending:
        """Counts of what is in hand."""
        layer = self._agent.layer
        requests = sum(client.waits_for_response for client in layer.clients.values())
        unanswered = sum(not server.answered for server in layer.servers.values())
        unconfirmed = sum(server.waits_for_ack for server in layer.servers.values())
        calls = list(self.calls)
        unconfirmed += sum(call.awaits_ack for call in calls)
        waiting = len(layer.clients) + len(layer.servers) - requests - unanswered
        return Pending(len(calls), requests, unanswered, unconfirmed, waiting)

    @property
    def calls(self) -> Iterable[Call]:
        """Calls that are not over, oldest first."""
        return list(self._agent.calls.values())


def _target(target: Uri | str) -> Uri:
    uri = Uri.parse(target) if isinstance(target, str) else target
    return uri.without_headers().escaped()


def _transaction_of(received: ServerTransaction | Call) -> ServerTransaction:
    if isinstance(received, ServerTransaction):
        return received
    if isinstance(received, InboundCall):
        return received.transaction
    raise TypeError("an outbound call has no request to judge")
