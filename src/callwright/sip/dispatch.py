"""What arrives, and whose it is: streams to messages, messages to transactions, requests to calls."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address

from callwright.sip import stun
from callwright.sip.call import Call, Direction
from callwright.sip.events import (
    CallReceived,
    CallTurnedAway,
    RequestReceived,
    ResponseDiscarded,
    StreamBroken,
)
from callwright.sip.fields import Via
from callwright.sip.framing import BrokenStreamError, StreamFramer
from callwright.sip.glance import from_tag, mark_source, to_tag
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.inbound_call import InboundCall
from callwright.sip.message import MalformedMessage, Request, Response, parse_datagram, serialize
from callwright.sip.notice import EventName
from callwright.sip.refer import Replaces
from callwright.sip.screening import Refusal, outside_of_dialog, screen
from callwright.sip.session_timer import too_brief
from callwright.sip.transaction.layer import server_key
from callwright.sip.transaction.server import ServerTransaction
from callwright.sip.transport import Address, Hop
from callwright.sip.user_agent import UserAgent

_NOTHING = b"\r\n\t \x00"  # keep-alives over UDP


class Dispatch:
    """The receiving half of an endpoint."""

    def __init__(self, agent: UserAgent) -> None:
        self._agent = agent
        self._streams: dict[Hop, StreamFramer] = {}
        self._secret = agent.entropy(16)

    def receive(self, data: bytes, hop: Hop, now: float) -> None:
        """A datagram, a message of a WebSocket, or a chunk of a stream."""
        if hop.transport.reliable:
            self._agent.note_live_flow(hop)
        if hop.transport.is_stream:
            self._stream(data, hop, now)
        elif stun.is_stun(data):
            self._stun(data, hop, now)
        elif data.strip(_NOTHING):
            self._message(data, hop, now)
        elif data == b"\r\n\r\n" and hop.transport.over_websocket:
            self._agent.layer.transmit(b"\r\n", hop)  # RFC 7118 section 6

    def _stun(self, data: bytes, hop: Hop, now: float) -> None:
        """A keep-alive of UDP (RFC 5626 section 8), or the answer to ours."""
        answer = stun.answer(data, hop.remote) if self._agent.config.answer_stun else None
        if answer is not None:
            self._agent.layer.transmit(answer, hop)
            return
        found, keepalive = stun.read(data), self._agent.keepalives.get(hop)
        if found is not None and keepalive is not None:
            keepalive.binding(found, now)

    def flow_lost(self, hop: Hop) -> None:
        """The rest of a half-received message will not come."""
        self._streams.pop(hop, None)

    # -- streams

    def _stream(self, data: bytes, hop: Hop, now: float) -> None:
        framer = self._streams.get(hop)
        if framer is None:
            while len(self._streams) >= self._agent.config.limits.streams:
                del self._streams[next(iter(self._streams))]
            framer = self._streams[hop] = StreamFramer()
        broken: BrokenStreamError | None = None
        try:
            messages = framer.feed(data)
        except BrokenStreamError as error:
            broken = error
            messages = error.messages
        for message in messages:
            self._message(message, hop, now)
        if broken is not None:
            if broken.head:
                self._message(broken.head, hop, now)
                self._agent.emit(StreamBroken(now, broken.reason, hop))
            return  # the framer stays, and refuses all that comes after
        if framer.pings:
            framer.pings = 0
            self._agent.layer.transmit(b"\r\n", hop)  # RFC 5626 4.4.1
        keepalive = self._agent.keepalives.get(hop)
        if keepalive is not None and framer.take_pong():
            keepalive.line_end(now)
        if not framer.buffered:
            del self._streams[hop]

    # -- messages

    def _message(self, data: bytes, hop: Hop, now: float) -> None:
        try:
            message = _read(data)
        except MalformedMessage as error:
            self._malformed(error, data, hop, now)
            return
        if isinstance(message, Response):
            self._response(message, hop, now)
        else:
            self._request(message, hop, now)

    def _malformed(self, error: MalformedMessage, data: bytes, hop: Hop, now: float) -> None:
        answered: int | None = None
        ours = self._agent.layer.find_garbled(data)
        if ours is not None:
            transaction, status = ours
            transaction.user.transaction_garbled(transaction, status, str(error), now)
        message = error.message
        if error.status is not None and isinstance(message, Request) and message.method != "ACK":
            try:
                answered = self._stateless(message, error.status, hop, reason=_phrase(error))
            except (SipSyntaxError, LookupError, ValueError):
                answered = None  # not even where to answer can be read
        self._agent.discard(str(error), hop, now, answered)

    def _response(self, response: Response, hop: Hop, now: float) -> None:
        transaction = self._agent.layer.find_client(response)
        if transaction is None and (waiting := self._agent.raw.get((hop.transport, hop.remote))):
            for told in list(waiting.values()):
                told(response, now)
            return
        if transaction is None:
            reason = f"{response.status} to {response.headers.cseq.method} fits no request of ours"
            self._agent.discard(reason, hop, now)
            self._note_misfit(response, now)
            return
        transaction.receive(response, now)

    def _note_misfit(self, response: Response, now: float) -> None:
        """A final response to the INVITE of a call that waits for one, but for a Via that is not ours."""
        headers = response.headers
        call = self._agent.calls.get((headers.call_id, from_tag(headers)))
        if call is None or call.dialog is not None or response.status < 200:
            return
        if headers.get("cseq") == call.request.headers.get("cseq"):
            fault = "its topmost Via is not that of our INVITE"
            self._agent.emit(ResponseDiscarded(now, None, call, response.status, fault))

    def _request(self, request: Request, hop: Hop, now: float) -> None:
        agent = self._agent
        via = _mark(request, hop)
        method = request.method
        if method == "ACK":
            self._ack(request, via, hop, now)
            return
        key = server_key(request, via, method)
        known = agent.layer.servers.get(key)
        if known is not None:
            known.receive(request, now)
            return
        call = self._call_of(request)
        if agent.overloaded and (call is None or agent.layer.overfull):
            answered = None if agent.layer.overfull else self._stateless(request, 503, hop)
            agent.discard(f"too much in hand to take {method}", hop, now, answered)
            return
        transaction = agent.layer.accept(request, key, hop, response_hop(via, hop), now)
        if method == "CANCEL":
            self._cancel(transaction, via, now)
            return
        refusal = screen(request, agent.config)
        if refusal is not None and call is None and method == "INVITE" and to_tag(request.headers) is None:
            self._turn_away(transaction, refusal, now)
        elif refusal is not None:
            agent.reply(transaction, refusal.status, now, headers=refusal.headers)
        elif method in ("NOTIFY", "SUBSCRIBE") and self._of_reference(transaction, now):
            pass
        elif call is not None:
            call.receive_request(transaction, now)
        else:
            self._new(transaction, now)

    def _ack(self, request: Request, via: Via, hop: Hop, now: float) -> None:
        key = server_key(request, via, "INVITE")
        transaction = self._agent.layer.servers.get(key)
        if transaction is not None and transaction.method == "INVITE":
            transaction.receive(request, now)
            return
        call = self._call_of(request)
        if call is None or not call.receive_ack(request, now):
            self._agent.discard("an ACK that fits no answer of ours", hop, now)

    def _cancel(self, transaction: ServerTransaction, via: Via, now: float) -> None:
        agent = self._agent
        invite = agent.layer.servers.get(server_key(transaction.request, via, "INVITE"))
        if invite is None:
            agent.reply(transaction, 481, now)
            return
        transaction.local_tag = invite.local_tag
        transaction.count = invite.count
        agent.reply(transaction, 200, now)
        if not invite.answered and invite.user is not None:
            invite.user.transaction_canceled(invite, transaction.request, now)

    def _of_reference(self, transaction: ServerTransaction, now: float) -> bool:
        """Of a subscription of ours, or of one that a REFER made: that lives in the dialog of its call, and
        longer."""
        headers = transaction.request.headers
        tag, event = to_tag(headers), EventName.of(headers)
        subscriber = self._agent.subscribers.get((headers.call_id, tag)) if tag is not None else None
        if subscriber is not None and transaction.method == "NOTIFY":
            subscriber.notified(transaction, now)
            return True
        if tag is None or event is None or event.package != "refer":
            return False
        key = headers.call_id, tag
        if transaction.method == "NOTIFY":
            referral = next((one for one in self._agent.referrals.get(key, ()) if one.told_by(event)), None)
            if referral is not None:
                transaction.local_tag = tag
                referral.notified(transaction, now)
            return referral is not None
        subscription = self._agent.subscriptions.get((*key, event.id or ""))
        if subscription is not None:
            subscription.receive_request(transaction, now)
        return subscription is not None

    def _new(self, transaction: ServerTransaction, now: float) -> None:
        """A request that belongs to no call."""
        agent = self._agent
        request = transaction.request
        method = request.method
        tag = to_tag(request.headers)
        tagged = tag is not None
        subscription = agent.subscriptions.get((request.headers.call_id, tag)) if tag is not None else None
        if method == "NOTIFY" and (request.headers.call_id, tag) in agent.subscribed:
            agent.emit(RequestReceived(now, transaction, request, None))
            return
        if subscription is not None:
            subscription.receive_request(transaction, now)
            return
        if (tagged and method != "REGISTER") or method == "NOTIFY" or not outside_of_dialog(request):
            agent.reply(transaction, 481, now)
        elif agent.layer.merged(request, transaction):
            agent.reply(transaction, 482, now)
        elif method == "OPTIONS" and agent.config.answer_options:
            agent.answer_options(transaction, now)
        elif method == "INVITE":
            if not agent.config.accept_calls:
                agent.reply(transaction, 480, now)
                return
            brief = too_brief(request, agent.config.supported, agent.config.min_se)
            if brief is not None:
                agent.reply(transaction, 422, now, headers=brief)
                return
            replaced: Call | None = None
            if "replaces" in request.headers.by_key and "replaces" in agent.config.supported:
                found = self._replaced(request)
                if isinstance(found, Refusal):
                    agent.reply(transaction, found.status, now, reason=found.why or None)
                    return
                replaced = found
            call = InboundCall(agent, transaction, now)
            call.replaces = replaced
            agent.emit(CallReceived(now, call, request))
        else:
            agent.emit(RequestReceived(now, transaction, request, None))

    def _replaced(self, request: Request) -> Call | Refusal:
        """The call whose place an INVITE is to take (RFC 3891 section 3)."""
        values = request.headers.by_key["replaces"]
        try:
            named = Replaces.parse(values[0])
        except SipSyntaxError:
            return Refusal(400, why="Bad Request (Replaces)")
        if len(values) > 1 or "join" in request.headers.by_key:
            return Refusal(400, why="Bad Request (more than one Replaces or Join)")
        call = self._dialog_of(named.call_id, named.to_tag, named.from_tag)
        if call is None and self._agent.config.stands_between:
            call = self._dialog_of(named.call_id, named.from_tag, named.to_tag)
        if call is None:
            return Refusal(481)
        if call.established:
            return Refusal(486) if named.early_only else call
        if call.direction is Direction.INBOUND:
            return Refusal(481)
        return call if call.waits_for_final else Refusal(603)

    def _dialog_of(self, call_id: str, ours: str, theirs: str) -> Call | None:
        call = self._agent.calls.get((call_id, ours))
        return call if call is not None and call.dialog_with(theirs) is not None else None

    def _turn_away(self, transaction: ServerTransaction, refusal: Refusal, now: float) -> None:
        """A call that is refused for its form; its user hears of it all the same."""
        request = transaction.request
        call = InboundCall(self._agent, transaction, now, trying=False)
        call.reject(refusal.status, now=now, headers=refusal.headers)
        self._agent.emit(CallTurnedAway(now, call, request, refusal.status, refusal.why))

    def _call_of(self, request: Request) -> Call | None:
        headers = request.headers
        tag = to_tag(headers)
        return None if tag is None else self._agent.calls.get((headers.call_id, tag))

    def _stateless(self, request: Request, status: int, hop: Hop, reason: str | None = None) -> int:
        """Answer without a transaction (8.2.7): the same tag for the same request, nothing remembered."""
        via = _mark(request, hop)
        seed = self._secret + f"{via}{request.headers.get('call-id')}".encode("utf-8", "surrogateescape")
        tag = hashlib.blake2b(seed, digest_size=8).hexdigest()
        headers = [("Retry-After", "5")] if status == 503 else []
        response = self._agent.build_response(request, status, local_tag=tag, reason=reason, headers=headers)
        self._agent.layer.transmit(serialize(response), response_hop(via, hop))
        return status


def _read(data: bytes) -> Request | Response:
    """The message; one whose header NULs make unreadable is read without them. Raises MalformedMessage."""
    try:
        return parse_datagram(data)
    except MalformedMessage:
        head, end, body = data.partition(b"\r\n\r\n")
        if b"\0" not in head:
            raise
        try:
            return parse_datagram(head.replace(b"\0", b"") + end + body)
        except MalformedMessage:
            pass
        raise


def response_hop(via: Via, hop: Hop) -> Hop:
    """Where responses go (18.2.2, RFC 3581): back over a stream, else to the source, at the port that Via
    names unless it has rport. maddr is not followed: it would let anybody aim us at anybody."""
    if hop.transport.reliable or via.wants_rport:
        return hop
    port = via.port or hop.transport.default_port
    if port == hop.remote.port:
        return hop
    return Hop(hop.transport, hop.local, Address(hop.remote.host, port), hop.name)


def _mark(request: Request, hop: Hop) -> Via:
    """Write into the topmost Via where the request came from (18.2.1, RFC 3581)."""
    headers = request.headers
    source = hop.remote
    ordinary = mark_source(headers, source.host, source.port)
    if ordinary is not None:
        return ordinary
    via = headers.top_via
    wants_rport = via.wants_rport
    if wants_rport or not _same_host(via.host, source.host):
        marked = via.with_parameter("received", source.host)
        if wants_rport:
            marked = marked.with_parameter("rport", str(source.port))
        if marked != via:
            headers.set_first("Via", str(marked))
        return marked
    return via


def _same_host(first: str, second: str) -> bool:
    if first == second:
        return True
    if ":" not in first:
        return False
    try:
        return ip_address(first) == ip_address(second)
    except ValueError:
        return False


def _phrase(error: MalformedMessage) -> str | None:
    """RFC 3261 21.4.1: the reason phrase should say what is wrong; only when it is plain text."""
    text = str(error)
    if error.status == 400 and text.isascii() and text.isprintable() and len(text) < 100:
        return f"Bad Request: {text}"
    return None
