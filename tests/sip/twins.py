"""The two scanners, and the parser on either of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from callwright.sip import message, scan
from callwright.sip.message import DEFAULT_LIMITS, MalformedMessage, MessageLimits, parse_datagram


def native_scanner() -> ModuleType | None:
    """The extension; None where it was not built, or is not wanted (CALLWRIGHT_PURE)."""
    try:
        return importlib.import_module("callwright.sip._scan")
    except ImportError:
        return None


NATIVE = native_scanner()
TWINS = ["pure", "native"]
needs_native = pytest.mark.skipif(NATIVE is None, reason="callwright.sip._scan was not built")


@contextmanager
def scanner(name: str) -> Iterator[None]:
    """parse_datagram on that twin."""
    module = scan if name == "pure" else NATIVE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(message, "scan", getattr(module, "scan"))  # noqa: B009
        patch.setattr(message, "read_sound", getattr(module, "read_sound"))  # noqa: B009
        yield


def outcome(name: str, data: bytes, limits: MessageLimits = DEFAULT_LIMITS) -> tuple[object, ...]:
    """The message with its index, or everything that the error says."""
    with scanner(name):
        try:
            parsed = parse_datagram(data, limits)
        except MalformedMessage as error:
            return (
                str(error),
                error.reason,
                error.header,
                error.status,
                error.message,
                error.line,
                error.rfc,
            )
    return parsed, dict(parsed.headers.by_key), list(parsed.headers)
