"""An agent and the platform: signs of life, orders to stop, and the account of an agent at the broker."""

from __future__ import annotations

import msgspec

from callwright.dispatch.messages.monitors import Slot
from callwright.dispatch.messages.protocol import PROTOCOL
from callwright.dispatch.messages.runs import Ticket


class HeldRun(msgspec.Struct, frozen=True):
    """A run that an agent has: `phase` is running, or spooled (done, waiting to be acknowledged)."""

    run_id: int
    attempt: int
    phase: str = "running"


class SpoolState(msgspec.Struct, frozen=True):
    """What waits at an agent for the platform: `octets` of evidence, of `limit` (0: none), of so many `runs`;
    `dropped`: files that went for want of room since the agent began."""

    octets: int = 0
    limit: int = 0
    runs: int = 0
    dropped: int = 0


class Heartbeat(msgspec.Struct, frozen=True):
    """An agent is alive and holds these runs. `capacity` and `used` count calls at once."""

    name: str = ""
    version: str = ""
    capacity: int = 0
    used: int = 0
    codecs: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    runs: tuple[HeldRun, ...] = ()
    spool: SpoolState | None = None
    protocol: int = PROTOCOL


class StopOrder(msgspec.Struct, frozen=True):
    """`reason` is a sentence: "Stopped by alice."."""

    run_id: int
    attempt: int
    reason: str


class Orders(msgspec.Struct, frozen=True):
    """What an agent is to do; the answer to an Ask. Leases are renewed for all runs that are not among
    `stop`. `revoked`: this agent is one no more. `killed`: the kill switch is engaged, by whom ends a
    sentence; empty: it is not."""

    lease_seconds: float = 15.0
    stop: tuple[StopOrder, ...] = ()
    draining: bool = False
    revoked: bool = False
    killed: str = ""


class HeartbeatAnswer(Orders, frozen=True, kw_only=True):
    """`ask_token`: what the agent shows when it asks over HTTP. `plan`: the revision of the agent's plan of
    monitors; None: it has none. `now`: unix seconds at the platform."""

    ask_token: str
    protocol: int = PROTOCOL
    plan: int | None = None
    now: float | None = None

    def __repr__(self) -> str:
        return f"HeartbeatAnswer(stop={self.stop!r}, killed={self.killed!r}, …)"


class Ask(msgspec.Struct, frozen=True):
    """The second way beside the broker, over HTTP: what may I do? `runs` are those that are carried out now:
    of all others it has no calls any more. Answered by Orders."""

    agent_id: str
    token: str
    runs: tuple[HeldRun, ...] = ()

    def __repr__(self) -> str:
        return f"Ask(agent_id={self.agent_id!r}, runs={self.runs!r}, …)"


class Control(msgspec.Struct, frozen=True):
    """Platform to one agent, at once; what is lost of it comes again with the next heartbeat's answer, except
    `probe`: slots of monitors to be measured now, beside the plan; and `offer`: runs that this agent was
    chosen for and may claim, made again while they wait. `plan`: as in a HeartbeatAnswer."""

    stop: tuple[StopOrder, ...] = ()
    draining: bool | None = None
    revoked: bool = False
    plan: int | None = None
    probe: tuple[Slot, ...] = ()
    offer: tuple[Ticket, ...] = ()


class Kill(msgspec.Struct, frozen=True):
    """`reason` ends a sentence."""

    reason: str = "by the kill switch"


class Word(msgspec.Struct, frozen=True):
    """What the supervisor tells its embedded agent, a line of JSON each. `killed` as in a HeartbeatAnswer."""

    killed: str = ""


class AccountRequest(msgspec.Struct, frozen=True):
    """Make the broker's account for a new agent. `revoke`: take it away instead."""

    agent_id: str
    pool: str
    revoke: bool = False


class AccountAnswer(msgspec.Struct, frozen=True):
    """`reason` is a sentence when there is no account. `password` empty: it is the agent's secret. `callout`:
    the broker asks the platform each time, which may be away. `ca`, `websocket_ca`: PEM texts to trust at
    the two addresses; None: the system's authorities."""

    nats_url: str = ""
    websocket_url: str = ""
    websocket_ca: str | None = None
    user: str = ""
    password: str = ""
    ca: str | None = None
    reason: str = ""
    callout: bool = False

    def __repr__(self) -> str:
        return f"AccountAnswer(user={self.user!r}, reason={self.reason!r}, …)"
