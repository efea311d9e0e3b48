"""What goes across a relay, and what does not."""

from __future__ import annotations

from callwright.pbx.crossing import Crossing, Endpoint

RTP = bytes([0x80, 0x00]) + bytes(10) + b"audio"
RTCP = bytes([0x80, 200]) + bytes(6)
ALICE, BOB = ("192.0.2.10", 4000), ("192.0.2.11", 5000)


def endpoint(address: tuple[str, int], *more_hosts: str) -> Endpoint:
    host, port = address
    return Endpoint((host, port), (host, port + 1), frozenset((host, *more_hosts)))


def crossing() -> Crossing:
    made = Crossing()
    made.describe(0, endpoint(ALICE))
    made.describe(1, endpoint(BOB))
    return made


def test_rtp_and_rtcp_go_to_the_other_side() -> None:
    relay = crossing()
    assert relay.route(0, False, RTP, ALICE, 1.0) == BOB
    assert relay.route(1, False, RTP, BOB, 2.0) == ALICE
    assert relay.route(0, True, RTCP, ("192.0.2.10", 4001), 3.0) == ("192.0.2.11", 5001)
    assert [(t.rtp, t.rtcp, t.refused) for t in relay.tallies] == [(1, 1, 0), (1, 0, 0)]
    assert relay.heard_at == 3.0


def test_a_source_is_latched_and_nobody_else_gets_in() -> None:
    relay = crossing()
    behind_nat = ("192.0.2.10", 61_000)
    assert relay.route(0, False, RTP, behind_nat, 1.0) == BOB
    assert relay.route(1, False, RTP, BOB, 1.0) == behind_nat, "back where it came from"
    assert relay.route(0, False, RTP, ALICE, 1.1) is None
    assert relay.route(0, False, RTP, ("192.0.2.66", 61_000), 1.2) is None
    assert relay.tallies[0].refused == 2


def test_neither_strangers_nor_garbage_are_latched() -> None:
    relay = crossing()
    assert relay.route(0, False, RTP, ("192.0.2.66", 4000), 1.0) is None
    assert relay.route(0, False, b"", ALICE, 1.0) is None
    assert relay.route(0, False, b"\x80", ALICE, 1.0) is None
    assert relay.route(0, False, bytes(20), ALICE, 1.0) is None
    assert relay.route(0, False, RTP, ALICE, 1.0) == BOB


def test_only_a_new_description_latches_anew() -> None:
    relay = crossing()
    relay.route(0, False, RTP, ALICE, 1.0)
    relay.describe(0, endpoint(ALICE))
    moved = ("192.0.2.10", 4444)
    assert relay.route(0, False, RTP, moved, 2.0) is None
    relay.describe(0, endpoint(moved))
    assert relay.route(0, False, RTP, moved, 3.0) == BOB


def test_who_may_not_be_sent_to_is_answered_where_it_speaks_from() -> None:
    relay = Crossing()
    relay.describe(0, Endpoint(None, None, frozenset({"192.0.2.10"})))
    relay.describe(1, endpoint(BOB))
    assert relay.route(1, False, RTP, BOB, 1.0) is None
    assert relay.route(0, False, RTP, ALICE, 2.0) == BOB
    assert relay.route(1, False, RTP, BOB, 3.0) == ALICE


def test_before_a_side_is_described_nothing_of_it_passes() -> None:
    relay = Crossing()
    relay.describe(1, endpoint(BOB))
    assert relay.route(0, False, RTP, ALICE, 1.0) is None
    assert relay.route(1, False, RTP, BOB, 1.0) is None
