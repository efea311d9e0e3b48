from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.outcome.call import CallOutcome, ReceivedOutcome, StateReached
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.run import ConditionOutcome
from callwright.outcome.terms import Blame, CallState, Direction, EndedBy, Failure, Verdict
from callwright.scenario.condition import METRICS, parse_condition
from callwright.scenario.source import NOWHERE, Refusal, Text
from tests.kit.examples import examples

WENT = ("calling", "trying", "ringing", "answered", "confirmed", "held", "resumed", "ended")
CALL = CallOutcome(
    verdict=Verdict.PASSED,
    blame=None,
    id="step.1.0/1",
    address="step.1.0",
    party="alice",
    sip_code=200,
    pdd_ms=120.0,
    setup_ms=900.0,
    duration_ms=8000.0,
    ended_by=EndedBy.LOCAL,
    codec="PCMA",
    early_media=False,
    caller_identity="1001",
    caller_name="Alice",
    user_agent="Asterisk PBX 20",
    states=tuple(StateReached(float(n), CallState(state)) for n, state in enumerate(WENT)),
    messages=(
        CapturedMessage("180", (("Server", "Kamailio"), ("X-Hop", "a"), ("X-Hop", "b"))),
        CapturedMessage("200", (("Server", "Asterisk"),)),
    ),
    received=ReceivedOutcome(
        codec="PCMA",
        packets=400,
        lost=4,
        loss_pct=1.0,
        jitter_ms=3.0,
        mos=4.2,
        silence_pct=30.0,
        level_dbfs=-26.0,
        dtmf="12#",
    ),
)
CALLEE = dataclasses.replace(CALL, id="x", address="step.0.1", party="bob", direction=Direction.INCOMING)


def judge(text: str, *calls: CallOutcome, address: str | None = None, **more: Any) -> ConditionOutcome:
    condition = parse_condition(
        Text(text, NOWHERE), address=address, parties=("alice", "bob"), addresses=("step.0.1", "step.1.0")
    )
    return condition.evaluate(calls or (CALL,), users={"alice": "1001", "bob": "1002"}, **more)


HOLD = [
    "mos >= 4.0",
    "mos >= 4.2",
    "mos<5",
    "mos ≥ 4",
    "received.mos > 4",
    "pdd < 250 ms",
    "pdd < 0.25 s",
    "setup <= 900ms",
    "duration >= 8 s",
    "loss <= 1 %",
    "loss <= 1%",
    "jitter < 20 ms",
    "silence < 50 %",
    "heard >= 70 %",
    "level > -30 dBFS",
    "packets = 400",
    "code = 200",
    "code = 2xx",
    "code in [200, 202]",
    "code not in [486, 5xx]",
    "code != 486",
    "code < 300",
    "codec = PCMA",
    "codec = pcma",
    "codec in [PCMU, PCMA]",
    "codec != G722",
    "dtmf = 12#",
    "dtmf present",
    "caller_id = 1001",
    "caller_id = alice",
    "caller_id != bob",
    'caller_id = "Alice" 1001',
    "caller_name = Alice",
    "ended_by = local",
    "early_media = no",
    "verdict = passed",
    "user_agent ~ /asterisk/i",
    "header Server = Kamailio",
    "header server of 180 = Kamailio",
    "header Server of 200 ~ ^Ast",
    "header Server of 180 !~ /Asterisk/",
    "header X-Hop = b",
    "header X-Other absent",
    "header X-Hop present",
    "header X-Other != 1",
    "states ordered [calling, ringing, answered, ended]",
    "states has [ended, held]",
    "states lacks [early_media, canceled]",
    "states = [calling, ringing, answered, held, resumed, ended]",
    "states = [calling, trying, ringing, answered, held, resumed, ended]",
    "alice.mos > 4",
    "caller.mos > 4",
    "step.1.0.mos > 4",
    "calls = 1",
]
FAIL = [
    "mos >= 4.3",
    "sent.mos >= 3",
    "pdd < 100 ms",
    "code = 4xx",
    "code not in [2xx]",
    "codec = G722",
    "dtmf = 12",
    "dtmf absent",
    "caller_id = bob",
    'caller_id = "Bob" 1001',
    "header Server of 200 = Kamailio",
    "header X-Other present",
    "header X-Hop absent",
    "header X-Hop != b",
    "states ordered [ended, calling]",
    "states has [early_media]",
    "states lacks [held]",
    "states = [calling, ringing, answered, ended]",
    "callee.mos > 1",
    "bob.mos > 1",
    "step.0.1.mos > 1",
    "calls > 1",
    "failure = timeout",
    "early_media = yes",
]


@pytest.mark.parametrize("text", HOLD)
def test_a_condition_that_holds(text: str) -> None:
    outcome = judge(text)
    assert outcome.passed, outcome
    assert outcome.text == text


@pytest.mark.parametrize("text", FAIL)
def test_a_condition_that_does_not_hold(text: str) -> None:
    assert not judge(text).passed


@pytest.mark.parametrize(
    ("text", "words", "near"),
    [
        ("moss >= 4", "moss is nothing that can be measured", "mos"),
        ("mos >= 3,9", "Write 3.9, with a point", None),
        ("mos >= good", "good is not a number", None),
        ("mos", "no operator", None),
        ("mos 4", "no operator", None),
        ("mos ~ 4", "cannot be judged with ~", None),
        ("pdd < 250", "no unit. Write 250 ms or 250 s", None),
        ("pdd < 5 parsecs", "not a unit of time", None),
        ("code = 4x", "not a SIP status", None),
        ("code = busy", "not a SIP status", None),
        ("codec = PCMUU", "not a codec we have", "PCMU"),
        ("states has [ringin]", "not a call state", "ringing"),
        ("ended_by = me", "not a value of ended_by", None),
        ("carol.mos > 4", "not a party of this test", None),
        ("bbo.mos > 4", "not a party of this test", "bob"),
        ("step.9.0.mos > 4", "not an action of this test", "step.1.0"),
        ("header X ~ /(/", "not a regular expression", None),
        (r"header X ~ /(a)\1/", "not a regular expression that RE2 reads", None),
        ("header X ~ /a(?=b)/", "not a regular expression that RE2 reads", None),
        ("header = 1", "name of a header is wanted", None),
        ("header X of 999 = 1", "not a message", None),
        ("dtmf present 1", "takes no value", None),
        ("mos >=", "A value is wanted", None),
        ("", "empty", None),
        ("x" * 1000, "characters", None),
    ],
)
def test_a_condition_that_cannot_be_read_says_what_would_be_right(
    text: str, words: str, near: str | None
) -> None:
    with pytest.raises(Refusal) as refusal:
        judge(text)
    assert words in refusal.value.message
    assert refusal.value.nearest == near


def test_it_says_what_was_expected_and_what_was_seen() -> None:
    outcome = judge("mos >= 4.0", dataclasses.replace(CALL, received=ReceivedOutcome(mos=3.2)))
    assert (outcome.expected, outcome.seen, outcome.call) == (">= 4.0", "3.2", "step.1.0/1")


def test_what_is_unknown_does_not_hold_and_shows_nothing() -> None:
    outcome = judge("mos >= 1", dataclasses.replace(CALL, received=ReceivedOutcome()))
    assert (outcome.passed, outcome.seen) == (False, None)


def test_it_must_hold_for_every_call_and_counts_those_that_fail() -> None:
    poor = dataclasses.replace(CALL, id="step.1.0/2", received=ReceivedOutcome(mos=2.0))
    outcome = judge("caller.mos >= 4", CALL, poor, CALL)
    assert (outcome.passed, outcome.seen, outcome.call) == (False, "2 (1 of 3 failed)", "step.1.0/2")


def test_caller_and_callee_are_the_calls_placed_and_the_calls_that_came() -> None:
    deaf = dataclasses.replace(CALLEE, received=ReceivedOutcome(mos=1.0))
    assert judge("caller.mos > 4", CALL, deaf).passed
    assert not judge("callee.mos > 4", CALL, deaf).passed


def test_on_an_action_it_looks_at_the_calls_of_that_action_alone() -> None:
    deaf = dataclasses.replace(CALLEE, received=ReceivedOutcome(mos=1.0))
    assert judge("mos > 4", CALL, deaf, address="step.1.0").passed


def test_registrations_and_requests_have_metrics_of_their_own() -> None:
    registration = RegistrationOutcome(sip_code=200, registered_ms=20.0, expires_s=300, address="step.0.0")
    request = RequestOutcome(sip_code=200, round_trip_ms=3.0, allow=("INVITE", "BYE"))
    assert parse_condition(Text("expires = 300", NOWHERE)).evaluate((), [registration]).passed
    assert parse_condition(Text("round_trip < 5 ms", NOWHERE)).evaluate((), (), [request]).passed
    assert parse_condition(Text("allow = INVITE", NOWHERE)).evaluate((), (), [request]).passed


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("code = 486", True),
        ("code in [486, 603]", True),
        ("code != 200", True),
        ("code >= 400", True),
        ("code = 200", False),
        ("code != 486", False),
        ("states has [canceled]", True),
        ("states lacks [answered]", True),
        ("states ordered [calling, ringing]", False),
        (f"failure = {Failure.TIMEOUT}", True),
        ("verdict = failed", True),
        ("mos > 4", False),
    ],
)
def test_some_conditions_tell_that_the_call_is_meant_to_fail(text: str, wanted: bool) -> None:
    assert parse_condition(Text(text, NOWHERE)).expects_failure is wanted


def test_media_speaks_against_the_network_and_signalling_against_the_target() -> None:
    assert parse_condition(Text("loss < 1 %", NOWHERE)).blame is Blame.NETWORK
    assert parse_condition(Text("code = 200", NOWHERE)).blame is Blame.TARGET


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_knows_its_operators_and_says_what_it_is(name: str) -> None:
    assert METRICS[name].operators
    assert METRICS[name].help


@settings(max_examples=examples(200), deadline=None)
@given(st.text(alphabet='mospdcalrhetX.<>=!~ []/()0123456789%,-"', max_size=40))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        condition = parse_condition(Text(text, NOWHERE))
    except Refusal:
        return
    assert isinstance(condition.evaluate((CALL, CALLEE)), ConditionOutcome)


def test_a_header_is_looked_for_at_the_end_that_receives_its_message() -> None:
    callee = dataclasses.replace(
        CALL,
        id="bob/1",
        party="bob",
        direction=Direction.INCOMING,
        messages=(CapturedMessage("INVITE", (("X-A", "b"),)),),
    )

    def holds(text: str) -> bool:
        condition = parse_condition(Text(text, NOWHERE), parties=("alice", "bob"))
        return condition.evaluate([CALL, callee]).passed

    assert holds("header X-A of INVITE = b")
    assert holds("header Server of 200 = Asterisk")
    assert not holds("alice.header X-A of INVITE = b")
    assert not holds("header X-A of BYE = b")


def test_a_request_inside_a_call_is_looked_for_where_it_came() -> None:
    said = CapturedMessage("BYE", (("Reason", "Q.850;cause=31"),))
    ended = CallOutcome(id="a", messages=(said,))
    hung_up = CallOutcome(id="b", direction=Direction.INCOMING)
    for text, holds in (
        ("header Reason of BYE ~ /cause=31/", True),
        ("header Reason of BYE = Q.850;cause=16", False),
        ("header Reason of BYE absent", False),
        ("header Reason of CANCEL present", False),
        ("header X-A of re-INVITE absent", True),
    ):
        assert parse_condition(Text(text, NOWHERE)).evaluate([ended, hung_up]).passed is holds, text
