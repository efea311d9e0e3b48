"""Sends by Apprise, each message in a process of its own: it can be ended when it takes too long, and it is
told which addresses it may connect to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence

import msgspec

from callwright.control.notifications.delivery import Undelivered
from callwright.net.process import bound_to_parent

__all__ = ["AppriseSender", "Sent", "Wish"]

_SECONDS = 40.0
_AT_ONCE = 4
_MOST_OCTETS = 65_536  # of what it says


class Wish(msgspec.Struct, frozen=True):
    """``networks``: those inside of a network that may be reached."""

    url: str
    title: str
    text: str
    networks: tuple[str, ...]


class Sent(msgspec.Struct, frozen=True):
    """``reason``: without secrets; empty where it was sent."""

    done: bool
    reason: str = ""


class AppriseSender:
    """Announcer."""

    def __init__(self, networks: Sequence[str] = (), *, seconds: float = _SECONDS) -> None:
        self._networks, self._seconds = tuple(networks), seconds
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def announce(self, url: str, title: str, text: str) -> None:
        wish = msgspec.json.encode(Wish(url, title, text, self._networks))
        async with self._room:
            sent = await self._send(wish)
        if not sent.done:
            raise Undelivered(sent.reason or "The service did not take the message.")

    async def _send(self, wish: bytes) -> Sent:
        process = await asyncio.create_subprocess_exec(
            *bound_to_parent([sys.executable, "-m", "callwright.host.apprise_child"]),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
        )
        try:
            async with asyncio.timeout(self._seconds):
                said, _ = await process.communicate(wish)
            return msgspec.json.decode(said[:_MOST_OCTETS], type=Sent)
        except TimeoutError:
            raise Undelivered(f"The service did not answer within {self._seconds:g} s.") from None
        except msgspec.MsgspecError:
            raise Undelivered("What sends by Apprise ended without a word.") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def _environment() -> dict[str, str]:
    """No secret of the platform, and no proxy, which would connect on its behalf."""
    kept = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ}
