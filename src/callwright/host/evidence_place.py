"""The flags of `serve` about evidence: where, how long and how much; and a note of the place for `backup`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from callwright.host.operator import Refused

if TYPE_CHECKING:
    from callwright.control.evidence.service import EvidenceLimits
    from callwright.control.storage.evidence.location import EvidenceLocation

_NOTE = "evidence-place"
_DAY, _GIB = 86_400.0, 1024.0**3


def evidence_location(
    place: str | None,
    *,
    endpoint: str | None,
    region: str | None,
    ca: Path | None,
    access_key: str | None,
    secret_key: str | None,
) -> EvidenceLocation:
    """Raises Refused."""
    from callwright.control.storage.evidence.location import EvidenceLocation

    try:
        return EvidenceLocation.parse(
            place or None,
            endpoint=endpoint or None,
            region=region or None,
            ca=str(ca.expanduser().absolute()) if ca is not None else None,
            access_key=access_key or None,
            secret_key=secret_key or None,
        )
    except ValueError as error:
        raise Refused(
            f"--evidence: {error}",
            "A folder, or such as --evidence s3://bucket/prefix --evidence-endpoint https://minio.example.com",
        ) from None


def evidence_limits(days: float, gib: float) -> EvidenceLimits:
    """0: no limit."""
    from callwright.control.evidence.service import EvidenceLimits

    return EvidenceLimits(retention=days * _DAY or None, quota=int(gib * _GIB) or None)


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
