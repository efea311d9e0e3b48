"""Names of the ways that messages take, and who may use them.

A pool's name may hold anything a person types; as a token of a subject it holds letters, digits, - and _.
"""

from __future__ import annotations

import re

KILL = "cw.kill"
"""Platform to every agent: stop everything."""
RUNS_CHANGED = "cw.runs.changed"
"""Anybody of the platform to the keeper: a run was queued or stopped; look at the database."""
AGENTS_CHANGED = "cw.agents.changed"
"""Anybody of the platform to the keeper: an agent is to drain, or was revoked."""
SERVERS = "cw.servers.*"
"""Anybody of the platform to anybody of it: what happened to a server; `cw.servers.errored` of one kind."""
SO_FAR = "cw.platform.sofar"
"""Web workers to the keeper: what has a living run told until now."""
ACCOUNT = "cw.platform.account"
"""Web workers to the keeper: make the broker's account of a new agent."""
HEALTH = "cw.platform.health"
"""Web workers to the keeper: would a run that is queued now be carried out?"""
LEADER = "cw.platform.leader"
"""The platform that leads to the others on its database: its term."""
PBX_LINES = "cw.platform.pbx.lines"
"""Web workers to the PBX: users changed; look at the database."""
PBX_LIVE, PBX_PLACE, PBX_END = "cw.platform.pbx.live", "cw.platform.pbx.place", "cw.platform.pbx.end"
PBX_MOVE, PBX_PLAN = "cw.platform.pbx.move", "cw.platform.pbx.plan"
PBX_ANSWER, PBX_JOIN = "cw.platform.pbx.answer", "cw.platform.pbx.join"
PBX_TEXT, PBX_MAILBOX = "cw.platform.pbx.text", "cw.platform.pbx.mailbox"
PBX_RECORD = "cw.platform.pbx.record"
"""Web workers to the PBX: what is up; begin, end, transfer, answer a call, join two numbers; its numbers
and their ways; a text for a phone; messages of a mailbox that were heard or deleted."""
PBX_CALLS = "cw.platform.pbx.calls"
"""The PBX to whoever follows its calls: how each stands now."""

HEARTBEAT, CLAIM, READY, INTENT, RELEASE, RESULT, EVIDENCE, PROGRESS, CALL, PLAN, READINGS = (
    "heartbeat",
    "claim",
    "ready",
    "intent",
    "release",
    "result",
    "evidence",
    "progress",
    "call",
    "plan",
    "readings",
)
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def of_agent(agent_id: str, kind: str) -> str:
    """`cw.agent.7.claim`: from agent 7, as nobody else may publish there."""
    return f"cw.agent.{agent_id}.{kind}"


def of_agents(kind: str) -> str:
    """What the platform subscribes to, for all agents at once."""
    return f"cw.agent.*.{kind}"


def control(agent_id: str) -> str:
    """From the platform to one agent."""
    return f"cw.control.{agent_id}"


def servers(what: str) -> str:
    """What happened to a server."""
    return f"cw.servers.{what}"


def live(session_id: str) -> str:
    """What a run is doing now, for the pages that show it."""
    return f"cw.live.{session_id}"


def sender(subject: str) -> str:
    """The agent that a message on `cw.agent.<id>.<kind>` is from; the broker lets no other publish there.

    Raises ValueError for any other subject.
    """
    parts = subject.split(".")
    if len(parts) != 4 or parts[:2] != ["cw", "agent"]:
        raise ValueError(f"{subject} is not a subject of an agent")
    return parts[2]


def pool_token(pool: str) -> str:
    """A pool's name as one token of a subject; two names never share one."""
    return f"p-{pool}" if _PLAIN.fullmatch(pool) else f"x-{pool.encode().hex()}"


def matches(pattern: str, subject: str) -> bool:
    """As NATS has it: `*` is one token, `>` at the end is one or more."""
    wanted, found = pattern.split("."), subject.split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return len(found) > position
        if position >= len(found) or token not in ("*", found[position]):
            return False
    return len(wanted) == len(found)
