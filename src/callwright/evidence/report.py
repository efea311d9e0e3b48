"""report.html: one file that tells a run to a person. No network, no other file but the recordings beside it.

The look is that of the design's stylesheets, which are shipped in `static/` as they are. Everything that came
from the wire passes `shown()` and Jinja's autoescape.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from callwright.evidence.ladder import Ladder
from callwright.evidence.page import EvidenceFile, equip, run_page, static_text
from callwright.evidence.redaction import Redactor
from callwright.evidence.shown import shown_json
from callwright.outcome.run import RunOutcome

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["EvidenceFile", "render_report", "script_safe"]


class Change(Protocol):
    """A difference to an earlier run, in words."""

    @property
    def sign(self) -> str: ...
    @property
    def word(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def cause(self) -> bool: ...
    @property
    def message(self) -> int | None: ...


def render_report(
    outcome: RunOutcome,
    ladder: Ladder,
    *,
    folder: Path | None = None,
    files: Sequence[EvidenceFile] = (),
    notes: Sequence[str] = (),
    min_mos: float = 3.5,
    redactor: Redactor | None = None,
    differences: Sequence[Change] = (),
    changes: Sequence[str] | None = None,
    beside: str = "",
    evidence_note: str = "Beside this page.",
) -> str:
    """The page. Recordings are looked for in `folder`; `notes` are about the capture; `min_mos` is the limit
    line; `differences` are what changed since the run that `beside` names, `changes` as of `run_page`.
    """
    redactor = redactor if redactor is not None else Redactor()
    document = redactor.document(outcome.to_json())
    plain = json.loads(shown_json(json.dumps(document, ensure_ascii=False)))
    html = (
        _environment()
        .get_template("report.html")
        .render(
            **run_page(
                RunOutcome.from_json(document), ladder, folder=folder, min_mos=min_mos, changes=changes
            ),
            files=list(files),
            notes=list(notes),
            differences=list(differences),
            beside=beside,
            evidence_note=evidence_note,
            document=script_safe(json.dumps(plain, ensure_ascii=True, separators=(",", ":"))),
        )
    )
    # A lone surrogate cannot be written as UTF-8; whatever slipped through becomes visible.
    return html.encode("utf-8", "replace").decode("utf-8").replace("\0", "␀")


def script_safe(document: str) -> str:
    """JSON that no HTML parser can leave: `<`, `>`, `&` and the line separators of JavaScript as escapes."""
    for character in "<>&\u2028\u2029":
        document = document.replace(character, f"\\u{ord(character):04x}")
    return document


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("callwright.evidence"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    equip(environment)
    environment.globals["style"] = Markup(
        "\n".join(map(static_text, ("tokens.css", "components.css", "report.css")))
    )
    environment.globals["script"] = Markup(static_text("report.js"))
    return environment
