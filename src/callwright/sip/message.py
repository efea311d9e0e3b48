"""SIP messages: octets to Request or Response and back (RFC 3261 section 7).

`parse_datagram` takes what the network sends and raises MalformedMessage, never anything else. Text in
messages is `str` decoded from UTF-8 with surrogateescape, so that every octet comes out of `serialize` as it
came in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

from callwright.sip.edits import NO_EDITS, Edits
from callwright.sip.grammar import TOKEN_CHARS
from callwright.sip.headers import Headers
from callwright.sip.scan import ScanError
from callwright.sip.uri import Uri
from callwright.sip.validity import Fault, find_faults, is_sound

try:  # the native twin, where it was built
    from callwright.sip._scan import read_sound, scan
except ImportError:
    from callwright.sip.scan import read_sound, scan


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """What a message may cost before it is refused. Sizes in octets."""

    start_line: int = 8192
    head: int = 65536
    """Start line and all headers together."""
    header_count: int = 256
    """Header lines, folded lines counted."""
    header_name: int = 256
    header_value: int = 16384
    body: int = 1 << 20


DEFAULT_LIMITS = MessageLimits()


@dataclass(slots=True)
class Request:
    """A request; `uri` is the text as received, `target` the same parsed."""

    method: str
    uri: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    edits: Edits = field(default=NO_EDITS, compare=False)  # what the wire has otherwise

    @property
    def target(self) -> Uri:
        """The Request-URI; raises SipSyntaxError."""
        return Uri.parse(self.uri)

    def __str__(self) -> str:
        return f"{self.method} {self.uri}"


@dataclass(slots=True)
class Response:
    """A response; `status` is 100 to 699."""

    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.status} {self.reason}"


Message = Request | Response


class MalformedMessage(ValueError):
    """What came is not a SIP message that may be processed.

    `reason` says why, `header` which header (None: the start line or the whole), `status` is what an element
    answers (None: nothing, as to a response or an ACK), `message` what was understood of it, where that is
    enough to answer (Via, From, To, Call-ID and CSeq are there), else None. `line` is the offending text,
    `rfc` the section.
    """

    def __init__(
        self,
        reason: str,
        header: str | None = None,
        status: int | None = None,
        message: Message | None = None,
        *,
        line: str = "",
        rfc: str = "RFC 3261 section 7",
    ) -> None:
        named = header is None or header.lower() in reason.lower()
        super().__init__(reason if named else f"{header}: {reason}")
        self.reason = reason
        self.header = header
        self.status = status
        self.message = message
        self.line = line
        self.rfc = rfc


_REQUEST_LINE = re.compile(rf"([{TOKEN_CHARS}]+) ([^\s]+) (?:SIP|sip|Sip)/2\.0")
_STATUS_LINE = re.compile(r"(?:SIP|sip|Sip)/2\.0 ([1-6][0-9][0-9])(?: (.*))?", re.DOTALL)
_ANY_VERSION = re.compile(r"(?:.* )?[Ss][Ii][Pp]/([0-9]+\.[0-9]+)(?: .*)?", re.DOTALL)


def parse_datagram(data: bytes, limits: MessageLimits = DEFAULT_LIMITS) -> Message:
    """Parse one datagram, or one message that StreamFramer cut out of a stream.

    Octets beyond Content-Length are ignored, without Content-Length the body goes to the end (RFC 3261
    section 18.3). Checked always: version, Via, To, From, Call-ID and CSeq there and (but for Via) once, the
    syntax of what every element reads, CSeq within 32 bits and of the request's method, Content-Length. All
    else waits until asked.
    """
    sound = read_sound(
        data, limits.start_line, limits.head, limits.header_count, limits.header_name, limits.header_value
    )
    if sound is None:
        return _parse_step_by_step(data, limits)
    sound_method, status, text, fields, index, offset, length = sound
    headers = Headers.adopt_indexed(fields, index)
    present = len(data) - offset
    if length < 0:
        length = present
    if length > present or length > limits.body:
        return _parse_step_by_step(data, limits)
    body = data[offset : offset + length]
    if sound_method is None:
        return Response(status, text, headers, body)
    return Request(sound_method, text, headers, body)


def _parse_step_by_step(data: bytes, limits: MessageLimits) -> Message:
    try:
        start_line, fields, offset, _ = scan(
            data,
            limits.start_line,
            limits.head,
            limits.header_count,
            limits.header_name,
            limits.header_value,
        )
    except ScanError as error:
        _raise_unscanned(error)
    headers = Headers.adopt(fields)
    message: Message
    if (request := _REQUEST_LINE.fullmatch(start_line)) is not None:
        method, uri = request.groups()
        message = Request(method, uri, headers)
    elif (response := _STATUS_LINE.fullmatch(start_line)) is not None:
        method = uri = None
        message = Response(int(response[1]), response[2] or "", headers)
    else:
        _raise_bad_start_line(start_line, headers)
    index = headers.by_key
    if not is_sound(index, method, uri):
        faults = find_faults(index, method, uri)
        if faults:
            _raise_fault(faults[0], message)
    length_values = index.get("content-length")
    if length_values is None:
        message.body = data[offset:]
        length = len(data) - offset
    else:
        length = int(length_values[0])
        message.body = data[offset : offset + length]
        if length > len(data) - offset:
            _raise_fault(_too_short(length, len(data) - offset), message)
    if length > limits.body:
        message.body = b""
        _raise_fault(
            Fault(f"the body is longer than {limits.body} octets", None, "RFC 3261 section 21.5.7", 513),
            message,
        )
    return message


def serialize(message: Message) -> bytes:
    """The octets of a message. Content-Length is made right, and added at the end of the header where it is
    absent.

    Raises ValueError for a CR or LF within a header, which would let a value make headers of its own.
    """
    if isinstance(message, Request):
        lines = [f"{message.method} {message.uri} SIP/2.0"]
    else:
        lines = [f"SIP/2.0 {message.status} {message.reason}"]
    length = str(len(message.body))
    has_length = False
    for name, value in message.headers:
        if len(name) in (1, 14) and name.lower() in ("content-length", "l"):
            if has_length:
                continue
            has_length = True
            value = length
        lines.append(f"{name}: {value}")
    if not has_length:
        lines.append(f"Content-Length: {length}")
    if isinstance(message, Request) and message.edits is not NO_EDITS:
        lines = message.edits.lines(lines)
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a header has a CR or LF within")
    return (head + "\r\n\r\n").encode("utf-8", "surrogateescape") + message.body


def start_line_of(message: Message) -> str:
    """The first line, as it is written."""
    if isinstance(message, Request):
        return f"{message.method} {message.uri} SIP/2.0"
    return f"SIP/2.0 {message.status} {message.reason}"


def _too_short(length: int, present: int) -> Fault:
    return Fault(
        f"Content-Length is {length}, but only {present} octets follow the header",
        "Content-Length",
        "RFC 3261 section 18.3",
        400,
    )


def _answerable(message: Message) -> Message | None:
    index = message.headers.by_key
    needed = ("via", "from", "to", "call-id", "cseq")
    return message if all(key in index for key in needed) else None


def _raise_fault(fault: Fault, message: Message) -> NoReturn:
    status = fault.status if isinstance(message, Request) and message.method != "ACK" else None
    line = ""
    if fault.header is not None:
        value = fault.value if fault.value is not None else message.headers.get(fault.header)
        line = "" if value is None else f"{fault.header}: {value}"
    elif fault.in_start_line:
        line = start_line_of(message)
    raise MalformedMessage(
        fault.message, fault.header, status, _answerable(message), line=line, rfc=fault.rfc
    ) from None


def _guess(start_line: str, headers: Headers) -> Message | None:
    """A request whose first line is broken, for its answer; nothing is answered to what looks like a
    response."""
    if start_line[:4].upper() == "SIP/" or not start_line:
        return None
    method, _, uri = start_line.partition(" ")
    return Request(method, uri.strip(), headers)


def _raise_unscanned(error: ScanError) -> NoReturn:
    message = _guess(error.start_line, Headers.adopt(error.fields))
    fault = Fault(error.reason, None, "RFC 3261 section 7", error.status)
    status = None if message is None or message.method == "ACK" else fault.status  # type: ignore[union-attr]
    raise MalformedMessage(
        error.reason, None, status, None if message is None else _answerable(message), line=error.line
    ) from None


def _raise_bad_start_line(start_line: str, headers: Headers) -> NoReturn:
    message = _guess(start_line, headers)
    version = _ANY_VERSION.fullmatch(start_line)
    status, reason, rfc = 400, "neither a request line nor a status line", "RFC 3261 section 7.1"
    if version is not None and version[1] != "2.0":
        status, reason, rfc = 505, f"SIP version {version[1][:20]} is unknown", "RFC 3261 section 7.1"
    elif start_line[:8].upper() == "SIP/2.0 ":
        reason, rfc = "the status code is not a number from 100 to 699", "RFC 3261 section 7.2"
    elif start_line != start_line.strip(" \t"):
        reason = "white space around the request line"
    elif version is not None and start_line.count(" ") > 2:
        reason = "more than the three parts of a request line, or more than one space between them"
    elif version is None:
        reason = "no SIP version at the end of the request line"
    answered = None if message is None or start_line.startswith("ACK ") else status
    raise MalformedMessage(
        reason, None, answered, None if message is None else _answerable(message), line=start_line, rfc=rfc
    )
