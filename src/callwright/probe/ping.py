"""An ICMP train."""

from __future__ import annotations

from collections.abc import Callable

from callwright.probe.icmp import Echo, GivenBack, echo_request, read
from callwright.probe.train import Shape, Train

_UDP_HEADER = 8  # as long as ICMP's


class Ping(Train):
    """`version`: 4 or 6. Answers are told by a token in the payload, since the kernel may choose the
    identifier."""

    kind = "ping"

    def __init__(self, shape: Shape, version: int, now: float, entropy: Callable[[int], bytes]) -> None:
        super().__init__(shape, now)
        self.version = version
        self.identifier = int.from_bytes(entropy(2), "big")
        self._token = entropy(8)
        self._payload = self._token + bytes(shape.octets - len(self._token))

    def request(self, sequence: int, now: float) -> bytes:
        return echo_request(self.version, self.identifier, sequence, self._payload)

    def receive(self, data: bytes, now: float, wall: float, ttl: int | None = None) -> None:
        match read(self.version, data):
            case Echo(payload=payload, sequence=sequence) if payload[:8] == self._token:
                self.answered(sequence, now)
            case GivenBack(identifier=identifier, reason=reason) if identifier == self.identifier:
                self.refused(f"The network gave it back: {reason}.")

    def silence(self) -> str:
        count = len([packet for packet in self.plan if packet.sent is not None])
        return (
            f"No echo came back of {count}: the host is down, or something on the way drops ICMP."
            if count != 1
            else "No echo came back: the host is down, or something on the way drops ICMP."
        )
