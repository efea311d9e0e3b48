"""The blocks of a document that say where a platform carries it out."""

from __future__ import annotations

from typing import Any

import pytest

from callwright.fleet.placement import Wish
from callwright.scenario.document import check, load
from callwright.scenario.placing import wish_of
from callwright.scenario.scenario import Scenario

STEPS = "steps:\n  - - options: {party: alice}\n"


def _loaded(blocks: str, **overrides: Any) -> Scenario:
    named = {name.replace("_", ".", 1): value for name, value in overrides.items()}
    return load(f"name: a\n{blocks}\n{STEPS}", overrides=named)


def test_a_document_names_pool_region_labels_place_and_number_of_its_servers() -> None:
    text = "agentpool: {name: lab}\nplacement: {region: eu, labels: {rack: a1}, near: Berlin+DE, count: 3}"
    scenario = _loaded(text)
    wish = wish_of(scenario.agentpool.name, scenario.placement)
    assert wish == Wish("lab", "eu", {"rack": "a1"}, "Berlin+DE", 3)
    assert scenario.asks_for_servers
    assert _loaded("agentpool: lab").agentpool.name == "lab"
    assert not _loaded("").asks_for_servers
    assert wish_of("", _loaded("").placement) == Wish()


@pytest.mark.parametrize(
    "labels", ["{rack: a1, floor: 2}", "rack=a1, floor=2", "[rack=a1, floor=2]", "{rack: a1, floor: '2'}"]
)
def test_labels_are_read_in_every_form(labels: str) -> None:
    assert _loaded(
        f"placement: {{labels: {labels if labels[0] in '{[' else repr(labels)}}}"
    ).placement.labels == {
        "rack": "a1",
        "floor": "2",
    }


def test_each_part_can_be_overridden_and_is_shown() -> None:
    scenario = _loaded("placement: {near: DE}", placement_near="Sydney", placement_labels={"rack": "b2"})
    assert (scenario.placement.near, scenario.placement.labels) == ("Sydney", {"rack": "b2"})
    shown = {"placement.near": "Sydney", "placement.labels": "rack=b2", "step.0.0.party": "alice"}
    assert scenario.shown_parameters() == shown
    assert _loaded("", agentpool_name="far").agentpool.name == "far"


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("placement: {nera: Berlin}", "nera is not a parameter of the block placement. Did you mean near?"),
        ("placement: {count: 0}", "0 is out of range. Permitted: 1 to 1000."),
        ("placement: {labels: [a]}", "a is not a label. Write KEY=VALUE."),
        ("placement: {labels: {a: [b]}}", "A label is a text: KEY=VALUE."),
        ("placement: {labels: {'': b}}", "A label is KEY=VALUE, of at most 255 characters each."),
        ("placement: Berlin", "placement is a block of keys. Write placement: {region: …}."),
        ("agentpool: [x]", "agentpool is a block of keys. Write agentpool: {name: …}."),
    ],
)
def test_what_is_wrong_in_them_is_told_with_its_place(block: str, said: str) -> None:
    (problem,) = check(f"name: a\n{block}\n{STEPS}")
    assert problem.message.startswith(said)
    assert problem.line == 2
