"""A subscription of the phone (RFC 6665): what its NOTIFYs say, from SUBSCRIBE to the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from callwright.net.driver import BindFailed
from callwright.net.resolver import ResolutionFailed
from callwright.net.tls import TlsConfigurationError
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.request import NotifyOutcome, RequestOutcome
from callwright.outcome.terms import Failure
from callwright.phone.addressing import as_name_addr, as_uri
from callwright.phone.failures import failure_to_locate
from callwright.phone.intent import Capped
from callwright.phone.line import PhoneLine
from callwright.phone.permission import NotPermitted
from callwright.phone.plan import Account
from callwright.phone.router import Router
from callwright.phone.turns import Turns
from callwright.sip import events
from callwright.sip.message import Response
from callwright.sip.subscriber import Subscriber
from callwright.sip.transport import Hop
from callwright.sip.uri import NameAddr, Uri

_MOST = 64  # NOTIFYs whose bodies are kept
_LONGEST = 8_192  # characters of a body
_PATIENCE = 4.0  # seconds for the last NOTIFY


class PhoneSubscription:
    """Begun when it is made; `end()` unsubscribes. `finished` holds the unjudged RequestOutcome."""

    def __init__(
        self,
        line: PhoneLine,
        router: Router,
        turns: Turns,
        target: str,
        event: str,
        *,
        account: Account | None = None,
        caller: str | None = None,
        proxy: str | None = None,
        expires: int = 600,
        accept: str = "",
        headers: Sequence[tuple[str, str]] = (),
        identifier: str | None = None,
        party: str | None = None,
    ) -> None:
        self.target = Uri.parse(as_uri(target))
        self.finished: asyncio.Future[RequestOutcome] = asyncio.get_running_loop().create_future()
        self._line, self._router, self._turns = line, router, turns
        self._event, self._expires, self._accept = event, expires, accept
        self._account, self._caller, self._proxy = account, caller, proxy
        self._headers = tuple(headers)
        self._identifier, self._party = identifier, party
        self._subscriber: Subscriber | None = None
        self._response: Response | None = None
        self._answered_at: float | None = None
        self._notifies: list[NotifyOutcome] = []
        self._messages: list[CapturedMessage] = []
        self._hop: Hop | None = None
        self._wall, self._started = line.clock.wall(), line.now()
        self._timer: asyncio.TimerHandle | None = None
        self._task = asyncio.ensure_future(self._begin())

    def end(self) -> None:
        """Unsubscribe, and wait some seconds for the last NOTIFY."""
        if self.finished.done() or self._timer is not None:
            return
        if self._subscriber is None or self._subscriber.over:
            self._finish(None)
            return
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._finish, None)
        self._subscriber.unsubscribe(self._line.now())
        self._line.drain()

    async def _begin(self) -> None:
        try:
            user = self._account.user if self._account else None
            way, routes = await self._router.preloaded(self.target, self._proxy, user)
            await self._router.permit_hosts(self._headers, self.target)
            await self._turns.send(way.targets)
        except ResolutionFailed as error:
            self._finish(*failure_to_locate(error))
        except (NotPermitted, Capped, ValueError) as refused:
            self._finish(Failure.POLICY, str(refused))
        except (BindFailed, TlsConfigurationError) as error:
            self._finish(Failure.PLATFORM, str(error))
        else:
            if self.finished.done():
                return
            hop = way.hops[0]
            account = self._account
            self._started, self._wall = self._line.now(), self._line.clock.wall()
            self._hop = hop
            if self._caller:
                local = NameAddr.parse(as_name_addr(self._caller))
            else:
                local = NameAddr("", self._line.own_uri(hop.local.host))
            self._subscriber = self._line.endpoint.subscribe(
                self.target,
                self._event,
                local=local,
                hop=hop,
                now=self._started,
                expires=self._expires,
                accept=self._accept,
                headers=self._headers,
                route=routes,
                credentials=account.credentials if account else None,
            )
            self._line.expect_subscription(self._subscriber, self._on_event)
            self._line.drain()

    def _on_event(self, event: events.Event) -> None:
        match event:
            case events.SubscribeAccepted(response=response):
                self._response, self._answered_at = response, event.at
            case events.SubscribeFailed(status=status, reason=reason):
                self._response, self._answered_at = event.response, event.at
                failure = Failure.REFUSED if status is not None else Failure.TIMEOUT
                if status in (401, 407) and self._account is None:
                    failure = Failure.NO_CREDENTIALS
                self._finish(failure, reason if status is None else None)
            case events.Notified(state=state, request=request):
                if len(self._notifies) < _MOST:
                    kind = request.headers.get("content-type")
                    body = request.body[: 4 * _LONGEST].decode("utf-8", "replace")[:_LONGEST]
                    at = event.at - self._started
                    self._notifies.append(NotifyOutcome(at, state.state, state.reason or None, kind, body))
                    self._messages.append(CapturedMessage("NOTIFY", tuple(request.headers)))
            case events.SubscribeEnded(why=why):
                silent = not self._notifies
                self._finish(Failure.TIMEOUT if silent else None, why if silent else None)

    def _finish(self, failure: Failure | None, detail: str | None = None) -> None:
        if self.finished.done():
            return
        if self._timer is not None:
            self._timer.cancel()
        response, subscriber = self._response, self._subscriber
        messages = list(self._messages)
        if response is not None:
            messages.insert(0, CapturedMessage(str(response.status), tuple(response.headers)))
        took = None if self._answered_at is None else (self._answered_at - self._started) * 1000
        self.finished.set_result(
            RequestOutcome(
                method="SUBSCRIBE",
                sip_code=response.status if response is not None else None,
                sip_reason=response.reason if response is not None else None,
                address=self._identifier,
                party=self._party,
                target=str(self.target),
                peer=f"{self._hop.transport.value.lower()}:{self._hop.remote}" if self._hop else None,
                tls=self._line.tls(self._hop),
                started_at=self._wall,
                round_trip_ms=took,
                authenticated=subscriber.handle.was_challenged if subscriber and self._account else None,
                notifies=tuple(self._notifies),
                failure=failure,
                failure_detail=detail,
                messages=tuple(messages),
            )
        )
