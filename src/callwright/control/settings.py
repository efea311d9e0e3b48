"""What the HTTP application must know besides its services."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """``public_url``: what people reach us by; None: the Host of each request. ``rate_limit``: requests a
    second of one key, 0 for no limit; this process's share of it. ``agent_expected``: without one nothing is
    healthy. ``lease``: seconds."""

    public_url: str | None = None
    rate_limit: float = 200.0
    agent_expected: bool = False
    lease: float = 15.0
