"""Servers that `serve` makes as processes of this machine: filled, adopted, used, drained and ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from callwright.control.runs.model import RunFilter
from callwright.fleet.server import State
from tests.chaos.busy_line import BusyLine
from tests.kit.fleets import FleetOf, alive
from tests.kit.served import Served, start, wait_ready

FLAGS = ("--no-pbx", "--no-demo", "--no-agent", "--rate-limit", "10000")
TEN_CALLS = """
name: ten_calls
parties: {alice: {}}
steps:
  - - call: {from: alice, dial_destination: "sip:answer@127.0.0.1:%d", load: yes, media: no,
             call_rate: 20, max_total_calls: 10, max_duration: 90 s}
"""


@dataclass
class Platform:
    """`serve`, which a test may kill and start again, and its fleet."""

    served: Served
    fleet: FleetOf

    def kill(self) -> None:
        self.served.api.close()
        self.served.process.kill()
        self.served.process.wait(30)

    def again(self) -> None:
        self.served = wait_ready(start(self.served.data, *FLAGS, port=self.served.port))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    data = tmp_path_factory.mktemp("fleet") / "data"
    made = Platform(start(data, *FLAGS), FleetOf(data))
    try:
        wait_ready(made.served)
        yield made
    finally:
        if made.served.process.poll() is None:
            made.served.end()
        for pid in made.fleet.processes().values():
            os.kill(pid, signal.SIGKILL)


def test_a_pool_is_filled_to_its_minimum_and_keeps_its_server_through_a_sigkill_of_the_platform(
    platform: Platform,
) -> None:
    fleet = platform.fleet
    fleet.set_pool("default", minimum=1, maximum=4)
    fleet.until(lambda: fleet.settled(1), 60)
    (before,), processes = fleet.servers(State.RUNNING), fleet.processes()
    platform.kill()
    assert alive(processes[before.name])
    platform.again()
    fleet.until(lambda: fleet.settled(1), 60)
    assert fleet.processes() == processes
    assert [server.name for server in fleet.servers()] == [before.name]


def test_forty_calls_at_once_make_four_servers_of_ten_which_go_when_they_are_idle(platform: Platform) -> None:
    fleet, served = platform.fleet, platform.served
    fleet.set_pool("default", minimum=0, maximum=4, capacity=10, idle_seconds=3, min_age_seconds=0)
    with BusyLine() as line:
        answer = served.api.post("tests", json={"document": TEN_CALLS % line.port})
        assert answer.status_code in (200, 201), answer.text
        runs = [served.run("ten_calls") for _ in range(4)]
        fleet.until(lambda: len(line.up) == 40, 80)
        assert len(fleet.servers(State.RUNNING)) == len(fleet.processes()) == 4
        for run in runs:
            assert served.api.post(f"runs/{run}/stop").status_code == 200
        assert {served.finished(run)["phase"] for run in runs} == {"canceled"}
        assert len(line.up) == 0
        of_test = RunFilter(test_name="ten_calls")
        carried = fleet.ask(lambda services: services.stores.runs.page(of_test, None, 10))
    assert len({run.agent_id for run in carried}) == 4
    fleet.until(lambda: fleet.settled(0), 60)


def test_the_end_of_the_platform_ends_its_servers(platform: Platform) -> None:
    fleet = platform.fleet
    fleet.set_pool("default", minimum=2, maximum=4)
    fleet.until(lambda: fleet.settled(2), 60)
    assert platform.served.end() < 15
    assert fleet.settled(0)
    assert {server.state for server in fleet.servers()} == {State.STOPPED}
