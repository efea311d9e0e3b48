"""Children that never outlive their parent, whatever ends it.

On Linux the kernel is told (PR_SET_PDEATHSIG, prctl(2)); elsewhere a watcher beside the child looks twice a
second. The setting survives exec, so `bound_to_parent` works for programs that know nothing of it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1

#: Runs before the program, in its process. argv: the parent's pid, then the program and its arguments.
_BIND = f"""
import os, signal, sys, time
parent = int(sys.argv[1])
if sys.platform.startswith("linux"):
    import ctypes
    ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, signal.SIGKILL, 0, 0, 0)
else:
    me = os.getpid()
    if os.fork() == 0:
        os.setsid()
        while os.getppid() == me:
            try:
                os.kill(parent, 0)
            except ProcessLookupError:
                os.kill(me, signal.SIGKILL)
            time.sleep(0.5)
        os._exit(0)
if os.getppid() != parent:
    os._exit(1)
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def bound_to_parent(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` as a child of this process and dies with it.

    SIGINT and SIGHUP are as by default there, whatever this process was started with: below nohup(1) a server
    in Go would never hear the SIGHUP that makes it read its configuration again.

    The process keeps its pid: what is started is what is signalled. It must be started from a thread that
    lasts as long as the process does (the main thread).
    """
    return [sys.executable, "-I", "-S", "-c", _BIND, str(os.getpid()), *command]


def die_with_parent(parent: int | None = None) -> bool:
    """This process is killed when the one that started it ends. Does nothing, and says False, where the
    kernel has no such thing. `parent`: pid of that one; if it has ended before the kernel was told, this
    process ends now, for nobody would end it any more."""
    if not sys.platform.startswith("linux"):
        return False
    done: int = ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
    return done == 0
