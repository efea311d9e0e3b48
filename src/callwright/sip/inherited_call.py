"""A call of a process that is gone, whose dialog another one ends (see sip/will)."""

from __future__ import annotations

from callwright.sip.call import SDP, Call, CallState, Direction, HeaderPairs
from callwright.sip.dialog import Dialog
from callwright.sip.digest import Credentials
from callwright.sip.message import Request
from callwright.sip.transport import Hop
from callwright.sip.user_agent import UserAgent


class InheritedCall(Call):
    """An answered call, either direction. Made by `Endpoint.inherit`; all that is left to it is its end."""

    def __init__(
        self,
        agent: UserAgent,
        request: Request,
        hop: Hop,
        dialog: Dialog,
        credentials: Credentials | None,
        *,
        outbound: bool,
        now: float,
    ) -> None:
        super().__init__(agent, request, hop, dialog.local_tag, credentials, now)
        self.direction = Direction.OUTBOUND if outbound else Direction.INBOUND
        self.dialog = dialog
        self.state = CallState.CONFIRMED

    @property
    def contact(self) -> str:
        return self.request.headers.first("contact") or ""

    def hangup(self, *, now: float, reason: str | None = None, headers: HeaderPairs = ()) -> bool:
        """ACK, for it may not have left, and BYE."""
        if self.dialog is None or self.state is not CallState.CONFIRMED:
            return False
        if self.direction is Direction.OUTBOUND:
            self.send_ack(self.dialog, self.request, b"", SDP, None)
        self.closing.say(self.dialog, now, headers)
        return True
