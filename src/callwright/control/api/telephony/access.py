"""Login with e-mail address and password, session tokens that die of idleness, and API tokens."""

from __future__ import annotations

import math
from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.params import FromPath

from callwright.control.accounts.model import TELEPHONY_IDS, TOKENS, CodeNeeded, Identity, Right
from callwright.control.api import fields as take
from callwright.control.api.answers import utc
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import ApiProblem
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, cut, listed, single
from callwright.control.api.telephony.users import told
from callwright.control.errors import Invalid
from callwright.control.lines.model import PEOPLE

_Request = Request[Any, Any, Any]
_READ: dict[str, Any] = {"right": Right.READ}
_NOT_KEPT = {"Cache-Control": "no-store"}


_LOGIN = body_of({"email": text("Or the user name."), "password": text("")}, required=("email", "password"))
_CODE = body_of(
    {"nonce": text("Of /login."), "code": text("Six digits, or a recovery code.")}, required=("nonce", "code")
)
_TOKEN = body_of(
    {
        "name": text("Unique for each user."),
        "expiry": {"type": "integer", "description": "Idle seconds; 0: never."},
    },
    required=("name",),
)


@post("/login", opt={"open": True, "body": _LOGIN}, status_code=200)
async def login(request: _Request) -> Response[dict[str, Any]]:
    """`user_token` is 40 hex digits, and dies when it was not used for 30 minutes. With two-factor sign-in:
    202 with a `nonce` for `/login2fa`, good for five minutes."""
    fields = await read_fields(request)
    take.only(fields, ("email", "password"))
    email = take.text(fields, "email", longest=255)
    password = fields.get("password")
    if not isinstance(password, str) or not password:
        raise ApiProblem(400, "password is missing.", [{"address": "password", "message": "is missing."}])
    services, address = services_of(request), _guessing(request)
    found = await services.accounts.login(email, password, source=address)
    if found is None:
        raise ApiProblem(401, "The e-mail address or the password is wrong.")
    request.app.state["gate"].guesses.give_back(address)
    if isinstance(found, CodeNeeded):
        return Response({"nonce": found.nonce}, status_code=202, headers=_NOT_KEPT)
    return _logged_in(*found)


@post("/login2fa", opt={"open": True, "body": _CODE}, status_code=200)
async def login_by_code(request: _Request) -> Response[dict[str, Any]]:
    """The second step: the `nonce` of `/login`, and the `code` that the application shows or a recovery code.
    A code is good once; after five wrong ones each next one waits longer, up to five minutes."""
    fields = await read_fields(request)
    take.only(fields, ("code", "nonce"))
    code = fields.get("code")
    written = str(code).zfill(6) if isinstance(code, int) and not isinstance(code, bool) else code
    if not isinstance(written, str) or not 0 < len(written) <= 64:
        raise ApiProblem(400, "code is missing.", [{"address": "code", "message": "is missing."}])
    nonce, address = take.text(fields, "nonce", longest=255), _guessing(request)
    try:
        found = await services_of(request).accounts.login_by_code(nonce, written, source=address)
    except Invalid as error:
        raise ApiProblem(401, f"{error.message} {error.remedy}") from None
    if found is None:
        raise ApiProblem(401, "The code is wrong, or it was used already.")
    request.app.state["gate"].guesses.give_back(address)
    return _logged_in(*found)


def _guessing(request: _Request) -> str:
    """The address of who guesses. Taken before the secret is compared, which takes long: those that come
    meanwhile count too. Raises ApiProblem."""
    address = request.client.host if request.client else ""
    pause = request.app.state["gate"].guesses.wait(address, services_of(request).clock.now())
    if pause > 0:
        wait = math.ceil(pause)
        why = f"Too many wrong passwords came from there. Try again in {wait} seconds."
        raise ApiProblem(429, why, headers={"Retry-After": str(wait)})
    return address


def _logged_in(token: str, identity: Identity) -> Response[dict[str, Any]]:
    told = {
        "message": "Login success",
        "user_token": token,
        "user_id": TELEPHONY_IDS + identity.user_id,
    }
    return Response(told, headers=_NOT_KEPT)


@post("/logout", opt=_READ, status_code=200)
async def logout(request: _Request) -> dict[str, Any]:
    """Ends the session of a login; an API token stays until it is deleted."""
    services, identity = services_of(request), identity_of(request)
    if identity.session_id not in {row.id for row in await services.keys.tokens(identity)}:
        await services.accounts.logout(identity)
    return {"message": "Logout success"}


@get("/ping", opt=_READ)
async def ping() -> dict[str, Any]:
    return single({"response": "Pong"})


@get("/me", opt=_READ | {"shows": PEOPLE})
async def me(request: _Request) -> dict[str, Any]:
    """As `/users/<id>` of oneself, with what a phone must be told."""
    identity = identity_of(request)
    row = await services_of(request).lines.get(identity, TELEPHONY_IDS + identity.user_id)
    return single(cut(PEOPLE, asked(request, PEOPLE), told(request, row)))


@post("/apitokens", opt=_READ | {"body": _TOKEN}, status_code=201)
async def create_token(request: _Request) -> Response[dict[str, Any]]:
    """`expiry`: idle seconds after which it dies, 0 for never. The page of API keys shows the token again."""
    fields = await read_fields(request)
    take.only(fields, ("name", "expiry"))
    name = take.text(fields, "name", longest=200)
    expiry = take.whole(fields, "expiry", default=0) or 0
    token, row = await services_of(request).keys.create_token(identity_of(request), name, float(expiry))
    made = {
        "id": row.id,
        "name": row.name,
        "token": token,
        "expiry": int(row.idle_seconds),
        "created_at": utc(row.created_at),
    }
    return Response(single(made), status_code=201, headers=_NOT_KEPT)


@get("/apitokens", opt=_READ | {"lists": TOKENS})
async def list_tokens(request: _Request) -> dict[str, Any]:
    """One's own. `token` is a handle, by which it can be deleted, and not the secret."""
    query = asked(request, TOKENS)
    found = await services_of(request).keys.token_rows(identity_of(request), query)
    return listed(TOKENS, query, found)


@delete("/apitokens/{which:str}", opt=_READ, status_code=204)
async def delete_tokens(request: _Request, which: FromPath[str]) -> None:
    """Tokens, handles or ids, with commas; all of them or none."""
    services, identity = services_of(request), identity_of(request)
    async with services.audit.change():
        for one in dict.fromkeys(which.split(",")):
            is_id = one.isascii() and one.isdigit() and len(one) < 19
            await services.keys.revoke_token(identity, int(one) if is_id else one)


ROUTES: list[Any] = [login, login_by_code, logout, ping, me, create_token, list_tokens, delete_tokens]
