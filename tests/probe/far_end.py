"""A far end behind a bad network, in virtual time: what really happened stands beside what the train says."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from callwright.net.impairment import Impairment, Impairments
from callwright.probe.train import Train

WALL = 1_800_000_000.0
"""Unix seconds at the train's second 0."""

GOOD = Impairments()

Answer = Callable[[bytes, float], list[bytes]]
"""What the far end sends for a packet that came at a time."""


@dataclass
class Journey:
    """`there` and `back`: (packet, time of arrival) in order of arrival."""

    sent: list[tuple[bytes, float]] = field(default_factory=list)
    there: list[tuple[bytes, float]] = field(default_factory=list)
    back: list[tuple[bytes, float]] = field(default_factory=list)


def travel(
    train: Train,
    answer: Answer,
    there: Impairments = GOOD,
    back: Impairments = GOOD,
    *,
    seed: int = 1,
    late: Callable[[int], float] = lambda _: 0.0,
) -> Journey:
    """`late`: by how much the n-th waking of the train comes late."""
    ways = Impairment(there, f"there {seed}"), Impairment(back, f"back {seed}")
    journey = Journey()
    queue: list[tuple[float, int, str, bytes]] = []
    number = wakes = 0
    while (due := train.next_wake()) is not None:
        due += late(wakes)
        if queue and queue[0][0] <= due:
            now, _, direction, data = heapq.heappop(queue)
            if direction == "there":
                journey.there.append((data, now))
                for reply in answer(data, now):
                    for at in ways[1].plan(len(reply), now):
                        number += 1
                        heapq.heappush(queue, (at, number, "back", reply))
            else:
                journey.back.append((data, now))
                train.receive(data, now, WALL + now, 64)
            continue
        wakes += 1
        train.wake(due)
        for data in train.transmissions():
            journey.sent.append((data, due))
            for at in ways[0].plan(len(data), due):
                number += 1
                heapq.heappush(queue, (at, number, "there", data))
    return journey
