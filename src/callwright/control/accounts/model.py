"""Who may do what. Times are unix seconds (float); None: never."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Right(StrEnum):
    READ = "read"  # see tests, runs, evidence, agents
    RUN = "run"  # start and stop runs, share a run
    EDIT = "edit"  # change tests
    CREDENTIALS = "credentials"  # SIP accounts (their secrets are never shown to anybody)
    ADMINISTER = "administer"  # users, keys of others, targets, agents, the kill switch, the audit log


class Role(StrEnum):
    VIEWER = "viewer"
    RUNNER = "runner"  # what CI needs
    MEMBER = "member"
    ADMIN = "admin"


RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.READ}),
    Role.RUNNER: frozenset({Right.READ, Right.RUN}),
    Role.MEMBER: frozenset({Right.READ, Right.RUN, Right.EDIT, Right.CREDENTIALS}),
    Role.ADMIN: frozenset(Right),
}


class Category(StrEnum):
    """Of a user, as the monitoring chapter names them."""

    ADMIN = "Admin"
    NORMAL = "Normal"
    API = "API"  # may use the name and password as Basic credentials


class Identity(msgspec.Struct, frozen=True):
    """Who asks. ``project_ids`` None: every project. ``key_id``: the API key that was used, if one was."""

    user_id: int
    username: str
    role: Role
    rights: frozenset[Right]
    project_ids: tuple[int, ...] | None = None
    key_id: int | None = None
    session_id: int | None = None

    def can(self, right: Right) -> bool:
        return right in self.rights


#: What the platform does by itself (the demo run, the keeper) it does under this name.
PLATFORM = Identity(0, "callwright", Role.ADMIN, RIGHTS[Role.ADMIN])


class Project(msgspec.Struct, frozen=True):
    id: int
    name: str
    description: str
    created_at: float


class User(msgspec.Struct, frozen=True):
    id: int
    username: str
    name: str
    email: str
    role: str
    category: str
    time_zone: str
    created_at: float
    last_login_at: float | None
    deleted_at: float | None


class UserSecret(msgspec.Struct, frozen=True):
    """A user with the hash of the password (argon2id); never leaves the service."""

    id: int
    username: str
    role: str
    category: str
    password_hash: str


class ApiKey(msgspec.Struct, frozen=True):
    id: int
    public_key: str
    name: str
    user_id: int
    username: str
    created_at: float
    last_used_at: float | None
    revoked_at: float | None


class KeySecret(msgspec.Struct, frozen=True):
    id: int
    secret_hash: str
    user_id: int
    username: str
    role: str
    last_used_at: float | None


class TokenKind(StrEnum):
    SESSION = "session"  # of a login: dies after its idle time
    API = "api"  # made by its owner


class Token(msgspec.Struct, frozen=True):
    id: int
    kind: str
    name: str
    user_id: int
    idle_seconds: float
    created_at: float
    last_used_at: float
    revoked_at: float | None


class TokenOwner(msgspec.Struct, frozen=True):
    id: int
    user_id: int
    username: str
    role: str
    idle_seconds: float
    last_used_at: float


class Credential(msgspec.Struct, frozen=True):
    """A SIP account that documents name (``credentials: office``). The password is never in here."""

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


class AuditEntry(msgspec.Struct, frozen=True):
    id: int
    at: float
    user_id: int
    username: str
    action: str  # "key.created", "kill.engaged"
    object: str  # "key 3", "test basic_call"
    detail: str
