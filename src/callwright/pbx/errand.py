"""A request carried from one leg to the other, or from an account to the contacts of another."""

from __future__ import annotations

from collections.abc import Callable

from callwright.pbx.passage import content_type_of, passing
from callwright.pbx.verdicts import Final, best_of, final_from
from callwright.sip.endpoint import Endpoint
from callwright.sip.events import RequestFailed, RequestTimedOut, ResponseReceived
from callwright.sip.transaction.server import ServerTransaction

__all__ = ["Errand"]


class Errand:
    """Waits for the answers to copies of one request; the first 2xx, else the best of them, goes back.

    `transaction` None: nobody of the network waits for an answer. `on_failure(reason, at)` is called when a
    copy gets none; `on_final(final)` once, with what goes back.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        transaction: ServerTransaction | None,
        copies: int = 1,
        on_failure: Callable[[str, float], None] | None = None,
        on_final: Callable[[Final], None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._transaction = transaction
        self._open = copies
        self._on_failure, self._on_final = on_failure, on_final
        self._finals: list[Final] = []

    def answered(self, event: ResponseReceived) -> None:
        """A final response to one copy."""
        response = event.response
        if response.status < 300 and self._transaction is not None:
            transaction, self._transaction = self._transaction, None
            self._endpoint.respond(
                transaction,
                response.status,
                now=event.at,
                reason=response.reason or None,
                headers=passing(response.headers),
                body=response.body,
                content_type=content_type_of(response.headers),
            )
        if response.status < 300 and self._on_final is not None:
            on_final, self._on_final = self._on_final, None
            on_final(Final(response.status, response.reason))
        if response.status in (401, 407):
            final = Final(502, "Bad Gateway (the phone asks us for credentials)")
        else:
            final = final_from(response)
        self._closed(final, event.at)

    def failed(self, event: RequestTimedOut | RequestFailed) -> None:
        """One copy got no answer."""
        if isinstance(event, RequestTimedOut):
            final = Final(408, "Request Timeout (the phone does not answer)")
        else:
            final = Final(480, "Temporarily Unavailable (the phone cannot be reached)")
        self._closed(final, event.at)
        if self._on_failure is not None:
            self._on_failure(event.reason, event.at)

    def _closed(self, final: Final, now: float) -> None:
        self._open -= 1
        if final.status >= 300:
            self._finals.append(final)
        if self._open:
            return
        if self._on_final is not None and self._finals:
            on_final, self._on_final = self._on_final, None
            on_final(best_of(self._finals))
        if self._transaction is not None:
            best = best_of(self._finals)
            transaction, self._transaction = self._transaction, None
            self._endpoint.respond(
                transaction,
                best.status,
                now=now,
                reason=best.reason or None,
                headers=best.headers,
                body=best.body,
                content_type=best.content_type,
            )
