"""A call: the INVITE usage of a dialog (RFC 3261 sections 12 to 15), as its user sees it.

`Call` is what `Endpoint.invite` returns and what call events name. Its two kinds live in outbound_call.py and
inbound_call.py. Every verb takes `now` (monotonic seconds, keyword) and returns True when something was done,
False when the call was already beyond it: a race with the peer is not an error. What arises from a verb comes
out of the endpoint's `transmissions()` and `events()`. A verb of the wrong direction raises WrongDirection.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callwright.sip.client_request import ClientRequest
    from callwright.sip.transport import Hop

SDP = "application/sdp"
HeaderPairs = Iterable[tuple[str, str]]


class Direction(StrEnum):
    """Who sent the INVITE."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class CallState(StrEnum):
    """Where a call stands."""

    CALLING = "calling"  # INVITE sent, nothing heard
    PROCEEDING = "proceeding"  # a 100 heard; or an INVITE received and not yet rung
    EARLY = "early"  # 101 to 199 received or sent
    CANCELING = "canceling"  # we gave up; the final response is still to come
    ANSWERED = "answered"  # 2xx received or sent, not yet acknowledged
    CONFIRMED = "confirmed"  # acknowledged
    ENDING = "ending"  # our BYE is on its way
    ENDED = "ended"


class WrongDirection(TypeError):
    """A verb of inbound calls was used on an outbound one, or the other way round."""


@dataclass(slots=True)
class Timeline:
    """When the facts of a call happened (monotonic seconds; None: not yet, or never), and how often things
    had to be said again. The verdict and post-dial delay are computed from this."""

    invited_at: float  # the first INVITE was sent, or received
    trying_at: float | None = None  # 100 received or sent
    ringing_at: float | None = None  # first 18x received or sent
    answered_at: float | None = None  # first 2xx received or sent
    confirmed_at: float | None = None  # ACK sent or received
    bye_at: float | None = None  # BYE sent or received
    ended_at: float | None = None
    authorized_at: float | None = None  # INVITE sent again with credentials
    provisionals: list[tuple[float, int]] = field(default_factory=list)  # (at, status), bounded by Limits
    final_status: int | None = None  # of the INVITE
    retransmissions_sent: int = 0  # of any request or response of this call
    retransmissions_received: int = 0

    @property
    def loss_seen(self) -> bool:
        """Something was said twice, so something was lost or late."""
        return bool(self.retransmissions_sent or self.retransmissions_received)


class Call:
    """One call, either direction. Compare by identity. `user_data` is the user's own.

    Attributes (read only for users):
      id            serial number within the endpoint
      direction     Direction
      state         CallState
      call_id       the Call-ID
      local, remote NameAddr, with tags as far as known
      remote_target Uri of the peer's Contact once a dialog exists, else the Request-URI of our INVITE
      hop           where requests of this call go by default; `use_hop()` changes it
      request       the INVITE, as last sent (with credentials) or as received
      early_dialogs to_tag -> Dialog, outbound: one for each forked branch that rang
      dialog        the confirmed Dialog, or None
      timeline      Timeline
      credentials   for 401/407 to any request of this call
    """

    direction: Direction

    @property
    def over(self) -> bool:
        """True when its final event has been told."""
        raise NotImplementedError

    # -- verbs of inbound calls

    def ring(
        self,
        status: int = 180,
        *,
        now: float,
        body: bytes = b"",
        content_type: str = SDP,
        reason: str | None = None,
        headers: HeaderPairs = (),
    ) -> bool:
        """Send a provisional response, 101 to 199, as often as wished; with `body` it is early media."""
        raise WrongDirection("ring is for inbound calls")

    def answer(
        self, body: bytes = b"", *, now: float, content_type: str = SDP, headers: HeaderPairs = ()
    ) -> bool:
        """Send 200. It is repeated until the ACK comes, for 64*T1 at most (then CallEnded, ACK_MISSING)."""
        raise WrongDirection("answer is for inbound calls")

    def reject(
        self, status: int = 486, *, now: float, reason: str | None = None, headers: HeaderPairs = ()
    ) -> bool:
        """Send a final response of 300 to 699 to an unanswered inbound call. No event follows."""
        raise WrongDirection("reject is for inbound calls")

    # -- verbs of outbound calls

    def cancel(self, *, now: float, headers: HeaderPairs = ()) -> bool:
        """Give up an unanswered outbound call: CANCEL at once after a provisional, else as soon as one comes.

        Ends in CallCanceled, or, when a 2xx crosses, in CallEnded(ABANDONED), or CallFailed.
        """
        raise WrongDirection("cancel is for outbound calls")

    def acknowledge(
        self, body: bytes = b"", *, now: float, hop: Hop | None = None, content_type: str = SDP
    ) -> bool:
        """Send the ACK to the 2xx of the INVITE, or of a re-INVITE that had no offer. Repeats are sent by the
        endpoint. `hop` overrides where it goes."""
        raise WrongDirection("acknowledge is for outbound calls")

    # -- verbs of both

    def hangup(self, *, now: float, reason: str | None = None, headers: HeaderPairs = ()) -> bool:
        """End the call whatever its state: CANCEL, 480 (inbound, unanswered) or BYE.

        `reason` is the value of a Reason header (RFC 3326). A BYE ends in CallEnded. An unacknowledged inbound
        call is hung up as soon as its ACK came or is overdue (RFC 3261 15); an unacknowledged outbound one is
        acknowledged first.
        """
        raise NotImplementedError

    def reinvite(
        self, body: bytes, *, now: float, content_type: str = SDP, headers: HeaderPairs = ()
    ) -> bool:
        """Offer anew in a confirmed call. False when the call is not confirmed or an offer is pending, theirs
        or ours (RFC 3261 14.1). Ends in OfferAnswered or OfferFailed."""
        raise NotImplementedError

    def accept_offer(
        self, body: bytes, *, now: float, content_type: str = SDP, headers: HeaderPairs = ()
    ) -> bool:
        """Answer 200 to the re-INVITE of OfferReceived. False when none is pending."""
        raise NotImplementedError

    def refuse_offer(
        self, status: int = 488, *, now: float, reason: str | None = None, headers: HeaderPairs = ()
    ) -> bool:
        """Refuse the re-INVITE of OfferReceived; the call goes on as it was. False when none is pending."""
        raise NotImplementedError

    def send(
        self,
        method: str,
        body: bytes = b"",
        *,
        now: float,
        content_type: str | None = None,
        headers: HeaderPairs = (),
    ) -> ClientRequest | None:
        """A request within the dialog (INFO, MESSAGE, OPTIONS, …), also an early one. None when there is no
        dialog. Ends in ResponseReceived, RequestTimedOut or RequestFailed."""
        raise NotImplementedError

    def use_hop(self, hop: Hop) -> None:
        """From now on send the requests of this call there, whatever the route set says."""
        raise NotImplementedError
