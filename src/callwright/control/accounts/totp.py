"""Codes of an authenticator application: TOTP of RFC 6238 with its defaults (SHA-1, 6 digits, 30 s). Pure."""

from __future__ import annotations

import base64
import hmac
from urllib.parse import quote, urlencode

__all__ = ["DIGITS", "PERIOD", "code_at", "key_uri", "spelled", "step_of", "step_that_fits"]

PERIOD, DIGITS = 30, 6  # seconds; section 5.2 recommends no more than one step either way
_WINDOW = 1


def step_of(wall: float) -> int:
    """The time step T of section 4.2; ``wall``: unix seconds."""
    return int(wall // PERIOD)


def code_at(secret: bytes, step: int) -> str:
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.twofactor.hotp import HOTP

    return HOTP(secret, DIGITS, SHA1(), enforce_key_length=False).generate(step).decode()


def step_that_fits(secret: bytes, code: str, wall: float) -> int | None:
    """The step whose code this is, now or one before or after; None: it is none of theirs."""
    now, found = step_of(wall), None
    for step in range(max(0, now - _WINDOW), now + _WINDOW + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode("utf-8", "replace")):
            found = step
    return found


def spelled(secret: bytes) -> str:
    """As an application takes it: base32 without padding."""
    return base64.b32encode(secret).decode().rstrip("=")


def key_uri(secret: bytes, account: str, issuer: str = "Callwright") -> str:
    """What a QR code says to an application: otpauth://, as Google Authenticator's Key Uri Format."""
    values = {"secret": spelled(secret), "issuer": issuer, "digits": DIGITS, "period": PERIOD}
    return f"otpauth://totp/{quote(f'{issuer}:{account}', safe=':@')}?{urlencode(values)}"
