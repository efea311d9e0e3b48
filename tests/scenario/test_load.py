"""Loads in documents: which calls are one, what is refused, what a condition on one means, how one ends."""

from __future__ import annotations

from typing import Any

import pytest

from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Verdict
from callwright.scenario import command, event
from callwright.scenario.actions import Accept, Call
from callwright.scenario.document import check, load
from callwright.scenario.load_condition import LoadCondition
from tests.scenario.stage import Stage

DOCUMENT = """\
name: many
parties: {alice: , bob: }
steps:
  - - register: bob
    - accept: {party: bob, ring: 0.1 s}
  - - call: {from: alice, to: bob, %s}
conditions:
  - %s
"""


def document(parameters: str = "ramp: 5:20:4", condition: str = "failed <= 0.1 %") -> str:
    return DOCUMENT % (parameters, condition)


def call_of(text: str) -> Call:
    (found,) = [action for action in load(text).actions() if isinstance(action, Call)]
    return found


@pytest.mark.parametrize(
    ("parameters", "is_load"),
    [
        ("ramp: 1:2:3", True),
        ("load: yes", True),
        ("call_rate: 21, max_total_calls: 21", True),
        ("call_rate: 1, max_total_calls: 501", True),
        ("call_rate: 20, max_total_calls: 500", False),
        ("call_rate: 100, max_total_calls: 5", False),
        ("max_total_calls: 3", False),
    ],
)
def test_a_call_is_a_load_when_it_says_so_or_a_softphone_could_not_keep_it(
    parameters: str, is_load: bool
) -> None:
    text = document(parameters, "calls >= 1")
    assert call_of(text).is_load is is_load
    (accept,) = [action for action in load(text).actions() if isinstance(action, Accept)]
    assert accept.is_load is is_load  # who is called by a load is answered by one


def test_a_ramp_makes_as_many_calls_as_its_rates_say() -> None:
    assert call_of(document("ramp: 5:20:4 s")).max_total_calls == 50
    assert call_of(document("ramp: {from: 60 per minute, to: 3, over: 1 min}")).max_total_calls == 120
    call = call_of(document("ramp: 10:30:10, max_total_calls: 500"))
    assert (call.max_total_calls, call.highest_rate) == (500, 30)
    assert call.placing_seconds == pytest.approx(20)


@pytest.mark.parametrize("ramp", ["5:20", "5:20:soon", "0:0:10", "a:b:c", "{from: 1, to: 2}", "-1:5:3"])
def test_what_is_no_ramp_is_refused(ramp: str) -> None:
    assert any(problem.address == "step.1.0.ramp" for problem in check(document(f"ramp: {ramp}")))


@pytest.mark.parametrize(
    ("parameters", "name", "permitted"),
    [
        ("ramp: 1:2:3, dtmf: 12", "dtmf", ()),
        ("ramp: 1:2:3, codecs: [opus]", "codecs", ("PCMU", "PCMA", "G722")),
        ("ramp: 1:2:3, codecs: [PCMA, PCMU]", "codecs", ("PCMU", "PCMA", "G722")),
        ("ramp: 1:2:3, hold: 2 s", "hold", ()),
        ("ramp: 1:2:3, record: yes", "record", ("no",)),
        ("ramp: 1:2:3, transport: tls", "transport", ("udp",)),
        ("ramp: 1:2:3, call_rate: 5", "call_rate", ()),
        ("ramp: 1:2:3, load: no", "load", ("yes",)),
        ("call_rate: 50, max_total_calls: 1000, load: no", "load", ("yes",)),
    ],
)
def test_what_the_engine_cannot_do_is_refused_with_its_step_key_and_what_is_permitted(
    parameters: str, name: str, permitted: tuple[str, ...]
) -> None:
    problem = check(document(parameters))[0]
    assert (problem.address, problem.key, problem.permitted) == (f"step.1.0.{name}", name, permitted)
    assert problem.line == 6


def test_a_load_of_a_document_over_tcp_is_refused() -> None:
    problems = check("transport: tcp\n" + document())
    assert [problem.address for problem in problems] == ["step.0.1.transport", "step.1.0.transport"]
    assert all("UDP" in str(problem) for problem in problems)


@pytest.mark.parametrize(
    ("text", "percentile", "limit", "share"),
    [
        ("failed <= 0.1 %", None, 0.1, True),
        ("failed = 0", None, 0.0, False),
        ("pdd_p95 < 250 ms", 95.0, 250.0, False),
        ("pdd < 1 s", 100.0, 1000.0, False),
        ("caller.mos >= 3.8", 0.0, 3.8, False),
        ("mos_p5 >= 3.8", 5.0, 3.8, False),
        ("setup_max <= 2 s", 100.0, 2000.0, False),
        ("asr >= 99.5 %", None, 99.5, False),
    ],
)
def test_a_condition_looks_at_the_worst_call_or_at_its_percentile(
    text: str, percentile: float | None, limit: float, share: bool
) -> None:
    (condition,) = load(document(condition=text)).conditions
    assert isinstance(condition, LoadCondition)
    assert (condition.percentile, condition.limit, condition.share) == (percentile, limit, share)


@pytest.mark.parametrize(
    "text", ["states ordered [ringing]", "pdd_p95 < 250", "asr_p5 > 3 %", "mos_p5 = 4", "carol.failed = 0"]
)
def test_a_condition_that_a_load_cannot_tell_is_refused(text: str) -> None:
    assert check(document(condition=text))


def test_a_condition_on_loads_needs_one() -> None:
    (problem,) = check(document("max_total_calls: 2", "pdd_p95 < 1 s"))
    assert "load: yes" in str(problem)


def play(
    text: str, *, stop_at: float | None = None, mute: tuple[type, ...] = (), **figures: Any
) -> tuple[RunOutcome, Stage]:
    stage = Stage(text)
    stage.mute = mute
    for name, value in figures.items():
        setattr(stage, name, value)
    return stage.play(stop_at=stop_at), stage


def test_a_load_that_passes_makes_the_run_pass_and_its_answerer_is_stopped_gently() -> None:
    outcome, stage = play(document())
    assert (outcome.verdict, outcome.reason) == (Verdict.PASSED, "All 100 calls were answered.")
    assert [load.role for load in outcome.loads] == ["answerer", "caller"]
    assert [condition.seen for condition in outcome.conditions] == ["1 %"]
    (stop,) = stage.orders_of(command.StopLoad)
    assert isinstance(stop, command.StopLoad)
    assert (stop.id, stop.gently) == ("step.0.1/load", True)
    assert RunOutcome.from_json(outcome.to_json()).to_json() == outcome.to_json()


def test_what_the_engine_judged_is_the_verdict_of_the_run() -> None:
    outcome, _ = play(
        document(), load_judgement=("failed", "target", "9 of 100 calls failed."), load_value=9.0
    )
    assert (outcome.verdict, outcome.blame) == (Verdict.FAILED, Blame.TARGET)
    assert (outcome.conditions[0].passed, outcome.conditions[0].seen) == (False, "9 %")


def test_a_load_that_is_not_to_be_believed_makes_the_run_invalid() -> None:
    judgement = ("invalid", "platform", "The generator could not keep up.")
    outcome, _ = play(document(), load_judgement=judgement)
    assert (outcome.verdict, outcome.blame) == (Verdict.INVALID, Blame.PLATFORM)


def test_a_stop_ends_the_loads_at_once() -> None:
    outcome, stage = play(document(), stop_at=2.0)
    assert outcome.verdict is Verdict.CANCELED
    assert all(isinstance(o, command.StopLoad) and not o.gently for o in stage.orders_of(command.StopLoad))
    assert stage.now - 100.0 < 5.0


def test_a_load_that_never_tells_its_end_does_not_hold_the_run() -> None:
    outcome, stage = play(document(), stop_at=2.0, mute=(event.LoadFinished,))
    assert outcome.verdict is Verdict.CANCELED
    assert stage.now - 100.0 < 20.0
    assert {load.verdict for load in outcome.loads} == {"canceled"}


def test_a_load_between_two_engines_needs_no_server() -> None:
    text = document().replace("  - - register: bob\n    - accept", "  - - accept")
    scenario = load(text)
    assert not scenario.needs_pbx
    assert scenario.destinations() == []
    assert load(document()).needs_pbx
