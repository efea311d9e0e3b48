"""What an agent measured, until the platform has it, and which slots it began: on the disk, a line each.

    {"begun": [monitor, slot, at]}      written before a slot is measured
    {"reading": {…}}                    what came of it
    {"home": [[monitor, slot], …]}      the platform has these

A line is with the kernel when the method returns, which no SIGKILL takes away. So no slot is measured twice,
and one that was begun and has no reading ends as unknown.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from callwright.dispatch.messages.monitors import READINGS_IN_BATCH, Reading

_log = logging.getLogger(__name__)

_FILE = "readings"
MOST_WAITING = 100_000
"""Readings that wait for the platform; the oldest go when there are more."""
_REWRITE = 8 * 1024 * 1024
"""Octets of the file after which what is over is left out of it."""

Key = tuple[int, int]


class ReadingSpool:
    """Raises OSError when the folder cannot be used."""

    def __init__(self, folder: Path, *, most: int = MOST_WAITING) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path, self._most = folder / _FILE, most
        self._waiting: dict[Key, Reading] = {}
        self._begun: dict[Key, float] = {}
        self.decided: dict[int, int] = {}  # monitor -> its newest slot
        self.dropped = 0
        for line in self._lines():
            self._learn(line)
        for (monitor_id, slot), at in self._begun.items():
            reason = "The agent was ended during the measurement."
            self._waiting[monitor_id, slot] = Reading(monitor_id, slot, "unknown", at, reason)
        self._begun.clear()
        self._handle = -1
        self._rewrite()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def begin(self, monitor_id: int, slot: int, at: float) -> None:
        """Before a slot is measured. Raises OSError: then it must not be."""
        self._append({"begun": [monitor_id, slot, at]})
        self._begun[monitor_id, slot] = at
        self._decide(monitor_id, slot)

    def add(self, reading: Reading) -> None:
        """Kept in memory even where the disk is full; `OSError` is only told of."""
        key = reading.monitor_id, reading.slot
        self._waiting[key] = reading
        self._begun.pop(key, None)
        self._decide(*key)
        try:
            self._append({"reading": msgspec.to_builtins(reading)})
        except OSError as error:
            _log.warning("a reading of monitor %d is not on the disk: %s", reading.monitor_id, error)
        while len(self._waiting) > self._most:
            del self._waiting[next(iter(self._waiting))]
            self.dropped += 1

    def batch(self) -> tuple[Reading, ...]:
        """The oldest, as many as a message takes."""
        return tuple(
            reading for reading, _ in zip(self._waiting.values(), range(READINGS_IN_BATCH), strict=False)
        )

    def home(self, readings: Iterable[Reading]) -> None:
        """The platform has these."""
        keys = [(reading.monitor_id, reading.slot) for reading in readings]
        for key in keys:
            self._waiting.pop(key, None)
        try:
            self._append({"home": keys})
            if os.fstat(self._handle).st_size > _REWRITE:
                self._rewrite()
        except OSError as error:  # they go home once more after a restart, which does no harm
            _log.warning("the spool of readings cannot be written: %s", error)

    def forget_others(self, monitors: Iterable[int]) -> None:
        """Of monitors that this agent holds no more, no slot is to be remembered."""
        kept = set(monitors)
        self.decided = {monitor: slot for monitor, slot in self.decided.items() if monitor in kept}

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    # -- the file

    def _decide(self, monitor_id: int, slot: int) -> None:
        self.decided[monitor_id] = max(slot, self.decided.get(monitor_id, slot))

    def _learn(self, line: dict[str, Any]) -> None:
        match line:
            case {"begun": [int(monitor_id), int(slot), int(at) | float(at)]}:
                self._begun[monitor_id, slot] = at
                self._decide(monitor_id, slot)
            case {"reading": dict(found)}:
                reading = msgspec.convert(found, Reading)
                self._waiting[reading.monitor_id, reading.slot] = reading
                self._begun.pop((reading.monitor_id, reading.slot), None)
                self._decide(reading.monitor_id, reading.slot)
            case {"home": list(keys)}:
                for monitor_id, slot in keys:
                    self._waiting.pop((monitor_id, slot), None)
            case {"decided": dict(found)}:
                for monitor, slot in found.items():
                    self._decide(int(monitor), int(slot))

    def _lines(self) -> Iterator[dict[str, Any]]:
        """What can be read: a torn last line is none."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found

    def _append(self, line: dict[str, Any]) -> None:
        os.write(self._handle, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def _rewrite(self) -> None:
        """What waits, what is begun, and the newest slot of each monitor; on the disk under the old name."""
        draft = self._path.with_name(f".{_FILE}.part")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        lines: list[dict[str, Any]] = [{"decided": {str(key): slot for key, slot in self.decided.items()}}]
        lines += [{"begun": [*key, at]} for key, at in self._begun.items()]
        lines += [{"reading": msgspec.to_builtins(reading)} for reading in self._waiting.values()]
        with open(handle, "wb", closefd=False) as out:
            out.writelines(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
        os.fsync(handle)
        os.replace(draft, self._path)
        self.close()
        self._handle = handle
