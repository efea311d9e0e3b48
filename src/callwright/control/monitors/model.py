"""Endpoints, their VoIP tests, and what came of each slot. Times are unix seconds (float)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

__all__ = [
    "PORTS",
    "Category",
    "Endpoint",
    "Figures",
    "Latest",
    "Planned",
    "SlotState",
    "StoredReading",
    "VoipTest",
]


class Category(StrEnum):
    """How an endpoint is tested."""

    PING = "ping"  # ICMP
    SIP = "sip"  # SIP OPTIONS
    UDP = "udp"  # a STAMP reflector, such as `callwright reflect`
    CALL = "call"  # a real call with media
    REGISTER = "register"  # an account registers
    DNS = "dns"  # a name is looked up


#: Where no port was given; the others have none, or that of their URI.
PORTS: Mapping[Category, int] = {Category.SIP: 5060, Category.UDP: 862}


class SlotState(StrEnum):
    DONE = "done"  # measured
    FAILED = "failed"  # nothing answered, or it was refused
    MISSED = "missed"  # not run; the reason says why
    UNKNOWN = "unknown"  # begun, and nobody knows what came of it


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A phone, a router, a trunk or a PBX. ``interval``: seconds between two slots. ``alert_threshold``: a
    MOS, None: it raises no alerts. ``uri``, ``credentials`` and ``transport`` serve the categories that
    signal."""

    id: int
    project_id: int
    name: str
    ip_address: str
    port: int | None
    description: str
    category: Category
    interval: int
    alert_threshold: float | None
    alert_ids: tuple[int, ...]
    uri: str
    credentials: str
    transport: str
    created_at: float
    deleted_at: float | None


class VoipTest(msgspec.Struct, frozen=True, kw_only=True):
    """One server testing one endpoint. ``server_id``: the number of the server. ``mos`` is the newest one,
    measured at ``updated_at``; ``state``, ``reason``, ``verdict`` and ``figures`` are of the newest slot,
    ``slot``."""

    id: int
    endpoint_id: int
    server_id: int
    codec: str
    num_tests: int
    interpacket_ms: float
    created_at: float
    deleted_at: float | None
    mos: float | None
    updated_at: float | None
    slot: int | None
    state: str
    reason: str
    verdict: str
    figures: Mapping[str, Any]


class Planned(msgspec.Struct, frozen=True):
    """A VoIP test with what an agent must know of its endpoint."""

    voip_test_id: int
    project_id: int
    category: Category
    name: str
    ip_address: str
    port: int | None
    interval: int
    uri: str
    credentials: str
    transport: str
    codec: str
    num_tests: int
    interpacket_ms: float


class StoredReading(msgspec.Struct, frozen=True):
    """What came of one slot of a VoIP test. ``slot``: unix seconds of the planned start."""

    voip_test_id: int
    slot: int
    state: SlotState
    at: float | None
    reason: str
    verdict: str
    figures: Mapping[str, Any]

    @property
    def mos(self) -> float | None:
        found = self.figures.get("mos")
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Those of a reading that boards show, in the units of `probe.result`; None: not measured."""

    mos: float | None = None
    loss_pct: float | None = None
    rtt_ms: float | None = None
    jitter_ms: float | None = None
    setup_ms: float | None = None
    error_ms: float | None = None
    received: int | None = None
    sip_code: int | None = None
    sip_reason: str | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Figures:
        """An agent may send anything: a value that cannot be one counts as not measured."""
        kept = {}
        for name in cls.__struct_fields__:
            try:
                kept[name] = getattr(msgspec.convert({name: found.get(name)}, cls), name)
            except msgspec.ValidationError:
                continue
        return cls(**kept)


class Latest(msgspec.Struct, frozen=True, kw_only=True):
    """The newest slot of a VoIP test that goes on: a cell of the matrix. ``slot`` None: there was none yet.
    ``updated_at``: when it was measured last."""

    voip_test_id: int
    endpoint_id: int
    server_id: int
    interval: int
    updated_at: float | None
    slot: int | None
    state: str
    reason: str
    verdict: str
    figures: Figures

    @classmethod
    def of(cls, test: VoipTest, interval: int) -> Latest:
        return cls(
            voip_test_id=test.id,
            endpoint_id=test.endpoint_id,
            server_id=test.server_id,
            interval=interval,
            updated_at=test.updated_at,
            slot=test.slot,
            state=test.state,
            reason=test.reason,
            verdict=test.verdict,
            figures=Figures.of(test.figures),
        )
