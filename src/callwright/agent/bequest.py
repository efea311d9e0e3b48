"""What ends the calls of a run, on the disk beside its intents, for when agent and guardian are both killed.

A file of lines in the spool's entry, each a JSON object: `{"estate": N, "of": {…}}`, then `{"estate": N,
"key": K, "will": {…}|null}`; the last line of a key holds. It has no passwords, nor what was made with them.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from callwright.agent.spool import Entry, Spool
from callwright.phone.guard import Estate, Guard, Kept, KeptLoad
from callwright.sip.transport import Address
from callwright.sip.will import Will

_log = logging.getLogger(__name__)


class WrittenGuard:
    """See `phone.guard.Guard`: writes down, then has another keep it. `journal` gives the open entry."""

    def __init__(self, guard: Guard | None, journal: Callable[[], Entry | None]) -> None:
        self._guard, self._journal = guard, journal
        self._serials = itertools.count(1)

    def open(self, estate: Estate) -> Kept:
        number = next(self._serials)
        self.write({"estate": number, "of": msgspec.to_builtins(estate)})
        return _Written(self, number, self._guard.open(estate) if self._guard is not None else None)

    def watch(
        self,
        estate: Estate,
        local: tuple[str | int, ...],
        remote: tuple[str | int, ...] | None,
        accounts: Sequence[tuple[str, str]],
        descriptors: Sequence[int],
    ) -> KeptLoad:
        """Of a load nothing is written down: a call of it costs no system call."""
        if self._guard is None:
            return _Nothing()
        return self._guard.watch(estate, local, remote, accounts, descriptors)

    def write(self, line: dict[str, Any]) -> None:
        """A disk that is full keeps nothing; the guardian does all the same."""
        entry = self._journal()
        if entry is None:
            return
        try:
            entry.bequeath(json.dumps(line).encode())  # in ASCII, see phone.guarding
        except OSError as error:
            _log.warning(
                "the dialog of a call of run %d could not be written to the disk: %s",
                entry.attempt.run_id,
                error,
            )


class _Nothing:
    def close(self) -> None:
        """Nobody keeps it."""

    def orphan(self) -> None:
        """Nobody keeps it."""


class _Written:
    def __init__(self, guard: WrittenGuard, number: int, kept: Kept | None) -> None:
        self._guard, self._number, self._kept = guard, number, kept

    def lend(self, local: Address, descriptor: int) -> None:
        if self._kept is not None:
            self._kept.lend(local, descriptor)

    def keep(self, key: str, will: Will | None) -> None:
        written = msgspec.to_builtins(will.for_disk()) if will is not None else None
        self._guard.write({"estate": self._number, "key": key, "will": written})
        if self._kept is not None:
            self._kept.keep(key, will)

    def close(self) -> None:
        self._guard.write({"estate": self._number, "of": None})
        if self._kept is not None:
            self._kept.close()


def unended(spool: Spool) -> Iterator[tuple[Estate, list[Will]]]:
    """Calls of earlier processes whose end nobody wrote down, and their ends from now on."""
    for entry in spool.entries():
        estates: dict[int, Estate] = {}
        wills: dict[int, dict[str, Will]] = {}
        for line in entry.bequests():
            try:
                told = json.loads(line)
                number = told["estate"]
                if "of" in told:
                    wills[number] = {}
                    if told["of"] is not None:
                        estates[number] = msgspec.convert(told["of"], Estate)
                elif told["will"] is None:
                    wills.setdefault(number, {}).pop(told["key"], None)
                else:
                    wills.setdefault(number, {})[told["key"]] = msgspec.convert(told["will"], Will)
            except (ValueError, LookupError, TypeError):
                continue  # torn by what ended it
        entry.bequeath_no_more()
        for number, left in wills.items():
            if left and number in estates:
                yield estates[number], list(left.values())
