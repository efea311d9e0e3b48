"""The supervisor of `serve` and a child that is alive and does not answer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from callwright.dispatch.messages.agents import Word
from callwright.host import supervisor
from callwright.host.supervised import ProcessLine
from callwright.host.supervisor import Child, Supervisor

_LISTENS = """
import asyncio
from callwright.host.supervised import listen
asyncio.run(listen(lambda word: print(word.killed, flush=True)))
"""


async def test_a_child_that_is_alive_and_deaf_is_replaced_and_its_successor_hears(
    tmp_path: Path,
) -> None:
    fell: list[str] = []
    child = Child("ear", lambda: [sys.executable, "-c", _LISTENS], dict(os.environ), tmp_path / "ear.log")
    line = child.line = ProcessLine()

    async def hears() -> bool:
        return await line.say(Word("by a test"), 0.5)

    child.hears = hears
    heard = Supervisor(lambda _, what: fell.append(what), ask_every=0.05, answer_seconds=0.5, deaf_after=3)
    await heard.start(child)
    try:
        async with asyncio.timeout(30):
            while not await line_is_read(tmp_path / "ear.log"):
                await asyncio.sleep(0.05)
            first = child.pid
            assert first is not None
            os.kill(first, signal.SIGSTOP)
            while child.pid in (first, None):
                await asyncio.sleep(0.05)
            (tmp_path / "ear.log").write_text("")
            while not await line_is_read(tmp_path / "ear.log"):
                await asyncio.sleep(0.05)
    finally:
        await heard.stop()
    assert fell[0] == "is alive and does not answer; it is killed and restarted"
    assert fell[1].startswith("was killed by SIGKILL")


async def line_is_read(log: Path) -> bool:
    return log.is_file() and "by a test" in log.read_text()


def test_the_bounds_are_long_enough_for_a_busy_machine() -> None:
    assert supervisor.DEAF_AFTER * supervisor.ANSWER_SECONDS >= 15
