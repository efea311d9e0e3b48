"""A registration kept alive (RFC 3261 section 10.2): REGISTER, refresh at half the expiry, 423,
unregistering; and its flow, which is formed anew when it dies (RFC 5626 section 4.5)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from callwright.sip.binding_wish import NO_TERMS, PLAIN, BindingWish, Terms
from callwright.sip.client_request import ClientRequest
from callwright.sip.digest import Credentials, DigestClient
from callwright.sip.events import (
    FailureCause,
    FlowFailed,
    RegistrationExpired,
    RegistrationFailed,
    RegistrationRemoved,
    RegistrationSucceeded,
)
from callwright.sip.grammar import SipSyntaxError, parse_number
from callwright.sip.message import Response
from callwright.sip.timers import Alarm
from callwright.sip.transport import PermittedHop
from callwright.sip.uri import NameAddr, Uri

if TYPE_CHECKING:
    from callwright.sip.keepalive import Keepalive
    from callwright.sip.user_agent import UserAgent

_MAX_EXPIRES = 2**32 - 1
_RETRY_PAUSE = 30.0  # seconds between attempts to refresh a binding that still lives
_LONGEST_PAUSE = 1_800.0  # between attempts to form a flow (RFC 5626 section 4.5)


class RegistrationState(StrEnum):
    """Where a registration stands."""

    REGISTERING = "registering"
    REGISTERED = "registered"
    REFRESHING = "refreshing"
    UNREGISTERING = "unregistering"
    ENDED = "ended"


class Registration:
    """One binding at one registrar. Made by `Endpoint.register`. Read only for users:

    state       RegistrationState
    local       the address of record (NameAddr)
    contact     our Contact URI (Uri)
    expires_at  monotonic seconds at which the binding ends, or None
    granted     seconds that the registrar granted last
    terms       what the registrar said of it last (Terms)
    minimum     the Min-Expires that it demanded, or None
    flow_failures, keepalives_sent, keepalives_answered   counts
    handle      the ClientRequest of the last REGISTER (None before it)
    """

    def __init__(
        self,
        agent: UserAgent,
        registrar: str,
        local: NameAddr,
        hop: PermittedHop,
        *,
        contact: Uri,
        credentials: Credentials | None,
        expires: int,
        headers: Iterable[tuple[str, str]],
        routes: Iterable[str],
        wish: BindingWish = PLAIN,
    ) -> None:
        self._agent = agent
        self._wish = wish
        self._keepalive: Keepalive | None = None
        self._kept = (0, 0)  # keep-alives of flows that are gone
        self._failures = 0  # to form a flow, one after the other
        self._registrar = registrar
        self._headers = tuple(headers)
        self._routes = tuple(routes)
        self._digest = DigestClient(credentials, agent.entropy) if credentials is not None else None
        self._call_id = agent.token() + agent.token()
        self._tag = agent.token()
        self._cseq = 0
        self._raised = False
        self._alarm: Alarm | None = None
        self._expiry: Alarm | None = None
        self.local = local
        self.hop = hop
        self.contact = contact
        self.wanted = expires
        self.granted: float | None = None
        self.expires_at: float | None = None
        self.terms: Terms = NO_TERMS
        self.minimum: int | None = None
        self.flow_failures = 0
        self.state = RegistrationState.REGISTERING
        self.handle: ClientRequest | None = None
        self.user_data: Any = None

    def start(self, now: float) -> None:
        """Send the first REGISTER."""
        self._send(self.wanted, now)

    def unregister(self, *, now: float) -> bool:
        """Remove the binding. Ends in RegistrationRemoved or RegistrationFailed. False when it has ended."""
        if self.state in (RegistrationState.UNREGISTERING, RegistrationState.ENDED):
            return False
        if self.handle is not None and not self.handle.finished:
            self.handle.abandon(now)
        self._cancel_alarms()
        self._rest()
        self.state = RegistrationState.UNREGISTERING
        self._send(0, now)
        return True

    # -- from the REGISTER

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """No news."""

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """Challenged; the handle tells it."""

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """The registrar's answer."""
        status = response.status
        if handle is not self.handle:
            return
        if self.state is RegistrationState.UNREGISTERING:
            if status < 300:
                self._end()
                self._agent.emit(RegistrationRemoved(now, self, response))
            else:
                self._failed(status, response.reason, _cause(status), response, now)
            return
        if status < 300:
            self._succeeded(response, now)
        elif status == 423 and self._longer(response):
            self._send(self.wanted, now)
        else:
            self._failed(status, response.reason, _cause(status), response, now)

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """No answer."""
        if handle is self.handle:
            self._failed(None, reason, cause, None, now)

    # -- inside

    def _succeeded(self, response: Response, now: float) -> None:
        contacts = self._bindings(response)
        ours = self._ours(response, contacts)
        granted = 0.0 if ours is None else self._granted(response, ours)
        if ours is None or granted <= 0:
            self._unbound(ours, contacts, response, now)
            return
        self._cancel_alarms()
        self._failures = 0
        self._agreed(Terms.of(response.headers, ours), now)
        self.granted = granted
        self.expires_at = now + granted
        self._raised = False
        self.state = RegistrationState.REGISTERED
        agenda = self._agent.agenda
        self._alarm = agenda.at(now + granted / 2, self._refresh)
        self._expiry = agenda.at(now + granted, self._expired)
        self._agent.emit(RegistrationSucceeded(now, self, granted, contacts, response))

    def _agreed(self, terms: Terms, now: float) -> None:
        """Live by what the registrar said: its GRUU, and the flow that it keeps."""
        agent, wish, user = self._agent, self._wish, self.contact.user or ""
        self.terms = terms
        if wish.gruu and terms.public_gruu is not None:
            agent.gruus[user] = terms.public_gruu
        else:
            agent.gruus.pop(user, None)
        keeps = terms.outbound and wish.reg_id is not None
        (agent.outbound.add if keeps else agent.outbound.discard)(self.hop)
        if not keeps and wish.keepalive is None:
            return
        self._keepalive = agent.keep_alive(self.hop)
        self._keepalive.tell(self, self._flow_died, wish.keepalive or terms.flow_timer, now)

    def _flow_died(self, reason: str, now: float) -> None:
        """Form a new one at once, for the same binding (RFC 5626 section 4.5)."""
        self._rest()
        if self.state is RegistrationState.REFRESHING and self.handle is not None:
            self.handle.abandon(now)
        elif self.state is not RegistrationState.REGISTERED:
            return
        self.flow_failures += 1
        self._agent.emit(FlowFailed(now, self, reason))
        self._refresh(now)

    def _rest(self) -> None:
        """The flow is kept no more."""
        self._agent.outbound.discard(self.hop)
        keepalive, self._keepalive = self._keepalive, None
        if keepalive is not None:
            self._kept = self._kept[0] + keepalive.sent, self._kept[1] + keepalive.answered
            keepalive.forget(self)
            if self._agent.keepalives.get(self.hop) is keepalive and keepalive.idle:
                del self._agent.keepalives[self.hop]

    @property
    def keepalives_sent(self) -> int:
        """Of this registration's flows, those of others over the same flow included."""
        return self._kept[0] + (self._keepalive.sent if self._keepalive is not None else 0)

    @property
    def keepalives_answered(self) -> int:
        """Likewise."""
        return self._kept[1] + (self._keepalive.answered if self._keepalive is not None else 0)

    def _unbound(
        self, ours: NameAddr | None, contacts: tuple[NameAddr, ...], response: Response, now: float
    ) -> None:
        """A 200 that leaves us without a binding (RFC 3261 10.3 step 8: it lists all that there are)."""
        if ours is not None:
            reason = "it granted our binding for 0 s"
        elif contacts:
            listed = ", ".join(str(contact.uri) for contact in contacts[:3])
            reason = f"it lists {listed} and not our {self.contact}"
        else:
            reason = f"it lists no bindings, not even our {self.contact}"
        self._end()
        cause = FailureCause.NOT_BOUND
        self._agent.emit(RegistrationFailed(now, self, response.status, reason, cause, None, response))

    def _failed(
        self, status: int | None, reason: str, cause: FailureCause, response: Response | None, now: float
    ) -> None:
        retry_at: float | None = None
        expires_at = self.expires_at
        if self.state is RegistrationState.REFRESHING and expires_at is not None and expires_at > now:
            # The binding lives: try again while it does, not too often.
            self._rest()
            retry_at = now + max(1.0, min(self._pause(), (expires_at - now) / 2))
            self.state = RegistrationState.REGISTERED
            if retry_at < expires_at:
                self._alarm = self._agent.agenda.at(retry_at, self._refresh)
            else:
                retry_at = None
        else:
            self._end()
        self._agent.emit(RegistrationFailed(now, self, status, reason, cause, retry_at, response))

    def _pause(self) -> float:
        """Before the next attempt; to form a flow, longer each time, and never in step with other phones."""
        if self._wish.reg_id is None:
            return _RETRY_PAUSE
        self._failures += 1
        longest = min(_LONGEST_PAUSE, _RETRY_PAUSE * 2 ** min(self._failures, 10))
        return float(longest * (0.5 + 0.5 * self._agent.entropy(1)[0] / 255))

    def _refresh(self, now: float) -> None:
        self.state = RegistrationState.REFRESHING
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._send(self.wanted, now)

    def _expired(self, now: float) -> None:
        if self.handle is not None and not self.handle.finished:
            self.handle.abandon(now)
        self._end()
        self._agent.emit(RegistrationExpired(now, self))

    def _end(self) -> None:
        self._cancel_alarms()
        self._rest()
        self._agent.gruus.pop(self.contact.user or "", None)
        self.expires_at = None
        self.state = RegistrationState.ENDED

    def _cancel_alarms(self) -> None:
        for alarm in (self._alarm, self._expiry):
            if alarm is not None:
                alarm.cancel()
        self._alarm = self._expiry = None

    def _send(self, expires: int, now: float) -> None:
        agent = self._agent
        branch = agent.branch()
        request = agent.build_request(
            "REGISTER",
            self._registrar,
            from_=str((self._wish.sender or self.local).with_tag(self._tag)),
            to=str(self.local),
            call_id=self._call_id,
            cseq=self._next_cseq(),
            hop=self.hop,
            branch=branch,
            routes=self._routes,
            contact=self._wish.contacts(self.contact, expires),
            headers=[("Expires", str(expires)), *self._headers],
            supported=self._wish.tags(agent.supported),
        )
        self.handle = ClientRequest(
            agent, request, self.hop, self, digest=self._digest, next_cseq=self._next_cseq
        )
        self.handle.start(branch, now)

    def _next_cseq(self) -> int:
        self._cseq += 1
        return self._cseq

    def _longer(self, response: Response) -> bool:
        """423: take the registrar's minimum, once (10.3 step 7)."""
        minimum = self.minimum = response.headers.number("min-expires", _MAX_EXPIRES)
        if minimum is None or minimum <= self.wanted or self._raised:
            return False
        self.wanted = minimum
        self._raised = True
        return True

    def _bindings(self, response: Response) -> tuple[NameAddr, ...]:
        found: list[NameAddr] = []
        for text in response.headers.get_all("contact")[: self._agent.config.limits.contacts]:
            try:
                found.append(NameAddr.parse(text))
            except SipSyntaxError:
                continue  # somebody else's contact may be broken; ours is not
        return tuple(found)

    def _ours(self, response: Response, contacts: tuple[NameAddr, ...]) -> NameAddr | None:
        """Our binding among those listed: the same user at our Contact's host and port, or at the address
        that the registrar saw us at (received and rport of our Via), as helpers against NAT write it."""
        ours = self.contact
        places = {_place(ours.host, ours.port)}
        try:
            via = response.headers.top_via
        except (SipSyntaxError, LookupError):
            via = None
        if via is not None:
            places.add(_place(via.received or via.host, via.rport or via.port))
        mine = [
            contact
            for contact in contacts
            if contact.uri.unescaped_user == ours.unescaped_user and _is_at(contact.uri, places)
        ]
        return next((one for one in mine if one.parameter("expires") != "0"), next(iter(mine), None))

    def _granted(self, response: Response, ours: NameAddr) -> float:
        """Our Contact's expires; else the Expires header; else what we asked for (10.2.4)."""
        seconds = parse_number(ours.parameter("expires") or "", _MAX_EXPIRES)
        if seconds is not None:
            return float(seconds)
        header = response.headers.expires
        return float(header if header is not None else self.wanted)


def _is_at(uri: Uri, places: set[tuple[str, int]]) -> bool:
    """Listed without a port, a binding is known by its host."""
    if uri.port is None:
        return uri.host.lower() in {host for host, _ in places}
    return _place(uri.host, uri.port) in places


def _place(host: str, port: int | None) -> tuple[str, int]:
    return host.lower().strip("[]"), port or 5060


def _cause(status: int) -> FailureCause:
    return FailureCause.UNAUTHORIZED if status in (401, 407) else FailureCause.REJECTED
