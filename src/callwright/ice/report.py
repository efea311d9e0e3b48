"""What ICE has come to."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.ice.candidate import Candidate

__all__ = ["IceReport"]


@dataclass(frozen=True, slots=True)
class IceReport:
    """`local`, `remote`: the pair that won, None where none did. `checked`: when checks began. Times are
    monotonic seconds.

    `refused`: addresses of the peer that our policy does not permit, where nothing was sent. `strangers`:
    STUN messages that were not signed with our password. `checks`: those that we sent, repetitions aside.
    """

    controlling: bool
    lite: bool
    began: float | None
    gathered: float | None
    checked: float | None
    selected: float | None
    local: Candidate | None
    remote: Candidate | None
    rtt_ms: float | None
    local_candidates: tuple[Candidate, ...]
    remote_candidates: tuple[Candidate, ...]
    refused: tuple[tuple[str, int], ...]
    checks: int
    strangers: int
    consent_lost: bool
    failure: str | None
    remarks: tuple[str, ...]
