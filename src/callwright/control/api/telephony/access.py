"""Login with e-mail address and password, session tokens that die of idleness, and API tokens."""

from __future__ import annotations

import math
from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.params import FromPath

from callwright.control.accounts.model import TELEPHONY_IDS, TOKENS, Right
from callwright.control.api import fields as take
from callwright.control.api.answers import utc
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields
from callwright.control.api.problems import ApiProblem
from callwright.control.api.request import services_of
from callwright.control.api.telephony.answers import asked, listed, single
from callwright.control.api.telephony.users import told

_Request = Request[Any, Any, Any]
_READ = {"right": Right.READ}
_NOT_KEPT = {"Cache-Control": "no-store"}


@post("/login", opt={"open": True}, status_code=200)
async def login(request: _Request) -> Response[dict[str, Any]]:
    """`user_token` is 40 hex digits, and dies when it was not used for 30 minutes."""
    fields = await read_fields(request)
    take.only(fields, ("email", "password"))
    email = take.text(fields, "email", longest=255)
    password = fields.get("password")
    if not isinstance(password, str) or not password:
        raise ApiProblem(400, "password is missing.", [{"address": "password", "message": "is missing."}])
    services = services_of(request)
    guesses = request.app.state["gate"].guesses
    address, now = request.client.host if request.client else "", services.clock.now()
    # Taken before, since a password takes long to compare: those that come meanwhile count too.
    pause = guesses.wait(address, now)
    if pause > 0:
        wait = math.ceil(pause)
        why = f"Too many wrong passwords came from there. Try again in {wait} seconds."
        raise ApiProblem(429, why, headers={"Retry-After": str(wait)})
    found = await services.accounts.login(email, password, source=address)
    if found is None:
        raise ApiProblem(401, "The e-mail address or the password is wrong.")
    guesses.give_back(address)
    token, identity = found
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


@get("/me", opt=_READ)
async def me(request: _Request) -> dict[str, Any]:
    """As `/users/<id>` of oneself, with what a phone must be told."""
    identity = identity_of(request)
    row = await services_of(request).lines.get(identity, TELEPHONY_IDS + identity.user_id)
    return single(told(request, row))


@post("/apitokens", opt=_READ, status_code=201)
async def create_token(request: _Request) -> Response[dict[str, Any]]:
    """`expiry`: idle seconds after which it dies, 0 for never. The token is shown once."""
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


@get("/apitokens", opt=_READ)
async def list_tokens(request: _Request) -> dict[str, Any]:
    """One's own. `token` is a handle, by which it can be deleted; the secret is not kept."""
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


ROUTES: list[Any] = [login, logout, ping, me, create_token, list_tokens, delete_tokens]
