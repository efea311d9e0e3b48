"""What `call` and `answer` leave behind when they are asked to: the folder of `--report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callwright.net.tap import Tap
    from callwright.phone.plan import CallPlan, MediaPlan
    from callwright.scenario.outcome import CallOutcome


class Collection:
    """Collects for the folder while calls run; without a folder it only prints."""

    def __init__(self, folder: Path | None, *, name: str) -> None:
        self.folder, self.name = folder, name
        self.taps: list[Tap] = []

    def recording(self, plan: CallPlan) -> CallPlan:
        return replace(plan, media=self.media(plan.media, 1))

    def media(self, media: MediaPlan, number: int) -> MediaPlan:
        """With a folder every call is recorded into it, unless the recording was sent elsewhere."""
        if self.folder is None or media.record is not None or not media.enabled:
            return media
        return replace(media, record=self.folder / f"{self.name}-{number}.wav")

    def finish_call(self, outcome: CallOutcome, *, quiet: bool) -> CallOutcome:
        if not quiet:
            print(f"{outcome.verdict.value}: {outcome.reason}")
        return outcome

    def finish_calls(self, outcomes: Sequence[CallOutcome], *, quiet: bool) -> None:
        pass
