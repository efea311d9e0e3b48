from __future__ import annotations

import json

from callwright.evidence.ladder import build_ladder
from callwright.evidence.ladder_file import ladder_from_json
from callwright.evidence.unfolding import MOST_MESSAGES, Unfolding
from tests.evidence.sample import STARTED, packets


def test_a_ladder_unfolds_message_by_message_and_ends_as_the_whole() -> None:
    unfolding = Unfolding(users={"Alice": "alice"})
    seen = packets()
    counts = []
    for packet in seen:
        unfolding([packet])
        if unfolding.changed:
            counts.append(len(unfolding.tell(STARTED)["rows"]))
    assert counts == sorted(counts)
    assert not unfolding.changed
    told = ladder_from_json(json.loads(json.dumps(unfolding.tell(STARTED))))
    whole = build_ladder([p for p in seen if p.kind == "sip"], origin=STARTED)
    assert [m.label for m in told.messages] == [m.label for m in whole.messages]
    assert [m.at for m in told.messages] == [m.at for m in whole.messages]
    assert "alice" in {party.name for party in told.parties}


def test_what_is_told_fits_into_one_message_of_the_broker() -> None:
    unfolding = Unfolding()
    sip = [p for p in packets() if p.kind == "sip"]
    for n in range(100):
        unfolding(
            [p._replace(now=p.now + 30 * n, wall=p.wall + 30 * n, data=p.data + b"x" * 9000) for p in sip]
        )
    told = unfolding.tell(STARTED)
    assert len(told["rows"]) == MOST_MESSAGES
    assert told["more"] > 0
    assert len(json.dumps(told)) < 500_000
