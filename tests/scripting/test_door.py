"""The door of the package: cheap to import, complete, and no exception for a call that fails."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import callwright
from callwright import Phone, PolicyRefusal, Scenario, actions, call, run
from callwright.policy.destination import PolicyError
from callwright.scenario.source import DocumentError

ROOT = Path(__file__).parents[2]


def test_importing_the_root_imports_no_room() -> None:
    code = "import sys, callwright; print(*sorted(name for name in sys.modules if 'callwright.' in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_name_of_the_door_leads_somewhere_and_has_its_type() -> None:
    typed = (ROOT / "src" / "callwright" / "__init__.pyi").read_text(encoding="utf-8")
    assert {getattr(callwright, name) is not None for name in callwright.__all__} == {True}
    assert set(re.findall(r" as (\w+)$", typed, re.M)) == set(callwright.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        callwright.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_no_room_imports_the_root() -> None:
    pattern = re.compile(r"^\s*(from callwright import|import callwright$)", re.M)
    files = [path for path in (ROOT / "src" / "callwright").rglob("*.py") if path.name != "__init__.py"]
    assert not [
        path for path in files if pattern.search(path.read_text(encoding="utf-8").split('"""', 2)[-1])
    ]


async def test_a_call_that_nobody_takes_is_a_verdict_and_its_waits_end() -> None:
    async with Phone() as phone:
        placed = await phone.call("sip:nobody@127.0.0.1:9")
        assert not await placed.answered()
        assert not await placed.talk(60)
        outcome = await placed.finished()
    assert (outcome.verdict, outcome.blame) == ("failed", "target")


async def test_a_call_is_not_placed_beyond_what_was_typed_where_its_number_is_dangerous() -> None:
    outcome = await call("sip:112@127.0.0.1:9", ring_for=1)
    assert outcome.failure == "policy"


async def test_a_wait_for_an_invitation_ends_in_time() -> None:
    async with Phone() as phone:
        await phone.listen()
        with pytest.raises(TimeoutError):
            await phone.invited(timeout=0.05)


async def test_a_registration_that_nobody_answers_is_a_verdict() -> None:
    async with Phone("sip:1001@127.0.0.1:9", password="x") as phone:
        outcome = await phone.register()
    assert outcome.verdict == "failed"


async def test_a_phone_without_an_address_has_nobody_to_register_and_no_domain_to_dial_in() -> None:
    async with Phone() as phone:
        with pytest.raises(ValueError, match="Nobody to register"):
            await phone.register()
        with pytest.raises(ValueError, match="no domain"):
            await phone.call("1002")


async def test_a_test_that_may_not_go_there_is_refused_before_anything_is_sent() -> None:
    scenario = Scenario.of("far", [actions.Options(party="a", destination="sip:203.0.113.9")])
    with pytest.raises(PolicyRefusal, match="allow=") as refused:
        await run(scenario)
    assert refused.value.address == "step.0.0"
    with pytest.raises(PolicyError):
        await run(scenario, allow=["not a place"])


def test_a_scenario_made_of_values_is_checked_as_a_document_is() -> None:
    with pytest.raises(DocumentError, match="alise"):
        Scenario.of(
            "wrong",
            [actions.Register(party="alice")],
            [actions.Call(party="alice", dial_destination="bob")],
            conditions=["alise.mos > 4"],
        )


def test_a_scenario_made_of_values_is_the_one_that_a_document_makes() -> None:
    from callwright.scenario.document import load

    made = Scenario.of(
        "same",
        [actions.Register(party="bob"), actions.Accept(party="bob", ring=1.5, codecs=("PCMA",))],
        [actions.Call(party="alice", dial_destination="bob", headers=(("X-A", "b"),), record=False)],
        conditions=["callee.mos >= 4"],
    )
    text = """
name: same
steps:
  - - register: {party: bob}
    - accept: {party: bob, ring: 1.5 s, codecs: [PCMA]}
  - - call: {party: alice, dial_destination: bob, headers: {X-A: b}, record: no}
conditions: [callee.mos >= 4]
"""
    read = load(text)
    assert made.steps == read.steps
    assert [one.text for one in made.conditions] == [one.text for one in read.conditions]
    assert made.parties.keys() == read.parties.keys()
