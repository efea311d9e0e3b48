"""A test made of values of Python: written as a document first, so that it is checked as any other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from callwright.scenario.actions import Action
from callwright.scenario.document import load
from callwright.scenario.parameter import parameters_of
from callwright.scenario.party import Party
from callwright.scenario.scenario import Scenario

__all__ = ["built", "document_of"]


def built(
    name: str,
    steps: Sequence[Sequence[Action]],
    *,
    parties: Sequence[Party] = (),
    conditions: Sequence[str] = (),
    **values: Any,
) -> Scenario:
    """See ``Scenario.of``."""
    return load(document_of(name, steps, parties=parties, conditions=conditions, **values))


def document_of(
    name: str,
    steps: Sequence[Sequence[Action]],
    *,
    parties: Sequence[Party] = (),
    conditions: Sequence[str] = (),
    **values: Any,
) -> str:
    """The same as the text of a document (JSON, which is YAML)."""
    document: dict[str, Any] = {"name": name, **{key: value for key, value in values.items() if value}}
    if parties:
        document["parties"] = {party.name: _given(party) for party in parties}
    document["steps"] = [[_action(action) for action in step] for step in steps]
    if conditions:
        document["conditions"] = list(conditions)
    return json.dumps(document, ensure_ascii=False)


def _action(action: Action) -> Mapping[str, Any]:
    expected = {"expect": [condition.text for condition in action.expect]} if action.expect else {}
    return {action.kind: _given(action), **expected}


def _given(holder: Action | Party) -> dict[str, Any]:
    """What differs from the defaults, as a document writes it."""
    found = {}
    for spec in parameters_of(type(holder)):
        value = getattr(holder, spec.name)
        if spec.required or value != spec.default:
            found[spec.name] = spec.type.plain(value)
    return found
