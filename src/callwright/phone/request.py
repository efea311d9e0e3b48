"""A request outside of any call: OPTIONS to see whether a server is alive, MESSAGE to send a text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from callwright.net.driver import BindFailed
from callwright.net.resolver import ResolutionFailed
from callwright.net.tls import TlsConfigurationError
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import Failure
from callwright.phone.addressing import as_name_addr, as_uri
from callwright.phone.failures import failure_of, failure_to_locate
from callwright.phone.intent import Capped
from callwright.phone.line import PhoneLine
from callwright.phone.permission import NotPermitted
from callwright.phone.plan import Account
from callwright.phone.router import Router
from callwright.phone.turns import Turns
from callwright.policy.destination import Target
from callwright.sip import events
from callwright.sip.client_request import ClientRequest
from callwright.sip.transport import Hop, PermittedHop
from callwright.sip.uri import NameAddr, Uri


class PhoneRequest:
    """Sent when it is made; `finished` holds the unjudged RequestOutcome. `timeout` in seconds."""

    def __init__(
        self,
        line: PhoneLine,
        router: Router,
        turns: Turns,
        method: str,
        target: str,
        *,
        account: Account | None = None,
        caller: str | None = None,
        proxy: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = None,
        timeout: float | None = None,
        identifier: str | None = None,
        party: str | None = None,
    ) -> None:
        self._line, self._router, self._turns = line, router, turns
        self.method = method
        self.target = Uri.parse(as_uri(target))
        self.finished: asyncio.Future[RequestOutcome] = asyncio.get_running_loop().create_future()
        self._account, self._caller, self._proxy = account, caller, proxy
        self._headers, self._body, self._content_type = tuple(headers), body, content_type
        self._identifier, self._party = identifier, party
        self._handle: ClientRequest | None = None
        self._hops: list[PermittedHop] = []
        self._routes: tuple[str, ...] = ()
        self._targets: tuple[Target, ...] = ()
        self._discarded: str | None = None  # what came and could not be used
        self._wall = line.clock.wall()
        self._started = line.now()
        self._timer = (
            asyncio.get_running_loop().call_later(timeout, self._time_out, timeout) if timeout else None
        )
        self._task = asyncio.ensure_future(self._send())

    def abandon(self, failure: Failure = Failure.STOPPED) -> None:
        """Wait no longer."""
        self._finish(failure=failure)

    async def _send(self) -> None:
        try:
            user = self._account.user if self._account else None
            way, self._routes = await self._router.preloaded(self.target, self._proxy, user)
            await self._router.permit_hosts(self._headers, self.target, self._body)
        except ValueError as error:
            self._finish(failure=Failure.POLICY, detail=str(error))
        except ResolutionFailed as error:
            failure, detail = failure_to_locate(error)
            self._finish(failure=failure, detail=detail)
        except NotPermitted as refused:
            self._finish(failure=Failure.POLICY, detail=str(refused))
        except (BindFailed, TlsConfigurationError) as error:
            self._finish(failure=Failure.PLATFORM, detail=str(error))
        else:
            self._hops, self._targets = list(way.hops), way.targets
            await self._send_next()

    async def _send_next(self) -> None:
        """To the next hop, when the caps of its target let it."""
        try:
            await self._turns.send(self._targets)
        except Capped as reason:
            self._finish(failure=Failure.POLICY, detail=str(reason))
        if not self.finished.done():
            self._request(self._hops.pop(0))

    def _request(self, hop: PermittedHop) -> None:
        now = self._line.now()
        account = self._account
        self._started, self._wall = now, self._line.clock.wall()
        self._handle = self._line.endpoint.request(
            self.method,
            self.target,
            local=self._local(hop),
            hop=hop,
            now=now,
            body=self._body,
            content_type=self._content_type,
            headers=self._headers,
            route=self._routes,
            credentials=account.credentials if account else None,
        )
        self._line.expect_request(self._handle, self._on_event)
        self._line.drain()

    def _local(self, hop: Hop) -> NameAddr:
        if self._caller:
            return NameAddr.parse(as_name_addr(self._caller))
        if self._account:
            return NameAddr(self._account.display_name, Uri("sip", self._account.user, host=self.target.host))
        return NameAddr("", self._line.own_uri(hop.local.host))

    def _on_event(self, event: events.Event) -> None:
        match event:
            case events.ResponseReceived(response=response):
                failure = None
                if response.status in (401, 407):
                    failure = Failure.REFUSED if self._account else Failure.NO_CREDENTIALS
                elif response.status >= 300:
                    failure = Failure.REFUSED
                self._finish(failure=failure, event=event)
            case events.ResponseDiscarded():
                self._discarded = f"a {event.status} to our {self.method}: {event.fault}"
            case events.RequestTimedOut():
                hop = self._handle.hop if self._handle else None
                self._finish(failure=Failure.TIMEOUT, detail=str(hop.remote) if hop else event.reason)
            case events.RequestFailed():
                if self._hops:
                    self._task = asyncio.ensure_future(self._send_next())
                    return
                failure, detail = failure_of(
                    events.FailureCause.TRANSPORT, None, event.reason, event.hop, bool(self._account)
                )
                self._finish(failure=failure, detail=detail)

    def _time_out(self, seconds: float) -> None:
        self._finish(failure=Failure.TIMEOUT, detail=f"{seconds:g} s")

    def _finish(
        self,
        *,
        failure: Failure | None,
        detail: str | None = None,
        event: events.ResponseReceived | None = None,
    ) -> None:
        if self.finished.done():
            return
        if self._task is not asyncio.current_task():
            self._task.cancel()  # who gives up waiting leaves its turn to the next
        if failure is Failure.TIMEOUT and self._discarded is not None:
            failure, detail = Failure.MALFORMED, self._discarded
        if self._timer is not None:
            self._timer.cancel()
        handle = self._handle
        response = event.response if event else None
        headers = response.headers if response else None
        allow = tuple(headers.get_all("Allow")) if headers else ()
        self.finished.set_result(
            RequestOutcome(
                method=self.method,
                sip_code=response.status if response else None,
                sip_reason=response.reason if response else None,
                address=self._identifier,
                party=self._party,
                target=str(self.target),
                peer=f"{handle.hop.transport.value.lower()}:{handle.hop.remote}" if handle else None,
                tls=self._line.tls(handle.hop) if handle else None,
                user_agent=(headers.get("User-Agent") or headers.get("Server")) if headers else None,
                started_at=self._wall,
                round_trip_ms=(event.at - self._started) * 1000 if event else None,
                retransmissions=handle.retransmissions_sent if handle else None,
                authenticated=handle.was_challenged if handle and self._account else None,
                allow=allow,
                failure=failure,
                failure_detail=detail,
                messages=(CapturedMessage(str(response.status), tuple(response.headers)),)
                if response
                else (),
            )
        )
