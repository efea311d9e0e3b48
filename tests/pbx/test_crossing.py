"""What goes across a relay, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from callwright.pbx.crossing import Crossing, CrossingEnd
from callwright.pbx.tape import Tape
from callwright.sdp.formats import AudioFormat

RTP = bytes([0x80, 0x00]) + bytes(10) + b"audio"
RTCP = bytes([0x80, 200]) + bytes(6)
ALICE, BOB = ("192.0.2.10", 4000), ("192.0.2.11", 5000)


def endpoint(address: tuple[str, int], *more_hosts: str) -> CrossingEnd:
    host, port = address
    return CrossingEnd((host, port), (host, port + 1), frozenset((host, *more_hosts)))


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


def rtp(number: int, ssrc: int = 7) -> bytes:
    return bytes([0x80, 0]) + number.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big") + b"audio"


def send(
    relay: Crossing, side: int, source: tuple[str, int], numbers: range, start: float, *, ssrc: int = 7
) -> list[tuple[str, int] | None]:
    """Where each of some packets, 20 ms apart, goes."""
    return [
        relay.route(side, False, rtp(number, ssrc), source, start + 0.02 * index)
        for index, number in enumerate(numbers)
    ]


def test_a_side_behind_a_nat_is_heard_and_answered_once_it_has_proved_itself() -> None:
    relay = crossing()
    behind_nat = ("192.0.2.10", 61_000)
    assert send(relay, 0, behind_nat, range(10), 1.0) == [None] * 4 + [BOB] * 6
    assert relay.route(1, False, RTP, BOB, 1.2) == behind_nat, "back where it came from"
    assert send(relay, 0, ("192.0.2.66", 61_000), range(10, 20), 1.3) == [None] * 10


def test_a_stray_packet_decides_nothing_for_either_side() -> None:
    relay = crossing()
    stray = ("192.0.2.10", 7777)
    assert send(relay, 0, stray, range(3), 1.0, ssrc=9) == [None] * 3
    assert send(relay, 0, ALICE, range(50), 1.1) == [BOB] * 50
    assert send(relay, 0, stray, range(3, 6), 1.5, ssrc=9) == [None] * 3
    assert relay.route(1, False, RTP, BOB, 2.0) == ALICE


def test_the_port_of_a_nat_may_change_in_the_middle_of_a_call() -> None:
    relay = crossing()
    rebound = ("192.0.2.10", 61_000)
    send(relay, 0, ALICE, range(50), 1.0)
    assert send(relay, 0, rebound, range(50, 60), 2.0) == [None] + [BOB] * 9
    assert relay.route(1, False, RTP, BOB, 2.5) == rebound


def test_stragglers_of_the_old_port_do_not_lead_back_after_a_new_description() -> None:
    relay = crossing()
    send(relay, 0, ALICE, range(50), 1.0)
    moved = ("192.0.2.10", 4444)
    relay.describe(0, endpoint(moved))
    assert relay.route(1, False, RTP, BOB, 2.0) == moved
    assert send(relay, 0, ALICE, range(50, 70), 2.0) == [None] * 20
    assert relay.route(1, False, RTP, BOB, 2.4) == moved
    assert send(relay, 0, moved, range(9000, 9010), 2.4, ssrc=8) == [BOB] * 10


def test_hold_sends_nothing_and_what_was_proved_stands_after_it() -> None:
    relay = crossing()
    behind_nat = ("192.0.2.10", 61_000)
    send(relay, 0, behind_nat, range(10), 1.0)
    relay.describe(0, CrossingEnd(None, None, frozenset({"192.0.2.10"}), held=True))
    assert relay.route(1, False, RTP, BOB, 2.0) is None
    relay.describe(0, endpoint(ALICE))
    assert relay.route(1, False, RTP, BOB, 3.0) == behind_nat


def test_rtcp_goes_beside_the_rtp_of_a_side_behind_a_nat() -> None:
    relay = Crossing()
    nat = "198.51.100.7"
    relay.describe(0, endpoint(ALICE, nat))
    relay.describe(1, endpoint(BOB))
    send(relay, 0, (nat, 61_000), range(10), 1.0)
    assert relay.route(1, True, RTCP, ("192.0.2.11", 5001), 1.3) == (nat, 61_001)
    relay.route(0, True, RTCP, (nat, 50_123), 1.4)
    assert relay.route(1, True, RTCP, ("192.0.2.11", 5001), 1.5) == (nat, 50_123)


def test_port_of_a_service_is_not_latched() -> None:
    relay = crossing()
    assert relay.route(0, False, RTP, ("192.0.2.10", 53), 1.0) is None
    assert relay.route(0, True, RTCP, ("192.0.2.10", 123), 1.0) is None
    assert relay.route(1, False, RTP, BOB, 1.1) == ALICE


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
    relay.describe(0, CrossingEnd(None, None, frozenset({"192.0.2.10"})))
    relay.describe(1, endpoint(BOB))
    assert relay.route(1, False, RTP, BOB, 1.0) is None
    assert relay.route(0, False, RTP, ALICE, 2.0) == BOB
    assert relay.route(1, False, RTP, BOB, 3.0) == ALICE


def test_before_a_side_is_described_nothing_of_it_passes() -> None:
    relay = Crossing()
    relay.describe(1, endpoint(BOB))
    assert relay.route(0, False, RTP, ALICE, 1.0) is None
    assert relay.route(1, False, RTP, BOB, 1.0) is None


def event(number: int, key: int, timestamp: int, *, end: bool = False) -> bytes:
    header = bytes([0x80, 101]) + number.to_bytes(2, "big") + timestamp.to_bytes(4, "big")
    return header + (7).to_bytes(4, "big") + bytes([key, 0x8A if end else 0x0A, 0, 160])


def listening(*, secret: tuple[bool, bool] = (False, False)) -> tuple[Crossing, list[tuple[int, str]]]:
    """Bob takes telephone-events as 101."""
    heard: list[tuple[int, str]] = []
    made = Crossing(told=lambda side, key, now: heard.append((side, key)))
    made.describe(0, replace(endpoint(ALICE), secret=secret[0]))
    made.describe(1, replace(endpoint(BOB), keys=frozenset((101,)), secret=secret[1]))
    return made, heard


def test_each_key_that_crosses_is_told_once() -> None:
    relay, heard = listening()
    packets = [event(1, 5, 100), event(2, 5, 100, end=True), event(3, 5, 100, end=True), event(4, 11, 9000)]
    packets.append(bytes([0x80, 101]) + event(5, 1, 20_000)[2:13])  # cut off
    assert [relay.route(0, False, packet, ALICE, 1.0) for packet in packets] == [BOB] * 5
    assert heard == [(0, "5"), (0, "#")]
    relay.route(1, False, event(1, 5, 100), BOB, 1.0)
    assert heard == [(0, "5"), (0, "#")], "Alice takes no telephone-events, so 101 is something else"
    relay.route(0, False, event(6, 1, 30_000), ("192.0.2.66", 4000), 1.0)
    assert len(heard) == 2, "of a stranger"


def test_keys_under_srtp_are_not_guessed() -> None:
    relay, heard = listening(secret=(True, True))
    relay.route(0, False, event(1, 5, 100), ALICE, 1.0)
    assert heard == []
    relay, heard = listening(secret=(True, False))
    relay.route(0, False, event(1, 5, 100), ALICE, 1.0)
    assert heard == [(0, "5")], "an offer of keys that nobody took"


def both() -> tuple[Crossing, Crossing, list[tuple[int, str]]]:
    """Two alike, whose formats are known; and what both tell."""
    heard: list[tuple[int, str]] = []
    made = []
    for _ in range(2):
        one = Crossing(told=lambda side, key, now: heard.append((side, key)))
        one.describe(0, endpoint(ALICE))
        one.describe(1, replace(endpoint(BOB), keys=frozenset((101,))))
        kinds = {0: AudioFormat("PCMU", 8000, 1, 0), 101: AudioFormat("telephone-event", 8000, 1, 101)}
        for measure in one.measures:
            measure.may_come(kinds)
        made.append(one)
    return made[0], made[1], heard


def test_what_passes_unseen_counts_as_what_was_asked_about() -> None:
    asked, unseen, heard = both()
    packets = [rtp(number) for number in range(100) if number not in (40, 41)]
    packets += [bytes([0x80, 72]) + packets[-1][2:], b"", b"\x80", event(100, 5, 16_000, end=True)]
    times = [1.0 + 0.02 * number for number in range(len(packets))]
    for packet, now in zip(packets, times, strict=True):
        asked.route(0, False, packet, ALICE, now)
    assert heard == [(0, "5")]
    assert unseen.passing(0, False).source is None, "it has to prove itself first"
    unseen.route(0, False, packets[0], ALICE, times[0])
    assert unseen.passing(0, False) == (ALICE, BOB, frozenset({101}))
    batch = [(packet, None, now) for packet, now in zip(packets, times, strict=True)][1:]
    unseen.passed(0, False, batch, watched=True)
    assert heard == [(0, "5")] * 2
    control = ("192.0.2.10", 4001)
    assert unseen.passing(0, True).source is None
    for one in (asked, unseen, asked):
        one.route(0, True, RTCP, control, 4.0)
    assert unseen.passing(0, True) == (control, ("192.0.2.11", 5001), frozenset())
    unseen.passed(0, True, [(RTCP, None, 4.0)], watched=False)
    assert asked.tallies == unseen.tallies
    assert asked.heard_at == unseen.heard_at
    figures = [one.measures[0].quality(5.0, hung_up=True, rtt_ms=None) for one in (asked, unseen)]
    assert figures[0] == figures[1]
    assert figures[0] is not None
    assert figures[0].packets > 90
    for one in (asked, unseen):
        assert one.route(0, False, rtp(99), ("192.0.2.10", 7777), 9.0) is None


def test_every_change_of_what_passes_has_another_revision() -> None:
    relay = crossing()
    known = relay.revision
    relay.route(0, False, RTP, ("192.0.2.66", 9), 1.0)
    assert relay.revision == known, "a stranger changes nothing"
    changes: tuple[Callable[[], object], ...] = (
        lambda: relay.route(0, False, RTP, ALICE, 1.0),
        lambda: relay.route(0, True, RTCP, ("192.0.2.10", 4001), 1.0),
        lambda: relay.describe(1, CrossingEnd(None, None, frozenset(), held=True)),
        lambda: relay.record(Tape(b"")),
    )
    for change in changes:
        rules = [relay.passing(side, rtcp) for side in (0, 1) for rtcp in (False, True)]
        change()
        assert [relay.passing(side, rtcp) for side in (0, 1) for rtcp in (False, True)] != rules
        assert relay.revision > known
        known = relay.revision


def test_a_recorded_call_goes_on_unseen_once_it_was_announced() -> None:
    relay = crossing()
    relay.kinds = [{0: AudioFormat("PCMU", 8000, 1, 0)}] * 2
    tape = Tape(bytes(2 * 16_000 // 25))  # 40 ms
    relay.record(tape)
    for number in range(3):
        for side, source in ((0, ALICE), (1, BOB)):
            if number < 2:
                assert relay.passing(side, False).source is None
            packet = rtp(number)[:12] + b"\xd5" * 160
            now = 1.0 + 0.02 * number + 0.001 * side
            relay.route(side, False, packet, source, now)
            relay.rewrite(side, packet, now)
    assert tape.began is not None
    assert relay.passing(0, False) == (ALICE, BOB, frozenset())
    loud = [
        (rtp(number)[:4] + bytes([0, 0, 2, number]) + rtp(number)[8:12] + b"\x80" * 160)
        for number in range(3, 53)
    ]
    batch = [(packet, None, 1.06 + 0.02 * number) for number, packet in enumerate(loud)]
    relay.passed(0, False, batch, watched=False)
    left, _ = tape.end(3.0)
    assert max(left) > 0x40, "what passed unseen is on the tape"
