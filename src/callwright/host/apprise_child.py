"""Sends one message by Apprise. Started by `host/apprise_sender`, no verb of its own.

    python -m callwright.host.apprise_child      with the wish as standard input, and the answer as output

Python tells of each connection, of each file and of each program before it is opened (PEP 578), and a refusal
there cannot be caught up with: it is the address after DNS that is asked about. Whatever a service of Apprise
can be made to do, it reads no file of the platform and starts no program.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import re
import resource
import sys
from typing import Any

import msgspec

from callwright.host.apprise_sender import Sent, Wish
from callwright.policy.outward import refusal_of

_MOST_OCTETS = 262_144
_MOST_MEMORY = 2 * 1024**3
_PROGRAMS = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"}
)
_SOCKETS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_FILES = (
    "/etc/ssl",
    "/etc/pki",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/mime.types",
    "/usr/share",
    "/dev/null",
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND


class _Refused(PermissionError):
    pass


class _Guard:
    """`refused`: the first thing that was asked for and not permitted."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks = networks
        self.refused = ""
        self._readable = (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), *_FILES)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _SOCKETS:
            self._connect(arguments[1])
        elif event == "open":
            self._open(arguments)
        elif event in _PROGRAMS:
            self._refuse("The service would start a program on this machine.")

    def _connect(self, address: Any) -> None:
        if address is None:  # of a socket that is connected
            return
        if not isinstance(address, tuple):
            self._refuse("The service would speak to a program on this machine.")
        host = str(address[0])
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            self._refuse(f"{host[:100]} is no address.")
        why = refusal_of(host, self._networks)
        if why is not None:
            self._refuse(f"{host} is {why}: it is not connected to.")

    def _open(self, arguments: tuple[Any, ...]) -> None:
        path, mode, flags = arguments
        if isinstance(path, int):
            return
        name = os.path.abspath(os.fsdecode(path))
        writes = bool(flags & _WRITES) if isinstance(flags, int) else "r" not in (mode or "r")
        if name != "/dev/null" and (writes or not name.startswith(self._readable)):
            self._refuse("The service would open a file of this machine.")

    def _refuse(self, reason: str) -> None:
        self.refused = self.refused or reason
        raise _Refused(reason)


class _Lines(logging.Handler):
    """What Apprise says of a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            self.said.append(record.getMessage())


def main() -> None:
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    wish = msgspec.json.decode(sys.stdin.buffer.read(_MOST_OCTETS), type=Wish)
    answer = sys.stdout.buffer
    guard = _Guard(wish.networks)
    sys.addaudithook(guard)
    answer.write(msgspec.json.encode(_sent(wish, guard)))
    answer.flush()


def _sent(wish: Wish, guard: _Guard) -> Sent:
    import apprise

    lines = _Lines()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [lines], False
    asset = apprise.AppriseAsset(secure_logging=True, storage_mode=apprise.PersistentStoreMode.MEMORY)
    sender = apprise.Apprise(asset=asset)
    if not sender.add(wish.url):
        return Sent(False, "Apprise cannot read the URL of this channel any more.")
    if sender.notify(body=wish.text, title=wish.title, body_format=apprise.NotifyFormat.TEXT):
        return Sent(True)
    reason = guard.refused or (lines.said[-1] if lines.said else "")
    return Sent(False, without_secrets(reason, wish.url))


def without_secrets(text: str, url: str) -> str:
    """Whatever stands in the URL of a channel is in no reason."""
    for part in sorted(set(re.split(r"[/:@?&=,#]+", url)[1:]), key=len, reverse=True):
        if len(part) >= 4 and not _is_plain(part):
            text = text.replace(part, "…")
    return " ".join(text.split())[:300]


def _is_plain(part: str) -> bool:
    """A host name or an address, which is no secret and helps to find what is wrong."""
    return bool(re.fullmatch(r"[0-9.]+|([A-Za-z0-9-]+\.)+[A-Za-z]{2,}", part))


if __name__ == "__main__":
    main()
