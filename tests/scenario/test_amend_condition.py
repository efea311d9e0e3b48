from __future__ import annotations

import pytest

from callwright.scenario import catalogue
from callwright.scenario.amendment import CannotAmend, amend_condition
from callwright.scenario.document import load

TEXT = catalogue.text("basic_call")
STEPS = "name: a\nsteps:\n  - - wait: 1\n"


def test_a_condition_is_changed_in_its_line_alone() -> None:
    changed = amend_condition(TEXT, "conditions.1", "callee.mos >= 4")
    assert changed == TEXT.replace("callee.mos >= 3.5", "callee.mos >= 4")


def test_a_condition_is_taken_out_with_its_line() -> None:
    assert amend_condition(TEXT, "conditions.3", None) == TEXT.replace("  - caller.pdd < 3 s\n", "")


def test_a_condition_is_added_behind_the_others_without_quotes_it_does_not_need() -> None:
    text = "caller.states ordered [calling, ended]"
    changed = amend_condition(TEXT, "conditions.4", text)
    assert changed == TEXT + f"  - {text}\n"
    assert load(changed).conditions[4].text == text


@pytest.mark.parametrize(
    "document",
    [
        STEPS,
        STEPS + "# end\n",
        STEPS + "conditions:\n",
        "conditions:\n" + STEPS,
        "conditions: []\n" + STEPS,
        STEPS.rstrip("\n"),
    ],
)
def test_the_first_condition_finds_its_place(document: str) -> None:
    changed = amend_condition(document, "conditions.0", "mos >= 3.5")
    assert [c.text for c in load(changed).conditions] == ["mos >= 3.5"]
    assert "# end" in changed or "# end" not in document


@pytest.mark.parametrize(
    "held", ["expect: [mos >= 3.5, loss < 1 %]", "expect:\n        - mos >= 3.5\n        - loss < 1 %"]
)
def test_a_condition_of_an_action_is_changed_where_it_stands(held: str) -> None:
    document = (
        "name: a\nparties: {a: , b: }\nsteps:\n  - - accept: {party: b}\n      "
        f"{held}\n    - call: {{party: a, dial_destination: b}}\n"
    )
    changed = amend_condition(document, "step.0.0.expect.1", "loss < 2 %")
    assert [c.text for c in load(changed).action("step.0.0").expect] == ["mos >= 3.5", "loss < 2 %"]


@pytest.mark.parametrize(
    ("document", "address", "value"),
    [
        (TEXT, "conditions.9", "mos >= 3"),
        (TEXT, "conditions.x", "mos >= 3"),
        (TEXT, "conditions.0", "mos >= 3\nname: other"),
        (STEPS + "conditions: {mos: '>= 3'}\n", "conditions.0", "mos >= 3"),
        ("steps: [", "conditions.0", "mos >= 3"),
        (STEPS + "conditions:\n  - mos >= 3\n", "conditions.0", None),
    ],
)
def test_what_cannot_be_changed_from_a_form_is_refused_with_a_sentence(
    document: str, address: str, value: str | None
) -> None:
    with pytest.raises(CannotAmend, match=r"\.$"):
        amend_condition(document, address, value)
