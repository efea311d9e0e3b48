"""What people choose as a secret: how long it is, and its hash by argon2id, which is slow by intent."""

from __future__ import annotations

import asyncio

from callwright.control.errors import Invalid

__all__ = ["Passwords", "check_password"]

_SHORTEST = 10
_LONGEST = 1024
_HASHED_AT_ONCE = 2  # argon2id takes 64 MiB each


def check_password(password: str) -> None:
    """Raises Invalid."""
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise Invalid(f"A password has {_SHORTEST} to {_LONGEST} characters.", field="password")


class Passwords:
    """Hashes and compares, off the event loop and a few at once."""

    def __init__(self) -> None:
        self._dummy: str | None = None
        self._hashing = asyncio.Semaphore(_HASHED_AT_ONCE)

    async def hash(self, password: str) -> str:
        """Salt and parameters stand in it."""
        async with self._hashing:
            return await asyncio.to_thread(_hash, password)

    async def fits(self, hashed: str | None, password: str) -> bool:
        """None: nobody of that name, which takes the same work, and is False."""
        if self._dummy is None:
            self._dummy = await self.hash("nobody has this password")
        async with self._hashing:
            fits = await asyncio.to_thread(_fits, hashed or self._dummy, password[:_LONGEST])
        return fits and hashed is not None


def _hash(password: str) -> str:
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password.encode("utf-8", "surrogatepass"))


def _fits(hashed: str, password: str) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return PasswordHasher().verify(hashed, password.encode("utf-8", "surrogatepass"))
    except (Argon2Error, InvalidHashError):
        return False
