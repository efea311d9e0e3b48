"""SIGKILL at random moments, of each part in turn, under a stream of short runs.

Every run that was accepted ends; none is placed twice; what was once told as its end stays so; and five
seconds after a kill no call is up at the far end that was up before it. CI kills each part ten times, with a
lease of one second; `make chaos` a thousand times (CALLWRIGHT_CHAOS_KILLS), shared out among several
platforms at once (CALLWRIGHT_CHAOS_LANES), as most of the time is waiting for what was killed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.busy_line import BusyLine
from tests.kit import postgresql
from tests.kit.served import start, wait_ready

pytestmark = pytest.mark.chaos

KILLS = int(os.environ.get("CALLWRIGHT_CHAOS_KILLS", "10"))
LANES = int(os.environ.get("CALLWRIGHT_CHAOS_LANES", "1"))
_SEED = 1 if os.environ.get("CI") else random.randrange(1 << 30)  # CI's result does not depend on chance
SEED = int(os.environ.get("CALLWRIGHT_CHAOS_SEED", str(_SEED)))
STREAMS = 3
FOUND_WITHIN = 60.0 * LANES  # seconds from the acceptance of a run to its end, kills and restarts included
FLAGS = ("--lease", "1", "--no-pbx", "--no-demo", "--rate-limit", "10000", "--workers", "1")
UP_AT_MOST = 5.0 * LANES  # seconds after a kill
FINAL = {"passed", "failed", "invalid", "error", "canceled"}
DOCUMENT = """
name: chaos
parties: {alice: {}}
steps:
  - - call: {from: alice, dial_destination: "sip:nobody@127.0.0.1:%d", media: false, max_duration: 1 s}
"""


@dataclass
class Told:
    """One run: `number` was dialled, `ends` are the different ends that were told of it."""

    number: str
    session_id: str
    ends: set[tuple[str, str]] = field(default_factory=set)
    problem: str = ""


class Stream(threading.Thread):
    """Starts runs one after the other, and watches each to its end; patient with a platform that is away."""

    def __init__(self, name: str, api: Callable[[], httpx.Client], over: threading.Event, port: int) -> None:
        super().__init__(name=name, daemon=True)
        self.runs: list[Told] = []
        self._api, self._over, self._port = api, over, port
        self.broken: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._over.is_set():
                count = len(self.runs)
                self._one(f"{'answer-' if count % 2 else ''}{self.name}-{count}")
        except BaseException as error:  # told by the test
            self.broken = error

    def _one(self, number: str) -> None:
        body = {
            "test.name": "chaos",
            "step.0.0.dial_destination": f"sip:{number}@127.0.0.1:{self._port}",
        }
        # The same key until it is accepted: a lost answer must not make a second run.
        accepted = self._until_answered("POST", "tests/run", json=body, headers={"Idempotency-Key": number})
        told = Told(number, accepted["data"]["session_id"])
        self.runs.append(told)
        deadline = time.monotonic() + FOUND_WITHIN
        while True:
            run = self._until_answered("GET", f"runs/{told.session_id}/status")["run"]
            if run["is_finished"]:
                told.ends.add((run["phase"], run["result_description"]))
                return
            if time.monotonic() > deadline:
                told.problem = f"still {run['phase']}"
                return
            time.sleep(0.05)

    def _until_answered(self, method: str, path: str, **more: Any) -> Any:
        deadline = time.monotonic() + FOUND_WITHIN
        while True:
            try:
                answer = self._api().request(method, path, **more)
                if answer.status_code < 500 and answer.status_code != 429:
                    assert answer.status_code == 200, answer.text
                    return answer.json()
            except (httpx.HTTPError, RuntimeError):  # the second: its client was closed meanwhile
                pass
            assert time.monotonic() < deadline, f"{path} was not answered"
            time.sleep(0.1)


class Victim:
    """The platform and its parts, and how to kill one of them."""

    def __init__(self, data: Path, *flags: str) -> None:
        self.data, self.flags = data, flags
        self.served = wait_ready(start(data, *FLAGS, *flags))

    def client(self) -> httpx.Client:
        return self.served.api

    def kill(self, part: str) -> None:
        if part == "platform":
            self.served.process.kill()
            self.served.process.wait(30)
            self.served.api.close()
            self.served = wait_ready(start(self.data, *FLAGS, *self.flags, port=self.served.port))
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid(part), signal.SIGKILL)

    def _pid(self, part: str) -> int:
        """Of a child that runs; while it is being started again there is none for a moment."""
        needle = {
            "agent": b"callwright\0agent",
            "nats": b"nats-server\0-c",
            "web": b"callwright.host.web_worker\0",
            "guardian": b"callwright.host.guardian",
        }[part]
        deadline = time.monotonic() + 20
        while True:
            for pid in self.served.children():
                with contextlib.suppress(OSError):
                    line = Path(f"/proc/{pid}/cmdline").read_bytes()
                    if needle in line and not line.startswith(b"python") and b"PDEATHSIG" not in line:
                        return pid
            assert time.monotonic() < deadline, f"the {part} did not come back"
            time.sleep(0.02)


@contextlib.contextmanager
def under_load(victim: Victim, line: BusyLine) -> Iterator[list[Stream]]:
    answer = victim.client().post("tests", json={"document": DOCUMENT % line.port})
    assert answer.status_code in (200, 201), answer.text
    over = threading.Event()
    streams = [Stream(f"s{number}", victim.client, over, line.port) for number in range(STREAMS)]
    for stream in streams:
        stream.start()
    try:
        yield streams
    finally:
        over.set()
        for stream in streams:
            stream.join(2 * FOUND_WITHIN)


def wait_for_more(streams: list[Stream], count: int = 2) -> None:
    """Until runs have begun since: what is killed while it starts is killed with nothing in its hands."""
    wanted = sum(len(stream.runs) for stream in streams) + count
    deadline = time.monotonic() + FOUND_WITHIN
    while sum(len(stream.runs) for stream in streams) < wanted:
        broken = [stream.broken for stream in streams if stream.broken is not None]
        assert not broken, repr(broken[0])
        assert time.monotonic() < deadline, "nothing goes on"
        time.sleep(0.02)


def kill(victim: Victim, part: str, line: BusyLine) -> None:
    """Of all that was up then nothing is left soon after, whether it goes on or nobody is there to end it."""
    up, since = list(line.up), time.monotonic()
    victim.kill(part)
    assert line.left_up(up, since, UP_AT_MOST) == {}, f"left up after a kill of {part}"


def judge(victim: Victim, line: BusyLine, streams: list[Stream]) -> None:
    runs = [told for stream in streams for told in stream.runs]
    for stream in streams:
        assert stream.broken is None, repr(stream.broken)
        assert not stream.is_alive()
    assert [told for told in runs if told.problem] == []
    for told in runs:
        run = victim.served.get(f"runs/{told.session_id}/status")["run"]
        told.ends.add((run["phase"], run["result_description"]))
    assert [told for told in runs if len(told.ends) != 1] == []
    assert {phase for told in runs for phase, _ in told.ends} <= FINAL
    twice = {number: calls for number, calls in line.calls.items() if len(calls) > 1}
    assert twice == {}
    assert line.left_up(list(line.up), time.monotonic(), UP_AT_MOST) == {}
    # Each that says it was placed was; and killing is not all that happened.
    phases = Counter(phase for told in runs for phase, _ in told.ends)
    why = Counter(reason for told in runs for phase, reason in told.ends if phase != "failed")
    print(f"{len(runs)} runs, {dict(phases)}, {len(line.calls)} calls, seed {SEED}", *why.items(), sep="\n  ")
    for told in runs:
        if ("failed") in {phase for phase, _ in told.ends}:
            assert told.number in line.calls
    assert phases["failed"] > 0


class Lane(threading.Thread):
    """One platform that suffers its share of the kills."""

    def __init__(self, name: str, work: Callable[[str, int], None], kills: int) -> None:
        super().__init__(name=name, daemon=True)
        self._work, self._kills = work, kills
        self.broken: BaseException | None = None

    def run(self) -> None:
        try:
            self._work(self.name, self._kills)
        except BaseException as error:  # told by the test
            self.broken = error


def in_lanes(work: Callable[[str, int], None]) -> None:
    """`work(name, kills)` on each lane at once; raises what the first broken one raised."""
    share, more = divmod(KILLS, LANES)
    lanes = [Lane(f"lane{number}", work, share + (number < more)) for number in range(LANES)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    for lane in lanes:
        if lane.broken is not None:
            raise lane.broken


@pytest.mark.timeout(300 + 30 * KILLS)
@pytest.mark.parametrize("part", ["agent", "nats", "platform", "web", "guardian"])
def test_killed_at_random_moments_nothing_is_lost_and_nothing_is_done_twice(
    part: str, tmp_path: Path
) -> None:
    def lane(name: str, kills: int) -> None:
        if part in ("web", "guardian"):
            kills = -(-kills // 3)  # they hold no calls
        chance = random.Random(f"{SEED} {part} {name}")
        with BusyLine() as line:
            victim = Victim(tmp_path / name)
            try:
                with under_load(victim, line) as streams:
                    for _ in range(kills):
                        wait_for_more(streams)
                        time.sleep(chance.uniform(0.0, 0.8))
                        kill(victim, part, line)
                    wait_for_more(streams)
                judge(victim, line, streams)
            finally:
                victim.served.end()

    in_lanes(lane)


def start_again(database: postgresql.PostgreSql) -> None:
    """Not before the last of its processes has noticed that the first is gone."""
    deadline = time.monotonic() + 30
    while True:
        time.sleep(0.2)
        try:
            database.start()
        except RuntimeError:
            assert time.monotonic() < deadline
        else:
            return


@pytest.mark.timeout(300 + 30 * KILLS)
def test_a_killed_postgresql_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    postgresql.require()

    def lane(name: str, kills: int) -> None:
        chance = random.Random(f"{SEED} postgresql {name}")
        database = postgresql.PostgreSql(durable=True).start()
        try:
            with BusyLine() as line:
                victim = Victim(tmp_path / name, "--database", database.create("chaos"))
                try:
                    with under_load(victim, line) as streams:
                        for _ in range(kills):
                            wait_for_more(streams)
                            time.sleep(chance.uniform(0.0, 0.8))
                            database.kill()
                            start_again(database)
                        wait_for_more(streams)
                    judge(victim, line, streams)
                finally:
                    victim.served.end()
        finally:
            database.close()

    in_lanes(lane)
