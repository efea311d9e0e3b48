"""A request's id: in its log lines, and in the header `X-Request-Id` of its answer."""

from __future__ import annotations

import re
from typing import Any

import callwright.log_context as log_context
from callwright.net.entropy import Entropy

HEADER = b"x-request-id"
_ACCEPTED = re.compile(rb"[\x21-\x7e]{1,64}")


def identified(app: Any, entropy: Entropy) -> Any:
    """An ASGI application around `app`. An id that a proxy gave is kept if it is up to 64 printable ASCII
    characters without blanks; else one is made."""

    async def numbered(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == HEADER]
        accepted = len(given) == 1 and _ACCEPTED.fullmatch(given[0])
        chosen = given[0].decode() if accepted else entropy(8).hex()
        log_context.request.set(chosen)

        async def answered(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (HEADER, chosen.encode())]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, answered)

    return numbered
