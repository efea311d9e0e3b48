"""A PASSporT (RFC 8225) of SHAKEN (RFC 8588) and the Identity header that carries it (RFC 8224): signed
with ES256, written, and read. Everything that is read here came from a stranger, and is bounded.

    value = identity_header(Claims("+43123", ("+43456",), iat, "A", origid), key, "https://certs.example/a.pem")
    token = Token.read(value)
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

__all__ = ["ATTESTATIONS", "Claims", "Malformed", "Token", "canonical", "identity_header", "signed"]

ATTESTATIONS = ("A", "B", "C")
"""Full: the number is the caller's; partial: the caller is known; gateway: it came in here (RFC 8588)."""
LONGEST = 8_192
"""Octets of an Identity header that are read."""
_MOST_NUMBERS = 64
_P256 = 32  # octets of r, and of s
_PARAMETER = re.compile(
    r'\s*;\s*([A-Za-z0-9-]{1,32})\s*=\s*(<[^<>"\s]{1,2048}>|"[^"\\\r\n]{0,256}"|[^\s;,"<>]{1,256})'
)
_SEPARATORS = re.compile(r"[\s().\-/]")
_NUMBER = re.compile(r"\+?[0-9*#A-Da-d]{1,32}\Z")


class Malformed(ValueError):
    """No PASSporT; the text says where, in words fit for a reader."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What is signed: `orig` calls `dest`, a number or a URI each; `iat` in unix seconds."""

    orig: str
    dest: tuple[str, ...]
    iat: int
    attest: str | None = None
    origid: str | None = None


def canonical(who: str) -> str:
    """A number without + and separators (RFC 8224 section 8.3); anything else as it is, in small letters."""
    bare = _SEPARATORS.sub("", who)
    return bare.lstrip("+").upper() if _NUMBER.match(bare) else who.strip().lower()


def signed(header: Mapping[str, Any], payload: Mapping[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    """The token: header, payload and signature, as `a.b.c`."""
    said = f"{_encoded(header)}.{_encoded(payload)}"
    r, s = decode_dss_signature(key.sign(said.encode(), ec.ECDSA(SHA256())))
    return f"{said}.{_base64(r.to_bytes(_P256, 'big') + s.to_bytes(_P256, 'big'))}"


def identity_header(claims: Claims, key: ec.EllipticCurvePrivateKey, info: str) -> str:
    """The value of Identity. `info`: the URL of the certificate, which is in the token as well."""
    token = signed(header_of(info), payload_of(claims), key)
    return f"{token};info=<{info}>;alg=ES256;ppt=shaken"


def header_of(info: str) -> dict[str, Any]:
    """The keys of a token stand in order of their names, without spaces (RFC 8225 section 9)."""
    return {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": info}


def payload_of(claims: Claims) -> dict[str, Any]:
    numbers = [one for one in claims.dest if _NUMBER.match(_SEPARATORS.sub("", one))]
    uris = [one for one in claims.dest if one not in numbers]
    dest = {"tn": [canonical(one) for one in numbers], "uri": uris}
    orig = _NUMBER.match(_SEPARATORS.sub("", claims.orig))
    return {
        "attest": claims.attest,
        "dest": {name: found for name, found in dest.items() if found},
        "iat": claims.iat,
        "orig": {"tn": canonical(claims.orig)} if orig else {"uri": claims.orig},
        "origid": claims.origid,
    }


@dataclass(frozen=True, slots=True)
class Token:
    """One value of Identity, read and not yet believed. `alg` and `ppt` as the token itself says them."""

    claims: Claims
    alg: str
    ppt: str
    info: str
    said: bytes
    signature: bytes

    @classmethod
    def read(cls, value: str) -> Token:
        """Raises Malformed."""
        if len(value) > LONGEST:
            raise Malformed(f"an Identity header of {len(value):,} octets; at most {LONGEST:,} are read")
        text, _, rest = value.strip().partition(";")
        parameters = _parameters(f";{rest}") if rest else {}
        parts = text.strip().strip('"').split(".")
        if len(parts) != 3 or not parts[0] or not parts[1]:
            raise Malformed("no token of three parts (a compact form is not understood)")
        header, payload = _object(parts[0], "header"), _object(parts[1], "payload")
        info, x5u = parameters.get("info", "").strip("<>"), header.get("x5u")
        if not isinstance(x5u, str) or not info:
            raise Malformed("no certificate is named (info, x5u)")
        if x5u != info:
            raise Malformed("info of the header and x5u of the token name different certificates")
        for name in ("alg", "ppt"):
            beside = parameters.get(name)
            if beside is not None and beside.lower() != str(header.get(name, "")).lower():
                raise Malformed(f"{name} beside the token is not the one in it")
        said = f"{parts[0]}.{parts[1]}".encode()
        alg, ppt = str(header.get("alg", ""))[:32], str(header.get("ppt", ""))[:32]
        return cls(_claims(payload), alg, ppt, info, said, _octets(parts[2], "signature"))

    def signed_by(self, key: object) -> bool:
        """Whether the signature fits that public key."""
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            return False
        if len(self.signature) != 2 * _P256:
            return False
        r, s = (int.from_bytes(half, "big") for half in (self.signature[:_P256], self.signature[_P256:]))
        try:
            key.verify(encode_dss_signature(r, s), self.said, ec.ECDSA(SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        match = _PARAMETER.match(text, at)
        if match is None:
            raise Malformed("parameters that cannot be read")
        found.setdefault(match[1].lower(), match[2].strip('"'))
        at = match.end()
    return found


def _claims(payload: Mapping[str, Any]) -> Claims:
    orig, dest, iat = payload.get("orig"), payload.get("dest"), payload.get("iat")
    if not isinstance(iat, int) or isinstance(iat, bool) or not 0 <= iat < 2**53:
        raise Malformed("iat is no time")
    if not isinstance(orig, dict) or not isinstance(dest, dict):
        raise Malformed("orig or dest is missing")
    caller = orig.get("tn", orig.get("uri"))
    called = [one for name in ("tn", "uri") for one in _list(dest.get(name, []))]
    if not isinstance(caller, str) or not called or len(called) > _MOST_NUMBERS:
        raise Malformed("orig or dest names nobody")
    attest, origid = payload.get("attest"), payload.get("origid")
    if not all(one is None or (isinstance(one, str) and len(one) <= 128) for one in (attest, origid)):
        raise Malformed("attest or origid is no text")
    return Claims(caller[:256], tuple(one[:256] for one in called), iat, attest, origid)


def _list(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    found = [one for one in values if isinstance(one, str)]
    if len(found) != len(values):
        raise Malformed("dest is no list of texts")
    return found


def _object(part: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(_octets(part, what))
    except (ValueError, RecursionError):
        raise Malformed(f"its {what} is no JSON") from None
    if not isinstance(found, dict):
        raise Malformed(f"its {what} is no JSON object")
    return found


def _octets(part: str, what: str) -> bytes:
    try:
        return base64.b64decode(
            part.replace("-", "+").replace("_", "/") + "=" * (-len(part) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        raise Malformed(f"its {what} is no base64url") from None


def _encoded(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":"), sort_keys=True).encode())


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
