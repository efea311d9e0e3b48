from __future__ import annotations

import json

import pytest

from callwright.dispatch.messages.agents import HeartbeatAnswer
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
from callwright.dispatch.messages.runs import EvidenceChunk, Ticket
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
