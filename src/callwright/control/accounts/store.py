"""What accounts need of a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from callwright.control.accounts.model import (
    ApiKey,
    KeySecret,
    Made,
    SecondFactor,
    Token,
    TokenOwner,
    User,
    UserSecret,
)
from callwright.control.collections.model import Query, Rows
from callwright.control.projects.model import Membership

__all__ = ["AccountStore"]


class AccountStore(Protocol):
    async def users(self, *, deleted: bool = False) -> list[User]: ...
    async def user(self, user_id: int) -> User | None: ...
    async def user_by_name(self, username: str) -> User | None: ...
    async def user_secret(self, name: str) -> UserSecret | None:
        """By username or e-mail address, in either case."""
        ...

    async def add_user(self, user: User, password_hash: str) -> User:
        """Raises Conflict when the name or the address is taken."""
        ...

    async def replace_user(self, user: User) -> User | None: ...
    async def restore_user(self, user_id: int) -> User | None:
        """Raises Conflict when the name or the address is taken."""
        ...

    async def set_password(self, user_id: int, password_hash: str) -> bool: ...
    async def note_login(self, user_id: int, now: float) -> None: ...
    async def reserve_admins(self) -> list[int]:
        """Ids of the administrators; until the transaction ends, nobody else can change who they are."""
        ...

    async def memberships(
        self, *, user_id: int | None = None, project_id: int | None = None
    ) -> list[Membership]:
        """Of living users: of one, in one project, or all; by project, then by name."""
        ...

    async def key_secret(self, public_key: str) -> KeySecret | None:
        """None when it is unknown, revoked, or its owner is deleted."""
        ...

    async def keys(self, user_id: int | None) -> list[ApiKey]: ...
    async def key(self, key_id: int) -> ApiKey | None: ...
    async def key_by_public(self, public_key: str) -> ApiKey | None: ...
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
    ) -> ApiKey: ...
    async def revoke_key(self, key_id: int, now: float) -> bool: ...
    async def made_by_key(self, key_id: int, now: float) -> list[Made]:
        """What can be used still of what was made with this very key."""
        ...

    async def key_ids_made_by(self, key_id: int) -> list[int]:
        """Of keys, revoked ones too."""
        ...

    async def revoke_made(self, made: Made, now: float) -> bool: ...
    async def note_key_use(self, key_id: int, now: float) -> None: ...

    async def token_owner(self, token_hash: str) -> TokenOwner | None:
        """None when it is unknown, revoked, or its owner is deleted; an idle one is still given."""
        ...

    async def nonce_owner(self, token_hash: str) -> TokenOwner | None:
        """As `token_owner`, of the nonce of a login."""
        ...

    async def tokens(self, user_id: int) -> list[Token]: ...
    async def token_rows(self, user_id: int, query: Query) -> Rows:
        """Of TOKENS, those of the user."""
        ...

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
    ) -> Token: ...
    async def seal_token(self, token_id: int, sealed_token: str) -> None:
        """Beside its hash, for its owner to see again."""
        ...

    async def sealed_token(self, user_id: int, token_id: int) -> str | None:
        """Empty: it was not sealed. None when it is revoked, of another kind, or somebody else's."""
        ...

    async def token_lives(self, token_id: int) -> bool:
        """Whether it was not revoked."""
        ...

    async def revoke_token(self, token_id: int, now: float) -> bool: ...
    async def revoke_tokens_of(self, user_id: int, kind: str, now: float) -> None: ...
    async def note_token_use(self, token_id: int, now: float) -> None: ...

    async def users_with_second_factor(self) -> list[int]:
        """Whose is confirmed."""
        ...

    async def second_factor(self, user_id: int) -> SecondFactor | None: ...
    async def put_second_factor(self, factor: SecondFactor) -> None:
        """In place of the one that the user has."""
        ...

    async def confirm_second_factor(self, user_id: int, now: float) -> bool:
        """Whether it was not confirmed before."""
        ...

    async def drop_second_factor(self, user_id: int) -> bool:
        """With the recovery codes."""
        ...

    async def use_code(self, user_id: int, step: int) -> bool:
        """Whether the step is newer than that of every code that was used."""
        ...

    async def note_wrong_code(self, user_id: int, seen: int, now: float) -> bool:
        """One more than the ``seen`` ones; False when another guess was counted meanwhile."""
        ...

    async def forget_wrong_codes(self, user_id: int) -> None: ...
    async def put_recovery_codes(self, user_id: int, hashes: Sequence[str]) -> None:
        """In place of those that the user has."""
        ...

    async def use_recovery_code(self, user_id: int, code_hash: str, now: float) -> bool:
        """Whether it is one, and was not used before."""
        ...

    async def recovery_codes_left(self, user_id: int) -> int: ...
