from __future__ import annotations

import dataclasses

import pytest

from callwright.outcome.call import (
    CallOutcome,
    ReceivedOutcome,
    SilentGap,
    StateReached,
    StreamOutcome,
)
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.terms import Blame, CallState, Direction, EndedBy, Verdict
from callwright.outcome.tls import TlsOutcome
from callwright.scenario.condition import METRICS, parse_condition
from callwright.scenario.source import NOWHERE, Text
from callwright.scenario.unmet import blame_of, unmet_sentence

CALL = CallOutcome(
    verdict=Verdict.PASSED,
    blame=None,
    id="one",
    party="alice",
    destination="sip:1002@192.0.2.10",
    sip_code=200,
    sip_reason="OK",
    pdd_ms=1240.0,
    setup_ms=1500.0,
    duration_ms=2000.0,
    ended_by=EndedBy.REMOTE,
    states=(StateReached(0.0, CallState.CALLING), StateReached(1.5, CallState.ANSWERED, 200)),
    messages=(CapturedMessage("180", (("X-A", "b"),)),),
    received=ReceivedOutcome(
        packets=100,
        mos=3.2,
        loss_pct=5.0,
        silence_pct=12.0,
        heard_pct=88.0,
        gaps=(SilentGap(1.0, 4.0, "stopped"),),
    ),
    sent=StreamOutcome(mos=4.0, packets=100),
    codec="PCMU",
)
REFUSED = dataclasses.replace(
    CALL, sip_code=404, sip_reason="Not Found", states=(), received=ReceivedOutcome(), verdict=Verdict.FAILED
)
LEG = dataclasses.replace(
    CALL, id="two", party="bob", direction=Direction.INCOMING, caller_identity="4101", remote="sip:4101@pbx"
)


def said(text: str, call: CallOutcome = CALL) -> str:
    condition = parse_condition(Text(text, NOWHERE), parties=("alice", "bob"))
    found = condition.evaluate([call])
    assert not found.passed
    return unmet_sentence(condition, found, call)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mos >= 4.0", "Alice heard 1002 at MOS 3.2, Poor, where at least 4.0 was asked for."),
        ("loss <= 1 %", "5 % of the packets to Alice were lost, where at most 1 % was asked for."),
        ("loss <= 1", "5 % of the packets to Alice were lost, where at most 1 % was asked for."),
        (
            "heard_pct >= 90",
            "Audio of 1002 came to Alice for 88 % of the time, where at least 90 % was asked for.",
        ),
        ("longest_gap < 1 s", "No audio came to Alice for 3 s, where less than 1 s was asked for."),
        ("pdd < 1 s", "The call to 1002 rang after 1.24 s, where less than 1 s was asked for."),
        ("codec = PCMA", "The call to 1002 used PCMU, where PCMA was expected."),
        ("code = 486", "The call was answered with 200 OK, where 486 was expected."),
        ("ended_by = local", "The call to 1002 was ended by 1002, where local was expected."),
        ("dtmf = 12", "Alice received no digits, where 12 was expected."),
        ("header X-A of 180 = c", "The X-A header of 180 was b, where c was expected."),
        ("header X-B of 180 present", "No X-B header of 180 came, where one was expected."),
        (
            "states lacks answered",
            "The call to 1002 went through calling, answered, where no answered was expected.",
        ),
    ],
)
def test_an_unmet_condition_is_a_sentence_about_the_call(text: str, sentence: str) -> None:
    assert said(text) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "tls.days_left >= 14",
            "The certificate of 1002 expires in 9.5 days, where at least 14 was asked for.",
        ),
        ("tls.trusted = yes", "The certificate of 1002 was not checked, where yes was expected."),
        ("tls.version = TLSv1.3", "1002 agreed on TLSv1.2, where TLSv1.3 was expected."),
        (
            "tls.names = sip.example",
            "The certificate of 1002 names pbx.example, where sip.example was expected.",
        ),
    ],
)
def test_an_unmet_condition_on_a_certificate_is_told(text: str, sentence: str) -> None:
    shown = TlsOutcome(
        "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", False, names=("pbx.example",), days_left=9.5
    )
    assert said(text, dataclasses.replace(CALL, tls=shown)) == sentence
    expired = dataclasses.replace(CALL, tls=dataclasses.replace(shown, days_left=-3.0))
    assert said("tls.days_left >= 0", expired).startswith("The certificate of 1002 expired 3 days ago")


def test_a_condition_on_tls_where_the_test_chose_udp_blames_the_test() -> None:
    condition = parse_condition(Text("tls.trusted = yes", NOWHERE))
    found = condition.evaluate([CALL])
    assert unmet_sentence(condition, found, CALL) == (
        "The signalling with 1002 went without TLS, where yes was expected."
    )
    assert blame_of(condition, found, CALL, [CALL]) is Blame.TEST


def test_a_condition_on_a_call_that_was_refused_says_so() -> None:
    assert said("mos >= 4.0", REFUSED) == (
        "The call to 1002 was refused with 404 Not Found, where at least 4.0 was asked for."
    )


def test_the_callee_is_told_from_its_own_side() -> None:
    assert said("caller_id = 4711", LEG) == "Bob saw 4101 as the caller, where 4711 was expected."


def test_of_several_calls_the_first_that_fails_is_told_and_how_many_did() -> None:
    condition = parse_condition(Text("mos >= 4.0", NOWHERE))
    other = dataclasses.replace(CALL, id="other", received=dataclasses.replace(CALL.received, mos=4.4))
    found = condition.evaluate([CALL, other])
    assert unmet_sentence(condition, found, CALL).endswith("asked for (1 of 2 calls).")


def test_a_count_that_is_wrong_is_told() -> None:
    condition = parse_condition(Text("calls >= 2", NOWHERE))
    found = condition.evaluate([CALL])
    assert unmet_sentence(condition, found, CALL) == "There were 1 calls, where at least 2 was asked for."


def test_a_figure_is_never_rounded_across_its_limit() -> None:
    close = dataclasses.replace(CALL, received=dataclasses.replace(CALL.received, mos=4.39996))
    assert "MOS 4.39996," in said("mos >= 4.4", close)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "calls"])
def test_every_metric_has_a_sentence_that_ends_and_names_no_condition(name: str) -> None:
    metric = METRICS[name]
    operand = {
        "number": ">= 99",
        "percent": ">= 99 %",
        "time": "< 0.001 ms",
        "level": ">= 99",
        "code": "= 699",
        "states": "has failed",
        "header": "of 180 = nobody",
        "flag": "= yes",
    }.get(metric.kind, f"= {metric.choices[-1] if metric.choices else 'nobody'}")
    text = f"header X-A {operand}" if metric.kind == "header" else f"{name} {operand}"
    if name == "codec":
        text = "codec = G722"
    condition = parse_condition(Text(text, NOWHERE))
    subject = (
        RegistrationOutcome(account="4101", registrar="pbx")
        if metric.of == (RegistrationOutcome,)
        else RequestOutcome(target="sip:pbx")
        if metric.of == (RequestOutcome,)
        else CALL
    )
    pools = (
        [subject] if isinstance(subject, CallOutcome) else [],
        [subject] if isinstance(subject, RegistrationOutcome) else [],
        [subject] if isinstance(subject, RequestOutcome) else [],
    )
    found = condition.evaluate(*pools)
    sentence = unmet_sentence(condition, found, subject)
    assert sentence.endswith(".")
    assert text not in sentence
    assert "condition" not in sentence
