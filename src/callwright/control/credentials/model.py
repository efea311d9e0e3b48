"""SIP accounts. Times are unix seconds (float)."""

from __future__ import annotations

import msgspec


class Credential(msgspec.Struct, frozen=True):
    """A SIP account that documents name (``credentials: office``). The password is never in here.
    ``project_id`` None: every project may use it."""

    id: int
    name: str
    user: str
    auth_user: str
    domain: str
    display_name: str
    proxy: str
    transport: str
    has_password: int
    created_at: float
    updated_at: float
    project_id: int | None = None
    project_name: str | None = None


class SealedCredential(msgspec.Struct, frozen=True):
    id: int
    name: str
    user: str
    auth_user: str
    domain: str
    display_name: str
    proxy: str
    transport: str
    sealed_password: str
    project_id: int | None = None
