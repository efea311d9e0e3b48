"""The machine that watches one endpoint for one rule: readings in, what is to be told out.

    quiet -> pending -> (re-testing ->) firing -> quiet

All times are unix seconds, given; a `Watch` is a value that outlives a restart, so nothing is told twice, and
a reading that comes again changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from callwright.alerting.condition import NO_DATA, Condition
from callwright.alerting.retest import Level, Retest

__all__ = [
    "Event",
    "EventKind",
    "Reading",
    "Rule",
    "State",
    "Track",
    "Watch",
    "hear",
    "judge",
    "silent",
    "state_of",
]

_SILENT_AFTER = 3  # intervals, after which a server has no data
_PATIENCE = 60.0  # seconds in which the reading of a re-test is awaited


class State(StrEnum):
    """In the order in which people want to see them."""

    FIRING = "firing"
    PENDING = "pending"  # it holds, but not for long enough or on too few servers
    NO_DATA = "no data"
    SNOOZED = "snoozed"
    QUIET = "quiet"
    NEVER = "never evaluated"


class Rule(msgspec.Struct, frozen=True):
    """``recovery`` None: when the condition has not held for as long as it had to hold. ``threshold``: of the
    endpoint. ``interval``: seconds between two readings of a server. ``reminder``: seconds between two
    messages of an incident that goes on; None: one is enough. ``retests``: what
    confirms it before it fires."""

    condition: Condition
    recovery: Condition | None = None
    threshold: float | None = None
    interval: float = 60.0
    reminder: float | None = None
    retests: tuple[Level, ...] = ()


class Reading(msgspec.Struct, frozen=True):
    """Of one slot at one server. ``server``: whatever tells them apart."""

    server: int
    slot: float
    state: str
    verdict: str = ""
    figures: Mapping[str, object] = {}


class Track(msgspec.Struct, frozen=True):
    """What is known of one server. ``at``: its newest slot; ``heard``: the newest that said something.
    ``bad_since`` and ``good_since``: the first of the readings in a row that fulfil the condition, or the
    recovery."""

    at: float
    heard: float | None = None
    bad_since: float | None = None
    good_since: float | None = None
    value: float | None = None


class Watch(msgspec.Struct, frozen=True):
    """``firing_since`` None: it does not fire. ``began``: since when servers are expected to report.
    ``retest``: what is being measured again before it fires."""

    began: float
    tracks: dict[int, Track] = {}
    firing_since: float | None = None
    told_at: float | None = None
    retest: Retest | None = None


class EventKind(StrEnum):
    """``RETEST`` is told to the servers alone: they are to measure now."""

    RETEST = "retest"
    FIRED = "fired"
    REMINDED = "reminded"
    RECOVERED = "recovered"


class Event(msgspec.Struct, frozen=True):
    """``servers``: those on which it holds."""

    kind: EventKind
    at: float
    servers: tuple[int, ...]


def hear(watch: Watch, rule: Rule, reading: Reading) -> Watch:
    """After a reading; one that is not newer than what its server has said changes nothing."""
    known = watch.tracks.get(reading.server)
    if known is not None and reading.slot <= known.at:
        return watch
    value = rule.condition.value(reading.state, reading.verdict, reading.figures)
    bad = rule.condition.holds(value, rule.threshold)
    good = None if bad is None else not bad
    if rule.recovery is not None:
        found = rule.recovery.value(reading.state, reading.verdict, reading.figures)
        good = rule.recovery.holds(found, rule.threshold)
    track = known or Track(reading.slot)
    said = reading.state in ("done", "failed") and reading.verdict != "invalid"
    tracks = dict(watch.tracks)
    tracks[reading.server] = Track(
        reading.slot,
        reading.slot if said else track.heard,
        _since(track.bad_since, bad, reading.slot),
        _since(track.good_since, good, reading.slot),
        track.value if value is None else value,
    )
    return msgspec.structs.replace(watch, tracks=tracks)


def _since(known: float | None, holds: bool | None, slot: float) -> float | None:
    """A reading that says nothing neither begins nor ends a row."""
    if holds is None:
        return known
    if not holds:
        return None
    return slot if known is None else known


def judge(
    watch: Watch, rule: Rule, servers: Sequence[int], now: float, *, muted: bool = False
) -> tuple[Watch, list[Event]]:
    """What is to be told now. ``servers``: those that test the endpoint now. ``muted``: snoozed or in
    maintenance: nothing begins, and nobody is reminded; an end is told."""
    watch = _only(watch, servers)
    bad = _bad(watch, rule, servers, now)
    if watch.firing_since is None:
        if len(bad) < rule.condition.needed or muted:
            return msgspec.structs.replace(watch, retest=None), []
        if rule.retests and rule.condition.what != NO_DATA:
            retest, asks = _retested(watch, rule, bad, servers, now)
            if retest is not None:
                watch = msgspec.structs.replace(watch, retest=retest)
                return watch, [Event(EventKind.RETEST, now, retest.servers)] if asks else []
        watch = msgspec.structs.replace(watch, firing_since=now, told_at=now, retest=None)
        return watch, [Event(EventKind.FIRED, now, bad)]
    still = tuple(one for one in servers if not _recovered(watch.tracks.get(one), rule, one in bad, now))
    if len(still) < min(rule.condition.needed, len(servers)) or not servers:
        watch = msgspec.structs.replace(watch, firing_since=None, told_at=None)
        return watch, [Event(EventKind.RECOVERED, now, ())]
    told = watch.told_at or watch.firing_since or now
    if rule.reminder is not None and now - told >= rule.reminder and not muted:
        return msgspec.structs.replace(watch, told_at=now), [Event(EventKind.REMINDED, now, bad)]
    return watch, []


def _retested(
    watch: Watch, rule: Rule, bad: tuple[int, ...], servers: Sequence[int], now: float
) -> tuple[Retest | None, bool]:
    """(what is being re-tested, whether it is to be asked for now); None: every level has confirmed it. A
    re-test that nobody answered confirms nothing more, and does not hold up the alert either."""
    on = watch.retest
    if on is None:
        return _asked(watch, rule, 0, 0, bad, servers, now), True
    if on.level >= len(rule.retests):  # the rule has fewer levels than when they began
        return None, False
    level = rule.retests[on.level]
    heard = all(
        (track := watch.tracks.get(one)) is not None and (track.heard or 0.0) >= on.slot
        for one in on.servers
        if one in servers
    )
    if not heard and now - on.slot < max(_PATIENCE, level.every):
        return on, False
    if on.done + 1 < level.times:
        if now - on.slot < level.every:
            return on, False
        return _asked(watch, rule, on.level, on.done + 1, bad, servers, now), True
    if on.level + 1 < len(rule.retests):
        return _asked(watch, rule, on.level + 1, 0, bad, servers, now), True
    return None, False


def _asked(
    watch: Watch, rule: Rule, level: int, done: int, bad: tuple[int, ...], servers: Sequence[int], now: float
) -> Retest:
    """Its slot is later than every reading that is known, so that none of these confirms anything."""
    asked = tuple(servers) if rule.retests[level].wide else bad
    known = [int(watch.tracks[one].at) + 1 for one in asked if one in watch.tracks]
    return Retest(level, done, max(int(now), *known), asked)


def state_of(watch: Watch, rule: Rule, servers: Sequence[int], now: float, *, muted: bool = False) -> State:
    if watch.firing_since is not None:
        return State.FIRING
    if muted:
        return State.SNOOZED
    tracks = [watch.tracks[one] for one in servers if one in watch.tracks]
    if not any(track.heard is not None for track in tracks):
        return State.NEVER if rule.condition.what != NO_DATA else State.QUIET
    fresh = [one for one in servers if not silent(watch.tracks.get(one), rule, now)]
    if any(watch.tracks[one].bad_since is not None for one in fresh):
        return State.PENDING
    if rule.condition.what != NO_DATA and len(fresh) < rule.condition.needed:
        return State.NO_DATA
    return State.QUIET


def _only(watch: Watch, servers: Sequence[int]) -> Watch:
    """A server that tests it no more has no say."""
    if all(one in servers for one in watch.tracks):
        return watch
    return msgspec.structs.replace(
        watch, tracks={one: track for one, track in watch.tracks.items() if one in servers}
    )


def _bad(watch: Watch, rule: Rule, servers: Sequence[int], now: float) -> tuple[int, ...]:
    if rule.condition.what == NO_DATA:
        return tuple(one for one in servers if now - _last(watch, one) >= rule.condition.hold)
    return tuple(
        one
        for one in servers
        if (track := watch.tracks.get(one)) is not None
        and track.bad_since is not None
        and (track.heard or track.at) - track.bad_since >= rule.condition.hold
        and not silent(track, rule, now)
    )


def _last(watch: Watch, server: int) -> float:
    track = watch.tracks.get(server)
    return watch.began if track is None or track.heard is None else max(track.heard, watch.began)


def silent(track: Track | None, rule: Rule, now: float) -> bool:
    return track is None or track.heard is None or now - track.heard > _SILENT_AFTER * rule.interval


def _recovered(track: Track | None, rule: Rule, bad: bool, now: float) -> bool:
    """A server without data has not recovered; one that never was bad need not."""
    if rule.condition.what == NO_DATA:
        return not bad
    if track is None:
        return True
    if track.good_since is None or track.heard is None:
        return False
    hold = rule.condition.hold if rule.recovery is None else rule.recovery.hold
    return track.heard - track.good_since >= hold
