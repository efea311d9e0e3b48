"""Who asks: users, and what they sign in with."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from callwright.control.accounts.authorize import authorize
from callwright.control.accounts.model import (
    TELEPHONY_IDS,
    Category,
    CodeNeeded,
    Identity,
    Right,
    Role,
    Token,
    TokenKind,
    User,
    among,
    identity_of,
    zone_named,
)
from callwright.control.accounts.passwords import Passwords, check_password
from callwright.control.accounts.second_factors import SecondFactors
from callwright.control.accounts.secrets import KEY_PREFIX, digest, keepable
from callwright.control.accounts.store import AccountStore
from callwright.control.audit.service import Audit
from callwright.control.errors import Conflict, Invalid, NotFound
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy

__all__ = ["Accounts"]

SESSION_IDLE = 1800.0  # seconds
_CODE_IDLE = 300.0  # seconds from the password to the code
_NOTE_EVERY = 60.0  # seconds between two notes of "last used"
_NOBODY = digest("nobody")
_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_EMAIL = re.compile(r"[^@\s]{1,200}@[^@\s]{1,200}")


class Accounts:
    """Secrets and tokens are shown once and kept as hashes: SHA-256 for what holds at least 128 random bits,
    argon2id for what people choose."""

    def __init__(
        self,
        store: AccountStore,
        factors: SecondFactors,
        *,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store, self._clock, self._entropy = store, clock, entropy
        self._factors = factors
        self._audit = audit
        self._passwords = Passwords()

    # -- authentication

    async def authenticate_basic(self, name: str, secret: str) -> Identity | None:
        """Basic credentials: ``<public_key>:<secret>``, ``<user_id>:<token>``, or ``<username>:<password>``
        of a user of category API, who has no second factor. Unknown names cost the same work as wrong
        secrets."""
        if not keepable(name, secret):
            return None
        if name.startswith(KEY_PREFIX):
            return await self._by_key(name, secret)
        if name.isascii() and name.isdigit() and len(name) < 19:
            identity = await self.authenticate_token(secret)
            known = identity is not None and int(name) in (identity.user_id, TELEPHONY_IDS + identity.user_id)
            return identity if known else None
        user = await self._store.user_secret(name)
        usable = user is not None and user.category == Category.API
        if not await self._passwords.fits(user.password_hash if user and usable else None, secret):
            return None
        if user is None or await self._factors.is_on(user.id):
            return None
        return await self.identity(user.id, user.username, user.role)

    async def _by_key(self, public_key: str, secret: str) -> Identity | None:
        found = await self._store.key_secret(public_key)
        hashed = digest(secret)
        fits = hmac.compare_digest(found.secret_hash if found else _NOBODY, hashed)
        if found is None or not fits:
            return None
        now = self._clock.wall()
        if found.last_used_at is None or not 0 <= now - found.last_used_at <= _NOTE_EVERY:
            await self._store.note_key_use(found.id, now)
        return await self.identity(
            found.user_id, found.username, found.role, key_id=found.id, only_project=found.project_id
        )

    async def identity(self, user_id: int, username: str, role: str, **more: Any) -> Identity:
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
        return await self.identity(
            user.id,
            user.username,
            user.role,
            key_id=identity.key_id,
            session_id=identity.session_id,
            only_project=identity.only_project,
        )

    async def authenticate_token(self, token: str) -> Identity | None:
        """A session of a login, or an API token: ``X-Auth-Token`` or ``Bearer``. None when it is dead too."""
        if not keepable(token):
            return None
        found = await self._store.token_owner(digest(token))
        if found is None:
            return None
        now = self._clock.wall()
        idle = now - found.last_used_at
        if found.idle_seconds > 0 and idle > found.idle_seconds:
            return None
        often = min(_NOTE_EVERY, found.idle_seconds / 10 if found.idle_seconds else _NOTE_EVERY)
        if not 0 <= idle <= often:  # below 0: the clock was set back, and it is counted anew from here
            await self._store.note_token_use(found.id, now)
        return await self.identity(found.user_id, found.username, found.role, session_id=found.id)

    async def authenticate_bearer(self, text: str) -> Identity | None:
        """A token, or ``<public_key>:<secret>`` in one word."""
        public, colon, secret = text.partition(":")
        if colon and public.startswith(KEY_PREFIX):
            return await self.authenticate_basic(public, secret)
        return await self.authenticate_token(text)

    async def login(
        self, name: str, password: str, *, source: str = ""
    ) -> tuple[str, Identity] | CodeNeeded | None:
        """(session token, identity) for a username or e-mail address and its password; with a second factor
        what `login_by_code` goes on with. ``source``: the address it came from, for the audit log."""
        if not keepable(name, password):
            return None
        user = await self._store.user_secret(name)
        if not await self._passwords.fits(user.password_hash if user else None, password) or user is None:
            await self.note_failed_login(name, source)
            return None
        if await self._factors.is_on(user.id):
            nonce, _ = await self.new_token(TokenKind.CODE, "", user.id, _CODE_IDLE)
            return CodeNeeded(nonce)
        async with self._audit.change():
            return await self._signed_in(user.id, user.username, user.role, source)

    async def login_by_code(self, nonce: str, code: str, *, source: str = "") -> tuple[str, Identity] | None:
        """The second step of `login`; None when the code is wrong. Raises Invalid when there is no such
        login, or no longer; TooManyGuesses."""
        over = Invalid("This login is over.", "Send e-mail address and password again.", field="nonce")
        if not keepable(nonce, code):
            raise over
        found = await self._store.nonce_owner(digest(nonce))
        if found is None or not 0 <= self._clock.wall() - found.last_used_at <= found.idle_seconds:
            raise over
        if not await self._factors.accepts(found.user_id, code):
            await self.note_failed_login(found.username, source)
            return None
        async with self._audit.change():
            if not await self._store.revoke_token(found.id, self._clock.wall()):
                raise over
            return await self._signed_in(found.user_id, found.username, found.role, source)

    async def _signed_in(self, user_id: int, username: str, role: str, source: str) -> tuple[str, Identity]:
        await self._store.note_login(user_id, self._clock.wall())
        token, row = await self.new_token(TokenKind.SESSION, "", user_id, SESSION_IDLE)
        identity = await self.identity(user_id, username, role, session_id=row.id)
        where = f"from {source}" if source else ""
        await self._audit.note(identity, "login.succeeded", f"user {username}", where)
        return token, identity

    async def is_password(self, identity: Identity, password: str) -> bool:
        """Whether it is that of who asks; before something that a session alone does not permit."""
        user = await self._store.user_secret(identity.username) if keepable(password) else None
        mine = user is not None and user.id == identity.user_id
        return await self._passwords.fits(user.password_hash if user and mine else None, password)

    async def note_failed_login(self, name: str, source: str = "") -> None:
        """Of a name or public key whose secret was wrong, or that is nobody's; in the audit log."""
        if not keepable(name):
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

    async def new_token(
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
            token_hash=digest(token),
            user_id=user_id,
            idle_seconds=idle_seconds,
            now=self._clock.wall(),
            made_by_key=made_by_key,
        )
        return token, row

    # -- users

    async def users(self, *, deleted: bool = False) -> list[User]:
        """``deleted``: those too that were."""
        return await self._store.users(deleted=deleted)

    async def master(self) -> int | None:
        """The id of the oldest administrator."""
        return next((user.id for user in await self._store.users() if user.role == Role.ADMIN), None)

    async def any_user(self, user_id: int) -> User:
        """Deleted or not. Raises NotFound."""
        found = next((user for user in await self._store.users(deleted=True) if user.id == user_id), None)
        if found is None:
            raise NotFound("user", user_id)
        return found

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
        password: str | None,
        email: str = "",
        name: str = "",
        role: str = Role.MEMBER,
        category: str | None = None,
        time_zone: str = "UTC",
    ) -> User:
        """``password`` None: they cannot log in until one is set. ``category`` None: that of the role. Raises
        Invalid, Conflict, Forbidden."""
        authorize(identity, Right.ADMINISTER)
        category = category or _category_of(role)
        _check_user(username, email, role, category)
        zone_named(time_zone)
        hashed = ""
        if password is not None:
            check_password(password)
            hashed = await self._passwords.hash(password)
        now = self._clock.wall()
        user = User(0, username, name or username, email, role, category, time_zone, now, None, None)
        try:
            async with self._audit.change():
                added = await self._store.add_user(user, hashed)
                await self._audit.note(identity, "user.created", f"user {username}", role)
        except Conflict:
            why = f"The name {username!r} or the address {email!r} is taken."
            raise Conflict(why, field="email") from None
        return added

    async def change_user(self, identity: Identity, user_id: int, **changes: Any) -> User:
        """``changes``: name, email, role, category, time_zone. A category that says the role follows it.

        Raises Invalid, Conflict, NotFound, Forbidden.
        """
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            admins = await self._store.reserve_admins()
            user = await self.user(user_id)
            changed = msgspec.structs.replace(user, **changes)
            if "category" not in changes and changed.category != Category.API:
                changed = msgspec.structs.replace(changed, category=_category_of(changed.role))
            _check_user(changed.username, changed.email, changed.role, changed.category)
            zone_named(changed.time_zone)
            if changed.role != Role.ADMIN:
                _keep_an_admin(admins, user_id)
            kept = await self._store.replace_user(changed)
            if kept is None:
                raise NotFound("user", user_id)
            what = ", ".join(sorted(changes))
            await self._audit.note(identity, "user.changed", f"user {user.username}", what)
        return kept

    async def delete_user(self, identity: Identity, user_id: int) -> None:
        """Keys, tokens and sessions of the user die at once; the record stays, with its time of deletion."""
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            admins = await self._store.reserve_admins()
            user = await self.user(user_id)
            _keep_an_admin(admins, user_id)
            await self._store.replace_user(msgspec.structs.replace(user, deleted_at=self._clock.wall()))
            await self._audit.note(identity, "user.deleted", f"user {user.username}")

    async def restore_user(self, identity: Identity, user_id: int) -> User:
        """Takes back a deletion; nothing for a user that was not deleted. Sessions, keys and tokens that were
        not revoked work again. Raises NotFound, Conflict when the name or the address is taken meanwhile."""
        authorize(identity, Right.ADMINISTER)
        user = await self.any_user(user_id)
        if user.deleted_at is None:
            return user
        try:
            async with self._audit.change():
                restored = await self._store.restore_user(user_id)
                await self._audit.note(identity, "user.restored", f"user {user.username}")
        except Conflict:
            raise Conflict(
                f"The name {user.username!r} or the address {user.email!r} is taken by another user.",
                "Give that user another one first.",
            ) from None
        if restored is None:
            raise NotFound("user", user_id)
        return restored

    async def set_password(self, identity: Identity, user_id: int, password: str) -> None:
        """One's own, or an administrator anybody's. Every session of the user ends."""
        if identity.user_id != user_id or identity.only_project is not None:
            authorize(identity, Right.ADMINISTER)
        check_password(password)
        hashed = await self._passwords.hash(password)
        async with self._audit.change():
            if not await self._store.set_password(user_id, hashed):
                raise NotFound("user", user_id)
            await self._store.revoke_tokens_of(user_id, TokenKind.SESSION, self._clock.wall())
            await self._audit.note(identity, "user.password", f"user {user_id}")


def _keep_an_admin(admins: Sequence[int], without: int) -> None:
    if admins == [without]:
        raise Conflict("This is the last administrator.", "Make another one first.")


def _category_of(role: str) -> str:
    return Category.ADMIN if role == Role.ADMIN else Category.NORMAL


def _check_user(username: str, email: str, role: str, category: str) -> None:
    if not _USERNAME.fullmatch(username) or username.startswith(KEY_PREFIX) or username.isdigit():
        raise Invalid(
            f"Invalid user name {username[:80]!r}: use letters, digits and . _ @ + -, not digits alone.",
            field="username",
        )
    if email and not _EMAIL.fullmatch(email):
        raise Invalid(f"{email[:80]!r} is not an e-mail address.", field="email")
    among(role, list(Role), "role")
    among(category, list(Category), "category")
