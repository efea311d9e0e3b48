from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.net.impairment import GilbertElliott, Impairment, Impairments

PTIME = 0.020


def run(what: Impairments, seed: int = 1, packets: int = 20_000, size: int = 172) -> list[list[float]]:
    network = Impairment(what, seed)
    return [network.plan(size, number * PTIME) for number in range(packets)]


def test_a_perfect_network_delivers_at_once() -> None:
    assert run(Impairments(), packets=3) == [[0.0], [0.02], [0.04]]


def test_the_same_seed_gives_the_same_network_and_another_seed_another() -> None:
    bad = Impairments(loss=0.1, jitter=0.01, delay=0.05, duplicate=0.05, reorder=0.05)
    assert run(bad, 7, 500) == run(bad, 7, 500)
    assert run(bad, 7, 500) != run(bad, 8, 500)


def test_the_fate_of_packets_does_not_depend_on_when_they_are_sent() -> None:
    bad = Impairments(loss=0.2, delay=0.05, keep_order=False, jitter=0.01)
    early, late = Impairment(bad, 3), Impairment(bad, 3)
    for number in range(500):
        first, second = early.plan(172, number * PTIME), late.plan(172, 5000.0 + number * 0.1)
        assert len(first) == len(second)


def test_adding_an_impairment_leaves_the_luck_of_the_others() -> None:
    lost = [not times for times in run(Impairments(loss=0.1), packets=1000)]
    both = [not times for times in run(Impairments(loss=0.1, jitter=0.01, duplicate=0.3), packets=1000)]
    assert lost == both


def test_random_loss_has_the_share_asked_for_and_no_bursts() -> None:
    lost = [not times for times in run(Impairments(loss=0.05))]
    assert sum(lost) / len(lost) == pytest.approx(0.05, abs=0.005)
    after_loss = [second for first, second in pairwise(lost) if first]
    assert sum(after_loss) / len(after_loss) == pytest.approx(0.05, abs=0.03)


def test_bursts_have_the_share_and_the_length_asked_for() -> None:
    channel = GilbertElliott.burst(0.05, 4.0)
    assert channel.mean_loss == pytest.approx(0.05)
    lost = [not times for times in run(Impairments(bursts=channel), packets=100_000)]
    assert sum(lost) / len(lost) == pytest.approx(0.05, abs=0.006)
    bursts = sum(1 for first, second in pairwise(lost) if second and not first)
    assert sum(lost) / bursts == pytest.approx(4.0, abs=0.3)


@pytest.mark.parametrize(
    ("distribution", "mean", "deviation"),
    [("uniform", 0.1, 0.01 / math.sqrt(3)), ("normal", 0.1, 0.01), ("exponential", 0.11, 0.01)],
)
def test_jitter_has_its_distribution(distribution: Any, mean: float, deviation: float) -> None:
    plans = run(Impairments(delay=0.1, jitter=0.01, distribution=distribution, keep_order=False))
    delays = [times[0] - number * PTIME for number, times in enumerate(plans)]
    average = sum(delays) / len(delays)
    assert average == pytest.approx(mean, abs=0.0005)
    spread = math.sqrt(sum((delay - average) ** 2 for delay in delays) / len(delays))
    assert spread == pytest.approx(deviation, rel=0.05)


def test_reordered_packets_are_overtaken() -> None:
    network = Impairment(Impairments(delay=0.05, reorder=0.1, reorder_by=0.05), 1)
    arrivals = [network.plan(172, number * PTIME)[0] for number in range(1000)]
    held = [number for number, at in enumerate(arrivals) if at - number * PTIME > 0.09]
    assert len(held) == network.reordered == pytest.approx(100, abs=40)
    assert all(arrivals[n] > arrivals[n + 1] for n in held if n + 1 < 1000 and n + 1 not in held)


def test_duplicates_come_twice() -> None:
    plans = run(Impairments(duplicate=0.2, duplicate_by=0.005), packets=1000)
    doubled = [times for times in plans if len(times) == 2]
    assert len(doubled) == pytest.approx(200, abs=50)
    assert all(second - first == pytest.approx(0.005) for first, second in doubled)


def test_a_bottleneck_spaces_packets_and_drops_what_would_wait_too_long() -> None:
    network = Impairment(Impairments(rate=8_000, queue=0.25), 1)  # 100 octets take 0.1 s
    plans = [network.plan(100, 0.0) for _ in range(5)]
    assert [times[0] for times in plans[:3]] == pytest.approx([0.1, 0.2, 0.3])
    assert plans[3:] == [[], []]
    assert (network.offered, network.lost) == (5, 2)


@given(
    delay=st.floats(0, 1),
    jitter=st.floats(0, 1),
    distribution=st.sampled_from(["uniform", "normal", "exponential"]),
    seed=st.integers(0, 1000),
)
def test_nothing_arrives_before_it_was_sent_and_jitter_alone_keeps_the_order(
    delay: float, jitter: float, distribution: Any, seed: int
) -> None:
    plans = run(Impairments(delay=delay, jitter=jitter, distribution=distribution), seed, 50)
    arrivals = [times[0] for times in plans]
    assert all(at >= number * PTIME for number, at in enumerate(arrivals))
    assert arrivals == sorted(arrivals)


@pytest.mark.parametrize("wrong", [{"loss": 1.5}, {"duplicate": -0.1}, {"delay": -1.0}, {"rate": math.inf}])
def test_impossible_networks_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Impairments(**wrong)


@pytest.mark.parametrize(("loss", "length"), [(1.0, 3), (0.1, 0.5), (0.9, 1.0)])
def test_impossible_bursts_are_refused(loss: float, length: float) -> None:
    with pytest.raises(ValueError, match="burst"):
        GilbertElliott.burst(loss, length)
