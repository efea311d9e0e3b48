"""The signalling of a phone as its calls, requests and registrations use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from callwright.net.certificate import read_certificate
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy
from callwright.net.tls import TlsSession
from callwright.outcome.tls import TlsOutcome
from callwright.sip import events
from callwright.sip.endpoint import Endpoint
from callwright.sip.transport import Hop
from callwright.sip.uri import Uri

Listener = Callable[[events.Event], None]


@dataclass(slots=True)
class PhoneLine:
    """`drain` sends what the endpoint has to say; it follows every act on the endpoint.

    `user`: the user part of our own URIs. `advertise_host`: what peers are told in place of a local address.
    `patience`: seconds that a peer's answer to our CANCEL is waited for. `tls_session`: of a hop.
    """

    endpoint: Endpoint
    clock: Clock
    drain: Callable[[], None]
    user: str
    entropy: Entropy
    advertise_host: str | None = None
    patience: float = 4.0
    tls_session: Callable[[Hop], TlsSession | None] = lambda hop: None
    _requests: dict[object, Listener] = field(default_factory=dict)
    _registrations: dict[object, Listener] = field(default_factory=dict)
    _subscriptions: dict[object, Listener] = field(default_factory=dict)

    def now(self) -> float:
        return self.clock.now()

    def advertised(self, local_host: str) -> str:
        """The address that peers should use for one of ours."""
        return self.advertise_host or local_host

    def own_uri(self, local_host: str) -> Uri:
        """Who we are without an account, over a hop from `local_host`."""
        return Uri("sip", user=self.user, host=self.advertised(local_host))

    def tls(self, hop: Hop | None) -> TlsOutcome | None:
        """The connection with the far end of a hop and its certificate, now; None without TLS."""
        session = self.tls_session(hop) if hop is not None and hop.transport.secure else None
        if session is None:
            return None
        shown = read_certificate(session.certificate) if session.certificate else None
        told = TlsOutcome(session.version, session.cipher, session.trusted, session.name or None)
        if shown is None:
            return told
        return replace(
            told,
            subject=shown.subject,
            issuer=shown.issuer,
            names=shown.names,
            not_after=shown.until,
            days_left=shown.days_left(self.clock.wall()),
        )

    def expect_request(self, handle: object, listener: Listener) -> None:
        """Have `listener` told how a request outside calls ends, and of responses that were discarded."""
        self._requests[handle] = listener

    def expect_registration(self, registration: object, listener: Listener) -> None:
        """Have `listener` told of everything about a registration."""
        self._registrations[registration] = listener

    def expect_subscription(self, subscriber: object, listener: Listener) -> None:
        """Have `listener` told of everything about a subscription of ours."""
        self._subscriptions[subscriber] = listener

    def dispatch(self, event: events.Event) -> bool:
        """Give an event that belongs to no call to whoever expects it; False where nobody does."""
        subscriber = getattr(event, "subscriber", None)
        if subscriber is not None:
            told = self._subscriptions.get(subscriber)
            if isinstance(event, events.SubscribeEnded | events.SubscribeFailed):
                self._subscriptions.pop(subscriber, None)
            if told is not None:
                told(event)
            return True
        handle, registration = getattr(event, "handle", None), getattr(event, "registration", None)
        waiting = self._requests.get(handle)
        if isinstance(event, events.ResponseDiscarded):
            for listener in [waiting] if waiting is not None else list(self._registrations.values()):
                listener(event)
            return True
        if handle is not None:
            self._requests.pop(handle, None)
        known = waiting if handle is not None else self._registrations.get(registration)
        if known is not None:
            known(event)
        return handle is not None or known is not None
