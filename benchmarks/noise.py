"""How quiet the machine is: the same work again and again, and what it takes."""

from __future__ import annotations

import os
import time


def work() -> float:
    """Seconds of some pure computing, about 10 ms."""
    begun = time.perf_counter()
    total = 0
    for number in range(200_000):
        total += number * number
    return time.perf_counter() - begun


def measure(rounds: int = 60) -> tuple[float, float]:
    """(best in ms, how much longer the median round took, in percent)."""
    times = sorted(work() for _ in range(rounds))
    return 1000 * times[0], 100 * (times[rounds // 2] / times[0] - 1)


def sentence() -> str:
    """The noise in words."""
    best, median = measure()
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, load {load:.1f}; work of {best:.1f} ms takes {median:.0f} % longer on the "
        "median"
    )
