"""Requests that the platform sends to addresses of its users' choice: whatever a name resolves to, only an
address that is permitted is connected to; no redirection is followed, no proxy used, and time and size of an
answer are bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

from callwright.net.address import numeric_host
from callwright.net.resolver import NameService, ResolutionFailed, SystemNames

__all__ = ["Posting", "PostingFailed"]

_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
_MOST_OCTETS = 65_536  # of an answer
_CONNECTIONS, _IDLE_CONNECTIONS, _IDLE_SECONDS = 64, 16, 15.0

#: Why an address must not be connected to; None: it may.
Refusal = Callable[[str], str | None]


class PostingFailed(Exception):
    """No answer came; the text is a sentence."""


class _Refused(Exception):
    pass


class _Guarded(httpcore.AsyncNetworkBackend):
    """Resolves names itself, and connects to addresses."""

    def __init__(self, refusal: Refusal, names: NameService) -> None:
        self._refusal, self._names = refusal, names
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        literal = numeric_host(host.strip("[]"))
        addresses = [literal] if literal is not None else await self._names.addresses(host)
        why = {address: self._refusal(address) for address in addresses}
        permitted = [address for address, refused in why.items() if refused is None]
        if not permitted:
            address, refused = next(iter(why.items()))
            what = host if literal is not None else f"{host} is at {address}, which"
            raise _Refused(f"{what} is {refused}: it is not connected to.")
        failed: Exception | None = None
        for address in permitted:
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        assert failed is not None
        raise failed

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise _Refused("Sockets of this machine are not connected to.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Posting:
    """`async with Posting(refusal):`; connections are kept for a while, as their addresses were permitted."""

    def __init__(
        self, refusal: Refusal, *, names: NameService | None = None, seconds: float = _SECONDS
    ) -> None:
        self._seconds = seconds
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_IDLE_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=_Guarded(refusal, names or SystemNames()),
        )

    async def __aenter__(self) -> Posting:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._pool.aclose()

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        """The status of the answer. Raises PostingFailed."""
        timeouts = {
            "connect": _CONNECT_SECONDS,
            "read": self._seconds,
            "write": self._seconds,
            "pool": self._seconds,
        }
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._pool.stream(
                    "POST", url, headers=[*headers.items()], content=body, extensions={"timeout": timeouts}
                ) as response,
            ):
                size = 0
                async for chunk in response.aiter_stream():
                    size += len(chunk)
                    if size > _MOST_OCTETS:  # the connection is closed with what is left on it
                        break
                status: int = response.status
                return status
        except TimeoutError:
            raise PostingFailed(f"The receiver did not answer within {self._seconds:g} s.") from None
        except (_Refused, ResolutionFailed) as error:
            raise PostingFailed(str(error)) from None
        except httpcore.TimeoutException:
            raise PostingFailed("The receiver did not answer in time.") from None
        except httpcore.ConnectError as error:
            raise PostingFailed(f"No connection to the receiver: {_told(error)}.") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            raise PostingFailed(f"The receiver's answer cannot be used: {_told(error)}.") from None


def _told(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")[:200]
    return text or type(error).__name__
