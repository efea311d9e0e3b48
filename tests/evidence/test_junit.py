from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import pytest

from callwright.evidence.junit import render_junit
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Verdict
from tests.evidence.sample import run


def suite_of(outcome: RunOutcome) -> ElementTree.Element:
    suite = ElementTree.fromstring(render_junit(outcome)).find("testsuite")
    assert suite is not None
    return suite


def test_a_run_is_a_suite_with_a_case_for_each_condition_call_and_registration() -> None:
    suite = suite_of(run())
    assert (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        "basic_call",
        "9",
        "3",
        "0",
    )
    assert suite.get("timestamp") == "2026-11-21T03:48:12"
    assert suite.get("time") == "18.950"
    assert len(suite.findall("testcase")) == 9


def test_a_failure_carries_the_reason_and_the_blame() -> None:
    case = next(c for c in suite_of(run()).findall("testcase") if "call Bob" in (c.get("name") or ""))
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "Bob stopped hearing Alice 4.2 s after answering."
    assert failure.get("type") == "target"


def test_a_condition_says_what_was_expected_and_seen() -> None:
    failures = [f.get("message") or "" for f in suite_of(run()).iter("failure")]
    assert "received.packets_pct >= 95: expected >= 95, seen 26" in failures
    assert any(f.endswith("seen nothing to look at") for f in failures)


def test_properties_hold_the_verdict_and_no_password() -> None:
    properties = {p.get("name"): p.get("value") for p in suite_of(run()).iter("property")}
    assert properties["verdict"] == "failed"
    assert properties["parameter.step.0.0.password"] == "(secret)"


@pytest.mark.parametrize(
    ("verdict", "element"),
    [
        (Verdict.FAILED, "failure"),
        (Verdict.ERROR, "error"),
        (Verdict.INVALID, "error"),
        (Verdict.CANCELED, "skipped"),
    ],
)
def test_a_run_without_parts_stands_for_itself(verdict: Verdict, element: str) -> None:
    suite = suite_of(RunOutcome(verdict, Blame.TEST, "The document is empty.", name="x"))
    problem = suite.find(f"testcase/{element}")
    assert problem is not None
    assert problem.get("message") == "The document is empty."


def test_a_failed_run_whose_parts_all_passed_still_fails() -> None:
    calls = (run().calls[0],)
    outcome = dataclasses.replace(run(), calls=calls, conditions=(), registrations=())
    assert suite_of(outcome).get("failures") == "1"


def test_control_characters_and_lone_surrogates_do_not_break_the_xml() -> None:
    outcome = RunOutcome(Verdict.FAILED, Blame.TARGET, "a\x00b\x1b[31m\ud800\udcff]]>&<\ufffe", name="\x01")
    failure = suite_of(outcome).find("testcase/failure")
    assert failure is not None
    assert "]]>&<" in (failure.get("message") or "")
