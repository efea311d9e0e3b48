"""Each request has an id, in its answer and in its log lines."""

from __future__ import annotations

import re
from typing import Any

import pytest

import callwright.log_context as log_context
from callwright.control.api.request_id import identified


async def answer_to(*given: bytes) -> str:
    sent: list[Any] = []
    seen: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(log_context.request.get())
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"x-request-id", one) for one in given]}
    await identified(app, lambda count: b"\x01" * count)(scope, None, send)
    headers = dict(sent[0]["headers"])
    assert headers[b"a"] == b"b"
    chosen: str = headers[b"x-request-id"].decode()
    assert seen == [chosen]
    return chosen


async def test_a_short_printable_id_is_kept() -> None:
    assert await answer_to(b"7f3c-proxy/1") == "7f3c-proxy/1"


@pytest.mark.parametrize(
    "given", [(), (b"",), (b"x" * 65,), (b"a b",), (b"a\r\nSet-Cookie: x",), (b"\xff",), (b"a", b"b")]
)
async def test_any_other_id_is_replaced(given: tuple[bytes, ...]) -> None:
    assert re.fullmatch("[0-9a-f]{16}", await answer_to(*given))
