"""Monitors, from the platform to an agent, and their readings on the way back.

The platform plans and the agent holds the plan. Each `HeartbeatAnswer` names the revision of the plan; an
agent that holds another asks for it, page by page, and keeps probing by the old one until it has the new one
whole. Slots are planned by the platform's clock, which heartbeats tell too, so that an agent with a wrong
clock still probes in time.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from callwright.dispatch.messages.runs import JobPolicy

SHORTEST_INTERVAL, LONGEST_INTERVAL = 10, 86_400
"""Seconds between two slots of a monitor."""
MONITORS_IN_PAGE = 500
"""Monitors in one page of a plan at most: what fits into a message of the broker."""
READINGS_IN_BATCH = 500


class Monitor(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one agent measures again and again: one server testing one endpoint.

    Its slots are the unix seconds `n * interval + int(phase)`; a slot's start is `n * interval + phase`.
    `category`: ping, sip, udp, call, register or dns. `target`: a host for ping and udp, a host or a SIP URI
    for sip and call, a registrar for register, a name for dns. `port` None: the category's own.
    `packets` and `interpacket_ms` shape the train of ping and udp. `codec`: what the E-model assumes.
    `transport`: udp, tcp or tls. `seconds`: how long a call lasts. `credentials`: user, password, domain.
    `options`: what else a category takes. `policy` None: the one of the plan. May hold secrets: never logged,
    never written to a disk by an agent.
    """

    monitor_id: int
    category: str
    target: str
    interval: int
    phase: float = 0.0
    port: int | None = None
    packets: int = 25
    interpacket_ms: float = 100.0
    codec: str = "g711"
    transport: str = "udp"
    seconds: float = 10.0
    credentials: dict[str, str] = {}
    options: dict[str, Any] = {}
    policy: JobPolicy | None = None

    def __repr__(self) -> str:
        return f"Monitor(monitor_id={self.monitor_id}, category={self.category!r}, …)"


class PlanRequest(msgspec.Struct, frozen=True):
    """On `cw.agent.<id>.plan`: the monitors of this agent with ids above `after`, in order of their ids."""

    after: int = 0


class Plan(msgspec.Struct, frozen=True):
    """A page of the plan. An agent has the whole when `more` is false; a page of another `revision` than the
    first makes it begin again. `policy`: where the monitors of the page may go; it stands here once, since
    targets are many."""

    revision: int
    monitors: tuple[Monitor, ...] = ()
    more: bool = False
    policy: JobPolicy = JobPolicy()


class Slot(msgspec.Struct, frozen=True):
    """One measurement of one monitor. `slot`: unix seconds."""

    monitor_id: int
    slot: int


class Reading(msgspec.Struct, frozen=True):
    """What came of one slot of a monitor. The pair (`monitor_id`, `slot`) is its identity: the platform keeps
    the first reading of a pair and answers a repeated one as if it were new.

    `slot`: unix seconds of the planned start. `state`: done (measured), failed (no answer, or a refusal),
    missed (not run; `reason` says why) or unknown (begun, and nobody knows what came of it). `at`: unix
    seconds of the actual start by the platform's clock, None: there was none. `verdict`: passed, failed, or
    invalid when the agent itself spoilt the measurement; empty for missed and unknown. `figures`: name to
    value, in the words and units of a call's quality; null is unknown.
    """

    monitor_id: int
    slot: int
    state: str
    at: float | None = None
    reason: str = ""
    figures: dict[str, Any] = {}
    verdict: str = ""


class Readings(msgspec.Struct, frozen=True):
    """A batch on `cw.agent.<id>.readings`, at most `READINGS_IN_BATCH`, accepted whole or not at all; a
    reading of a monitor that is gone is accepted and dropped. Answered by a `wire.Answer`, and repeated until
    it is."""

    readings: tuple[Reading, ...]


def phase_of(monitor_id: int, interval: int) -> float:
    """Where in its interval a monitor starts, seconds: the same for ever, and spread evenly over monitors."""
    drawn = int.from_bytes(hashlib.blake2b(b"%d" % monitor_id, digest_size=8).digest(), "big")
    return round(drawn / 2**64 * interval, 3) % interval
