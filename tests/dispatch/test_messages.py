from __future__ import annotations

import json

import msgspec
import pytest

from callwright.dispatch.messages.agents import HeartbeatAnswer
from callwright.dispatch.messages.calls import CallNews, CallStep, DigitNews, LegNews
from callwright.dispatch.messages.monitors import (
    LONGEST_INTERVAL,
    MONITORS_IN_PAGE,
    SHORTEST_INTERVAL,
    Monitor,
    Plan,
    Reading,
    Readings,
    phase_of,
)
from callwright.dispatch.messages.runs import EvidenceChunk, Ticket, pack_outcome, unpack_outcome
from callwright.dispatch.messages.wire import BadMessage, NotNow, decode, encode


def test_a_ticket_names_its_kind() -> None:
    data = encode(Ticket(7, "s", 2))
    assert json.loads(data) == {"kind": "run", "run_id": 7, "session_id": "s", "attempt": 2}
    assert decode(Ticket, data) == Ticket(7, "s", 2)


@pytest.mark.parametrize(
    "data", [b'{"kind":"probe","run_id":7,"session_id":"s","attempt":2}', b'{"run_id":7}']
)
def test_a_ticket_of_another_kind_is_not_taken_for_a_run(data: bytes) -> None:
    with pytest.raises(BadMessage, match="Ticket"):
        decode(Ticket, data)


def test_a_batch_of_readings_says_which_slot_of_which_monitor_each_is_of() -> None:
    batch = Readings(
        (
            Reading(1, 1_800_000_000, "done", 1_800_000_000.25, figures={"rtt_ms": 12.5, "mos": None}),
            Reading(1, 1_800_000_060, "missed", reason="cut off"),
        )
    )
    found = decode(Readings, encode(batch))
    assert found == batch
    assert [(one.monitor_id, one.slot) for one in found.readings] == [(1, 1_800_000_000), (1, 1_800_000_060)]


def test_a_page_of_a_plan_fits_into_a_message_of_the_broker() -> None:
    monitor = Monitor(1, "sip", "x" * 253, 60, 59.999, 5061, credentials={"user": "u", "password": "p" * 64})
    page = Plan(7, (monitor,) * MONITORS_IN_PAGE, more=True)
    assert len(encode(page)) < 512 * 1024
    assert decode(Plan, encode(page)) == page


def test_a_monitor_does_not_show_its_password() -> None:
    assert "secret" not in repr(
        Plan(1, (Monitor(1, "register", "x", 60, credentials={"password": "secret"}),))
    )


@pytest.mark.parametrize("interval", [SHORTEST_INTERVAL, 60, LONGEST_INTERVAL])
def test_monitors_start_evenly_spread_over_their_interval(interval: int) -> None:
    phases = [phase_of(monitor, interval) for monitor in range(1, 2001)]
    assert all(0 <= phase < interval for phase in phases)
    tenths = [sum(int(phase * 10 / interval) == tenth for phase in phases) for tenth in range(10)]
    assert min(tenths) > 150
    assert max(tenths) < 250


def test_the_answer_of_a_platform_that_plans_nothing_names_no_plan() -> None:
    answer = decode(HeartbeatAnswer, b'{"ask_token":"t"}')
    assert answer.plan is None
    assert answer.now is None


def test_octets_do_not_grow_on_the_way() -> None:
    chunk = EvidenceChunk(
        1, "s", 1, name="x", media_type="y", size=65536, sha256="", offset=0, data=b"\xff" * 65536
    )
    assert len(encode(chunk)) < 66_000
    assert decode(EvidenceChunk, encode(chunk)) == chunk


def test_an_empty_answer_says_to_ask_again() -> None:
    with pytest.raises(NotNow):
        decode(Ticket, b"")


def test_octets_of_a_peer_that_are_not_utf8_are_sent_as_replacements() -> None:
    digit = DigitNews("\udce9", 1, 2.0, True, "info")
    news = CallNews("c", CallStep.ENDED, None, "100\udce9", "\udcffé@x", 1.0, legs=(LegNews("\udce9", "b"),))
    found = decode(CallNews, encode(msgspec.structs.replace(news, digit=digit)))
    assert (found.callee, found.call_id) == ("100\ufffd", "\ufffdé@x")
    assert (found.legs[0].user, found.digit and found.digit.digit) == ("\ufffd", "\ufffd")


def test_a_message_of_octets_keeps_them_when_a_text_beside_them_is_not_utf8() -> None:
    chunk = EvidenceChunk(
        1,
        "s",
        1,
        name="\udce9.wav",
        media_type="audio/wav",
        size=3,
        sha256="",
        offset=0,
        data=b"\xff\xe9\x00",
    )
    found = decode(EvidenceChunk, encode(chunk))
    assert (found.name, found.data) == ("\ufffd.wav", b"\xff\xe9\x00")


def test_an_outcome_with_octets_of_a_peer_that_are_not_utf8_is_packed() -> None:
    outcome = {"reason": "488 Andr\udce9", "calls": [{"headers": {"X-\udce9": ["\udcff"]}}]}
    found = json.loads(unpack_outcome(pack_outcome(outcome)))
    assert found == {"reason": "488 Andr\ufffd", "calls": [{"headers": {"X-\ufffd": ["\ufffd"]}}]}
