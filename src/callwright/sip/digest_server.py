"""Digest authentication, the server's side: challenges, and the judgement of what answers them (RFC 7616,
8760)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from callwright.sip.digest import Challenge, Entropy, compute_response, hash_name, parse_parameters
from callwright.sip.grammar import SipSyntaxError

_STAMP_OCTETS = 8
_SALT_OCTETS = 8
_PEER_OCTETS = 6
_SEAL_OCTETS = 16


class Verdict(StrEnum):
    """What credentials are worth. Stale ones were computed with the right password, or with a nonce that is
    not ours: challenge again, with stale."""

    ACCEPTED = "accepted"
    STALE = "stale"
    REFUSED = "refused"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Verdict and reason in words; `username` is what was claimed, and proven only where the verdict is
    ACCEPTED; `same_peer`: the nonce was issued to the peer that the credentials come from."""

    verdict: Verdict
    reason: str = ""
    username: str | None = None
    same_peer: bool = True


class DigestServer:
    """Challenges and verifies for one realm.

    A nonce carries its own time under an HMAC, so none is stored before it is used; of used ones the highest
    nc is remembered until they expire, and an nc that does not grow is refused as stale (replay). An answer
    without qop (RFC 2069) may use its nonce once.
    """

    def __init__(
        self,
        realm: str,
        entropy: Entropy,
        *,
        algorithms: tuple[str, ...] = ("SHA-256", "MD5"),
        qop: tuple[str, ...] = ("auth",),
        lifetime: float = 300.0,
        max_nonces: int = 10_000,
    ) -> None:
        """`lifetime` of a nonce in seconds; `max_nonces` bounds what is remembered."""
        unknown = [algorithm for algorithm in algorithms if hash_name(algorithm) is None]
        if unknown or not algorithms:
            raise ValueError(f"unknown digest algorithms: {', '.join(unknown) or 'none given'}")
        self.realm = realm
        self._entropy = entropy
        self._algorithms = algorithms
        self._qop = qop
        self._lifetime = lifetime
        self._max_nonces = max_nonces
        self._secret = entropy(32)
        self._used: dict[str, tuple[float, int]] = {}
        self._floor = float("-inf")

    def claimed(self, values: list[str]) -> str | None:
        """Whose credentials these fields say they are; None: none for this realm, or they cannot be read."""
        for value in values:
            try:
                scheme, parameters = parse_parameters(value)
            except SipSyntaxError:
                return None
            if scheme == "digest" and parameters.get("realm") == self.realm:
                return parameters.get("username") or None
        return None

    def challenges(self, now: float, *, stale: bool = False, peer: str = "") -> list[str]:
        """Header values, one per algorithm, for the WWW-Authenticate of a 401 or the Proxy-Authenticate of a
        407. `peer`: to whom, as `verify` is told; it stands in the nonce, unreadable."""
        nonce = self._make_nonce(now, peer)
        return [
            str(Challenge(self.realm, nonce, algorithm, self._qop, stale=stale))
            for algorithm in self._algorithms
        ]

    def verify(
        self,
        values: list[str],
        *,
        method: str,
        now: float,
        password_of: Callable[[str], str | None],
        body: bytes = b"",
        peer: str = "",
    ) -> Judgement:
        """Judge the Authorization fields of a request; those for other realms and schemes are passed over.

        `password_of` gives the password of a user name, None for an unknown one, which takes as long to be
        refused. The digest's own uri is what is hashed: a proxy may have changed the Request-URI meanwhile.
        `peer`: from whom they come.
        """
        for value in values:
            try:
                scheme, parameters = parse_parameters(value)
            except SipSyntaxError as error:
                return Judgement(Verdict.REFUSED, error.reason)
            if scheme == "digest" and parameters.get("realm") == self.realm:
                return self._judge(parameters, method, now, password_of, body, peer)
        return Judgement(Verdict.ABSENT, "no credentials for this realm")

    def _judge(
        self,
        parameters: dict[str, str],
        method: str,
        now: float,
        password_of: Callable[[str], str | None],
        body: bytes,
        peer: str,
    ) -> Judgement:
        username = parameters.get("username")
        nonce, given = parameters.get("nonce"), parameters.get("response")
        uri, algorithm = parameters.get("uri"), parameters.get("algorithm") or "MD5"
        qop, count_text = parameters.get("qop", "").lower() or None, parameters.get("nc", "")
        if not username or nonce is None or given is None or uri is None:
            return Judgement(Verdict.REFUSED, "username, nonce, uri or response is missing", username)
        if algorithm.lower() not in [ours.lower() for ours in self._algorithms]:
            return Judgement(Verdict.REFUSED, "an algorithm that was not offered", username)
        count = 0
        if qop is not None:
            if qop not in self._qop or not parameters.get("cnonce"):
                return Judgement(Verdict.REFUSED, "a protection that was not offered, or no cnonce", username)
            if len(count_text) != 8 or any(c not in "0123456789abcdefABCDEF" for c in count_text):
                return Judgement(Verdict.REFUSED, "nc is not eight hex digits", username)
            count = int(count_text, 16)
        password = password_of(username)
        expected = compute_response(
            algorithm=algorithm,
            username=username,
            realm=self.realm,
            password="" if password is None else password,
            nonce=nonce,
            method=method,
            uri=uri,
            qop=qop,
            cnonce=parameters.get("cnonce", ""),
            nonce_count=count_text,
            body=body,
        )
        matches = hmac.compare_digest(_octets(expected), _octets(given.lower()))
        issue = self._issue(nonce)
        if issue is None:
            # Whether the password is right is not told: nobody has to ask us for a nonce to try the next one.
            return Judgement(Verdict.STALE, "the nonce is not ours", username)
        issued, to = issue
        if password is None or not matches:
            same = hmac.compare_digest(to, self._seal(_octets(peer))[:_PEER_OCTETS])
            return Judgement(Verdict.REFUSED, "wrong user name or password", username, same)
        if not issued <= now < issued + self._lifetime or issued <= self._floor:
            return Judgement(Verdict.STALE, "the nonce has expired", username)
        last = self._used.get(nonce)
        if last is not None and count <= last[1]:
            return Judgement(Verdict.STALE, "the nonce count was used before", username)
        self._remember(nonce, issued, count, now)
        return Judgement(Verdict.ACCEPTED, "", username)

    def _remember(self, nonce: str, issued: float, count: int, now: float) -> None:
        used = self._used
        if nonce not in used and len(used) >= self._max_nonces:
            for old in [key for key, (when, _) in used.items() if when + self._lifetime <= now]:
                del used[old]
            while len(used) >= self._max_nonces:
                # What is forgotten could be replayed, so nothing as old is taken any more.
                oldest = min(used, key=lambda key: used[key][0])
                self._floor = max(self._floor, used.pop(oldest)[0])
        used[nonce] = (issued, count)

    def _make_nonce(self, now: float, peer: str) -> str:
        plain = max(0, int(now * 1000)).to_bytes(_STAMP_OCTETS, "big") + self._entropy(_SALT_OCTETS)
        plain += self._seal(_octets(peer))[:_PEER_OCTETS]
        return base64.urlsafe_b64encode(plain + self._seal(plain)).decode().rstrip("=")

    def _issue(self, nonce: str) -> tuple[float, bytes] | None:
        """When a nonce of ours was made, and the seal of the peer."""
        try:
            raw = base64.b64decode(nonce + "=" * (-len(nonce) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        plain, seal = raw[:-_SEAL_OCTETS], raw[-_SEAL_OCTETS:]
        size = _STAMP_OCTETS + _SALT_OCTETS + _PEER_OCTETS
        if len(plain) != size or not hmac.compare_digest(seal, self._seal(plain)):
            return None
        return int.from_bytes(plain[:_STAMP_OCTETS], "big") / 1000, plain[-_PEER_OCTETS:]

    def _seal(self, plain: bytes) -> bytes:
        return hmac.digest(self._secret, plain + _octets(self.realm), hashlib.sha256)[:_SEAL_OCTETS]


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
