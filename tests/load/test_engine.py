"""A load of one second or less tells its calls as a longer one does."""

from __future__ import annotations

import time

from callwright.load.engine import Engine
from callwright.load.plan import make_plan
from callwright.load.preparation import Wishes, loop_configs
from callwright.load.worker import make_workers
from callwright.net.ports import free_udp_port


def test_calls_that_failed_in_the_last_part_of_a_second_are_among_the_worst() -> None:
    """Nobody listens there: each call is refused at once, long before the first second is full."""
    uri = f"sip:x@127.0.0.1:{free_udp_port('127.0.0.1')}"
    configs, _ = loop_configs(Wishes(uri=uri, calls=3, ladders=2))
    workers = make_workers(configs)
    try:
        engine = Engine(
            workers, make_plan(rate=100.0, calls=3), now=time.monotonic, pause=time.sleep, ladders=2
        )
        result = engine.run()
    finally:
        for worker in workers:
            worker.close()
    assert result.total["attempted"] == result.total["refused"] == 3
    assert len(result.worst) == 3
    assert [[message.sent for message in ladder.messages] for ladder in result.ladders] == [[True], [True]]
