"""The way to the guardian: a process with a session of its own, told of calls before they are placed.

What is said is kept here too, and said again when the guardian itself was killed and another took its place.
Each message is one packet of a Unix socket, sockets of ours travel with it (unix(7), SCM_RIGHTS). The
guardian knows that this process is gone when the socket ends. Linux only; elsewhere nothing is kept.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)

AT_THE_END = b"!"
SEND_BUFFER = 4 * 1024 * 1024
LARGEST = 200_000  # octets of one message
_READ_BY = 10.0  # seconds in which a guardian that lives has read what was said
_LAST_WORDS = 2.0  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE, _STEADY = 0.1, 5.0, 30.0

Message = tuple[bytes, tuple[int, ...]]


def available() -> bool:
    return sys.platform == "linux"


@dataclass(slots=True)
class _Section:
    """What the guardian has to know of one estate: said first, with its sockets, and then by key."""

    first: list[Message] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    last: bytes | None = None
    """What ends it, where another guardian is told it all if this one dies before it can have read it."""
    until: float = 0.0

    def messages(self) -> list[Message]:
        told = [*self.first, *((body, ()) for body in self.kept.values())]
        return told if self.last is None else [*told, (self.last, ())]


class GuardianLine:
    """`command` starts the guardian, with its end of the line as standard input. Threads may speak at once.

    `frame(section, key, body)` makes a message; a `key` that is said again replaces what was said before.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._lock = threading.Lock()
        self._sections: dict[int, _Section] = {}
        self._leaving: list[_Section] = []  # closed, and maybe not heard of yet
        self._serial = 0
        self._backlog: deque[Message] = deque()
        self._socket: socket.socket | None = None
        self._deaf = False  # the guardian is gone, and the next one is not there yet
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    # -- what is to be kept

    def open(self, body: Callable[[int], bytes]) -> int:
        """A new section, which begins with this message; its number."""
        with self._lock:
            self._start()
            self._serial += 1
            number = self._serial
            message: Message = (body(number), ())
            self._sections[number] = _Section([message])
            self._send(message)
        return number

    def lend(self, number: int, body: bytes, descriptors: Sequence[int]) -> None:
        """A message with descriptors, of which copies are kept until the section is closed."""
        copies = tuple(os.dup(descriptor) for descriptor in descriptors)
        with self._lock:
            section = self._sections.get(number)
            if section is None:
                _close(copies)
                return
            section.first.append((body, copies))
            self._send((body, copies))

    def keep(self, number: int, key: str, body: bytes, *, over: bool = False) -> None:
        with self._lock:
            section = self._sections.get(number)
            if section is None or len(body) > LARGEST:
                return
            if over:
                section.kept.pop(key, None)
            else:
                section.kept[key] = body
            self._send((body, ()))

    def close_section(self, number: int, body: bytes, *, must_hear: bool = False) -> None:
        """With a last message; one that `must_hear` is said to the next guardian where this one is gone."""
        with self._lock:
            section = self._sections.pop(number, None)
            if section is None:
                return
            if must_hear:
                section.last, section.until = body, time.monotonic() + _READ_BY
            self._leaving.append(section)
            self._send((body, ()))
            self._let_go()

    def _let_go(self) -> None:
        """Of sockets of closed sections, once nothing has to be said of them any more."""
        if self._backlog or self._deaf:
            return
        now = time.monotonic()
        left, self._leaving = self._leaving, [one for one in self._leaving if one.until > now]
        for section in left:
            if section.until <= now:
                for _, copies in section.first:
                    _close(copies)

    def close(self) -> None:
        """Nothing is to be kept any more. The guardian ends by itself, and at once where nothing was left."""
        with self._lock:
            self._closing = True
            self._poke()
        if self._thread is not None:
            self._thread.join(_LONGEST_PAUSE + 1)
        with self._lock:
            self._say_the_rest()
            sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def _say_the_rest(self) -> None:
        """Before this process ends: also where the guardian was killed, and none took its place yet."""
        must = bool(self._sections) or any(section.last is not None for section in self._leaving)
        if self._process is None or not must:
            return
        if self._heard():
            return
        if self._socket is not None:
            self._socket.close()
        try:
            self._spawn()
        except OSError as error:
            self._socket = None
            _log.warning("the guardian of the calls cannot be started: %s", error)
        self._heard()

    def _heard(self) -> bool:
        """Whether the guardian has read all that was said, or at least was not seen to die of it. It says one
        octet when it has read to the end."""
        sock, until = self._socket, time.monotonic() + _LAST_WORDS
        if sock is None:
            return False
        while self._backlog and not self._deaf and time.monotonic() < until:
            select.select([], [sock], [], 0.1)
            self._flush()
        try:
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(max(until - time.monotonic(), 0.1))
            return not self._deaf and sock.recv(1) == AT_THE_END
        except TimeoutError:
            return True
        except OSError:
            return False

    # -- the guardian

    def _start(self) -> None:
        if self._thread is None:
            self._spawn()
            self._thread = threading.Thread(target=self._watch, name="callwright-guardian", daemon=True)
            self._thread.start()

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            ours.setblocking(False)
            self._process = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # neither Ctrl-C nor the end of a terminal is for it
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket, self._deaf = ours, False
        self._backlog.clear()
        leaving = [section for section in self._leaving if section.last is not None]
        for section in (*self._sections.values(), *leaving):
            self._backlog.extend(section.messages())

    def _watch(self) -> None:
        """Sends what had to wait, and starts another guardian when this one is gone."""
        pause, began = _FIRST_PAUSE, time.monotonic()
        while not self._is_closing():
            if self._look():
                continue
            if self._is_closing():
                return
            _log.warning("the guardian of the calls has ended; it is started again")
            pause = _FIRST_PAUSE if time.monotonic() - began > _STEADY else min(_LONGEST_PAUSE, 2 * pause)
            time.sleep(pause)
            began = time.monotonic()
            with self._lock:
                if self._process is not None:
                    self._process.poll()
                if self._socket is not None:
                    self._socket.close()
                try:
                    self._spawn()
                except OSError as error:
                    self._socket, self._deaf = None, True
                    _log.warning("the guardian of the calls cannot be started: %s", error)

    def _is_closing(self) -> bool:
        return self._closing

    def _look(self) -> bool:
        """One wait; False when the guardian is gone."""
        with self._lock:
            sock = self._socket
            wanted = select.POLLOUT if self._backlog else 0
        if sock is None:
            return False
        poll = select.poll()
        poll.register(sock, wanted | select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        for descriptor, what in poll.poll():
            if descriptor == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            elif what & (select.POLLIN | select.POLLHUP | select.POLLERR):
                return False  # it never says anything, so this is its end
            elif what & select.POLLOUT:
                with self._lock:
                    self._flush()
        return True

    def _send(self, message: Message) -> None:
        """With the lock held. In order: nothing overtakes what waits."""
        if self._backlog or not self._try(message):
            self._backlog.append(message)
            self._poke()

    def _flush(self) -> None:
        while self._backlog and self._try(self._backlog[0]):
            self._backlog.popleft()
        self._let_go()

    def _try(self, message: Message) -> bool:
        if self._socket is None:
            return False
        body, descriptors = message
        try:
            if descriptors:
                socket.send_fds(self._socket, [body], list(descriptors))
            else:
                self._socket.send(body)
        except BlockingIOError:
            return False
        except OSError as error:
            _log.debug("the guardian was not told: %s", error)
            self._deaf = True
            return True  # it is gone: the next one is told everything anew
        return True

    def _poke(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"!")


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
