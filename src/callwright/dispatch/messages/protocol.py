"""The number of what agents and platform say to each other, and what is told when two numbers meet."""

from __future__ import annotations

import msgspec

PROTOCOL = 1
"""Raised by a change of the messages that the other side must know."""


class Spoken(msgspec.Struct, frozen=True):
    """The part of a heartbeat and of its answer that every number has: it is read before the rest. 0: the
    message names no number."""

    protocol: int = 0


def mismatch(agent: int, platform: int) -> str:
    """What is to be upgraded, a sentence; empty when both speak the same."""
    if agent == platform:
        return ""
    behind = "agent" if agent < platform else "platform"
    return f"The agent speaks protocol {agent} and the platform protocol {platform}: upgrade the {behind}."
