"""Transfers (RFC 3515, 5589): a phone refers us, and we connect its peer to somebody else for it.

Blind: the peer waits in a booth until the number answers; when nobody does, it is given back. Attended
(Replaces, RFC 3891): the peers of two calls of the phone are joined. The phone hears by NOTIFY what becomes
of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from callwright.pbx.booth import Booth, BoothHost
from callwright.pbx.bridge import Bridge
from callwright.pbx.menu import Quiet
from callwright.pbx.record import CallRecord
from callwright.sip import events
from callwright.sip.call import Call
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.message import Request
from callwright.sip.refer import FRAGMENT, ReferTo, Replaces, fragment, wants_news
from callwright.sip.uri import NameAddr, Uri

__all__ = ["Referrer", "TakingOver", "TransferHost", "Transfers"]

_CANCELED = 487
_GOODBYE = 2.0  # seconds in which a phone that transferred may hang up by itself


class TransferHost(BoothHost, Protocol):
    """What transfers stand on."""

    def address_of(self, user: str) -> NameAddr:
        """The address of an account."""
        ...

    def serves(self, uri: Uri) -> bool:
        """The URI is one of ours."""
        ...

    def call_of(self, call_id: str, local_tag: str, remote_tag: str) -> Call | None:
        """The call of that dialog, as Replaces names it."""
        ...

    def new_record(
        self, like: CallRecord, caller: str | None, callee: str, by: str, now: float
    ) -> CallRecord:
        """The record of a call that a transfer makes."""
        ...

    def joined(self, session: Booth) -> None:
        """A call lives from now on."""
        ...

    def moved_on(self, session: Booth) -> None:
        """The call goes on in another session."""
        ...

    def join(
        self,
        first: Call,
        said: bytes,
        second: Call,
        record: CallRecord,
        user: str,
        now: float,
        done: Callable[[bool, float], None],
    ) -> None:
        """Connect two parties that are up; `done(whether, now)` once."""
        ...


class Referrer:
    """The phone that transferred, until it or we hang up. It is told by NOTIFY (RFC 3515 section 2.4.4)."""

    def __init__(self, host: TransferHost, call: Call, request: Request) -> None:
        self.call = call
        self.gone = call.over
        self._host = host
        self._event = f"refer;id={request.headers.cseq.number}"
        self._wanted = wants_news(request.headers)
        self._told = 0

    def silence(self) -> None:
        """It did not ask for this, and is told nothing."""
        self._wanted = False

    def tell(self, status: int, now: float) -> None:
        """What became of it; a final status ends the subscription."""
        if self.gone or not self._wanted or status == self._told:
            return
        self._told = status
        state = "active;expires=60" if status < 200 else "terminated;reason=noresource"
        self.call.send(
            "NOTIFY",
            fragment(status),
            now=now,
            content_type=FRAGMENT,
            headers=[("Event", self._event), ("Subscription-State", state), ("Contact", self.call.contact)],
        )

    def dismiss(self, now: float) -> None:
        """Its part is done: it may hang up itself, else we do."""

        def hang_up(at: float) -> None:
            if not self.gone:
                self.call.hangup(now=at)

        self._host.agenda.at(now + _GOODBYE, hang_up)

    def on_event(self, event: events.Event, call: Call) -> None:
        """Something happened on its leg."""
        match event:
            case events.CallEnded() | events.CallCanceled() | events.CallFailed():
                self.gone = True
            case events.OfferReceived():
                call.refuse_offer(491, now=event.at)
            case events.RequestReceived():
                status = 200 if event.request.method == "OPTIONS" else 480
                self._host.endpoint.respond(event.transaction, status, now=event.at)
            case _:
                pass


class Transfers:
    """Carries out the REFERs of a PBX."""

    def __init__(self, host: TransferHost) -> None:
        self._host = host

    def refer(self, bridge: Bridge, event: events.RequestReceived, call: Call) -> None:
        """A phone in a call refers us."""
        request, now = event.request, event.at
        try:
            wanted = ReferTo.of(request.headers)
        except SipSyntaxError:
            self._host.endpoint.respond(event.transaction, 400, now=now, reason="Bad Request (Refer-To)")
            return
        target, replaces = wanted.target, wanted.replaces
        number = target.unescaped_user or ""
        refusal = self._refusal(bridge, target, number, replaces)
        if refusal is not None:
            self._host.endpoint.respond(event.transaction, refusal[0], now=now, reason=refusal[1])
            return
        headers = [("Contact", call.contact)]
        if not wants_news(request.headers):
            headers.append(("Refer-Sub", "false"))  # RFC 4488
        self._host.endpoint.respond(event.transaction, 202, now=now, headers=headers)
        referrer = Referrer(self._host, call, request)
        referrer.tell(100, now)
        other = self._call_of(replaces) if replaces is not None else None
        if other is not None and isinstance(other.user_data, Bridge) and other.user_data.talks:
            self._attended(bridge, referrer, other.user_data, other, now)
            return
        if other is not None:
            # It rings still, or is with a service: its number is where the peer wants to be.
            number = other.user_data.record.callee or ""
            other.hangup(now=now)
        self._blind(bridge, referrer, number, now)

    def move(self, bridge: Bridge, call: Call, number: str, now: float) -> CallRecord:
        """Blind, as if the phone of this leg had asked for it: its peer goes to the number. The new call's
        record."""
        referrer = Referrer(self._host, call, call.request)
        referrer.silence()
        return self._blind(bridge, referrer, number, now)

    def _refusal(
        self, bridge: Bridge, target: Uri, number: str, replaces: Replaces | None
    ) -> tuple[int, str] | None:
        if not bridge.talks:
            return 480, "Temporarily Unavailable (only a call that was answered can be transferred)"
        if replaces is not None:
            other = self._call_of(replaces)
            if other is None or not isinstance(other.user_data, Bridge | Booth) or other.user_data is bridge:
                return 481, "Call/Transaction Does Not Exist (Replaces names none of ours)"
            return None
        if not number or not self._host.serves(target):
            return 403, "Forbidden (calls are transferred to numbers of this PBX)"
        return None

    def _call_of(self, replaces: Replaces) -> Call | None:
        return self._host.call_of(replaces.call_id, replaces.to_tag, replaces.from_tag)

    # -- the two kinds

    def _blind(self, bridge: Bridge, referrer: Referrer, number: str, now: float) -> CallRecord:
        by = bridge.user_of(referrer.call)
        peer, _, user = bridge.split(referrer.call, f"transferred to {number} by {by or 'a phone'}", now)
        referrer.call.user_data = referrer
        record = self._host.new_record(bridge.record, user, number, by or "", now)
        act = _Transferred(number, referrer, self._give_back)
        booth = Booth(
            self._host,
            peer,
            record,
            act,
            by,
            identity=identity_of(self._host, peer, bridge, user),
            parker=by or "",
        )
        self._host.joined(booth)
        record.status = _CANCELED  # until the number answers
        booth.receive(now)
        return record

    def _give_back(self, booth: Booth, referrer: Referrer, now: float) -> None:
        """Nobody answered: the phone has its peer again, or is called once more."""
        if referrer.gone:
            number = booth.parker
            if number:
                booth.become(_Recalled(number), now)
            else:
                booth.hang_up(now)
            return
        said = booth.stage.theirs if booth.stage is not None else b""
        booth.leave(now)
        self._host.moved_on(booth)
        self._host.join(
            booth.call, said, referrer.call, booth.record, booth.parker, now, lambda done, at: None
        )

    def _attended(self, bridge: Bridge, referrer: Referrer, second: Bridge, other: Call, now: float) -> None:
        by = bridge.user_of(referrer.call) or ""
        reason = f"transferred by {by or 'a phone'}"
        peer, said, user = bridge.split(referrer.call, reason, now)
        target, _, target_user = second.split(other, reason, now)
        referrer.call.user_data = referrer
        former = Referrer(self._host, other, other.request)
        other.user_data = former
        record = self._host.new_record(bridge.record, user, target_user or "", by, now)

        def done(joined: bool, at: float) -> None:
            referrer.tell(200 if joined else 503, at)
            referrer.dismiss(at)
            former.dismiss(at)

        self._host.join(peer, said, target, record, target_user or "", now, done)


class _Transferred(Quiet):
    """The party that is being transferred. Its call counts as answered from the answer of the number on."""

    answers = False

    def __init__(
        self, number: str, referrer: Referrer, give_back: Callable[[Booth, Referrer, float], None]
    ) -> None:
        self._number, self._referrer, self._give_back = number, referrer, give_back

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.send_on(self._number, now)

    def reached(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.answered(now)
        self._referrer.tell(200, now)
        self._referrer.dismiss(now)

    def unreached(self, booth: Booth, now: float) -> None:
        """See Act."""
        self._referrer.tell(booth.failed_with, now)
        self._give_back(booth, self._referrer, now)

    def left(self, booth: Booth, now: float) -> None:
        """See Act."""
        if booth.call.over:
            self._referrer.tell(487, now)
            self._referrer.dismiss(now)


class TakingOver(Quiet):
    """A phone takes a leg's place (INVITE with Replaces, RFC 3891): of a call that is up, or that rings."""

    def __init__(self, host: TransferHost, replaced: Call) -> None:
        self._host, self._replaced = host, replaced

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        replaced, user = self._replaced, booth.user or ""
        session = replaced.user_data
        if replaced.over or not isinstance(session, Bridge):
            booth.hang_up(now)
        elif session.talks:
            peer, said, _ = session.split(replaced, f"taken over by {user or 'a phone'}", now)
            former = Referrer(self._host, replaced, replaced.request)
            replaced.user_data = former
            booth.leave(now)
            self._host.moved_on(booth)
            self._host.join(peer, said, booth.call, booth.record, user, now, lambda done, at: None)
            replaced.hangup(now=now)
        elif session.pick_up(booth.call, now, user=user):
            booth.hand_over("picked up the call by Replaces", now)
        else:
            booth.hang_up(now)


class _Recalled(Quiet):
    """Call who transferred, since nobody else answered."""

    def __init__(self, number: str) -> None:
        self._number = number

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.send_on(self._number, now)

    def reached(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.answered(now)


def identity_of(host: TransferHost, peer: Call, bridge: Bridge, user: str | None) -> NameAddr:
    """How a transferred party is shown: as its account, else as it showed itself."""
    shown = peer.remote
    if user is not None:
        name = shown.display_name if peer is bridge.caller else ""
        return NameAddr(name, host.address_of(user).uri)
    return NameAddr(shown.display_name, shown.uri)
