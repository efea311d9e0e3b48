"""Documents of runs, read with what a run was started with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from callwright.control.errors import Conflict
from callwright.control.runs.records import CredentialSource
from callwright.control.tests.reading import WAITING, beside
from callwright.scenario.document import load
from callwright.scenario.scenario import Scenario

__all__ = ["as_json", "read_beside", "read_scenario", "require_opened"]


def read_scenario(
    document: str, overrides: Mapping[str, Any], credentials: Mapping[str, Mapping[str, str]]
) -> Scenario:
    """The document with its overrides. A test cannot read the platform's own environment.

    Raises DocumentError.
    """
    accounts = {name: dict(account) for name, account in credentials.items()}
    return _read_cached(document, as_json(dict(overrides)), as_json(accounts))


async def read_beside(
    document: str,
    overrides: Mapping[str, Any],
    credentials: Mapping[str, Mapping[str, str]],
    *,
    most: int = WAITING,
) -> Scenario:
    """`read_scenario`, without holding up the loop."""
    return await beside(len(document), lambda: read_scenario(document, overrides, credentials), most=most)


@lru_cache(maxsize=256)
def _read_cached(document: str, overrides: str, credentials: str) -> Scenario:
    return load(
        document,
        overrides=msgspec.json.decode(overrides),
        environment={},
        credentials=msgspec.json.decode(credentials),
    )


def as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def require_opened(credentials: CredentialSource, scenario: Scenario, project_id: int | None) -> None:
    """Raises Conflict for an account whose password does not open: without it the test would be wrong."""
    named = {party.credentials for party in scenario.parties.values() if party.credentials}
    if not named:
        return
    for name, owner in await credentials.unopened():
        if name in named and owner in (None, project_id):
            raise Conflict(
                f"The password of the SIP account {name!r} does not open with secret.key.",
                "Set it again, or restore secret.key from the backup.",
            )
