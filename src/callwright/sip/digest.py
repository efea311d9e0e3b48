"""Digest authentication, the client's side (RFC 2617, 7616 and 8760). The server's side is `digest_server`.

Texts are hashed as UTF-8. `entropy` is a function n -> n random octets.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from callwright.sip.grammar import TOKEN_CHARS, SipSyntaxError, quote, unquote
from callwright.sip.headers import Headers

Entropy = Callable[[int], bytes]

_HASHES = {"md5": "md5", "sha-256": "sha256", "sha-512-256": "sha512_256"}
_STRENGTH = {"md5": 1, "sha-256": 2, "sha-512-256": 3}
_PARAMETER = re.compile(
    rf'[\s,]*+([{TOKEN_CHARS}]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^\s,"]*+)\s*+(?=,|$)', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whose call it is. With a `realm` they are used for that realm only."""

    username: str
    password: str = field(repr=False)
    realm: str | None = None


def parse_parameters(text: str) -> tuple[str, dict[str, str]]:
    """Scheme in lower case and parameters (names in lower case, quotes removed) of a challenge or of
    credentials.

    Values may be quoted or not, whatever the RFC asks for. Raises SipSyntaxError; for another scheme than
    Digest the parameters are left empty.
    """
    scheme, _, rest = text.strip().partition(" ")
    scheme = scheme.lower()
    parameters: dict[str, str] = {}
    if scheme != "digest":
        return scheme, parameters
    position = 0
    rest = rest.rstrip(", \t")
    while position < len(rest):
        match = _PARAMETER.match(rest, position)
        if match is None:
            raise SipSyntaxError("a Digest parameter is not name=value", position + len(scheme) + 1)
        parameters.setdefault(match[1].lower(), unquote(match[2]))
        position = match.end()
    return scheme, parameters


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate. `qop` is in the order offered, empty for RFC 2069."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    opaque: str | None = None
    stale: bool = False

    @staticmethod
    def parse(text: str) -> Challenge | None:
        """Parse a challenge; None for a scheme other than Digest. Raises SipSyntaxError."""
        scheme, parameters = parse_parameters(text)
        if scheme != "digest":
            return None
        if "nonce" not in parameters or "realm" not in parameters:
            raise SipSyntaxError("a Digest challenge without realm or nonce")
        return Challenge(
            parameters["realm"],
            parameters["nonce"],
            parameters.get("algorithm") or "MD5",
            tuple([option.lower() for option in re.split(r"[\s,]+", parameters.get("qop", "")) if option]),
            parameters.get("opaque"),
            parameters.get("stale", "").lower() == "true",
        )

    @property
    def is_supported(self) -> bool:
        """True if the hash is here and one of the protections offered is known."""
        return hash_name(self.algorithm) is not None and (
            not self.qop or "auth" in self.qop or "auth-int" in self.qop
        )

    @property
    def strength(self) -> int:
        """SHA-512-256 over SHA-256 over MD5; 0 for what is not supported."""
        return _STRENGTH[_base(self.algorithm)] if self.is_supported else 0

    def __str__(self) -> str:
        text = f'Digest realm={quote(self.realm)}, nonce="{self.nonce}", algorithm={self.algorithm}'
        if self.qop:
            text += f', qop="{",".join(self.qop)}"'
        if self.opaque is not None:
            text += f", opaque={quote(self.opaque)}"
        return text + (", stale=true" if self.stale else "")


def _base(algorithm: str) -> str:
    return algorithm.lower().removesuffix("-sess")


def hash_name(algorithm: str) -> str | None:
    """Name of the hash for hashlib, None where it is unknown or this Python has it not."""
    name = _HASHES.get(_base(algorithm))
    return name if name in hashlib.algorithms_available or name in ("md5", "sha256") else None


def select_challenges(challenges: Iterable[Challenge]) -> list[Challenge]:
    """For each realm the strongest challenge we support, the first listed on a tie, realms in their order."""
    chosen: dict[str, Challenge] = {}
    for challenge in challenges:
        best = chosen.get(challenge.realm)
        if challenge.strength > (0 if best is None else best.strength):
            chosen[challenge.realm] = challenge
    return list(chosen.values())


def compute_response(
    *,
    algorithm: str,
    username: str,
    realm: str,
    password: str,
    nonce: str,
    method: str,
    uri: str,
    qop: str | None = None,
    cnonce: str = "",
    nonce_count: str = "00000001",
    body: bytes = b"",
) -> str:
    """The hex digest (RFC 7616 section 3.4.1); without qop that of RFC 2069. ValueError for an unknown
    hash."""
    name = hash_name(algorithm)
    if name is None:
        raise ValueError(f"unknown digest algorithm {algorithm}")

    def digest(data: bytes) -> str:
        return hashlib.new(name, data, usedforsecurity=False).hexdigest()

    secret = digest(_octets(f"{username}:{realm}:{password}"))
    if algorithm.lower().endswith("-sess"):
        secret = digest(_octets(f"{secret}:{nonce}:{cnonce}"))
    action = f"{method}:{uri}"
    if qop == "auth-int":
        action += f":{digest(body)}"
    action = digest(_octets(action))
    if qop:
        return digest(_octets(f"{secret}:{nonce}:{nonce_count}:{cnonce}:{qop}:{action}"))
    return digest(_octets(f"{secret}:{nonce}:{action}"))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def answer_challenge(
    challenge: Challenge,
    credentials: Credentials,
    *,
    method: str,
    uri: str,
    cnonce: str,
    nonce_count: int = 1,
    body: bytes = b"",
) -> str:
    """Value of the Authorization (or Proxy-Authorization) that answers the challenge.

    Of several protections auth is taken, since auth-int does not survive a proxy that touches the body.
    ValueError if the challenge is not supported.
    """
    if not challenge.is_supported:
        raise ValueError(f"unknown digest algorithm {challenge.algorithm} or protection {challenge.qop}")
    qop = None
    if challenge.qop:
        qop = "auth" if "auth" in challenge.qop else "auth-int"
    count = f"{nonce_count:08x}"
    response = compute_response(
        algorithm=challenge.algorithm,
        username=credentials.username,
        realm=challenge.realm,
        password=credentials.password,
        nonce=challenge.nonce,
        method=method,
        uri=uri,
        qop=qop,
        cnonce=cnonce,
        nonce_count=count,
        body=body,
    )
    text = (
        f"Digest username={quote(credentials.username)}, realm={quote(challenge.realm)}, "
        f'nonce={quote(challenge.nonce)}, uri="{uri}", response="{response}", algorithm={challenge.algorithm}'
    )
    if qop or challenge.algorithm.lower().endswith("-sess"):
        text += f', cnonce="{cnonce}"'
    if challenge.opaque is not None:
        text += f", opaque={quote(challenge.opaque)}"
    if qop:
        text += f", qop={qop}, nc={count}"
    return text


@dataclass(slots=True)
class _Protection:
    """A challenge that we answer, with what has to be remembered from one request to the next."""

    challenge: Challenge
    cnonce: str
    nonce_count: int = 0


class DigestClient:
    """Answers challenges with one person's credentials, and counts the uses of each nonce.

    The cnonce stays as long as the nonce, which -sess demands (RFC 7616 section 3.4.2).
    """

    def __init__(self, credentials: Credentials, entropy: Entropy) -> None:
        self.credentials = credentials
        self._entropy = entropy
        self._protections: dict[tuple[str, str], _Protection] = {}

    def answer(
        self, headers: Headers, *, method: str, uri: str, body: bytes = b"", refused: Headers | None = None
    ) -> list[tuple[str, str]]:
        """Header fields for the repeated request, from those of a 401 or 407; empty if there is nothing to
        try.

        `refused` are the headers of the request that was challenged. Where they hold an answer to the same
        nonce, or the first answer to another one of that realm, and the new challenge is not stale, the
        password is wrong, and asking again would never end. A nonce that had served before was only too old:
        servers of RFC 2069 give each for one request, and know no stale.
        """
        news = False
        for header, reply in _HEADER_PAIRS:
            for challenge in select_challenges(_challenges(headers, header)):
                if self.credentials.realm not in (None, challenge.realm):
                    continue
                if not challenge.stale and self._was_refused(challenge, refused, reply):
                    self._protections.pop((reply, challenge.realm), None)
                    return []
                self._protections[(reply, challenge.realm)] = _Protection(challenge, self._entropy(12).hex())
                news = True
        return self.authorize(method=method, uri=uri, body=body) if news else []

    def _was_refused(self, challenge: Challenge, refused: Headers | None, reply: str) -> bool:
        """True if an answer for that realm was in the request: to the same nonce, or the first to another."""
        for value in refused.get_fields(reply) if refused is not None else ():
            try:
                _, parameters = parse_parameters(value)
            except SipSyntaxError:
                continue  # written by hand, and not by us
            if parameters.get("realm") == challenge.realm:
                known = self._protections.get((reply, challenge.realm))
                served = known is not None and known.nonce_count > 1
                return parameters.get("nonce") == challenge.nonce or not served
        return False

    def authorize(self, *, method: str, uri: str, body: bytes = b"") -> list[tuple[str, str]]:
        """Header fields for another request in the same protection spaces; empty before the first
        challenge."""
        fields: list[tuple[str, str]] = []
        for (name, _), protection in self._protections.items():
            protection.nonce_count += 1
            value = answer_challenge(
                protection.challenge,
                self.credentials,
                method=method,
                uri=uri,
                cnonce=protection.cnonce,
                nonce_count=protection.nonce_count,
                body=body,
            )
            fields.append((name, value))
        return fields


_HEADER_PAIRS = (("www-authenticate", "Authorization"), ("proxy-authenticate", "Proxy-Authorization"))


def _challenges(headers: Headers, name: str) -> list[Challenge]:
    found: list[Challenge] = []
    for value in headers.get_fields(name):
        try:
            challenge = Challenge.parse(value)
        except SipSyntaxError:
            continue
        if challenge is not None:
            found.append(challenge)
    return found
