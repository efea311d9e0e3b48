"""API keys and tokens: what programs sign in with, kept as hashes. Keys are told once; a token is sealed
beside its hash, and shown again to its owner."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import ApiKey, Identity, Made, Right, Token, TokenKind, User
from callwright.control.accounts.secrets import KEY_PREFIX, SECRET_PREFIX, digest, keepable
from callwright.control.accounts.service import Accounts
from callwright.control.accounts.store import AccountStore
from callwright.control.audit.service import Audit
from callwright.control.collections.model import Compare, Operator, Query, Rows
from callwright.control.credentials.vault import Vault
from callwright.control.errors import Conflict, Forbidden, Invalid, NotFound
from callwright.control.projects.model import Project
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy

__all__ = ["Keys"]

#: How the log says that what a key made was taken away.
_REVOKED = {
    "key": "key.revoked",
    "token": "token.revoked",
    "enrolment": "enrolment.revoked",
    "agent": "agent.revoke",
}


class Keys:
    def __init__(
        self,
        store: AccountStore,
        accounts: Accounts,
        vault: Vault,
        *,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store, self._accounts, self._audit = store, accounts, audit
        self._vault = vault
        self._clock, self._entropy = clock, entropy

    async def create(
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
        maker = identity or await self._accounts.identity(user.id, user.username, user.role)
        if maker.user_id != user.id:
            authorize(maker, Right.ADMINISTER)
        owner = await self._accounts.identity(user.id, user.username, user.role)
        if project is not None and not all(may(one, Right.READ, project.id) for one in (maker, owner)):
            raise NotFound("project", project.name)
        narrowed = project.id if project is not None else maker.only_project
        if not name.strip() or len(name) > 200:
            raise Invalid("A key has a name of 1 to 200 characters, such as ci.", field="name")
        public, secret = KEY_PREFIX + self._entropy(10).hex(), SECRET_PREFIX + self._entropy(24).hex()
        async with self._audit.change():
            key = await self._store.add_key(
                public_key=public,
                secret_hash=digest(secret),
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

    async def list(self, identity: Identity, *, of_everybody: bool = False) -> Sequence[ApiKey]:
        """One's own, or for an administrator everybody's."""
        if of_everybody:
            authorize(identity, Right.ADMINISTER)
        found = await self._store.keys(None if of_everybody else identity.user_id)
        return [key for key in found if identity.only_project in (None, key.project_id)]

    async def revoke(self, identity: Identity, key: int | str, *, with_made: bool = False) -> Sequence[Made]:
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
        tokens for agents, and agents that enrolled with those. Raises NotFound as `revoke`."""
        return await self._made(identity, (await self._key(identity, key)).id)

    async def _made(self, identity: Identity, key_id: int) -> Sequence[Made]:
        made: list[Made] = []
        known, waiting = {key_id}, [key_id]
        while waiting:
            maker = waiting.pop()
            made += await self._store.made_by_key(maker, self._clock.wall())
            more = [one for one in await self._store.key_ids_made_by(maker) if one not in known]
            known.update(more)
            waiting += more
        if may(identity, Right.ADMINISTER):
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
        if found is None or not (mine or may(identity, Right.ADMINISTER)):
            raise NotFound("key", key)
        return found

    # -- tokens

    async def create_token(
        self, identity: Identity, name: str, idle_seconds: float = 0.0
    ) -> tuple[str, Token]:
        """An API token (40 hex digits); 0: it never dies of idleness.

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
                token, row = await self._accounts.new_token(
                    TokenKind.API, name.strip(), identity.user_id, idle_seconds, identity.key_id
                )
                sealed = self._vault.seal(token, _sealed_for(row.id))
                await self._store.seal_token(row.id, sealed)
                await self._audit.note(identity, "token.created", f"token {row.id}", row.name)
        except Conflict:
            raise Conflict(f"You have a token {name.strip()!r} already.", field="name") from None
        return token, row

    async def tokens(self, identity: Identity) -> Sequence[Token]:
        return await self._store.tokens(identity.user_id)

    async def token_rows(self, identity: Identity, query: Query) -> Rows:
        return await self._store.token_rows(identity.user_id, query)

    async def reveal_token(self, identity: Identity, token_id: int) -> str:
        """One's own, once more; whoever asks has confirmed the password. Raises NotFound, and Conflict for a
        token whose hash alone is kept."""
        if identity.only_project is not None:
            raise Forbidden("A key of one project sees no tokens.", "Log in, and look as yourself.")
        sealed = await self._store.sealed_token(identity.user_id, token_id)
        if sealed is None:
            raise NotFound("token", token_id)
        token = self._vault.opened(sealed, _sealed_for(token_id)) if sealed else None
        if token is None:
            raise Conflict(
                "This token cannot be shown: only its hash is kept, or it was sealed with another key.",
                "Make a new one, and delete this.",
            )
        async with self._audit.change():
            await self._audit.note(identity, "token.revealed", f"token {token_id}")
        return token

    async def revoke_token(self, identity: Identity, token: int | str) -> None:
        """By id, by its handle, or the token itself. Raises NotFound."""
        mine = {row.id for row in await self._store.tokens(identity.user_id)}
        if isinstance(token, str):
            owner = await self._store.token_owner(digest(token)) if keepable(token) else None
            token = owner.id if owner else await self._by_handle(identity, token)
        async with self._audit.change():
            if token not in mine or not await self._store.revoke_token(token, self._clock.wall()):
                raise NotFound("token", token)
            await self._audit.note(identity, "token.revoked", f"token {token}")

    async def _by_handle(self, identity: Identity, handle: str) -> int:
        """0 when it is nobody's, or not one's own."""
        if not keepable(handle):
            return 0
        where = Compare("token", Operator.EQ, handle)
        found = (await self._store.token_rows(identity.user_id, Query(where))).rows
        return int(str(found[0]["id"])) if found else 0


def _sealed_for(token_id: int) -> str:
    return f"token/{token_id}"
