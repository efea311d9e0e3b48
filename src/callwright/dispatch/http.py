"""How an agent asks its platform beside the broker: over HTTP, with what the platform told it for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from callwright.dispatch.broker import NoAnswer
from callwright.dispatch.messages.agents import Ask, Orders
from callwright.dispatch.messages.wire import NotNow, encode

if TYPE_CHECKING:
    import httpx

_SECONDS = 4.0  # less than a lease's third: a platform that hangs is as one that is away


class HttpPlatform:
    """`await platform(question)`; see `agent.worker.Platform`. `ca`: PEM text to trust."""

    def __init__(self, url: str, ca: str | None = None) -> None:
        self._address, self._ca = f"{url.rstrip('/')}/api/v2/agents/ask", ca
        self._client: httpx.AsyncClient | None = None

    def _open(self) -> httpx.AsyncClient:
        import httpx

        from callwright.net.trust import verifying_context

        if self._client is None:
            trust: Any = verifying_context(self._ca) if self._address.startswith("https:") else True
            self._client = httpx.AsyncClient(
                timeout=_SECONDS, verify=trust, trust_env=not _is_near(self._address)
            )
        return self._client

    async def __call__(self, question: Ask) -> Orders:
        import httpx

        body = encode(question)
        try:
            answer = await self._open().post(
                self._address, content=body, headers={"Content-Type": "application/json"}
            )
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise NoAnswer(f"{self._address} does not answer: {type(error).__name__}") from None
        try:
            told = answer.json()
        except ValueError:
            told = None
        if answer.status_code == 503 and isinstance(told, dict) and told.get("status") == 503:
            raise NotNow(str(told.get("message")))  # of the platform itself, not of a proxy before it
        try:
            if answer.status_code != 200 or not isinstance(told, dict):
                raise NoAnswer(f"{self._address} answers {answer.status_code}")
            return msgspec.convert(told.get("data"), Orders)
        except msgspec.ValidationError as error:
            raise NoAnswer(f"the answer of {self._address} cannot be read: {error}") from None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def _is_near(address: str) -> bool:
    """No proxy of the environment stands between processes of one machine."""
    return address.startswith(("http://127.", "http://[::1]", "http://localhost"))
