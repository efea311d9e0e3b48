"""What a rule would have told of the past: the same machine as `watch`, over readings that are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from callwright.alerting.condition import NO_DATA
from callwright.alerting.watch import EventKind, Reading, Rule, Watch, hear, judge, silent

__all__ = ["Fired", "Near", "Rehearsal", "rehearse"]


class Fired(msgspec.Struct, frozen=True):
    """``ended`` None: it would fire still. ``servers``: the most on which it held at once. ``worst``: the
    value on which the quorum decided, at its worst; None: the condition has none."""

    began: float
    ended: float | None
    servers: int
    worst: float | None


class Near(msgspec.Struct, frozen=True):
    """It held on enough servers, and did not fire: for too short, or ``muted`` by snooze or maintenance."""

    began: float
    ended: float
    muted: bool


class Rehearsal(msgspec.Struct, frozen=True):
    """``values``: unix seconds to the value on which the quorum decides (for 2 of 3 servers and `<` the
    second lowest); None where too few servers had data."""

    fired: tuple[Fired, ...]
    near: tuple[Near, ...]
    values: tuple[tuple[float, float | None], ...]


def rehearse(
    rule: Rule,
    readings: Iterable[Reading],
    servers: Sequence[int],
    since: float,
    until: float,
    *,
    muted: Callable[[float], bool] = lambda now: False,
) -> Rehearsal:
    """Times are unix seconds. A reading counts from the moment of its slot. What is past can't be measured
    again, so the re-tests of a rule are left out."""
    rule = msgspec.structs.replace(rule, retests=())
    by_slot: dict[float, list[Reading]] = {}
    for reading in readings:
        if since <= reading.slot < until:
            by_slot.setdefault(reading.slot, []).append(reading)
    watch = Watch(since)
    fired: list[Fired] = []
    near: list[Near] = []
    values: list[tuple[float, float | None]] = []
    holding: float | None = None  # since when it holds on enough servers without firing
    quiet = False  # whether it would have fired but for snooze or maintenance
    for now in _moments(by_slot, rule.interval, since, until):
        for reading in by_slot.get(now, ()):
            watch = hear(watch, rule, reading)
        mute = muted(now)
        watch, events = judge(watch, rule, servers, now, muted=mute)
        value = _decisive(watch, rule, servers, now)
        values.append((now, value))
        for event in events:
            if event.kind is EventKind.FIRED:
                fired.append(Fired(now, None, len(event.servers), value))
                holding = None
            elif event.kind is EventKind.RECOVERED and fired:
                fired[-1] = msgspec.structs.replace(fired[-1], ended=now)
        held = _held(watch, rule, servers, now)
        if watch.firing_since is not None:
            fired[-1] = msgspec.structs.replace(
                fired[-1],
                servers=max(fired[-1].servers, held),
                worst=_worse(rule, fired[-1].worst, value),
            )
        elif held >= rule.condition.needed:
            if holding is None:
                holding, quiet = now, False
            quiet = quiet or (mute and now - holding >= rule.condition.hold)
        elif holding is not None:
            near.append(Near(holding, now, quiet))
            holding = None
    return Rehearsal(tuple(fired), tuple(near), tuple(values))


def _moments(slots: Iterable[float], interval: float, since: float, until: float) -> list[float]:
    """Slots, and moments between them where nothing came for long: silence is judged too."""
    found: list[float] = []
    last = since
    for slot in (*sorted(slots), until):
        while slot - last > 2 * interval:
            last += interval
            found.append(last)
        if slot < until:
            found.append(slot)
            last = slot
    return found


def _held(watch: Watch, rule: Rule, servers: Sequence[int], now: float) -> int:
    """Servers on which it holds now, for however short."""
    if rule.condition.what == NO_DATA:
        return 0
    return sum(
        (track := watch.tracks.get(one)) is not None
        and track.bad_since is not None
        and not silent(track, rule, now)
        for one in servers
    )


def _decisive(watch: Watch, rule: Rule, servers: Sequence[int], now: float) -> float | None:
    if not rule.condition.operator:
        return None
    known = [
        track.value
        for one in servers
        if (track := watch.tracks.get(one)) is not None
        and track.value is not None
        and not silent(track, rule, now)
    ]
    needed = rule.condition.needed
    if len(known) < needed:
        return None
    return sorted(known, reverse=rule.condition.operator[0] == ">")[needed - 1]


def _worse(rule: Rule, one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other) if rule.condition.operator[:1] == "<" else max(one, other)
