"""Who asks: the credentials of every chapter, in all their forms, to an identity; and how often they may.

`X-Auth-Token: <token>` · `Authorization: Bearer <token>` · Basic `<public_key>:<secret>` ·
Basic `<user_id>:<token>` · Basic `<username>:<password>` for users of category API.
"""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from callwright.control.accounts.authorize import authorize
from callwright.control.accounts.model import Identity, Right
from callwright.control.accounts.secrets import KEY_PREFIX
from callwright.control.api.limits import RateLimit
from callwright.control.api.places import place_of
from callwright.control.api.problems import ApiProblem, unauthorized
from callwright.control.api.query import check_query
from callwright.net.clock import Clock

_LONGEST = 1_024  # characters of a credential
_STATE = "identity"
_WRONG = "Too many wrong credentials came from there."

Connection = ASGIConnection[Any, Any, Any, Any]


class Accounts(Protocol):
    """What is asked of the accounts: the same work for an unknown name as for a wrong secret."""

    async def authenticate_basic(self, name: str, secret: str) -> Identity | None: ...
    async def authenticate_token(self, token: str) -> Identity | None: ...
    async def authenticate_bearer(self, text: str) -> Identity | None: ...


async def pass_gate(connection: Connection, handler: BaseRouteHandler) -> None:
    """The guard of every route of the API; Litestar copies guards, so the gate itself stays in the state."""
    await connection.app.state["gate"](connection, handler)
    check_query(connection.scope["query_string"], handler)


class Gate:
    """Who may pass to a route. A route's `right` (in its `opt`) is what its caller needs; without
    the entry it is open to anybody who is known, and `open=True` to all.
    """

    def __init__(
        self,
        accounts: Accounts,
        clock: Clock,
        *,
        requests: RateLimit,
        failures: RateLimit,
        guesses: RateLimit | None = None,
        on_failure: Callable[[str, str], Awaitable[None]] | None = None,
    ) -> None:
        """``on_failure``: hears of the name and the address of each wrong pair. ``guesses``: wrong passwords
        at the logins of people, wherever they are."""
        self._accounts, self._clock = accounts, clock
        self._requests, self._failures = requests, failures
        self._on_failure = on_failure
        self.guesses = guesses or failures

    async def __call__(self, connection: Connection, handler: BaseRouteHandler) -> None:
        opt = handler.opt
        if opt.get("open"):
            return
        now = self._clock.now()
        address = connection.client.host if connection.client else ""
        if self._failures.empty(address, now):
            raise _too_many(self._failures.wait(address, now), _WRONG)
        guess = _is_password(connection.headers)
        if guess and (pause := self._failures.wait(address, now)) > 0:
            # Taken before, since a password takes long to compare: those that come meanwhile count too.
            raise _too_many(pause, _WRONG)
        identity = await self._identify(connection)
        if identity is None:
            if not guess:
                self._failures.wait(address, now)
            await self._tell_failure(connection.headers, address)
            raise unauthorized()
        if guess:
            self._failures.give_back(address)
        who = f"key {identity.key_id}" if identity.key_id is not None else f"user {identity.user_id}"
        pause = self._requests.wait(who, now)
        if pause > 0:
            raise _too_many(pause, f"At most {self._requests.rate:g} requests a second are permitted.")
        right: Right | None = opt.get("right")
        if right is not None:
            authorize(identity, right)
        place = place_of(connection.scope)
        if place is not None:
            place.signed_in(f"user {identity.user_id}")
        connection.scope["state"][_STATE] = identity

    async def _tell_failure(self, headers: Mapping[str, str], address: str) -> None:
        """Of a name and a secret; a token that is over happens to everybody."""
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        if self._on_failure is None or headers.get("x-auth-token"):
            return
        match scheme.lower():
            case "basic":
                pair = decode_basic(rest)
            case "bearer":
                public, colon, secret = rest.strip().partition(":")
                pair = (public, secret) if colon else None
            case _:
                pair = None
        if pair is not None and not pair[0].isdigit():
            await self._on_failure(pair[0], address)

    async def _identify(self, connection: Connection) -> Identity | None:
        token = connection.headers.get("x-auth-token")
        if token:
            return await self._by_token(token, self._accounts.authenticate_token)
        scheme, _, rest = connection.headers.get("authorization", "").partition(" ")
        match scheme.lower():
            case "bearer":
                return await self._by_token(rest.strip(), self._accounts.authenticate_bearer)
            case "basic":
                pair = decode_basic(rest)
                return None if pair is None else await self._accounts.authenticate_basic(*pair)
        return None

    @staticmethod
    async def _by_token(token: str, ask: Callable[[str], Awaitable[Identity | None]]) -> Identity | None:
        if not token.isascii() or not token.isprintable() or len(token) > _LONGEST:
            return None
        return await ask(token)


def _is_password(headers: Mapping[str, str]) -> bool:
    """Whether what was sent may be what a person chose, and not a key or a token."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if headers.get("x-auth-token") or scheme.lower() != "basic":
        return False
    pair = decode_basic(rest)
    return pair is not None and not pair[0].startswith(KEY_PREFIX) and not pair[0].isdigit()


def decode_basic(text: str) -> tuple[str, str] | None:
    """The name and the secret of RFC 7617, None when it is neither."""
    try:
        decoded = b64decode(text.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    name, colon, secret = decoded.partition(":")
    if not colon or not name or "\0" in decoded or len(decoded) > _LONGEST:
        return None
    return name, secret


def identity_of(connection: Connection) -> Identity:
    """Of a request that passed the gate."""
    identity: Identity = connection.scope["state"][_STATE]
    return identity


def _too_many(seconds: float, why: str) -> ApiProblem:
    wait = max(1, math.ceil(seconds))
    return ApiProblem(
        429, f"{why} Try again in {wait} second{'s' if wait > 1 else ''}.", headers={"Retry-After": str(wait)}
    )
