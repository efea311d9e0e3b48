"""SIGKILL of whoever holds calls, from the command line: soon after none is up at the far end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from callwright.net.ports import free_udp_port
from callwright.outcome.call import CallOutcome, StateReached
from callwright.outcome.terms import EndedBy
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.sip.transport import Transport
from tests.chaos.busy_line import BusyLine
from tests.kit.served import environment

pytestmark = pytest.mark.chaos

UP_AT_MOST = 5.0
PATIENCE = 60.0
GUARDIAN = b"callwright.host.guardian"


@contextlib.contextmanager
def callwright(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "callwright", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if "--json" in arguments else subprocess.DEVNULL,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until_up(line: BusyLine, count: int) -> list[str]:
    deadline = time.monotonic() + PATIENCE
    while len(line.up) < count:
        assert time.monotonic() < deadline, "no call is up"
        time.sleep(0.02)
    return list(line.up)


def children(pid: int) -> list[int]:
    """Of all its threads, in order: each thread has a list of its own (proc(5))."""
    found = [task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    return sorted(int(child) for some in found for child in some)


def of_kind(pids: list[int], needle: bytes) -> list[int]:
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids if Path(f"/proc/{pid}").exists()}
    return [pid for pid, text in lines.items() if needle in text]


def has_lent(guardian: int) -> bool:
    """Whether a guardian has a socket besides its line, which it has twice: that of the call came."""
    sockets = 0
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{guardian}/fd").iterdir():
            with contextlib.suppress(OSError):
                sockets += os.readlink(entry).startswith("socket:")
    return sockets > 2


@pytest.mark.parametrize("number", ["answer-1", "ring-1"])
def test_a_killed_call_is_ended_answered_or_not(number: str) -> None:
    with BusyLine() as line:
        destination = f"sip:{number}@127.0.0.1:{line.port}"
        with callwright("call", destination, "--for", "60") as process:
            up = until_up(line, 1)
            process.kill()
            assert line.left_up(up, time.monotonic(), UP_AT_MOST) == {}


@pytest.mark.parametrize("more", [(), ("--cores", "2")])
def test_no_call_of_a_killed_load_is_left_up(more: tuple[str, ...]) -> None:
    with BusyLine() as line:
        destination = f"sip:answer-1@127.0.0.1:{line.port}"
        with callwright(
            "load", destination, "--rate", "40", "--calls", "4000", "--hold", "100", *more
        ) as load:
            up = until_up(line, 50)
            load.kill()
            since = time.monotonic()
            assert line.left_up(up, since, UP_AT_MOST) == {}
            assert line.left_up(list(line.up), time.monotonic(), UP_AT_MOST) == {}, (
                "placed while it was killed"
            )


@pytest.mark.parametrize("cores", ["1", "2"])
def test_a_load_that_is_left_at_once_leaves_no_call_up(cores: str) -> None:
    """Ctrl-C twice: it does not wait for its calls, the guardian does."""
    with BusyLine() as line:
        destination = f"sip:answer-1@127.0.0.1:{line.port}"
        placing = ("--rate", "40", "--calls", "4000", "--hold", "100", "--cores", cores)
        with callwright("load", destination, *placing) as load:
            until_up(line, 40)
            for _ in range(2):
                load.send_signal(signal.SIGINT)
                time.sleep(0.02)
            since = time.monotonic()
            assert load.wait(PATIENCE) == 130
            assert line.left_up(list(line.up), since, UP_AT_MOST) == {}


@pytest.mark.parametrize("guardian_too", [False, True])
def test_no_call_is_left_up_when_one_process_of_a_load_is_killed(guardian_too: bool) -> None:
    """A guardian ends its calls, the load those of the others, and says that it counted no further."""
    with BusyLine() as line:
        destination = f"sip:answer-1@127.0.0.1:{line.port}"
        placing = ("--rate", "40", "--calls", "4000", "--hold", "100", "--cores", "3", "--json")
        with callwright("load", destination, *placing) as load:
            until_up(line, 60)
            loops = [pid for pid in children(load.pid) if not of_kind([pid], GUARDIAN)]
            assert len(loops) == 3
            for guardian in of_kind(children(load.pid), GUARDIAN) if guardian_too else ():
                os.kill(guardian, signal.SIGKILL)
            os.kill(loops[1], signal.SIGKILL)
            since = time.monotonic()
            assert line.left_up(list(line.up), since, UP_AT_MOST) == {}
            said, _ = load.communicate(timeout=PATIENCE)
            assert line.left_up(list(line.up), time.monotonic(), UP_AT_MOST) == {}, "placed after it"
        assert load.returncode == 3
        told = json.loads(said)
        assert (told["verdict"], told["blame"], told["exit_code"]) == ("error", "platform", 3)
        assert told["reason"].startswith("a load process has died (number ")
        (lost,) = told["generator"]["lost_processes"]
        counted = told["answered"] + told["canceled"] + told["failed"]
        assert 0 < counted <= told["attempted"] <= len(line.placed)
        assert counted + lost["calls_open"] <= len(line.placed), "no end is told that nobody counted"


def test_a_guardian_that_is_killed_is_replaced_and_knows_the_calls() -> None:
    with BusyLine() as line:
        destination = f"sip:answer-1@127.0.0.1:{line.port}"
        with callwright("call", destination, "--for", "60") as process:
            up = until_up(line, 1)
            (guardian,) = of_kind(children(process.pid), GUARDIAN)
            os.kill(guardian, signal.SIGKILL)
            deadline = time.monotonic() + PATIENCE
            while not any(
                has_lent(pid) for pid in of_kind(children(process.pid), GUARDIAN) if pid != guardian
            ):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            time.sleep(0.2)  # what ends the call follows the socket at once
            process.kill()
            assert line.left_up(up, time.monotonic(), UP_AT_MOST) == {}


SILENT = MediaPlan(enabled=False)
RINGS_ON = 100.0


def phone(user: str, transport: Transport = Transport.UDP) -> Phone:
    return Phone(PhoneConfig(bind="127.0.0.1", user=user, transport=transport))


async def registered(bob: Phone, uri: str) -> None:
    """As soon as the PBX is there."""
    async with asyncio.timeout(PATIENCE):
        while not await bob.register(uri, account=Account("1002", "b")).first:
            await asyncio.sleep(0.1)


def _mark(wanted: str, reached: asyncio.Event, _: object, at: StateReached) -> None:
    if at.state.value == wanted:
        reached.set()


async def is_up(caller: Phone, plan: CallPlan, wanted: str) -> asyncio.Future[CallOutcome]:
    """The end of a call that has got so far, placed again until somebody is there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            reached, placed = asyncio.Event(), caller.call(plan)
            placed.listeners.append(partial(_mark, wanted, reached))
            waiting = asyncio.ensure_future(reached.wait())
            await asyncio.wait((waiting, placed.finished), return_when=asyncio.FIRST_COMPLETED)
            if reached.is_set():
                return placed.finished
            waiting.cancel()
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("state", "transport"),
    [("ringing", Transport.UDP), ("answered", Transport.UDP), ("answered", Transport.TCP)],
)
async def test_both_phones_get_the_end_of_a_call_whose_pbx_is_killed(
    state: str, transport: Transport
) -> None:
    port = free_udp_port("127.0.0.1")
    uri = f"sip:127.0.0.1:{port}"
    accounts = ("--account", "1001:a", "--account", "1002:b")
    ended: list[asyncio.Future[CallOutcome]] = []
    with callwright("pbx", "--listen", f"127.0.0.1:{port}", *accounts) as pbx:
        async with phone("1001", transport) as alice, phone("1002", transport) as bob:
            bob.on_call = lambda _: AnswerPlan(SILENT, answer_after=RINGS_ON * (state == "ringing"))
            bob.on_incoming = lambda call: ended.append(call.finished)
            await registered(bob, uri)
            plan = CallPlan(f"sip:1002@127.0.0.1:{port}", SILENT, account=Account("1001", "a"), talk_for=100)
            finished = await is_up(alice, plan, state)
            pbx.kill()
            async with asyncio.timeout(UP_AT_MOST):
                outcomes = await asyncio.gather(finished, *ended)
    assert len(outcomes) == 2
    assert {outcome.ended_by for outcome in outcomes} == {EndedBy.REMOTE}


@pytest.mark.parametrize("state", ["ringing", "answered"])
async def test_the_caller_gets_the_end_of_a_call_whose_answerer_is_killed(state: str) -> None:
    port = free_udp_port("127.0.0.1")
    after = str(RINGS_ON * (state == "ringing"))
    with callwright("answer", "--listen", f"127.0.0.1:{port}", "--no-media", "--after", after) as answer:
        async with phone("1001") as alice:
            plan = CallPlan(f"sip:1002@127.0.0.1:{port}", SILENT, talk_for=100)
            finished = await is_up(alice, plan, state)
            answer.kill()
            async with asyncio.timeout(UP_AT_MOST):
                outcome = await finished
    assert outcome.ended_by is EndedBy.REMOTE
