"""re-INVITEs and UPDATEs through a bridge: an offer on one leg is made on the other, its answer brought back.

One at a time: while one is on its way through, another from either side gets 491 (RFC 3261 14.2), also when
both sides offered at once. What cannot be completed is undone, so that no side is left with a description
that the other never saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from callwright.pbx.passage import Carried, hops_left, onward, passing
from callwright.pbx.path import MediaPath, NoMediaPath
from callwright.pbx.verdicts import Final, final_from
from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import SdpError
from callwright.sip import events
from callwright.sip.call import Call
from callwright.sip.message import Request, Response

__all__ = ["Renegotiation"]

OfferEvent = events.OfferReceived | events.OfferAnswered | events.OfferConfirmed | events.OfferFailed


class Renegotiation:
    """The further offers of one bridged call; before its answer they come in UPDATE and PRACK (RFC 3311).

    `other_of(call)` is the other leg, `carry(message, call)` the body that `call` sent as the other is to get
    it, `updates(call)` whether that leg takes UPDATE, `give_up(status, reason, now)` ends a call that cannot
    be saved.
    """

    def __init__(
        self,
        path: MediaPath,
        other_of: Callable[[Call], Call | None],
        carry: Callable[[Request | Response, Call], Carried],
        updates: Callable[[Call], bool],
        give_up: Callable[[int, str, float], None],
    ) -> None:
        self._path = path
        self._other_of = other_of
        self._carry = carry
        self._updates = updates
        self._give_up = give_up
        self._offerer: Call | None = None  # whose re-INVITE is on its way through
        self._late = False  # it had no offer: the other leg's 2xx brings it
        self._withdrawn = False  # canceled meanwhile
        self._restored: Call | None = None  # the leg that is told its former description again
        self._told: dict[Call, bytes] = {}  # what each leg was told last, and both agreed on
        self._new: dict[Call, bytes] = {}

    def told(self, call: Call, body: bytes) -> None:
        """`call` has been told that description."""
        self._told[call] = body

    @property
    def busy(self) -> bool:
        """An offer is on its way through."""
        return self._offerer is not None or self._restored is not None

    def last_told(self, call: Call) -> bytes:
        """What `call` was told last."""
        return self._told.get(call, b"")

    def on_event(self, event: OfferEvent) -> None:
        """Something about an offer on either leg."""
        match event:
            case events.OfferReceived():
                self._offered(event)
            case events.OfferAnswered():
                self._answered(event)
            case events.OfferConfirmed():
                self._confirmed(event)
            case events.OfferFailed():
                self._failed(event)

    def _offered(self, event: events.OfferReceived) -> None:
        call, request, now = event.call, event.request, event.at
        other = self._other_of(call)
        left = hops_left(request)
        if left < 0:
            call.refuse_offer(483, now=now)
            return
        early = request.method != "INVITE" and other is not None and other.waits_for_final
        free = other is not None and (early or other.confirmed)
        if other is None or not free or self._offerer is not None or self._restored is not None:
            call.refuse_offer(491, now=now)
            return
        try:
            body = self._carry(request, call)
        except SdpError as error:
            call.refuse_offer(488, now=now, reason=f"Not Acceptable Here ({error})")
            return
        except NoMediaPath as error:
            call.refuse_offer(500, now=now, reason=f"Server Internal Error ({error.reason})")
            return
        # A PRACK of ours left long ago: what one of theirs offers goes on in an UPDATE.
        by_update = early or (request.method == "UPDATE" and self._updates(other))
        if not (other.update if by_update else other.reinvite)(
            body.body, now=now, content_type=body.content_type, headers=onward(request.headers, left)
        ):
            self._path.revert()
            call.refuse_offer(491, now=now)
            return
        self._offerer, self._late, self._withdrawn = call, not request.body, False
        self._new = {other: body.description}

    def _answered(self, event: events.OfferAnswered) -> None:
        other, now = event.call, event.at
        if other is self._restored:
            self._restored = None
            return
        call = self._offerer
        if call is None:
            return
        if self._withdrawn:
            self._undo(other, now)
            return
        try:
            body = self._carry(event.response, other)
        except (SdpError, NoMediaPath) as error:
            call.refuse_offer(502, now=now)
            self._offerer = None
            self._give_up(488, str(error), now)
            return
        if not call.accept_offer(
            body.body, now=now, content_type=body.content_type, headers=passing(event.response.headers)
        ):
            self._undo(other, now)  # the wait was too long: it has been refused
            return
        self._new[call] = body.description
        if not self._late:
            self._settle(event.at)

    def _confirmed(self, event: events.OfferConfirmed) -> None:
        call = event.call
        if call is not self._offerer or not self._late:
            return
        other = self._other_of(call)
        if other is None:
            return
        try:
            body = self._carry(event.request, call)
        except (SdpError, NoMediaPath) as error:
            self._undo(other, event.at)
            self._give_up(488, str(error), event.at)
            return
        other.acknowledge(body.body, now=event.at, content_type=body.content_type)
        self._new[other] = body.description
        self._settle(event.at)

    def _failed(self, event: events.OfferFailed) -> None:
        call, now = event.call, event.at
        if call is self._restored:
            self._restored = None
        elif call is self._offerer:
            self._withdrawn = True  # canceled, or never acknowledged; then the call's end follows
        elif self._offerer is not None:
            status = event.status if event.status is not None else 408
            if status in (401, 407):
                status = 502
            refused = Final(status, "") if event.response is None else final_from(event.response)
            offerer, self._offerer = self._offerer, None
            self._path.revert()
            offerer.refuse_offer(
                status,
                now=now,
                headers=refused.headers,
                body=refused.body,
                content_type=refused.content_type,
            )

    def _settle(self, now: float) -> None:
        self._offerer = None
        self._told.update(self._new)
        self._path.settle(now)

    def _undo(self, other: Call, now: float) -> None:
        """`other` accepted what its peer no longer wants: tell it once more what it knew before."""
        self._offerer = None
        self._path.revert()
        former = self._told.get(other, b"")
        if self._late:
            other.acknowledge(former, now=now)
        elif former and other.reinvite(_newer(former, self._new.get(other, b"")), now=now):
            self._restored = other


def _newer(former: bytes, latest: bytes) -> bytes:
    """The former description with a version above the latest's: RFC 3264 section 8 counts up by one."""
    try:
        description, after = SessionDescription.parse(former), SessionDescription.parse(latest)
    except SdpError:
        return former
    version = max(description.origin.version, after.origin.version) + 1
    return replace(description, origin=replace(description.origin, version=version)).serialize()
