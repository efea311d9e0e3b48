"""A platform that is killed between a change and the delivery of its message delivers it after a restart."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from pathlib import Path

from callwright.control.notifications.delivery import Delivery
from callwright.control.services import Services
from callwright.net.clock import SystemClock
from callwright.net.entropy import system_entropy

#: Makes a channel, writes one message and commits; begins to write another, and is killed.
_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from callwright.control.accounts.model import PLATFORM
from callwright.control.services import Services
from callwright.net.clock import SystemClock
from callwright.net.entropy import system_entropy

async def work():
    services = await Services.open(
        Path(sys.argv[1]), clock=SystemClock(), entropy=system_entropy, migrate=True
    )
    await services.projects.create(PLATFORM, "office")
    hook = {"name": "ops", "url": "https://hooks.example.com/"}
    channel, _ = await services.notifications.create(PLATFORM, hook, kind="webhook", project="office")
    await services.notifications.try_out(PLATFORM, channel)
    async with services.audit.change():
        await services.notifications.try_out(PLATFORM, channel)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(work())
"""


async def test_what_was_committed_is_delivered_after_the_restart_and_the_rest_never_was(
    tmp_path: Path,
) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _KILLED, str(tmp_path / "data"))
    assert await process.wait() == -signal.SIGKILL
    got: list[str] = []

    class Receiver:
        async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
            got.append(headers["webhook-id"])
            return 200

    services = await Services.open(tmp_path / "data", clock=SystemClock(), entropy=system_entropy)
    try:
        delivery = Delivery(
            services.stores.notifications,
            services.vault,
            Receiver(),
            audit=services.audit,
            clock=services.clock,
            entropy=services.entropy,
        )
        await delivery.once()
        await delivery.once()
    finally:
        await services.close()
    with sqlite3.connect(tmp_path / "data" / "callwright.db") as connection:
        rows = connection.execute("SELECT uid, state FROM notification_messages").fetchall()
    connection.close()
    assert rows == [(got[0], "delivered")]
    assert len(got) == 1
