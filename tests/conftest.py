"""Marks and time budgets: every test is of one kind, and CI says when a kind has grown too slow.

fast: pure, or of one process. acceptance: against the platform as a user starts it. peer: with a program of
somebody else. chaos: where things are killed.

In CI a test that starts processes is tried a second time when it fails, and the summary tells of it with its
traceback: such a test is to be mended. A handful of them fails the run (docs/decisions/0017).
"""

from __future__ import annotations

import gc
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from tests.kit.examples import FACTOR, examples
from tests.kit.signals import hand_on_signals

hand_on_signals()

# An application that a test makes is half a million objects: at Python's usual thresholds a third of its time
# goes into looking for garbage among them.
gc.set_threshold(50_000, 20, 10)

# How long an example may take says something of the machine, and nothing of what is tested. The examples are
# the same at each run, so that no test depends on luck; `make fuzz` draws others.
_ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same examples", _ANY_MACHINE, derandomize=True, database=None)
settings.register_profile("search", _ANY_MACHINE, max_examples=examples(100), print_blob=True)
settings.load_profile("search" if FACTOR else "same examples")
if not FACTOR:
    # Hypothesis also draws literals of the modules imported so far, which differ with the tests run before.
    # This leaves it those that never change.
    setattr(providers.HypothesisProvider, "_local_constants", providers._local_constants)  # noqa: B010

#: Seconds that all tests of a mark may take together on CI's two cores.
BUDGET = {"fast": 1800.0, "acceptance": 2400.0, "peer": 1800.0, "chaos": 1800.0}
_MARKED = ("acceptance", "peer", "chaos")

#: How many tests may have needed their second try.
SECOND_TRIES = 3

_ACCEPTANCE = ("tests/acceptance/", "tests/scripting/")

#: Tests that wait for a browser most of the time: two of them may run beside each other, and nothing else. A
#: process of its own too, since Playwright's loop leaves asyncio's no room in it.
PAIRED = ("tests/browser/",)

#: Tests that wait most of the time for what they killed or slowed down, with bounds of seconds: two of them
#: may run beside each other, and nothing else. Each starts all that it needs, so any worker may take any.
WAITING = (
    "tests/chaos/test_fleet_kills",
    "tests/chaos/test_full_disk",
    "tests/chaos/test_guardian",
    "tests/chaos/test_kills",
    "tests/chaos/test_pbx_kills",
    "tests/chaos/test_several_platforms",
    "tests/chaos/test_soak",
    "tests/interop/test_sipvicious",
)

#: Tests that measure time or fill both cores: nothing else may run beside them.
ALONE = (
    "tests/chaos/",
    "tests/generator/",
    "tests/net/",
    "tests/interop/test_jssip",
    "tests/interop/test_load",
    "tests/interop/test_tshark",
    "tests/acceptance/test_load_on_platform",
    "tests/acceptance/test_slow_clients",
    "tests/acceptance/test_two_of_ours",
)

_spent: Counter[str] = Counter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test of no other kind is fast. Browser tests come last: Playwright's loop stays in the main
    thread once it runs, and no test can have one of its own then."""
    items.sort(key=lambda item: "browser" in item.path.parts)
    for item in items:
        if not any(item.get_closest_marker(name) for name in _MARKED):
            item.add_marker("acceptance" if item.nodeid.startswith(_ACCEPTANCE) else "fast")
        if item.nodeid.startswith(PAIRED):
            item.add_marker(pytest.mark.paired)
        elif item.nodeid.startswith(WAITING):
            item.add_marker(pytest.mark.waiting)
        elif item.nodeid.startswith(ALONE):
            item.add_marker(pytest.mark.alone)
        if item.nodeid.startswith("tests/browser/") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))  # a real browser on two busy cores
        if os.environ.get("CI") and not item.get_closest_marker("fast"):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    mark = next((name for name in _MARKED if name in report.keywords), "fast")
    _spent[mark] += report.duration  # type: ignore[assignment]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = ", ".join(f"{mark} {_spent[mark]:.0f} of {budget:.0f} s" for mark, budget in BUDGET.items())
    terminalreporter.write_line(f"time: {told}")
    for report in _second_tries(terminalreporter):
        terminalreporter.write_sep("-", f"tried a second time: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


def _second_tries(terminalreporter: pytest.TerminalReporter) -> list[pytest.TestReport]:
    return terminalreporter.stats.get("rerun", [])


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a mark over its budget fails the run, and so do many second tries: nobody gets used to them."""
    over = [mark for mark, budget in BUDGET.items() if _spent[mark] > budget]
    terminalreporter = session.config.pluginmanager.get_plugin("terminalreporter")
    often = terminalreporter is not None and len(_second_tries(terminalreporter)) > SECOND_TRIES
    if (over or often) and os.environ.get("CI") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
