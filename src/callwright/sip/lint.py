"""Says of one message what is wrong with it, what is odd, and what an element must answer to it.

The judgement "malformed" is that of `parse_datagram` itself; here every fault is named, not the first only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from callwright.sip.fields import CSeq, MediaType, Via
from callwright.sip.grammar import SipSyntaxError, is_token, parse_number, shorten, split_list
from callwright.sip.headers import Headers
from callwright.sip.message import (
    DEFAULT_LIMITS,
    MalformedMessage,
    Message,
    MessageLimits,
    Request,
    Response,
    parse_datagram,
)
from callwright.sip.scan import Scan, ScanError, scan
from callwright.sip.status import KNOWN_METHODS, OPTION_TAGS
from callwright.sip.uri import NameAddr
from callwright.sip.validity import find_faults

_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    r"[0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
_TRANSPORTS = frozenset(("UDP", "TCP", "TLS", "SCTP", "TLS-SCTP", "WS", "WSS", "DTLS-UDP"))
_NEEDS_DIALOG = frozenset(("BYE", "PRACK", "UPDATE"))
_OFFERS = frozenset(("INVITE", "ACK", "PRACK", "UPDATE"))
_TEXTUAL = frozenset(("text", "multipart", "message", "image", "audio", "video"))
_AUTH_SCHEMES = frozenset(("digest", "basic", "bearer"))
_DELTA_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark: what, about which header (None: the start line or the whole), the line, and the RFC
    section."""

    message: str
    header: str | None
    rfc: str
    line: str = ""


@dataclass(slots=True)
class Lint:
    """What there is to say of a message. `message` is what was understood, also of a malformed one (then
    maybe None).

    `would_answer` is the status that an element without any state must answer, None where it would process
    the message (or owes no answer: to a response, to an ACK).
    """

    well_formed: bool = True
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    would_answer: int | None = None
    message: Message | None = None
    ignored_octets: int = 0

    def warn(self, message: str, header: str | None, rfc: str) -> None:
        """Add a warning, with the line of the header that it is about."""
        line = ""
        if self.message is not None and header is not None:
            value = self.message.headers.get(header)
            line = "" if value is None else f"{header}: {value}"
        self.warnings.append(Finding(message, header, rfc, line))


def lint(data: bytes, limits: MessageLimits = DEFAULT_LIMITS) -> Lint:
    """Judge one message, taken as one datagram. Never raises."""
    result = Lint()
    try:
        message = parse_datagram(data, limits)
    except MalformedMessage as error:
        _explain(result, error, data, limits)
        return result
    result.message = message
    _look_at_octets(result, data, limits)
    _look_at_headers(result, message.headers)
    if isinstance(message, Request):
        _look_at_request(result, message)
        if message.method != "ACK":
            result.would_answer = _answer_to(result, message)
    else:
        _look_at_response(result, message)
    return result


def _explain(result: Lint, error: MalformedMessage, data: bytes, limits: MessageLimits) -> None:
    result.well_formed = False
    result.message = error.message
    result.would_answer = error.status
    result.errors.append(Finding(error.reason, error.header, error.rfc, error.line))
    scanned = _scan_leniently(data, limits)
    if scanned is None:
        return
    headers = Headers.adopt(scanned.fields)
    parts = scanned.start_line.split(" ")
    method = uri = None
    if len(parts) == 3 and parts[2].upper() == "SIP/2.0" and is_token(parts[0]):
        method, uri = parts[:2]
        result.message = result.message or Request(method, uri, headers)
    said = {(error.reason, error.header)}
    for fault in find_faults(headers.by_key, method, uri):
        if (fault.message, fault.header) in said:
            continue
        said.add((fault.message, fault.header))
        value = fault.value if fault.value is not None else headers.get(fault.header or "")
        line = scanned.start_line if fault.in_start_line else ""
        if fault.header is not None and value is not None:
            line = f"{fault.header}: {value}"
        result.errors.append(Finding(fault.message, fault.header, fault.rfc, line))


def _scan_leniently(data: bytes, limits: MessageLimits) -> Scan | None:
    """The parts of a message that may lack the empty line after its header; None where there are none."""
    for octets in (data, data.rstrip(b"\r\n") + b"\r\n\r\n"):
        try:
            return scan(
                octets,
                limits.start_line,
                limits.head,
                limits.header_count,
                limits.header_name,
                limits.header_value,
            )
        except ScanError:
            continue
    return None


def _look_at_octets(result: Lint, data: bytes, limits: MessageLimits) -> None:
    message = result.message
    if message is None:
        return
    scanned = scan(
        data, limits.start_line, limits.head, limits.header_count, limits.header_name, limits.header_value
    )
    result.ignored_octets = len(data) - scanned.body_offset - len(message.body)
    if result.ignored_octets:
        result.warn(
            f"{result.ignored_octets} octets beyond Content-Length are ignored",
            "Content-Length",
            "RFC 3261 section 18.3",
        )
    if scanned.bare_line_feeds:
        result.warn("lines end in LF without CR", None, "RFC 3261 section 7")
    if not scanned.start_line.startswith("SIP/2.0 ") and not scanned.start_line.endswith(" SIP/2.0"):
        result.warn("the SIP version is not in capitals", None, "RFC 3261 section 7.1")
    if isinstance(message, Response) and scanned.start_line.count(" ") < 2:
        result.warn("no space after the status code", None, "RFC 3261 section 7.2")
    head = data[: scanned.body_offset]
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        result.warn(
            f"octet 0x{head[error.start]:02x} at {error.start} is not UTF-8", None, "RFC 3261 section 7"
        )


def _look_at_headers(result: Lint, headers: Headers) -> None:
    _look_at_vias(result, headers)
    _look_at_numbers(result, headers)
    _look_at_addresses(result, headers)
    if "content-length" not in headers:
        result.warn("no Content-Length: the body goes to the end", None, "RFC 3261 section 18.3")
    message = result.message
    if message is not None and message.body and "content-type" not in headers:
        result.warn("a body without Content-Type", None, "RFC 3261 section 20.15")
    if headers.from_.tag is None:
        result.warn("no tag in From, as in RFC 2543", "From", "RFC 3261 section 8.1.1.3")
    date = headers.get("date")
    if date is not None and not _DATE.fullmatch(date):
        result.warn("not a date in GMT: ignored", "Date", "RFC 3261 section 20.17")
    for name, value in headers:
        if name.lower() in ("route", "record-route"):
            for element in split_list(value):
                try:
                    NameAddr.parse(element)
                except SipSyntaxError as error:
                    result.warn(error.reason, name, "RFC 3261 section 20.34")


def _look_at_addresses(result: Lint, headers: Headers) -> None:
    addresses = [
        ("From", headers.from_),
        ("To", headers.to),
        *[("Contact", each) for each in headers.contact],
    ]
    for name, address in addresses:
        if not address.uri.is_sip and address.uri.scheme.lower() != "tel":
            reason = f"scheme {shorten(address.uri.scheme)} is unknown"
            result.warn(reason, name, "RFC 4475 section 3.3.4")


def _look_at_vias(result: Lint, headers: Headers) -> None:
    elements = headers.get_all("via")
    for position, element in enumerate(elements):
        via = Via.parse(element)
        if position == 0 and not via.has_magic_cookie:
            if via.branch == "z9hG4bK":
                reason = "the branch is the magic cookie and nothing more: no transaction identifier"
            else:
                reason = "no branch with the magic cookie z9hG4bK, as in RFC 2543"
            result.warn(reason, "Via", "RFC 3261 section 8.1.1.7")
        if via.transport.upper() not in _TRANSPORTS:
            result.warn(f"transport {shorten(via.transport)} is unknown", "Via", "RFC 3261 section 20.42")
        if (via.parameter("received") or "").startswith("["):
            result.warn("received has brackets around an IPv6 address", "Via", "RFC 5118 section 4.5")
        if via.host == "255.255.255.255":
            result.warn("Via names a broadcast address: not to be sent to", "Via", "RFC 4475 section 3.3.10")
    if isinstance(result.message, Response) and len(elements) > 1:
        result.warn(
            "more than one Via: a user agent discards this response", "Via", "RFC 3261 section 8.1.3.3"
        )


def _look_at_numbers(result: Lint, headers: Headers) -> None:
    if CSeq.parse(headers.get("cseq") or "").number >= 2**31:
        result.warn("the sequence number is 2^31 or more", "CSeq", "RFC 3261 section 8.1.1.5")
    for name, section in (("Expires", "20.19"), ("Min-Expires", "20.23")):
        value = headers.get(name)
        if value is not None and parse_number(value, _DELTA_MAX) is None:
            result.warn(
                f"{shorten(value)} is not a number of seconds: ignored", name, f"RFC 3261 section {section}"
            )
    retry = headers.get("retry-after")
    if retry is not None and parse_number(re.split(r"[\s;(]", retry, maxsplit=1)[0], _DELTA_MAX) is None:
        result.warn("not a number of seconds: ignored", "Retry-After", "RFC 3261 section 20.33")
    for warning in headers.get_all("warning"):
        if not re.match(r"[0-9]{3} ", warning):
            result.warn("the warning code is not three digits", "Warning", "RFC 3261 section 20.43")
    for contact in headers.contact:
        expires = contact.parameter("expires")
        if expires is not None and parse_number(expires, _DELTA_MAX) is None:
            result.warn("expires is not a number of seconds: ignored", "Contact", "RFC 3261 section 20.10")
        q = contact.parameter("q")
        if q is not None and not re.fullmatch(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", q):
            result.warn("q is not from 0 to 1", "Contact", "RFC 3261 section 20.10")


def _look_at_request(result: Lint, request: Request) -> None:
    headers = request.headers
    forwards = headers.get("max-forwards")
    if forwards is None:
        result.warn("no Max-Forwards, as in RFC 2543", None, "RFC 3261 section 8.1.1.6")
    elif headers.max_forwards is None:
        result.warn("beyond 255: taken as absent", "Max-Forwards", "RFC 4475 section 3.1.2.4")
    elif headers.max_forwards == 0 and request.method != "ACK":
        result.warn("0: a proxy answers 483", "Max-Forwards", "RFC 4475 section 3.3.11")
    if request.method in ("INVITE", "SUBSCRIBE", "REFER") and "contact" not in headers:
        result.warn(f"no Contact in {request.method}, as in RFC 2543", None, "RFC 3261 section 8.1.1.8")
    if request.method not in KNOWN_METHODS:
        result.warn(f"method {shorten(request.method)} is unknown", None, "RFC 3261 section 8.2.1")
    target = request.target
    if target.headers:
        result.warn("headers in the Request-URI are ignored", None, "RFC 3261 section 19.1.1")
    if not target.is_sip and target.scheme.lower() != "tel":
        result.warn(f"scheme {shorten(target.scheme)} is unknown", None, "RFC 3261 section 8.2.2.1")
    if "[" in request.uri and ":::" in request.uri:
        result.warn("three colons in an IPv6 reference: read as two", None, "RFC 5118 section 4.10")
    for name, section in (("Require", "20.32"), ("Proxy-Require", "20.29")):
        unknown = _unknown_options(headers, name)
        if unknown:
            result.warn(f"unknown option tags: {', '.join(unknown)}", name, f"RFC 3261 section {section}")
    for name in ("Authorization", "Proxy-Authorization"):
        for value in headers.get_fields(name):
            scheme = value.partition(" ")[0]
            if scheme.lower() not in _AUTH_SCHEMES:
                result.warn(f"scheme {shorten(scheme)} is unknown", name, "RFC 3261 section 22.1")
    if request.method in _NEEDS_DIALOG and headers.to.tag is not None:
        result.warn(
            f"a {request.method} is answered 481 where no dialog matches", None, "RFC 3261 section 12.2.2"
        )


def _look_at_response(result: Lint, response: Response) -> None:
    headers = response.headers
    if response.status > 100 and headers.to.tag is None:
        result.warn("no tag in To, as in RFC 2543", "To", "RFC 3261 section 8.2.6.2")
    establishes = headers.cseq.method in ("INVITE", "SUBSCRIBE") and response.status // 100 == 2
    if establishes and "contact" not in headers:
        result.warn("no Contact in a 2xx that makes a dialog", None, "RFC 3261 section 12.1.1")


def _answer_to(result: Lint, request: Request) -> int | None:
    """The status an element owes, in the order in which RFC 3261 section 8.2 looks at a request."""
    headers = request.headers
    if request.method not in KNOWN_METHODS:
        return 501
    if not request.target.is_sip and request.target.scheme.lower() != "tel":
        return 416
    if request.method in _NEEDS_DIALOG and headers.to.tag is None:
        return 481
    if request.method == "REGISTER":
        answer = _registrar_answer(headers)
        if answer is not None:
            return answer
    if request.method != "CANCEL" and (
        _unknown_options(headers, "Require") or _unknown_options(headers, "Proxy-Require")
    ):
        return 420
    if request.body:
        answer = _body_answer(result, request)
        if answer is not None:
            return answer
    if request.method == "INVITE" and "accept" in headers and not _accepts_sdp(headers):
        result.warn("no session description among what is accepted", "Accept", "RFC 4475 section 3.3.15")
        return 406
    return None


def _registrar_answer(headers: Headers) -> int | None:
    if not headers.to.uri.is_sip and headers.to.uri.scheme.lower() != "tel":
        return 400
    if headers.is_wildcard_contact and headers.expires != 0:
        return 400
    schemes = [value.partition(" ")[0].lower() for value in headers.get_fields("authorization")]
    # Credentials that cannot be read are as good as none: a registrar that asks for some asks again.
    return 401 if schemes and not any(scheme in _AUTH_SCHEMES for scheme in schemes) else None


def _body_answer(result: Lint, request: Request) -> int | None:
    headers = request.headers
    encoding = [name.lower() for name in headers.get_all("content-encoding")]
    if any(name not in ("identity", "gzip") for name in encoding):
        result.warn("an unknown encoding", "Content-Encoding", "RFC 3261 section 8.2.3")
        return 415
    if "handling=optional" in (headers.get("content-disposition") or "").replace(" ", "").lower():
        return None
    try:
        kind = headers.content_type
    except SipSyntaxError as error:
        result.warn(error.reason, "Content-Type", "RFC 3261 section 20.15")
        return 400
    if kind is None or _understands(request.method, kind):
        return None
    result.warn(
        f"a body of type {shorten(kind.essence)} in {request.method}",
        "Content-Type",
        "RFC 3261 section 8.2.3",
    )
    return 415


def _understands(method: str, kind: MediaType) -> bool:
    if method in _OFFERS:
        return kind.essence == "application/sdp" or kind.type == "multipart"
    if method in ("MESSAGE", "OPTIONS"):
        return kind.type in _TEXTUAL or kind.essence in ("application/sdp", "application/im-iscomposing+xml")
    # INFO, NOTIFY, PUBLISH and the like carry what their package says.
    return True


def _accepts_sdp(headers: Headers) -> bool:
    for element in headers.get_all("accept"):
        essence = element.partition(";")[0].replace(" ", "").lower()
        if essence in ("application/sdp", "application/*", "*/*") or essence.startswith("multipart/"):
            return True
    return False


def _unknown_options(headers: Headers, name: str) -> list[str]:
    return [tag for tag in headers.get_all(name) if tag.lower() not in OPTION_TAGS]


def describe(message: Message) -> dict[str, object]:
    """Kind, method, uri, status and reason phrase of a message, None for those it does not have."""
    request = message if isinstance(message, Request) else None
    response = message if isinstance(message, Response) else None
    return {
        "kind": "request" if request is not None else "response",
        "method": request.method if request is not None else None,
        "uri": request.uri if request is not None else None,
        "status": response.status if response is not None else None,
        "reason_phrase": response.reason if response is not None else None,
    }
