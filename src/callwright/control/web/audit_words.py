"""Entries of the audit log as a person reads them: a sentence, and links to what they are about. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from callwright.control.audit.actions import ACTIONS
from callwright.control.audit.model import AuditEntry

_PLACES = {
    "credential": "/credentials",
    "key": "/keys",
    "token": "/keys",
    "user": "/members",
    "member": "/members",
    "login": "/members",
    "twofactor": "/members",
    "project": "/projects",
    "agent": "/agents",
    "enrolment": "/agents",
    "pool": "/agents",
    "target": "/targets",
    "kill": "/targets",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """``sentence``: what happened; ``href``: the page of what it was done to, empty when there is none."""

    entry: AuditEntry
    sentence: str
    href: str


def shown(entry: AuditEntry) -> Shown:
    sentence = ACTIONS.get(entry.action, "").partition(";")[0].rstrip(".")
    return Shown(entry, sentence or entry.action.replace(".", " ").capitalize(), href(entry))


def href(entry: AuditEntry) -> str:
    kind, _, name = entry.object.partition(" ")
    if kind == "run" and re.fullmatch(r"[0-9a-fA-F-]{8,36}|\d+", name):
        return f"/run/details/{name}"
    if kind == "test" and name and entry.action != "test.deleted":
        return f"/tests/{quote(name, safe=':')}"
    if kind == "target" and name.isdigit() and entry.action != "target.removed":
        return f"/targets#target-{name}"
    return _PLACES.get(entry.action.partition(".")[0], _PLACES.get(kind, ""))
