"""The reference of the API as a page of ours, made from its OpenAPI document. It is open to all."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Response, get

from callwright.control.api.documentation import Documentation
from callwright.control.api.reference import Reference, reference
from callwright.control.errors import DomainError
from callwright.control.web import rendering
from callwright.control.web.visitor import Pages, SignInNeeded, WebRequest


def routes(pages: Pages, documentation: Documentation) -> list[Any]:
    made: list[Reference] = []

    def make() -> None:
        made[:] = [reference(documentation.schema())]

    @get(f"{documentation.path}/docs")
    async def show(request: WebRequest) -> Response[bytes]:
        if not made:
            await asyncio.to_thread(make)
        context: dict[str, Any] = {
            "reference": made[0],
            "url": pages.base_url(request),
            "document": f"{documentation.path}/openapi.json",
        }
        try:
            visitor = await pages.visitor(request)
            return await pages.page(request, visitor, "api_reference.html", "API", **context)
        except (SignInNeeded, DomainError):
            return rendering.page("api_reference.html", {**pages.frame_of_strangers(), **context})

    return [show]
