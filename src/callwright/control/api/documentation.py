"""The OpenAPI document, and a page to read and try it. Both are open to all; nothing in them is a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import resources
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Response, Router, get
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Tag
from litestar.params import FromPath

import callwright
from callwright.control.api.openapi import complete
from callwright.control.api.tests import schemas
from callwright.control.errors import NotFound

_TAGS = (
    Tag("tests", "Stored documents with typed parameters, and the catalogue."),
    Tag("runs", "How runs stand, and what they leave behind."),
    Tag("agents", "What places the calls: agents and their pools."),
    Tag("accounts", "Who may do what: users, keys, SIP accounts, projects."),
    Tag("safety", "Where calls may go, who did what, and the switch that stops everything."),
    Tag("platform", "The platform itself."),
)
_ASSETS = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "try-it.js": "text/javascript; charset=utf-8",
    "LICENSE": "text/plain; charset=utf-8",
    "NOTICE": "text/plain; charset=utf-8",
    "swagger-ui-bundle.js.LICENSE.txt": "text/plain; charset=utf-8",
}
#: What the page may load: only from here.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Callwright API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{path}/docs/swagger-ui.css">
</head>
<body>
<p style="font: 14px sans-serif; margin: 16px 20px 0"><a href="/">Back to Callwright</a></p>
<div id="api" data-document="{path}/openapi.json"></div>
<script src="{path}/docs/swagger-ui-bundle.js"></script>
<script src="{path}/docs/try-it.js"></script>
</body>
</html>
"""


class Documentation:
    """The document of some routes below a path; made once, when it is first asked for."""

    def __init__(self, path: str, handlers: Sequence[Any]) -> None:
        self._path, self._handlers = path, list(handlers)
        self._encoded: bytes | None = None

    def schema(self) -> dict[str, Any]:
        app = Litestar(
            route_handlers=[Router(self._path, route_handlers=self._handlers)],
            openapi_config=OpenAPIConfig(
                title="Callwright",
                version=callwright.__version__,
                description="Places real SIP calls with real audio, judges them, and keeps watching.",
                tags=list(_TAGS),
                use_handler_docstrings=True,
            ),
        )
        return complete(app, known=(schemas.Error,))

    def encoded(self) -> bytes:
        if self._encoded is None:
            self._encoded = msgspec.json.encode(self.schema())
        return self._encoded


def routes(path: str, handlers: Sequence[Any]) -> list[Any]:
    documentation = Documentation(path, handlers)

    @get(f"{path}/openapi.json", include_in_schema=False)
    async def openapi() -> Response[bytes]:
        content = await asyncio.to_thread(documentation.encoded)
        return Response(content, media_type=MediaType.JSON)

    @get(f"{path}/docs", include_in_schema=False)
    async def try_it() -> Response[str]:
        return Response(
            _PAGE.format(path=path),
            media_type=MediaType.HTML,
            headers={"Content-Security-Policy": _POLICY},
        )

    @get(f"{path}/docs/{{name:str}}", include_in_schema=False)
    async def asset(name: FromPath[str]) -> Response[bytes]:
        if name not in _ASSETS:
            raise NotFound("file", name)
        content = await asyncio.to_thread(_read, name)
        return Response(content, media_type=_ASSETS[name], headers={"Cache-Control": "max-age=3600"})

    return [openapi, try_it, asset]


def _read(name: str) -> bytes:
    return resources.files("callwright.control.api").joinpath("static", "swagger-ui", name).read_bytes()
