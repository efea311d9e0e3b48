"""HTML as gzip: who gets it, who does not, and what never is."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from typing import Any

import pytest

from callwright.control.accounts.model import Identity
from callwright.control.api.packing import Packed, takes_gzip
from callwright.control.services import Services
from callwright.control.web.visitor import csrf_of, masked, unmasked
from callwright.net.entropy import seeded_entropy
from tests.control.test_web_pages import Web, web

__all__ = ["web"]

PAGE = b"<p>one line of many</p>" * 100
GZIP = {"accept-encoding": "gzip, br"}


async def answered(
    *bodies: bytes,
    method: str = "GET",
    request: Mapping[str, str] = GZIP,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> tuple[dict[bytes, bytes], list[bytes]]:
    """The headers and the bodies that leave for an application that answers with `bodies`."""
    sent: list[Any] = []
    given = {"Content-Type": "text/html", **(headers or {})}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in given.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        for n, body in enumerate(bodies):
            more = n + 1 < len(bodies)
            await send({"type": "http.response.body", "body": body, "more_body": more})

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in request.items()]
    await Packed(app)({"type": "http", "method": method, "headers": raw}, None, send)
    assert [message["type"] for message in sent] == ["http.response.start"] + ["http.response.body"] * len(
        bodies
    )
    return dict(sent[0]["headers"]), [message["body"] for message in sent[1:]]


async def test_a_page_is_compressed_for_a_client_that_takes_gzip() -> None:
    headers, (body,) = await answered(PAGE, headers={"Content-Length": str(len(PAGE)), "Vary": "Cookie"})
    assert (headers[b"content-encoding"], headers[b"vary"]) == (b"gzip", b"Cookie, Accept-Encoding")
    assert (int(headers[b"content-length"]), gzip.decompress(body)) == (len(body), PAGE)
    assert len(body) < len(PAGE) / 4


async def test_a_large_page_is_compressed_too() -> None:
    _, (body,) = await answered(PAGE * 100)
    assert gzip.decompress(body) == PAGE * 100


@pytest.mark.parametrize(
    "how",
    [
        {"request": {}},
        {"request": {"accept-encoding": "br, gzip;q=0"}},
        {"request": GZIP | {"sec-fetch-site": "cross-site"}},
        {"request": GZIP | {"sec-fetch-site": "same-site"}},
        {"method": "POST"},
        {"headers": {"Cache-Control": "no-store, no-transform"}},
        {"headers": {"Content-Type": "text/event-stream"}},
        {"headers": {"Content-Type": "application/json"}},
        {"headers": {"Content-Encoding": "br"}},
        {"headers": {"ETag": '"x"'}},
        {"status": 206},
    ],
    ids=str,
)
async def test_what_may_not_be_compressed_leaves_as_it_is(how: dict[str, Any]) -> None:
    headers, (body,) = await answered(PAGE, **how)
    assert body == PAGE
    assert headers.get(b"content-encoding") in (None, b"br")


async def test_a_body_that_comes_in_pieces_is_left_as_it_is() -> None:
    headers, bodies = await answered(PAGE, PAGE)
    assert bodies == [PAGE, PAGE]
    assert b"content-encoding" not in headers


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP;q=0.5", True),
        ("gzip;q=0.0", False),
        ("gzip; q=x", False),
        ("*", True),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("notgzip", False),
        ("deflate, x-gzip", True),
    ],
)
def test_accept_encoding_is_read_with_its_weights(accepted: str, takes: bool) -> None:
    assert takes_gzip(accepted) is takes


def test_the_token_of_forms_differs_in_each_answer_and_means_the_same() -> None:
    token, entropy = csrf_of("a session"), seeded_entropy(1)
    one, two = masked(token, entropy), masked(token, entropy)
    assert one != two
    assert token not in one + two
    assert [unmasked(text) for text in (one, two, token)] == [token] * 3
    assert unmasked("é" * 128) == "é" * 128


async def test_a_page_of_the_platform_is_compressed_and_its_form_still_taken(web: Web) -> None:
    answers = [await web.get("/keys"), await web.get("/keys")]
    assert [answer.headers["content-encoding"] for answer in answers] == ["gzip", "gzip"]
    tokens = [re.search(r'name="_csrf" value="(\w+)"', answer.text) for answer in answers]
    one, two = [found[1] for found in tokens if found]
    assert one != two
    assert (
        await web.post("/logout", data={"_csrf": one[:-1] + ("0" if one[-1] != "0" else "1")})
    ).status_code == 403
    assert (await web.post("/logout", data={"_csrf": one})).status_code == 303


async def test_a_run_with_a_public_link_is_never_compressed(
    web: Web, services: Services, admin: Identity
) -> None:
    run = await services.runs.start(admin, "basic_call")
    path = f"/run/details/{run.session_id}"
    assert (await web.get(path)).headers.get("content-encoding") == "gzip"
    await web.fill(f"{path}/share", days="7")
    answer = await web.get(path)
    assert "/kiosk/" in answer.text
    assert "content-encoding" not in answer.headers
