"""What is no call: a registration, and a request outside a call."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from callwright.outcome.captured import CapturedMessage
from callwright.outcome.plain import AsJson
from callwright.outcome.terms import Blame, Failure, Verdict
from callwright.outcome.tls import TlsOutcome


@dataclass(frozen=True, slots=True)
class RegistrationOutcome(AsJson):
    """One account at one registrar, from the first REGISTER to the unregistration."""

    verdict: Verdict = Verdict.ERROR
    blame: Blame | None = Blame.PLATFORM
    reason: str = "The registration was not judged."
    sip_code: int | None = None
    address: str | None = None
    party: str | None = None
    account: str | None = None  # the address of record
    registrar: str | None = None
    contact: str | None = None
    peer: str | None = None
    tls: TlsOutcome | None = None  # None: it went without TLS
    user_agent: str | None = None
    started_at: float | None = None
    registered_ms: float | None = None  # first REGISTER to its 200
    expires_s: int | None = None  # as granted
    refreshes: int = 0
    bindings: int | None = None  # that the registrar lists, of others too
    min_expires_s: int | None = None  # that it demanded (423)
    path: tuple[str, ...] = ()  # RFC 3327, as the registrar tells it
    service_route: tuple[str, ...] = ()  # RFC 3608
    service_route_refused: str | None = None  # why we do not take it
    outbound: bool | None = None  # whether the registrar keeps the flow (RFC 5626); None: not asked
    flow_timer_s: int | None = None
    flow_failures: int = 0  # of the flow; each was followed by a REGISTER over a new one
    flow_failed: str | None = None  # the last of them
    keepalives_sent: int = 0
    keepalives_answered: int = 0
    public_gruu: str | None = None  # RFC 5627
    temporary_gruu: str | None = None
    unregistered: bool | None = None
    authenticated: bool | None = None
    failure: Failure | None = None
    failure_detail: str | None = None
    sip_reason: str | None = None
    messages: tuple[CapturedMessage, ...] = ()

    def judged(self, verdict: Verdict, blame: Blame | None, reason: str) -> RegistrationOutcome:
        return dataclasses.replace(self, verdict=verdict, blame=blame, reason=reason)


@dataclass(frozen=True, slots=True)
class NotifyOutcome:
    """One NOTIFY of a subscription of ours; `at`: seconds since the SUBSCRIBE."""

    at: float
    state: str  # active, pending, terminated
    reason: str | None = None  # of the end
    content_type: str | None = None
    body: str = ""


@dataclass(frozen=True, slots=True)
class RequestOutcome(AsJson):
    """One request that is no INVITE: OPTIONS, MESSAGE, PUBLISH, SUBSCRIBE with its NOTIFYs, or the REFER
    of a transfer, which is over once the peer has told what became of it (RFC 3515)."""

    verdict: Verdict = Verdict.ERROR
    blame: Blame | None = Blame.PLATFORM
    reason: str = "The request was not judged."
    sip_code: int | None = None
    method: str = "OPTIONS"
    address: str | None = None
    party: str | None = None
    target: str | None = None
    peer: str | None = None
    tls: TlsOutcome | None = None  # None: it went without TLS
    user_agent: str | None = None
    started_at: float | None = None
    round_trip_ms: float | None = None
    retransmissions: int | None = None
    authenticated: bool | None = None
    allow: tuple[str, ...] = ()  # methods the peer says it takes
    notifies: tuple[NotifyOutcome, ...] = ()  # SUBSCRIBE: what was told
    refreshes: int | None = None  # PUBLISH: how often the state was kept alive
    refer_to: str | None = None  # REFER: where the peer was asked to go
    replaces: bool | None = None  # REFER: whether it was to take a call over there (RFC 3891)
    transfer_codes: tuple[int, ...] = ()  # REFER: what the peer told of its INVITE (message/sipfrag)
    transfer_code: int | None = None  # the last of these; a final one, unless news stopped before
    transfer_reason: str | None = None
    transfer_ms: float | None = None  # REFER to the final status
    failure: Failure | None = None
    failure_detail: str | None = None
    sip_reason: str | None = None
    messages: tuple[CapturedMessage, ...] = ()

    def judged(self, verdict: Verdict, blame: Blame | None, reason: str) -> RequestOutcome:
        return dataclasses.replace(self, verdict=verdict, blame=blame, reason=reason)
