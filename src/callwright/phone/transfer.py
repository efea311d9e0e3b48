"""One transfer that the phone asks for: a REFER within a call, and what the peer tells of it (RFC 3515)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from callwright.outcome.captured import CapturedMessage
from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import Failure
from callwright.phone.line import PhoneLine
from callwright.sip import events
from callwright.sip.call import Call
from callwright.sip.message import Response
from callwright.sip.refer import ReferTo
from callwright.sip.referral import Referral

_MOST_CODES = 32

News = events.ReferralProgressed | events.ReferralAccepted | events.ReferralRefused | events.ReferralEnded


class PhoneTransfer:
    """`finished` holds the unjudged RequestOutcome once the peer told a final status, or tells no more."""

    def __init__(
        self, line: PhoneLine, to: ReferTo, *, identifier: str = "", party: str | None = None
    ) -> None:
        self.to = to
        self.referral: Referral | None = None
        self.finished: asyncio.Future[RequestOutcome] = asyncio.get_running_loop().create_future()
        self._line = line
        self._identifier, self._party = identifier, party
        self._response: Response | None = None
        self._codes: list[int] = []
        self._reason: str | None = None
        self._failure: tuple[Failure, str | None] | None = None
        self._peer: str | None = None
        self._target: str | None = None
        self._started, self._wall = line.now(), line.clock.wall()
        self._answered_at: float | None = None
        self._told_at: float | None = None

    def start(self, call: Call, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send the REFER."""
        self._target = str(call.remote.uri)
        self._peer = f"{call.hop.transport.value.lower()}:{call.hop.remote}"
        self.referral = call.refer(self.to, now=self._line.now(), headers=headers)
        if self.referral is None:
            self.fail(Failure.NEVER_CAME, "the call that was to be transferred is not up")
            return
        self._line.drain()

    def fail(self, failure: Failure, detail: str | None = None) -> None:
        """It comes to nothing, and this is why."""
        self._failure = self._failure or (failure, detail)
        self._finish()

    def abandon(self) -> None:
        """Wait no longer for news."""
        self._finish()

    def on_event(self, event: News) -> None:
        """News of its REFER."""
        match event:
            case events.ReferralAccepted(response=response):
                self._response, self._answered_at = response, event.at
            case events.ReferralRefused(status=status, reason=reason):
                self._response, self._answered_at = event.response, event.at
                self.fail(Failure.REFUSED if status is not None else Failure.TIMEOUT, reason or None)
            case events.ReferralProgressed(status=status, reason=reason):
                if len(self._codes) < _MOST_CODES:
                    self._codes.append(status)
                self._reason, self._told_at = reason, event.at
                if status >= 200:
                    self._finish()
            case events.ReferralEnded():
                self._finish()

    def _finish(self) -> None:
        if self.finished.done():
            return
        response, referral = self._response, self.referral
        failure, detail = self._failure or (None, None)
        final = bool(self._codes) and self._codes[-1] >= 200
        messages = (
            () if response is None else (CapturedMessage(str(response.status), tuple(response.headers)),)
        )
        self.finished.set_result(
            RequestOutcome(
                method="REFER",
                sip_code=response.status if response is not None else None,
                sip_reason=response.reason if response is not None else None,
                address=self._identifier or None,
                party=self._party,
                target=self._target,
                peer=self._peer,
                started_at=self._wall,
                round_trip_ms=self._since(self._answered_at),
                retransmissions=referral.handle.retransmissions_sent if referral is not None else None,
                authenticated=referral.handle.was_challenged if referral is not None else None,
                refer_to=str(self.to.target),
                replaces=self.to.replaces is not None,
                transfer_codes=tuple(self._codes),
                transfer_code=self._codes[-1] if self._codes else None,
                transfer_reason=self._reason,
                transfer_ms=self._since(self._told_at) if final else None,
                failure=failure,
                failure_detail=detail if response is None else None,
                messages=messages,
            )
        )

    def _since(self, moment: float | None) -> float | None:
        return None if moment is None else (moment - self._started) * 1000
