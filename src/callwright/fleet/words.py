"""What the planner decided, as a sentence for the Fleet page, the log and the terminal."""

from __future__ import annotations

from callwright.fleet.plan import Bound, Cause, Decision

__all__ = ["counted", "sentence", "why_not"]

_WHY_NOT = {
    Bound.PAUSED: "the fleet is paused",
    Bound.SPENDING: "the bound of servers made in an hour is reached",
    Bound.BACK_OFF: "the provider failed, and is asked again later",
    Bound.OUT_OF_STOCK: "the provider has no size in stock",
}


def counted(number: int, noun: str) -> str:
    """``3 servers``, ``1 server``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def sentence(decision: Decision) -> str:
    """``started 2: 37 calls waiting, 20 places free, buffer 10``. Empty when nothing is wanted."""
    said: list[str] = []
    if decision.create:
        said.append(f"started {decision.create}: {_need(decision)}")
    if decision.short:
        needed = "" if decision.create else f" ({_need(decision)})"
        said.append(f"did not start {decision.short}{needed}: {why_not(decision.bound, decision.maximum)}")
    if decision.retire:
        said.append(f"retired {len(decision.retire)}: {_spare(decision)}")
    if decision.reap:
        said.append(f"destroyed {counted(len(decision.reap), 'errored server')}")
    return "; ".join(said)


def _need(decision: Decision) -> str:
    if decision.cause is Cause.MINIMUM:
        return f"{counted(decision.active, 'server')}, minimum {decision.minimum}"
    facts = []
    if decision.waiting:
        facts.append(f"{counted(decision.waiting, 'call')} waiting")
    facts.append(f"{counted(max(0, decision.free), 'place')} free")
    if decision.coming:
        facts.append(f"{counted(decision.coming, 'server')} on the way")
    if decision.buffer:
        facts.append(f"buffer {decision.buffer}")
    return ", ".join(facts)


def why_not(bound: Bound | None, maximum: int) -> str:
    """What keeps a pool with this maximum from making a server; empty when nothing does."""
    if bound is Bound.MAXIMUM:
        return f"the pool's maximum is {maximum}"
    return _WHY_NOT[bound] if bound is not None else ""


def _spare(decision: Decision) -> str:
    if decision.cause is Cause.REMOVED:
        return "the pool is being removed"
    if decision.cause is Cause.ABOVE_MAXIMUM:
        return f"{counted(decision.active, 'server')}, maximum {decision.maximum}"
    facts = [f"{counted(decision.free, 'place')} free"]
    if decision.buffer:
        facts.append(f"buffer {decision.buffer}")
    if decision.minimum:
        facts.append(f"minimum {decision.minimum}")
    return ", ".join(facts)
