"""The ladder of a run while it happens: its messages so far, small enough to be sent to who watches."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from callwright.evidence.ladder import MessageRow, build_ladder
from callwright.evidence.ladder_file import row_to_json
from callwright.evidence.redaction import Redactor
from callwright.net.tap import Packet

MOST_MESSAGES = 60
"""Messages that are told of, the first ones; the others are seen when the run has ended."""
LONGEST_RAW = 3_000
"""Characters of one message: all of them together must go into one message of the broker."""


class Unfolding:
    """A tap, from any thread, for SIP alone: streams have their figures each second.

    `users` names lanes: the user part of an address to the name of its party.
    """

    def __init__(self, *, redactor: Redactor | None = None, users: Mapping[str, str] | None = None) -> None:
        self._redactor = redactor if redactor is not None else Redactor()
        self._users = dict(users or {})
        self._packets: list[Packet] = []
        self._told = 0

    def __call__(self, packets: Sequence[Packet]) -> None:
        # Both ends may be seen, so a message can be two packets.
        room = 3 * MOST_MESSAGES - len(self._packets)
        self._packets += [packet for packet in packets if packet.kind == "sip"][: max(0, room)]

    @property
    def changed(self) -> bool:
        """Whether there is more than when it was last told."""
        return len(self._packets) > self._told

    def tell(self, origin: float) -> dict[str, Any]:
        """The whole ladder as JSON; `origin` is unix seconds, what `at` counts from."""
        packets = list(self._packets)
        self._told = len(packets)
        ladder = build_ladder(packets, origin=origin, redactor=self._redactor)
        parties = [
            dataclasses.replace(party, name=self._users.get(party.name, party.name))
            for party in ladder.parties
        ]
        return {
            "origin": origin,
            "parties": [dataclasses.asdict(party) for party in parties],
            "rows": [row_to_json(_short(row)) for row in ladder.messages[:MOST_MESSAGES]],
            "more": max(0, len(ladder.messages) - MOST_MESSAGES),
        }


def _short(row: MessageRow) -> MessageRow:
    if len(row.raw) <= LONGEST_RAW:
        return row
    return dataclasses.replace(row, raw=f"{row.raw[:LONGEST_RAW]}\n… cut here; the evidence has all of it")
