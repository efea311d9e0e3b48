"""A train of SIP OPTIONS: any answer proves life.

Each request is a transaction of its own and is sent once, so that a lost one is seen: a user agent would
repeat it and show it as slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from callwright.outcome.terms import Blame
from callwright.probe.result import ProbeResult
from callwright.probe.train import Shape, Train
from callwright.sip.framing import BrokenStreamError, StreamFramer
from callwright.sip.headers import Headers
from callwright.sip.message import MalformedMessage, Request, Response, parse_datagram, serialize
from callwright.sip.transport import Address, Transport
from callwright.sip.uri import Uri

_COOKIE = "z9hG4bK"  # RFC 3261 section 8.1.1.7


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks whom. `target`: the Request-URI. `local`: where answers are to come, as Via has it."""

    target: Uri
    local: Address
    transport: Transport
    user_agent: str = "Callwright"


class OptionsTrain(Train):
    kind = "sip"

    def __init__(self, shape: Shape, asked: Asked, now: float, entropy: Callable[[int], bytes]) -> None:
        super().__init__(shape, now)
        self._asked, self._stem = asked, entropy(10).hex()
        self._framer = StreamFramer() if asked.transport.is_stream else None
        self._first: Response | None = None
        self._malformed: str | None = None

    def request(self, sequence: int, now: float) -> bytes:
        asked, uri = self._asked, str(self._asked.target)
        sender = f"sip:callwright@{asked.local}"
        headers = Headers()
        for name, value in (
            ("Via", f"SIP/2.0/{asked.transport.value} {asked.local};rport;branch={self._branch(sequence)}"),
            ("Max-Forwards", "70"),
            ("From", f"<{sender}>;tag={self._stem}"),
            ("To", f"<{uri}>"),
            ("Call-ID", f"{self._stem}-{sequence}"),
            ("CSeq", f"{sequence + 1} OPTIONS"),
            ("Contact", f"<{sender};transport={asked.transport.value.lower()}>"),
            ("Accept", "application/sdp"),
            ("User-Agent", asked.user_agent),
        ):
            headers.add(name, value)
        return serialize(Request("OPTIONS", uri, headers))

    def _branch(self, sequence: int) -> str:
        return f"{_COOKIE}{self._stem}-{sequence}"

    def receive(self, data: bytes, now: float, wall: float, ttl: int | None = None) -> None:
        messages = [data]
        if self._framer is not None:
            try:
                messages = self._framer.feed(data)
            except BrokenStreamError as error:
                messages = error.messages
                self.broken(f"The far end does not speak SIP: {error.reason}.")
        for message in messages:
            self._take(message, now)

    def _take(self, data: bytes, now: float) -> None:
        try:
            found = parse_datagram(data)
        except MalformedMessage as error:
            self._malformed = self._malformed or error.reason
            return
        if not isinstance(found, Response) or found.status < 200:
            return
        stem, _, number = (found.headers.get("Call-ID") or "").partition("-")
        if stem == self._stem and number.isascii() and number.isdigit() and len(number) <= 6:
            self.answered(int(number), now)
            self._first = self._first or found

    def further(self, figures: ProbeResult) -> ProbeResult:
        if self._first is None:
            return figures
        headers = self._first.headers
        return replace(
            figures,
            sip_code=self._first.status,
            sip_reason=self._first.reason,
            user_agent=headers.get("Server") or headers.get("User-Agent"),
        )

    def summary(self, figures: ProbeResult) -> str:
        return f"It answers {figures.sip_code} {figures.sip_reason}. {super().summary(figures)}"

    def silent(self, figures: ProbeResult) -> ProbeResult:
        found = super().silent(figures)
        if self._malformed is not None and self.refusal is None:
            reason = f"Its answer cannot be used: {self._malformed}."
            return replace(found, blame=Blame.TARGET, reason=reason)
        return found

    def silence(self) -> str:
        return f"No answer to {len(self.plan[: self._next])} OPTIONS over {self._asked.transport.value}."
