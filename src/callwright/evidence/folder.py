"""The folder of a run: report.html, run.json, ladder.json, junit.xml, signalling.pcap and the recordings.

Each file is written beside its name and renamed when it is whole, so that a reader never sees half of one. A
file that cannot be written is told in `problems` and takes no other with it; the result itself is in the
caller's hands anyway.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from callwright.evidence.junit import render_junit
from callwright.evidence.ladder import Ladder, build_ladder
from callwright.evidence.ladder_file import write_ladder
from callwright.evidence.naming import call_names
from callwright.evidence.pcap import PcapWriter
from callwright.evidence.redaction import Redactor
from callwright.evidence.report import EvidenceFile, render_report
from callwright.evidence.shown import shown_json
from callwright.net.tap import Packet
from callwright.outcome.run import RunOutcome

REPORT, RUN, LADDER, JUNIT, CAPTURE = (
    "report.html",
    "run.json",
    "ladder.json",
    "junit.xml",
    "signalling.pcap",
)


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a file so that it is there whole or not at all; raises OSError and leaves nothing behind then."""
    octets = data.encode("utf-8", "replace") if isinstance(data, str) else data
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(draft, "wb") as out:
            out.write(octets)
            out.flush()
            os.fsync(out.fileno())
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def problem_sentence(path: Path, error: OSError) -> str:
    """What a person is told of a file that could not be written."""
    return f"{path.name} could not be written to {path.parent}: {error.strerror or error}."


@dataclass(slots=True)
class EvidenceFolder:
    """One run's folder. Open it before the run, tap with `capture`, write at the end.

    `open` raises OSError when the folder cannot be made; everything after that ends up in `problems`.
    """

    path: Path
    redactor: Redactor = field(default_factory=Redactor)
    problems: list[str] = field(default_factory=list)
    """Sentences about what could not be written."""
    capture: PcapWriter | None = None
    """A tap; None when the capture could not be opened or was not wanted."""

    @classmethod
    def open(
        cls, path: Path | str, *, redactor: Redactor | None = None, capture: bool = True
    ) -> EvidenceFolder:
        folder = cls(Path(path), redactor if redactor is not None else Redactor())
        folder.path.mkdir(parents=True, exist_ok=True)
        if capture:
            try:
                folder.capture = PcapWriter(folder.path / CAPTURE, redactor=folder.redactor)
            except OSError as error:
                folder.problems.append(problem_sentence(folder.path / CAPTURE, error))
        return folder

    def write(
        self,
        outcome: RunOutcome,
        packets: Sequence[Packet] = (),
        *,
        names: dict[str, str] | None = None,
        min_mos: float = 3.5,
    ) -> RunOutcome:
        """Close the capture and write the rest; gives the outcome back with the paths of what is there.

        `packets` make the ladder; `names` names its lanes by "host:port" or host (the phones name theirs
        themselves).
        """
        notes = self._close_capture()
        evidence = self._names(outcome)
        outcome = outcome.with_evidence(**evidence)
        ladder = build_ladder(
            packets,
            names=names,
            call_names=call_names(outcome),
            origin=outcome.started_at,
            redactor=self.redactor,
        )
        missing = set()
        # The page last: it lists the others with their sizes.
        writers: list[tuple[str, str, Callable[[], str]]] = [
            ("run", RUN, partial(self._run_json, outcome)),
            ("ladder", LADDER, partial(write_ladder, ladder)),
            ("junit", JUNIT, partial(render_junit, outcome, self.redactor)),
            ("report", REPORT, partial(self._report, outcome, ladder, notes, min_mos)),
        ]
        for key, name, render in writers:
            try:
                write_whole(self.path / name, render())
            except OSError as error:
                self.problems.append(problem_sentence(self.path / name, error))
                missing.add(key)
        if not missing:
            return outcome
        kept = {key: path for key, path in outcome.evidence.items() if key not in missing}
        return RunOutcome.from_json({**outcome.to_json(), "evidence": kept})

    def _close_capture(self) -> list[str]:
        if self.capture is None:
            return []
        self.capture.close()
        if self.capture.problem is not None:
            self.problems.append(self.capture.problem)
        return self.capture.notes

    def _names(self, outcome: RunOutcome) -> dict[str, str]:
        found = {"report": REPORT, "run": RUN, "ladder": LADDER, "junit": JUNIT}
        if self.capture is not None:
            found["pcap"] = CAPTURE
        for call in outcome.calls:
            for audio in call.audio:
                if (self.path / audio.path).is_file():
                    found[f"audio.{call.id}.{audio.kind}"] = audio.path
        return found

    def _run_json(self, outcome: RunOutcome) -> str:
        document = self.redactor.document(outcome.to_json())
        text = shown_json(json.dumps(document, ensure_ascii=False, indent=2))
        return text.encode("utf-8", "replace").decode() + "\n"

    def _report(self, outcome: RunOutcome, ladder: Ladder, notes: Sequence[str], min_mos: float) -> str:
        return render_report(
            outcome,
            ladder,
            folder=self.path,
            files=self.files(outcome),
            notes=[*notes, *(p for p in self.problems if p not in notes)],
            min_mos=min_mos,
            redactor=self.redactor,
        )

    def files(self, outcome: RunOutcome) -> list[EvidenceFile]:
        """What lies in the folder, with a caption and a size."""
        tls = self.capture is not None and self.capture.decrypted_tls
        captions = {
            CAPTURE: f"SIP and RTP, opens in Wireshark{'; TLS is written decrypted' if tls else ''}",
            RUN: "verdict, conditions, calls: for programs",
            LADDER: "the messages, raw and explained: for programs",
            JUNIT: "for the build server",
        }
        for call in outcome.calls:
            for audio in call.audio:
                what = {"stereo": "left sent, right received"}.get(audio.kind, audio.kind)
                captions.setdefault(audio.path, f"{call.party or 'recording'}: {what}")
        found = []
        for name, caption in captions.items():
            path = self.path / name
            if path.is_file():
                found.append(EvidenceFile(name, caption, path.stat().st_size))
        return found
