"""API keys."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, post
from litestar.params import FromPath

from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import Right
from callwright.control.agents.telling import agents_changed
from callwright.control.api import fields as take
from callwright.control.api.access import schemas, translate
from callwright.control.api.answers import Data
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.request import Flag, broker_of, services_of

_Request = Request[Any, Any, Any]
TAGS = ["accounts"]


@get(
    "/keys",
    opt={"right": Right.READ},
    tags=TAGS,
    summary="List API keys; an administrator sees those of all",
)
async def list_keys(request: _Request) -> Data[list[schemas.Key]]:
    identity = identity_of(request)
    records = await services_of(request).keys.list(identity, of_everybody=may(identity, Right.ADMINISTER))
    return Data(data=[translate.key(record) for record in records])


@post(
    "/keys",
    opt={
        "right": Right.READ,
        "body": body_of(
            {
                "name": text("What the key is for."),
                "project": text("Works in this project only; without it, wherever its owner is a member."),
            },
            required=("name",),
        ),
    },
    tags=TAGS,
    summary="Make an API key; the secret is shown once",
    status_code=201,
)
async def create_key(request: _Request) -> Data[schemas.Key]:
    fields = await read_fields(request)
    take.only(fields, ("name", "project"))
    services, identity = services_of(request), identity_of(request)
    accounts = services.accounts
    owner = await accounts.user(identity.user_id)
    name = take.text(fields, "project", optional=True, longest=255)
    project = await services.projects.get(identity, name) if name else None
    public, secret = await services_of(request).keys.create(
        take.text(fields, "name", longest=200), owner, identity=identity, project=project
    )
    record = next(key for key in await services_of(request).keys.list(identity) if key.public_key == public)
    return Data(data=translate.key(record, secret), status=201)


@get("/keys/{key:str}/made", opt={"right": Right.READ}, tags=TAGS, summary="List what an API key made")
async def list_made(request: _Request, key: FromPath[str]) -> Data[list[schemas.Made]]:
    """What can be used still, made by the key or by a key that it made. `key`: its public part, or its id."""
    found = await services_of(request).keys.made_by(identity_of(request), _key(key))
    return Data(data=[translate.made(one) for one in found])


@delete("/keys/{key:str}", opt={"right": Right.READ}, tags=TAGS, summary="Revoke an API key", status_code=200)
async def revoke_key(
    request: _Request, key: FromPath[str], with_made: Flag = False
) -> Data[schemas.RevokedKey]:
    """`key`: its public part, or its id. `with_made`: revoke what it made too; what is left otherwise is in
    the answer.
    """
    services, identity = services_of(request), identity_of(request)
    also = await services.keys.revoke(identity, _key(key), with_made=with_made)
    for one in also:
        if one.kind == "agent":
            await agents_changed(broker_of(request), await services.agents.get(one.id), revoked=True)
    left = await services.keys.made_by(identity, _key(key))
    return Data(
        data=schemas.RevokedKey(
            deleted=key,
            also=[translate.made(one) for one in also],
            left=[translate.made(one) for one in left],
        )
    )


def _key(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text


ROUTES: list[Any] = [
    list_keys,
    create_key,
    list_made,
    revoke_key,
]
