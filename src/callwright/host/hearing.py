"""Whether a child of `serve` hears: each is asked what it is there to answer.

The agent is told of the kill switch by the same question, so that it hears of it though NATS is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from callwright.dispatch.messages.agents import Word
from callwright.host.supervised import ProcessLine

if TYPE_CHECKING:
    from callwright.control.runs.service import Runs

Hears = Callable[[], Awaitable[bool]]
_SECONDS = 4.0
_READY_SECONDS = 30.0


def agent_hears(line: ProcessLine, runs: Runs) -> Hears:
    from callwright.control.errors import DomainError

    async def hears() -> bool:
        try:
            switch = await runs.kill_switch()
            word = Word(switch.to_agents if switch is not None else "")
        except (DomainError, OSError):
            word = Word()  # a database that is away engages nothing, and is an answer
        return await line.say(word, _SECONDS)

    return hears


def web_hears(host: str, port: int) -> Hears:
    """Any answer will do: also one that says that something is missing."""

    async def hears() -> bool:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(
                f"GET /healthz HTTP/1.1\r\nHost: {_named(host)}\r\nConnection: close\r\n\r\n".encode()
            )
            return (await reader.read(5)).startswith(b"HTTP/")
        finally:
            writer.close()

    return hears


def pbx_hears(host: str, port: int) -> Hears:
    """An OPTIONS of ours (RFC 3261 section 11) over UDP, whatever it is answered."""

    async def hears() -> bool:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bool] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Answer(answered), remote_addr=(host, port)
        )
        try:
            local: Any = transport.get_extra_info("sockname")
            mark = f"{loop.time():.6f}".replace(".", "")
            transport.sendto(_options(local[0], local[1], host, port, mark))
            return await answered
        finally:
            transport.close()

    return hears


class _Answer(asyncio.DatagramProtocol):
    def __init__(self, answered: asyncio.Future[bool]) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self._answered.done():
            self._answered.set_result(data.startswith(b"SIP/2.0 "))

    def error_received(self, exc: Exception) -> None:
        if not self._answered.done():
            self._answered.set_result(False)


def _options(local: str, local_port: int, host: str, port: int, mark: str) -> bytes:
    lines = (
        f"OPTIONS sip:{_named(host)}:{port} SIP/2.0",
        f"Via: SIP/2.0/UDP {_named(local)}:{local_port};branch=z9hG4bKhears{mark};rport",
        "Max-Forwards: 1",
        f"From: <sip:supervisor@{_named(local)}>;tag={mark}",
        f"To: <sip:{_named(host)}:{port}>",
        f"Call-ID: hears{mark}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def until_healthy(url: str, stop: asyncio.Event) -> str:
    """What is still missing after the time for it; empty when all is well."""
    import httpx

    missing = "nothing answers"
    deadline = asyncio.get_running_loop().time() + _READY_SECONDS
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
        while not stop.is_set() and asyncio.get_running_loop().time() < deadline:
            try:
                answer = await client.get(url, headers={"Accept": "application/json"})
                if answer.status_code == 200:
                    return ""
                missing = ", ".join(answer.json().get("missing", [])) or f"status {answer.status_code}"
            except (httpx.HTTPError, ValueError):
                missing = "nothing answers"
            await asyncio.sleep(0.05)
    return missing
