"""What ends the calls of a SIPp scenario after its process is gone, from the messages that pass. Pure."""

from __future__ import annotations

import re

from callwright.sip.digest import Credentials
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.headers import Headers, header_key
from callwright.sip.message import MalformedMessage, Message, Request, Response, parse_datagram
from callwright.sip.transport import Hop
from callwright.sip.will import Will, will_of_messages

_OF_INVITE = re.compile(rb"(?im)^cseq[ \t]*:[ \t]*[0-9]+[ \t]+INVITE[ \t]*\r?$")


class SippWills:
    """`news` takes the calls whose wills changed; None: the call is over. A call whose messages are wrong on
    purpose, so that they cannot be read here, has none."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._credentials = credentials
        self._invites: dict[str, tuple[Request, Hop, bool]] = {}
        self._news: dict[str, Will | None] = {}

    def sent(self, data: bytes, hop: Hop) -> None:
        self._passes(data, hop, ours=True)

    def received(self, data: bytes, hop: Hop) -> None:
        self._passes(data, hop, ours=False)

    def over(self, call_id: str) -> None:
        if self._invites.pop(call_id, None) is not None:
            self._news[call_id] = None

    def news(self) -> list[tuple[str, Will | None]]:
        found = list(self._news.items())
        self._news.clear()
        return found

    def _passes(self, data: bytes, hop: Hop, *, ours: bool) -> None:
        begins = data.startswith((b"INVITE ", b"BYE "))
        if not begins and not (data.startswith(b"SIP/") and _OF_INVITE.search(data)):
            return
        try:
            message = parse_datagram(data)
            self._read(message, hop, ours=ours)
        except (MalformedMessage, SipSyntaxError, ValueError, LookupError):
            return

    def _read(self, message: Message, hop: Hop, *, ours: bool) -> None:
        call_id = message.headers.call_id
        if isinstance(message, Response):
            self._answered(call_id, message, ours=ours)
        elif message.method == "BYE":
            if not ours:
                self.over(call_id)
        elif message.headers.to.tag is None:
            self._invites[call_id] = message, hop, ours
            if ours:
                self._news[call_id] = will_of_messages(
                    message, None, hop, outbound=True, credentials=self._credentials
                )

    def _answered(self, call_id: str, response: Response, *, ours: bool) -> None:
        invite, hop, outbound = self._invites[call_id]
        if outbound is ours or response.headers.cseq.number != invite.headers.cseq.number:
            return
        if response.status >= 300:
            self.over(call_id)
        elif response.status >= 200:
            if not outbound:  # To of such an INVITE has our tag
                to = response.headers.get("to") or ""
                fields = [(name, to if header_key(name) == "to" else value) for name, value in invite.headers]
                invite = Request(invite.method, invite.uri, Headers.adopt(fields))
            success = response if outbound else None
            self._news[call_id] = will_of_messages(
                invite, success, hop, outbound=outbound, credentials=self._credentials
            )
