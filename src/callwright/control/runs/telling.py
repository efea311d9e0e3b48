"""What channels are told of runs, written in the transaction that ends them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from callwright.control.notifications.model import Channel
from callwright.control.notifications.outbox import Outbox
from callwright.control.runs.model import Run
from callwright.control.runs.store import RunStore
from callwright.control.runs.transitions import Phase

__all__ = ["RunTeller"]


class RunTeller:
    def __init__(self, outbox: Outbox, runs: RunStore) -> None:
        self._outbox, self._runs = outbox, runs

    async def tell(self, runs: Sequence[Run]) -> None:
        """Runs that have just ended. Runs without a judgement of their target are in no row."""
        for run in runs:
            if run.phase == Phase.CANCELED:
                continue
            listening = [one for one in await self._outbox.listening(run.project_id) if _of_runs(one)]
            listening = [one for one in listening if not one.tests or run.test_name in one.tests]
            if not listening:
                continue
            longest = max(one.after for one in listening)
            before = await self._runs.judged_before(run, longest)
            in_a_row = len(list(takewhile(lambda phase: phase == Phase.FAILED, before)))
            told: dict[str, list[Channel]] = {}
            for channel in listening:
                event = _event(channel, Phase(run.phase), in_a_row)
                if event is not None:
                    told.setdefault(event, []).append(channel)
            for event, channels in told.items():
                data = self._data(run, in_a_row)
                await self._outbox.write(event, data, at=run.stopped_at or run.created_at, channels=channels)

    def _data(self, run: Run, failed_before: int) -> dict[str, Any]:
        """As the status of a run has them."""
        failed = run.phase == Phase.FAILED
        return {
            "session_id": run.session_id,
            "test_id": run.test_id,
            "test_name": run.test_name,
            "testcase_name": run.testcase_name,
            "project_id": run.project_id,
            "project_name": run.project_name,
            "phase": run.phase,
            "blame": run.blame,
            "result_description": run.result_description,
            "mos": run.mos,
            "tags": list(run.tags),
            "in_a_row": failed_before + 1 if failed else 0,
            "started_at": run.started_at,
            "stopped_at": run.stopped_at,
            "link": self._outbox.link(f"/run/details/{run.session_id}"),
        }


def _of_runs(channel: Channel) -> bool:
    return any(event.startswith("run.") for event in channel.events)


def _event(channel: Channel, phase: Phase, failed_before: int) -> str | None:
    """What the channel is told, one message at most. ``failed_before``: runs in a row before this one."""
    events = channel.events
    if phase is Phase.FAILED:
        if "run.failing" in events and failed_before + 1 == channel.after:
            return "run.failing"
        return "run.failed" if "run.failed" in events else None
    if phase is Phase.PASSED:
        # Whoever was told nothing of the failures needs not hear that they are over.
        needed = channel.after if "run.failing" in events and "run.failed" not in events else 1
        return "run.recovered" if "run.recovered" in events and failed_before >= needed else None
    return "run.error" if "run.error" in events else None
