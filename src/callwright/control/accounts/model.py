"""Who may do what. Times are unix seconds (float); None: never."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from callwright.control.collections.model import Kind, Property, Resource
from callwright.control.errors import Invalid
from callwright.control.projects.model import Membership


def zone_named(name: str) -> ZoneInfo:
    """Of the IANA database. Raises Invalid."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise Invalid(
            f"There is no time zone {name[:64]!r}.", "Name it as in Europe/Vienna, or UTC.", field="time_zone"
        ) from None


class Right(StrEnum):
    READ = "read"  # see tests, runs, evidence, agents
    RUN = "run"  # start and stop runs, share a run
    CALL = "call"  # place, move and end calls of the own phone; a phone is in no project
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
    """Who asks. ``projects``: project id and role there, None for every project. ``rights``: what it may do
    somewhere. ``key_id``: the API key that was used, if one was; ``only_project``: what that is narrowed to.
    """

    user_id: int
    username: str
    role: Role
    rights: frozenset[Right]
    projects: tuple[tuple[int, Role], ...] | None = None
    key_id: int | None = None
    session_id: int | None = None
    only_project: int | None = None

    @property
    def person(self) -> int:
        """The user whose calls, messages, contacts and phones are one's own; 0, nobody's: a key that is
        narrowed to a project, since they belong to none."""
        return self.user_id if self.only_project is None else 0

    @property
    def project_ids(self) -> tuple[int, ...] | None:
        """What it may see; None: everything."""
        return None if self.projects is None else tuple(project_id for project_id, _ in self.projects)


def identity_of(
    user_id: int,
    username: str,
    role: str,
    memberships: Iterable[Membership] = (),
    *,
    key_id: int | None = None,
    session_id: int | None = None,
    only_project: int | None = None,
) -> Identity:
    """An administrator sees every project, all others those they are members of. A key that is narrowed to a
    project administers nothing, whoever owns it."""
    there = tuple((one.project_id, one.role) for one in memberships)
    return _identity(user_id, username, role, there, key_id, session_id, only_project)


@lru_cache(maxsize=1_024)  # the same few ask again and again
def _identity(
    user_id: int,
    username: str,
    role: str,
    memberships: tuple[tuple[int, str], ...],
    key_id: int | None,
    session_id: int | None,
    only_project: int | None,
) -> Identity:
    known = _role(role)
    rights = RIGHTS[known]
    projects: tuple[tuple[int, Role], ...] | None
    if known is Role.ADMIN:
        projects = None
        if only_project is not None:
            projects, rights = ((only_project, Role.MEMBER),), RIGHTS[Role.MEMBER]
    else:
        projects = tuple(
            (project_id, _role(role_there))
            for project_id, role_there in memberships
            if only_project is None or project_id == only_project
        )
        given = [RIGHTS[role_there] for _, role_there in projects]
        rights &= frozenset({Right.READ}).union(*given)
        rights -= {Right.ADMINISTER}
        if known is not Role.VIEWER and only_project is None:
            rights |= {Right.CALL}
    return Identity(user_id, username, known, rights, projects, key_id, session_id, only_project)


def _role(text: str) -> Role:
    return Role(text) if text in list(Role) else Role.VIEWER


#: What the platform does by itself (the demo run, the keeper) it does under this name.
PLATFORM = Identity(0, "callwright", Role.ADMIN, RIGHTS[Role.ADMIN])


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


class SecondFactor(msgspec.Struct, frozen=True):
    """``confirmed_at`` None: it was begun and does not count yet. ``last_step``: of the newest code that was
    used; older ones are refused. ``failures``: wrong codes since the last right one."""

    user_id: int
    sealed_secret: str
    created_at: float
    confirmed_at: float | None = None
    last_step: int = 0
    failures: int = 0
    failed_at: float | None = None


class CodeNeeded(msgspec.Struct, frozen=True):
    """The password was right, and a code is needed too: it comes with the nonce, within five minutes."""

    nonce: str


class ApiKey(msgspec.Struct, frozen=True):
    id: int
    public_key: str
    name: str
    user_id: int
    username: str
    created_at: float
    last_used_at: float | None
    revoked_at: float | None
    project_id: int | None = None  # what it is narrowed to
    project_name: str | None = None
    created_by: str = ""  # user name of who made it; empty: it is older than the record of that
    made_by_key: int | None = None  # the key with which it was made


class Made(msgspec.Struct, frozen=True):
    """What a key made, and what could be used still. ``kind``: key, token, enrolment or agent. ``id``: of the
    record; ``user_id``: its owner, None where only administrators may take it away."""

    kind: str
    id: str
    name: str
    user_id: int | None
    project_id: int | None = None


class KeySecret(msgspec.Struct, frozen=True):
    id: int
    secret_hash: str
    user_id: int
    username: str
    role: str
    last_used_at: float | None
    project_id: int | None = None


class TokenKind(StrEnum):
    SESSION = "session"  # of a login: dies after its idle time
    API = "api"  # made by its owner
    CODE = "code"  # the nonce of a login whose second factor is awaited; signs nobody in


class Token(msgspec.Struct, frozen=True):
    id: int
    kind: str
    name: str
    user_id: int
    idle_seconds: float
    created_at: float
    last_used_at: float
    revoked_at: float | None


#: What the chapter of telephony adds to the id of a user: there they begin at 100001.
TELEPHONY_IDS = 100_000

#: One's API tokens as a list. `token`: a handle, from which the secret cannot be told.
TOKENS = Resource(
    "apitokens",
    (
        Property("id", Kind.INTEGER),
        Property("name", Kind.TEXT),
        Property("token", Kind.TEXT),
        Property("expiry", Kind.NUMBER),
        Property("created_at", Kind.DATE),
        Property("last_used_at", Kind.DATE),
    ),
)


class TokenOwner(msgspec.Struct, frozen=True):
    id: int
    user_id: int
    username: str
    role: str
    idle_seconds: float
    last_used_at: float


def among(value: str, permitted: Sequence[str], field: str) -> None:
    """Raises Invalid."""
    if value not in permitted:
        raise Invalid(f"{value[:80]!r} is no {field}.", f"Permitted: {', '.join(permitted)}.", field=field)
