"""What a run is doing, told as it happens: call states, and each second of audio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from callwright.agent.runner import Runner
from callwright.net.clock import SystemClock
from callwright.outcome.call import Second
from callwright.outcome.plain import plain
from callwright.scenario import event

Report = Callable[[str, dict[str, Any]], None]
"""kind, data: as `dispatch.messages.live.Progress` has them."""

MOST_CALLS = 20
"""Calls whose seconds are told; of more, nobody could watch each."""


def told(what: event.Event) -> tuple[str, dict[str, Any]] | None:
    """An event of the interpreter as (kind, data), None when nobody needs it."""
    match what:
        case event.CallStateChanged(id=id_, state=state, code=code):
            return "state", {"call": id_, "state": state.value, "code": code}
        case event.CallArrived(id=id_, party=party):
            return "state", {"call": id_, "state": "incoming", "code": None, "party": party}
        case event.CallFinished(id=id_, outcome=outcome):
            return "finished", {"call": id_, "sip_code": outcome.sip_code, "mos": outcome.received.mos}
        case event.RegistrationDone(id=id_, outcome=done):
            return "registration", {"id": id_, "registered": done.failure is None}
        case event.RequestDone(id=id_, outcome=answered):
            return "request", {"id": id_, "sip_code": answered.sip_code}
        case event.LoadTold(id=id_, figures=figures):
            return "load", {"load": id_, **figures}
        case event.ActionFailed(address=address, detail=detail):
            return "note", {"text": f"{address}: {detail}"}
        case _:
            return None


async def tell_seconds(runner: Runner, report: Report) -> None:
    """Once a second, until it is canceled: the second, and all states again for who began to watch late."""
    clock = SystemClock()
    while True:
        await asyncio.sleep(1.0)
        calls = []
        if runner.calls:
            report("states", {"calls": _states(runner, clock.now())})
        for id_, call in list(runner.calls.items())[:MOST_CALLS]:
            second = await call.last_second()
            if second is not None:
                calls.append({"call": id_, "party": call.party, **_figures(second)})
        if calls:
            report("metrics", {"calls": calls})


def _states(runner: Runner, now: float) -> list[dict[str, Any]]:
    """`ago`: seconds since the call began, which its states count from."""
    return [
        {
            "call": id_,
            "party": call.party,
            "ago": now - call.facts.started,
            "states": [[reached.at, reached.state.value, reached.code] for reached in call.facts.states],
        }
        for id_, call in list(runner.calls.items())[:MOST_CALLS]
    ]


def _figures(second: Second) -> dict[str, Any]:
    figures: dict[str, Any] = plain(second)
    return figures
