from __future__ import annotations

import json

import pytest

from callwright.dispatch.messages.monitors import Reading, Readings
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


def test_octets_do_not_grow_on_the_way() -> None:
    chunk = EvidenceChunk(
        1, "s", 1, name="x", media_type="y", size=65536, sha256="", offset=0, data=b"\xff" * 65536
    )
    assert len(encode(chunk)) < 66_000
    assert decode(EvidenceChunk, encode(chunk)) == chunk


def test_an_empty_answer_says_to_ask_again() -> None:
    with pytest.raises(NotNow):
        decode(Ticket, b"")
