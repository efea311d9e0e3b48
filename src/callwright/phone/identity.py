"""What a phone says of its caller beside From (RFC 3325, 3323), the token that it signs (RFC 8224, 8588),
and what it thinks of such a token."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from callwright.identity.authority import Signer
from callwright.identity.certificates import Store
from callwright.identity.passport import Claims, header_of, payload_of, signed
from callwright.identity.verdict import judge
from callwright.net.entropy import Entropy, uuid4
from callwright.outcome.call import IdentityOutcome
from callwright.sip.message import Request
from callwright.sip.uri import NameAddr, SipSyntaxError, Uri

__all__ = ["ANONYMOUS", "MISTAKES", "IdentityCheck", "IdentityPlan", "checked", "headers_of"]

ANONYMOUS = NameAddr("Anonymous", Uri("sip", "anonymous", None, "anonymous.invalid"))
MISTAKES = ("wrong_key", "stale", "wrong_number", "alg_none", "huge")
"""What a token can be given that no verifier may believe."""
_OLD = 3_600  # seconds of a stale token
_HUGE = 6_400  # octets more


@dataclass(frozen=True, slots=True)
class IdentityPlan:
    """`asserted` and `preferred`: values of P-Asserted- and P-Preferred-Identity; `privacy`: of Privacy, with
    which From is anonymous. `signer` signs, where there is one; `info` is the URL of its certificate.
    `mistake`: see MISTAKES; `imposter` signs for "wrong_key"."""

    asserted: str = ""
    preferred: str = ""
    privacy: str = ""
    signer: Signer | None = None
    info: str = ""
    attest: str = "A"
    mistake: str = ""
    imposter: Signer | None = None

    @property
    def hides(self) -> bool:
        """Whether the caller is not to be shown."""
        return self.privacy.strip().lower() not in ("", "none")


@dataclass(frozen=True, slots=True)
class IdentityCheck:
    """`require`: a call whose token does not hold is refused; else that is only told."""

    store: Store
    require: bool = True


def headers_of(
    plan: IdentityPlan, caller: NameAddr, target: Uri, wall: float, entropy: Entropy
) -> list[tuple[str, str]]:
    """Headers of an INVITE. `caller`: who we are, shown or not."""
    found = []
    if plan.asserted:
        found.append(("P-Asserted-Identity", plan.asserted))
    if plan.preferred:
        found.append(("P-Preferred-Identity", plan.preferred))
    if plan.privacy:
        found.append(("Privacy", plan.privacy))
    if plan.signer is not None:
        found.append(("Identity", _token(plan, plan.signer, _who(plan, caller), target, wall, entropy)))
    return found


def _who(plan: IdentityPlan, caller: NameAddr) -> str:
    for text in (plan.asserted, plan.preferred):
        if text:
            return _user(NameAddr.parse(text).uri)
    return _user(caller.uri)


def _user(uri: Uri) -> str:
    return uri.unescaped_user or str(uri)


def _token(plan: IdentityPlan, signer: Signer, orig: str, target: Uri, wall: float, entropy: Entropy) -> str:
    stale, other = plan.mistake == "stale", plan.mistake == "wrong_number"
    iat = int(wall) - (_OLD if stale else 0)
    claims = Claims("0000000000" if other else orig, (_user(target),), iat, plan.attest, uuid4(entropy))
    header: dict[str, Any] = header_of(plan.info)
    payload = payload_of(claims)
    alg = "ES256"
    if plan.mistake == "alg_none":
        alg = header["alg"] = "none"
    if plan.mistake == "huge":
        payload["padding"] = "x" * _HUGE
    by = plan.imposter if plan.mistake == "wrong_key" and plan.imposter is not None else signer
    token = signed(header, json.loads(json.dumps(payload)), by.key)
    return f"{token};info=<{plan.info}>;alg={alg};ppt=shaken"


def checked(request: Request, check: IdentityCheck, wall: float) -> IdentityOutcome:
    """What the Identity of an INVITE is worth: by P-Asserted-Identity, else From, and To."""
    headers = request.headers
    orig = _user(headers.from_.uri)
    for value in headers.get_all("p-asserted-identity"):
        try:
            orig = _user(NameAddr.parse(value).uri)
        except SipSyntaxError:
            continue
        break
    values = headers.get_fields("identity")
    told = judge(values, orig=orig, dest=_user(headers.to.uri), now=wall, store=check.store)
    claimed = (told.attest, told.orig, told.dest, told.info)
    return IdentityOutcome(told.verdict, told.code, told.phrase, told.reason, *claimed)
