"""What the editor knows of a document: its problems, its form, and where each action stands. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from callwright.control.tests.reading import beside as beside_loop
from callwright.control.web import changes
from callwright.scenario import amendment
from callwright.scenario.condition import METRICS, Condition
from callwright.scenario.document import load
from callwright.scenario.load_condition import LOAD_HELP
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
    values: tuple[str, ...] = ()
    """What a list may hold."""
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
    if (line := changes.unresolved(text)) is not None:
        message = "Two changes meet here. Keep one side or both, and remove the lines with the markers."
        return Reading(text, None, (Problem(message, line, 1),))
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
        view.choices if view.type in _LISTS else (),
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


def as_written(type_: str, unit: str | None, text: str) -> str | list[str] | None:
    """What was typed into a field as an author would write it: with its unit, a list in brackets; None when
    the field is empty."""
    text = text.strip()
    if not text:
        return None
    if type_ in _LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    if unit == "s" and re.fullmatch(r"\d+(\.\d+)?", text):
        return f"{text} s"
    return text


def stands(text: str) -> dict[str, str]:
    """Address to what stands in the text there, as a field shows it, whether it is right or not. A list with
    one wrong entry keeps the others. Never a password."""
    found = {}
    for address, (spec, shown) in amendment.written(text).items():
        if spec.type.name == "secret" or spec.type.name in _HIDDEN_TYPES:
            continue
        if spec.type.unit == "s":
            shown = re.sub(r"(?<=\d)\s*s$", "", shown)
        found[address] = shown
    return found


def typed_as(text: str, address: str, value: str) -> str | list[str] | None:
    """What was typed into the field at ``address``, as it is written into this document."""
    reading = read(text)
    if reading.scenario is not None:
        for view in reading.scenario.parameters():
            if view.address == address:
                return as_written(view.type, view.unit, value)
    spec = next((spec for at, (spec, _) in amendment.written(text).items() if at == address), None)
    if spec is None:
        return value.strip() or None
    return as_written(spec.type.name, spec.type.unit, value)


def with_problems(groups: list[FieldGroup], problems: Iterable[Problem], text: str) -> list[FieldGroup]:
    """The form of another version with what stands in this text, and what is wrong with it at its fields."""
    by_address = {problem.address: problem for problem in problems if problem.address}
    now = stands(text)

    def told(fields: tuple[Field, ...]) -> tuple[Field, ...]:
        shown = []
        for field in fields:
            problem = by_address.get(field.address)
            shown.append(
                dataclasses.replace(
                    field,
                    text=field.text if field.secret else now.get(field.address, ""),
                    wrong=problem.message if problem else "",
                    line=problem.line if problem else None,
                )
            )
        return tuple(shown)

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


@dataclass(frozen=True, slots=True)
class Row:
    """One condition as the form shows it. In four parts, or where that is not enough as one ``text``."""

    address: str
    """ "conditions.2", "step.1.0.expect.0": what `amendment.amend_condition` takes."""
    text: str
    sentence: str
    who: str = ""
    metric: str = ""
    operator: str = ""
    value: str = ""

    @property
    def id(self) -> str:
        return "c-" + self.address.replace(".", "-")

    @property
    def of_action(self) -> str:
        """The action that it belongs to, if it does."""
        return self.address.partition(".expect")[0] if ".expect." in self.address else ""

    @property
    def operators(self) -> tuple[str, ...]:
        return METRICS[self.metric].operators if self.metric else ()


def beside(scenario: Scenario | None) -> list[Beside]:
    """The extra headers of a document, which its form has no fields for."""
    if scenario is None:
        return []
    found = []
    for view in scenario.parameters():
        if view.type in _HIDDEN_TYPES and view.given:
            holder = view.address.rpartition(".")[0]
            help_ = view.help.replace("`", "")
            found += [Beside(line, help_, holder) for line in view.value or ()]
    return found


def conditions(scenario: Scenario | None) -> list[Row]:
    """Those of the document, then those of its actions."""
    if scenario is None:
        return []
    rows = [_row(f"conditions.{n}", c) for n, c in enumerate(scenario.conditions)]
    for action in scenario.actions():
        rows += [_row(f"{action.address}.expect.{n}", c) for n, c in enumerate(action.expect)]
    return rows


def _row(address: str, condition: Condition) -> Row:
    simple = METRICS.get(condition.metric.name) is condition.metric and not condition.header
    if not simple:
        return Row(address, condition.text, _says(condition))
    value = condition.expected.removeprefix(condition.operator).strip()
    if value == condition.expected.strip() and value:  # written with another sign for the same operator
        value = re.sub(r"^(==|≥|≤|≠|[=<>!~]+)\s*", "", value)
    return Row(
        address,
        condition.text,
        _says(condition),
        condition.who or "",
        condition.metric.name,
        condition.operator,
        value,
    )


def whose(scenario: Scenario | None) -> list[tuple[str, str]]:
    """Of whom a condition may speak: the word, and what it means."""
    names = list(scenario.parties) if scenario is not None else []
    return [
        ("", "every call"),
        ("caller", "the caller"),
        ("callee", "the callee"),
        *((name, name) for name in names if name not in ("caller", "callee")),
    ]


def metrics() -> list[tuple[str, str]]:
    """What a row of the form can look at, by name, with its meaning."""
    return [(m.name, _short(m.help)) for m in METRICS.values() if m.kind != "header"]


def _short(text: str) -> str:
    short = text.partition(":")[0].partition(";")[0]
    return short[:1].upper() + short[1:]


def vocabulary() -> dict[str, Any]:
    """What may stand where, for the completion of the document: keys of each action, values of each key,
    and what conditions know."""
    from callwright.scenario.actions import KINDS
    from callwright.scenario.fields import DOCUMENT_PARAMETERS
    from callwright.scenario.parameter import CODECS, Parameter, parameters_of
    from callwright.scenario.party import Party
    from callwright.scenario.placing import HEAD_BLOCKS

    def words(specs: Iterable[Parameter]) -> dict[str, Any]:
        return {
            spec.name: {
                "help": spec.help.replace("`", ""),
                "values": list(spec.type.choices),
                "list": spec.type.name in _LISTS,
                "type": spec.type.name,
            }
            for spec in specs
        }

    return {
        "actions": {kind: words(parameters_of(cls)) for kind, cls in KINDS.items()},
        "aliases": {kind: dict(cls.aliases) for kind, cls in KINDS.items()},
        "party": words(parameters_of(Party)),
        "document": words(DOCUMENT_PARAMETERS.values()),
        "blocks": {name: words(parameters_of(cls)) for name, cls in HEAD_BLOCKS.items()},
        "heads": ["name", "title", "description", "tags", *HEAD_BLOCKS, "parties", "steps", "conditions"],
        "metrics": {
            name: {
                "help": _short(metric.help),
                "operators": list(metric.operators),
                "values": list(metric.choices or (CODECS if name == "codec" else ())),
            }
            for name, metric in METRICS.items()
        },
        "load": {name: _short(text) for name, text in LOAD_HELP.items()},
    }


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
