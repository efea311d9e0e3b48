"""What `call`, `answer` and `run` show of a result, and the folder of `--report` that they leave behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from callwright.host.operator import EXIT_PLATFORM, Refused, say

if TYPE_CHECKING:
    from callwright.evidence.folder import EvidenceFolder
    from callwright.evidence.memory import PacketMemory
    from callwright.net.tap import Packet, Tap
    from callwright.outcome.call import CallOutcome
    from callwright.outcome.run import RunOutcome
    from callwright.phone.plan import CallPlan, MediaPlan


class Collection:
    """Collects while calls run, writes the folder afterwards; without a folder it only shows the result.

    Raises Refused when the folder cannot be made. `secrets` are masked wherever they would be written.
    """

    def __init__(self, folder: Path | None, *, name: str, secrets: Iterable[str] = (), quiet: bool) -> None:
        self.folder, self.name, self.quiet = folder, name, quiet
        self.taps: list[Tap] = []
        self.lost = False  # something that was to be kept could not be
        self._memory: PacketMemory | None = None
        self._evidence: EvidenceFolder | None = None
        self._secrets = tuple(secrets)
        if folder is not None or not quiet:
            from callwright.evidence.memory import PacketMemory

            self._memory = PacketMemory()
            self.taps.append(self._memory)
        if folder is not None:
            self._open(folder)

    def _open(self, folder: Path) -> None:
        from callwright.evidence.folder import EvidenceFolder
        from callwright.evidence.redaction import Redactor

        try:
            self._evidence = EvidenceFolder.open(folder, redactor=Redactor(self._secrets))
        except OSError as error:
            raise Refused(
                f"--report {folder}: the folder cannot be made: {error.strerror or error}",
                code=EXIT_PLATFORM,
                blame="platform",
            ) from None
        if self._evidence.capture is not None:
            self.taps.append(self._evidence.capture)

    def recording(self, plan: CallPlan) -> CallPlan:
        return replace(plan, media=self.media(plan.media, 1))

    def media(self, media: MediaPlan, number: int) -> MediaPlan:
        """With a folder every call is recorded into it, unless the recording was sent elsewhere."""
        if self.folder is None or media.record is not None or not media.enabled:
            return media
        return replace(media, record=self.folder / f"{self.name}-{number}.wav")

    def finish(self, outcome: RunOutcome, *, min_mos: float = 3.5) -> RunOutcome:
        """Write the folder, show the result; gives the outcome with the paths of its evidence."""
        packets = self._memory.packets() if self._memory is not None else []
        if self._evidence is not None:
            outcome = self._evidence.write(outcome, packets, min_mos=min_mos)
            for problem in self._evidence.problems:
                say(problem)
            self.lost = self.lost or bool(self._evidence.problems)
        self.lost = self.lost or any(call.recording_error for call in outcome.calls)
        if not self.quiet:
            self._show(outcome, packets)
        return outcome

    def finish_calls(self, calls: Sequence[CallOutcome], *, min_mos: float) -> None:
        """As `finish`, for calls from the command line, which are no run of a document."""
        from callwright.outcome.judgement import judge_run
        from callwright.outcome.run import RunOutcome
        from callwright.version import __version__

        verdict, blame, reason = judge_run(calls, ())
        started = min((call.started_at for call in calls if call.started_at is not None), default=None)
        self.finish(
            RunOutcome(
                verdict=calls[0].verdict if len(calls) == 1 else verdict,
                blame=calls[0].blame if len(calls) == 1 else blame,
                reason=calls[0].reason if len(calls) == 1 else reason,
                name=self.name,
                title=f"callwright {self.name}",
                calls=tuple(calls),
                started_at=started,
                version=__version__,
            ),
            min_mos=min_mos,
        )

    def _show(self, outcome: RunOutcome, packets: Sequence[Packet]) -> None:
        from rich.console import Console

        from callwright.evidence.ladder import build_ladder
        from callwright.evidence.naming import call_names
        from callwright.evidence.redaction import Redactor
        from callwright.evidence.terminal import print_report

        redactor = Redactor(self._secrets)
        ladder = build_ladder(
            packets,
            call_names=call_names(outcome),
            origin=outcome.started_at,
            redactor=redactor,
        )
        page = None
        if self._evidence is not None and "report" in outcome.evidence:
            page = self._evidence.path / outcome.evidence["report"]
        # A pipe has no width; COLUMNS gives it one.
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 100
        console = Console(highlight=False, width=width, markup=False)
        print_report(console, outcome, ladder, report=page, redactor=redactor)
