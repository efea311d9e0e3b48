"""What the platform posts to a receiver: signed, to permitted addresses alone, and never for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from callwright.control.notifications.signing import new_secret, signed_headers
from callwright.net.clock import SystemClock
from callwright.net.entropy import seeded_entropy
from callwright.net.posting import Posting, PostingFailed
from callwright.net.resolver import ResolutionFailed, ServiceRecord
from callwright.policy.outward import refusal_of

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOOPBACK = partial(refusal_of, networks=("127.0.0.0/8",))


class Names:
    """A name service that somebody else rules."""

    def __init__(self, **known: list[str]) -> None:
        self._known = {name.replace("_", "."): addresses for name, addresses in known.items()}
        self.asked: list[str] = []

    async def addresses(self, host: str) -> list[str]:
        self.asked.append(host)
        if host not in self._known:
            raise ResolutionFailed(host, f"There is no host {host}.")
        return self._known[host]

    async def services(self, name: str) -> list[ServiceRecord]:
        raise NotImplementedError


@asynccontextmanager
async def receiver(answer: Answer) -> AsyncIterator[int]:
    """Its port on 127.0.0.1."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def read_request(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return headers, await reader.readexactly(int(headers["content-length"]))


def answering(octets: bytes, got: list[tuple[dict[str, str], bytes]] | None = None) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        if got is not None:
            got.append(request)
        writer.write(octets)
        await writer.drain()
        writer.close()

    return answer


async def test_a_receiver_verifies_the_signature_with_code_that_is_not_ours() -> None:
    got: list[tuple[dict[str, str], bytes]] = []
    secret, body = new_secret(seeded_entropy(1)), '{"type":"test","data":{"name":"Zoë"}}'.encode()
    headers = signed_headers(secret, "msg_1", SystemClock().wall(), body)
    ok = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answering(ok, got)) as port, Posting(LOOPBACK) as posting:
        assert await posting.post(f"http://127.0.0.1:{port}/hook", headers, body) == 204
    ((arrived, content),) = got
    assert Webhook(secret).verify(content, arrived) == {"type": "test", "data": {"name": "Zoë"}}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(content + b" ", arrived)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret(seeded_entropy(2))).verify(content, arrived)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"],
)
async def test_an_address_inside_is_never_connected_to(host: str) -> None:
    async with Posting(refusal_of, seconds=2) as posting:
        with pytest.raises(PostingFailed, match="it is not connected to"):
            await posting.post(f"http://{host}:9/", {}, b"{}")


async def test_a_name_that_leads_inside_is_not_followed_there() -> None:
    names = Names(hooks_example_com=["127.0.0.1", "10.0.0.1"])
    got: list[tuple[dict[str, str], bytes]] = []
    async with receiver(answering(b"", got)) as port, Posting(refusal_of, names=names) as posting:
        with pytest.raises(PostingFailed, match=r"hooks.example.com is at 127.0.0.1, which is a loopback"):
            await posting.post(f"http://hooks.example.com:{port}/", {}, b"{}")
    assert (got, names.asked) == ([], ["hooks.example.com"])


async def test_only_the_permitted_address_of_a_name_is_connected_to() -> None:
    names = Names(hooks_example_com=["10.0.0.1", "127.0.0.1"])
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answering(ok)) as port, Posting(LOOPBACK, names=names) as posting:
        assert await posting.post(f"http://hooks.example.com:{port}/", {}, b"{}") == 200


async def test_a_redirection_is_an_answer_and_not_followed() -> None:
    got: list[tuple[dict[str, str], bytes]] = []
    moved = b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answering(moved, got)) as port, Posting(LOOPBACK) as posting:
        assert await posting.post(f"http://127.0.0.1:{port}/", {}, b"{}") == 307
    assert len(got) == 1


async def test_an_answer_without_end_is_left_after_64_kib() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 16_384)
                sent += 16_384
                await writer.drain()
        except ConnectionError:
            pass

    async with receiver(endless) as port, Posting(LOOPBACK) as posting:
        assert await posting.post(f"http://127.0.0.1:{port}/", {}, b"{}") == 200
    assert sent < 64 * 1024 * 1024


async def test_a_receiver_that_is_silent_is_left_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with receiver(silent) as port, Posting(LOOPBACK, seconds=0.2) as posting:
        with pytest.raises(PostingFailed, match="did not answer"):
            await posting.post(f"http://127.0.0.1:{port}/", {}, b"{}")


@pytest.mark.parametrize(
    "octets", [b"", b"SIP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_what_is_no_answer_is_told_as_such(octets: bytes) -> None:
    async with receiver(answering(octets)) as port, Posting(LOOPBACK) as posting:
        with pytest.raises(PostingFailed, match=r"cannot be used"):
            await posting.post(f"http://127.0.0.1:{port}/", {}, b"{}")


async def test_nobody_there_and_no_such_name_are_told_apart() -> None:
    async with Posting(LOOPBACK, names=Names()) as posting:
        with pytest.raises(PostingFailed, match="No connection to the receiver"):
            await posting.post("http://127.0.0.1:1/", {}, b"{}")
        with pytest.raises(PostingFailed, match=r"There is no host nowhere\.example\.com"):
            await posting.post("http://nowhere.example.com/", {}, b"{}")
