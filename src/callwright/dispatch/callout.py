"""NATS asks us who may come in (auth callout): tokens as nats-server 2.10 and later reads and writes them.

A request and its answer are JWTs, signed by Ed25519 keys that are written as NATS writes them (an nkey: a
letter for the kind, base32, a CRC). Nothing here sends or remembers.

https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_callout
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["AUTH", "USER_INFO", "BadRequest", "Issuer", "Login", "account_of", "login_of", "nkey"]

AUTH = "$SYS.REQ.USER.AUTH"
"""Where the server asks."""
USER_INFO = "$SYS.REQ.USER.INFO"
"""Where a connection asks who it is."""
_ACCOUNT, _USER = 0 << 3, 20 << 3  # kinds of keys, in the upper five bits of the first octet
_KEY_TEXT = 56  # characters of a public nkey
_LONGEST = 64 * 1024
_VERSION = 2


class BadRequest(ValueError):
    """The text is a sentence."""


class Login(msgspec.Struct, frozen=True):
    """Somebody who wants to come in. ``server``: the id of the nats-server that asks; ``key``: the public
    nkey that it gave to this connection."""

    server: str
    key: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(server={self.server!r}, user={self.user!r}, …)"


def nkey(kind: int, octets: bytes) -> str:
    """A public key of 32 octets as NATS writes it."""
    raw = bytes([kind]) + octets
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def _is_user_key(text: str) -> bool:
    if len(text) != _KEY_TEXT:
        return False
    try:
        raw = base64.b32decode(text)
    except ValueError:
        return False
    return raw[0] == _USER and nkey(_USER, raw[1:33]) == text


def login_of(token: bytes) -> Login:
    """Raises BadRequest."""
    try:
        if len(token) > _LONGEST:
            raise ValueError("it is too long")
        body = token.split(b".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))["nats"]
        given = claims["connect_opts"]
        login = Login(
            str(claims["server_id"]["id"]),
            str(claims["user_nkey"]),
            str(given.get("user", "")),
            str(given.get("pass", "")),
        )
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise BadRequest(f"a login cannot be read: {error}") from None
    if not _is_user_key(login.key):
        raise BadRequest(f"{login.key[:80]!r} is not the key of a user")
    return login


def account_of(answer: bytes) -> str:
    """The account that we are in ourselves, of the answer to USER_INFO. Raises BadRequest."""
    try:
        account = json.loads(answer)["data"]["account"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"the NATS server does not say in which account we are: {error}") from None
    return str(account)


class Issuer:
    """Lets people in, by 32 secret octets. ``public``: the issuer for the configuration of nats-server."""

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = nkey(_ACCOUNT, self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def admit(
        self,
        login: Login,
        permissions: Mapping[str, Mapping[str, Sequence[str]]],
        *,
        account: str,
        now: float,
        lasts: float,
    ) -> bytes:
        """The answer that lets it in for ``lasts`` seconds; then the server cuts it off, and it comes
        again. ``permissions``: as `dispatch.nats.agent_permissions`."""
        rights = {
            "pub": dict(permissions["publish"]),
            "sub": dict(permissions["subscribe"]),
            **dict.fromkeys(("subs", "data", "payload"), -1),
        }
        user = self._signed(
            {
                "sub": login.key,
                "aud": account,
                "name": login.user,
                "exp": int(now + lasts),
                "nats": {**rights, "type": "user", "version": _VERSION},
            },
            now,
        )
        return self._answer(login, {"jwt": user.decode()}, now)

    def refuse(self, login: Login, reason: str, now: float) -> bytes:
        """``reason``: for the log of the server; who comes does not hear it."""
        return self._answer(login, {"error": reason}, now)

    def _answer(self, login: Login, said: Mapping[str, str], now: float) -> bytes:
        nats = {**said, "type": "authorization_response", "version": _VERSION}
        return self._signed({"sub": login.key, "aud": login.server, "nats": nats}, now)

    def _signed(self, claims: Mapping[str, Any], now: float) -> bytes:
        body = {**claims, "iss": self.public, "iat": int(now)}
        digest = hashlib.sha256(json.dumps(body).encode()).digest()
        body["jti"] = base64.b32encode(digest).decode().rstrip("=")
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        signed = b".".join(_part(json.dumps(part).encode()) for part in (head, body))
        return signed + b"." + _part(self._key.sign(signed))


def _part(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")
