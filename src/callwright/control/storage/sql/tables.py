"""All tables: each is defined beside the statements of its record."""

from __future__ import annotations

from callwright.control.storage.sql import (  # noqa: F401
    agents,
    alerts,
    audit,
    cdrs,
    certificates,
    contacts,
    credentials,
    dialplan,
    evidence,
    fleet_history,
    keys,
    leaders,
    lines,
    members,
    monitors,
    notifications,
    projects,
    recordings,
    second_factors,
    servers,
    settings,
    status_pages,
    targets,
    tests,
    texts,
    tokens,
    users,
    views,
)
from callwright.control.storage.sql.columns import metadata
from callwright.control.storage.sql.runs import tables  # noqa: F401

__all__ = ["metadata"]
