"""Secrets out of everything that is written to disk or to a trace: on by default, and blind to who asks.

Each secret octet becomes `*`, one for one. So Content-Length, TCP sequence numbers and columns stay right,
and a capture still shows that there was a response, only not which.

Taken out: the answers of digest (RFC 7616: response, rspauth), whole Basic, Bearer and other credentials, a
password in a SIP URI, keys of SDES (RFC 4568), k= lines and ICE passwords, headers and parameters whose name
says password, secret, token, key, cookie and the like (`is_secret_header`), the values of conditions on such
headers, and the literal secrets that the owner of the redactor names.
Nonces, realms and user names stay: they are what a reader needs to see why a challenge failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

MASK = "*"
SHORTEST_LITERAL = 4
"""A literal secret shorter than this would black out half of a message; it is left to the patterns."""

HIDDEN = "(secret)"

_TOKEN = r"[\w!#$%&'*+.^`|~-]+"  # RFC 3261 section 25.1
_SECRET_WORD = re.compile(
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|credential|cookie|api[_.-]?key|pn-prid"
    r"|signature|bearer|authori[sz]ation|jwt|hmac|saml|dpop"
    # A word of its own, so that X-Author, X-Pinned-To and X-Keypad are shown.
    r"|(?:^|[^a-z0-9])(?:[a-z0-9]*(?:auth|keys?)|authn|authz|authentication|pin|pincode|puk|psk|otp|totp|sig)"
    r"(?![a-z0-9])",
    re.IGNORECASE,
)
_SESSION = re.compile(r"(?:^|[^a-z0-9])[a-z0-9]*session(?:_?id|key)?(?![a-z0-9])", re.IGNORECASE)
_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_HARMLESS = frozenset(
    {
        *("session", "session-expires", "session-id"),  # RFC 2326, RFC 4028, RFC 7989
        *("authentication-info", "proxy-authentication-info"),  # their rspauth alone is a secret
        *("sec-websocket-key", "signature-input"),  # RFC 6455: a nonce; RFC 9421: names of fields
    }
)
"""Headers that explain a call and whose names only look like secrets."""

_FOLDED = rb"[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*"
_HEADER = re.compile(rb"^([\w!#$%&'*+.^`|~-]+)([ \t]*:[ \t]*)(" + _FOLDED + rb")", re.MULTILINE)
_SCHEMES = frozenset(
    (
        b"basic bearer digest negotiate ntlm kerberos hoba mutual oauth dpop gnap hawk vapid privatetoken "
        b"token apikey scram-sha-1 scram-sha-256 aws4-hmac-sha256"
    ).split()
)
_OF_DIGEST = b"username realm nonce uri response algorithm cnonce opaque qop nc userhash auts rspauth".split()
_CREDENTIALS = re.compile(rb"(\s*)([^\s,]+)(\s+)(.*)", re.DOTALL)
_BEARER = re.compile(rb"(\s*bearer\s+)(\S.*)", re.IGNORECASE | re.DOTALL)
_DIGEST_ANSWER = re.compile(rb"\b(response|rspauth)(\s*=\s*)(\"[^\"\r\n]*\"?|[^\s,\"]+)", re.IGNORECASE)
_AUTHENTICATION_INFO = re.compile(
    rb"^((?:proxy-)?authentication-info[ \t]*:)(" + _FOLDED + rb")", re.IGNORECASE | re.MULTILINE
)
_URI_PASSWORD = re.compile(rb"\b(sips?:[^\s:@;>,\"<]+:)([^\s@>\"<]+)(?=@)", re.IGNORECASE)
_SDES = re.compile(rb"\b(inline:)([A-Za-z0-9+/=]+)", re.IGNORECASE)
_SDP_LINE = re.compile(
    rb"^(k=(?:clear|base64|uri):|a=ice-pwd:|a=key-mgmt:\S+ )([^\r\n]+)", re.IGNORECASE | re.MULTILINE
)
_PARAMETER = re.compile(rb"([;?&])([\w.-]+)(=)(\"[^\"\r\n]*\"?|[^\s;&,>\"]+)")
_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase|code)|\bpass\b|\bpwd\b|secret|token|api[_.-]?key|credential", re.IGNORECASE
)

_HEADERS_KEY = re.compile(r"(?:^|\.)headers$")
_NEXT_HEADER = re.compile(rf", (?={_TOKEN}: )")

# "header X-Test of INVITE = yes", "bob.header X-Test ~ /a/", as `scenario.condition` reads it.
_CONDITION = re.compile(
    r"(\s*(?:[\w.-]+\.)?header\s+([^\s=<>~!≥≤≠]+)(?:\s+of\s+[\w-]+)?\s*"
    r"(?:not\s+in\b|>=|<=|==|!=|!~|=|<|>|~|≥|≤|≠|\b(?:in|present|absent|ordered|has|lacks)\b)\s*)(.*)",
    re.DOTALL,
)
# The sentences of `scenario.unmet`; what follows holds what was seen and what was asked for.
_UNMET = re.compile(rf"\b(The ({_TOKEN}) header(?: of [\w-]+)? was )(.+)", re.DOTALL)
_MISSING = re.compile(
    rf"\b(No ({_TOKEN}) header(?: of [\w-]+)? came, where (?!one was expected|none was expected))(.+)",
    re.DOTALL,
)
_SEVERAL = re.compile(r"nothing(?= \(\d+ of \d+ failed\)$)|.*?(?= \(\d+ of \d+ failed\)$)|.*", re.DOTALL)


@lru_cache(maxsize=4096)
def is_secret_header(name: str) -> bool:
    """Whether the value of a header of this name is a secret, by what the name says."""
    if name.lower() in _HARMLESS:
        return False
    return bool(_SESSION.search(name) or _names_secret(name))


@lru_cache(maxsize=4096)
def _names_secret(name: str) -> bool:
    """`X-AuthKey` is read as `X-Auth-Key` too."""
    return bool(_SECRET_WORD.search(name) or _SECRET_WORD.search(_CAPITALS.sub("-", name)))


def _masked(octets: bytes) -> bytes:
    """Every octet but quotes, line ends and blanks becomes the mask."""
    return re.sub(rb"[^\s\"]", b"*", octets)


def _last_group(match: re.Match[bytes]) -> bytes:
    *kept, secret = match.groups()
    return b"".join(kept) + _masked(secret)


def _header_of_message(match: re.Match[bytes]) -> bytes:
    name, colon, value = match.groups()
    text = name.decode("latin-1")
    if not is_secret_header(text):
        bearer = _BEARER.fullmatch(value)
        return bytes(name + colon + (_last_group(bearer) if bearer else value))
    credentials = text.lower().endswith(("authorization", "authorisation"))
    return bytes(name + colon + (_credentials(value) if credentials else _masked(value)))


def _credentials(value: bytes) -> bytes:
    """Masked but for its scheme; whole where it has none that is known.

    The beginning of a scheme or of a parameter stays: a stream may be cut there.
    """
    match = _CREDENTIALS.fullmatch(value)
    if match is None or match[2].lower() not in _SCHEMES:
        begun = value.strip().lower()
        return value if any(scheme.startswith(begun) for scheme in _SCHEMES) else _masked(value)
    blank, scheme, between, rest = match.groups()
    first, equals, _ = rest.partition(b"=")
    first = first.strip().lower()
    named = first in _OF_DIGEST if equals else any(name.startswith(first) for name in _OF_DIGEST)
    if scheme.lower() == b"digest" and named:
        return bytes(blank + scheme + between + _DIGEST_ANSWER.sub(_last_group, rest))
    return bytes(blank + scheme + between + _masked(rest))


def _parameter(match: re.Match[bytes]) -> bytes:
    """Of a URI: `;token=…`, and headers behind `?`. A session is often told in addresses of pages."""
    return _last_group(match) if _names_secret(match[2].decode("latin-1")) else match[0]


def _hide_sentence(match: re.Match[str]) -> str:
    return f"{match[1]}{HIDDEN}" if is_secret_header(match[2]) else match[0]


def redacted_condition(text: str) -> str:
    """`header X-Api-Key of INVITE = (secret)`: a condition on a secret header without its value."""
    match = _CONDITION.fullmatch(text)
    if match is None or not match[3] or not is_secret_header(match[2]):
        return text
    return f"{match[1]}{HIDDEN}"


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
        data = _HEADER.sub(_header_of_message, data)
        data = _AUTHENTICATION_INFO.sub(lambda m: m[1] + _DIGEST_ANSWER.sub(_last_group, m[2]), data)
        data = _URI_PASSWORD.sub(_last_group, data)
        data = _PARAMETER.sub(_parameter, data)
        data = _SDES.sub(_last_group, data)
        data = _SDP_LINE.sub(_last_group, data)
        if self._literal is not None:
            data = self._literal.sub(lambda m: b"*" * len(m[0]), data)
        return data

    def text(self, text: str) -> str:
        """A sentence, a condition, a header value, a URI."""
        if not self.enabled:
            return text
        text = redacted_condition(text)
        for sentence in (_UNMET, _MISSING):
            text = sentence.sub(_hide_sentence, text)
        out = _URI_PASSWORD.sub(_last_group, text.encode("utf-8", "surrogatepass"))
        out = _PARAMETER.sub(_parameter, out)
        out = _SDES.sub(_last_group, out)
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
            if _HEADERS_KEY.search(key):
                return {k: self._of_header(str(k), v) for k, v in value.items()}
            return self._condition({k: self.document(v, str(k)) for k, v in value.items()}, value)
        if isinstance(value, list | tuple):
            pair = len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str)
            if pair and (not _HEADERS_KEY.search(key) or re.fullmatch(_TOKEN, value[0])):
                return list(self._header(value[0], value[1]))
            return [self.document(item, key) for item in value]
        if isinstance(value, str):
            if _HEADERS_KEY.search(key):
                return self._headers(value)
            return HIDDEN if value and _SECRET_KEY.search(key) else self.text(value)
        return value

    def _headers(self, value: str) -> str:
        """Headers as a parameter has them: "X-A: b, X-B: c"."""
        return ", ".join(self.header_line(line) for line in _NEXT_HEADER.split(value))

    def _of_header(self, name: str, value: Any) -> Any:
        return self.header(name, value) if isinstance(value, str) else self.document(value, name)

    def _condition(self, document: dict[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
        """A `ConditionOutcome`: what a secret header was asked to be, and what it was, are as secret."""
        text = written.get("text")
        match = _CONDITION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            return document
        expected, seen = document.get("expected"), document.get("seen")
        secret = is_secret_header(match[2])
        if isinstance(expected, str) and secret and match[3]:
            document["expected"] = (
                expected.removesuffix(match[3]) + HIDDEN if match[3] in expected else HIDDEN
            )
        if isinstance(seen, str):
            what = _SEVERAL.match(seen)
            if not secret:
                document["seen"] = self.header(match[2], seen)
            elif what is not None and what[0] != "nothing":
                document["seen"] = HIDDEN + seen[what.end() :]
        return document

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
