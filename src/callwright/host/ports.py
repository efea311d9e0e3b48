"""Ports of this machine that are free now."""

from __future__ import annotations

import errno
import socket
import time

from callwright.host.operator import EXIT_PLATFORM, Refused

_PATIENCE = 2.0  # seconds: a platform that was killed a moment ago leaves its port at once, not before

_NO_HOST = "Such as --host 127.0.0.1, or 0.0.0.0 for all addresses."
_REMEDIES = {
    errno.EACCES: "Ports below 1024 need rights: choose another, and put a proxy before it.",
    errno.EADDRNOTAVAIL: _NO_HOST,
}


def claim_port(host: str, port: int) -> int:
    """The TCP port, a free one for 0. Raises Refused (exit code 3) when somebody else listens there."""
    deadline = time.monotonic() + _PATIENCE
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                probe.listen(1)
                found: int = probe.getsockname()[1]
                return found
        except socket.gaierror as error:
            raise Refused(
                f"--host {host} is not an address of this machine: {error.strerror}", _NO_HOST
            ) from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            if error.errno == errno.EADDRINUSE:
                raise Refused(
                    f"port {port} of {host} is in use by another program",
                    "Choose another with --port, or 0 for any free one.",
                    code=EXIT_PLATFORM,
                    blame="platform",
                ) from None
            raise Refused(
                f"--host {host} --port {port}: {error.strerror or error}",
                _REMEDIES.get(error.errno or 0, ""),
                code=EXIT_PLATFORM,
                blame="platform",
            ) from None


def free_udp_port(host: str, wanted: int = 0) -> int:
    """`wanted` when it is free for UDP and TCP, else another."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (wanted, *[0] * 20):
        try:
            with (
                socket.socket(family, socket.SOCK_DGRAM) as udp,
                socket.socket(family, socket.SOCK_STREAM) as tcp,
            ):
                udp.bind((host, port))
                found: int = udp.getsockname()[1]
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind((host, found))
                return found
        except OSError:
            continue
    raise Refused(
        f"{host} has no free port for the PBX",
        "End what holds them, or start without it: --no-pbx",
        code=EXIT_PLATFORM,
        blame="platform",
    )
