"""Who asks, and may they? Users, API keys, tokens, SIP credentials, the audit log."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from callwright.control.accounts.model import (
    ApiKey,
    AuditEntry,
    Category,
    Credential,
    Identity,
    Made,
    Membership,
    Project,
    Right,
    Role,
    SealedCredential,
    Token,
    TokenKind,
    User,
    identity_of,
)
from callwright.control.accounts.passwords import Passwords, check_password
from callwright.control.accounts.store import AccountStore
from callwright.control.audit.service import Audit
from callwright.control.credentials.vault import Vault
from callwright.control.errors import Conflict, Forbidden, Invalid, NotFound
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy

__all__ = ["KEY_PREFIX", "SECRET_PREFIX", "Accounts"]

KEY_PREFIX = "cwk_"
SECRET_PREFIX = "cws_"
SESSION_IDLE = 1800.0  # seconds
_NOTE_EVERY = 60.0  # seconds between two notes of "last used"
#: How the log says that what a key made was taken away.
_REVOKED = {
    "key": "key.revoked",
    "token": "token.revoked",
    "enrolment": "enrolment.revoked",
    "agent": "agent.revoke",
}
_NOBODY = hashlib.sha256(b"nobody").hexdigest()
_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_EMAIL = re.compile(r"[^@\s]{1,200}@[^@\s]{1,200}")
_CREDENTIAL_FIELDS = ("user", "auth_user", "domain", "display_name", "proxy", "transport")


class Accounts:
    """Secrets and tokens are shown once and kept as hashes: SHA-256 for what holds at least 128 random bits,
    argon2id for what people choose."""

    def __init__(
        self, store: AccountStore, vault: Vault, *, audit: Audit, clock: Clock, entropy: Entropy
    ) -> None:
        self._store, self._vault, self._clock, self._entropy = store, vault, clock, entropy
        self._audit = audit
        self._passwords = Passwords()

    # -- authentication

    async def authenticate_basic(self, name: str, secret: str) -> Identity | None:
        """Basic credentials: ``<public_key>:<secret>``, ``<user_id>:<token>``, or ``<username>:<password>``
        of a user of category API. Unknown names cost the same work as wrong secrets."""
        if not _keepable(name, secret):
            return None
        if name.startswith(KEY_PREFIX):
            return await self._by_key(name, secret)
        if name.isascii() and name.isdigit() and len(name) < 19:
            identity = await self.authenticate_token(secret)
            return identity if identity is not None and identity.user_id == int(name) else None
        user = await self._store.user_secret(name)
        usable = user is not None and user.category == Category.API
        if not await self._passwords.fits(user.password_hash if user and usable else None, secret):
            return None
        return await self._identity(user.id, user.username, user.role) if user else None

    async def _by_key(self, public_key: str, secret: str) -> Identity | None:
        found = await self._store.key_secret(public_key)
        hashed = _hash(secret)
        fits = hmac.compare_digest(found.secret_hash if found else _NOBODY, hashed)
        if found is None or not fits:
            return None
        now = self._clock.wall()
        if found.last_used_at is None or not 0 <= now - found.last_used_at <= _NOTE_EVERY:
            await self._store.note_key_use(found.id, now)
        return await self._identity(
            found.user_id, found.username, found.role, key_id=found.id, only_project=found.project_id
        )

    async def _identity(self, user_id: int, username: str, role: str, **more: Any) -> Identity:
        memberships = [] if role == Role.ADMIN else await self._store.memberships(user_id=user_id)
        return identity_of(user_id, username, role, memberships, **more)

    async def again(self, identity: Identity) -> Identity | None:
        """The same as it is now, for who stays connected; None when user, key or session are gone."""
        user = await self._store.user(identity.user_id)
        if user is None:
            return None
        if identity.key_id is not None:
            key = await self._store.key(identity.key_id)
            if key is None or key.revoked_at is not None:
                return None
        if identity.session_id is not None and not await self._store.token_lives(identity.session_id):
            return None
        return await self._identity(
            user.id,
            user.username,
            user.role,
            key_id=identity.key_id,
            session_id=identity.session_id,
            only_project=identity.only_project,
        )

    async def authenticate_token(self, token: str) -> Identity | None:
        """A session of a login, or an API token: ``X-Auth-Token`` or ``Bearer``. None when it is dead too."""
        if not _keepable(token):
            return None
        found = await self._store.token_owner(_hash(token))
        if found is None:
            return None
        now = self._clock.wall()
        idle = now - found.last_used_at
        if found.idle_seconds > 0 and idle > found.idle_seconds:
            return None
        often = min(_NOTE_EVERY, found.idle_seconds / 10 if found.idle_seconds else _NOTE_EVERY)
        if not 0 <= idle <= often:  # below 0: the clock was set back, and it is counted anew from here
            await self._store.note_token_use(found.id, now)
        return await self._identity(found.user_id, found.username, found.role, session_id=found.id)

    async def authenticate_bearer(self, text: str) -> Identity | None:
        """A token, or ``<public_key>:<secret>`` in one word."""
        public, colon, secret = text.partition(":")
        if colon and public.startswith(KEY_PREFIX):
            return await self.authenticate_basic(public, secret)
        return await self.authenticate_token(text)

    async def login(self, name: str, password: str, *, source: str = "") -> tuple[str, Identity] | None:
        """(session token, identity) for a username or e-mail address and its password. ``source``: the
        address it came from, for the audit log."""
        if not _keepable(name, password):
            return None
        user = await self._store.user_secret(name)
        if not await self._passwords.fits(user.password_hash if user else None, password) or user is None:
            await self.note_failed_login(name, source)
            return None
        now = self._clock.wall()
        async with self._audit.change():
            await self._store.note_login(user.id, now)
            token, row = await self._new_token(TokenKind.SESSION, "", user.id, SESSION_IDLE)
            identity = await self._identity(user.id, user.username, user.role, session_id=row.id)
            await self._audit.note(
                identity, "login.succeeded", f"user {user.username}", f"from {source}" if source else ""
            )
        return token, identity

    async def note_failed_login(self, name: str, source: str = "") -> None:
        """Of a name or public key whose secret was wrong, or that is nobody's; in the audit log."""
        if not _keepable(name):
            return
        if name.startswith(KEY_PREFIX):
            key = await self._store.key_by_public(name)
            user_id = key.user_id if key else 0
        else:
            user = await self._store.user_secret(name)
            user_id, name = (user.id, user.username) if user else (0, name)
        await self._audit.note_failed_login(user_id, name, source)

    async def logout(self, identity: Identity) -> None:
        if identity.session_id is not None:
            await self._store.revoke_token(identity.session_id, self._clock.wall())

    @staticmethod
    def can(identity: Identity, right: Right) -> bool:
        return identity.can(right)

    @staticmethod
    def require(identity: Identity, right: Right) -> None:
        """Raises Forbidden."""
        if not identity.can(right):
            raise Forbidden(
                f"The role {identity.role} of {identity.username} does not permit this; it needs {right}.",
                "Ask an administrator.",
            )

    # -- users

    async def users(self) -> list[User]:
        return await self._store.users()

    async def user(self, user_id: int) -> User:
        found = await self._store.user(user_id)
        if found is None:
            raise NotFound("user", user_id)
        return found

    async def user_by_name(self, username: str) -> User:
        found = await self._store.user_by_name(username)
        if found is None:
            raise NotFound("user", username)
        return found

    async def create_user(
        self,
        identity: Identity,
        *,
        username: str,
        password: str,
        email: str = "",
        name: str = "",
        role: str = Role.MEMBER,
        category: str = Category.NORMAL,
        time_zone: str = "UTC",
    ) -> User:
        """Raises Invalid, Conflict, Forbidden."""
        self.require(identity, Right.ADMINISTER)
        _check_user(username, email, role, category)
        check_password(password)
        hashed = await self._passwords.hash(password)
        now = self._clock.wall()
        user = User(0, username, name or username, email, role, category, time_zone, now, None, None)
        try:
            async with self._audit.change():
                added = await self._store.add_user(user, hashed)
                await self._audit.note(identity, "user.created", f"user {username}", role)
        except Conflict:
            raise Conflict(f"The name {username!r} or the address {email!r} is taken.") from None
        return added

    async def change_user(self, identity: Identity, user_id: int, **changes: Any) -> User:
        """``changes``: name, email, role, category, time_zone.

        Raises Invalid, Conflict, NotFound, Forbidden.
        """
        self.require(identity, Right.ADMINISTER)
        async with self._audit.change():
            user = await self.user(user_id)
            changed = msgspec.structs.replace(user, **changes)
            _check_user(changed.username, changed.email, changed.role, changed.category)
            if user.role == Role.ADMIN and changed.role != Role.ADMIN:
                await self._keep_an_admin()
            kept = await self._store.replace_user(changed)
            if kept is None:
                raise NotFound("user", user_id)
            what = ", ".join(sorted(changes))
            await self._audit.note(identity, "user.changed", f"user {user.username}", what)
        return kept

    async def delete_user(self, identity: Identity, user_id: int) -> None:
        """Keys, tokens and sessions of the user die at once; the record stays, with its time of deletion."""
        self.require(identity, Right.ADMINISTER)
        async with self._audit.change():
            user = await self.user(user_id)
            if user.role == Role.ADMIN:
                await self._keep_an_admin()
            await self._store.replace_user(msgspec.structs.replace(user, deleted_at=self._clock.wall()))
            await self._audit.note(identity, "user.deleted", f"user {user.username}")

    async def set_password(self, identity: Identity, user_id: int, password: str) -> None:
        """One's own, or an administrator anybody's. Every session of the user ends."""
        if identity.user_id != user_id or identity.only_project is not None:
            self.require(identity, Right.ADMINISTER)
        check_password(password)
        hashed = await self._passwords.hash(password)
        async with self._audit.change():
            if not await self._store.set_password(user_id, hashed):
                raise NotFound("user", user_id)
            await self._store.revoke_tokens_of(user_id, TokenKind.SESSION, self._clock.wall())
            await self._audit.note(identity, "user.password", f"user {user_id}")

    async def _keep_an_admin(self) -> None:
        if await self._store.count_admins() <= 1:
            raise Conflict("This is the last administrator.", "Make another one first.")

    # -- who is in which project

    async def memberships(
        self, identity: Identity, *, user_id: int | None = None, project: Project | None = None
    ) -> list[Membership]:
        """Of a project to whoever sees it; of a user to administrators and to the user; all to the former."""
        own = user_id == identity.user_id and project is None
        if not own and (project is None or not identity.sees(project.id)):
            self.require(identity, Right.ADMINISTER)
        found = await self._store.memberships(
            user_id=user_id, project_id=None if project is None else project.id
        )
        return [row for row in found if identity.sees(row.project_id)]

    async def put_member(self, identity: Identity, user: User, project: Project, role: str) -> None:
        """Makes the user a member, or gives a member another role there. Raises Invalid, Forbidden."""
        self.require(identity, Right.ADMINISTER)
        _among(role, [one for one in Role if one is not Role.ADMIN], "role in a project")
        if user.role == Role.ADMIN:
            raise Invalid(f"{user.username} is an administrator and sees every project.", field="username")
        async with self._audit.change():
            await self._store.put_member(user.id, project.id, role, self._clock.wall())
            what = f"{role} of {project.name}"
            await self._audit.note(identity, "member.put", f"user {user.username}", what)

    async def remove_member(self, identity: Identity, user: User, project: Project) -> None:
        """Raises NotFound when the user is no member."""
        self.require(identity, Right.ADMINISTER)
        async with self._audit.change():
            if not await self._store.remove_member(user.id, project.id):
                raise NotFound(f"member of {project.name}", user.username)
            what = f"of {project.name}"
            await self._audit.note(identity, "member.removed", f"user {user.username}", what)

    # -- API keys

    async def create_key(
        self,
        name: str,
        user: User,
        *,
        identity: Identity | None = None,
        project: Project | None = None,
    ) -> tuple[str, str]:
        """(public key, secret); the secret is told only now. ``identity``: who makes it, the user itself
        unless said otherwise. ``project``: the key is good there alone, and administers nothing. A key that
        is narrowed makes keys of its own project alone.

        Raises Invalid, NotFound, Forbidden.
        """
        maker = identity or await self._identity(user.id, user.username, user.role)
        if maker.user_id != user.id:
            self.require(maker, Right.ADMINISTER)
        owner = await self._identity(user.id, user.username, user.role)
        if project is not None and not (maker.sees(project.id) and owner.sees(project.id)):
            raise NotFound("project", project.name)
        narrowed = project.id if project is not None else maker.only_project
        if not name.strip() or len(name) > 200:
            raise Invalid("A key has a name of 1 to 200 characters, such as ci.", field="name")
        public, secret = KEY_PREFIX + self._entropy(10).hex(), SECRET_PREFIX + self._entropy(24).hex()
        async with self._audit.change():
            key = await self._store.add_key(
                public_key=public,
                secret_hash=_hash(secret),
                name=name.strip(),
                user_id=user.id,
                now=self._clock.wall(),
                project_id=narrowed,
                created_by=maker.username,
                made_by_key=maker.key_id,
            )
            of = f" of {user.username}" if maker.user_id != user.id else ""
            where = f", for {key.project_name} alone" if key.project_name else ""
            await self._audit.note(maker, "key.created", f"key {key.id}", f"{key.name}{of}{where}")
        return public, secret

    async def list_keys(self, identity: Identity, *, of_everybody: bool = False) -> list[ApiKey]:
        """One's own, or for an administrator everybody's."""
        if of_everybody:
            self.require(identity, Right.ADMINISTER)
        found = await self._store.keys(None if of_everybody else identity.user_id)
        return [key for key in found if identity.only_project in (None, key.project_id)]

    async def revoke_key(
        self, identity: Identity, key: int | str, *, with_made: bool = False
    ) -> Sequence[Made]:
        """By id or public key. ``with_made``: and what it made, see `made_by`, which is returned; agents
        among it are to be told. Raises NotFound, also for somebody else's."""
        found = await self._key(identity, key)
        now = self._clock.wall()
        async with self._audit.change():
            if await self._store.revoke_key(found.id, now):
                await self._audit.note(identity, "key.revoked", f"key {found.id}", found.name)
            made = await self._made(identity, found.id) if with_made else []
            for one in made:
                if await self._store.revoke_made(one, now):
                    what = f"{one.name}, made by key {found.id}".removeprefix(", ")
                    await self._audit.note(identity, _REVOKED[one.kind], f"{one.kind} {one.id}", what)
        return made

    async def made_by(self, identity: Identity, key: int | str) -> Sequence[Made]:
        """What can be used still of all that the key made, by itself or by a key that it made: keys, tokens,
        tokens for agents, and agents that enrolled with those. Raises NotFound as `revoke_key`."""
        return await self._made(identity, (await self._key(identity, key)).id)

    async def _made(self, identity: Identity, key_id: int) -> list[Made]:
        made: list[Made] = []
        known, waiting = {key_id}, [key_id]
        while waiting:
            maker = waiting.pop()
            made += await self._store.made_by_key(maker, self._clock.wall())
            more = [one for one in await self._store.key_ids_made_by(maker) if one not in known]
            known.update(more)
            waiting += more
        if identity.can(Right.ADMINISTER):
            return made
        return [
            one
            for one in made
            if one.user_id == identity.user_id and identity.only_project in (None, one.project_id)
        ]

    async def _key(self, identity: Identity, key: int | str) -> ApiKey:
        found = await (self._store.key(key) if isinstance(key, int) else self._store.key_by_public(key))
        mine = found is not None and (
            found.user_id == identity.user_id and identity.only_project in (None, found.project_id)
        )
        if found is None or not (mine or identity.can(Right.ADMINISTER)):
            raise NotFound("key", key)
        return found

    # -- tokens

    async def create_token(
        self, identity: Identity, name: str, idle_seconds: float = 0.0
    ) -> tuple[str, Token]:
        """An API token (40 hex digits), told only now; 0: it never dies of idleness.

        Raises Conflict, Invalid.
        """
        if identity.only_project is not None:
            raise Forbidden("A key of one project makes no tokens.", "Log in, and make it as yourself.")
        if not name.strip() or len(name) > 200:
            raise Invalid("A token has a name of 1 to 200 characters.", field="name")
        if not 0 <= idle_seconds <= 1e10:
            raise Invalid("expiry is the idle time in seconds, 0 for never.", field="expiry")
        try:
            async with self._audit.change():
                token, row = await self._new_token(
                    TokenKind.API, name.strip(), identity.user_id, idle_seconds, identity.key_id
                )
                await self._audit.note(identity, "token.created", f"token {row.id}", row.name)
        except Conflict:
            raise Conflict(f"You have a token {name.strip()!r} already.") from None
        return token, row

    async def tokens(self, identity: Identity) -> list[Token]:
        return await self._store.tokens(identity.user_id)

    async def revoke_token(self, identity: Identity, token: int | str) -> None:
        """By id, or the token itself. Raises NotFound."""
        mine = {row.id for row in await self._store.tokens(identity.user_id)}
        if isinstance(token, str):
            owner = await self._store.token_owner(_hash(token)) if _keepable(token) else None
            token = owner.id if owner else 0
        async with self._audit.change():
            if token not in mine or not await self._store.revoke_token(token, self._clock.wall()):
                raise NotFound("token", token)
            await self._audit.note(identity, "token.revoked", f"token {token}")

    async def _new_token(
        self,
        kind: TokenKind,
        name: str,
        user_id: int,
        idle_seconds: float,
        made_by_key: int | None = None,
    ) -> tuple[str, Token]:
        token = self._entropy(20).hex()
        row = await self._store.add_token(
            kind=kind,
            name=name,
            token_hash=_hash(token),
            user_id=user_id,
            idle_seconds=idle_seconds,
            now=self._clock.wall(),
            made_by_key=made_by_key,
        )
        return token, row

    # -- SIP credentials

    async def credentials(self, identity: Identity) -> list[Credential]:
        """Of the projects that are seen, and those of all."""
        found = await self._store.credentials()
        return [row for row in found if row.project_id is None or identity.sees(row.project_id)]

    async def credential(self, identity: Identity, name: str, project_id: int | None = None) -> Credential:
        """By name: the only one, or that of the project, or the shared one. Raises NotFound, Conflict."""
        found = [row for row in await self.credentials(identity) if row.name == name]
        if project_id is not None:
            found = [row for row in found if row.project_id == project_id]
        if len(found) > 1 and identity.project_ids is not None and len(identity.project_ids) == 1:
            found = [row for row in found if row.project_id is not None]
        if not found:
            raise NotFound("credential", name)
        if len(found) > 1:
            places = ", ".join(row.project_name or "all projects" for row in found)
            raise Conflict(f"There are several credentials {name!r}: of {places}.", "Say of which project.")
        return found[0]

    def own_project(self, identity: Identity) -> int | None:
        """To which project a new SIP account goes of which nothing is said: an administrator's is for all.

        Raises Invalid when it must be said, Forbidden.
        """
        if identity.project_ids is None:
            return None
        mine = [one for one in identity.project_ids if identity.can_in(Right.CREDENTIALS, one)]
        if len(mine) > 1:
            raise Invalid("Say to which project the account belongs.", field="project")
        if not mine:
            self.require(msgspec.structs.replace(identity, rights=frozenset()), Right.CREDENTIALS)
        return mine[0]

    def _require_credentials(self, identity: Identity, project_id: int | None) -> None:
        """Those of all projects are an administrator's."""
        self.require(identity, Right.CREDENTIALS)
        if identity.project_ids is None:
            return
        if project_id is None:
            raise Forbidden("This account belongs to all projects.", "Ask an administrator to change it.")
        if not identity.sees(project_id):
            raise NotFound("project", project_id)
        if not identity.can_in(Right.CREDENTIALS, project_id):
            raise Forbidden(
                f"The role of {identity.username} in this project does not permit this; "
                f"it needs {Right.CREDENTIALS}.",
                "Ask an administrator.",
            )

    async def put_credential(
        self,
        identity: Identity,
        name: str,
        fields: Mapping[str, str],
        *,
        replace: bool = False,
        project_id: int | None = None,
    ) -> Credential:
        """``fields``: user, password, auth_user, domain, display_name, proxy, transport; what is not given is
        empty, but with ``replace`` an absent password stays. ``project_id`` None: for every project.

        Raises Invalid, Conflict, Forbidden.
        """
        self._require_credentials(identity, project_id)
        if not name.strip() or len(name) > 128:
            raise Invalid("A credential has a name of 1 to 128 characters.", field="name")
        if name.strip() == "import":
            raise Invalid(
                "No credential can be called 'import': it has a meaning in addresses.", field="name"
            )
        for field in fields:
            if field not in (*_CREDENTIAL_FIELDS, "password"):
                permitted = ", ".join((*_CREDENTIAL_FIELDS, "password"))
                raise Invalid(
                    f"{field!r} is not part of an account.", f"Permitted: {permitted}.", field=field
                )
        if not fields.get("user"):
            raise Invalid("A credential needs a user.", field="user")
        sealed = ""
        if fields.get("password"):
            sealed = self._vault.seal(fields["password"], _sealed_for(name, project_id))
        elif replace and "password" not in fields:
            known = await self._store.sealed_credentials()
            before = [row for row in known if (row.name, row.project_id) == (name, project_id)]
            sealed = before[0].sealed_password if before else ""
        given = {field: fields.get(field, "") for field in _CREDENTIAL_FIELDS}
        row = SealedCredential(id=0, name=name, sealed_password=sealed, project_id=project_id, **given)
        try:
            async with self._audit.change():
                there = await self._store.has_credential(name, project_id)
                kept = await self._store.put_credential(row, self._clock.wall(), replace=replace)
                action = "credential.changed" if there else "credential.created"
                await self._audit.note(identity, action, name)
        except Conflict:
            raise Conflict(f"There is a credential {name!r} already.") from None
        return kept

    async def delete_credential(self, identity: Identity, name: str, project_id: int | None = None) -> None:
        self._require_credentials(identity, project_id)
        async with self._audit.change():
            if not await self._store.delete_credential(name, project_id):
                raise NotFound("credential", name)
            await self._audit.note(identity, "credential.deleted", name)

    async def revealed_credentials(self, project_id: int | None = None) -> dict[str, dict[str, str]]:
        """The accounts of a project with their passwords, for jobs alone: name to fields, as
        scenario.document.load takes them. Its own go before those of all. Never shown, never logged."""
        revealed = {}
        rows = await self._store.sealed_credentials()
        for row in sorted(rows, key=lambda row: row.project_id is not None):
            if row.project_id not in (None, project_id):
                continue
            fields = {field: getattr(row, field) for field in _CREDENTIAL_FIELDS if getattr(row, field)}
            if row.sealed_password:
                context = _sealed_for(row.name, row.project_id)
                if self._vault.opens(row.sealed_password, context):
                    fields["password"] = self._vault.open(row.sealed_password, context)
            revealed[row.name] = fields
        return revealed

    async def unopened_credentials(self) -> list[tuple[str, int | None]]:
        """Name and project of the accounts whose password was sealed with another key."""
        return [
            (row.name, row.project_id)
            for row in await self._store.sealed_credentials()
            if row.sealed_password
            and not self._vault.opens(row.sealed_password, _sealed_for(row.name, row.project_id))
        ]

    # -- the audit log

    async def audit_log(
        self, identity: Identity, *, after: int | None = None, limit: int = 100, search: str | None = None
    ) -> list[AuditEntry]:
        """Newest first; ``after``: the id of the last row of the page before."""
        self.require(identity, Right.ADMINISTER)
        return await self._store.audit(after, max(1, min(limit, 1000)), search)


def _sealed_for(name: str, project_id: int | None) -> str:
    """What a password is bound to: moved to another record it does not open."""
    return f"credential/{name}" if project_id is None else f"credential/{project_id}/{name}"


def _keepable(*texts: str) -> bool:
    return all(len(text) <= 4096 and "\0" not in text and _encodes(text) for text in texts)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _check_user(username: str, email: str, role: str, category: str) -> None:
    if not _USERNAME.fullmatch(username) or username.startswith(KEY_PREFIX) or username.isdigit():
        raise Invalid(
            f"Invalid user name {username[:80]!r}: use letters, digits and . _ @ + -, not digits alone.",
            field="username",
        )
    if email and not _EMAIL.fullmatch(email):
        raise Invalid(f"{email[:80]!r} is not an e-mail address.", field="email")
    _among(role, list(Role), "role")
    _among(category, list(Category), "category")


def _among(value: str, permitted: Sequence[str], field: str) -> None:
    if value not in permitted:
        raise Invalid(f"{value[:80]!r} is no {field}.", f"Permitted: {', '.join(permitted)}.", field=field)
