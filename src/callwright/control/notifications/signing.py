"""Signatures of webhooks, by the Standard Webhooks specification (symmetric, v1)."""

from __future__ import annotations

import base64
import hashlib
import hmac

from callwright.net.entropy import Entropy

__all__ = ["PREFIX", "new_secret", "signed_headers"]

PREFIX = "whsec_"
_OCTETS = 24  # of a secret; the specification asks for 24 to 64


def new_secret(entropy: Entropy) -> str:
    return PREFIX + base64.b64encode(entropy(_OCTETS)).decode()


def signed_headers(secret: str, uid: str, now: float, body: bytes) -> dict[str, str]:
    """``webhook-id``, ``webhook-timestamp`` (unix seconds) and ``webhook-signature`` of one attempt."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    timestamp = str(int(now))
    signed = b".".join((uid.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": uid,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }
