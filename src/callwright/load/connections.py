"""What a load tells of its TCP and TLS connections, beside what its loop counts. Pure."""

from __future__ import annotations

import array
from collections.abc import Sequence

from callwright.generator.names import BUCKETS, COUNTERS, HISTOGRAMS, bucket_of
from callwright.net.bulk_streams import StreamCounts

_COUNTED = {
    "connections": "opened",
    "connections_accepted": "accepted",
    "connections_failed": "failed",
    "handshakes": "handshakes",
}


class Connected:
    """Of one run: what was counted since it began."""

    def __init__(self) -> None:
        self._before = StreamCounts()
        self._buckets = {name: array.array("Q", bytes(8 * BUCKETS)) for name in ("connect", "handshake")}

    def begin(self, counts: StreamCounts) -> None:
        self.__init__()  # type: ignore[misc]
        self._take(counts)
        for buckets in self._buckets.values():
            buckets[:] = array.array("Q", bytes(8 * BUCKETS))
        for name in _COUNTED.values():
            setattr(self._before, name, getattr(counts, name))

    def _take(self, counts: StreamCounts) -> None:
        for name, times in (("connect", counts.connect_us), ("handshake", counts.handshake_us)):
            taken = times[:]
            del times[: len(taken)]
            for time in taken:
                self._buckets[name][bucket_of(time)] += 1

    def onto(
        self, counts: StreamCounts, counters: Sequence[int], histograms: bytes
    ) -> tuple[list[int], bytes]:
        """The numbers of a loop, with those of its connections in their places."""
        self._take(counts)
        told = list(counters)
        for name, attribute in _COUNTED.items():
            told[COUNTERS.index(name)] = getattr(counts, attribute) - getattr(self._before, attribute)
        size = 8 * BUCKETS
        whole = bytearray(histograms)
        for name, buckets in self._buckets.items():
            at = size * HISTOGRAMS.index(name)
            whole[at : at + size] = buckets.tobytes()
        return told, bytes(whole)
