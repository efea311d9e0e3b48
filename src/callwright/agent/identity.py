"""Who an agent is: what enrolment gave it, in a file that only its owner reads.

`<data>/agent.json`, a JSON object:

    agent_id       text     as the platform knows it
    name, pool     text
    nats_url       text     nats://host:port or tls://host:port
    websocket_url  text     wss://host:port/path, the other way to the same broker; "": there is none
    transport      text     auto (TCP, else WebSocket), tcp or websocket
    user, password text     its account at the broker
    ca             text|null  PEM of the authority to trust; null: the system's
    websocket_ca   text|null  the same, at websocket_url
    callout        boolean  the broker asks the platform at each login; a refusal may mean that it is away
    lease_seconds  number
    capacity       integer  calls at once
    labels         object   of texts
    platform_url   text     where it was enrolled, and asks beside the broker; "": it does not
    platform_ca    text|null  PEM of the authority to trust there; null: the system's

Whoever writes it by hand or program (`serve` does for its embedded agent) may leave out what has a default.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

Transport = Literal["auto", "tcp", "websocket"]
FILE = "agent.json"


class IdentityError(ValueError):
    """The file is not there or cannot be used; the text is a sentence."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    agent_id: str
    pool: str
    nats_url: str
    user: str
    password: str
    websocket_url: str = ""
    websocket_ca: str | None = None
    transport: Transport = "auto"
    callout: bool = False
    name: str = "agent"
    ca: str | None = None
    lease_seconds: float = 15.0
    capacity: int = 50
    labels: dict[str, str] = {}
    platform_url: str = ""
    platform_ca: str | None = None

    def __repr__(self) -> str:
        return f"Identity(agent_id={self.agent_id!r}, pool={self.pool!r}, nats_url={self.nats_url!r}, …)"


def read_identity(data: Path) -> Identity:
    """Raises IdentityError."""
    path = data / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Identity)
    except FileNotFoundError:
        raise IdentityError(f"{path} does not exist: this agent was not enrolled") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise IdentityError(f"{path} cannot be used: {error}") from None


def write_identity(data: Path, identity: Identity) -> None:
    """Whole or not at all, readable by the owner alone. Raises OSError."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = data / f".{FILE}.part"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(identity)) + b"\n")
        out.flush()
        os.fsync(out.fileno())
    os.replace(draft, data / FILE)
