"""Users, keys, tokens, credentials and the audit log in SQL."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Any

from sqlalchemy import Text, cast, func, literal, null, or_, select, update
from sqlalchemy import delete as delete_from

from callwright.control.accounts.model import (
    ApiKey,
    AuditEntry,
    Credential,
    KeySecret,
    Made,
    Membership,
    Role,
    SealedCredential,
    Token,
    TokenOwner,
    User,
    UserSecret,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.tables import (
    agents,
    api_keys,
    audit,
    credentials,
    enrolments,
    members,
    projects,
    tokens,
    users,
)
from callwright.control.storage.sql.writing import columns, contains, inserting, pattern, upsert, values_of

__all__ = ["SqlAccountStore"]

_ALIVE = users.c.deleted_at.is_(None)
_USER = columns(users, User)
_USERS = Statement(select(*_USER).where(_ALIVE).order_by(users.c.id))
_ALL_USERS = Statement(select(*_USER).order_by(users.c.id))
_USER_BY_ID = Statement(select(*_USER).where(_ALIVE, users.c.id == param("id")))
_USER_BY_NAME = Statement(select(*_USER).where(_ALIVE, users.c.username == param("username")))
_USER_SECRET = Statement(
    select(*columns(users, UserSecret))
    .where(
        _ALIVE,
        or_(
            func.lower(users.c.username) == param("name", users.c.username.type),
            func.lower(users.c.email) == param("name", users.c.username.type),
        ),
    )
    .order_by(users.c.id)
    .limit(literal(1))
)
_USER_FIELDS = [name for name in User.__struct_fields__ if name != "id"]
_ADD_USER = Statement(inserting(users, [*_USER_FIELDS, "password_hash"]).returning(*_USER))
_REPLACE_USER = Statement(
    update(users)
    .where(_ALIVE, users.c.id == param("id"))
    .values({name: param(name) for name in _USER_FIELDS})
    .returning(*_USER)
)
_SET_PASSWORD = Statement(
    update(users).where(_ALIVE, users.c.id == param("id")).values(password_hash=param("password_hash"))
)
_NOTE_LOGIN = Statement(update(users).where(users.c.id == param("id")).values(last_login_at=param("now")))
_COUNT_ADMINS = Statement(
    select(func.count()).select_from(users).where(_ALIVE, users.c.role == Role.ADMIN.value)
)

_MEMBERSHIPS = (
    select(
        members.c.user_id,
        users.c.username,
        members.c.project_id,
        projects.c.name,
        members.c.role,
        members.c.since,
    )
    .join(users, users.c.id == members.c.user_id)
    .join(projects, projects.c.id == members.c.project_id)
    .where(_ALIVE)
    .order_by(members.c.project_id, users.c.username)
)
_MEMBERSHIPS_BY = {
    (False, False): Statement(_MEMBERSHIPS),
    (True, False): Statement(
        _MEMBERSHIPS.where(members.c.user_id == param("user_id")), brief=True, shared=True
    ),
    (False, True): Statement(_MEMBERSHIPS.where(members.c.project_id == param("project_id"))),
    (True, True): Statement(
        _MEMBERSHIPS.where(members.c.user_id == param("user_id"), members.c.project_id == param("project_id"))
    ),
}
_PUT_MEMBER = upsert(
    members, ("user_id", "project_id"), ["user_id", "project_id", "role", "since"], unchanged=("since",)
)
_REMOVE_MEMBER = Statement(
    delete_from(members).where(
        members.c.user_id == param("user_id"), members.c.project_id == param("project_id")
    )
)

_OTHERS: dict[str, Any] = {"username": users.c.username, "project_name": projects.c.name}
_KEY = [_OTHERS[name] if name in _OTHERS else api_keys.c[name] for name in ApiKey.__struct_fields__]
_KEYS = (
    select(*_KEY)
    .join(users, users.c.id == api_keys.c.user_id)
    .outerjoin(projects, projects.c.id == api_keys.c.project_id)
    .order_by(api_keys.c.id)
)
_ALL_KEYS = Statement(_KEYS)
_KEYS_OF = Statement(_KEYS.where(api_keys.c.user_id == param("user_id")))
_KEY_BY_ID = Statement(_KEYS.where(api_keys.c.id == param("id")))
_KEY_BY_PUBLIC = Statement(_KEYS.where(api_keys.c.public_key == param("public_key")))
_KEY_SECRET = Statement(
    select(
        api_keys.c.id,
        api_keys.c.secret_hash,
        users.c.id,
        users.c.username,
        users.c.role,
        api_keys.c.last_used_at,
        api_keys.c.project_id,
    )
    .join(users, users.c.id == api_keys.c.user_id)
    .where(api_keys.c.public_key == param("public_key"), api_keys.c.revoked_at.is_(None), _ALIVE),
    brief=True,
    shared=True,
)
_ADD_KEY = Statement(
    inserting(
        api_keys,
        [
            "public_key",
            "secret_hash",
            "name",
            "user_id",
            "created_at",
            "project_id",
            "created_by",
            "made_by_key",
        ],
    ).returning(api_keys.c.id)
)
_REVOKE_KEY = Statement(
    update(api_keys)
    .where(api_keys.c.id == param("id"), api_keys.c.revoked_at.is_(None))
    .values(revoked_at=param("now"))
)
_KEYS_MADE_BY = Statement(
    select(api_keys.c.id).where(api_keys.c.made_by_key == param("key_id")).order_by(api_keys.c.id)
)
_MADE = (
    Statement(
        select(literal("key"), api_keys.c.id, api_keys.c.name, api_keys.c.user_id, api_keys.c.project_id)
        .where(api_keys.c.made_by_key == param("key_id"), api_keys.c.revoked_at.is_(None))
        .order_by(api_keys.c.id)
    ),
    Statement(
        select(literal("token"), tokens.c.id, tokens.c.name, tokens.c.user_id)
        .where(tokens.c.made_by_key == param("key_id"), tokens.c.revoked_at.is_(None))
        .order_by(tokens.c.id)
    ),
    Statement(
        select(literal("enrolment"), enrolments.c.id, enrolments.c.pool, null())
        .where(
            enrolments.c.made_by_key == param("key_id"),
            enrolments.c.used_at.is_(None),
            enrolments.c.expires_at > param("now"),
        )
        .order_by(enrolments.c.id)
    ),
    Statement(
        select(literal("agent"), agents.c.id, agents.c.name, null())
        .join(enrolments, enrolments.c.agent_id == agents.c.id)
        .where(enrolments.c.made_by_key == param("key_id"), agents.c.state != literal("revoked"))
        .order_by(agents.c.name)
    ),
)
_REVOKE_MADE = {
    "enrolment": Statement(
        update(enrolments)
        .where(enrolments.c.id == param("id"), enrolments.c.used_at.is_(None))
        .values(expires_at=param("now"))
    ),
    "agent": Statement(
        update(agents)
        .where(agents.c.id == param("id"), agents.c.state != literal("revoked"))
        .values(state=literal("revoked"))
    ),
}
_NOTE_KEY = Statement(update(api_keys).where(api_keys.c.id == param("id")).values(last_used_at=param("now")))

_TOKEN = columns(tokens, Token)
_TOKEN_OWNER = Statement(
    select(
        tokens.c.id,
        users.c.id,
        users.c.username,
        users.c.role,
        tokens.c.idle_seconds,
        tokens.c.last_used_at,
    )
    .join(users, users.c.id == tokens.c.user_id)
    .where(tokens.c.token_hash == param("token_hash"), tokens.c.revoked_at.is_(None), _ALIVE),
    brief=True,
    shared=True,
)
_TOKENS = Statement(
    select(*_TOKEN)
    .where(tokens.c.user_id == param("user_id"), tokens.c.revoked_at.is_(None), tokens.c.kind == "api")
    .order_by(tokens.c.id)
)
_ADD_TOKEN = Statement(
    inserting(
        tokens,
        [
            "kind",
            "name",
            "token_hash",
            "user_id",
            "idle_seconds",
            "created_at",
            "last_used_at",
            "made_by_key",
        ],
    ).returning(*_TOKEN)
)
_TOKEN_LIVES = Statement(select(tokens.c.id).where(tokens.c.id == param("id"), tokens.c.revoked_at.is_(None)))
_REVOKE_TOKEN = Statement(
    update(tokens)
    .where(tokens.c.id == param("id"), tokens.c.revoked_at.is_(None))
    .values(revoked_at=param("now"))
)
_REVOKE_TOKENS_OF = Statement(
    update(tokens)
    .where(
        tokens.c.user_id == param("user_id"),
        tokens.c.kind == param("kind"),
        tokens.c.revoked_at.is_(None),
    )
    .values(revoked_at=param("now"))
)
_NOTE_TOKEN = Statement(update(tokens).where(tokens.c.id == param("id")).values(last_used_at=param("now")))

_CREDENTIAL: list[Any] = [
    credentials.c.sealed_password
    if name == "has_password"
    else projects.c.name
    if name == "project_name"
    else credentials.c[name]
    for name in Credential.__struct_fields__
]
_SELECT_CREDENTIAL = select(*_CREDENTIAL).outerjoin(projects, projects.c.id == credentials.c.project_id)
_THIS_CREDENTIAL = (
    credentials.c.name == param("name"),
    credentials.c.project_id.is_not_distinct_from(param("project_id", credentials.c.project_id.type)),
)
_CREDENTIALS = Statement(
    _SELECT_CREDENTIAL.order_by(credentials.c.name, func.coalesce(credentials.c.project_id, 0))
)
_CREDENTIAL_BY_NAME = Statement(_SELECT_CREDENTIAL.where(*_THIS_CREDENTIAL))
_SEALED = Statement(select(*columns(credentials, SealedCredential)).order_by(credentials.c.name))
_CREDENTIAL_FIELDS = [name for name in SealedCredential.__struct_fields__ if name != "id"]
_ADD_CREDENTIAL = Statement(inserting(credentials, [*_CREDENTIAL_FIELDS, "created_at", "updated_at"]))
_CHANGE_CREDENTIAL = Statement(
    update(credentials)
    .where(*_THIS_CREDENTIAL)
    .values(
        {
            name: param(name)
            for name in (*_CREDENTIAL_FIELDS, "updated_at")
            if name not in ("name", "project_id")
        }
    )
)
_DELETE_CREDENTIAL = Statement(delete_from(credentials).where(*_THIS_CREDENTIAL))

_AUDIT_FIELDS = [name for name in AuditEntry.__struct_fields__ if name != "id"]
_ADD_AUDIT = Statement(inserting(audit, _AUDIT_FIELDS))
_AUDIT_FILTERS = {
    "before": audit.c.id < param("before"),
    "search": or_(
        contains(audit.c.action, "search"),
        contains(audit.c.object, "search"),
        contains(audit.c.username, "search"),
        contains(audit.c.detail, "search"),
        contains(literal("key ").concat(cast(audit.c.key_id, Text)), "search"),
    ),
}


@lru_cache(maxsize=4)
def _audit_page(filters: frozenset[str]) -> Statement:
    chosen = [_AUDIT_FILTERS[name] for name in sorted(filters)]
    query = select(*columns(audit, AuditEntry)).where(*chosen)
    return Statement(query.order_by(audit.c.id.desc()).limit(param("limit")))


def _credential(*values: Any) -> Credential:
    row = list(values)
    at = Credential.__struct_fields__.index("has_password")
    row[at] = int(bool(row[at]))
    return Credential(*row)


def _made(kind: str, id_: object, name: str, user_id: int | None, project_id: int | None = None) -> Made:
    return Made(kind, str(id_), name, user_id, project_id)


class SqlAccountStore:
    """AccountStore and AuditStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- users

    async def users(self, *, deleted: bool = False) -> list[User]:
        return await self._db.all(User, _ALL_USERS if deleted else _USERS)

    async def user(self, user_id: int) -> User | None:
        return await self._db.one(User, _USER_BY_ID, {"id": user_id})

    async def user_by_name(self, username: str) -> User | None:
        return await self._db.one(User, _USER_BY_NAME, {"username": username})

    async def user_secret(self, name: str) -> UserSecret | None:
        return await self._db.one(UserSecret, _USER_SECRET, {"name": name.lower()})

    async def add_user(self, user: User, password_hash: str) -> User:
        (added,) = await self._db.changed(User, _ADD_USER, values_of(user) | {"password_hash": password_hash})
        return added

    async def replace_user(self, user: User) -> User | None:
        rows = await self._db.changed(User, _REPLACE_USER, values_of(user))
        return rows[0] if rows else None

    async def set_password(self, user_id: int, password_hash: str) -> bool:
        return await self._db.run(_SET_PASSWORD, {"id": user_id, "password_hash": password_hash}) > 0

    async def note_login(self, user_id: int, now: float) -> None:
        await self._db.run(_NOTE_LOGIN, {"id": user_id, "now": now})

    async def count_admins(self) -> int:
        return int(await self._db.value(_COUNT_ADMINS))

    # -- members

    async def memberships(
        self, *, user_id: int | None = None, project_id: int | None = None
    ) -> list[Membership]:
        statement = _MEMBERSHIPS_BY[user_id is not None, project_id is not None]
        return await self._db.all(Membership, statement, {"user_id": user_id, "project_id": project_id})

    async def put_member(self, user_id: int, project_id: int, role: str, now: float) -> None:
        await self._db.run(
            _PUT_MEMBER, {"user_id": user_id, "project_id": project_id, "role": role, "since": now}
        )

    async def remove_member(self, user_id: int, project_id: int) -> bool:
        return await self._db.run(_REMOVE_MEMBER, {"user_id": user_id, "project_id": project_id}) > 0

    # -- keys

    async def key_secret(self, public_key: str) -> KeySecret | None:
        return await self._db.one(KeySecret, _KEY_SECRET, {"public_key": public_key})

    async def keys(self, user_id: int | None) -> list[ApiKey]:
        if user_id is None:
            return await self._db.all(ApiKey, _ALL_KEYS)
        return await self._db.all(ApiKey, _KEYS_OF, {"user_id": user_id})

    async def key(self, key_id: int) -> ApiKey | None:
        return await self._db.one(ApiKey, _KEY_BY_ID, {"id": key_id})

    async def key_by_public(self, public_key: str) -> ApiKey | None:
        return await self._db.one(ApiKey, _KEY_BY_PUBLIC, {"public_key": public_key})

    async def add_key(
        self,
        *,
        public_key: str,
        secret_hash: str,
        name: str,
        user_id: int,
        now: float,
        project_id: int | None = None,
        created_by: str = "",
        made_by_key: int | None = None,
    ) -> ApiKey:
        values: dict[str, Any] = {"public_key": public_key, "secret_hash": secret_hash, "name": name}
        values |= {"user_id": user_id, "project_id": project_id}
        values |= {"created_by": created_by, "made_by_key": made_by_key}
        async with self._db.transaction() as transaction:
            key_id = await transaction.value(_ADD_KEY, values | {"created_at": now})
            added = await transaction.one(ApiKey, _KEY_BY_ID, {"id": key_id})
        assert added is not None
        return added

    async def revoke_key(self, key_id: int, now: float) -> bool:
        return await self._db.run(_REVOKE_KEY, {"id": key_id, "now": now}) > 0

    async def made_by_key(self, key_id: int, now: float) -> list[Made]:
        found: list[Made] = []
        for statement in _MADE:
            found += await self._db.all(_made, statement, {"key_id": key_id, "now": now})
        return found

    async def key_ids_made_by(self, key_id: int) -> list[int]:
        return await self._db.all(int, _KEYS_MADE_BY, {"key_id": key_id})

    async def revoke_made(self, made: Made, now: float) -> bool:
        match made.kind:
            case "key":
                return await self.revoke_key(int(made.id), now)
            case "token":
                return await self.revoke_token(int(made.id), now)
            case "agent":
                return await self._db.run(_REVOKE_MADE["agent"], {"id": made.id}) > 0
            case _:
                return await self._db.run(_REVOKE_MADE[made.kind], {"id": int(made.id), "now": now}) > 0

    async def note_key_use(self, key_id: int, now: float) -> None:
        await self._db.run(_NOTE_KEY, {"id": key_id, "now": now})

    # -- tokens

    async def token_owner(self, token_hash: str) -> TokenOwner | None:
        return await self._db.one(TokenOwner, _TOKEN_OWNER, {"token_hash": token_hash})

    async def tokens(self, user_id: int) -> list[Token]:
        return await self._db.all(Token, _TOKENS, {"user_id": user_id})

    async def add_token(
        self,
        *,
        kind: str,
        name: str,
        token_hash: str,
        user_id: int,
        idle_seconds: float,
        now: float,
        made_by_key: int | None = None,
    ) -> Token:
        values: dict[str, Any] = {"kind": kind, "name": name, "token_hash": token_hash, "user_id": user_id}
        values |= {"made_by_key": made_by_key}
        values |= {"idle_seconds": idle_seconds, "created_at": now, "last_used_at": now}
        (added,) = await self._db.changed(Token, _ADD_TOKEN, values)
        return added

    async def token_lives(self, token_id: int) -> bool:
        return await self._db.value(_TOKEN_LIVES, {"id": token_id}) is not None

    async def revoke_token(self, token_id: int, now: float) -> bool:
        return await self._db.run(_REVOKE_TOKEN, {"id": token_id, "now": now}) > 0

    async def revoke_tokens_of(self, user_id: int, kind: str, now: float) -> None:
        await self._db.run(_REVOKE_TOKENS_OF, {"user_id": user_id, "kind": kind, "now": now})

    async def note_token_use(self, token_id: int, now: float) -> None:
        await self._db.run(_NOTE_TOKEN, {"id": token_id, "now": now})

    # -- credentials

    async def credentials(self) -> list[Credential]:
        return await self._db.all(_credential, _CREDENTIALS)

    async def sealed_credentials(self) -> list[SealedCredential]:
        return await self._db.all(SealedCredential, _SEALED)

    async def has_credential(self, name: str, project_id: int | None) -> bool:
        wanted = {"name": name, "project_id": project_id}
        return await self._db.one(_credential, _CREDENTIAL_BY_NAME, wanted) is not None

    async def put_credential(self, credential: SealedCredential, now: float, *, replace: bool) -> Credential:
        values = values_of(credential, without=("id",)) | {"created_at": now, "updated_at": now}
        async with self._db.transaction() as transaction:
            if not (replace and await transaction.run(_CHANGE_CREDENTIAL, values)):
                await transaction.run(_ADD_CREDENTIAL, values)
            kept = await transaction.one(_credential, _CREDENTIAL_BY_NAME, values)
        assert kept is not None
        return kept

    async def delete_credential(self, name: str, project_id: int | None = None) -> bool:
        return await self._db.run(_DELETE_CREDENTIAL, {"name": name, "project_id": project_id}) > 0

    # -- the audit log

    def transaction(self) -> AbstractAsyncContextManager[object]:
        return self._db.transaction()

    async def add_audit(self, entry: AuditEntry) -> None:
        await self._db.run(_ADD_AUDIT, values_of(entry))

    async def audit(self, before: int | None, limit: int, search: str | None) -> list[AuditEntry]:
        values: dict[str, Any] = {}
        if before is not None:
            values["before"] = before
        if search:
            values["search"] = pattern(search)
        return await self._db.all(AuditEntry, _audit_page(frozenset(values)), values | {"limit": limit})
