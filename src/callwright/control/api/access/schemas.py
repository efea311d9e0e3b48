"""What the chapter of accounts answers with."""

from __future__ import annotations

import msgspec


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A SIP account. Its password never leaves. `project` null: every project may use it."""

    id: int
    name: str
    user: str
    auth_user: str
    domain: str
    display_name: str
    proxy: str
    transport: str
    has_password: bool
    created_at: str
    updated_at: str
    project: str | None


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    created: int
    updated: int


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """`secret` is shown once, in the answer that makes it. `project`: the only project in which it works.
    `created_by`: the user who made it, with the key `made_by_key` if it was one."""

    id: int
    public_key: str
    name: str
    user: str
    project: str | None
    created_at: str
    last_used_at: str | None
    revoked_at: str | None
    created_by: str
    made_by_key: int | None
    secret: str | None = None


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a key made and that still works. `kind`: key, token, enrolment (a token for an agent)
    or agent (that enrolled with one)."""

    kind: str
    id: str
    name: str


class RevokedKey(msgspec.Struct, frozen=True, kw_only=True):
    """`also`: what was revoked with it; `left`: what the key made and what still works."""

    deleted: str
    also: list[Made]
    left: list[Made]


class InProject(msgspec.Struct, frozen=True, kw_only=True):
    project: str
    role: str


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody in a project. Administrators see every project and are members of none."""

    username: str
    role: str
    since: str


class User(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    username: str
    name: str
    email: str
    role: str
    category: str
    time_zone: str
    created_at: str
    last_login_at: str | None
    projects: list[InProject]


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """`role`: your role there. `max_running`: runs that agents carry out at once; `max_queued`: runs that
    may wait. null: the platform's own limits. `keep_runs_days`: runs that were started longer ago are
    removed; null: they stay."""

    id: int
    name: str
    description: str
    created_at: str
    role: str
    max_running: int | None
    max_queued: int | None
    keep_runs_days: int | None


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """`key_id`: the API key that was used, if one was."""

    id: int
    at: str
    user: str
    action: str
    object: str
    detail: str
    key_id: int | None
