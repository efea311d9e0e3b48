"""The audit log."""

from __future__ import annotations

from typing import Any

from litestar import Request, get

from callwright.control.accounts.model import Right
from callwright.control.api.access import schemas, translate
from callwright.control.api.auth import identity_of
from callwright.control.api.pages import Limit, Page, next_page
from callwright.control.api.request import MaybeId, MaybeWord, services_of

_Request = Request[Any, Any, Any]
_AGENTS, _SAFETY = ["agents"], ["safety"]
_READ, _ADMINISTER = {"right": Right.READ}, {"right": Right.ADMINISTER}
_HOURS = 24.0


@get("/audit", opt=_ADMINISTER, tags=_SAFETY, summary="List the audit log, newest first")
async def list_audit(
    request: _Request, search: MaybeWord = None, after: MaybeId = None, limit: Limit = 100
) -> Page[schemas.Audit]:
    entries = await services_of(request).audit.log(
        identity_of(request), after=after, limit=limit, search=search
    )
    return Page(
        data=[translate.audit(entry) for entry in entries],
        next=next_page(request, after=entries[-1].id) if len(entries) == limit else None,
    )


ROUTES: list[Any] = [
    list_audit,
]
