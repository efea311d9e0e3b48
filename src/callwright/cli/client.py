"""A client of the platform's API, for the verbs that talk to a running one. Follows no redirect."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import quote

import typer

from callwright.host.operator import EXIT_PLATFORM, Refused

if TYPE_CHECKING:
    import httpx

UrlOption = Annotated[
    str,
    typer.Option(
        "--url", metavar="URL", envvar="CALLWRIGHT_URL", show_envvar=True, help="Where the platform is."
    ),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="PUBLIC:SECRET",
        envvar="CALLWRIGHT_KEY",
        show_envvar=True,
        help="An API key; better kept in the environment.",
    ),
]
DEFAULT_URL = "http://127.0.0.1:8000"
_KEEPERS = (429, 503)  # statuses that pass by themselves
_TRIES = 6


class Client:
    """`with Client(url, key) as api: api.get("/tests")`. Every refusal is raised as Refused."""

    def __init__(self, url: str, key: str | None) -> None:
        import httpx

        public, colon, secret = (key or "").partition(":")
        if not colon or not public or not secret:
            raise Refused(
                "an API key is needed",
                "Add --key PUBLIC:SECRET, or set CALLWRIGHT_KEY; see `callwright keys`.",
            )
        base = url.rstrip("/").removesuffix("/api/v2")
        if not base.startswith(("http://", "https://")):
            raise Refused(
                f"--url {url} is not the address of a platform: it begins with http:// or https://",
                f"For example: --url {DEFAULT_URL}",
            )
        try:
            self._http = httpx.Client(
                base_url=f"{base}/api/v2", auth=(public, secret), timeout=30.0, follow_redirects=False
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise Refused(f"--url {url}: {error}", f"For example: --url {DEFAULT_URL}") from None
        self.base = base

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Asks again, patiently, where the answer says to come back; raises Refused for every other no."""
        import time

        import httpx

        for attempt in range(_TRIES):
            try:
                response = self._http.request(method, path, **more)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise Refused(
                    f"{self.base} does not answer: {error}",
                    "Is the platform running? Start it with `callwright serve`.",
                    code=EXIT_PLATFORM,
                    blame="platform",
                ) from None
            if response.status_code in _KEEPERS and attempt + 1 < _TRIES:
                time.sleep(_pause(response.headers.get("Retry-After", "")))
                continue
            break
        if response.is_success and (response.status_code == 204 or _is_ours(response)):
            return response
        raise _refusal(response)

    def get(self, path: str, **parameters: Any) -> Any:
        return self.request("GET", path, params=parameters).json()

    def pages(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Every row of a list, page after page."""
        answer = self.get(path, **parameters)
        while True:
            yield from answer["data"]
            if not answer.get("next"):
                return
            answer = self.request("GET", answer["next"].split("/api/v2", 1)[1]).json()


def _pause(retry_after: str) -> float:
    """Seconds; a proxy may write a date instead, which is not worth to be read."""
    digits = retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 9
    return min(10.0, float(retry_after)) if digits else 1.0


def _is_ours(response: httpx.Response) -> bool:
    """Not the page of a proxy, or of something else that listens there."""
    return "html" not in response.headers.get("content-type", "")


def quoted(name: str) -> str:
    return quote(name, safe="")


def _refusal(response: httpx.Response) -> Refused:
    try:
        body = response.json()
        message, errors = str(body["message"]), list(body.get("errors") or [])
    except (ValueError, KeyError, TypeError):
        message, errors = f"the answer was {response.status_code} {response.reason_phrase}", []
    lines = [message]
    for entry in errors:
        where, what = entry.get("address"), entry.get("message")
        if what and what != message:
            lines.append(f"  {where}: {what}" if where else f"  {what}")
        elif where:
            lines[0] = f"{where}: {message}"
    platform = response.status_code >= 500
    remedy = {401: "Check --key; make one with `callwright keys create`."}.get(response.status_code, "")
    return Refused(
        "\n".join(lines),
        remedy,
        code=EXIT_PLATFORM if platform else 2,
        blame="platform" if platform else "test",
        details={"status": response.status_code, "errors": errors},
    )
