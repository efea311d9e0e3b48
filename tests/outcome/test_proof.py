"""Blame with both ends of a call at hand: what our own side did is never the target's fault."""

from __future__ import annotations

import dataclasses

import pytest

from callwright.outcome.call import CallOutcome, ReceivedOutcome, SilentGap, StateReached, StreamOutcome
from callwright.outcome.judgement import judge_call
from callwright.outcome.proof import other_end, weighed
from callwright.outcome.terms import Blame, CallState, Direction, EndedBy, Verdict
from callwright.scenario.condition import parse_condition
from callwright.scenario.source import NOWHERE, Text
from callwright.scenario.unmet import blame_of

ANSWERED = (StateReached(0.0, CallState.CALLING), StateReached(0.4, CallState.ANSWERED, 200))
HEARD = ReceivedOutcome(
    codec="PCMA", packets=400, lost=0, loss_pct=0.0, mos=4.4, silence_pct=20.0, heard_pct=100.0
)
ONE = dataclasses.replace(HEARD, dtmf="1")
STOPPED = dataclasses.replace(HEARD, packets=100, heard_pct=95.0, gaps=(SilentGap(2.0, 4.0, "stopped"),))
SILENCE = dataclasses.replace(HEARD, silence_pct=100.0)
ALICE = CallOutcome(
    id="alice's",
    party="alice",
    destination="sip:1002@192.0.2.10",
    started_at=1000.0,
    sip_code=200,
    setup_ms=400.0,
    duration_ms=8000.0,
    states=ANSWERED,
    received=HEARD,
    sent=StreamOutcome(packets=400),
)
BOB = dataclasses.replace(
    ALICE,
    id="bob's",
    party="bob",
    direction=Direction.INCOMING,
    started_at=1000.1,
    destination=None,
    remote="sip:a@b",
)


UNANSWERED = {"states": (), "setup_ms": None, "duration_ms": None, "received": ReceivedOutcome()}


def judged(call: CallOutcome) -> CallOutcome:
    return call.judged(*judge_call(call))


def blame(call: CallOutcome, *others: CallOutcome) -> Blame | None:
    failed = judged(call)
    assert failed.verdict is Verdict.FAILED
    return weighed(failed, [failed, *others]).blame


def replaced(call: CallOutcome, **facts: object) -> CallOutcome:
    return dataclasses.replace(call, **facts)  # type: ignore[arg-type]


def test_silence_that_our_own_other_end_sent_is_the_tests_fault() -> None:
    silent = replaced(ALICE, sent_silence_pct=100.0)
    assert blame(replaced(BOB, received=SILENCE), silent) is Blame.TEST


def test_silence_where_our_own_other_end_spoke_is_the_targets_fault() -> None:
    assert blame(replaced(BOB, received=SILENCE), replaced(ALICE, sent_silence_pct=20.0)) is Blame.TARGET


def test_silence_from_a_stranger_to_whom_we_sent_silence_is_nobodys_known_fault() -> None:
    assert blame(replaced(ALICE, received=SILENCE, sent_silence_pct=100.0)) is None
    assert blame(replaced(ALICE, received=SILENCE, sent_silence_pct=20.0)) is Blame.TARGET


def test_a_stream_of_which_all_that_was_sent_arrived_clears_target_and_network() -> None:
    gap = SilentGap(2.0, 8.0, "stopped")
    stopped = replaced(BOB, received=dataclasses.replace(HEARD, packets=100, heard_pct=25.0, gaps=(gap,)))
    assert blame(stopped, replaced(ALICE, sent=StreamOutcome(packets=100))) is Blame.TEST
    assert blame(stopped, replaced(ALICE, sent=StreamOutcome(packets=400))) is Blame.TARGET


def test_no_audio_at_all_is_the_tests_fault_when_none_was_sent() -> None:
    nothing = ReceivedOutcome(packets=0)
    assert (
        blame(replaced(BOB, received=nothing), replaced(ALICE, sent=StreamOutcome(packets=0))) is Blame.TEST
    )
    assert blame(replaced(BOB, received=nothing), ALICE) is Blame.TARGET


@pytest.mark.parametrize(("code", "whose"), [(486, Blame.TEST), (603, Blame.TEST), (488, None)])
def test_a_refusal_by_our_own_phone_is_not_the_targets(code: int, whose: Blame | None) -> None:
    facts = {
        "sip_code": code,
        "states": (),
        "setup_ms": None,
        "duration_ms": None,
        "received": ReceivedOutcome(),
    }
    bob = replaced(BOB, ended_by=EndedBy.LOCAL, **facts)
    assert blame(replaced(ALICE, ended_by=EndedBy.REMOTE, **facts), bob) is whose
    alone = blame(replaced(ALICE, ended_by=EndedBy.REMOTE, **facts))
    assert alone is (None if code == 488 else Blame.TARGET)  # 488 speaks of what we offered


def test_a_refusal_of_ours_that_the_target_told_otherwise_is_nobodys_known_fault() -> None:
    bob = replaced(BOB, **UNANSWERED, sip_code=603, ended_by=EndedBy.LOCAL)
    assert blame(replaced(ALICE, **UNANSWERED, sip_code=486), bob) is None


def test_a_phone_of_ours_that_rang_and_never_answered_is_the_tests_fault() -> None:
    rang = (StateReached(0.0, CallState.INCOMING), StateReached(0.1, CallState.RINGING, 180))
    bob = replaced(BOB, **{**UNANSWERED, "states": rang}, sip_code=487, ended_by=EndedBy.REMOTE)
    for code in (408, 480, 487):
        assert blame(replaced(ALICE, **UNANSWERED, sip_code=code), bob) is Blame.TEST
    silent = replaced(bob, states=rang[:1])
    assert blame(replaced(ALICE, **UNANSWERED, sip_code=480), silent) is Blame.TARGET


def test_several_phones_of_ours_that_all_refused_count_as_one() -> None:
    bob = replaced(BOB, **UNANSWERED, sip_code=486, ended_by=EndedBy.LOCAL)
    carol = replaced(bob, id="carol's", party="carol", sip_code=603)
    assert blame(replaced(ALICE, **UNANSWERED, sip_code=486), bob, carol) is Blame.TEST
    taken = replaced(carol, sip_code=200, states=ANSWERED)
    assert blame(replaced(ALICE, **UNANSWERED, sip_code=486), bob, taken) is Blame.TARGET


def test_a_packet_that_got_lost_on_the_way_does_not_make_the_difference() -> None:
    gap = SilentGap(2.0, 8.0, "stopped")
    stopped = replaced(BOB, received=dataclasses.replace(HEARD, packets=99, heard_pct=25.0, gaps=(gap,)))
    assert blame(stopped, replaced(ALICE, sent=StreamOutcome(packets=100))) is Blame.TEST


def test_a_report_of_total_loss_that_our_other_end_contradicts_is_the_targets() -> None:
    assert blame(replaced(ALICE, peer_loss_pct=100.0), BOB) is Blame.TARGET
    assert blame(replaced(ALICE, peer_loss_pct=100.0)) is Blame.NETWORK


def test_who_sent_nothing_blames_nobody_for_hearing_nothing() -> None:
    mute = replaced(ALICE, received=ReceivedOutcome(packets=0), sent=StreamOutcome(packets=0))
    assert blame(mute) is None


def test_a_call_that_was_to_be_refused_and_that_our_own_phone_took_is_the_tests_fault() -> None:
    failed = ALICE.judged(Verdict.FAILED, Blame.TARGET, "It was answered.")
    assert weighed(failed, [failed, BOB], meant_to_fail=True).blame is Blame.TEST
    assert weighed(failed, [failed], meant_to_fail=True).blame is Blame.TARGET


def test_of_several_legs_that_may_be_the_other_end_none_is_taken() -> None:
    assert other_end(ALICE, [ALICE, BOB]) is BOB
    assert other_end(ALICE, [ALICE, BOB, replaced(BOB, id="again")]) is None
    assert other_end(ALICE, [ALICE, replaced(BOB, started_at=1100.0)]) is None


@pytest.mark.parametrize(
    ("text", "alice", "bob", "whose"),
    [
        ("bob.dtmf = 12", {"dtmf_sent": "1"}, {"received": ONE}, Blame.TEST),
        (
            "bob.dtmf = 12",
            {"dtmf_sent": "12"},
            {"received": ONE},
            Blame.TARGET,
        ),
        ("bob.duration > 9 s", {"ended_by": EndedBy.LOCAL}, {"ended_by": EndedBy.REMOTE}, Blame.TEST),
        ("bob.duration > 9 s", {"ended_by": EndedBy.REMOTE}, {"ended_by": EndedBy.REMOTE}, Blame.TARGET),
        ("bob.heard > 90 %", {"sent_silence_pct": 20.0}, {}, Blame.TEST),
        ("bob.heard > 90 %", {"sent_silence_pct": 1.0}, {}, Blame.TARGET),
        ("bob.heard > 90 %", {}, {}, None),
        ("bob.codec = PCMU", {"codec": "PCMA"}, {"codec": "PCMA"}, None),
        ("bob.mos > 4.45", {}, {}, Blame.NETWORK),
        ("bob.longest_gap < 1 s", {"sent": StreamOutcome(packets=100)}, {"received": STOPPED}, Blame.TEST),
        ("bob.longest_gap < 1 s", {"sent": StreamOutcome(packets=400)}, {"received": STOPPED}, Blame.TARGET),
    ],
)
def test_a_condition_speaks_against_whoever_both_ends_show(
    text: str, alice: dict[str, object], bob: dict[str, object], whose: Blame | None
) -> None:
    calls = [judged(replaced(ALICE, **alice)), judged(replaced(BOB, **bob))]
    condition = parse_condition(Text(text, NOWHERE), parties=("alice", "bob"))
    found = condition.evaluate(calls)
    assert not found.passed
    assert blame_of(condition, found, calls[1], calls) is whose
