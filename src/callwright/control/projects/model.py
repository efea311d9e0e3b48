"""Projects and who is in them. Times are unix seconds (float)."""

from __future__ import annotations

import re

import msgspec

from callwright.control.errors import Invalid

_NAME = re.compile(r"[^\s/?#%\x00-\x1f][^/?#%\x00-\x1f]{0,199}")


class Project(msgspec.Struct, frozen=True):
    """``max_running``: runs that agents carry out at once; ``max_queued``: runs that wait. None: the
    platform's own limits. ``keep_runs_days``: runs that were started longer ago are removed with all that
    belongs to them; None: they stay."""

    id: int
    name: str
    description: str
    created_at: float
    max_running: int | None = None
    max_queued: int | None = None
    keep_runs_days: int | None = None


class Membership(msgspec.Struct, frozen=True):
    """Somebody in a project."""

    user_id: int
    username: str
    project_id: int
    project_name: str
    role: str
    since: float


def checked_name(name: str, what: str) -> str:
    """Of a project or of what is named in one: it stands in addresses. Raises Invalid."""
    # A client takes `.` and `..` out of a path before it asks: nobody would reach it.
    if not _NAME.fullmatch(name.strip()) or name.strip() in (".", ".."):
        raise Invalid(
            f"{name[:80]!r} is not a name for a {what}: "
            "1 to 200 characters without / ? # %, not . or .. alone.",
            field="name",
        )
    return name.strip()
