"""From a request's fields, in its body or its query, to what it wishes; what cannot be meant is refused with
422 and the name of the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from callwright.control.api import fields as take
from callwright.control.api.body import Fields
from callwright.control.api.problems import invalid
from callwright.control.runs.records import KIOSK_DAYS, MOST_KIOSK_DAYS
from callwright.scenario.parameter import parameters_of
from callwright.scenario.placing import HEAD_BLOCKS, Placement

_REPORT_MODES = ("kiosk", "private")


@dataclass(frozen=True, slots=True)
class Start:
    """What `POST /tests/run` asks for: one test with overrides, or every test of a project or with tags.

    `tags`: with a test, tags of the run beside those of its document; without, what chooses the tests.
    `pool` None: the documents'. `placement`: addresses of it, among the `overrides` too where one test is
    named.
    """

    test: str | None
    project: str | None
    kiosk: bool
    kiosk_days: float | None
    tags: tuple[str, ...]
    pool: str | None
    placement: dict[str, Any]
    overrides: dict[str, Any]

    def address_of(self, what: str) -> str:
        """The field that named what there is not: a "project", or the "test" that was to run."""
        if what == "project" or (self.test is None and self.project is not None):
            return "test.project"
        return "test.name" if self.test is not None else "test.tags"


_START_FIELDS = (
    "test.name",
    "test.project",
    "project.name",
    "test.tags",
    "report.mode",
    "report.days",
    "agentpool.name",
)


def start(fields: Fields) -> Start:
    """Raises 422 that names the field. Whatever is none of ours is an override, judged with the test."""
    fields = _flat(fields)
    test = take.text(fields, "test.name", optional=True)
    project = take.text(fields, "test.project", optional=True) or take.text(
        fields, "project.name", optional=True
    )
    chosen = take.tags(fields.get("test.tags"))
    overrides = {name: value for name, value in fields.items() if name not in _START_FIELDS}
    if not (test or project or chosen):
        raise invalid("test.name", "test.name is missing: which test is to run?")
    placement = {name: value for name, value in overrides.items() if name.startswith("placement.")}
    if not test and len(overrides) > len(placement):
        address = next(name for name in overrides if name not in placement)
        raise invalid(address[:200], "A parameter can be overridden where test.name names one test.")
    mode = take.text(fields, "report.mode", optional=True)
    if mode and mode not in _REPORT_MODES:
        raise invalid(
            "report.mode", f"{mode[:100]!r} is not a report mode.", value=mode, permitted=_REPORT_MODES
        )
    return Start(
        test=test or None,
        project=project or None,  # together: the test of that name in that project
        kiosk=mode == "kiosk",
        kiosk_days=days(fields, "report.days"),
        tags=chosen,
        pool=take.text(fields, "agentpool.name", optional=True) or None,
        placement=placement,
        overrides=overrides,
    )


def _flat(fields: Fields) -> Fields:
    """`placement` and `agentpool` as objects of JSON mean the same as their addresses."""
    found = dict(fields)
    for block in HEAD_BLOCKS:
        inside = found.get(block)
        if isinstance(inside, dict):
            del found[block]
            found |= {f"{block}.{name}": value for name, value in inside.items()}
    return found


DAYS: dict[str, Any] = {
    "description": "How long the public link is good for; 30 if absent, `never` for no end.",
    "anyOf": [{"type": "number"}, {"type": "string"}],
}


def days(fields: Fields, name: str) -> float | None:
    """30 unless said otherwise; None for `never`. Raises 422."""
    value = fields.get(name)
    if isinstance(value, str) and value.strip().lower() == "never":
        return None
    found = take.number(fields, name, default=KIOSK_DAYS)
    if found is not None and found > MOST_KIOSK_DAYS:
        raise invalid(name, f"{name} is at most {MOST_KIOSK_DAYS:,.0f}, or never.", value=value)
    return found


PLACEMENT: dict[str, Any] = {
    f"placement.{spec.name}": (
        {"type": "integer", "minimum": 1, "description": spec.help}
        if spec.name == "count"
        else {
            "description": spec.help,
            "anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}],
        }
        if spec.name == "labels"
        else {"type": "string", "description": spec.help}
    )
    for spec in parameters_of(Placement)
}
