from __future__ import annotations

import dataclasses

import pytest

from callwright.outcome.call import CallOutcome, DtlsOutcome, SrtpOutcome, StateReached
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.terms import Blame, CallState, Direction, Verdict
from callwright.scenario import catalogue, command, event
from callwright.scenario.document import load
from callwright.scenario.interpreter import STOP_LIMIT_S
from tests.scenario.stage import HEARD, Stage

BASIC = catalogue.text("basic_call")


def with_steps(steps: str) -> str:
    return f"name: test\nparties: [alice, bob]\nsteps:\n{steps}"


def test_a_basic_call_passes_and_says_so() -> None:
    outcome = Stage(BASIC).play()
    assert (outcome.verdict, outcome.blame) == (Verdict.PASSED, None)
    assert outcome.reason == "Alice called Bob, and both heard each other: MOS 4.4 and 4.4, Excellent."


def test_the_call_waits_until_the_party_is_registered_and_listens() -> None:
    stage = Stage(BASIC)
    stage.play()
    kinds = [type(order).__name__ for _, order in stage.orders]
    assert kinds == [
        "Register",
        "Listen",
        "PlaceCall",
        "TakeCall",
        "Hangup",
        "StopListening",
        "Unregister",
        "Finish",
    ]


def test_every_outcome_bears_its_address_and_party() -> None:
    outcome = Stage(BASIC).play()
    assert [(c.address, c.party, c.direction) for c in outcome.calls] == [
        ("step.0.1", "bob", Direction.INCOMING),
        ("step.1.0", "alice", Direction.OUTGOING),
    ]
    assert [(r.address, r.party) for r in outcome.registrations] == [("step.0.0", "bob")]


def test_accounts_of_the_built_in_pbx_are_given_in_the_order_of_the_parties() -> None:
    stage = Stage(BASIC)
    stage.play()
    call = stage.orders_of(command.PlaceCall)[0]
    assert isinstance(call, command.PlaceCall)
    assert (call.account.user, call.uri) == ("1001", "sip:1002@127.0.0.1:5070")


def test_the_caller_hangs_up_max_duration_after_the_answer() -> None:
    stage = Stage(BASIC)
    stage.play()
    answered = stage.legs["step.1.0/1"].states[-2]
    assert answered.state is CallState.ANSWERED
    placed = stage.when(command.PlaceCall)[0]
    assert stage.when(command.Hangup) == [pytest.approx(placed + answered.at + 6.0, abs=0.01)]


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_every_test_of_the_catalogue_passes_when_all_behave(name: str) -> None:
    stage = Stage(catalogue.scenario(name))
    stage.registration_code = lambda order: 403 if order.account.password == "not-the-password" else 200
    assert _play_with_media(stage, name) == "passed"


def _with_prack(call: CallOutcome) -> CallOutcome:
    early = [
        dataclasses.replace(reached, state=CallState.EARLY_MEDIA)
        if reached.state is CallState.RINGING
        else reached
        for reached in call.states
    ]
    kept = CapturedMessage("PRACK", (("RAck", "1 1 INVITE"),))
    return dataclasses.replace(call, states=tuple(early), reliable_codes=(183,), updates=1, messages=(kept,))


def _transferred(call: CallOutcome, *, carols: bool) -> CallOutcome:
    received = dataclasses.replace(call.received, dtmf="11" if carols else "33")
    kept = CapturedMessage("INVITE", (("Referred-By", "<sip:1002@pbx>"),))
    states = [reached for reached in call.states if reached.state is not CallState.ENDED]
    if call.direction is Direction.OUTGOING:
        resumed = [StateReached(5.0, CallState.RESUMED_BY_PEER), StateReached(9.0, CallState.ENDED)]
        states += [StateReached(3.0, CallState.HELD_BY_PEER), *resumed]
    return dataclasses.replace(
        call, received=received, messages=(kept,), duration_ms=3_000.0, states=tuple(states)
    )


def _play_with_media(stage: Stage, name: str) -> str:
    """The stage has no codecs and hears no digits: give each leg what a phone would have measured."""
    codecs = {"step.1.0": "PCMA", "step.2.0": "G722"}
    tell = stage.tell

    def measured(what: event.Event, after: float = 0.0) -> None:
        if isinstance(what, event.CallFinished):
            address = what.id.removeprefix("in-").partition("/")[0]
            received = dataclasses.replace(
                what.outcome.received, dtmf="1234#", jitter_ms=1.0, clipping_pct=0.0, level_dbfs=-26.0
            )
            outcome = dataclasses.replace(
                what.outcome,
                received=received,
                codec=codecs.get(address, "PCMA") if name.startswith("codec") else "PCMA",
            )
            if name == "interop_trunk":
                outcome = dataclasses.replace(
                    outcome, received=dataclasses.replace(received, dtmf_event="159#")
                )
            if name == "session_timer":
                outcome = dataclasses.replace(
                    outcome, session_expires_s=90, session_refreshes=1, duration_ms=50_000.0
                )
            if name == "srtp":
                srtp = SrtpOutcome("AES_CM_128_HMAC_SHA1_80", 200, 0, 0, 0, 1)
                outcome = dataclasses.replace(outcome, srtp=srtp)
            if name == "webrtc":
                srtp, dtls = (
                    SrtpOutcome("AEAD_AES_128_GCM", 200, 0, 0, 0, 0),
                    DtlsOutcome("client", "sha-256 AB"),
                )
                outcome = dataclasses.replace(outcome, srtp=srtp, dtls=dtls)
            if name.endswith("transfer"):
                outcome = _transferred(outcome, carols=what.id.startswith("in-step.1.1"))
            if name == "prack":
                outcome = _with_prack(outcome)
            what = event.CallFinished(what.id, outcome)
        tell(what, after)

    stage.tell = measured  # type: ignore[method-assign]
    if name == "codec_negotiation":
        take = stage.take

        def choosy(order: command.TakeCall) -> None:
            third = order.id.endswith("step.3.0/1")
            take(dataclasses.replace(order, reject=488) if third else order)

        stage.take = choosy  # type: ignore[method-assign]
    outcome = stage.play()
    return "passed" if outcome.verdict is Verdict.PASSED else outcome.reason


def test_a_registration_that_fails_ends_the_run_before_the_call() -> None:
    stage = Stage(BASIC)
    stage.registration_code = lambda order: 403
    outcome = stage.play()
    assert outcome.verdict is Verdict.FAILED
    assert "403 Forbidden" in outcome.reason
    assert stage.orders_of(command.PlaceCall) == []


def test_a_refused_call_fails_the_run_with_its_code() -> None:
    stage = Stage(BASIC)
    stage.refuse_with = 503
    outcome = stage.play()
    assert (outcome.verdict, outcome.blame) == (Verdict.FAILED, Blame.TARGET)
    assert "503 Service Unavailable" in outcome.reason


def test_a_call_that_should_have_been_refused_fails_when_it_is_answered() -> None:
    text = with_steps(
        "  - accept: bob\n  - call: {dial_destination: bob, max_duration: 2, expect: code = 486}\n"
    )
    outcome = Stage(text).play()
    assert outcome.verdict is Verdict.FAILED
    assert "code = 486" in outcome.reason


def test_silence_at_the_called_party_fails_the_run() -> None:
    stage = Stage(BASIC)
    quiet = dataclasses.replace(HEARD, silence_pct=100.0)
    place = stage.place

    def silent(order: command.PlaceCall) -> None:
        place(order)
        stage.legs[f"in-{order.id}"].received = quiet

    stage.place = silent  # type: ignore[method-assign]
    outcome = stage.play()
    assert outcome.verdict is Verdict.FAILED
    assert "silence" in outcome.reason


def test_calls_are_placed_at_their_rate() -> None:
    text = with_steps(
        "  - accept: bob\n  - call: {to: bob, max_total_calls: 4, call_rate: 2, max_duration: 3}\n"
    )
    stage = Stage(text)
    stage.play()
    first, *rest = stage.when(command.PlaceCall)
    assert [round(at - first, 3) for at in rest] == [0.5, 1.0, 1.5]


def test_no_more_calls_are_up_at_once_than_asked_for() -> None:
    text = with_steps(
        "  - accept: bob\n"
        "  - call: {to: bob, max_total_calls: 5, call_rate: 100, concurrent: 2, max_duration: 3}\n"
    )
    stage = Stage(text)
    up = 0
    most = 0
    outcome = stage.play()
    for _, order in stage.orders:
        up += isinstance(order, command.PlaceCall)
        most = max(most, up)
        up -= isinstance(order, command.Hangup)
    assert (len(stage.orders_of(command.PlaceCall)), most) == (5, 2)
    assert outcome.verdict is Verdict.PASSED


def test_hold_and_resume_are_timed_from_the_answer() -> None:
    stage = Stage(catalogue.scenario("hold_resume"))
    stage.play()
    hold, resume, hangup = (
        stage.when(command.Hold)[0],
        stage.when(command.Resume)[0],
        stage.when(command.Hangup)[0],
    )
    assert (round(resume - hold, 3), round(hangup - hold, 3)) == (2.0, 6.0)


def test_a_call_canceled_on_purpose_passes() -> None:
    outcome = Stage(catalogue.scenario("no_answer_cancel")).play()
    assert outcome.verdict is Verdict.PASSED
    assert outcome.calls[1].reason == "The call to 1002 was canceled before an answer, as expected."


def test_a_call_that_nobody_answers_in_time_fails() -> None:
    text = with_steps("  - accept: {party: bob, ring: 100 s}\n  - call: {to: bob, ring_timeout: 5 s}\n")
    outcome = Stage(text).play()
    assert outcome.verdict is Verdict.FAILED
    assert "did not answer within 5 s: it rang" in outcome.reason


def test_accepts_of_one_party_take_calls_in_their_order() -> None:
    stage = Stage(catalogue.scenario("reject_codes"))
    outcome = stage.play()
    assert outcome.verdict is Verdict.PASSED
    takes = stage.orders_of(command.TakeCall)
    assert [take.reject for take in takes if isinstance(take, command.TakeCall)] == [486, 480, 404, 603]


def test_a_call_that_no_accept_takes_is_refused() -> None:
    text = with_steps("  - accept: {party: bob, max_total_calls: 1}\n  - call: bob\n")
    stage = Stage(text)
    stage.interpreter.start(0.0)
    stage.interpreter.receive(event.Listening("step.0.0"), 0.1)
    stage.interpreter.commands()
    for number in (1, 2):
        stage.interpreter.receive(event.CallArrived(f"x{number}", "bob"), 0.2)
    assert [type(order) for order in stage.interpreter.commands()] == [command.TakeCall, command.RefuseCall]


def test_a_call_answered_by_somebody_else_fails_the_run() -> None:
    stage = Stage(BASIC)
    stage.calls_arrive = False
    outcome = stage.play()
    assert outcome.verdict is Verdict.FAILED
    assert outcome.reason == "Bob's phone never rang: somebody else answered the call to Bob."


def test_an_accept_in_the_last_step_waits_for_its_calls_and_says_when_none_came() -> None:
    stage = Stage(with_steps("  - accept: {party: bob, timeout: 20 s}\n"))
    outcome = stage.play()
    assert stage.when(command.StopListening) == [20.0]
    assert outcome.reason == "Bob never got the call within 20 s."


def test_a_stop_hangs_up_unregisters_and_is_canceled() -> None:
    stage = Stage(BASIC)
    outcome = stage.play(stop_at=3.0)
    assert (outcome.verdict, outcome.blame) == (Verdict.CANCELED, None)
    assert outcome.reason == "Stopped by Ctrl-C."
    written = outcome.to_json()
    assert [part["blame"] for part in (written, *written["calls"]) if part["verdict"] == "canceled"]
    assert all(
        part["blame"] is None for part in (written, *written["calls"]) if part["verdict"] == "canceled"
    )
    assert stage.orders_of(command.Hangup)
    assert stage.orders_of(command.Unregister)
    assert stage.now - 103.0 < 1.0


@pytest.mark.parametrize(
    "lost",
    [
        event.RegistrationDone,
        event.RegistrationEnded,
        event.Listening,
        event.CallArrived,
        event.CallStateChanged,
        event.CallFinished,
    ],
)
def test_no_run_hangs_when_the_runner_forgets_to_tell(lost: type) -> None:
    stage = Stage(BASIC)
    stage.mute = (lost,)
    outcome = stage.play(until=400.0)
    if lost not in (event.RegistrationEnded, event.CallStateChanged):
        assert outcome.verdict in (Verdict.ERROR, Verdict.FAILED)


@pytest.mark.parametrize("lost", [event.CallFinished, event.RegistrationDone])
def test_a_stop_finishes_in_time_even_when_the_runner_is_dumb(lost: type) -> None:
    stage = Stage(BASIC)
    stage.mute = (lost,)
    outcome = stage.play(stop_at=2.0)
    assert outcome.verdict is Verdict.CANCELED
    assert stage.now <= 102.0 + STOP_LIMIT_S + 0.01


def test_a_run_ends_at_its_max_duration() -> None:
    text = "max_duration: 5 s\n" + with_steps("  - accept: bob\n  - call: {to: bob, max_duration: 60}\n")
    stage = Stage(text)
    outcome = stage.play()
    assert (outcome.verdict, outcome.blame) == (Verdict.FAILED, Blame.TEST)
    assert "5 s" in outcome.reason
    assert stage.when(command.Hangup) == [5.0, 5.0]


def test_a_fault_of_the_runner_is_an_error_that_says_nothing_about_the_target() -> None:
    stage = Stage(BASIC)
    stage.mute = (event.Listening,)
    stage.later(1.0, lambda: stage.tell(event.ActionFailed("step.0.1", "no free port")))
    outcome = stage.play()
    assert (outcome.verdict, outcome.blame) == (Verdict.ERROR, Blame.PLATFORM)
    assert "no free port" in outcome.reason


def test_several_accounts_register_one_after_the_number_of_the_other() -> None:
    text = with_steps("  - register: {party: bob, users: 3}\n  - wait: 1\n")
    stage = Stage(text)
    stage.play()
    orders = stage.orders_of(command.Register)
    assert [o.account.user for o in orders if isinstance(o, command.Register)] == ["1002", "1003", "1004"]


def test_a_condition_that_does_not_hold_fails_the_run_and_is_named() -> None:
    scenario = load(BASIC + "  - caller.pdd < 10 ms\n")
    outcome = Stage(scenario).play()
    assert outcome.verdict is Verdict.FAILED
    assert outcome.reason == "The call to 1002 rang after 20 ms, where less than 10 ms was asked for."


def test_the_phases_tell_how_long_each_step_took() -> None:
    outcome = Stage(BASIC).play()
    assert [phase.name for phase in outcome.phases] == ["step.0", "step.1", "teardown"]
    assert outcome.phases[1].duration_ms > 6000


def test_options_are_sent_at_their_interval() -> None:
    stage = Stage(catalogue.scenario("options_ping"))
    outcome = stage.play()
    assert stage.when(command.SendOptions) == [0.0, 1.0, 2.0]
    assert outcome.reason == "3 requests were answered."


def test_a_message_goes_to_the_party() -> None:
    stage = Stage(with_steps('  - message: {to: bob, text: "Lunch?"}\n'))
    stage.play()
    order = stage.orders_of(command.SendMessage)[0]
    assert isinstance(order, command.SendMessage)
    assert (order.uri, order.text) == ("sip:1002@127.0.0.1:5070", "Lunch?")


def test_a_condition_that_asks_for_a_lower_mos_takes_the_place_of_min_mos() -> None:
    text = with_steps("  - accept: bob\n  - call: {to: bob, max_duration: 2, expect: mos >= 2.5}\n")
    stage = Stage(text)
    place = stage.place

    def poor(order: command.PlaceCall) -> None:
        place(order)
        stage.legs[order.id].received = dataclasses.replace(HEARD, mos=2.8)

    stage.place = poor  # type: ignore[method-assign]
    assert stage.play().verdict is Verdict.PASSED


def test_a_min_mos_that_was_given_is_not_lowered_by_a_condition() -> None:
    text = with_steps(
        "  - accept: bob\n  - call: {to: bob, max_duration: 2, min_mos: 4.4, expect: mos >= 3.5}\n"
    )
    stage = Stage(text)
    place = stage.place

    def fair(order: command.PlaceCall) -> None:
        place(order)
        stage.legs[order.id].received = dataclasses.replace(HEARD, mos=4.369)

    stage.place = fair  # type: ignore[method-assign]
    outcome = stage.play()
    assert outcome.verdict is Verdict.FAILED
    assert "at MOS 4.37, Excellent, where 4.4 was asked for" in outcome.reason


def test_silence_is_left_to_the_author_when_there_is_a_condition_on_it() -> None:
    text = with_steps("  - accept: bob\n  - call: {to: bob, max_duration: 2, expect: silence > 90 %}\n")
    stage = Stage(text)
    place = stage.place

    def silent(order: command.PlaceCall) -> None:
        place(order)
        stage.legs[order.id].received = dataclasses.replace(HEARD, silence_pct=100.0)

    stage.place = silent  # type: ignore[method-assign]
    assert stage.play().verdict is Verdict.PASSED


def test_a_call_whose_end_is_never_told_keeps_the_states_that_were() -> None:
    stage = Stage(BASIC)
    stage.mute = (event.CallFinished,)
    caller = stage.play(stop_at=4.0).calls[1]
    assert [reached.state for reached in caller.states][:3] == ["calling", "ringing", "answered"]
    assert caller.destination == "sip:1002@127.0.0.1:5070"
