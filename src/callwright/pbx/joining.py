"""One offer of ours to a leg that is up, made until it is answered: how legs that never met are joined.

What the leg answers comes back as it is; a leg that has an offer of its own under way is asked again a little
later (RFC 3261 section 14.1).
"""

from __future__ import annotations

from collections.abc import Callable

from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import SdpError
from callwright.sip import events
from callwright.sip.call import Call
from callwright.sip.message import Response
from callwright.sip.timers import Agenda, Alarm

__all__ = ["OFFERS", "Joining", "leads_alike"]

OFFERS = (events.OfferReceived, events.OfferAnswered, events.OfferConfirmed, events.OfferFailed)
_AGAIN = 0.5  # seconds
_MOST_TRIES = 20


class Joining:
    """`answered(response, now)` or `failed(reason, now)` is called once, unless it is canceled."""

    def __init__(
        self,
        agenda: Agenda,
        call: Call,
        description: bytes,
        answered: Callable[[Response, float], None],
        failed: Callable[[str, float], None],
    ) -> None:
        self._agenda, self._call, self._description = agenda, call, description
        self._answered, self._failed = answered, failed
        self._tries = 0
        self._again: Alarm | None = None
        self._over = False

    def start(self, now: float) -> None:
        """Offer now, or as soon as the leg takes it."""
        if self._over:
            return
        self._tries += 1
        if self._call.over or self._tries > _MOST_TRIES:
            self._over = True
            self._failed("a phone takes no offer", now)
        elif not self._call.reinvite(self._description, now=now):
            self._again = self._agenda.at(now + _AGAIN, self.start)

    def cancel(self) -> None:
        """Nobody wants to know any more."""
        self._over = True
        if self._again is not None:
            self._again.cancel()

    def on_event(self, event: events.Event) -> None:
        """Something about an offer, on this leg or on the other."""
        match event:
            case events.OfferReceived():
                event.call.refuse_offer(491, now=event.at)
            case events.OfferAnswered() if event.call is self._call and not self._over:
                self._over = True
                self._answered(event.response, event.at)
            case events.OfferFailed() if event.call is self._call and not self._over:
                if event.status == 491:
                    self._again = self._agenda.at(event.at + (event.retry_after or _AGAIN), self.start)
                else:
                    self._over = True
                    self._failed(f"a phone refused the offer: {event.status} {event.reason}", event.at)
            case _:
                pass


def leads_alike(new: bytes, old: bytes) -> bool:
    """Whether media goes to the same place in the same way by both, with no format in `new` that `old` has
    not: then nobody needs to be told of it."""
    try:
        first, second = SessionDescription.parse(new), SessionDescription.parse(old)
    except SdpError:
        return False
    if len(first.media) != len(second.media):
        return False
    return all(
        (one.kind, one.port, first.connection_of(one), first.direction_of(one))
        == (other.kind, other.port, second.connection_of(other), second.direction_of(other))
        and set(one.formats) <= set(other.formats)
        for one, other in zip(first.media, second.media, strict=True)
    )
