"""What the load loop reads of a message, without native code: the twin of `_wire.pxi`.

Both read the same of every datagram, which a test holds them to; `callwright.sip` reads far more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from callwright.generator.load_digest import answerable

METHODS = (b"", b"INVITE", b"ACK", b"BYE", b"CANCEL", b"OPTIONS", b"REGISTER", b"INFO", b"UPDATE", b"PRACK")
MOST_FIELDS = 8
_STATUS_LINE = re.compile(rb"SIP/2\.0 ([1-6]\d\d)(?: .*)?", re.DOTALL)
_SPACE = b" \t\r\n"
_COMPACT = {b"v": b"via", b"f": b"from", b"t": b"to", b"i": b"call-id", b"m": b"contact"}


@dataclass(slots=True)
class LoadMessage:
    """The fields of a message that a load needs; `status` is 0 in a request. Texts as they came."""

    status: int = 0
    method: int = 0
    """Index into METHODS, of CSeq in a response; 0 is another."""
    cseq: int = 0
    retry_after: int = -1
    uri: bytes = b""
    call_id: bytes = b""
    from_value: bytes = b""
    to_value: bytes = b""
    contact_value: bytes = b""
    cseq_value: bytes = b""
    vias: list[bytes] = field(default_factory=list)
    record_routes: list[bytes] = field(default_factory=list)
    challenge: bytes = b""
    proxy_challenge: bool = False
    authorization: bytes = b""
    body: bytes = b""
    whole: bytes = b""
    """The datagram."""

    @property
    def branch(self) -> bytes:
        return parameter(self.vias[0], b"branch")

    @property
    def sent_by(self) -> bytes:
        words = re.split(rb"[ \t\r\n]+", self.vias[0], maxsplit=1)
        return _word(words[1]) if len(words) > 1 else b""

    @property
    def has_rport(self) -> bool:
        return bare_parameter(self.vias[0], b"rport")

    @property
    def routes(self) -> list[bytes]:
        """Values of Record-Route, in order."""
        return [value for line in self.record_routes for value in _split(line)][: MOST_FIELDS * 4]


def _word(text: bytes) -> bytes:
    """Up to a separator. White space is SIP's: a form feed is none, though Python takes it for one."""
    return re.split(rb"[;, \t\r\n]", text, maxsplit=1)[0]


def method_of(word: bytes) -> int:
    return METHODS.index(word) if word in METHODS[1:] else 0


def parameter(value: bytes, name: bytes) -> bytes:
    """The value of `;name=…` after the address, empty without."""
    p, end = 0, len(value)
    quoted = angled = False
    while p < end:
        c = value[p]
        if quoted:
            if c == 92:
                p += 1
            elif c == 34:
                quoted = False
        elif c == 34:
            quoted = True
        elif c == 60:
            angled = True
        elif c == 62:
            angled = False
        elif c == 44 and not angled:
            break
        elif c == 59 and not angled:
            p += 1
            while p < end and value[p] in _SPACE:
                p += 1
            i = 0
            while i < len(name) and p < end and value[p : p + 1].lower()[0] == name[i]:
                i += 1
                p += 1
            if i == len(name):
                while p < end and value[p] in _SPACE:
                    p += 1
                if p < end and value[p] == 61:
                    p += 1
                    while p < end and value[p] in _SPACE:
                        p += 1
                    start = p
                    while p < end and value[p] not in b";,>" + _SPACE:
                        p += 1
                    return value[start:p]
            continue
        p += 1
    return b""


def bare_parameter(value: bytes, name: bytes) -> bool:
    """Whether `;name` stands in the first value without `=`."""
    p, end = 0, len(value)
    while p < end and value[p] != 44:
        if value[p] != 59:
            p += 1
            continue
        p += 1
        i = 0
        while i < len(name) and p < end and value[p : p + 1].lower()[0] == name[i]:
            i += 1
            p += 1
        if i == len(name) and (p >= end or value[p] in b";," + _SPACE):
            return True
    return False


def tag_of(value: bytes) -> bytes:
    """The tag of From or To."""
    if b'"' not in value:
        head, angle, tail = value.partition(b">")
        if angle and len(tail) > 5 and tail.startswith(b";tag="):
            return _word(tail[5:])
        if b";" not in (tail if angle else head):
            return b""
    return parameter(value, b"tag")


def address_uri(value: bytes) -> bytes:
    """The URI of a name-addr, or of an addr-spec without its header parameters."""
    p, quoted = 0, False
    while p < len(value):
        c = value[p]
        if quoted:
            if c == 92:
                p += 1
            elif c == 34:
                quoted = False
        elif c == 34:
            quoted = True
        elif c == 60:
            return value[p + 1 :].partition(b">")[0]
        p += 1
    return re.split(rb"[;,]", value, maxsplit=1)[0].strip(_SPACE)


def _split(line: bytes) -> list[bytes]:
    found, start, quoted, angled = [], 0, False, False
    for p in range(len(line) + 1):
        c = line[p] if p < len(line) else 44
        if p == len(line) or (c == 44 and not quoted and not angled):
            word = line[start:p].strip(_SPACE)
            if word:
                found.append(word)
            start = p + 1
        elif c == 34:
            quoted = not quoted
        elif not quoted and c in b"<>":
            angled = c == 60
    return found


def number(text: bytes) -> int | None:
    """Leading decimal digits, at most ten of them and below 2^32; None without any."""
    match = re.match(rb"\d{1,10}", text)
    if match is None:
        return None
    digits = match[0]
    if len(digits) == 10 and int(digits[:9]) > 429496728:
        return None
    return int(digits)


def parse(data: bytes) -> LoadMessage | None:
    """Reads a datagram; None when it is not a SIP message that can be matched or answered."""
    datagram, data = data, data.lstrip(b"\r\n\0")
    if len(data) < 16 or b"\n" not in data:
        return None
    first, _, rest = data.partition(b"\n")
    first = first.removesuffix(b"\r")
    m = LoadMessage(whole=datagram)
    if first.startswith(b"SIP/2.0 "):
        status = _STATUS_LINE.fullmatch(first)
        if status is None:
            return None
        m.status = int(status[1])
    else:
        if len(first) < 12 or not first.endswith(b" SIP/2.0"):
            return None
        space = first.index(b" ")
        if space >= len(first) - 8:
            return None
        m.method = method_of(first[:space])
        m.uri = first[space + 1 : -8]
    p, end = 0, len(rest)
    while p < end:
        if rest[p] == 10:
            m.body = rest[p + 1 :]
            break
        if rest.startswith(b"\r\n", p):
            m.body = rest[p + 2 :]
            break
        stop = rest.find(b"\n", p)
        while stop >= 0 and stop + 1 < end and rest[stop + 1] in b" \t":  # folded
            stop = rest.find(b"\n", stop + 1)
        line = rest[p:] if stop < 0 else rest[p:stop]
        name, colon, value = line.partition(b":")
        name = name.strip(_SPACE)
        if not colon or not name or not _field(m, name.lower(), value.strip(_SPACE)):
            return None
        p = end if stop < 0 else stop + 1
    complete = m.vias and m.call_id and m.from_value and m.to_value and m.cseq_value
    return m if complete else None


def _field(m: LoadMessage, name: bytes, value: bytes) -> bool:
    """Takes in one header field; False when it makes the message one that nobody can answer."""
    match _COMPACT.get(name, name):
        case b"via":
            if len(m.vias) >= MOST_FIELDS:
                return False
            m.vias.append(value)
        case b"from":
            m.from_value = value
        case b"to":
            m.to_value = value
        case b"call-id":
            m.call_id = value
        case b"contact":
            m.contact_value = m.contact_value or value
        case b"cseq":
            found = number(value)
            if found is None:
                return False
            m.cseq, m.cseq_value = found, value
            digits = re.match(rb"\d{1,10}", value)
            method = method_of(value[digits.end() if digits else 0 :].lstrip(_SPACE))
            if m.status:
                m.method = method
            elif m.method != method:
                return False
        case b"record-route":
            if len(m.record_routes) >= MOST_FIELDS:
                return False
            m.record_routes.append(value)
        case b"retry-after":
            seconds = number(value)
            if seconds is not None and seconds < 100_000_000:
                m.retry_after = seconds
        case b"www-authenticate" | b"proxy-authenticate" as kind:
            # Of several, the topmost that can be answered (RFC 8760 section 2.4); the first where none can.
            if not m.challenge or (not answerable(m.challenge) and answerable(value)):
                m.challenge, m.proxy_challenge = value, kind == b"proxy-authenticate"
        case b"authorization":
            m.authorization = value
    return True


def read(data: bytes) -> dict[str, object] | None:
    """All that the loop reads, as `callwright.generator._loop.read` tells it."""
    m = parse(data)
    if m is None:
        return None
    return {
        "status": m.status,
        "method": m.method,
        "cseq": m.cseq,
        "retry_after": m.retry_after,
        "uri": m.uri,
        "call_id": m.call_id,
        "from": m.from_value,
        "from_tag": tag_of(m.from_value),
        "to": m.to_value,
        "to_tag": tag_of(m.to_value),
        "contact": address_uri(m.contact_value),
        "via": list(m.vias),
        "branch": m.branch,
        "sent_by": b"" if m.status else m.sent_by,  # only a reply needs it
        "rport": m.has_rport if not m.status else False,
        "routes": m.routes,
        "challenge": m.challenge,
        "body": m.body,
    }
