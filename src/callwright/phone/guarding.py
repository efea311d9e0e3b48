"""The guarded side: wills of phones go to the guardian, and there they are read again.

Messages are JSON: `{"section": N, "what": "estate"|"socket"|"will"|"over"|"accounts"|"ledger"|"close"|
"orphan", …}`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from callwright.net.guardian_line import GuardianLine, available
from callwright.phone.guard import Estate, Kept, KeptLoad
from callwright.sip.transport import Address
from callwright.sip.will import Will

_ROWS = 500  # of accounts in one message
GUARDIAN = ("-m", "callwright.host.guardian")


@contextlib.contextmanager
def guarded() -> Iterator[ProcessGuard | None]:
    """The guard of this process; None where there can be none. Its own process starts with the first call."""
    guard = ProcessGuard(GuardianLine([sys.executable, *GUARDIAN])) if available() else None
    try:
        yield guard
    finally:
        if guard is not None:
            guard.close()


class ProcessGuard:
    """See `phone.guard.Guard`."""

    def __init__(self, line: GuardianLine) -> None:
        self.line = line

    def open(self, estate: Estate) -> Kept:
        told = msgspec.to_builtins(estate)
        return _Kept(self.line, self.line.open(lambda number: _say(number, "estate", estate=told)))

    def watch(
        self,
        estate: Estate,
        local: tuple[str | int, ...],
        remote: tuple[str | int, ...] | None,
        accounts: Sequence[tuple[str, str]],
        descriptors: Sequence[int],
    ) -> KeptLoad:
        told = msgspec.to_builtins(estate)
        number = self.line.open(lambda section: _say(section, "estate", estate=told))
        for at in range(0, len(accounts), _ROWS):
            self.line.lend(number, _say(number, "accounts", rows=accounts[at : at + _ROWS]), [])
        self.line.lend(number, _say(number, "ledger", local=local, remote=remote), descriptors)
        return _Kept(self.line, number)

    def bequeath(self, estate: Estate, wills: list[Will]) -> None:
        """Calls of an earlier process: the guardian ends them now."""
        kept = self.open(estate)
        for number, will in enumerate(wills):
            kept.keep(str(number), will)
        if isinstance(kept, _Kept):
            kept.orphan()

    def close(self) -> None:
        self.line.close()


@dataclass(slots=True)
class _Kept:
    line: GuardianLine
    number: int

    def lend(self, local: Address, descriptor: int) -> None:
        self.line.lend(self.number, _say(self.number, "socket", local=list(local)), [descriptor])

    def keep(self, key: str, will: Will | None) -> None:
        if will is None:
            self.line.keep(self.number, key, _say(self.number, "over", key=key), over=True)
        else:
            body = _say(self.number, "will", key=key, will=msgspec.to_builtins(will))
            self.line.keep(self.number, key, body)

    def close(self) -> None:
        self.line.close_section(self.number, _say(self.number, "close"))

    def orphan(self) -> None:
        self.line.close_section(self.number, _say(self.number, "orphan"), must_hear=True)


def _say(section: int, what: str, **more: Any) -> bytes:
    """In ASCII: JSON's escapes keep a peer's octets that are not UTF-8 (lone surrogates here). With another
    tag or URI the guardian would end no call."""
    return json.dumps({"section": section, "what": what, **more}).encode()
