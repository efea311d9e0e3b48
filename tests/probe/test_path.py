from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from callwright.outcome.terms import Verdict
from callwright.probe.path import FIRST_PORT, PathTrace, Steps, fingerprint
from callwright.probe.result import Hop, ProbeResult, State

ROUTERS = ["10.0.0.1", "10.0.1.1", "10.0.2.1"]
TARGET = "192.0.2.1"


def traced(
    routers: list[str | None],
    *,
    reachable: bool = True,
    steps: Steps | None = None,
    lost: frozenset[int] = frozenset(),
    far: float = 0.0,
) -> tuple[ProbeResult, int]:
    """A way of routers that are 10 ms apart, the first `far` more; None keeps silent; `lost`: numbers of
    datagrams."""
    machine = PathTrace(steps or Steps(), 100.0)
    queue: list[tuple[float, int, str, bool]] = []
    sent = 0
    while (due := machine.next_wake()) is not None:
        if queue and queue[0][0] <= due:
            now, port, sender, reached = heapq.heappop(queue)
            machine.answered(port, sender, now, reached=reached)
            continue
        machine.wake(due)
        for packet in machine.transmissions():
            sent += 1
            if packet.port - FIRST_PORT in lost:
                continue
            if packet.ttl <= len(routers):
                who = routers[packet.ttl - 1]
                if who is not None:
                    heapq.heappush(queue, (due + far + 0.01 * packet.ttl, packet.port, who, False))
            elif reachable:
                heapq.heappush(queue, (due + far + 0.01 * (len(routers) + 1), packet.port, TARGET, True))
    return machine.result("x", TARGET, 5.0), sent


def test_each_hop_is_told_with_its_delay() -> None:
    found, sent = traced(list(ROUTERS))
    assert [hop.address for hop in found.hops] == [*ROUTERS, TARGET]
    assert [round(hop.rtt_ms or 0) for hop in found.hops] == [10, 20, 30, 40]
    assert (found.state, found.verdict, found.reason) == (State.DONE, Verdict.PASSED, f"4 hops to {TARGET}.")
    assert sent <= 15


def test_a_host_that_is_far_has_its_time_to_answer() -> None:
    found, _ = traced(list(ROUTERS), far=0.6)
    assert [hop.received for hop in found.hops] == [3, 3, 3, 3]
    assert round(found.rtt_ms or 0) == 640


def test_a_router_that_keeps_silent_is_a_hop_without_a_name() -> None:
    found, _ = traced([ROUTERS[0], None, ROUTERS[2]])
    assert [hop.address for hop in found.hops] == [ROUTERS[0], None, ROUTERS[2], TARGET]
    assert found.hops[1].received == 0


def test_loss_is_told_by_hop() -> None:
    found, _ = traced(list(ROUTERS), lost=frozenset({3, 4}))
    assert [hop.received for hop in found.hops] == [3, 1, 3, 3]


def test_a_way_that_ends_in_silence_says_how_far_it_is_known() -> None:
    found, sent = traced(list(ROUTERS), reachable=False)
    assert (found.state, found.verdict) == (State.FAILED, Verdict.FAILED)
    assert found.reason == "The way is known as far as hop 3, 10.0.2.1; beyond it, silence."
    assert sent < 40


def test_no_more_hops_are_tried_than_asked_for() -> None:
    found, sent = traced(["10.0.0.1"] * 20, steps=Steps(hops=6, each=2))
    assert (len(found.hops), sent) == (6, 12)


def test_another_router_is_another_fingerprint() -> None:
    usual, other = traced(list(ROUTERS))[0], traced([*ROUTERS[:2], "10.0.9.9"])[0]
    assert usual.fingerprint == traced(list(ROUTERS))[0].fingerprint != other.fingerprint
    assert fingerprint((Hop(1),)) is None


@given(st.lists(st.tuples(st.integers(0, 70_000), st.booleans()), max_size=20))
def test_answers_to_what_was_not_sent_change_nothing(answers: list[tuple[int, bool]]) -> None:
    machine = PathTrace(Steps(), 100.0)
    for port, reached in answers:
        machine.answered(port, "10.6.6.6", 100.0, reached=reached)
    assert machine.hops() == ()
