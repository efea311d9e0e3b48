from __future__ import annotations

import re

import pytest

from callwright.scenario import catalogue
from callwright.scenario.amendment import CannotAmend, amend
from callwright.scenario.document import load

TEXT = """\
# Alice calls Bob.
name: a_call  # the name
title: "A: call"

parties:
  alice: {display_name: Alice Adams}
  bob:

steps:
  # 0: Bob
  - - register: {party: bob}
    - accept:
        party: bob
        ring: 1 s  # a second
        codecs:
          - PCMA
          - PCMU
        # a comment that stays
  - - wait: 1 s
  - name: the call
    actions:
      - call:
          from: alice
          dial_destination: bob
          max_duration: 6 s
      - register

conditions:
  - caller.mos >= 3.5
"""


def value_of(text: str, address: str) -> object:
    return next(view.value for view in load(text).parameters() if view.address == address)


@pytest.mark.parametrize(
    ("address", "value", "read", "line"),
    [
        ("step.0.1.ring", "2 s", 2.0, "        ring: 2 s  # a second"),
        ("step.0.0.regexpire", "60", 60, "  - - register: {party: bob, regexpire: 60}"),
        ("step.0.1.play", "tone", "tone", "        play: tone"),
        ("step.0.1.codecs", ["G722", "PCMA"], ["G722", "PCMA"], "        codecs: [G722, PCMA]"),
        ("step.1.0.seconds", "3 s", 3.0, "  - - wait: 3 s"),
        ("step.1.0.party", "bob", "bob", "  - - wait: {seconds: 1 s, party: bob}"),
        ("step.2.0.party", "bob", "bob", "          from: bob"),
        ("step.2.0.caller_id", '"Al: x" <1>', '"Al: x" <1>', '          caller_id: "\\"Al: x\\" <1>"'),
        ("step.2.1.regexpire", "60", 60, "      - register: {regexpire: 60}"),
        ("party.bob.user", "4102", "4102", "  bob: {user: 4102}"),
        ("party.alice.user", "4101", "4101", "  alice: {display_name: Alice Adams, user: 4101}"),
        ("target", "pbx.example.com", "pbx.example.com", "target: pbx.example.com"),
    ],
)
def test_one_value_changes_and_the_rest_of_the_text_stays(
    address: str, value: str, read: object, line: str
) -> None:
    changed = amend(TEXT, address, value)
    assert line in changed.split("\n")
    assert value_of(changed, address) == read
    assert "# a comment that stays" in changed
    assert re.sub(r"\s", "", "".join(re.findall(r"#.*", TEXT))) == re.sub(
        r"\s", "", "".join(re.findall(r"#.*", changed))
    )


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("step.0.1.ring", "ring"),
        ("step.2.0.max_duration", "max_duration"),
        ("party.alice.display_name", "Alice Adams"),
    ],
)
def test_a_value_can_be_taken_out(address: str, line: str) -> None:
    changed = amend(TEXT, address, None)
    assert line not in changed
    load(changed)


def test_setting_and_taking_out_gives_the_text_back() -> None:
    for address, value in [
        ("step.0.0.regexpire", "60"),
        ("step.2.0.play", "tone"),
        ("party.alice.user", "1"),
    ]:
        assert amend(amend(TEXT, address, value), address, None) == TEXT
    assert amend(TEXT, "step.2.0.play", None) == TEXT


def test_a_wrong_value_is_put_in_all_the_same_for_its_error_to_be_shown() -> None:
    assert "ring: 3,9 s" in amend(TEXT, "step.0.1.ring", "3,9 s") or '"3,9 s"' in amend(
        TEXT, "step.0.1.ring", "3,9 s"
    )


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("steps: [", "target"),
        ("- a", "target"),
        (TEXT, "step.9.0.play"),
        (TEXT, "nothing"),
        ("a: &x {party: bob}\nsteps:\n- - register: *x\n  - accept: *x\n", "step.0.0.party"),
        ("parties: [alice]\nsteps: [[wait: 1 s]]\n", "party.alice.user"),
        ("parties: {alice: 'a:b'}\nsteps: [[wait: 1 s]]\n", "party.alice.user"),
    ],
)
def test_what_cannot_be_changed_safely_is_refused_in_a_sentence(text: str, address: str) -> None:
    with pytest.raises(CannotAmend, match=r"\.$"):
        amend(text, address, "tone")


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_every_parameter_of_the_catalogue_can_be_changed(name: str) -> None:
    text = catalogue.text(name)
    before = {view.address: view for view in load(text).parameters()}
    for address, view in before.items():
        if view.type in ("number", "whole number", "duration") and view.value is not None:
            new = f"{view.value + 1:g}"
            after = {v.address: v.value for v in load(amend(text, address, new)).parameters()}
            assert after.pop(address) != view.value
            assert after == {a: v.value for a, v in before.items() if a != address}


@pytest.mark.parametrize(
    ("text", "address", "value", "after"),
    [
        (
            "name: a\nsteps: []\n",
            "placement.near",
            "Berlin",
            "name: a\nplacement: {near: Berlin}\nsteps: []\n",
        ),
        ("placement: {count: 2}\nname: a\n", "placement.count", "3", "placement: {count: 3}\nname: a\n"),
        ("placement: {count: 2, near: DE}\n", "placement.near", None, "placement: {count: 2}\n"),
        ("placement:\n  count: 2\n", "placement.region", "eu", "placement:\n  count: 2\n  region: eu\n"),
        ("agentpool: lab\n", "agentpool.name", "far", "agentpool: far\n"),
        ("{name: a}", "agentpool.name", "far", "{name: a, agentpool: {name: far}}"),
    ],
)
def test_where_it_is_carried_out_is_changed_like_any_parameter(
    text: str, address: str, value: str | None, after: str
) -> None:
    assert amend(text, address, value) == after
