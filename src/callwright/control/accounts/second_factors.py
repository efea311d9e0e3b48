"""Two-factor sign-in: a code of an authenticator application beside the password, and recovery codes."""

from __future__ import annotations

import base64
import hmac
import math
import re
from collections.abc import Callable

import msgspec

from callwright.control.accounts.authorize import authorize
from callwright.control.accounts.model import Identity, Right, SecondFactor, User
from callwright.control.accounts.store import AccountStore
from callwright.control.accounts.totp import key_uri, spelled, step_that_fits
from callwright.control.audit.service import Audit
from callwright.control.credentials.vault import Vault
from callwright.control.errors import Conflict, Invalid, NotFound, TooManyGuesses
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy

__all__ = ["Enrolment", "SecondFactors", "Standing"]

_SECRET = 20  # octets, as RFC 4226 section 4 recommends
_RECOVERY_CODES = 10
_RECOVERY = 10  # octets of each
_FREE_GUESSES = 5  # wrong codes of a user before each next one has to wait
_LONGEST_WAIT = 300.0  # seconds
_CODE = re.compile(r"[0-9]{6}")
_WRITTEN = re.compile(r"[a-z2-7]{16}")


class Enrolment(msgspec.Struct, frozen=True):
    """What is shown once: the secret as an application takes it, and the URI for a QR code."""

    secret: str
    uri: str


class Standing(msgspec.Struct, frozen=True):
    """``since``: unix seconds, None when it is off. ``codes_left``: recovery codes that were not used."""

    since: float | None
    codes_left: int


class SecondFactors:
    """Secrets are sealed; recovery codes are kept as an HMAC whose key is not in the database."""

    def __init__(
        self, store: AccountStore, vault: Vault, *, audit: Audit, clock: Clock, entropy: Entropy
    ) -> None:
        self._store, self._vault, self._audit = store, vault, audit
        self._clock, self._entropy = clock, entropy

    async def is_on(self, user_id: int) -> bool:
        found = await self._store.second_factor(user_id)
        return found is not None and found.confirmed_at is not None

    async def standing(self, user_id: int) -> Standing:
        found = await self._store.second_factor(user_id)
        if found is None or found.confirmed_at is None:
            return Standing(None, 0)
        return Standing(found.confirmed_at, await self._store.recovery_codes_left(user_id))

    async def users_with_one(self, identity: Identity) -> frozenset[int]:
        """Ids of those who sign in with a code. Raises Forbidden."""
        authorize(identity, Right.ADMINISTER)
        return frozenset(await self._store.users_with_second_factor())

    async def begin(self, user: User) -> Enrolment:
        """A new secret, which counts once `confirm` was given a code of it. Raises Conflict when it is on."""
        if await self.is_on(user.id):
            raise Conflict("Two-factor sign-in is on already.", "Turn it off first.")
        secret = self._entropy(_SECRET)
        sealed = self._vault.seal(base64.b64encode(secret).decode(), _sealed_for(user.id))
        await self._store.put_second_factor(SecondFactor(user.id, sealed, self._clock.wall()))
        return Enrolment(spelled(secret), key_uri(secret, user.email or user.username))

    async def begun(self, user: User) -> Enrolment | None:
        """That of `begin`, while nothing has confirmed it."""
        found = await self._store.second_factor(user.id)
        if found is None or found.confirmed_at is not None:
            return None
        secret = self._open(found)
        return Enrolment(spelled(secret), key_uri(secret, user.email or user.username))

    async def confirm(self, identity: Identity, code: str) -> list[str]:
        """Turns it on, with a code of the application; the recovery codes, which are told only now.

        Raises Invalid, NotFound, Conflict.
        """
        found = await self._store.second_factor(identity.user_id)
        if found is None or found.confirmed_at is not None:
            raise NotFound("enrolment", identity.username)
        codes = self._new_codes()
        async with self._audit.change():
            if not await self._is_code(found, code):
                raise Invalid("That is not the code that the application shows now.", field="code")
            if not await self._store.confirm_second_factor(identity.user_id, self._clock.wall()):
                raise Conflict("Two-factor sign-in is on already.")
            await self._store.put_recovery_codes(identity.user_id, [self._kept(one) for one in codes])
            await self._audit.note(identity, "twofactor.on", f"user {identity.username}")
        return codes

    async def new_recovery_codes(self, identity: Identity) -> list[str]:
        """Others in place of those that were told; told only now. Raises NotFound."""
        if not await self.is_on(identity.user_id):
            raise NotFound("second factor", identity.username)
        codes = self._new_codes()
        async with self._audit.change():
            await self._store.put_recovery_codes(identity.user_id, [self._kept(one) for one in codes])
            await self._audit.note(identity, "twofactor.codes", f"user {identity.username}")
        return codes

    async def remove(self, identity: Identity, user: User) -> bool:
        """Turns it off: one's own, or an administrator anybody's. Whether it was there."""
        if identity.user_id != user.id or identity.only_project is not None:
            authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            there = await self._store.drop_second_factor(user.id)
            if there:
                await self._audit.note(identity, "twofactor.off", f"user {user.username}")
        return there

    async def accepts(self, user_id: int, code: str) -> bool:
        """Whether it is a code of now that was not used yet, or a recovery code; it is used then. Wrong codes
        make the next wait longer and longer; recovery codes, which nobody guesses, never wait.

        Raises TooManyGuesses.
        """
        found = await self._store.second_factor(user_id)
        if found is None or found.confirmed_at is None:
            return False
        written = code.lower().replace("-", "").replace(" ", "")
        if _WRITTEN.fullmatch(written):
            return await self._store.use_recovery_code(user_id, self._kept(written), self._clock.wall())
        async with self._guess(found) as right:
            accepted = await self._is_code(found, written)
            right(accepted)
        return accepted

    # -- inside

    def _guess(self, found: SecondFactor) -> _Guess:
        return _Guess(self._store, found, self._clock.wall())

    async def _is_code(self, found: SecondFactor, code: str) -> bool:
        written = code.replace(" ", "")
        if not _CODE.fullmatch(written):
            return False
        step = step_that_fits(self._open(found), written, self._clock.wall())
        return step is not None and await self._store.use_code(found.user_id, step)

    def _open(self, found: SecondFactor) -> bytes:
        return base64.b64decode(self._vault.open(found.sealed_secret, _sealed_for(found.user_id)))

    def _new_codes(self) -> list[str]:
        made = [base64.b32encode(self._entropy(_RECOVERY)).decode().lower() for _ in range(_RECOVERY_CODES)]
        return ["-".join(one[at : at + 4] for at in range(0, len(one), 4)) for one in made]

    def _kept(self, code: str) -> str:
        key = self._vault.derive("recovery codes")
        return hmac.digest(key, code.replace("-", "").encode(), "sha256").hex()


class _Guess:
    """One guess at a code: counted before it is looked at, since others may come meanwhile, and forgotten
    when it was right. Raises TooManyGuesses."""

    def __init__(self, store: AccountStore, found: SecondFactor, now: float) -> None:
        self._store, self._found, self._now = store, found, now
        self._right = True

    async def __aenter__(self) -> Callable[[bool], None]:
        found = self._found
        wait = _pause(found.failures)
        since = self._now - (found.failed_at or 0.0)
        if found.failures >= _FREE_GUESSES and 0 <= since < wait:
            raise TooManyGuesses(math.ceil(wait - since))
        if not await self._store.note_wrong_code(found.user_id, found.failures, self._now):
            raise TooManyGuesses(1)
        return self._settle

    def _settle(self, right: bool) -> None:
        self._right = right

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None and self._right:
            await self._store.forget_wrong_codes(self._found.user_id)


def _pause(failures: int) -> float:
    return 0.0 if failures < _FREE_GUESSES else min(_LONGEST_WAIT, 2.0 ** (failures - _FREE_GUESSES + 1))


def _sealed_for(user_id: int) -> str:
    return f"second factor/{user_id}"
