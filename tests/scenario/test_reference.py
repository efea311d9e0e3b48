from __future__ import annotations

from pathlib import Path

import pytest

from callwright.scenario import catalogue
from callwright.scenario.actions import KINDS
from callwright.scenario.document import load
from callwright.scenario.parameter import parameters_of
from callwright.scenario.reference import markdown

PAGE = Path(__file__).parents[2] / "docs" / "test-language.md"


def test_the_committed_reference_is_what_the_code_says() -> None:
    remedy = "run: python -m callwright.scenario.reference > docs/test-language.md"
    assert PAGE.read_text(encoding="utf-8") == markdown(), remedy


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_of_every_action_is_explained(kind: str) -> None:
    for parameter in parameters_of(KINDS[kind]):
        assert f"`{parameter.name}`" in markdown()
        assert parameter.help.endswith(".")


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_every_action_is_right(kind: str) -> None:
    load(f"name: t\nparties: [alice, bob]\nsteps:\n  - - {KINDS[kind].example}\n")


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_every_test_of_the_catalogue_bears_its_name_and_needs_no_target(name: str) -> None:
    scenario = catalogue.scenario(name)
    assert scenario.name == name
    assert scenario.title
    assert scenario.description
    assert scenario.needs_pbx


def test_a_name_that_is_not_in_the_catalogue_is_told_with_the_nearest() -> None:
    with pytest.raises(catalogue.NotInCatalogue) as missing:
        catalogue.text("basic-call")
    assert missing.value.nearest == "basic_call"
