from __future__ import annotations

import json
import math

import pytest

from callwright.outcome.call import (
    CallOutcome,
    ReceivedOutcome,
    Second,
    StateReached,
    StreamOutcome,
)
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.plain import unix_seconds, utc_text
from callwright.outcome.run import ConditionOutcome, RunOutcome
from callwright.outcome.terms import CallState, Verdict

STREAM_KEYS = """codec packets lost late discarded duplicated reordered jitter_ms max_jitter_ms loss_pct
    burst_ratio mos r_factor mos_scale ie bpl ta_ms provisional"""
CALL_KEYS = "verdict blame reason sip_code pdd_ms setup_ms duration_ms ended_by sent received"


def test_a_call_shows_the_well_known_keys_first_and_in_order() -> None:
    assert list(CallOutcome().to_json())[:10] == CALL_KEYS.split()


def test_a_stream_has_exactly_its_keys_and_received_adds_its_own() -> None:
    document = CallOutcome().to_json()
    assert list(document["sent"]) == STREAM_KEYS.split()
    assert list(document["received"]) == [
        *STREAM_KEYS.split(),
        "silence_pct",
        "clipping_pct",
        "level_dbfs",
        "dtmf",
        "dtmf_event",
        "dtmf_info",
        "dtmf_inband",
        "heard_pct",
        "dtx_pct",
        "gaps",
        "missing",
        "audio_packets",
        "comfort_noise",
    ]


def test_what_is_unknown_is_null() -> None:
    assert set(StreamOutcome().to_json().values()) == {None}


def test_nan_and_infinity_never_appear() -> None:
    document = CallOutcome(pdd_ms=math.nan, received=ReceivedOutcome(mos=math.inf)).to_json()
    assert document["pdd_ms"] is None
    assert document["received"]["mos"] is None
    json.dumps(document, allow_nan=False)


def test_a_run_survives_json_both_ways() -> None:
    call = CallOutcome(
        verdict=Verdict.PASSED,
        blame=None,
        reason="Fine.",
        started_at=1790000000.25,
        states=(StateReached(0.0, CallState.CALLING), StateReached(0.25, CallState.RINGING, 180)),
        messages=(CapturedMessage("180", (("Server", "x"),)),),
        seconds=(Second(0.0), Second(1.0)),
    )
    run = RunOutcome(
        name="basic_call",
        calls=(call,),
        conditions=(ConditionOutcome("mos >= 4", ">= 4", "4.4", True, "step.1.0"),),
        started_at=1790000000.0,
    ).with_evidence(report="report.html")
    assert RunOutcome.from_json(json.loads(json.dumps(run.to_json()))) == run


def test_times_of_day_are_utc_texts() -> None:
    assert RunOutcome(started_at=0.5).to_json()["started_at"] == "1970-01-01T00:00:00.500000Z"


def test_a_time_of_day_is_read_back() -> None:
    assert unix_seconds(utc_text(1790000000.125)) == pytest.approx(1790000000.125)


def test_header_values_are_found_whatever_their_case() -> None:
    message = CapturedMessage("INVITE", (("p-asserted-identity", "<sip:1@x>"), ("X-A", "b")))
    assert message.values("P-Asserted-Identity") == ["<sip:1@x>"]
