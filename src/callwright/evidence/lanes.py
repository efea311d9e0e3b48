"""Who stands where in a ladder: the addresses that belong to one lane, and a name for it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from callwright.evidence.explanation import has_to_tag
from callwright.evidence.flow import SeenMessage
from callwright.evidence.media_line import media_line
from callwright.evidence.shown import one_line
from callwright.evidence.wire import Endpoint
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.message import MalformedMessage, Message, Request, parse_datagram


@dataclass(frozen=True, slots=True)
class Party:
    """One lane."""

    name: str
    role: str
    addresses: tuple[str, ...]
    """As "192.0.2.10:5060", the first one is that of its signalling."""


def address_text(endpoint: Endpoint) -> str:
    """Host and port, IPv6 in brackets."""
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


Parsed = Message | MalformedMessage


def parsed_octets(data: bytes) -> Parsed:
    """The message, or what is wrong with it."""
    try:
        return parse_datagram(data)
    except MalformedMessage as error:
        return error


def understood_part(parsed: Parsed) -> Message | None:
    """What could be read of it."""
    return parsed.message if isinstance(parsed, MalformedMessage) else parsed


def header_text(message: Message | None, name: str) -> str:
    """The first value of a header, empty when there is none."""
    return one_line((message.headers.get(name) or "") if message is not None else "")


class Lanes:
    """Which lane an address belongs to: learned from Via for connections, from SDP for media, from its tag
    for a phone that sends from a second socket, else from the host.
    """

    def __init__(self) -> None:
        self.order: list[Endpoint] = []
        self.addresses: dict[Endpoint, list[Endpoint]] = {}
        self.media_calls: dict[Endpoint, list[str]] = {}
        self.media_names: dict[Endpoint, dict[int, str]] = {}
        self._home: dict[Endpoint, Endpoint] = {}
        self._contacts: dict[Endpoint, Endpoint] = {}

    def place(self, seen: Sequence[SeenMessage], parsed: Sequence[Parsed]) -> None:
        for message, content in zip(seen, parsed, strict=True):
            if message.transport != "UDP" and isinstance(content, Request):
                self._learn_connection(message.source, content)
        # Calls first, so that the caller stands left and the callee right, whoever registered before.
        calls = [
            i
            for i, content in enumerate(parsed)
            if isinstance(content, Request) and content.method == "INVITE"
        ]
        phones = _phones(seen, parsed)
        for index in (*calls, *range(len(seen))):
            source = seen[index].source
            phone = phones.get(index)
            if phone is not None and source not in self._home and phone in self._home:
                self._adopt(source, self._home[phone])
            self.lane(source)
            self.lane(seen[index].destination)
        for message, content in zip(seen, parsed, strict=True):
            understood = understood_part(content)
            for contact in _contacts(understood):
                self._contacts.setdefault(contact, message.source)
            media = media_line(understood.body) if understood is not None and understood.body else None
            if understood is not None and media is not None and media.port:
                endpoint = (media.address, media.port)
                if endpoint not in self._home:
                    self._adopt(endpoint, self._home[message.source])
                call_id = header_text(understood, "Call-ID")
                calls_here = self.media_calls.setdefault(endpoint, [])
                if call_id not in calls_here:
                    calls_here.append(call_id)
                self.media_names.setdefault(endpoint, {}).update(media.names)

    def lane(self, endpoint: Endpoint) -> int:
        """The index of the lane, a new one for an address that nothing is known about."""
        home = self._home.get(endpoint)
        if home is None:
            home = endpoint
            self._home[endpoint] = endpoint
        if home not in self.addresses:
            self.order.append(home)
            self.addresses[home] = [home]
        return self.order.index(home)

    def media_lane(self, endpoint: Endpoint) -> int:
        """As `lane`; an address that no SDP named belongs to the only lane of its host, if there is just
        one.
        """
        if endpoint not in self._home:
            same_host = [home for home in self.order if home[0] == endpoint[0]]
            if len(same_host) == 1:
                self._adopt(endpoint, same_host[0])
        return self.lane(endpoint)

    def _adopt(self, endpoint: Endpoint, home: Endpoint) -> None:
        self._home[endpoint] = home
        self.addresses[home].append(endpoint)

    def _learn_connection(self, source: Endpoint, request: Request) -> None:
        """A connection is opened from a port of its own; Via says where its owner listens."""
        if source in self._home:
            return
        try:
            via = request.headers.top_via
            same = ipaddress.ip_address(via.host) == ipaddress.ip_address(source[0])
        except (SipSyntaxError, ValueError):
            return
        if same:
            self._home[source] = (source[0], via.port or 5060)

    def parties(
        self,
        names: Mapping[str, str],
        call_names: Mapping[tuple[str, str], str],
        seen: Sequence[SeenMessage],
        parsed: Sequence[Parsed],
    ) -> list[Party]:
        facts = [_LaneFacts() for _ in self.order]
        passed_on = self._passed_on(seen, parsed)
        for message, content in zip(seen, parsed, strict=True):
            understood = understood_part(content)
            if understood is not None:
                call_id = header_text(understood, "Call-ID")
                for lane, tell in (
                    (self.lane(message.source), _LaneFacts.sends),
                    (self.lane(message.destination), _LaneFacts.receives),
                ):
                    tell(facts[lane], understood, {} if (lane, call_id) in passed_on else call_names)
        found = []
        for home, fact in zip(self.order, facts, strict=True):
            given = next(
                (names[k] for e in self.addresses[home] for k in (address_text(e), e[0]) if k in names), ""
            )
            addresses = tuple(address_text(endpoint) for endpoint in self.addresses[home])
            found.append(Party(given or fact.name, fact.role, addresses))
        return _told_apart([self._named(*pair, found) for pair in zip(self.order, found, strict=True)])

    def _passed_on(self, seen: Sequence[SeenMessage], parsed: Sequence[Parsed]) -> set[tuple[int, str]]:
        """Lanes that got an INVITE and sent it on under the same Call-ID: a proxy is neither end of it."""
        got: set[tuple[int, str]] = set()
        found: set[tuple[int, str]] = set()
        sent: set[tuple[int, str]] = set()
        for message, content in zip(seen, parsed, strict=True):
            if not isinstance(content, Request) or content.method != "INVITE" or has_to_tag(content):
                continue
            call_id = header_text(content, "Call-ID")
            source, destination = (
                (self.lane(message.source), call_id),
                (self.lane(message.destination), call_id),
            )
            if source in got:
                found.add(source)
            sent.add(source)
            if destination not in sent:
                got.add(destination)
        return found

    def _named(self, home: Endpoint, party: Party, parties: Sequence[Party]) -> Party:
        """A lane that said nothing of itself is the Contact of somebody, or just a peer."""
        owner = self._home.get(self._contacts.get(home, home), home)
        name = parties[self.order.index(owner)].name if owner != home else ""
        return replace(party, name=party.name or (f"{name} Contact" if name else "Peer"))


def _phones(seen: Sequence[SeenMessage], parsed: Sequence[Parsed]) -> dict[int, Endpoint]:
    """For each message that one of our own phones sent: the address from which its tag came first (RFC 3261,
    section 12: who has the tag is that side of the dialog, whatever address it sends from)."""
    first: dict[tuple[str, str], Endpoint] = {}
    found: dict[int, Endpoint] = {}
    for index, (message, content) in enumerate(zip(seen, parsed, strict=True)):
        if not message.departed or isinstance(content, MalformedMessage):
            continue
        headers = content.headers
        try:
            side = headers.from_ if isinstance(content, Request) else headers.to
        except SipSyntaxError:
            continue
        if side.tag:
            key = (header_text(content, "Call-ID"), side.tag)
            found[index] = first.setdefault(key, message.source)
    return found


def _contacts(message: Message | None) -> list[Endpoint]:
    """Numeric addresses at which its sender wants to be reached."""
    if message is None:
        return []
    try:
        named = [entry.uri for entry in message.headers.contact]
    except SipSyntaxError:
        return []
    return [(uri.host.strip("[]"), uri.port or 5060) for uri in named if uri.host]


class _LaneFacts:
    """What messages give away about a lane, for its name."""

    def __init__(self) -> None:
        self._given = ""
        self._user = ""
        self._calls = self._called = self._registers = self._registrar = self._is_asked = False
        self._product = ""

    def sends(self, message: Message, call_names: Mapping[tuple[str, str], str]) -> None:
        product = message.headers.get("User-Agent" if isinstance(message, Request) else "Server")
        self._product = self._product or one_line(product or message.headers.get("User-Agent") or "", 40)
        if (
            isinstance(message, Request)
            and message.method in {"INVITE", "REGISTER"}
            and not has_to_tag(message)
        ):
            self._given = self._given or call_names.get((header_text(message, "Call-ID"), "caller"), "")
            self._calls = self._calls or message.method == "INVITE"
            self._registers = self._registers or message.method == "REGISTER"
            try:
                name = message.headers.from_
                self._user = self._user or one_line(name.display_name or name.uri.user or "", 24)
            except SipSyntaxError:
                pass

    def receives(self, message: Message, call_names: Mapping[tuple[str, str], str]) -> None:
        if isinstance(message, Request) and message.method in {"INVITE", "REGISTER", "OPTIONS", "MESSAGE"}:
            self._is_asked = True
            self._registrar = self._registrar or message.method == "REGISTER"
            if message.method == "INVITE" and not has_to_tag(message):
                self._called = True
                self._given = self._given or call_names.get((header_text(message, "Call-ID"), "callee"), "")

    @property
    def name(self) -> str:
        if self._given:
            return self._given
        if self._is_asked and not self._registers and (self._calls or self._registrar or not self._called):
            # Who registers phones and is called is a PBX also when it refuses the call.
            return "PBX" if self._calls or (self._registrar and self._called) else "Server"
        if self._registers or self._calls:
            return self._user
        return "Callee" if self._called else ""

    @property
    def role(self) -> str:
        return self._product


def _told_apart(parties: list[Party]) -> list[Party]:
    count: dict[str, int] = {}
    found = []
    for party in parties:
        count[party.name] = count.get(party.name, 0) + 1
        found.append(
            party if count[party.name] == 1 else replace(party, name=f"{party.name} {count[party.name]}")
        )
    return found
