"""Whether an endpoint is good now: what each server that tests it saw last, and what that comes to.

An endpoint is bad when an alert of it fires, or when at least half of the servers that have something to say
find it bad. No data is a state of its own, and never good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from callwright.control.monitors.model import Endpoint, SlotState, VoipTest
from callwright.control.monitors.newest import stale
from callwright.quality.bands import BANDS

__all__ = ["USUAL_LIMIT", "Health", "Sight", "Standing", "health", "sight"]

#: MOS below which an endpoint without a threshold of its own is bad: the band Poor begins there.
USUAL_LIMIT = next(band.lowest for band in BANDS if band.name == "Fair")


class Standing(StrEnum):
    """In the order in which people want to see them."""

    BAD = "bad"
    NO_DATA = "no data"
    GOOD = "good"


class Sight(msgspec.Struct, frozen=True):
    """What one server saw last. ``slot``: unix seconds, None: it never tested. ``mos``: only of a slot that
    says something of now. ``reason`` empty: there is nothing to say."""

    voip_test_id: int
    server_id: int
    standing: Standing
    reason: str = ""
    mos: float | None = None
    slot: int | None = None


class Health(msgspec.Struct, frozen=True):
    """``mos``: the worst that a server measured; ``slot``: the newest."""

    standing: Standing
    reason: str
    mos: float | None
    slot: int | None
    sights: tuple[Sight, ...]


def sight(endpoint: Endpoint, test: VoipTest, now: float) -> Sight:
    """``now``: unix seconds."""
    if test.slot is None:
        return Sight(test.id, test.server_id, Standing.NO_DATA, "Not tested yet.")

    def seen(standing: Standing, reason: str = "", mos: float | None = None) -> Sight:
        return Sight(test.id, test.server_id, standing, reason, mos, test.slot)

    if stale(test.slot, endpoint.interval, now):
        return seen(Standing.NO_DATA, "Nothing came for two intervals.")
    if test.verdict == "invalid":
        return seen(Standing.NO_DATA, test.reason or "The server itself spoilt the measurement.")
    match test.state:
        case SlotState.FAILED:
            return seen(Standing.BAD, test.reason or "Nothing answered.", _mos(test))
        case SlotState.DONE:
            mos, limit = _mos(test), endpoint.alert_threshold or USUAL_LIMIT
            if mos is not None and mos < limit:
                return seen(Standing.BAD, f"MOS {mos:.2f} is below {limit:g}.", mos)
            if test.verdict == "failed":
                return seen(Standing.BAD, test.reason or "The test failed.", mos)
            return seen(Standing.GOOD, "", mos)
    return seen(Standing.NO_DATA, test.reason or "Nobody knows what came of the last test.")


def health(endpoint: Endpoint, tests: Iterable[VoipTest], firing: Sequence[str], now: float) -> Health:
    """``firing``: names of the alerts that fire at it. Cancelled VoIP tests have no say."""
    sights = tuple(sight(endpoint, test, now) for test in tests if test.deleted_at is None)
    bad = [one for one in sights if one.standing is Standing.BAD]
    good = [one for one in sights if one.standing is Standing.GOOD]
    if firing:
        standing, reason = Standing.BAD, f"Alert: {'; '.join(firing)}."
    elif bad and len(bad) >= len(good):
        standing, reason = Standing.BAD, bad[0].reason
        if len(sights) > 1:
            reason += f" So on {len(bad)} of {len(sights)} servers."
    elif good:
        standing, reason = Standing.GOOD, ""
        if bad:
            reason = (
                f"{len(bad)} of {len(sights)} servers finds it bad."
                if len(bad) == 1
                else (f"{len(bad)} of {len(sights)} servers find it bad.")
            )
    else:
        standing, reason = Standing.NO_DATA, sights[0].reason if sights else "No server tests it."
    measured = [one.mos for one in (*bad, *good) if one.mos is not None]
    slots = [one.slot for one in sights if one.slot is not None]
    return Health(standing, reason, min(measured, default=None), max(slots, default=None), sights)


def _mos(test: VoipTest) -> float | None:
    """Of the newest slot; `VoipTest.mos` may be older."""
    value = test.figures.get("mos")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
