"""Processes that outlive whoever started them, and are found again: each holds a file while it lives.

The file has a record lock (fcntl(2), F_SETLK), which the kernel drops when its process ends, however it ends,
and of which it names the owner. So no pid is trusted that was read from a file, and none is signalled after
another process got it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["holder", "holding"]

#: Runs before the program, in its process: the lock survives exec as long as the descriptor is open.
_HOLD = """
import fcntl, os, signal, sys
held = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
try:
    fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    os._exit(75)
os.set_inheritable(held, True)
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[2], sys.argv[2:])
"""

# struct flock: Linux has type, whence, start, len, pid; BSD and macOS have start, len, pid, type, whence.
_LINUX = sys.platform.startswith("linux")
_LAYOUT = "hhqqi4x" if _LINUX else "qqihh"


def holding(file: Path, command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` and holds ``file`` from before its first step to its end. It
    ends with exit code 75 at once where another process holds the file. The process keeps its pid."""
    return [sys.executable, "-I", "-S", "-c", _HOLD, str(file), *command]


def holder(file: Path) -> int | None:
    """The pid of the process that holds ``file``; None: nobody does, or there is no such file. Raises
    OSError, also where the holder is not a process that this one can see."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if _LINUX:
            asked = struct.pack(_LAYOUT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(_LAYOUT, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        else:
            asked = struct.pack(_LAYOUT, 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
            _, _, pid, kind, _ = struct.unpack(_LAYOUT, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    if kind == fcntl.F_UNLCK:
        return None
    if pid <= 1:
        raise OSError(f"{file} is held by a process that cannot be seen from here")
    return int(pid)
