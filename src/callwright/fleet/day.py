"""A day of load as a file: YAML with its pools, or a CSV of arrivals.

YAML::

    step: 10                       # seconds between two decisions of the planner
    hours: 24
    pools:
      berlin: {capacity: 10, minimum: 1, maximum: 200, buffer: 20, boot_seconds: 40}
    arrivals:
      - {at: "07:30", pool: berlin, calls: 400, seconds: 180}
      - {from: "08:00", to: "18:00", pool: berlin, calls_per_minute: 30, seconds: 180}

CSV has the columns ``at``, ``calls`` and ``seconds``, and ``pool`` where there is more than one.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from callwright.fleet.pool import DEFAULT_POOL, SETTINGS, Pool, PoolError, with_settings
from callwright.fleet.simulation import Arrival, Day, SimulatedPool

__all__ = ["DayError", "read_csv", "read_yaml"]

_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d))?\Z")
_MOST_STEPS = 10_000_000


class DayError(ValueError):
    """The file is not a day of load; the sentence says where and what it expects."""


def read_yaml(text: str) -> Day:
    """Raises `DayError`."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DayError(f"The file is not YAML: {' '.join(str(error).split())}") from None
    except (ValueError, RecursionError) as error:
        raise DayError(f"The file holds a value that cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise DayError("The file must be a mapping with 'pools' and 'arrivals'.")
    _known(data, ("step", "hours", "pools", "arrivals"), "the file")
    pools = data.get("pools") or {}
    if not isinstance(pools, dict) or not pools:
        raise DayError("'pools' must map at least one pool name to its settings.")
    simulated = [_pool(str(name), settings or {}) for name, settings in pools.items()]
    step = _number(data.get("step", 10), "step", least=0.1, most=3600)
    seconds = _number(data.get("hours", 24), "hours", least=1 / 60, most=24 * 366) * 3600
    if seconds / step > _MOST_STEPS:
        raise DayError(f"{seconds / step:,.0f} steps are too many: use a longer step or fewer hours.")
    names = {one.pool.name for one in simulated}
    entries = data.get("arrivals") or []
    if not isinstance(entries, list):
        raise DayError("'arrivals' must be a list.")
    arrivals: list[Arrival] = []
    for number, entry in enumerate(entries, 1):
        arrivals += _arrivals(entry, f"arrival {number}", names, step)
    return Day(simulated, arrivals, seconds, step)


def read_csv(text: str, pools: Day | None = None) -> Day:
    """A CSV of arrivals. ``pools``: a day whose pools, step and length hold; without it there is one pool,
    `default`, as the platform makes it. Raises `DayError`."""
    rows = csv.DictReader(io.StringIO(text))
    columns = [name.strip() for name in rows.fieldnames or ()]
    missing = [name for name in ("at", "calls", "seconds") if name not in columns]
    if missing:
        raise DayError(f"The CSV has no column {missing[0]!r}: its first line must be at,pool,calls,seconds.")
    rows.fieldnames = columns
    base = pools or Day([SimulatedPool(Pool(DEFAULT_POOL))], [])
    names = {one.pool.name for one in base.pools}
    arrivals: list[Arrival] = []
    try:
        for row in rows:
            entry = {key: row.get(key) for key in ("at", "pool", "calls", "seconds") if row.get(key)}
            arrivals += _arrivals(entry, f"line {rows.line_num}", names, base.step)
    except csv.Error as error:
        raise DayError(f"Line {rows.line_num} is not CSV: {error}") from None
    return dataclasses.replace(base, arrivals=arrivals)


def _known(data: Mapping[Any, Any], names: tuple[str, ...], where: str) -> None:
    for key in data:
        if key not in names:
            raise DayError(f"Unknown field {key!r} in {where}. Known fields: {', '.join(names)}.")


def _pool(name: str, settings: Any) -> SimulatedPool:
    where = f"pool {name!r}"
    if not isinstance(settings, dict):
        raise DayError(f"The settings of {where} must be a mapping.")
    _known(settings, (*SETTINGS, "boot_seconds"), where)
    boot = _number(settings.get("boot_seconds", 60), f"boot_seconds of {where}", most=86_400)
    values = {key: value for key, value in settings.items() if key != "boot_seconds"}
    try:
        return SimulatedPool(with_settings(Pool(name), values), boot)
    except PoolError as error:
        raise DayError(f"In {where}: {error}") from None


def _arrivals(entry: Any, where: str, pools: set[str], step: float) -> Iterator[Arrival]:
    if not isinstance(entry, dict):
        raise DayError(f"In {where}: expected a mapping such as {{at: '08:00', calls: 40, seconds: 180}}.")
    only = next(iter(pools)) if len(pools) == 1 else None
    name = entry.get("pool", only)
    if name not in pools:
        given = "no pool is named" if name is None else f"no pool is named {name!r}"
        raise DayError(f"In {where}: {given}. Pools: {', '.join(sorted(pools))}.")
    if "calls_per_minute" not in entry:
        _known(entry, ("at", "pool", "calls", "seconds"), where)
        seconds = _number(entry.get("seconds"), f"seconds of {where}", most=86_400)
        calls = _whole(entry.get("calls"), f"calls of {where}")
        yield Arrival(_time(entry.get("at"), f"at of {where}"), str(name), calls, seconds)
        return
    _known(entry, ("from", "to", "pool", "calls_per_minute", "seconds"), where)
    seconds = _number(entry.get("seconds"), f"seconds of {where}", most=86_400)
    start, end = _time(entry.get("from"), f"from of {where}"), _time(entry.get("to"), f"to of {where}")
    rate = _number(entry["calls_per_minute"], f"calls_per_minute of {where}", most=10_000_000) / 60.0
    if end <= start:
        raise DayError(f"In {where}: 'to' must be later than 'from'.")
    done = 0
    for number in range(math.ceil((end - start) / step)):
        at = start + number * step
        due = math.floor(rate * min(end - start, (number + 1) * step))
        if due > done:
            yield Arrival(at, str(name), due - done, seconds)
            done = due


def _number(value: Any, what: str, *, least: float = 0.0, most: float = 1e9) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DayError(f"{what} must be a number, not {value!r}.") from None
    if isinstance(value, bool) or not least <= number <= most:
        raise DayError(f"{what} is {value!r}: use {least:g} to {most:g}.")
    return number


def _whole(value: Any, what: str) -> int:
    number = _number(value, what)
    if number != int(number):
        raise DayError(f"{what} must be a whole number, not {value!r}.")
    return int(number)


def _time(value: Any, what: str) -> float:
    """``HH:MM``, ``HH:MM:SS`` or seconds from midnight."""
    clock = _CLOCK.match(value.strip()) if isinstance(value, str) else None
    if clock is not None:
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return hours * 3600.0 + minutes * 60.0 + seconds
    try:
        return _number(value, what)
    except DayError:
        raise DayError(
            f"{what} must be a time such as '08:00' or seconds from midnight, not {value!r}."
        ) from None
