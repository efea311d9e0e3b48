"""What is well and what is not, out of the latest runs: for the overview. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from callwright.control.runs.model import Bucket, Run
from callwright.control.runs.transitions import FINAL, Phase

LAST = 30
"""Runs of a test that its strip of history shows."""

_MARKS = {Phase.PASSED: "", Phase.FAILED: "f", Phase.ERROR: "e", Phase.INVALID: "e", Phase.CANCELED: "n"}
_WORST_FIRST = (Phase.FAILED, Phase.ERROR, Phase.INVALID)


@dataclass(frozen=True, slots=True)
class TestHealth:
    """One test by its runs. ``since``: unix seconds of the first run of the row that did not pass."""

    __test__ = False

    name: str
    title: str
    latest: Run
    marks: tuple[str, ...]
    """Oldest first; what `.history` draws: "" passed, f failed, e error or invalid, n canceled."""
    since: float | None

    @property
    def failing(self) -> bool:
        return self.latest.phase in _WORST_FIRST

    @property
    def says(self) -> str:
        """For who cannot see the strip."""
        return strip_says(self.marks)


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is otherwise than it was. ``at``: unix seconds."""

    at: float
    text: str
    detail: str
    href: str


@dataclass(frozen=True, slots=True)
class HealthStep:
    """One stretch of time of the history."""

    start: float
    passed: int
    failed: int
    other: int
    low: float | None = None
    """All but the worst twentieth of the rated runs have at least this MOS."""
    mos: float | None = None
    """The median."""
    high: float | None = None


def by_test(runs: Sequence[Run]) -> list[TestHealth]:
    """Of runs, newest first: each test once, those that do not pass first, the longest standing on top."""
    grouped: dict[int, list[Run]] = {}
    for run in runs:
        if run.phase in FINAL:
            grouped.setdefault(run.test_id, []).append(run)
    found = [_health(of_one) for of_one in grouped.values()]
    return sorted(found, key=lambda h: (_rank(h.latest.phase), h.since or 0.0, h.name))


def strip_says(marks: Sequence[str]) -> str:
    failed, errors = marks.count("f"), marks.count("e")
    return f"Last {len(marks)} runs: {failed} failed" + (f", {errors} not measured" if errors else "")


def marks_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """Newest first in, oldest first out."""
    return tuple(_MARKS[Phase(run.phase)] for run in runs[:LAST] if run.phase in FINAL)[::-1]


def _rank(phase: str) -> int:
    return _WORST_FIRST.index(Phase(phase)) if phase in _WORST_FIRST else len(_WORST_FIRST)


def _health(runs: Sequence[Run]) -> TestHealth:
    latest = next((run for run in runs if run.phase != Phase.CANCELED), runs[0])
    since = None
    for run in runs:
        if run.phase == Phase.PASSED:
            break
        if run.phase != Phase.CANCELED:
            since = run.created_at
    return TestHealth(
        latest.test_name, latest.testcase_name or latest.test_name, latest, marks_of(runs), since
    )


def changes(runs: Sequence[Run]) -> list[Change]:
    """Tests that began to fail or pass again, newest first."""
    grouped: dict[int, list[Run]] = {}
    for run in runs:
        if run.phase in (Phase.PASSED, Phase.FAILED):
            grouped.setdefault(run.test_id, []).append(run)
    found = []
    for of_one in grouped.values():
        for later, earlier in pairwise(of_one):
            if later.phase != earlier.phase:
                found.append(_turn(later))
        if of_one[-1].phase == Phase.FAILED and len(of_one) == 1:
            found.append(_turn(of_one[0]))
    return sorted(found, key=lambda change: -change.at)


def _turn(run: Run) -> Change:
    name = run.testcase_name or run.test_name
    text = f"{name} passes again" if run.phase == Phase.PASSED else f"{name} began to fail"
    return Change(run.created_at, text, run.result_description, f"/run/details/{run.session_id}")


def steps(
    buckets: Iterable[Bucket], runs: Iterable[Run], since: float, seconds: float, now: float
) -> list[HealthStep]:
    """The history without holes: a stretch without runs is there and empty. `runs` give the quality: of each
    run the lowest MOS of its calls."""
    grouped: dict[int, list[Bucket]] = {}
    for bucket in buckets:
        grouped.setdefault(int((bucket.start - since) // seconds), []).append(bucket)
    rated: dict[int, list[float]] = {}
    for run in runs:
        if run.mos is not None and run.created_at >= since:
            rated.setdefault(int((run.created_at - since) // seconds), []).append(run.mos)
    count = max(1, int((now - since) // seconds) + 1)
    return [_step(since + n * seconds, grouped.get(n, []), sorted(rated.get(n, []))) for n in range(count)]


def _step(start: float, buckets: Sequence[Bucket], rated: Sequence[float]) -> HealthStep:
    counts = {bucket.phase: bucket.count for bucket in buckets}
    passed, failed = counts.get(Phase.PASSED, 0), counts.get(Phase.FAILED, 0)
    others = counts.get(Phase.ERROR, 0) + counts.get(Phase.INVALID, 0)
    return HealthStep(
        start, passed, failed, others, *(_quantile(rated, share) for share in (0.05, 0.5, 0.95))
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return round(ordered[low] + (ordered[high] - ordered[low]) * (at - low), 3)


def median_mos(runs: Iterable[Run]) -> float | None:
    return _quantile(sorted(run.mos for run in runs if run.mos is not None), 0.5)


def pass_rate(steps_: Iterable[HealthStep]) -> float | None:
    """Percent of the runs that said something about the target."""
    passed = failed = 0
    for step in steps_:
        passed, failed = passed + step.passed, failed + step.failed
    return 100 * passed / (passed + failed) if passed + failed else None


def spark(values: Sequence[float | None], low: float, high: float) -> str:
    """A path in a box of 200 by 36; a value that is not known leaves a gap."""
    parts, pen = [], "M"
    if sum(value is not None for value in values) < 3:
        return ""
    width = 200 / max(1, len(values) - 1)
    for n, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        share = (value - low) / ((high - low) or 1)
        y = 33 - 30 * max(0.0, min(1.0, share))
        parts.append(f"{pen}{n * width:.1f} {y:.1f}")
        if pen == "M" and (n + 1 >= len(values) or values[n + 1] is None):
            parts.append("h2")  # a single point is a dot
        pen = "L"
    return "".join(parts)


def headline(
    failing: Sequence[TestHealth],
    agents: tuple[int, int],
    tests: int,
    idle: int = 0,
    lately: str = "in the last 30 days",
) -> str:
    """The sentence on top: what is true now. `tests`: how many there are, `idle`: how many of them have not
    run `lately` ("in the last 30 days"): of these nothing is known."""
    alive, known = agents
    failed = sum(h.latest.phase == Phase.FAILED for h in failing)
    unmeasured = len(failing) - failed
    parts = []
    if failed:
        parts.append(f"{_count(failed)} {'test fails' if failed == 1 else 'tests fail'}")
    if unmeasured:
        parts.append(f"{_count(unmeasured)} {'was' if unmeasured == 1 else 'were'} not measured")
    if alive < known:
        gone = known - alive
        parts.append(f"{_count(gone)} {'agent is' if gone == 1 else 'agents are'} lost")
    elif not known:
        parts.append("no agent is there to run tests")
    ran = tests - idle
    not_run = f"{_count(idle)} {'has' if idle == 1 else 'have'} not run {lately}"
    if not parts:
        if not ran:
            return f"No test has run {lately}." if tests else "Nothing has been run yet."
        if not idle:
            return "All tests pass." if tests > 1 else "The test passes."
        return f"{_count(ran).capitalize()} of {tests} tests {'passes' if ran == 1 else 'pass'}, {not_run}."
    sentence = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    rest = ""
    if ran > len(failing):
        rest = (
            " The others pass."
            if failing
            else f" {'The test passes' if ran == 1 else 'The tests that ran pass'}."
        )
    if idle and tests:
        rest += f" {not_run[0].upper()}{not_run[1:]}."
    return f"{sentence[0].upper()}{sentence[1:]}.{rest}"


def _count(number: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return words[number] if number < len(words) else str(number)
