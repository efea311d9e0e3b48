"""Passwords that were typed, out of the list of processes: any user of the machine can read it.

Linux shows the octets that lie where the kernel put the arguments; they are overwritten there, one for one.
Elsewhere, and where the kernel does not tell the place, nothing happens.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

_MASK = b"*"
_STAT_ARG_START, _STAT_ARG_END = 47, 48  # fields 48 and 49 of proc_pid_stat(5), counted from 0
_AFTER_NAME = 2  # the fields after the name of the command, which may hold blanks, begin with the third


def secrets_among(arguments: Sequence[str]) -> Iterator[str]:
    """The parts of a command line that are secrets: --password X, --account U:X, --set NAME=U:X and
    --set ….password=X, each with a blank or `=` after the flag.
    """
    words = list(arguments)
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag not in ("--password", "--account", "--set"):
            continue
        if not equals:
            value = words[index + 1] if index + 1 < len(words) else ""
        if flag == "--password":
            yield value
        elif flag == "--account":
            yield value.partition(":")[2]
        else:
            address, _, given = value.partition("=")
            if address.endswith("password"):
                yield given
            elif "." not in address and address not in ("target", "transport"):
                yield given.partition(":")[2]


def hide(arguments: Sequence[str]) -> None:
    """Mask the secrets among `arguments` in what others see of this process."""
    hidden = [secret.encode("utf-8", "surrogateescape") for secret in secrets_among(arguments) if secret]
    if not hidden or not sys.platform.startswith("linux"):
        return
    import ctypes

    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start = int(fields[_STAT_ARG_START - _AFTER_NAME])
        end = int(fields[_STAT_ARG_END - _AFTER_NAME])
        with open("/proc/self/cmdline", "rb") as file:
            shown = file.read()
    except (OSError, ValueError, IndexError):
        return
    if not start or len(shown) != end - start:
        return
    masked = shown
    for secret in sorted(hidden, key=len, reverse=True):
        masked = masked.replace(secret, _MASK * len(secret))
    ctypes.memmove(start, masked, len(masked))
