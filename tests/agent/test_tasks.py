from __future__ import annotations

import asyncio

from callwright.agent.tasks import canceled


async def test_a_task_that_lost_its_cancellation_is_canceled_again() -> None:
    lost = 0

    async def forgetful() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost == 2:
                    raise

    async def failing() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("on the way out")

    tasks = [asyncio.ensure_future(one()) for one in (forgetful, failing)]
    await asyncio.sleep(0)
    await asyncio.wait_for(canceled(tasks), 10)
    assert [task.done() for task in tasks] == [True, True]
    assert isinstance(tasks[1].exception(), ValueError)
