"""When the facts of a call happened."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class CallTimeline:
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
