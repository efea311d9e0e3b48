"""What a stream under SRTP has come to."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SrtpReport"]


@dataclass(frozen=True, slots=True)
class SrtpReport:
    """RTP and RTCP together. `received`: packets that were opened.

    `auth_failures`: packets whose tag did not fit the key, plain RTP among them; `replayed`: packets that had
    come before, or were too old to tell; `malformed`: too short, or no RTP; `rekeyed`: changes of keys.
    """

    suite: str
    received: int
    auth_failures: int
    replayed: int
    malformed: int
    rekeyed: int
