"""What the editor knows of a document: its problems, its form, and where each action stands. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from callwright.control.reading import beside as beside_loop
from callwright.scenario.document import load
from callwright.scenario.parameter import ParameterView
from callwright.scenario.scenario import Scenario
from callwright.scenario.source import DocumentError, Problem

_HIDDEN_TYPES = ("headers",)
"""Types whose values are lists of pairs: they are changed in the text."""
_LISTS = ("codec list",)
_LABELS = {
    "dial_destination": "Destination",
    "max_duration": "Talk for at most",
    "max_total_calls": "Calls",
    "regexpire": "Registered for",
    "min_mos": "Lowest MOS",
    "dtmf": "Digits to send",
    "call_rate": "New calls a second",
    "concurrent": "Most calls at once",
    "caller_id": "Caller to show",
    "auth_user": "User for authentication",
    "display_name": "Display name",
    "ring": "Ring for",
    "reject": "Refuse with",
    "seconds": "Wait for",
    "media": "Audio is expected",
    "record": "Record both directions",
    "follow": "Follow a redirection",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter as a form shows it."""

    address: str
    label: str
    type: str
    text: str
    """As a person would write it; empty: not given."""
    placeholder: str
    unit: str
    help: str
    required: bool
    given: bool
    choices: tuple[str, ...]
    secret: bool
    wrong: str = ""
    line: int | None = None

    @property
    def id(self) -> str:
        return "p-" + self.address.replace(".", "-")


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """An action, a party, or the document itself. ``often``: given or required; ``more``: the rest."""

    title: str
    address: str
    note: str
    often: tuple[Field, ...]
    more: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A document as it was read: either a scenario or problems."""

    text: str
    scenario: Scenario | None
    problems: tuple[Problem, ...]

    @property
    def groups(self) -> list[FieldGroup]:
        return field_groups(self.scenario) if self.scenario is not None else []


def read(text: str, overrides: Mapping[str, Any] | None = None) -> Reading:
    """Without secrets: variables and accounts stay names."""
    try:
        return Reading(text, load(text, overrides=overrides, environment=None), ())
    except DocumentError as error:
        return Reading(text, None, error.problems)


async def read_beside(text: str, overrides: Mapping[str, Any] | None = None) -> Reading:
    """`read`, without holding up the loop."""
    return await beside_loop(len(text), lambda: read(text, overrides))


def field_groups(scenario: Scenario) -> list[FieldGroup]:
    """In the order of the document: the actions first, since that is what people change."""
    by_holder: dict[str, list[Field]] = {}
    for view in scenario.parameters():
        if view.type not in _HIDDEN_TYPES:
            holder = view.address.rpartition(".")[0]
            by_holder.setdefault(holder, []).append(_field(view, scenario.given.get(view.address)))
    actions = {action.address: action for action in scenario.actions()}
    groups = []
    for address, action in actions.items():
        groups.append(_group(action.kind.capitalize(), address, action.party, by_holder.pop(address, [])))
    for name in scenario.parties:
        address = f"party.{name}"
        groups.append(_group(name.capitalize(), address, "party", by_holder.pop(address, [])))
    groups.append(_group("Whole test", "", "", by_holder.pop("", [])))
    return [group for group in groups if group.often or group.more]


def _group(title: str, address: str, note: str, fields: Iterable[Field]) -> FieldGroup:
    fields = list(fields)
    often = tuple(field for field in fields if field.given or field.required)
    return FieldGroup(title, address, note, often, tuple(field for field in fields if field not in often))


def _field(view: ParameterView, written: str | None) -> Field:
    secret = view.type == "secret"
    text = "" if not view.given or secret else written or as_text(view.value)
    default = as_text(view.default)
    unit = {"s": "seconds"}.get(view.unit or "", view.unit or "")
    placeholder = "set, not shown" if secret and view.given else f"{default}, if empty" if default else ""
    return Field(
        view.address,
        _LABELS.get(view.name, view.name.replace("_", " ").capitalize()),
        view.type,
        text,
        placeholder,
        unit,
        _help(view),
        view.required,
        view.given,
        view.choices if view.type not in _LISTS else (),
        secret,
    )


def _help(view: ParameterView) -> str:
    text = view.help.replace("`", "")
    if view.type in _LISTS:
        return f"{text} Permitted: {', '.join(view.choices)}."
    if view.minimum is not None and view.maximum is not None:
        unit = f" {view.unit}" if view.unit else ""
        return f"{text} {view.minimum:,.10g} to {view.maximum:,.10g}{unit}."
    return text


def as_text(value: Any) -> str:
    """A value of ParameterView as one would type it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def as_written(view: ParameterView, text: str) -> str | list[str] | None:
    """What was typed into a field as an author would write it: with its unit, a list in brackets; None when
    the field is empty."""
    text = text.strip()
    if not text:
        return None
    if view.type in _LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    if view.unit == "s" and re.fullmatch(r"\d+(\.\d+)?", text):
        return f"{text} s"
    return text


def with_problems(groups: list[FieldGroup], problems: Iterable[Problem]) -> list[FieldGroup]:
    """The form with what is wrong said at its fields."""
    by_address = {problem.address: problem for problem in problems if problem.address}

    def told(fields: tuple[Field, ...]) -> tuple[Field, ...]:
        return tuple(
            dataclasses.replace(f, wrong=by_address[f.address].message, line=by_address[f.address].line)
            if f.address in by_address
            else f
            for f in fields
        )

    return [dataclasses.replace(g, often=told(g.often), more=told(g.more)) for g in groups]


def places(text: str) -> dict[str, tuple[int, int]]:
    """Address of each action to its first and last line, from 1."""
    import yaml

    try:
        root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
        steps = next(value for key, value in root.value if key.value == "steps").value
    except (yaml.YAMLError, StopIteration, AttributeError, TypeError, ValueError):
        return {}
    found = {}
    for s, step in enumerate(steps):
        items = step
        if isinstance(step, yaml.MappingNode):
            named = [value for key, value in step.value if key.value == "actions"]
            items = named[0] if named else step
        for a, node in enumerate(items.value if isinstance(items, yaml.SequenceNode) else [items]):
            last = node.end_mark.line + (1 if node.end_mark.column else 0)
            lines = text.split("\n")[node.start_mark.line : last]
            while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
                lines.pop()
            found[f"step.{s}.{a}"] = (node.start_mark.line + 1, node.start_mark.line + len(lines))
    return found


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands in the text alone: as written, in words, and where."""

    text: str
    sentence: str
    address: str


def beside(scenario: Scenario | None) -> list[Beside]:
    """The conditions and extra headers of a document, which its form has no fields for."""
    if scenario is None:
        return []
    found = []
    for view in scenario.parameters():
        if view.type in _HIDDEN_TYPES and view.given:
            holder = view.address.rpartition(".")[0]
            for name, value in view.value or ():
                found.append(Beside(f"{name}: {value}", view.help.replace("`", ""), holder))
    for action in scenario.actions():
        found += [Beside(c.text, _says(c), action.address) for c in action.expect]
    return found + [Beside(c.text, _says(c), "") for c in scenario.conditions]


def _says(condition: Any) -> str:
    """ "The MOS of what this party heard must be >= 4.0." """
    metric = condition.metric.help.partition(":")[0]
    name = f"header {condition.header}" if condition.header else metric
    whose = f" ({condition.who})" if condition.who else ""
    return f"{name[:1].upper()}{name[1:]}{whose} must be {condition.expected}."


class BeyondParameters(ValueError):
    """The document differs from the one that is kept in more than parameters can say."""


def overrides_between(kept: str, edited: str) -> dict[str, str]:
    """The overrides that make the kept document do what the edited one does.

    Raises DocumentError for a document that is not right, BeyondParameters.
    """
    before, after = load(kept, environment=None), load(edited, environment=None)
    old = {view.address: view for view in before.parameters()}
    changed: dict[str, str] = {}
    for view in after.parameters():
        was = old.get(view.address)
        if was is None or (was.given and not view.given and was.value != view.value):
            raise BeyondParameters
        if was.value != view.value:
            if view.type == "secret":
                raise BeyondParameters
            changed[view.address] = as_text(view.value)
    if _rest(load(kept, overrides=changed, environment=None)) != _rest(after):
        raise BeyondParameters
    return changed


def _rest(scenario: Scenario) -> Any:
    """All that a run depends on."""
    conditions = [condition.text for condition in scenario.conditions]
    actions = [(a.address, a.kind, [condition.text for condition in a.expect]) for a in scenario.actions()]
    values: Mapping[str, Any] = {view.address: view.value for view in scenario.parameters()}
    return conditions, actions, {address: as_text(value) for address, value in values.items()}
