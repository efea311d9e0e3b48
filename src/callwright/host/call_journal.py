"""What became of calls, on disk before the phones hear of it, until the database has it."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

import msgspec

from callwright.dispatch.messages.calls import CallNews
from callwright.dispatch.messages.wire import encode

__all__ = ["CallJournal"]

_log = logging.getLogger(__name__)
_LARGEST = 256 << 20  # octets; 50,000 calls that wait for the database need less


class CallJournal:
    """A line a piece of news. What the kernel has taken survives a process that is killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._size = 0
        self._warned = False

    def left(self) -> list[CallNews]:
        """What an earlier process has left, in order; a last line that is half is no news."""
        found: list[CallNews] = []
        try:
            with self._path.open("rb") as lines:
                for line in lines:
                    with contextlib.suppress(msgspec.DecodeError):
                        found.append(msgspec.json.decode(line, type=CallNews))
        except FileNotFoundError:
            pass
        except OSError as error:
            self._warn(error)
        return found

    def note(self, news: CallNews) -> None:
        """Never raises: a full disk costs the record of a crash, not the call."""
        text = encode(news) + b"\n"
        try:
            if self._handle is None:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._handle = os.open(self._path, flags, 0o600)
                self._size = os.fstat(self._handle).st_size
            if self._size + len(text) <= _LARGEST:
                self._size += os.write(self._handle, text)
        except OSError as error:
            self._warn(error)

    def clear(self) -> None:
        """The database has it all."""
        try:
            if self._handle is not None:
                os.ftruncate(self._handle, 0)
            elif self._path.exists():
                os.truncate(self._path, 0)
        except OSError as error:
            self._warn(error)
        else:
            self._size = 0

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            why = error.strerror or error
            _log.error("what becomes of calls cannot be kept in %s: %s", self._path, why)
