"""Two network namespaces with a wire between them: ours, and a strangers' with public addresses."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from callwright.autoscaler.providers.netns import NamespaceSettings
from callwright.net.impairment import Impairments
from callwright.net.namespace import why_not

__all__ = ["Networks", "spare_network", "two_networks"]


@dataclass(frozen=True, slots=True)
class Networks:
    """``near``, ``far``: names of the namespaces; ``ours``: our address; ``theirs``: those of strangers."""

    near: str
    far: str
    ours: str
    theirs: tuple[str, ...]

    def command(self, namespace: str, *arguments: str) -> list[str]:
        """A command line that runs Python within a namespace."""
        return ["ip", "netns", "exec", namespace, sys.executable, *arguments]


@contextlib.contextmanager
def two_networks(
    ours: str = "198.51.100.1", theirs: Sequence[str] = ("203.0.113.7", "203.0.113.99")
) -> Iterator[Networks]:
    """Addresses of documentation, which nobody has; nothing leaves the namespaces. Root only."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    near, far = f"cwn{os.getpid()}", f"cwf{os.getpid()}"
    try:
        for command in (
            f"ip netns add {near}",
            f"ip netns add {far}",
            f"ip -n {near} link add wire type veth peer name wire netns {far}",
            f"ip -n {near} addr add {ours}/32 dev wire",
            *(f"ip -n {far} addr add {address}/32 dev wire" for address in theirs),
            *(f"ip -n {one} link set {device} up" for one in (near, far) for device in ("lo", "wire")),
            f"ip -n {near} route add default dev wire src {ours}",
            f"ip -n {far} route add default dev wire src {theirs[0]}",
        ):
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False, timeout=20)
            if done.returncode != 0:
                pytest.skip(f"no network namespaces here: {command}: {done.stderr.strip()}")
        yield Networks(near, far, ours, tuple(theirs))
    finally:
        for one in (near, far):
            subprocess.run(["ip", "netns", "del", one], capture_output=True, check=False, timeout=20)


def spare_network(impairment: Impairments | None = None) -> NamespaceSettings:
    """For servers in namespaces; of this process alone, so that tests run beside each other."""
    if reason := why_not(tunnels=impairment is not None):
        pytest.skip(reason)
    number = os.getpid() % (1 << 9)
    return NamespaceSettings(network=f"198.{18 + (number >> 8)}.{number & 255}.0/24", impairment=impairment)
