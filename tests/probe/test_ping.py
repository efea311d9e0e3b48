from __future__ import annotations

import statistics
import struct

import pytest

from callwright.net.entropy import seeded_entropy
from callwright.net.impairment import GilbertElliott, Impairments
from callwright.outcome.terms import Blame, Verdict
from callwright.probe.icmp import checksum
from callwright.probe.ping import Ping
from callwright.probe.result import ProbeResult, State
from callwright.probe.train import Shape, jitter
from callwright.quality.burst_loss import from_counts
from callwright.quality.score import score
from tests.probe.far_end import Journey, travel

NETWORKS = {
    "perfect": Impairments(),
    "1 %": Impairments(loss=0.01),
    "5 %": Impairments(loss=0.05),
    "20 %": Impairments(loss=0.2),
    "20 % in bursts": Impairments(bursts=GilbertElliott.burst(0.2, 4.0)),
    "5 % in bursts": Impairments(bursts=GilbertElliott.burst(0.05, 3.0), delay=0.025),
    "50 ms": Impairments(delay=0.025),
    "150 ms": Impairments(delay=0.075),
    "300 ms": Impairments(delay=0.150),
    "jitter": Impairments(delay=0.030, jitter=0.010),
    "jitter, reordering": Impairments(delay=0.030, jitter=0.040, keep_order=False),
    "duplicates": Impairments(duplicate=0.1, duplicate_by=0.003),
    "all": Impairments(loss=0.05, delay=0.04, jitter=0.02, reorder=0.1, reorder_by=0.15, duplicate=0.05),
}


SHAPE = Shape()


def echo(data: bytes, now: float) -> list[bytes]:
    reply = bytes([{8: 0, 128: 129}[data[0]]]) + data[1:]
    return [reply]


def pinged(
    there: Impairments, seed: int, shape: Shape = SHAPE, version: int = 4
) -> tuple[ProbeResult, Journey]:
    train = Ping(shape, version, 1000.0, seeded_entropy(7))
    journey = travel(train, echo, there, seed=seed)
    return train.result("192.0.2.1", "192.0.2.1", 5.0), journey


def sequence(data: bytes) -> int:
    return int(struct.unpack_from("!H", data, 6)[0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NETWORKS)
def test_the_figures_are_those_of_the_network(name: str, seed: int) -> None:
    found, journey = pinged(NETWORKS[name], seed, Shape.call())
    sent = [at for _, at in journey.sent]
    first: dict[int, float] = {}
    for data, at in journey.back:
        first.setdefault(sequence(data), at)
    trips = [first[n] - sent[n] for n in first]
    heard = [n in first and first[n] - sent[n] <= min(trips) + 0.05 for n in range(len(sent))]
    bad = heard.count(False)
    runs = sum(not good and (n == 0 or heard[n - 1]) for n, good in enumerate(heard))
    order = list(first)
    assert (found.sent, found.received, found.lost) == (250, len(first), 250 - len(first))
    assert found.duplicated == len(journey.back) - len(first)
    assert found.reordered == sum(n < max(order[:place], default=-1) for place, n in enumerate(order))
    assert found.late == bad - (250 - len(first))
    assert found.rtt_ms == pytest.approx(statistics.median(trips) * 1000, abs=1e-6)
    wanted = jitter(trips)
    assert wanted is not None
    assert found.jitter_ms == pytest.approx(wanted * 1000, abs=1e-6)
    pattern = from_counts(250, bad, runs)
    truth = score(
        "g711",
        ppl=pattern.ppl,
        burst_r=pattern.burst_r,
        delay_ms=50.0,
        rtt_ms=statistics.median(trips) * 1000,
        ptime=20.0,
    )
    assert truth is not None
    assert found.mos == pytest.approx(truth.mos, abs=1e-6)
    assert found.verdict is Verdict.PASSED


def test_delay_is_measured_within_a_millisecond() -> None:
    found, _ = pinged(Impairments(delay=0.150), 1)
    assert found.rtt_ms == pytest.approx(150.0, abs=1.0)
    assert found.jitter_ms == pytest.approx(0.0, abs=0.1)
    assert (found.burst_ratio, found.lost) == (None, 0)


def test_a_train_without_loss_is_over_when_the_last_answer_came() -> None:
    train = Ping(Shape(), 4, 1000.0, seeded_entropy(7))
    journey = travel(train, echo)
    assert journey.back[-1][1] == pytest.approx(1000.0 + 24 * 0.1)


def test_a_train_with_loss_waits_for_its_last_packet() -> None:
    train = Ping(Shape(wait=1.5), 4, 1000.0, seeded_entropy(7))
    travel(train, lambda data, now: [])
    assert train.over
    assert len(train.order) == 0
    found = train.result("x", "192.0.2.1", 5.0)
    assert (found.state, found.verdict, found.mos, found.rtt_ms) == (State.FAILED, Verdict.FAILED, 1.0, None)
    assert "No echo came back of 25" in found.reason


def test_a_packet_leaves_in_the_shape_of_a_codecs() -> None:
    _, journey = pinged(Impairments(), 1, Shape.call())
    assert {len(data) for data, _ in journey.sent} == {8 + 172}
    gaps = [later[1] - earlier[1] for earlier, later in zip(journey.sent, journey.sent[1:], strict=False)]
    assert gaps == pytest.approx([0.02] * 249)
    assert all(checksum(data) == 0 for data, _ in journey.sent)


def test_ipv6_leaves_the_checksum_to_the_kernel() -> None:
    found, journey = pinged(Impairments(), 1, version=6)
    assert journey.sent[0][0][:4] == bytes([128, 0, 0, 0])
    assert found.received == 25


def test_an_agent_that_was_starved_says_invalid_and_gives_no_mos() -> None:
    train = Ping(Shape.call(), 4, 1000.0, seeded_entropy(7))
    travel(train, echo, late=lambda wake: 0.4 if wake % 20 == 3 else 0.0)
    found = train.result("x", "192.0.2.1", 5.0)
    assert (found.verdict, found.blame, found.mos, found.r_factor) == (
        Verdict.INVALID,
        Blame.PLATFORM,
        None,
        None,
    )
    assert found.error_ms == pytest.approx(400.0, abs=21.0)
    assert found.lost == 0


def test_one_late_waking_is_told_and_spoils_nothing() -> None:
    train = Ping(Shape(), 4, 1000.0, seeded_entropy(7))
    travel(train, echo, late=lambda wake: 0.09 if wake == 3 else 0.0)
    found = train.result("x", "192.0.2.1", 5.0)
    assert found.verdict is Verdict.PASSED
    assert found.error_ms == pytest.approx(90.0)


def test_answers_to_somebody_else_are_not_counted() -> None:
    train = Ping(Shape(packets=3), 4, 1000.0, seeded_entropy(7))
    other = Ping(Shape(packets=3), 4, 1000.0, seeded_entropy(8))
    travel(train, lambda data, now: echo(other.request(0, now), now))
    assert train.result("x", "192.0.2.1", 5.0).received == 0


def test_an_answer_to_what_was_not_sent_yet_is_not_counted() -> None:
    train = Ping(Shape(), 4, 1000.0, seeded_entropy(7))
    train.wake(1000.0)
    train.receive(echo(train.request(20, 1000.0), 1000.0)[0], 1000.01, 0.0)
    assert train.result("x", "192.0.2.1", 5.0).received == 0


def test_a_host_that_is_unreachable_is_told_by_what_the_network_said() -> None:
    train = Ping(Shape(packets=2), 4, 1000.0, seeded_entropy(7))

    def router(data: bytes, now: float) -> list[bytes]:
        header = bytes([0x45]) + bytes(8) + bytes([1]) + bytes(10)
        return [bytes([3, 1, 0, 0, 0, 0, 0, 0]) + header + data[:8]]

    travel(train, router)
    found = train.result("x", "192.0.2.1", 5.0)
    assert found.reason == "The network gave it back: the host is unreachable."
    assert found.blame is Blame.NETWORK


def test_a_mos_below_what_was_asked_for_fails_and_says_so() -> None:
    found, _ = pinged(Impairments(loss=0.2), 1)
    assert found.mos is not None
    judged = found.at_least(4.3)
    assert (judged.verdict, judged.blame) == (Verdict.FAILED, Blame.NETWORK)
    assert judged.reason == f"MOS {found.mos:.2f} is below 4.3."
    assert found.at_least(1.0) is found


def test_a_result_survives_json() -> None:
    found, _ = pinged(Impairments(loss=0.1), 1)
    assert ProbeResult.from_json(found.to_json()).to_json() == found.to_json()
