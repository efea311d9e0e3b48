"""A state that the phone publishes (RFC 3903): sent, kept alive by its entity-tag, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import Failure
from callwright.phone.request import PhoneRequest

_EARLY = 0.85  # of what was granted: when it is sent again
_LONGEST_WAIT = 86_400
_MOST_AGAIN = 3  # times in a row that another answer than 2xx is made good


class PhonePublication:
    """Begun when it is made; `end()` takes the state back. `finished` holds the unjudged RequestOutcome: of
    the first PUBLISH, or of the one that went wrong. `send(body=…, headers=…)` sends a PUBLISH."""

    def __init__(
        self,
        send: Callable[..., PhoneRequest],
        event: str,
        body: bytes,
        content_type: str,
        *,
        expires: int = 600,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.finished: asyncio.Future[RequestOutcome] = asyncio.get_running_loop().create_future()
        self._send = send
        self._event, self._body, self._content_type = event, body, content_type
        self._expires, self._headers = expires, tuple(headers)
        self._tag = ""
        self._ending = asyncio.Event()
        self._task = asyncio.ensure_future(self._keep())

    def end(self) -> None:
        """Take it back."""
        self._ending.set()

    async def _keep(self) -> None:
        first, times = await self._published(), 0
        outcome = first
        while _accepted(outcome):
            granted = _number(_told(outcome, "Expires"), self._expires)
            try:
                async with asyncio.timeout(min(_EARLY * max(granted, 1), _LONGEST_WAIT)):
                    await self._ending.wait()
            except TimeoutError:
                outcome, times = await self._published(), times + 1
            else:
                outcome = await self._request(b"", 0)
                break
        shown = first if _accepted(outcome) or outcome.sip_code == 412 else outcome
        self.finished.set_result(replace(shown, refreshes=times))

    async def _published(self) -> RequestOutcome:
        """What came of it; one that the peer has forgotten is published anew."""
        for _ in range(_MOST_AGAIN):
            outcome = await self._request(b"" if self._tag else self._body, self._expires)
            if outcome.sip_code == 412 and self._tag:
                self._tag = ""
            elif outcome.sip_code == 423 and _number(_told(outcome, "Min-Expires"), 0) > self._expires:
                self._expires = _number(_told(outcome, "Min-Expires"), 0)
            else:
                break
        if not _accepted(outcome):
            return outcome
        self._tag = _told(outcome, "SIP-ETag")
        if not self._tag:
            detail = "its 2xx to our PUBLISH has no SIP-ETag (RFC 3903 section 11.3.1)"
            return replace(outcome, failure=Failure.MALFORMED, failure_detail=detail)
        return outcome

    async def _request(self, body: bytes, expires: int) -> RequestOutcome:
        headers = [("Event", self._event), ("Expires", str(expires)), *self._headers]
        if self._tag:
            headers.append(("SIP-If-Match", self._tag))
        more: dict[str, Any] = {"body": body, "content_type": self._content_type} if body else {}
        return await self._send(headers=headers, **more).finished


def _accepted(outcome: RequestOutcome) -> bool:
    return outcome.failure is None and outcome.sip_code is not None and outcome.sip_code < 300


def _told(outcome: RequestOutcome, name: str) -> str:
    """A header of the answer."""
    return next((value for kept in outcome.messages for value in kept.values(name)), "").strip()


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise
