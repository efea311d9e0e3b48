"""The small ticket that goes round: what it finds, and what is done about it."""

from __future__ import annotations

import pytest

from callwright.control.keeping.rounds import POOL, Rounds
from callwright.dispatch.broker import Unavailable
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.subject import pool_token


class Lossy(MemoryBroker):
    """Loses what is put into its queues until it is mended by one of the two ways."""

    def __init__(self, mended_by: str = "") -> None:
        super().__init__()
        self.mended_by, self.done = mended_by, [""]
        self.opened: list[str] = []

    @property
    def whole(self) -> bool:
        return self.mended_by in self.done

    async def open_queue(self, pool: str) -> None:
        self.opened.append(pool)
        await super().open_queue(pool)

    async def enqueue(self, pool: str, key: str, data: bytes) -> None:
        if not self.whole:
            raise Unavailable("the store is lost")
        await super().enqueue(pool, key, data)

    async def renew_queues(self) -> None:
        self.done.append("renewed")

    async def restart(self) -> None:
        self.done.append("restarted")


def rounds(broker: Lossy, *, ours: bool = True) -> Rounds:
    async def pools() -> list[str]:
        return ["lab", "default"]

    return Rounds(
        broker,
        pools,
        renewed=lambda: broker.done.append("told"),
        restart=broker.restart if ours else None,
        now=lambda: 0.0,
    )


async def test_what_comes_back_is_health_and_every_pool_that_is_served_has_its_queue() -> None:
    broker = Lossy()
    going = rounds(broker)
    assert going.missing == "no ticket has gone round yet"
    await going.once()
    assert going.missing == ""
    assert broker.opened == [POOL, "lab", "default"]
    assert pool_token(POOL).startswith("x-"), "nobody can have a pool of that name"


async def test_what_does_not_come_back_is_told_and_the_queues_are_made_anew() -> None:
    broker = Lossy("renewed")
    going = rounds(broker)
    await going.once()
    assert going.missing == "tickets do not go round in NATS; the keeper mends it"
    assert broker.done == ["", "renewed", "told"]
    await going.once()
    assert going.missing == ""


@pytest.mark.parametrize("ours", [True, False])
async def test_where_that_does_not_help_our_own_server_is_started_again(ours: bool) -> None:
    broker = Lossy("restarted")
    going = rounds(broker, ours=ours)
    for _ in range(4):
        await going.once()
    assert ("restarted" in broker.done) is ours
    assert (going.missing == "") is ours
