"""A registration of the phone: kept alive until it is taken back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from callwright.net.driver import BindFailed
from callwright.net.entropy import uuid4
from callwright.net.resolver import ResolutionFailed
from callwright.net.tls import TlsConfigurationError
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.request import RegistrationOutcome
from callwright.outcome.terms import Failure
from callwright.phone.addressing import as_uri, proxy_of, route_to
from callwright.phone.failures import failure_of, failure_to_locate
from callwright.phone.intent import Capped
from callwright.phone.line import PhoneLine
from callwright.phone.permission import NotPermitted
from callwright.phone.plan import Account
from callwright.phone.router import Router
from callwright.phone.turns import Turns
from callwright.policy.destination import Target
from callwright.sip import events
from callwright.sip.binding_wish import BindingWish
from callwright.sip.digest import Credentials
from callwright.sip.message import Response
from callwright.sip.registration import Registration
from callwright.sip.transport import PermittedHop
from callwright.sip.uri import NameAddr, Uri

_PATIENCE = 4.0
_REMEMBERED = 32
"""So many of its latest answers a registration keeps for conditions on headers."""


class PhoneRegistration:
    """`first` is set when the first REGISTER was accepted (True) or failed (False); `outcome()` has the rest.

    `expires` in seconds. `domain` is the host of the address of record, by default the registrar's.
    `contact`: a URI where calls are to go instead of to this phone; `also`: further ones.
    `outbound`: the number of the flow that the registrar is to keep (RFC 5626); `instance`: the URN of the
    device; `gruu`: an address of it is wanted (RFC 5627); `keepalive`: seconds between keep-alives, see
    BindingWish. `third_party`: the address to register where that is not the account's own.
    `on_change` is told of every acceptance and failure. `known`: where the password is put, by user, once it
    is used.
    """

    def __init__(
        self,
        line: PhoneLine,
        router: Router,
        turns: Turns,
        known: MutableMapping[str, Credentials],
        registrar: str,
        *,
        account: Account,
        expires: int = 3600,
        domain: str | None = None,
        proxy: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        contact: str | None = None,
        also: Sequence[str] = (),
        outbound: int | None = None,
        instance: str = "",
        gruu: bool = False,
        keepalive: float | None = None,
        third_party: str | None = None,
        identifier: str | None = None,
        party: str | None = None,
        on_change: Callable[[PhoneRegistration], None] | None = None,
    ) -> None:
        self.line, self._router, self._turns, self._known = line, router, turns, known
        typed = Uri.parse(as_uri(registrar))
        self.registrar = Uri(typed.scheme, host=typed.host, port=typed.port, parameters=typed.parameters)
        self.account = account
        own = Uri("sip", user=account.user, host=domain or typed.host).escaped()
        self.aor = Uri.parse(as_uri(third_party)).escaped() if third_party else own
        if (outbound is not None or gruu) and not instance:
            instance = f"urn:uuid:{uuid4(line.entropy)}"
        self._wish = BindingWish(
            path=True,
            instance=instance,
            reg_id=outbound,
            gruu=gruu,
            keepalive=keepalive,
            also=tuple(Uri.parse(as_uri(text)) for text in also),
            sender=NameAddr(account.display_name, own) if third_party else None,
        )
        self.first: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.removed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.refreshes = 0
        self.expires: float | None = None
        self._wished, self._proxy, self._headers = expires, proxy, tuple(headers)
        self._elsewhere = Uri.parse(contact) if contact else None
        self._identifier, self._party, self._on_change = identifier, party, on_change
        self._sip: Registration | None = None
        self._hop: PermittedHop | None = None
        self._hops: list[PermittedHop] = []
        self._targets: tuple[Target, ...] = ()
        self._started, self._wall = line.now(), line.clock.wall()
        self._registered_at: float | None = None
        self._failure: Failure | None = None
        self._detail: str | None = None
        self._last: Response | None = None
        self._answers: deque[Response] = deque(maxlen=_REMEMBERED)
        self._challenged = False
        self._discarded: str | None = None  # what came and could not be used
        self._contact: str | None = None
        self._unregistered: bool | None = None
        self._listed: int | None = None  # bindings that the registrar told of last
        self._route: tuple[str, ...] = ()  # the service route that was learned last
        self._route_refused: str | None = None
        self._flow_failed: str | None = None
        self._task = asyncio.ensure_future(self._begin())

    @property
    def registered(self) -> bool:
        return self._registered_at is not None and self._failure is None and self._unregistered is None

    def abandon(self) -> None:
        """Wait no longer for the first answer."""
        if not self.first.done():
            self._task.cancel()  # who gives up waiting leaves its turn to the next
            self._fail(Failure.STOPPED, None)

    async def unregister(self) -> bool:
        """Take the binding back; True when the registrar agreed. Waits a few seconds at most."""
        if self._sip is None or self._registered_at is None:
            return False
        self._sip.unregister(now=self.line.now())
        self.line.drain()
        try:
            self._unregistered = await asyncio.wait_for(asyncio.shield(self.removed), _PATIENCE)
        except TimeoutError:
            self._unregistered = False
        return self._unregistered

    async def _begin(self) -> None:
        try:
            way = await self._router.way(self.registrar, proxy_of(self._proxy))
            await self._router.permit_hosts(self._headers, self.registrar)
            for contact in self._wish.also:  # the registrar leads others there
                await self._router.way(contact)
        except ResolutionFailed as error:
            self._fail(*failure_to_locate(error))
        except (NotPermitted, ValueError) as refused:
            self._fail(Failure.POLICY, str(refused))
        except (BindFailed, TlsConfigurationError) as error:
            self._fail(Failure.PLATFORM, str(error))
        else:
            self._hops, self._targets = list(way.hops), way.targets
            await self._register_next()

    async def _register_next(self) -> None:
        """At the next hop, when the caps of its target let it."""
        try:
            await self._turns.send(self._targets)
        except Capped as reason:
            self._fail(Failure.POLICY, str(reason))
        else:
            self._register(self._hops.pop(0))

    def _register(self, hop: PermittedHop) -> None:
        now = self.line.now()
        if self._hop is None:
            self._started, self._wall = now, self.line.clock.wall()
        self._hop = hop
        account = self.account
        self._sip = self.line.endpoint.register(
            self.registrar,
            local=NameAddr(account.display_name, self.aor),
            hop=hop,
            now=now,
            credentials=account.credentials,
            expires=self._wished,
            contact=self._elsewhere,
            headers=self._headers,
            route=route_to(self._proxy),
            wish=self._wish,
        )
        self.line.expect_registration(self._sip, self._on_event)
        if account.credentials is not None:
            self._known[account.user] = account.credentials
        self.line.drain()

    def _on_event(self, event: events.Event) -> None:
        match event:
            case events.RegistrationSucceeded(expires=expires, response=response, contacts=contacts):
                self._answered(response)
                self._listed = len(contacts)
                self.expires, self._failure, self._detail = expires, None, None
                if self._registered_at is None:
                    self._registered_at = event.at
                else:
                    self.refreshes += 1
                    self._turns.count(self._targets)  # it never waits: without it the binding would run out
                self._learn(event.registration)
            case events.FlowFailed(reason=reason):
                self._flow_failed = reason
            case events.RegistrationRemoved(response=response):
                self._answered(response)
                self._router.learned.pop(self.account.user, None)
                self._unregistered = True
                if not self.removed.done():
                    self.removed.set_result(True)
            case events.RegistrationFailed():
                self._failed(event)
            case events.RegistrationExpired() if self._failure is None:
                self._fail(Failure.NOT_BOUND, "the binding ran out before it was refreshed")
            case events.ResponseDiscarded():
                if self._sip is None or self._sip.handle is not event.handle:
                    return
                self._discarded = f"a {event.status} to our REGISTER: {event.fault}"
        if self._on_change:
            self._on_change(self)

    def _learn(self, made: Registration) -> None:
        """The service route is learned before anybody hears of the registration: their calls take it."""
        routes = made.terms.service_route
        if routes == self._route:
            self._settle(True)
            return
        self._route = routes
        self._task = asyncio.ensure_future(self._take_route(made, routes))

    async def _take_route(self, made: Registration, routes: tuple[str, ...]) -> None:
        self._route_refused = await self._router.learn(self.account.user, routes, made.hop)
        self._settle(True)

    def _failed(self, event: events.RegistrationFailed) -> None:
        if event.response is not None:
            self._answered(event.response)
        elif self._hops and self._registered_at is None:
            self._task = asyncio.ensure_future(self._register_next())
            return
        if not self.removed.done():
            self.removed.set_result(False)
        failure, detail = failure_of(
            event.cause, event.status, event.reason, self._hop, bool(self.account.secret)
        )
        if failure is Failure.TIMEOUT and self._discarded is not None:
            failure, detail = Failure.MALFORMED, self._discarded
        self._fail(failure, detail)

    def _answered(self, response: Response) -> None:
        """Remember a final response: the last of all is the outcome's code, conditions see each."""
        self._last = response
        self._answers.append(response)
        handle = self._sip.handle if self._sip else None
        self._challenged = self._challenged or (handle is not None and handle.was_challenged)

    def _fail(self, failure: Failure, detail: str | None) -> None:
        self._failure, self._detail = failure, detail
        self._settle(False)

    def _settle(self, registered: bool) -> None:
        if not self.first.done():
            self.first.set_result(registered)

    def outcome(self) -> RegistrationOutcome:
        """How things stand, unjudged."""
        last = self._last
        headers = last.headers if last else None
        registered = self._registered_at
        return RegistrationOutcome(
            sip_code=last.status if last else None,
            sip_reason=last.reason if last else None,
            address=self._identifier,
            party=self._party,
            account=f"{self.aor.user}@{self.aor.host}",
            registrar=self.registrar.host
            if self.registrar.port is None
            else f"{self.registrar.host}:{self.registrar.port}",
            contact=str(self._sip.contact) if self._sip else None,
            peer=f"{self._hop.transport.value.lower()}:{self._hop.remote}" if self._hop else None,
            tls=self.line.tls(self._hop),
            user_agent=(headers.get("User-Agent") or headers.get("Server")) if headers else None,
            started_at=self._wall,
            registered_ms=(registered - self._started) * 1000 if registered is not None else None,
            expires_s=round(self.expires) if self.expires is not None else None,
            refreshes=self.refreshes,
            bindings=self._listed,
            **self._terms(),
            unregistered=self._unregistered,
            authenticated=self._challenged if self._sip and self.account.secret else None,
            failure=self._failure,
            failure_detail=self._detail,
            messages=tuple(CapturedMessage(str(each.status), tuple(each.headers)) for each in self._answers),
        )

    def _terms(self) -> dict[str, Any]:
        """What was agreed on beside the binding."""
        made, wish = self._sip, self._wish
        if made is None:
            return {}
        terms = made.terms
        return {
            "min_expires_s": made.minimum,
            "path": terms.path,
            "service_route": terms.service_route,
            "service_route_refused": self._route_refused,
            "outbound": terms.outbound if wish.reg_id is not None and self._registered_at else None,
            "flow_timer_s": terms.flow_timer,
            "flow_failures": made.flow_failures,
            "flow_failed": self._flow_failed,
            "keepalives_sent": made.keepalives_sent,
            "keepalives_answered": made.keepalives_answered,
            "public_gruu": terms.public_gruu,
            "temporary_gruu": terms.temporary_gruu,
        }
