"""What ends a command: the first signal in order, a second one at once, its echo not at all."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from callwright.host import signals


def told(*pauses: float) -> str:
    """Sends SIGTERM, and again after each pause; says how the work ended."""

    async def work(stop: asyncio.Event) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        for pause in pauses:
            await asyncio.sleep(pause)
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.01)
        return "in order"

    return signals.run_async(work)


def test_a_signal_sent_to_process_and_group_is_one_signal() -> None:
    assert told(0.0) == "in order"


def test_a_second_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SAME_SIGNAL", 0.0)
    with pytest.raises(KeyboardInterrupt):
        told(0.0)


def test_a_second_signal_just_as_the_work_ends_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SAME_SIGNAL", 0.0)

    async def work(stop: asyncio.Event) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGTERM)  # read by the loop after this returns
        return "done"

    assert signals.run_async(work) == "done"
