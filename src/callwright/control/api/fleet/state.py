"""What runs here, and whether the fleet may make and end servers by itself."""

from __future__ import annotations

import functools
import os
from importlib import metadata
from typing import Any

import msgspec
from litestar import Request, get, post

from callwright.control.accounts.model import Right
from callwright.control.api.auth import identity_of
from callwright.control.api.fleet import schemas
from callwright.control.api.request import services_of
from callwright.version import __version__

_Request = Request[Any, Any, Any]
_ADMINISTER = {"right": Right.ADMINISTER}
_OPEN = {"open": True}
_SOURCE = "callwright"
COMMIT = "CALLWRIGHT_COMMIT"


@post("/api/pause", opt=_ADMINISTER, status_code=204)
async def pause(request: _Request) -> None:
    """Servers are neither made nor ended by themselves, after a restart too, until somebody resumes."""
    await services_of(request).servers.pause(identity_of(request), True)


@post("/api/resume", opt=_ADMINISTER, status_code=204)
async def resume(request: _Request) -> None:
    await services_of(request).servers.pause(identity_of(request), False)


@get("/varz", opt=_OPEN)
async def varz(request: _Request) -> schemas.Varz:
    return schemas.Varz(await services_of(request).servers.paused())


@get("/version", opt=_OPEN)
async def version() -> schemas.Version:
    return schemas.Version(_SOURCE, __version__, _commit())


@functools.cache
def _commit() -> str:
    """As the build said it, or as pip kept it of an installation from a repository (PEP 610)."""
    if given := os.environ.get(COMMIT):
        return given
    try:
        kept = metadata.distribution("callwright").read_text("direct_url.json")
        return str(msgspec.json.decode(kept or "{}")["vcs_info"]["commit_id"])
    except (metadata.PackageNotFoundError, msgspec.DecodeError, KeyError, TypeError):
        return ""


ROUTES: list[Any] = [pause, resume, varz, version]
