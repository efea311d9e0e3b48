"""Reads of an agent's result what the platform keeps in columns."""

from __future__ import annotations

import msgspec

from callwright.control.runs.model import Ending
from callwright.scenario.outcome import SILENT_PCT, Blame, Verdict

__all__ = ["read_outcome"]


class _Received(msgspec.Struct, frozen=True):
    mos: float | None = None
    packets: int | None = None
    silence_pct: float | None = None


class _Call(msgspec.Struct):
    received: _Received = _Received()
    setup_ms: float | None = None  # known of a call that was answered
    media_expected: bool = False

    @property
    def deaf(self) -> bool:
        """It was to hear something and did not: no packet came, or none with a sound."""
        heard = self.received
        nothing = heard.packets == 0 or (heard.silence_pct or 0.0) >= SILENT_PCT
        return self.setup_ms is not None and self.media_expected and nothing


class _Outcome(msgspec.Struct):
    verdict: Verdict
    blame: Blame | None = None
    reason: str = ""
    calls: list[_Call] = []


def read_outcome(document: bytes | str) -> Ending:
    """The ending that run.json tells of. One that cannot be read is an ending too: ours, as error."""
    try:
        outcome = msgspec.json.decode(document, type=_Outcome)
        text = document if isinstance(document, str) else document.decode()
    except (msgspec.DecodeError, UnicodeError) as error:
        reason = f"The agent's result cannot be read: {error}"
        return Ending(
            Verdict.ERROR.value, Verdict.ERROR.value, Blame.PLATFORM.value, reason.replace("\0", "")
        )
    heard = [call.received.mos for call in outcome.calls if call.received.mos is not None]
    if any(call.deaf for call in outcome.calls):
        heard = []  # the MOS of the other direction would say that all was well
    blamed = None if outcome.verdict is Verdict.CANCELED else outcome.blame  # somebody stopped it: no fault
    return Ending(
        outcome.verdict.value,
        outcome.verdict.value,
        blamed.value if blamed else None,
        outcome.reason.replace("\0", "\N{REPLACEMENT CHARACTER}"),
        min(heard, default=None),
        text,
    )
