"""Packets without a sound: their transport may be perfect, and nobody may be told that the quality was."""

from __future__ import annotations

import dataclasses

from callwright.evidence.innocence import suspects
from callwright.evidence.ladder import build_ladder
from callwright.evidence.naming import call_names, heard_silence, with_quality
from callwright.evidence.report import render_report
from callwright.evidence.scope import build_scope
from callwright.evidence.terminal import render_text
from callwright.evidence.waveform import Waveform
from callwright.outcome.call import CallOutcome
from callwright.outcome.run import ConditionOutcome, RunOutcome
from callwright.outcome.terms import Blame, Verdict
from tests.evidence.sample import STARTED, packets, run


def silent_run() -> RunOutcome:
    """The sample, but every packet that came to Alice is without sound."""
    sample = run()
    first = sample.calls[0]
    heard = dataclasses.replace(
        first.received, packets=208, lost=0, mos=4.28, silence_pct=100.0, level_dbfs=-100.0
    )
    reason = "Bob answered, but Alice heard silence: all 208 packets were without sound."
    call = dataclasses.replace(
        first, received=heard, verdict=Verdict.FAILED, blame=Blame.TARGET, reason=reason
    )
    condition = ConditionOutcome("caller.mos >= 3.5", ">= 3.5", "4.281", True, call=call.id)
    return dataclasses.replace(
        sample,
        verdict=Verdict.FAILED,
        blame=Blame.TARGET,
        reason=reason,
        calls=(call,),
        conditions=(condition,),
    )


def silent_call() -> CallOutcome:
    return silent_run().calls[0]


def test_a_call_without_a_sound_is_told_from_one_without_a_packet() -> None:
    call = silent_call()
    assert heard_silence(call)
    assert not heard_silence(
        dataclasses.replace(call, received=dataclasses.replace(call.received, packets=0))
    )
    assert not heard_silence(run().calls[0])


def test_the_page_gives_no_band_to_silence() -> None:
    outcome = silent_run()
    page = render_report(outcome, build_ladder(packets(), origin=STARTED, call_names=call_names(outcome)))
    page = page[: page.index('<script type="application/json"')]
    assert "4.28 Good" not in page
    assert "transport 4.28" in page
    assert "of the transport: no sound came" in page
    assert "none, 100 % silence" in page
    assert "−100 dBFS" not in page


def test_the_terminal_gives_no_band_to_silence() -> None:
    text = render_text(silent_run())
    assert "silence transport 4.28" in text
    assert "4.281 of the transport" in text
    assert "4.28 Good" not in text


def test_the_ladder_says_silence_where_it_would_say_mos() -> None:
    heard = dataclasses.replace(run().calls[0].received, packets=208, silence_pct=0.0, mos=4.28)
    sounding = dataclasses.replace(run(), calls=(dataclasses.replace(run().calls[0], received=heard),))
    names = call_names(sounding)
    ladder = build_ladder(packets(), origin=STARTED, call_names=names)
    before = [row.note for row in with_quality(ladder, sounding).streams]
    after = [row.note for row in with_quality(ladder, silent_run()).streams]
    changed = [(one, two) for one, two in zip(before, after, strict=True) if one != two]
    assert changed
    assert all(pair == ("MOS 4.28 Good", "silence") for pair in changed)


def test_the_scope_shows_the_transport_as_such() -> None:
    scope = build_scope([("Alice", silent_call())], STARTED, {}, 3.5)
    assert scope is not None
    mos = scope.groups[0].plots[0]
    assert (mos.summary, mos.summary_detail, mos.detail) == ("silence", "transport 4.28", "of the transport")
    assert mos.alarm
    assert not mos.band


def test_what_we_sent_without_a_sound_is_no_quality_either() -> None:
    wave = Waveform(2.0, ((0.0,) * 50, (0.5,) * 50))
    call = dataclasses.replace(
        run().calls[0], sent=dataclasses.replace(run().calls[0].sent, mos=4.37, packets=100, lost=0)
    )
    scope = build_scope([("Alice", call)], STARTED, {call.id: ("stereo", wave)}, 3.5)
    assert scope is not None
    sent = scope.groups[1].plots
    assert sent[0].summary == "silence"
    assert sent[-1].summary == "no sound"


def test_the_blame_has_the_proof_of_silence() -> None:
    target = suspects(silent_run())[0]
    assert target.guilty
    assert target.fact == "208 packets came, 0 were lost, and none held a sound."
