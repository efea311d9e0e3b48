"""Why a call ended, as ITU-T Q.850 table 1 names it."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["CAUSES"]

#: Those that `legs.cause_of` gives.
CAUSES: Mapping[int, str] = {
    1: "unallocated number",
    16: "normal call clearing",
    17: "user busy",
    18: "no user responding",
    21: "call rejected",
    22: "number changed",
    25: "exchange routing error",
    28: "invalid number format",
    31: "normal, unspecified",
    38: "network out of order",
    41: "temporary failure",
    63: "service or option not available",
    79: "service or option not implemented",
    102: "recovery on timer expiry",
    127: "interworking, unspecified",
}
