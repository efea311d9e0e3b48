"""Secrets out of everything that is written to disk or to a trace: on by default, and blind to who asks.

Each secret octet becomes `*`, one for one. So Content-Length, TCP sequence numbers and columns stay right,
and a capture still shows that there was a response, only not which.

Taken out: the answers of digest (RFC 7616: response, rspauth), whole Basic, Bearer and other credentials, a
password in a SIP URI, keys of SDES (RFC 4568), k= lines and ICE passwords, headers and parameters whose name
says password, secret, token, key or cookie, and the literal secrets that the owner of the redactor names.
Nonces, realms and user names stay: they are what a reader needs to see why a challenge failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "*"
SHORTEST_LITERAL = 4
"""A literal secret shorter than this would black out half of a message; it is left to the patterns."""

_SECRET_WORD = rb"pass(?:word|wd|phrase)?|secret|token|api-?key|apikey|credentials?|cookie|pn-prid"
_FOLDED = rb"[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*"

_CREDENTIALS = re.compile(
    rb"^((?:proxy-)?authorization[ \t]*:\s*)([^\s,]+)(\s+)(" + _FOLDED + rb")", re.IGNORECASE | re.MULTILINE
)
_DIGEST_ANSWER = re.compile(rb"\b(response|rspauth)(\s*=\s*)(\"[^\"\r\n]*\"?|[^\s,\"]+)", re.IGNORECASE)
_AUTHENTICATION_INFO = re.compile(
    rb"^((?:proxy-)?authentication-info[ \t]*:)(" + _FOLDED + rb")", re.IGNORECASE | re.MULTILINE
)
_URI_PASSWORD = re.compile(rb"\b(sips?:[^\s:@;>,\"<]+:)([^\s@>\"<]+)(?=@)", re.IGNORECASE)
_SDES = re.compile(rb"\b(inline:)([A-Za-z0-9+/=]+)", re.IGNORECASE)
_SDP_LINE = re.compile(
    rb"^(k=(?:clear|base64|uri):|a=ice-pwd:|a=key-mgmt:\S+ )([^\r\n]+)", re.IGNORECASE | re.MULTILINE
)
_SECRET_HEADER = re.compile(
    rb"^([A-Za-z0-9-]*(?:" + _SECRET_WORD + rb")[A-Za-z0-9-]*[ \t]*:[ \t]*)(" + _FOLDED + rb")",
    re.IGNORECASE | re.MULTILINE,
)
_SECRET_PARAMETER = re.compile(
    rb"([;?&][A-Za-z0-9_.-]*(?:" + _SECRET_WORD + rb")[A-Za-z0-9_.-]*=)(\"[^\"\r\n]*\"?|[^\s;&,>\"]+)",
    re.IGNORECASE,
)
_SECRET_KEY = re.compile(r"pass(word|wd|phrase)|\bpass\b|secret|token|api_?key|credential", re.IGNORECASE)

_HEADERS_KEY = re.compile(r"(?:^|\.)headers$")
_NEXT_HEADER = re.compile(r", (?=[A-Za-z0-9-]+: )")


def _masked(octets: bytes) -> bytes:
    """Every octet but quotes, line ends and blanks becomes the mask."""
    return re.sub(rb"[^\s\"]", b"*", octets)


def _last_group(match: re.Match[bytes]) -> bytes:
    *kept, secret = match.groups()
    return b"".join(kept) + _masked(secret)


def _credentials(match: re.Match[bytes]) -> bytes:
    name, scheme, blank, rest = match.groups()
    if scheme.lower() == b"digest":
        return bytes(name + scheme + blank + _DIGEST_ANSWER.sub(_last_group, rest))
    return bytes(name + scheme + blank + _masked(rest))


class Redactor:
    """Takes secrets out of SIP messages, texts and JSON documents.

    `secrets` are literal values (passwords in use) that are masked wherever they stand. `enabled=False` gives
    everything back as it came.
    """

    def __init__(self, secrets: Iterable[str] = (), *, enabled: bool = True) -> None:
        literals = sorted({s for s in secrets if len(s) >= SHORTEST_LITERAL}, key=len, reverse=True)
        self.enabled = enabled
        self._literal = re.compile(b"|".join(re.escape(s.encode()) for s in literals)) if literals else None
        self._literal_text = re.compile("|".join(map(re.escape, literals))) if literals else None

    def message(self, data: bytes) -> bytes:
        """A SIP message, or any piece of one, of the same length."""
        if not self.enabled:
            return data
        data = _CREDENTIALS.sub(_credentials, data)
        data = _AUTHENTICATION_INFO.sub(lambda m: m[1] + _DIGEST_ANSWER.sub(_last_group, m[2]), data)
        data = _SECRET_HEADER.sub(_last_group, data)
        data = _URI_PASSWORD.sub(_last_group, data)
        data = _SECRET_PARAMETER.sub(_last_group, data)
        data = _SDES.sub(_last_group, data)
        data = _SDP_LINE.sub(_last_group, data)
        if self._literal is not None:
            data = self._literal.sub(lambda m: b"*" * len(m[0]), data)
        return data

    def text(self, text: str) -> str:
        """A sentence, a header value, a URI."""
        if not self.enabled:
            return text
        out = text.encode("utf-8", "surrogatepass")
        for pattern in (_URI_PASSWORD, _SECRET_PARAMETER, _SDES):
            out = pattern.sub(_last_group, out)
        redacted = out.decode("utf-8", "surrogatepass")
        if self._literal_text is not None:
            redacted = self._literal_text.sub(lambda m: MASK * len(m[0]), redacted)
        return redacted

    def document(self, value: Any, key: str = "") -> Any:
        """A JSON document: strings are redacted, and what stands under a key such as `password` is masked
        whole.
        """
        if not self.enabled:
            return value
        if isinstance(value, Mapping):
            return {k: self.document(v, str(k)) for k, v in value.items()}
        if isinstance(value, list | tuple):
            if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str):
                return list(self._header(value[0], value[1]))
            return [self.document(item, key) for item in value]
        if isinstance(value, str):
            if _HEADERS_KEY.search(key):
                return self._headers(value)
            return "(secret)" if value and _SECRET_KEY.search(key) else self.text(value)
        return value

    def _headers(self, value: str) -> str:
        """Headers as a parameter has them: "X-A: b, X-B: c"."""
        return ", ".join(
            ": ".join(self._header(*line.split(": ", 1))) if ": " in line else self.text(line)
            for line in _NEXT_HEADER.split(value)
        )

    def header(self, name: str, value: str) -> str:
        """The value of one header."""
        return self._header(name, value)[1] if self.enabled else value

    def header_line(self, line: str) -> str:
        """``Name: value``."""
        name, colon, value = line.partition(":")
        if not colon:
            return self.text(line)
        blank = value[: len(value) - len(value.lstrip())]
        return f"{name}:{blank}{self.header(name.strip(), value.strip())}"

    def _header(self, name: str, value: str) -> tuple[str, str]:
        """A captured header, as a pair in run.json."""
        line = f"{name}: {value}".encode("utf-8", "surrogatepass")
        kept = self.message(line).decode("utf-8", "surrogatepass")
        if not kept.startswith(f"{name}: "):
            return name, self.text(value)
        return name, kept[len(name) + 2 :]


class StreamRedactor:
    """Redacts one direction of a stream in pieces, though a secret may be cut between two of them."""

    LONGEST_HEADER = 16_384

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._open = b""

    def feed(self, data: bytes) -> bytes:
        """The same number of octets, redacted with what came before them in the same header line."""
        whole = self._open + data
        redacted = self._redactor.message(whole)[len(self._open) :]
        self._open = whole[_start_of_last_header(whole) :][-self.LONGEST_HEADER :]
        return redacted


def _start_of_last_header(data: bytes) -> int:
    """Where the last line starts that does not continue another (a folded line starts with a blank)."""
    end = len(data)
    while True:
        start = data.rfind(b"\n", 0, end) + 1
        if start == 0 or data[start : start + 1] not in {b" ", b"\t", b""}:
            return start
        end = start - 1
