from __future__ import annotations

import dataclasses

import pytest

from callwright.outcome.call import (
    CallOutcome,
    LostMos,
    Measurement,
    ReceivedOutcome,
    SilentGap,
    StateReached,
)
from callwright.outcome.judgement import (
    judge_call,
    judge_expected,
    judge_registration,
    judge_request,
    judge_run,
)
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.run import ConditionOutcome
from callwright.outcome.terms import Blame, CallState, Direction, Failure, Verdict
from callwright.sip.status import REASON_PHRASES

ANSWERED = (
    StateReached(0.0, CallState.CALLING),
    StateReached(0.1, CallState.RINGING, 180),
    StateReached(0.4, CallState.ANSWERED, 200),
    StateReached(8.4, CallState.ENDED),
)
HEARD = ReceivedOutcome(codec="PCMA", packets=400, lost=0, loss_pct=0.0, mos=4.4, silence_pct=20.0)
GOOD = CallOutcome(
    party="alice",
    destination="sip:1002@192.0.2.10",
    peer="udp:192.0.2.10:5060",
    sip_code=200,
    setup_ms=352.0,
    duration_ms=8000.0,
    states=ANSWERED,
    received=HEARD,
)


def refused(code: int, **facts: object) -> CallOutcome:
    changes = {"sip_code": code, "failure": Failure.REFUSED, "states": (), "received": ReceivedOutcome()}
    return dataclasses.replace(GOOD, **{**changes, **facts})  # type: ignore[arg-type]


def heard(**facts: object) -> CallOutcome:
    return dataclasses.replace(GOOD, received=dataclasses.replace(HEARD, **facts))  # type: ignore[arg-type]


def test_an_answered_call_with_good_audio_passes_and_blames_nobody() -> None:
    assert judge_call(GOOD) == (
        Verdict.PASSED,
        None,
        "1002 answered after 352 ms; Alice heard 1002 at MOS 4.4, Excellent.",
    )


@pytest.mark.parametrize("mos", [3.5, 3.9])
def test_a_mos_at_the_minimum_passes(mos: float) -> None:
    assert judge_call(heard(mos=mos), min_mos=3.5)[0] is Verdict.PASSED


def test_a_mos_below_the_minimum_fails_and_names_the_greatest_cause() -> None:
    call = dataclasses.replace(heard(mos=2.6, lost=23, loss_pct=5.8), causes=LostMos(codec=0.1, loss=1.6))
    assert judge_call(call) == (
        Verdict.FAILED,
        Blame.NETWORK,
        "Alice heard 1002 at MOS 2.6, Bad, where 3.5 was asked for: 5.8 % of the packets were lost.",
    )


def test_a_poor_mos_on_a_machine_that_sent_late_is_invalid_and_ours() -> None:
    call = dataclasses.replace(heard(mos=2.6), measurement=Measurement(send_error_p99_ms=35.0))
    assert judge_call(call)[:2] == (Verdict.INVALID, Blame.PLATFORM)


@pytest.mark.parametrize("packets", [0, None])
def test_an_answered_call_without_a_packet_fails_and_says_so(packets: int | None) -> None:
    verdict, blame, reason = judge_call(heard(packets=packets, mos=None, silence_pct=None))
    assert (verdict, blame) == (Verdict.FAILED, Blame.TARGET)
    assert reason == "1002 answered, but Alice heard nothing: no RTP packet came in 8 s."


def test_an_answered_call_that_is_silent_fails_and_says_so() -> None:
    verdict, blame, reason = judge_call(heard(silence_pct=100.0))
    assert (verdict, blame) == (Verdict.FAILED, Blame.TARGET)
    assert "silence" in reason


def test_a_peer_that_reports_total_loss_fails_the_call() -> None:
    assert judge_call(dataclasses.replace(GOOD, peer_loss_pct=100.0))[:2] == (Verdict.FAILED, Blame.NETWORK)


def test_without_media_the_answer_is_enough() -> None:
    call = dataclasses.replace(GOOD, media_expected=False, received=ReceivedOutcome())
    assert judge_call(call)[0] is Verdict.PASSED


def test_a_peer_that_promised_no_audio_passes_unless_ours_was_lost() -> None:
    call = dataclasses.replace(GOOD, media_expected=False, received=ReceivedOutcome(packets=0))
    verdict, _, reason = judge_call(call)
    assert verdict is Verdict.PASSED
    assert "promised no audio" in reason
    assert judge_call(dataclasses.replace(call, peer_loss_pct=100.0))[:2] == (Verdict.FAILED, Blame.NETWORK)


@pytest.mark.parametrize("code", sorted(code for code in REASON_PHRASES if code >= 300))
def test_every_refusal_names_the_code_with_its_name(code: int) -> None:
    verdict, _, reason = judge_call(refused(code))
    assert verdict is Verdict.FAILED
    assert f"{code} {REASON_PHRASES[code]}" in reason


@pytest.mark.parametrize("code", [403, 404, 408, 480, 486, 500, 503, 600, 603, 302])
def test_a_refusal_is_blamed_on_the_target(code: int) -> None:
    assert judge_call(refused(code))[1] is Blame.TARGET


@pytest.mark.parametrize("code", [406, 415, 420, 421, 488, 606])
def test_a_refusal_of_what_we_sent_blames_nobody(code: int) -> None:
    request = RequestOutcome(method="MESSAGE", failure=Failure.REFUSED, sip_code=code)
    registration = RegistrationOutcome(failure=Failure.REFUSED, sip_code=code)
    for judgement in (judge_call(refused(code)), judge_request(request), judge_registration(registration)):
        assert judgement[:2] == (Verdict.FAILED, None)


@pytest.mark.parametrize("code", [401, 407])
def test_a_challenge_that_our_password_does_not_satisfy_is_the_tests_fault(code: int) -> None:
    verdict, blame, reason = judge_call(refused(code, authenticated=True))
    assert (verdict, blame) == (Verdict.FAILED, Blame.TEST)
    assert "password is wrong" in reason


def test_an_unknown_code_bears_the_peers_own_phrase() -> None:
    assert "499 Gone Fishing" in judge_call(refused(499, sip_reason="Gone Fishing"))[2]


@pytest.mark.parametrize(
    ("failure", "detail", "verdict", "blame", "words"),
    [
        (Failure.TIMEOUT, None, Verdict.FAILED, Blame.NETWORK, "192.0.2.10:5060"),
        (Failure.UNREACHABLE, "connection refused", Verdict.FAILED, Blame.TARGET, "192.0.2.10:5060"),
        (Failure.UNREACHABLE, "no route to host", Verdict.FAILED, Blame.NETWORK, "no route to host"),
        (Failure.UNRESOLVED, "pbx.example.invalid", Verdict.FAILED, Blame.TEST, "pbx.example.invalid"),
        (Failure.UNRESOLVED, "the DNS query timed out", Verdict.FAILED, Blame.NETWORK, "timed out"),
        (Failure.TLS, "the certificate has expired", Verdict.FAILED, Blame.TARGET, "expired"),
        (Failure.POLICY, "add --allow 192.0.2.10", Verdict.ERROR, Blame.TEST, "--allow 192.0.2.10"),
        (Failure.MALFORMED, "no CSeq", Verdict.FAILED, Blame.TARGET, "no CSeq"),
        (Failure.NO_CREDENTIALS, None, Verdict.FAILED, Blame.TEST, "password"),
        (Failure.NOT_ACKNOWLEDGED, None, Verdict.FAILED, Blame.NETWORK, "no ACK came"),
        (
            Failure.SESSION_EXPIRED,
            "the peer did not refresh it",
            Verdict.FAILED,
            Blame.TARGET,
            "session timer",
        ),
        (Failure.NEGOTIATION, "it offered G729", Verdict.FAILED, Blame.TARGET, "G729"),
        (Failure.NEVER_CAME, None, Verdict.FAILED, Blame.TARGET, "Alice never got the call"),
        (Failure.NO_ANSWER, None, Verdict.FAILED, Blame.TARGET, "1002 did not answer"),
        (Failure.STOPPED, None, Verdict.CANCELED, None, "stopped"),
        (Failure.DEADLINE, None, Verdict.FAILED, Blame.TEST, "time"),
        (Failure.PLATFORM, "the disk is full", Verdict.ERROR, Blame.PLATFORM, "disk is full"),
    ],
)
def test_each_failure_has_its_verdict_its_blame_and_its_words(
    failure: Failure, detail: str | None, verdict: Verdict, blame: Blame | None, words: str
) -> None:
    call = refused(0, sip_code=None, failure=failure, failure_detail=detail)
    seen = judge_call(call)
    assert seen[:2] == (verdict, blame)
    assert words in seen[2]


@pytest.mark.parametrize("failure", list(Failure))
@pytest.mark.parametrize("direction", list(Direction))
def test_every_sentence_is_short_and_ends_with_a_point(failure: Failure, direction: Direction) -> None:
    for code in (None, 302, 401, 403, 486, 488):
        call = refused(0, sip_code=code, failure=failure, direction=direction, authenticated=True)
        for reason in (
            judge_call(call)[2],
            judge_registration(RegistrationOutcome(failure=failure, sip_code=code))[2],
            judge_request(RequestOutcome(failure=failure, sip_code=code))[2],
        ):
            assert reason.endswith(".")
            assert len(reason.split()) <= 32
            assert "None" not in reason
            assert "{" not in reason


def test_a_call_that_was_to_be_refused_passes_when_it_was() -> None:
    held = ConditionOutcome("code = 486", "= 486", "486", True)
    assert judge_expected(refused(486), [held]) == (
        Verdict.PASSED,
        None,
        "The call to 1002 was refused with 486 Busy Here, as expected.",
    )


def test_a_call_that_was_to_be_refused_and_was_answered_fails() -> None:
    unmet = ConditionOutcome("code = 486", "= 486", "200", False)
    assert judge_expected(GOOD, [unmet]) == (
        Verdict.FAILED,
        Blame.TARGET,
        "The call to 1002 was answered, where code = 486 was expected.",
    )


def test_a_registration_tells_how_long_it_took() -> None:
    outcome = RegistrationOutcome(sip_code=200, account="1001", registrar="pbx", registered_ms=12.0)
    assert judge_registration(outcome) == (Verdict.PASSED, None, "1001 registered at pbx in 12 ms.")


def test_a_403_after_a_challenge_says_that_its_cause_is_a_guess() -> None:
    outcome = RegistrationOutcome(
        sip_code=403, failure=Failure.REFUSED, account="4101", registrar="pbx", authenticated=True
    )
    assert judge_registration(outcome)[2] == (
        "The registration of 4101 at pbx failed with 403 Forbidden: it did not say why. "
        "Perhaps the password is wrong, or this is not permitted to the account."
    )


@pytest.mark.parametrize("code", [200, 404, 405, 483])
def test_any_answer_to_options_is_alive(code: int) -> None:
    assert judge_request(RequestOutcome(sip_code=code, target="sip:pbx"))[0] is Verdict.PASSED


def test_a_refused_message_is_not_delivered() -> None:
    outcome = RequestOutcome(sip_code=404, method="MESSAGE", target="sip:9@pbx", failure=Failure.REFUSED)
    assert judge_request(outcome)[0] is Verdict.FAILED


PASSED = GOOD.judged(Verdict.PASSED, None, "Fine.")
FAILED = GOOD.judged(Verdict.FAILED, Blame.TARGET, "Not fine.")
BROKEN = GOOD.judged(Verdict.ERROR, Blame.PLATFORM, "We broke.")
DOUBTFUL = GOOD.judged(Verdict.INVALID, Blame.PLATFORM, "Not to be believed.")
MET = ConditionOutcome("mos >= 4", ">= 4", "4.4", True)
UNMET = ConditionOutcome("loss < 1 %", "< 1 %", "5 %", False, "step.1.0")


@pytest.mark.parametrize(
    ("calls", "conditions", "verdict", "blame"),
    [
        ([PASSED], [MET], Verdict.PASSED, None),
        ([PASSED, FAILED], [MET], Verdict.FAILED, Blame.TARGET),
        ([PASSED, FAILED, BROKEN], [MET], Verdict.ERROR, Blame.PLATFORM),
        ([PASSED, DOUBTFUL], [MET], Verdict.INVALID, Blame.PLATFORM),
        ([FAILED, DOUBTFUL], [], Verdict.FAILED, Blame.TARGET),
        ([PASSED], [UNMET], Verdict.FAILED, Blame.NETWORK),
        ([], [], Verdict.PASSED, None),
    ],
)
def test_a_run_is_judged_by_its_worst_part(
    calls: list[CallOutcome], conditions: list[ConditionOutcome], verdict: Verdict, blame: Blame | None
) -> None:
    unmet = [("5 % of the packets to Bob were lost.", Blame.NETWORK)]
    assert judge_run(calls, conditions, unmet=unmet)[:2] == (verdict, blame)


def test_a_stopped_run_is_canceled_whatever_else_happened_and_nobody_is_to_blame() -> None:
    assert judge_run([FAILED], [], stopped="Stopped by Ctrl-C.") == (
        Verdict.CANCELED,
        None,
        "Stopped by Ctrl-C.",
    )


def test_a_passed_run_says_that_both_heard_each_other() -> None:
    callee = dataclasses.replace(PASSED, party="bob", direction=Direction.INCOMING)
    assert judge_run([PASSED, callee], [])[2] == (
        "Alice called Bob, and both heard each other: MOS 4.4 and 4.4, Excellent."
    )


def test_the_headline_of_unmet_conditions_is_the_first_sentence_and_says_how_many_follow() -> None:
    lost = ("5 % of the packets to Bob were lost, where less than 1 % was asked for.", Blame.NETWORK)
    assert judge_run([PASSED], [UNMET], unmet=[lost])[2] == lost[0]
    assert (
        judge_run([PASSED], [UNMET, UNMET], unmet=[lost, lost])[2] == f"{lost[0]} One more condition failed."
    )


def gapped(heard_pct: float, *gaps: SilentGap, **facts: object) -> CallOutcome:
    return heard(heard_pct=heard_pct, gaps=gaps, **facts)


def test_a_stream_that_stops_fails_whatever_the_mos_of_what_came() -> None:
    call = gapped(8.0, SilentGap(0.48, 8.0, "stopped"))
    verdict, blame, reason = judge_call(call, min_mos=1.0)
    assert (verdict, blame) == (Verdict.FAILED, Blame.TARGET)
    assert reason == (
        "Alice heard 1002 for 8 % of the call, where 90 % was asked for: silent from 0:01 to the end."
    )


@pytest.mark.parametrize(("heard_pct", "least", "passed"), [
    (89.9, 90.0, False), (90.0, 90.0, True), (50.0, 50.0, True), (1.0, 0.0, True), (99.0, 100.0, False),
])  # fmt: skip
def test_a_call_passes_with_the_least_that_has_to_be_heard(
    heard_pct: float, least: float, passed: bool
) -> None:
    call = gapped(heard_pct, SilentGap(1.0, 2.0, "paused"))
    assert (judge_call(call, min_heard=least)[0] is Verdict.PASSED) is passed


def test_gaps_whose_packets_were_lost_are_the_networks() -> None:
    gaps = (SilentGap(0.0, 1.0, "began late"), SilentGap(2.0, 6.0, "lost"))
    _, blame, reason = judge_call(gapped(40.0, *gaps))
    assert blame is Blame.NETWORK
    assert reason.endswith("where 90 % was asked for: silent from 0:02 to 0:06, and 1 more gap.")


def test_a_loud_stream_with_gaps_is_not_called_packets_without_sound() -> None:
    call = gapped(0.5, SilentGap(0.04, 8.0, "stopped"), silence_pct=99.5)
    verdict, _, reason = judge_call(call, min_heard=0.0)
    assert verdict is Verdict.PASSED
    assert "silence" not in reason
    quiet = gapped(50.0, SilentGap(4.0, 8.0, "stopped"), silence_pct=99.9)
    assert "heard silence" in judge_call(quiet, min_heard=0.0)[2]


@pytest.mark.parametrize(
    ("noise", "said"), [(200, "comfort noise came, and no audio"), (0, "none of the 200 packets held audio")]
)
def test_packets_without_audio_are_silence_and_said_as_such(noise: int, said: str) -> None:
    call = heard(packets=200, audio_packets=0, comfort_noise=noise, mos=None, silence_pct=100.0)
    verdict, blame, reason = judge_call(call)
    assert (verdict, blame) == (Verdict.FAILED, Blame.TARGET)
    assert reason.endswith(f"heard silence: {said}.")
    permitted, _, reason = judge_call(call, silence_permitted=True)
    assert permitted is Verdict.PASSED
    assert said in reason
