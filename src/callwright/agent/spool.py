"""What an agent writes down before it acts, and keeps until the platform has it.

A folder for each attempt:

    claim.json     which attempt this is; written before anything of it is done
    intents        a line for each INVITE, on the disk before the INVITE leaves
    dialogs        what ends each call that is on; see agent/bequest
    outcome.json   the result, once there is one
    evidence/      the files of the run
    sent           names of the files that the platform has; they are not here any more
    dropped        names of the files that nobody will have: too much was waiting

So after a crash it can be told what may have happened: no intent, then no call was placed; an intent without
an outcome, then one may have been.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec

from callwright.dispatch.messages.runs import Attempt

_CLAIM, _INTENTS, _OUTCOME, _EVIDENCE = "claim.json", "intents", "outcome.json", "evidence"
_DIALOGS = "dialogs"
_SENT, _DROPPED = "sent", "dropped"


class Entry:
    """One attempt. Methods that write return when it is on the disk; they raise OSError."""

    def __init__(self, folder: Path, attempt: Attempt, intents: int = 0) -> None:
        self.folder, self.attempt, self.intents = folder, attempt, intents

    @property
    def evidence(self) -> Path:
        return self.folder / _EVIDENCE

    def intend(self, what: dict[str, Any]) -> None:
        """One line more. Called before the INVITE leaves."""
        new = self.intents == 0
        _append(self.folder / _INTENTS, json.dumps(what, ensure_ascii=True))
        if new:
            _sync_folder(self.folder)
        self.intents += 1

    def bequeath(self, line: bytes) -> None:
        """One line more of what ends the calls. It is with the kernel when this returns, which no SIGKILL
        takes away, and on the disk a little later: calls do not wait for it."""
        handle = os.open(self.folder / _DIALOGS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, line + b"\n")
        finally:
            os.close(handle)

    def bequests(self) -> list[bytes]:
        try:
            return (self.folder / _DIALOGS).read_bytes().splitlines()
        except OSError:
            return []

    def bequeath_no_more(self) -> None:
        """Somebody sees to it."""
        with contextlib.suppress(OSError):
            (self.folder / _DIALOGS).unlink()

    def conclude(self, outcome: dict[str, Any]) -> None:
        _write(self.folder / _OUTCOME, json.dumps(outcome, ensure_ascii=False).encode("utf-8", "replace"))

    def outcome(self) -> dict[str, Any] | None:
        """None when there is none, or none that can be read."""
        try:
            found = json.loads((self.folder / _OUTCOME).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def files(self) -> list[tuple[str, Path]]:
        """(name with / between folders, path) of the evidence that the platform has not got; small first."""
        sent = self._names(_SENT)
        return [(name, path) for _, name, path in sorted(self._lying()) if name not in sent]

    def _lying(self) -> list[tuple[int, str, Path]]:
        """(octets, name, path) of all evidence that lies here."""
        found = []
        for path in self.evidence.rglob("*"):
            name = path.relative_to(self.evidence).as_posix()
            if path.is_file() and not path.is_symlink() and not name.startswith("."):
                with contextlib.suppress(OSError):  # dropped meanwhile
                    found.append((path.stat().st_size, name, path))
        return found

    def _names(self, list_: str) -> list[str]:
        try:
            return (self.folder / list_).read_text("utf-8").splitlines()
        except OSError:
            return []

    def mark_sent(self, name: str) -> int:
        """The platform has this file; the octets that are free now."""
        path = self.evidence / name
        try:  # the file goes last: else it would be sent once more, which does no harm
            size = path.stat().st_size
            _append(self.folder / _SENT, name)
            path.unlink()
        except OSError:
            return 0
        return size

    def weigh(self) -> int:
        """Octets of evidence."""
        return sum(size for size, _, _ in self._lying())

    def shed(self, octets: int) -> tuple[int, int]:
        """Drop files, the largest first, until so much is free: (files, octets) that went."""
        files = gone = 0
        for size, name, path in sorted(self._lying(), reverse=True):
            if gone >= octets:
                break
            try:
                _append(self.folder / _DROPPED, name)
                path.unlink()
            except OSError:
                continue
            files, gone = files + 1, gone + size
        return files, gone

    def dropped(self) -> list[str]:
        """Names of the files that `shed` took."""
        return self._names(_DROPPED)

    def forget(self) -> None:
        """The platform has it, or does not want it."""
        gone = self.folder.with_name(f".{self.folder.name}.gone")
        with contextlib.suppress(OSError):
            os.replace(self.folder, gone)
        shutil.rmtree(gone, ignore_errors=True)


class Spool:
    """Raises OSError when the folder cannot be made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for gone in folder.glob(".*.gone"):
            shutil.rmtree(gone, ignore_errors=True)

    def open(self, attempt: Attempt) -> Entry:
        """A new entry, on the disk. What an earlier try of the same attempt left is kept. Raises OSError."""
        folder = self.folder / f"{attempt.run_id}-{attempt.attempt}"
        (folder / _EVIDENCE).mkdir(parents=True, exist_ok=True)
        plain = Attempt(attempt.run_id, attempt.session_id, attempt.attempt)
        _write(folder / _CLAIM, msgspec.json.encode(plain))
        _sync_folder(self.folder)
        return Entry(folder, plain, _count(folder / _INTENTS))

    def entries(self) -> list[Entry]:
        """What an earlier process left, oldest first. A folder without a readable claim never did anything
        (the claim is written first) and is removed."""
        found = []
        for folder in self.folder.iterdir():
            if not folder.is_dir() or folder.name.startswith("."):
                continue
            try:
                attempt = msgspec.json.decode((folder / _CLAIM).read_bytes(), type=Attempt)
            except (OSError, msgspec.MsgspecError):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            found.append(Entry(folder, attempt, _count(folder / _INTENTS)))
        return sorted(found, key=lambda entry: (entry.attempt.run_id, entry.attempt.attempt))


def _count(path: Path) -> int:
    """Lines, the torn last one too: what is half written was about to happen."""
    try:
        return len(path.read_bytes().splitlines())
    except OSError:
        return 0


def _append(path: Path, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, line.encode("utf-8", "replace") + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.part")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    os.replace(draft, path)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """So that the name is on the disk too, and not only what it names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
