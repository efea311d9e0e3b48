"""What an endpoint tells its user: one frozen dataclass per fact, named in the past tense.

Every event carries `at`, the monotonic seconds at which the fact was noticed. Events come out of
`Endpoint.events()` in the order in which things happened. An event names its call (or request, registration)
by the object itself, so that a user of thousands of calls finds its own state by `event.call.user_data` or by
a dictionary keyed on the object, never by a search.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callwright.sip.call import Call
    from callwright.sip.client_request import ClientRequest
    from callwright.sip.message import Request, Response
    from callwright.sip.notice import SubscriptionState
    from callwright.sip.referral import Referral
    from callwright.sip.registration import Registration
    from callwright.sip.subscriber import Subscriber
    from callwright.sip.subscription import Subscription
    from callwright.sip.transaction.server import ServerTransaction
    from callwright.sip.transport import Hop
    from callwright.sip.uri import NameAddr


class Side(StrEnum):
    """Who did it: we, or the peer."""

    LOCAL = "local"
    REMOTE = "remote"


class FailureCause(StrEnum):
    """Why a request or a call came to nothing."""

    REJECTED = "rejected"  # a final response of 300 to 699
    UNAUTHORIZED = "unauthorized"  # 401 or 407 that credentials did not satisfy, or none were given
    TIMED_OUT = "timed_out"  # no final response in time (Timer B or F)
    TRANSPORT = "transport"  # the hop is closed, refused, or lost
    CANCELED = "canceled"  # the call's end took the request with it
    NOT_BOUND = "not_bound"  # a 200 to REGISTER that does not hold our binding, or holds it for 0 s


class EndCause(StrEnum):
    """Why an answered call is over."""

    BYE = "bye"
    ACK_MISSING = "ack_missing"  # our 2xx was never acknowledged (RFC 3261 13.3.1.4)
    DIALOG_GONE = "dialog_gone"  # the peer answered 481 or 408 to a request in the dialog (12.2.1.2)
    BYE_UNANSWERED = "bye_unanswered"  # our BYE timed out: the call is over all the same
    TRANSPORT = "transport"  # our BYE could not be sent
    SESSION_EXPIRED = "session_expired"  # nobody refreshed the session (RFC 4028); we sent BYE
    ABANDONED = "abandoned"  # answered after our cancel(): acknowledged and hung up at once


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""

    at: float  # monotonic seconds


# -- calls ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallReceived(Event):
    """An INVITE outside of any dialog. 100 has been sent; ring, answer, reject, or challenge."""

    call: Call
    request: Request


@dataclass(frozen=True, slots=True)
class CallTurnedAway(CallReceived):
    """An INVITE outside of any dialog that the endpoint has refused itself, for its form. Final.

    `status` has been sent; `why` says in words what was wrong with the INVITE.
    """

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class CallProgressed(Event):
    """A provisional response to our INVITE, 100 included. Bodies of 18x are early media offers or answers.

    `to_tag` tells forked branches apart (one early dialog for each); it is "" for 100. A `reliable` one
    (RFC 3262) is told once; `owed`: the user is to say `call.prack()`, with the answer to the offer in it.
    """

    call: Call
    status: int
    reason: str
    response: Response
    to_tag: str
    reliable: bool = False
    owed: bool = False


@dataclass(frozen=True, slots=True)
class ProvisionalConfirmed(Event):
    """A PRACK to a reliable provisional of ours, of that `status`. Its body is the answer where that one had
    our offer; another offer in it comes as OfferReceived."""

    call: Call
    request: Request
    status: int


@dataclass(frozen=True, slots=True)
class ProvisionalUnconfirmed(Event):
    """Our PRACK was refused, or not answered (`status` None). The call goes on as the peer likes."""

    call: Call
    status: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class CallAnswered(Event):
    """The first 2xx to our INVITE. The user owes `call.acknowledge()` now (with the answer after a late
    offer)."""

    call: Call
    response: Response


@dataclass(frozen=True, slots=True)
class CallForked(Event):
    """A second branch answered too; it has been acknowledged and hung up by the endpoint (RFC 3261
    13.2.2.4)."""

    call: Call
    response: Response


@dataclass(frozen=True, slots=True)
class CallConfirmed(Event):
    """The ACK to our 2xx arrived (inbound calls). With a late offer its body is the answer."""

    call: Call
    request: Request


@dataclass(frozen=True, slots=True)
class CallFailed(Event):
    """Our call ended before it was answered, or an inbound one could not be answered. Final: no event of it
    follows.

    `status` is the final response's, or None when there was none (then `reason` is a sentence that names the
    host and port). A call that we canceled ends by CallCanceled instead, a 3xx by CallRedirected.
    """

    call: Call
    status: int | None
    reason: str
    cause: FailureCause
    response: Response | None


@dataclass(frozen=True, slots=True)
class CallRedirected(Event):
    """Our INVITE was answered 3xx. Final. Contacts come by falling q; the endpoint follows none by itself."""

    call: Call
    status: int
    contacts: tuple[NameAddr, ...]
    response: Response


@dataclass(frozen=True, slots=True)
class CallCanceled(Event):
    """The call was given up before an answer, by `by`. Final.

    Outbound: our CANCEL was obeyed (`response` is the 487 or other final; None when none came within 32 s).
    Inbound: a CANCEL arrived (`request`); the INVITE has been answered 487.
    """

    call: Call
    by: Side
    request: Request | None
    response: Response | None


@dataclass(frozen=True, slots=True)
class CallEnded(Event):
    """An answered call is over. Final. `request` is the peer's BYE; `response` what our BYE was answered."""

    call: Call
    by: Side
    cause: EndCause
    reason: str
    request: Request | None
    response: Response | None


# -- offers in a confirmed call ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionRefreshed(Event):
    """A session timer began anew (RFC 4028): `by` whose request, of which `method`."""

    call: Call
    by: Side
    method: str


@dataclass(frozen=True, slots=True)
class OfferReceived(Event):
    """A re-INVITE, or an UPDATE or PRACK with an offer. Answer it with `call.accept_offer(body)` or
    `call.refuse_offer(status)`.

    An empty body of a re-INVITE asks for our offer; the answer then comes in OfferConfirmed.
    """

    call: Call
    request: Request


@dataclass(frozen=True, slots=True)
class OfferConfirmed(Event):
    """The ACK to our 2xx of a re-INVITE; its body is the answer when our 2xx carried the offer."""

    call: Call
    request: Request


@dataclass(frozen=True, slots=True)
class OfferAnswered(Event):
    """Our re-INVITE, or our UPDATE or PRACK with an offer, was accepted. A re-INVITE has been acknowledged,
    unless it had no body: then the user owes `call.acknowledge(answer)`."""

    call: Call
    response: Response


@dataclass(frozen=True, slots=True)
class OfferFailed(Event):
    """Our re-INVITE or UPDATE failed (the call goes on as before), or our 2xx was never acknowledged.

    After 491, 422, and a 500 with Retry-After, `retry_after` says when to offer again, in seconds
    (RFC 3261 14.1, RFC 3311 5.3); else None.
    """

    call: Call
    status: int | None
    reason: str
    cause: FailureCause
    retry_after: float | None
    response: Response | None


# -- other requests ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestReceived(Event):
    """A request that the user must answer by `endpoint.respond(transaction, status)`.

    `call` is set for one inside a call (INFO, MESSAGE, …).
    """

    transaction: ServerTransaction
    request: Request
    call: Call | None


@dataclass(frozen=True, slots=True)
class RequestAnswered(Event):
    """A request inside a call that the endpoint has answered itself: OPTIONS, an UPDATE without an offer, a
    BYE that crossed ours."""

    request: Request
    call: Call


@dataclass(frozen=True, slots=True)
class ResponseDiscarded(Event):
    """A response to a request of ours that had to be thrown away; `fault` says what is wrong with it.

    `handle` names the request, `call` is set for one of a call, its INVITE included. The request waits on.
    """

    handle: ClientRequest | None
    call: Call | None
    status: int
    fault: str


@dataclass(frozen=True, slots=True)
class ResponseReceived(Event):
    """The final response to a request made with `endpoint.request()` or `call.send()`."""

    handle: ClientRequest
    response: Response
    call: Call | None


@dataclass(frozen=True, slots=True)
class RequestTimedOut(Event):
    """No final response within 64*T1 (Timer F)."""

    handle: ClientRequest
    reason: str
    call: Call | None


@dataclass(frozen=True, slots=True)
class RequestFailed(Event):
    """The request could not be delivered; `reason` names the host, the port, and what the transport said."""

    handle: ClientRequest
    hop: Hop
    reason: str
    call: Call | None


# -- registrations ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RegistrationSucceeded(Event):
    """A REGISTER (the first or a refresh) was accepted for `expires` seconds; the next refresh is at half of
    it."""

    registration: Registration
    expires: float
    contacts: tuple[NameAddr, ...]  # every binding the registrar listed, those of others too
    response: Response


@dataclass(frozen=True, slots=True)
class RegistrationRemoved(Event):
    """Our unregistering was accepted. Final."""

    registration: Registration
    response: Response


@dataclass(frozen=True, slots=True)
class RegistrationFailed(Event):
    """A REGISTER failed. The endpoint tries no more, except after a refresh that failed while the binding
    still lives: then `retry_at` says when (monotonic seconds)."""

    registration: Registration
    status: int | None
    reason: str
    cause: FailureCause
    retry_at: float | None
    response: Response | None


@dataclass(frozen=True, slots=True)
class FlowFailed(Event):
    """The flow of a registration is dead (RFC 5626 section 4.5); a REGISTER over a new one is on its way."""

    registration: Registration
    reason: str


@dataclass(frozen=True, slots=True)
class RegistrationExpired(Event):
    """The binding ran out without a successful refresh. Final."""

    registration: Registration


# -- references of ours (RFC 3515) -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReferralAccepted(Event):
    """Our REFER was answered 2xx; what becomes of it is told by ReferralProgressed."""

    call: Call
    referral: Referral
    response: Response


@dataclass(frozen=True, slots=True)
class ReferralRefused(Event):
    """Our REFER was refused, or not answered (`status` None; then `reason` is a sentence). Final; the call
    goes on."""

    call: Call
    referral: Referral
    status: int | None
    reason: str
    response: Response | None


@dataclass(frozen=True, slots=True)
class ReferralProgressed(Event):
    """A NOTIFY told the status of the peer's INVITE; 200 or more is the last. It may come before the 202."""

    call: Call
    referral: Referral
    status: int
    reason: str
    request: Request


@dataclass(frozen=True, slots=True)
class ReferralEnded(Event):
    """Nothing more is told of a reference: `status` is the last that was, None: nothing. Final."""

    call: Call
    referral: Referral
    status: int | None
    why: str


# -- subscriptions of ours (RFC 6665) ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SubscribeAccepted(Event):
    """Our SUBSCRIBE was answered 2xx, for `expires` seconds; refreshed at half of them."""

    subscriber: Subscriber
    expires: float
    response: Response


@dataclass(frozen=True, slots=True)
class SubscribeFailed(Event):
    """Our first SUBSCRIBE was refused, or not answered (`status` None). Final."""

    subscriber: Subscriber
    status: int | None
    reason: str
    response: Response | None


@dataclass(frozen=True, slots=True)
class Notified(Event):
    """A NOTIFY of a subscription of ours; it has been answered 200. May come before SubscribeAccepted."""

    subscriber: Subscriber
    state: SubscriptionState
    request: Request


@dataclass(frozen=True, slots=True)
class SubscribeEnded(Event):
    """A subscription of ours is over. Final."""

    subscriber: Subscriber
    why: str


# -- subscriptions of peers --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SubscriptionRefreshed(Event):
    """A peer has subscribed once more, or ends it; the user owes `notify` with the whole state."""

    subscription: Subscription


@dataclass(frozen=True, slots=True)
class SubscriptionEnded(Event):
    """A subscription is over, and not by the user. Final."""

    subscription: Subscription
    reason: str


# -- the wire ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MessageDiscarded(Event):
    """Something arrived that led to nothing. `answered` is the status of the stateless answer, if there was
    one."""

    reason: str
    hop: Hop
    answered: int | None = None


@dataclass(frozen=True, slots=True)
class StreamBroken(Event):
    """A stream lost its framing (RFC 3261 18.3): nothing more is read of it; the driver should close it."""

    reason: str
    hop: Hop
