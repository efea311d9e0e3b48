"""Secrets that are told once: their marks, and what is kept of them."""

from __future__ import annotations

import hashlib

__all__ = ["KEY_PREFIX", "SECRET_PREFIX", "digest", "keepable"]

KEY_PREFIX = "cwk_"
SECRET_PREFIX = "cws_"


def keepable(*texts: str) -> bool:
    """Whether a database could hold them."""
    return all(len(text) <= 4096 and "\0" not in text and _encodes(text) for text in texts)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def digest(secret: str) -> str:
    """SHA-256: enough for what holds at least 128 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()
