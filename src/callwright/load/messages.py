"""The messages of a load, prepared once: the loop fills in what differs from call to call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callwright.generator.loop import Segments, compile_message
from callwright.generator.names import FIRST_VERSION
from callwright.sip.headers import full_name

PRODUCT = "Callwright"
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK"


INCOMPATIBLE = 'Warning: 302 callwright "Incompatible transport protocol"\r\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What the messages of one loop say. `{field:N}` in a text is column N of the account of the call."""

    local: str
    """host:port, an IPv6 host in brackets: Via, Contact, SDP."""
    salt: int
    target: str = "sip:load@127.0.0.1"
    """Request-URI of INVITE."""
    caller: str = "sip:callwright@127.0.0.1"
    """Address of record in From."""
    display_name: str = ""
    registrar: str = "sip:127.0.0.1"
    contact_user: str = "callwright"
    headers: Sequence[tuple[str, str]] = ()
    """They replace User-Agent, Server, Allow and Supported of ours; one without a value stands for none."""
    media: bool = False
    """The offered port is a socket of the call; else the port 9 of nobody stands there."""
    payloads: Sequence[tuple[int, str]] = ((0, "PCMU/8000"),)
    ptime: int = 20
    realm: str = "callwright"
    nonce: str = ""
    challenge: bool = False
    expires: int = 3600
    retry_after: int | None = None
    prack: str = "offered"
    min_se: int = 90
    transport: str = "UDP"

    @property
    def host(self) -> str:
        return self.local.rpartition(":")[0]

    def own(self, name: str, value: str) -> str:
        """A header of ours, where the user has given none of that name instead."""
        given = any(full_name(one).lower() == name.lower() for one, _ in self.headers)
        return "" if given else f"{name}: {value}\r\n"

    @property
    def via(self) -> str:
        sent_by = f"{self.local};rport" if self.transport == "UDP" else self.local
        return f"Via: SIP/2.0/{self.transport} {sent_by};branch=z9hG4bK{self.salt:08x}-{{branch}}\r\n"

    @property
    def contact(self) -> str:
        transport = "" if self.transport == "UDP" else f";transport={self.transport.lower()}"
        return f"Contact: <sip:{self.contact_user}@{self.local}{transport}>\r\n"


def _sdp(words: Wording, *, answers: bool = False) -> str:
    """What is offered; with the slots of what is answered: the direction, and the version, which rises when
    that changes (RFC 3264 section 8)."""
    host = words.host.removeprefix("[").removesuffix("]")
    family = "IP6" if ":" in host else "IP4"
    formats = " ".join(str(number) for number, _ in words.payloads)
    lines = [
        "v=0",
        f"o=- 1 {'{version}' if answers else FIRST_VERSION} IN {family} {host}",
        "s=-",
        f"c=IN {family} {host}",
        "t=0 0",
        f"m=audio {'{port}' if words.media else '9'} RTP/AVP {formats}",
        *(f"a=rtpmap:{number} {name}" for number, name in words.payloads),
        f"a=ptime:{words.ptime}",
    ]
    if answers:
        lines.append("a={direction}")
    if words.media:
        # Tells streams on one port apart (RFC 5576 section 4.1).
        lines.append("a=ssrc:{ssrc} cname:callwright")
    return "\r\n".join(lines) + "\r\n"


def _supported(words: Wording, *, asks: bool = False) -> str:
    """The extensions that we know; a caller that `asks` may require one."""
    known = words.own("Supported", "timer" if words.prack == "no" else "100rel, timer")
    return known + ("Require: 100rel\r\n" if asks and words.prack == "required" else "")


def _inside(words: Wording, headers: str, described: str) -> dict[str, str]:
    """What either side sends within a call besides BYE; `headers` begin each of them."""
    via = words.via
    allow = words.own("Allow", ALLOW)
    begin = f"{via}Max-Forwards: 70\r\n{{routes}}{headers}"
    contact = words.contact
    timed = f"{contact}{{asked}}{_supported(words)}{{authorization}}"
    empty = "Content-Length: 0\r\n\r\n"
    return {
        "ack": f"ACK {{target}} SIP/2.0\r\n{begin}CSeq: {{cseq}} ACK\r\n{contact}{empty}",
        "prack": f"PRACK {{target}} SIP/2.0\r\n{begin}CSeq: {{cseq}} PRACK\r\nRAck: {{rack}}\r\n"
        f"{{authorization}}{empty}",
        "update": f"UPDATE {{target}} SIP/2.0\r\n{begin}CSeq: {{cseq}} UPDATE\r\n{timed}{empty}",
        "reinvite": f"INVITE {{target}} SIP/2.0\r\n{begin}CSeq: {{cseq}} INVITE\r\n{timed}{allow}"
        f"{_with_body(described)}",
    }


#: Octets that a slot has when it is filled; every message has the same length then.
_WIDTHS = {"{port}": 5, "{ssrc}": 10, "{version}": 10, "{direction}": 8}


def _length(body: str) -> int:
    """Octets of the body once it is filled: ports have five digits, SSRCs and versions ten."""
    filled = body
    for slot, width in _WIDTHS.items():
        filled = filled.replace(slot, "0" * width)
    return len(filled.encode("utf-8", "surrogateescape"))


def _with_body(body: str) -> str:
    return f"Content-Type: application/sdp\r\nContent-Length: {_length(body)}\r\n\r\n{body}"


def caller_messages(words: Wording) -> Mapping[str, Segments]:
    """INVITE, ACK, BYE, CANCEL, REGISTER, and what answers the far side's requests. Raises ValueError."""
    via = words.via
    call_id = f"Call-ID: cw{words.salt:08x}-{{id}}@{words.host}\r\n"
    shown = words.display_name.replace("\\", "\\\\").replace('"', '\\"')
    shown = f'"{shown}" ' if shown else ""
    sender = f"From: {shown}<{words.caller}>;tag=cw{{id}}\r\n"
    contact = words.contact
    extra = "".join(f"{name}: {value}\r\n" for name, value in words.headers if value)
    agent = words.own("User-Agent", PRODUCT)
    allow = words.own("Allow", ALLOW)
    inside = f"Max-Forwards: 70\r\n{sender}To: {{to}}\r\n{call_id}"
    empty = "Content-Length: 0\r\n\r\n"
    described = _sdp(words, answers=True)
    first = f"Max-Forwards: 70\r\n{sender}To: <{words.target}>\r\n{call_id}"
    register_id = f"Call-ID: cw{words.salt:08x}-{{id}}@{words.host}\r\n"
    texts = {
        "invite": f"INVITE {words.target} SIP/2.0\r\n{via}{first}CSeq: {{cseq}} INVITE\r\n{contact}{agent}"
        f"{allow}{_supported(words, asks=True)}{{asked}}{extra}{{authorization}}{_with_body(_sdp(words))}",
        "ack_failed": f"ACK {words.target} SIP/2.0\r\n{via}{inside}CSeq: {{cseq}} ACK\r\n{empty}",
        "bye": f"BYE {{target}} SIP/2.0\r\n{via}{{routes}}{inside}CSeq: {{cseq}} BYE\r\n{agent}"
        f"{{authorization}}{empty}",
        "cancel": f"CANCEL {words.target} SIP/2.0\r\n{via}{first}CSeq: {{cseq}} CANCEL\r\n{empty}",
        "register": f"REGISTER {words.registrar} SIP/2.0\r\n{via}Max-Forwards: 70\r\n{sender}"
        f"To: <{words.caller}>\r\n{register_id}CSeq: {{cseq}} REGISTER\r\n{contact}"
        f"Expires: {{expires}}\r\n{agent}{{authorization}}{empty}",
        "empty": empty,
        "ok": f"{contact}{allow}{{session}}{_with_body(described)}",
        "refreshed": f"{contact}{{session}}{empty}",
        "brief": f"Min-SE: {words.min_se}\r\n{empty}",
        "later": f"Retry-After: 1\r\n{empty}",
        "unfit": f"{INCOMPATIBLE}{empty}",
        **_inside(words, f"{sender}To: {{to}}\r\n{call_id}", described),
    }
    return {name: compile_message(text) for name, text in texts.items()}


def answerer_messages(words: Wording) -> Mapping[str, Segments]:
    """What the answering side adds to the headers that it copies, and its BYE. Raises ValueError."""
    contact = words.contact
    server = words.own("Server", PRODUCT)
    allow = words.own("Allow", ALLOW)
    extra = "".join(f"{name}: {value}\r\n" for name, value in words.headers if value)
    empty = f"{server}Content-Length: 0\r\n\r\n"
    later = "" if words.retry_after is None else f"Retry-After: {words.retry_after}\r\n"
    via = words.via
    inside = "From: {local}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n"
    described = _sdp(words, answers=True)
    reliable = "Require: 100rel\r\nRSeq: {rseq}\r\n"
    okay = f"{contact}{server}{allow}{_supported(words)}{{session}}{extra}"
    texts = {
        "ringing": f"{contact}{extra}{empty}",
        "reliable": f"{contact}{reliable}{extra}{empty}",
        "reliable_offer": f"{contact}{reliable}{extra}{server}{_with_body(described)}",
        "ok": f"{okay}{_with_body(described)}",
        "ok_bare": f"{okay}Content-Length: 0\r\n\r\n",
        "refreshed": f"{contact}{{session}}{empty}",
        "brief": f"Min-SE: {words.min_se}\r\n{empty}",
        "later": f"Retry-After: 1\r\n{empty}",
        "unfit": f"{INCOMPATIBLE}{empty}",
        "empty": later + empty,
        "hangup": f"BYE {{target}} SIP/2.0\r\n{via}Max-Forwards: 70\r\n{{routes}}{inside}"
        f"CSeq: {{cseq}} BYE\r\n{empty}",
        "registered": f"{contact}Expires: {words.expires}\r\n{empty}",
        **_inside(words, inside, described),
    }
    if words.challenge:
        texts["challenge"] = (
            f'WWW-Authenticate: Digest realm="{words.realm}", nonce="{words.nonce}", algorithm=MD5, '
            f'qop="auth"\r\n{empty}'
        )
    return {name: compile_message(text) for name, text in texts.items()}
