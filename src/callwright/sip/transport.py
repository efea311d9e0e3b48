"""Where a message goes and which flow it came over: names and addresses, never sockets."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Transport(StrEnum):
    """The transports of RFC 3261 section 18 and RFC 7118, spelled as in a Via."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"
    WS = "WS"
    WSS = "WSS"

    @property
    def reliable(self) -> bool:
        """True where the transport itself repeats what was lost (RFC 3261 section 17)."""
        return self is not Transport.UDP

    @property
    def default_port(self) -> int:
        """The port that is meant where none is named (RFC 3261 section 19.1.2, RFC 7118 section 8)."""
        return _PORTS[self]

    @property
    def secure(self) -> bool:
        """Over TLS."""
        return self in (Transport.TLS, Transport.WSS)

    @property
    def over_websocket(self) -> bool:
        return self in (Transport.WS, Transport.WSS)

    @property
    def is_stream(self) -> bool:
        """Octets without boundaries: messages end by their Content-Length (RFC 3261 section 18.3)."""
        return self in (Transport.TCP, Transport.TLS)

    @property
    def parameter(self) -> str:
        """The `transport` of a SIP URI that means it; `ws` with and without TLS (RFC 7118 section 5.2)."""
        return "ws" if self is Transport.WSS else self.value.lower()

    @classmethod
    def asked(cls, parameter: str | None, *, secure: bool = False) -> Transport | None:
        """What the `transport` parameter of a URI asks for; `secure`: of a `sips` URI. None: nothing that is
        spoken here."""
        found = cls.__members__.get((parameter or "").upper())
        if secure:
            return cls.WSS if found in (cls.WS, cls.WSS) else cls.TLS
        return found


_PORTS = {
    Transport.UDP: 5060,
    Transport.TCP: 5060,
    Transport.TLS: 5061,
    Transport.WS: 80,
    Transport.WSS: 443,
}


class Address(NamedTuple):
    """A numeric IP address (an IPv6 address without brackets) and a port, 0 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Hop:
    """One leg of the way, both where a request goes and the flow a message came over.

    `name` is the host name that the peer's certificate has to bear (TLS); two hops that differ in it only are
    equal.
    """

    transport: Transport
    local: Address
    remote: Address
    name: str = field(default="", compare=False)

    def __eq__(self, other: object) -> bool:
        """A permitted hop and the flow that comes back over it are the same way."""
        if not isinstance(other, Hop):
            return NotImplemented
        return (self.transport, self.local, self.remote) == (other.transport, other.local, other.remote)

    def __str__(self) -> str:
        return f"{self.transport.value} {self.local} -> {self.remote}"


@dataclass(frozen=True, slots=True, eq=False)
class PermittedHop(Hop):
    """A hop whose remote address the policy was asked about, and permitted.

    Every verb that sends a request somewhere takes one. `phone/permission` alone makes it: a test reads the
    code for that.
    """
