"""Is a caller who their Identity says? Answers with the response codes of RFC 8224 section 6.2.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from callwright.identity.certificates import Distrusted, Store, numbers_of
from callwright.identity.passport import ATTESTATIONS, Malformed, Token, canonical

__all__ = ["FRESH", "Judged", "judge"]

FRESH = 60.0
"""Seconds that a token is good for, before and after (RFC 8224 section 6.2.2, RFC 8588)."""
_MOST = 4


@dataclass(frozen=True, slots=True)
class Judged:
    """`code` None: it holds. Else the code to refuse the call with, its reason phrase, and why in a sentence.
    `attest`, `orig`, `dest` and `info` as the token claims them, believed or not."""

    code: int | None
    phrase: str
    reason: str
    attest: str | None = None
    orig: str | None = None
    dest: tuple[str, ...] = ()
    info: str | None = None

    @property
    def verdict(self) -> str:
        """valid, absent or invalid."""
        return "valid" if self.code is None else "absent" if self.code == 428 else "invalid"


def judge(values: Sequence[str], *, orig: str, dest: str, now: float, store: Store) -> Judged:
    """`values` of Identity; `orig` and `dest`: who calls whom, says the request; `now` in unix seconds.

    The first that holds counts; without one, the first failure: a request may have several.
    """
    if not values:
        return Judged(428, "Use Identity Header", "The call has no Identity header.")
    failure: Judged | None = None
    for value in values[:_MOST]:
        judged = _judge(value, orig, dest, now, store)
        if judged.code is None:
            return judged
        failure = failure or judged
    assert failure is not None
    return failure


def _judge(value: str, orig: str, dest: str, now: float, store: Store) -> Judged:
    try:
        token = Token.read(value)
    except Malformed as error:
        return Judged(438, "Invalid Identity Header", f"The Identity header is malformed: {error}.")
    claims = token.claims

    def told(code: int | None, phrase: str, reason: str) -> Judged:
        return Judged(code, phrase, reason, claims.attest, claims.orig, claims.dest, token.info)

    def invalid(reason: str) -> Judged:
        return told(438, "Invalid Identity Header", reason)

    if token.alg != "ES256":
        return invalid(f"The token is signed with {token.alg or 'no algorithm'}, and ES256 alone is safe.")
    if token.ppt != "shaken":
        return invalid(f"The token is of the kind {token.ppt or 'without a name'}, not shaken.")
    if not token.info.lower().startswith("https://"):
        return told(436, "Bad Identity Info", f"The certificate is named by {token.info[:80]}, not by https.")
    age = now - claims.iat
    if abs(age) > FRESH:
        when = "old" if age > 0 else "ahead of our time"
        return told(403, "Stale Date", f"The token is {abs(age):.0f} s {when}; {FRESH:.0f} s are permitted.")
    signers = store.signers
    if not signers:
        return told(436, "Bad Identity Info", "No certificate of a signer is in the local store.")
    signer = next((one for one in signers if token.signed_by(one.public_key())), None)
    if signer is None:
        return invalid("The signature fits no certificate of the local store: another key made it.")
    try:
        store.trust(signer, now)
        numbers = numbers_of(signer)
    except Distrusted as error:
        return told(437, "Unsupported Credential", f"The signer is not trusted: {error}.")
    except ValueError as error:
        return told(437, "Unsupported Credential", f"The signer's certificate is of no use: {error}.")
    if claims.attest not in ATTESTATIONS:
        return invalid(f"The attestation is {claims.attest!r}; it is A, B or C.")
    if canonical(claims.orig) != canonical(orig):
        return invalid(f"The token is of a call by {claims.orig}, and this one is by {orig}.")
    if canonical(dest) not in [canonical(one) for one in claims.dest]:
        return invalid(f"The token is of a call to {', '.join(claims.dest[:3])}, and this one is to {dest}.")
    if numbers is not None and not numbers.cover(canonical(orig)):
        return told(437, "Unsupported Credential", f"The signer's certificate is not for the number {orig}.")
    return told(None, "", f"{orig} is attested {claims.attest}.")
