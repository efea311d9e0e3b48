"""What a run that is queued waits for, as a value and in words.

Of several reasons the one is told that a person can do something about first: no agent before no free place,
and a free place before its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from callwright.control.agents.model import Agent, AgentState
from callwright.control.runs.model import Run, Waiting
from callwright.control.servers.sites import Sites
from callwright.control.services import Services
from callwright.fleet.placement import Awaits, Choice, Site, Wish, choose
from callwright.fleet.words import counted

__all__ = ["Awaited", "Reason", "awaited", "sentence"]


class Reason(StrEnum):
    AGENT = "agent"  # none is in the pool
    HEARD = "heard"  # none of them is heard
    DRAINED = "drained"  # those that are heard take no new work
    PROJECT = "project"  # its project has as many runs as it may have
    PLACE = "place"  # all places for calls are busy
    TURN = "turn"  # other runs come first
    TAKEN = "taken"  # nothing but an agent's claim
    SERVERS = "servers"  # those that it asked for by region, labels, place or number


_ANY, _NONE = Wish(), Choice()


@dataclass(frozen=True, slots=True)
class Awaited:
    """``agents``: of the pool that matter for the reason. ``busy`` of ``places``: calls at once of those that
    take work. ``limit``: runs of the project at once. ``ahead``: runs that come first. ``wish`` and
    ``choice``: of a run that asked for servers."""

    reason: Reason
    pool: str
    agents: int = 0
    busy: int = 0
    places: int = 0
    limit: int = 0
    ahead: int = 0
    seconds: float = 0.0
    wish: Wish = _ANY
    choice: Choice = _NONE


def judge_placed(run: Run, sites: Sequence[Site], *, begun: int, limit: int | None, held: int) -> Awaited:
    """As `judge`, of a run that asks for servers. ``sites``: those that its project may use, without those
    that have a part of it; ``begun``: how many have one."""
    wish = msgspec.structs.replace(run.placement, count=max(1, run.placement.count - begun))
    choice = choose(wish, sites)
    if choice.servers and limit is not None and held + wish.count > limit:
        return Awaited(Reason.PROJECT, run.pool, limit=limit)
    return Awaited(Reason.SERVERS, run.pool, wish=wish, choice=choice)


def judge(
    run: Run,
    agents: Sequence[Agent],
    waiting: Waiting,
    *,
    wall: float,
    patience: float,
    limit: int | None,
    held: int,
) -> Awaited:
    """``agents``: of all pools; ``patience``: seconds within which an agent that lives is heard; ``limit``:
    runs of the project that agents may have at once, None for any number; ``held``: those that they have."""
    here = [agent for agent in agents if agent.pool == run.pool and agent.state != AgentState.REVOKED]
    heard = [agent for agent in here if agent.alive(wall, patience)]
    able = [agent for agent in heard if agent.state == AgentState.ACTIVE]
    if not here:
        return Awaited(Reason.AGENT, run.pool)
    if not heard:
        return Awaited(Reason.HEARD, run.pool, len(here), seconds=patience)
    if not able:
        return Awaited(Reason.DRAINED, run.pool, len(heard))
    if limit is not None and held >= limit:
        return Awaited(Reason.PROJECT, run.pool, len(able), limit=limit)
    busy, places = sum(agent.busy for agent in able), sum(agent.capacity for agent in able)
    if all(agent.busy >= agent.capacity for agent in able):
        return Awaited(Reason.PLACE, run.pool, len(able), busy, places, ahead=waiting.ahead)
    reason = Reason.TURN if waiting.ahead else Reason.TAKEN
    return Awaited(reason, run.pool, len(able), busy, places, ahead=waiting.ahead)


async def awaited(services: Services, run: Run, *, patience: float = 15.0) -> Awaited | None:
    """None: it waits no more. Raises StorageUnavailable."""
    waiting = await services.runs.waiting(run)
    if waiting is None:
        return None
    limit = (await services.runs.running_limits()).get(run.project_id)
    held = 0 if limit is None else await services.stores.runs.count_held(run.project_id)
    if run.placed:
        sites = Sites(services.agents, services.servers, clock=services.clock, patience=patience)
        open_ = [
            one for one in await sites.sites() if await services.agents.may_use(one.pool, [run.project_id])
        ]
        begun = {one.agent_id for one in await services.runs.of_group(run)} - {None}
        free = [one for one in open_ if one.agent_id not in begun]
        return judge_placed(run, free, begun=len(begun), limit=limit, held=held)
    agents = await services.agents.list()
    wall = services.clock.wall()
    return judge(run, agents, waiting, wall=wall, patience=patience, limit=limit, held=held)


def sentence(what: Awaited) -> str:
    """``It waits for a free place in the pool lab: 10 of 10 are busy.``"""
    pool, agents = f"the pool {what.pool}", counted(what.agents, "agent")
    have = "has" if what.agents == 1 else "have"
    match what.reason:
        case Reason.AGENT:
            said = f"an agent of {pool}: none is enrolled there"
        case Reason.HEARD:
            said = f"an agent of {pool}: {agents} {have} not been heard for {what.seconds:g} s"
        case Reason.DRAINED:
            said = f"an agent of {pool} that takes new work: {agents} {have} been told to drain"
        case Reason.PROJECT:
            runs = counted(what.limit, "run")
            said = f"another run of its project to end: the project is limited to {runs} at once"
        case Reason.PLACE:
            said = f"a free place in {pool}: {what.busy:,} of {what.places:,} are busy"
        case Reason.TURN:
            said = f"its turn in {pool}: {counted(what.ahead, 'run')} {_be(what.ahead)} ahead of it"
        case Reason.TAKEN:
            free = f"{what.places - what.busy:,} of {what.places:,} places are free"
            said = f"an agent of {pool} to take it: {free}"
        case Reason.SERVERS:
            said = _of_servers(what.wish, what.choice)
    return f"It waits for {said}."


def _of_servers(wish: Wish, choice: Choice) -> str:
    asked = "a server" if wish.count == 1 else f"{wish.count:,} servers"
    if wish.pool:
        asked += f" of the pool {wish.pool}"
    if wish.region:
        asked += f" in the region {wish.region}"
    if wish.labels:
        asked += f" with {', '.join(f'{key}={value}' for key, value in wish.labels.items())}"
    if wish.near:
        asked += f" near {wish.near}"
    match choice.awaits:
        case None:
            return f"{asked} to take it: {choice.free:,} of {choice.fitting:,} that fit are free"
        case Awaits.SERVER if choice.nearest is not None:
            name, km = choice.nearest
            return f"{asked}: none is; the nearest, {name}, is {km:,.0f} km away"
        case Awaits.SERVER:
            return f"{asked}: no server fits"
        case Awaits.WORKING:
            have = "it is drained or not heard" if choice.fitting == 1 else "all are drained or not heard"
            return f"{asked} that takes new work: {choice.fitting:,} {_fit(choice.fitting)}, and {have}"
        case Awaits.PLACE:
            return f"a free place on {asked}: {choice.working:,} {_fit(choice.working)}, without a free place"
    return (
        f"{asked}: {choice.free:,} {_be(choice.free)} free, of {choice.fitting:,} that {_fit(choice.fitting)}"
    )


def _fit(number: int) -> str:
    return "fits" if number == 1 else "fit"


def _be(number: int) -> str:
    return "is" if number == 1 else "are"
