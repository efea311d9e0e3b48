"""The chapters of the API by the beginning of their paths, and how each of them words a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["FLEET", "MONITORING", "TELEPHONY", "TESTING", "refusal"]

TESTING = "/api/v2"
MONITORING = "/api/v3"
TELEPHONY = ("/v1.2/voipstudio", "/v1.1/voipstudio")
FLEET = ("/api/servers", "/api/pause", "/api/resume", "/varz", "/version", "/healthz")


def refusal(
    path: str, status: int, message: str, errors: Sequence[Mapping[str, Any]] = ()
) -> tuple[int, dict[str, Any]]:
    """Status and body of an answer that is not a success, in the shape of the chapter that has ``path``, or
    else of tests and runs. Telephony knows one status for all that cannot be taken; the fleet's chapter has
    a message alone."""
    if _is_in(TELEPHONY, path):
        told = [
            {"field": entry.get("address") or entry.get("field"), "message": entry.get("message", "")}
            for entry in errors
        ]
        return 400 if status in (409, 422) else status, {"message": message, "errors": told}
    if _is_in(FLEET, path):
        return status, {"message": message}
    if _is_in((MONITORING,), path):
        return status, {"message": message, "errors": list(errors)}
    return status, {"status": status, "message": message, "errors": list(errors)}


def _is_in(beginnings: Sequence[str], path: str) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in beginnings)
