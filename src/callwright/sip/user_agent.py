"""The inside of an endpoint that its calls, requests and registrations stand on: identity,
messages, events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from callwright.sip.config import EndpointConfig
from callwright.sip.edits import NO_EDITS, Edits
from callwright.sip.events import Event, MessageDiscarded
from callwright.sip.glance import tag_of
from callwright.sip.grammar import SipSyntaxError, format_host
from callwright.sip.headers import Headers, header_key
from callwright.sip.keepalive import Keepalive
from callwright.sip.message import Request, Response
from callwright.sip.session_timer import SessionWish
from callwright.sip.status import REASON_PHRASES
from callwright.sip.transaction.layer import TransactionLayer
from callwright.sip.transaction.server import ServerTransaction
from callwright.sip.transport import Address, Hop, Transport
from callwright.sip.uri import Uri

if TYPE_CHECKING:
    from callwright.sip.call import Call
    from callwright.sip.referral import Referral
    from callwright.sip.subscriber import Subscriber
    from callwright.sip.subscription import Subscription

HeaderPairs = Iterable[tuple[str, str]]
_TAGGED = 101  # responses from here on bear our tag and may make a dialog


class UserAgent:
    """Shared by everything in one endpoint. Not for users: they hold the Endpoint."""

    def __init__(self, config: EndpointConfig, entropy: Callable[[int], bytes]) -> None:
        self.config = config
        self.entropy = entropy
        self.layer = TransactionLayer(config.timers, config.limits.transactions)
        self.agenda = self.layer.agenda
        self.events: list[Event] = []
        self.calls: dict[tuple[str, str], Call] = {}  # (Call-ID, our tag)
        self.subscribed: dict[tuple[str, str], None] = {}  # (Call-ID, our tag) of SUBSCRIBEs of ours
        self.subscribers: dict[tuple[str, str], Subscriber] = {}  # likewise, of those that are kept
        self.referrals: dict[tuple[str, str], list[Referral]] = {}  # (Call-ID, our tag) of their call
        self.subscriptions: dict[tuple[str, ...], Subscription] = {}  # (Call-ID, our tag), in a call also id
        self.serial = 0
        self.allow = ", ".join(config.allow)
        self.accept = ", ".join(config.accept)
        self.supported = ", ".join(config.supported)
        self.session_wish = SessionWish(minimum=config.min_se)
        self._sent_by: dict[tuple[Transport, Address], str] = {}
        self._dead_flows: dict[tuple[Transport, Address, Address], None] = {}
        self.raw: dict[tuple[Transport, Address], dict[object, Callable[[Response, float], None]]] = {}
        self.keepalives: dict[Hop, Keepalive] = {}
        self.gruus: dict[str, str] = {}  # of those that a registrar gave us (RFC 5627), by the user
        self.outbound: set[Hop] = set()  # flows that a registrar keeps for us (RFC 5626)
        self.changed: dict[Call, None] = {}  # calls whose will is another than it was told

    # -- events

    def emit(self, event: Event) -> None:
        """Tell the user a fact that must not be lost: there are as many as there are calls and requests."""
        self.events.append(event)

    def discard(self, reason: str, hop: Hop, now: float, answered: int | None = None) -> None:
        """Tell of a message that led to nothing; the first thing left out when nobody drains the events."""
        if len(self.events) < self.config.limits.events:
            self.events.append(MessageDiscarded(now, reason, hop, answered))

    @property
    def overloaded(self) -> bool:
        """True when no further request may be taken."""
        return (
            self.layer.full
            or len(self.events) >= self.config.limits.events
            or len(self.calls) >= self.config.limits.calls
        )

    def changes(self, call: Call) -> None:
        """What is needed to end this call has changed."""
        if self.config.keep_wills:
            self.changed[call] = None

    # -- tokens

    def token(self) -> str:
        """A tag, 64 bits (RFC 3261 19.3 asks for 32)."""
        return self.entropy(8).hex()

    def branch(self) -> str:
        """A branch with the magic cookie (8.1.1.7)."""
        return f"z9hG4bK{self.entropy(10).hex()}"

    # -- addresses

    def sent_by(self, hop: Hop) -> str:
        """Host and port of our Via and Contact for messages over `hop`."""
        key = (hop.transport, hop.local)
        text = self._sent_by.get(key)
        if text is None:
            host = self.config.advertise_host or hop.local.host
            port = self.config.advertise_port or hop.local.port
            if len(self._sent_by) >= 1024:
                self._sent_by.clear()
            text = self._sent_by[key] = f"{format_host(host)}:{port}"
        return text

    def contact(self, user: str | None, hop: Hop, secure: bool = False) -> str:
        """Our Contact value for messages over `hop`: the GRUU of the user, where there is one (RFC 5627
        section 4.4); else our address, with "ob" where the flow is the registrar's (RFC 5626 section 4.3)."""
        gruu = self.gruus.get(user or "")
        if gruu is not None:
            return f"<{gruu}>"
        transport = hop.transport
        before = f"{user}@" if user else ""
        if secure:
            parameter = ";transport=ws" if transport.over_websocket else ""
            return f"<sips:{before}{self.sent_by(hop)}{parameter}>"
        parameter = "" if transport is Transport.UDP else f";transport={transport.parameter}"
        parameter += ";ob" if hop in self.outbound else ""
        return f"<sip:{before}{self.sent_by(hop)}{parameter}>"

    def keep_alive(self, hop: Hop) -> Keepalive:
        """What keeps that flow alive."""
        return self.keepalives.setdefault(hop, Keepalive(self, hop))

    def hop_towards(self, uri: str, base: Hop) -> Hop:
        """The hop for a request in a dialog to `uri`, given the flow of the dialog.

        A stream that lives is kept: the other end of it may not listen anywhere. Else the driver's `hop_for`
        says whether the URI may be followed; what it refuses goes the way the dialog came. An endpoint
        without `hop_for` is in a simulation, where a numeric URI is followed unasked.
        """
        try:
            target = Uri.parse(uri)
        except SipSyntaxError:
            return base
        if base.transport.reliable and not self.flow_is_dead(base):
            return base
        if self.config.hop_for is not None:
            return self.config.hop_for(target, base) or base
        return numeric_hop(target, base) or base

    def flow_is_dead(self, hop: Hop) -> bool:
        """True when the driver reported that stream as lost."""
        return (hop.transport, hop.local, hop.remote) in self._dead_flows

    def note_dead_flow(self, hop: Hop) -> None:
        """Remember a stream that was lost."""
        if hop.transport.reliable:
            if len(self._dead_flows) >= 1024:
                del self._dead_flows[next(iter(self._dead_flows))]
            self._dead_flows[(hop.transport, hop.local, hop.remote)] = None

    def note_live_flow(self, hop: Hop) -> None:
        """Something came over it after all."""
        if self._dead_flows:
            self._dead_flows.pop((hop.transport, hop.local, hop.remote), None)

    # -- messages

    def build_request(
        self,
        method: str,
        uri: str,
        *,
        from_: str,
        to: str,
        call_id: str,
        cseq: int,
        hop: Hop,
        branch: str,
        routes: Iterable[str] = (),
        contact: str | None = None,
        headers: HeaderPairs = (),
        body: bytes = b"",
        content_type: str | None = None,
        supported: str | None = None,
    ) -> Request:
        """A request with all that 8.1.1 demands. The user's `headers` win over ours of the same name; see
        Edits for those that are another on the wire only, and `-Name`, which is not there."""
        if supported is None:
            supported = self.supported
        given = list(headers)
        edits = Edits.of(given)
        if edits is not NO_EDITS:
            given = Edits.others(given)
        taken = {header_key(name) for name, _ in given}
        fields = [
            ("Via", f"SIP/2.0/{hop.transport.value} {self.sent_by(hop)};branch={branch};rport"),
            ("Max-Forwards", str(self.config.max_forwards)),
            ("From", from_),
            ("To", to),
            ("Call-ID", call_id),
            ("CSeq", f"{cseq} {method}"),
        ]
        if taken:
            fields = [field for field in fields if field[0].lower() not in taken or field[0] in _FIXED]
        fields.extend([("Route", route) for route in routes])
        if contact is not None and "contact" not in taken:
            fields.append(("Contact", contact))
        if method in ("INVITE", "OPTIONS") and "allow" not in taken:
            fields.append(("Allow", self.allow))
        if supported and method in ("INVITE", "OPTIONS", "REGISTER") and "supported" not in taken:
            fields.append(("Supported", supported))
        if "user-agent" not in taken:
            fields.append(("User-Agent", self.config.user_agent))
        fields.extend(given)
        if body and content_type and "content-type" not in taken:
            fields.append(("Content-Type", content_type))
        refuse_line_ends([*given, *edits.replaced, (from_, to), (uri, content_type or "")])
        return Request(method, uri, Headers.adopt(fields), body, edits)

    def build_response(
        self,
        request: Request,
        status: int,
        *,
        local_tag: str = "",
        reason: str | None = None,
        contact: str | None = None,
        headers: HeaderPairs = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Response:
        """A response (8.2.6). `local_tag` is put into To unless the request had a tag there."""
        source = request.headers.by_key
        given = list(headers)
        taken = {header_key(name) for name, _ in given}
        to = source["to"][0]
        if local_tag and status >= _TAGGED and tag_of(to) is None:
            to = f"{to};tag={local_tag}"
        fields = [("Via", via) for via in source["via"]]
        if contact is not None:  # a response that makes a dialog (12.1.1)
            fields.extend([("Record-Route", route) for route in source.get("record-route", ())])
        fields.append(("From", source["from"][0]))
        fields.append(("To", to))
        fields.append(("Call-ID", source["call-id"][0]))
        fields.append(("CSeq", source["cseq"][0]))
        if status == 100 and "timestamp" in source:
            fields.append(("Timestamp", source["timestamp"][0]))
        if contact is not None and "contact" not in taken:
            fields.append(("Contact", contact))
        if contact is not None and status >= 200 and "allow" not in taken:
            fields.append(("Allow", self.allow))
        if "server" not in taken:
            fields.append(("Server", self.config.user_agent))
        fields.extend([field for field in given if header_key(field[0]) not in _FIXED_KEYS])
        if body and content_type and "content-type" not in taken:
            fields.append(("Content-Type", content_type))
        if reason is None:
            reason = REASON_PHRASES.get(status, "")
        elif reason:
            refuse_line_ends([("", reason)])
        if given:
            refuse_line_ends(given)
        return Response(status, reason, Headers.adopt(fields), body)

    def reply(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        headers: HeaderPairs = (),
        body: bytes = b"",
        content_type: str | None = None,
        contact: str | None = None,
    ) -> bool:
        """Answer a server transaction, with a tag of its own where one is needed."""
        if status > 100 and not transaction.local_tag:
            transaction.local_tag = self.token()
        response = self.build_response(
            transaction.request,
            status,
            local_tag=transaction.local_tag,
            reason=reason,
            contact=contact,
            headers=headers,
            body=body,
            content_type=content_type,
        )
        return transaction.respond(response, now)

    def answer_options(self, transaction: ServerTransaction, now: float) -> None:
        """200 with what we can do (11.2)."""
        headers = [("Allow", self.allow), ("Accept", self.accept), ("Supported", self.supported)]
        self.reply(transaction, 200, now, headers=headers)


_FIXED = frozenset({"Via", "Call-ID", "CSeq"})  # what ties messages together is not the user's
_FIXED_KEYS = frozenset({"via", "call-id", "cseq", "content-length"})


def refuse_line_ends(fields: Iterable[tuple[str, str]]) -> None:
    """A value with a line end would make headers of its own: ValueError, before anything has changed."""
    text = "".join([part for field in fields for part in field])
    if "\n" in text or "\r" in text:
        raise ValueError("a header has a CR or LF within")


def numeric_hop(uri: Uri, base: Hop) -> Hop | None:
    """The hop for a URI with a numeric host, from the local address of `base`; None for names, and for an
    address of the other family. Asks no policy: for simulations only."""
    host = uri.destination
    if not _is_numeric(host) or (":" in host) != (":" in base.local.host):
        return None
    transport = Transport.asked(uri.parameter("transport"), secure=uri.is_secure) or base.transport
    remote = Address(host, uri.port or transport.default_port)
    if transport is base.transport and remote == base.remote:
        return base
    if transport is not base.transport:
        return None  # only the driver has a local address of another transport
    return Hop(transport, base.local, remote, base.name)


def _is_numeric(host: str) -> bool:
    return ":" in host or (host.replace(".", "").isdigit() and host.count(".") == 3)
