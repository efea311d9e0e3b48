"""The OpenAPI document. It is open to all; nothing in it is a secret."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Tag

from callwright.control.api.answers import Error
from callwright.control.api.openapi import complete
from callwright.control.api.packing import takes_gzip
from callwright.version import __version__

_TAGS = (
    Tag("tests", "Stored documents with typed parameters, and the catalogue."),
    Tag("runs", "The state of runs, and the files that they leave."),
    Tag("agents", "What places the calls: agents and their pools."),
    Tag("notifications", "Channels that are told of incidents and runs, and the log of their messages."),
    Tag("accounts", "Who may do what: users, keys, SIP accounts, projects."),
    Tag("safety", "Where calls may go, who did what, and the switch that stops everything."),
    Tag("monitoring", "Endpoints that servers test all the time."),
    Tag("platform", "The platform itself."),
)


class Documentation:
    """The document of some routes below a path; made once, when it is first asked for."""

    def __init__(self, path: str, handlers: Sequence[Any], *, error: type = Error) -> None:
        """``error``: the body of its refusals."""
        self.path, self._handlers, self._error = path, list(handlers), error
        self._encoded: bytes | None = None
        self._packed: bytes | None = None

    def schema(self) -> dict[str, Any]:
        app = Litestar(
            route_handlers=[Router(self.path, route_handlers=self._handlers)],
            openapi_config=OpenAPIConfig(
                title="Callwright",
                version=__version__,
                description="Places real SIP calls with real audio, judges them, and keeps watching.",
                tags=list(_TAGS),
                use_handler_docstrings=True,
            ),
        )
        return complete(app, error=self._error)

    def encoded(self) -> bytes:
        if self._encoded is None:
            self._encoded = msgspec.json.encode(self.schema())
        return self._encoded

    def packed(self) -> bytes:
        """As gzip."""
        if self._packed is None:
            self._packed = gzip.compress(self.encoded(), 9, mtime=0)
        return self._packed


def routes(documentation: Documentation) -> list[Any]:
    @get(f"{documentation.path}/openapi.json", include_in_schema=False)
    async def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
        headers = {"Vary": "Accept-Encoding"}
        if takes_gzip(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
            content = await asyncio.to_thread(documentation.packed)
        else:
            content = await asyncio.to_thread(documentation.encoded)
        return Response(content, media_type=MediaType.JSON, headers=headers)

    return [openapi]
