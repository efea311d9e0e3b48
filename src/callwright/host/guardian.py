"""The guardian: ends the calls of a process that was killed. Started by the process that it guards.

    python -m callwright.host.guardian       with the line to that process as standard input

It has a session of its own, sleeps while the other lives, and needs next to nothing till then. When the line
ends, it ends every call that it was told of and not told the end of: an answered one by BYE, one that nobody
has answered by CANCEL; a 200 that comes all the same is acknowledged and ended. Then it ends itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from typing import Any

import msgspec

from callwright.net.guardian_line import AT_THE_END

_log = logging.getLogger("callwright.guardian")
_LARGEST = 1 << 18
_MOST_DESCRIPTORS = 16
_QUIET = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)  # whoever ends the other ends us


class _Section:
    """An estate as it was told. `wills`: key -> what was said of it; `sockets`: our ends."""

    def __init__(self, estate: Any) -> None:
        self.estate = estate
        self.wills: dict[str, Any] = {}
        self.sockets: list[int] = []
        self.ledgers: list[tuple[Any, list[int]]] = []
        self.accounts: list[tuple[str, str]] = []

    @property
    def empty(self) -> bool:
        return not self.wills and not self.ledgers

    def drop(self) -> None:
        for descriptor in (*self.sockets, *(one for _, some in self.ledgers for one in some)):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def main() -> None:
    for number in _QUIET:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # of those that end orphans nothing is asked
    line = socket.socket(fileno=os.dup(0))
    sections: dict[int, _Section] = {}
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(line, _LARGEST, _MOST_DESCRIPTORS)
        except OSError:
            break
        if not data:
            break
        _take(sections, data, descriptors)
    with contextlib.suppress(OSError):
        line.send(AT_THE_END)  # to who ends in order, and cares whether it was heard
    line.close()
    _end([section for section in sections.values() if not section.empty])


def _take(sections: dict[int, _Section], data: bytes, descriptors: list[int]) -> None:
    message = json.loads(data)  # not by msgspec, which refuses lone surrogates
    number, what = message["section"], message["what"]
    section = sections.get(number)
    if what == "estate":
        sections[number] = _Section(message["estate"])
    elif section is None:
        for descriptor in descriptors:
            os.close(descriptor)
    elif what == "socket":
        section.sockets += descriptors
    elif what == "ledger":
        section.ledgers.append((message, descriptors))
    elif what == "accounts":
        section.accounts += [(user, password) for user, password in message["rows"]]
    elif what == "will":
        section.wills[message["key"]] = message["will"]
    elif what == "over":
        section.wills.pop(message["key"], None)
    elif what in ("close", "orphan"):
        del sections[number]
        if what == "orphan" and not section.empty and os.fork() == 0:
            _end([section])
            os._exit(0)
        section.drop()


def _end(sections: list[_Section]) -> None:
    """All at once, each by its own rules."""
    if not sections:
        return
    from callwright.host.logging import VARIABLE, set_up

    set_up("json" if os.environ.get(VARIABLE) == "json" else "text")
    asyncio.run(_end_all(sections))


async def _end_all(sections: list[_Section]) -> None:
    from callwright.generator.wills import wills_of_load
    from callwright.phone.guard import Estate
    from callwright.phone.inheritance import end_estate
    from callwright.sip.will import Will

    work = []
    for section in sections:
        try:
            estate = msgspec.convert(section.estate, Estate)
            wills = [msgspec.convert(told, Will) for told in section.wills.values()]
            sockets = list(section.sockets)
            for told, (memory, *ours) in section.ledgers:
                wills += wills_of_load(memory, told["local"], told["remote"], section.accounts)
                sockets += ours
        except (msgspec.ValidationError, OSError) as error:
            _log.warning("messages about calls cannot be read: %s", error)
            continue
        work.append(end_estate(estate, wills, sockets))
    for done in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(done, BaseException):
            _log.error("calls were not ended: %s: %s", type(done).__name__, done)


if __name__ == "__main__":
    main()
