"""Agents as processes of this machine, each in a network namespace with an address of its own.

As `process` otherwise, whose folders and ends it shares: a namespace has no name and goes with its agent
(`net.namespace`), so nothing of it is orphaned.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from urllib.parse import urlsplit

from callwright.autoscaler.provider import Order, OutOfStock, Unusable
from callwright.autoscaler.providers.process import AGENT, Processes
from callwright.net.address import numeric_host
from callwright.net.impairment import Impairments
from callwright.net.namespace import Namespace, routed_addresses, why_not, within

__all__ = ["NamespaceSettings", "Namespaces", "doors"]

_SMALLEST = 30  # bits: a gateway and one server


@dataclass(frozen=True, slots=True)
class NamespaceSettings:
    """A table `[providers.NAME]` with `driver = "netns"`. ``network``: whose first address is this machine,
    the others are of servers; by default that of benchmarks (RFC 2544), which nobody routes.
    ``impairment``: of each direction between a server and everything else, see `net.impairment`."""

    driver: str = "netns"
    network: str = "198.18.0.0/15"
    impairment: Impairments | None = None

    def __post_init__(self) -> None:
        if self.driver != "netns":
            raise ValueError(f"{self.driver!r} is not the driver netns")
        if ipaddress.IPv4Network(self.network).prefixlen > _SMALLEST:
            raise ValueError(f"{self.network} has no room for a server: use one of /{_SMALLEST} or wider")


class Namespaces(Processes):
    """``reach``: URLs on this machine that agents ask beside the one where they enrol; those of loopback are
    reached from within a namespace too."""

    def __init__(
        self,
        root: Path,
        settings: NamespaceSettings | None = None,
        *,
        reach: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = AGENT,
        patience: float = 8.0,
        readable: Callable[[str], str] = str.strip,
    ) -> None:
        super().__init__(root, environment=environment, command=command, patience=patience, readable=readable)
        self._settings, self._reach = settings or NamespaceSettings(), reach
        self._choosing = threading.Lock()
        self._network = ipaddress.IPv4Network(self._settings.network)
        if reason := why_not(tunnels=self._settings.impairment is not None):
            raise Unusable(reason)

    def _program(self, order: Order) -> Sequence[str]:
        wanted = Namespace(
            address=self._taken(order.name),
            gateway=str(self._network[1]),
            device=f"cw{blake2b(str(self._folder(order.name)).encode(), digest_size=6).hexdigest()}",
            doors=doors([order.url, *self._reach]),
            impairment=self._settings.impairment,
            seed=order.name,
        )
        return within(wanted, super()._program(order))

    def _address(self, name: str) -> str:
        try:
            return (self._folder(name) / "address").read_text(encoding="ascii")
        except OSError:
            return ""

    def _taken(self, name: str) -> str:
        """The address of this server, chosen once and kept with it. Raises OutOfStock."""
        if known := self._address(name):
            return known
        with self._choosing:
            used = {str(self._network[1]), *routed_addresses()}
            used.update(self._address(folder.name) for folder in self._root.iterdir())
            found = next((str(one) for one in self._network.hosts() if str(one) not in used), None)
            if found is None:
                raise OutOfStock(f"every address of {self._network} has a server")
            (self._folder(name) / "address").write_text(found, encoding="ascii")
        return found


def doors(urls: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """The listeners on loopback among these URLs (or lists of them with commas), each once: those that a
    program in a namespace cannot reach without a door."""
    found: dict[tuple[str, int], None] = {}
    for url in ",".join(urls).split(","):
        parts = urlsplit(url.strip())
        host = numeric_host("127.0.0.1" if parts.hostname == "localhost" else parts.hostname or "")
        if host is not None and ipaddress.ip_address(host).is_loopback:
            usual = {"http": 80, "https": 443, "nats": 4222, "tls": 4222}.get(parts.scheme, 0)
            if port := parts.port or usual:
                found[host, port] = None
    return tuple(found)
