"""What the chapter is, and whose account asks."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get

from callwright.control.accounts.model import Right
from callwright.control.api.auth import identity_of
from callwright.control.api.monitoring.answers import dates_of
from callwright.control.api.monitoring.users import User, shown
from callwright.control.api.request import services_of
from callwright.version import __version__

_Request = Request[Any, Any, Any]
TAGS = ["monitoring"]


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    message: str
    version: str


@get("/", opt={"open": True}, tags=TAGS, summary="Say which API this is, and in which version")
async def welcome() -> Welcome:
    return Welcome(message="Callwright monitoring API", version=__version__)


@get("/my_account", opt={"right": Right.READ}, tags=TAGS, summary="Show the user whose credentials are used")
async def my_account(request: _Request) -> User:
    accounts = services_of(request).accounts
    user = await accounts.user(identity_of(request).user_id)
    return shown(user, await accounts.master(), await dates_of(request))


ROUTES: list[Any] = [welcome, my_account]
