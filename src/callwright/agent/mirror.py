"""SIP as it passes, sent on to a collector elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Self

from callwright.evidence.hep import HepEncoder
from callwright.evidence.redaction import Redactor
from callwright.net.address import split_host_port
from callwright.net.collector import Collector
from callwright.net.tap import Packet, Tap

__all__ = ["Mirror"]

_PORT = 9060  # where HOMER listens


class Mirror:
    """One socket for all runs of a process; each run has a tap with its own secrets."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    @classmethod
    def to(cls, place: str, *, on_loss: Callable[[str], None]) -> Self:
        """``place``: HOST or HOST:PORT. Raises ValueError, Unreachable."""
        host, port = split_host_port(place)
        return cls(Collector(host, port or _PORT, on_loss=on_loss))

    def tap(self, secrets: Iterable[str] = ()) -> Tap:
        encoder = HepEncoder(Redactor(list(secrets)))

        def mirror(packets: Sequence[Packet]) -> None:
            if any(packet.kind == "sip" for packet in packets):
                for datagram in encoder.encode(packets):
                    self._collector.send(datagram)

        return mirror

    def close(self) -> None:
        self._collector.close()
