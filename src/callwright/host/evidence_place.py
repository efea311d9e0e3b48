"""A note of where evidence is, for `backup`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callwright.control.storage.evidence.location import EvidenceLocation

_NOTE = "evidence-place"


def note_place(data: Path, location: EvidenceLocation) -> None:
    """Where evidence is, when it is not in the data folder; without a secret. Raises OSError."""
    note = data / _NOTE
    place = location.url or location.folder
    if place is None:
        note.unlink(missing_ok=True)
        return
    draft = note.with_name(f".{_NOTE}.part")
    draft.write_text(f"{place}\n", encoding="utf-8")
    os.replace(draft, note)


def noted_place(data: Path) -> str | None:
    """`s3://bucket/prefix`, or a folder; None: the data folder's own."""
    try:
        return (data / _NOTE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
