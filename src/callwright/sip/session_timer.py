"""Session timers (RFC 4028): how long a call stands, who refreshes it, and BYE when nobody does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callwright.sip.client_request import ClientRequest
from callwright.sip.events import EndCause, FailureCause, SessionRefreshed, Side
from callwright.sip.grammar import parse_number
from callwright.sip.headers import Headers
from callwright.sip.message import Request, Response
from callwright.sip.timers import Alarm

if TYPE_CHECKING:
    from callwright.sip.call import Call

TAG = "timer"
SMALLEST = 90
"""Seconds: the Min-SE of who names none, and the least that RFC 4028 section 5 permits to name."""
LEAST = 4
"""Seconds: a shorter interval is read as none, since it would be nothing but refreshes."""
_LONGEST = 2**31
_AGAIN = 2.0  # seconds until a refresh that found no place, or was refused for now, is tried again
_MOST_RAISES = 4
Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SessionWish:
    """What a call wants of its timer.

    `interval`: the Session-Expires that we ask for, seconds; None: what the peer asks for. `minimum`: our
    Min-SE. `refresher`: who is asked to refresh; None: the peer chooses, or the caller. `method` of our
    refreshes: "UPDATE", "INVITE", or None: UPDATE where the peer allows it.
    """

    interval: int | None = None
    minimum: int = SMALLEST
    refresher: Side | None = None
    method: str | None = None


NO_WISH = SessionWish()


def session_expires(headers: Headers) -> tuple[int, str | None] | None:
    """Seconds and refresher ("uac", "uas") of Session-Expires; None without one that can be read."""
    text = headers.first("session-expires")
    if text is None:
        return None
    number, *parameters = text.split(";")
    seconds = parse_number(number.strip(), _LONGEST)
    if seconds is None:
        return None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "refresher" and value.strip().lower() in ("uac", "uas"):
            return seconds, value.strip().lower()
    return seconds, None


class SessionTimer:
    """Of one call. `interval` (seconds) and `refresher` are what was agreed on last; None: no timer runs."""

    __slots__ = (
        "_call",
        "_expiry",
        "_minimum",
        "_peer_updates",
        "_raises",
        "_refresh",
        "interval",
        "refresher",
        "refreshes",
        "wish",
    )

    def __init__(self, call: Call, wish: SessionWish) -> None:
        self._call = call
        self.wish = wish
        self.interval: int | None = None
        self.refresher: Side | None = None
        self.refreshes = 0  # of either side, accepted
        self._minimum: int | None = None  # what a 422 of the peer demanded
        self._raises = 0
        self._peer_updates = False
        self._refresh: Alarm | None = None
        self._expiry: Alarm | None = None

    @property
    def spoken(self) -> bool:
        """The endpoint knows the extension."""
        return TAG in self._call.agent.config.supported

    # -- requests of ours

    def asked(self, method: str = "INVITE") -> Fields:
        """The headers of an INVITE, re-INVITE or UPDATE of ours (section 7.1)."""
        interval = self.interval or self.wish.interval
        if interval is None or not self.spoken:
            return []
        smallest = self._minimum or 0
        fields = _fields(
            max(interval, smallest),
            self.refresher or self.wish.refresher,
            smallest or (self.wish.minimum if self.wish.minimum != SMALLEST else 0),
        )
        if method == "UPDATE":  # an INVITE names all that we support
            fields.append(("Supported", TAG))
        return fields

    def answered(self, response: Response, now: float) -> None:
        """A 2xx to such a request (section 7.2): without Session-Expires the call stands for ever."""
        if not self.spoken:
            return
        headers = response.headers
        if "allow" in headers:
            self._peer_updates = headers.has_option("allow", "update")
        refreshed = self.interval is not None
        found = session_expires(headers)
        if found is None or found[0] < LEAST:
            self.stop()
            self.interval = self.refresher = None
            return
        seconds, role = found
        self._start(seconds, Side.REMOTE if role == "uas" else Side.LOCAL, now)
        if refreshed:
            self._refreshed(Side.LOCAL, headers.cseq.method, now)

    def raised(self, response: Response) -> bool:
        """A 422 (section 7.4): True when asking for its Min-SE is worth a try."""
        if response.status != 422 or self._raises >= _MOST_RAISES or not self.spoken:
            return False
        smallest = response.headers.number("min-se", _LONGEST)
        if smallest is None or smallest <= (self._minimum or 0):
            return False
        self._raises += 1
        self._minimum = smallest
        return True

    # -- requests of theirs

    def too_brief(self, request: Request) -> Fields | None:
        """The headers of a 422 where the request asks for less than our Min-SE, and its sender can ask again
        (section 9); else None."""
        return too_brief(request, self._call.agent.config.supported, self.wish.minimum)

    def answer(self, request: Request, now: float) -> Fields:
        """The headers of our 2xx to an INVITE, re-INVITE or UPDATE (section 9); the timer begins anew."""
        if not self.spoken:
            return []
        headers = request.headers
        if request.method == "INVITE":
            self._peer_updates = headers.has_option("allow", "update")
        found, speaks = session_expires(headers), _speaks(headers)
        refreshed = self.interval is not None
        wished = self.wish.interval
        if found is not None and found[0] >= LEAST:
            interval, role = found
            least = headers.number("min-se", _LONGEST) or SMALLEST
            if wished is not None and wished < interval:
                interval = min(interval, max(wished, least))
        elif self.interval is not None or wished is not None:
            interval, role = self.interval or wished or 0, None
        else:
            return []
        if not speaks:
            role = "uas"
        elif role is None:
            who = self.refresher or self.wish.refresher
            role = "uas" if who is Side.LOCAL else "uac"
        self._start(interval, Side.LOCAL if role == "uas" else Side.REMOTE, now)
        if refreshed:
            self._refreshed(Side.REMOTE, request.method, now)
        fields = [("Session-Expires", f"{interval};refresher={role}")]
        return [("Require", TAG), *fields] if role == "uac" else fields

    # -- the timer

    def stop(self) -> None:
        """Neither refresh the call nor end it."""
        for alarm in (self._refresh, self._expiry):
            if alarm is not None:
                alarm.cancel()
        self._refresh = self._expiry = None

    def _start(self, interval: int, refresher: Side, now: float) -> None:
        self.stop()
        self.interval, self.refresher = interval, refresher
        agenda = self._call.agent.agenda
        if refresher is Side.LOCAL:
            self._refresh = agenda.at(now + interval / 2, self._due)
        # section 10: BYE a little before, so that a proxy still knows the call
        self._expiry = agenda.at(now + interval - min(32.0, interval / 3), self._expired)

    def _refreshed(self, by: Side, method: str, now: float) -> None:
        self.refreshes += 1
        self._call.agent.emit(SessionRefreshed(now, self._call, by, method))

    def _expired(self, now: float) -> None:
        call = self._call
        if not call.established:
            return
        whose = "we" if self.refresher is Side.LOCAL else "the peer"
        reason = f"{whose} did not refresh the session of {self.interval} s in time"
        call.closing.give_up(EndCause.SESSION_EXPIRED, reason, now)

    def _due(self, now: float) -> None:
        """Refresh: by UPDATE without a body, or by an INVITE that describes what was described last."""
        call = self._call
        self._refresh = None
        dialog = call.dialog
        if dialog is None or not call.established:
            return
        method = self.wish.method or ("UPDATE" if self._peer_updates else "INVITE")
        if method == "UPDATE":
            handle, branch = call.prepare(dialog, "UPDATE", self)
            handle.start(branch, now)
        elif not call.reinvite(call.described, now=now):
            self._later(now)

    def _later(self, now: float, seconds: float = _AGAIN) -> None:
        if self.refresher is Side.LOCAL and self._refresh is None and self._call.established:
            self._refresh = self._call.agent.agenda.at(now + seconds, self._due)

    def failed(self, response: Response, now: float) -> bool:
        """A re-INVITE or UPDATE of ours was refused, be it a refresh or not: the next follows soon. True:
        the same with a longer interval may do (see `raised`)."""
        raised = self.raised(response)
        if self.interval is not None and response.status != 481:
            self._later(now, 0.0 if raised else _AGAIN)
        return raised

    # -- what our UPDATE is answered

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """No news."""

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """No news."""

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """Refreshed, or not."""
        call = self._call
        if response.status < 300:
            call.refresh_target(response, call.dialog.remote_tag if call.dialog is not None else "")
            self.answered(response, now)
            return
        if response.status in (405, 501):
            self._peer_updates = False
        if response.status in (408, 481):
            call.closing.lost(response, now)
        else:
            self.failed(response, now)

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """The peer is gone (section 10)."""
        self._call.closing.lost(None, now, reason)


def too_brief(request: Request, supported: Sequence[str], minimum: int) -> Fields | None:
    """See SessionTimer.too_brief."""
    if "session-expires" not in request.headers.by_key or TAG not in supported:
        return None
    found = session_expires(request.headers)
    if found is None or found[0] >= minimum or not _speaks(request.headers):
        return None
    return [("Min-SE", str(minimum))]


def first_asked(wish: SessionWish, supported: Sequence[str]) -> Fields:
    """The headers of the INVITE that begins a call."""
    if wish.interval is None or TAG not in supported:
        return []
    return _fields(wish.interval, wish.refresher, wish.minimum if wish.minimum != SMALLEST else 0)


def _fields(interval: int, refresher: Side | None, smallest: int) -> Fields:
    """`smallest`: the Min-SE to name, 0: none."""
    role = "" if refresher is None else f";refresher={'uac' if refresher is Side.LOCAL else 'uas'}"
    fields = [("Session-Expires", f"{interval}{role}")]
    return [*fields, ("Min-SE", str(smallest))] if smallest else fields


def _speaks(headers: Headers) -> bool:
    return headers.has_option("supported", TAG) or headers.has_option("require", TAG)
