"""Fingerprints of certificates in SDP (RFC 8122): what ties DTLS to the signalling."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Fingerprint", "FingerprintError", "fingerprint_of", "matching", "parse_fingerprint"]

_HASHES = {"sha-1": 1, "sha-224": 2, "sha-256": 3, "sha-384": 4, "sha-512": 5}
"""Those that may be used (RFC 8122 section 5), by strength."""
_HEX = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){0,127}\Z")


class FingerprintError(ValueError):
    """A fingerprint that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    algorithm: str
    digest: bytes

    def __str__(self) -> str:
        """What follows `a=fingerprint:`."""
        return f"{self.algorithm} {self.digest.hex(':').upper()}"


def parse_fingerprint(value: str) -> Fingerprint:
    """What follows `a=fingerprint:`. Raises FingerprintError."""
    name, _, text = value.strip().partition(" ")
    name, text = name.lower(), text.strip()
    if name not in _HASHES:
        raise FingerprintError(f"the hash {name[:20]!r} of a fingerprint is not one of {', '.join(_HASHES)}")
    if not _HEX.match(text):
        raise FingerprintError("a fingerprint is not written in pairs of hexadecimal digits")
    digest = bytes.fromhex(text.replace(":", ""))
    if len(digest) != hashlib.new(name.replace("-", "")).digest_size:
        raise FingerprintError(f"a fingerprint of {name} has {len(digest)} octets")
    return Fingerprint(name, digest)


def fingerprint_of(certificate: bytes, algorithm: str = "sha-256") -> Fingerprint:
    """Of a certificate in DER."""
    return Fingerprint(algorithm, hashlib.new(algorithm.replace("-", ""), certificate).digest())


def matching(certificate: bytes, named: Sequence[Fingerprint]) -> Fingerprint | None:
    """The one of those named that the certificate has. Only the strongest hash among them counts."""
    if not named:
        return None
    strongest = max((one.algorithm for one in named), key=_HASHES.__getitem__)
    found = fingerprint_of(certificate, strongest)
    same = (one for one in named if one.algorithm == strongest)
    return next((one for one in same if hmac.compare_digest(one.digest, found.digest)), None)
