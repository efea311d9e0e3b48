"""Monitors as people write them down: YAML with endpoints and alerts, or a CSV of endpoints.

    alerts:
      - name: Head office sounds bad
        condition: mos < 3.9 for 3m on 2 of 3 servers
    endpoints:
      - name: Head office PBX
        category: sip
        ip_address: pbx.example.com
        servers: [fra-1, ams-2]
        alert_threshold: 3.9
        alerts: [Head office sounds bad]

A field that is not written has its default. `reading` reads such files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from callwright.control.errors import Invalid
from callwright.control.monitors.model import Endpoint
from callwright.control.monitors.sense import blank, settled
from callwright.scenario.source import (
    DocumentError,
    Problem,
    did_you_mean,
)

__all__ = ["ALL_CHANNELS", "ALL_SERVERS", "COLUMNS", "LISTS", "MOST_ROWS", "Written", "WrittenAlert"]
__all__ += ["WrittenEndpoint", "csv_text", "row", "with_channels", "with_servers", "words_of", "yaml_text"]

#: Instead of names of servers: all that may test it.
ALL_SERVERS = "all"
#: Instead of names of channels: every channel of the project that hears of incidents.
ALL_CHANNELS = "all"
MOST_ROWS = 1_000
#: Of a CSV, in the order of an export. Names of servers and of alerts have semicolons between them.
COLUMNS = (
    "name",
    "category",
    "ip_address",
    "port",
    "uri",
    "transport",
    "credentials",
    "description",
    "interval",
    "servers",
    "alert_threshold",
    "alerts",
)
LISTS = ("servers", "alerts")


class WrittenEndpoint(msgspec.Struct, frozen=True):
    """``endpoint``: settled, its ``alert_ids`` empty. ``said``: the columns that the file says something
    of. ``line``: where it begins."""

    endpoint: Endpoint
    servers: tuple[str, ...]
    alerts: tuple[str, ...]
    line: int = 0
    said: tuple[str, ...] = COLUMNS

    @property
    def name(self) -> str:
        return self.endpoint.name


class WrittenAlert(msgspec.Struct, frozen=True):
    """``fields``: condition, recovery, retests, reminder and maintenance as the API takes them; dates in
    UTC with a Z. ``channels``: names, None: every channel that hears of incidents."""

    name: str
    fields: Mapping[str, Any]
    line: int = 0


class Written(msgspec.Struct, frozen=True):
    """``endpoints`` or ``alerts`` None: nothing is said of them."""

    project: str | None = None
    endpoints: tuple[WrittenEndpoint, ...] | None = None
    alerts: tuple[WrittenAlert, ...] | None = None


def yaml_text(written: Written) -> str:
    """What `read_yaml` reads; fields with their defaults are left out."""
    import yaml

    document: dict[str, Any] = {}
    if written.project is not None:
        document["project"] = written.project
    if written.alerts is not None:
        document["alerts"] = [
            {
                "name": one.name,
                **{
                    key: value
                    for key, value in one.fields.items()
                    # No channels at all is not the default, which is all of them.
                    if value not in (None, "", []) or (key, value) == ("channels", [])
                },
            }
            for one in written.alerts
        ]
    if written.endpoints is not None:
        document["endpoints"] = [
            {key: value for key, value in row(one).items() if not _is_default(one.endpoint, key, value)}
            for one in written.endpoints
        ]
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    return text


def csv_text(endpoints: Sequence[WrittenEndpoint]) -> str:
    """What `read_csv` reads."""
    target = io.StringIO()
    rows = csv.writer(target, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in endpoints:
        values = row(one)
        rows.writerow(
            ";".join(values[name]) if name in LISTS else "" if values[name] is None else values[name]
            for name in COLUMNS
        )
    return target.getvalue()


def row(one: WrittenEndpoint) -> dict[str, Any]:
    """Every column of an endpoint."""
    found = {name: getattr(one.endpoint, name) for name in COLUMNS if name not in LISTS}
    found["category"] = str(one.endpoint.category)
    found |= {"servers": list(one.servers), "alerts": list(one.alerts)}
    return {name: found[name] for name in COLUMNS}


def _is_default(endpoint: Endpoint, name: str, value: Any) -> bool:
    if name == "servers":
        return False
    if value in (None, "", []):
        return True
    if name in ("category", "interval", "transport"):
        return bool(value == getattr(blank(), name))
    if name not in ("port", "ip_address"):
        return False
    # What its category, its URI or its name would give it anyway.
    empty = None if name == "port" else ""
    try:
        settled_without = settled(msgspec.structs.replace(endpoint, alert_ids=(), **{name: empty}))
    except Invalid:
        return False
    return settled_without == msgspec.structs.replace(endpoint, alert_ids=())


def words_of(labels: Mapping[int, str]) -> dict[int, str]:
    """What a file calls each server or channel: its name, or its number where several have one name."""
    names = list(labels.values())
    return {
        number: label
        if names.count(label) == 1 and label not in (ALL_SERVERS, ALL_CHANNELS) and not label.isdigit()
        else str(number)
        for number, label in labels.items()
    }


def with_servers(written: Written, words: Mapping[int, str], everywhere: Sequence[int]) -> Written:
    """With each server by its word, and ``everywhere`` for `all`. Raises DocumentError for unknown ones."""
    known = set(words.values())
    problems: list[Problem] = []

    def named(one: WrittenEndpoint) -> WrittenEndpoint:
        found: list[str] = []
        for name in one.servers:
            if name == ALL_SERVERS:
                found += [words[number] for number in everywhere]
            elif name in known:
                found.append(name)
            elif name.isdigit() and int(name) in words:
                found.append(words[int(name)])
            else:
                tail, near = did_you_mean(name, [words[number] for number in everywhere])
                message = f"{one.name}: there is no server {name!r}.{tail}"
                problems.append(Problem(message, one.line, None, "servers", name, near))
        return msgspec.structs.replace(one, servers=tuple(dict.fromkeys(found)))

    endpoints = None if written.endpoints is None else tuple(named(one) for one in written.endpoints)
    if problems:
        raise DocumentError(problems)
    return msgspec.structs.replace(written, endpoints=endpoints)


def with_channels(written: Written, words: Mapping[int, str]) -> Written:
    """With each channel by its word. Raises DocumentError for unknown ones."""
    problems: list[Problem] = []

    def word(one: WrittenAlert, name: str) -> str:
        if name.isdigit() and int(name) in words:
            return words[int(name)]
        if name not in words.values():
            tail, near = did_you_mean(name, list(words.values()))
            message = f"{one.name}: there is no channel {name!r} in this project.{tail}"
            problems.append(Problem(message, one.line, None, "channels", name, near))
        return name

    def named(one: WrittenAlert) -> WrittenAlert:
        channels = one.fields["channels"]
        if channels is None:
            return one
        found = list(dict.fromkeys(word(one, name) for name in channels))
        return msgspec.structs.replace(one, fields={**one.fields, "channels": found})

    alerts = None if written.alerts is None else tuple(named(one) for one in written.alerts)
    if problems:
        raise DocumentError(problems)
    return msgspec.structs.replace(written, alerts=alerts)
