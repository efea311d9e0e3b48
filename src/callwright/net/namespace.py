"""A program in a network namespace of its own, with an address of its own: `within` runs it.

Two processes: the program, in the namespace, and beside it one outside, which made the namespace, holds what
connects it, passes signals on, and ends as the program does. The namespace has no name and lives as long as
they do, so nothing is left of it, however they end.

- The wire is a pair of veth devices, or a `Tunnel` with an impairment.
- A *door* is an address of this machine's loopback that the program reaches as if it had no namespace: its
  connections are passed on outside. They are not impaired.

Linux; needs CAP_NET_ADMIN, CAP_SYS_ADMIN and iproute2.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec

from callwright.net.impairment import Impairment, Impairments
from callwright.net.process import die_with_parent
from callwright.net.tunnel import Tunnel, open_device

__all__ = ["Namespace", "routed_addresses", "why_not", "within"]

_CLONE_NEWNET = 0x40000000
_NET_ADMIN, _SYS_ADMIN = 12, 21  # linux/capability.h
_INSIDE = "eth0"
_READ = 65_536
_BACKLOG = 128
_IP_SECONDS = 20.0


class Namespace(msgspec.Struct, frozen=True):
    """``address``: of the program; ``gateway``: of this machine, as the program sees it. ``device``: the name
    of the wire's end outside, at most 15 characters. ``doors``: (numeric host, port) of loopback.
    ``impairment``: of each direction; None: the kernel's own wire."""

    address: str
    gateway: str
    device: str
    doors: tuple[tuple[str, int], ...] = ()
    impairment: Impairments | None = None
    seed: str = ""


def within(wanted: Namespace, program: Sequence[str]) -> list[str]:
    """The command line that runs ``program`` there. SIGTERM reaches the program once."""
    return [sys.executable, "-m", "callwright.net.namespace", msgspec.json.encode(wanted).decode(), *program]


def why_not(*, tunnels: bool = False) -> str:
    """Why no namespace can be made here, a sentence without its full stop; "": it can be."""
    if not sys.platform.startswith("linux"):
        return "network namespaces need Linux"
    if shutil.which("ip") is None:
        return "ip is missing: install iproute2"
    with open("/proc/self/status", encoding="ascii") as status:
        held = next((int(line.split()[1], 16) for line in status if line.startswith("CapEff:")), 0)
    if not (held >> _NET_ADMIN & 1 and held >> _SYS_ADMIN & 1):
        return "network namespaces need CAP_NET_ADMIN and CAP_SYS_ADMIN: start the platform as root"
    if tunnels and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "an impairment needs /dev/net/tun, which is missing here: load the kernel's module tun"
    return ""


def routed_addresses() -> set[str]:
    """The single IPv4 addresses that this machine has a route to, those of other namespaces among them."""
    found = set()
    with open("/proc/net/route", encoding="ascii") as table:
        for line in list(table)[1:]:
            columns = line.split()
            if columns[7] == "FFFFFFFF":
                found.add(socket.inet_ntoa(int(columns[1], 16).to_bytes(4, sys.byteorder)))
    return found


# -- the process outside


def main(arguments: Sequence[str]) -> NoReturn:
    wanted, program = msgspec.json.decode(arguments[0], type=Namespace), list(arguments[1:])
    try:
        asyncio.run(_Outside(wanted).run(program))
        raise AssertionError("it ends with the program")
    except OSError as error:
        said = f"the network namespace cannot be made: {error.strerror or error}"
    except subprocess.CalledProcessError as error:
        why = " ".join(error.stderr.split()) or f"ip ended with exit code {error.returncode}"
        said = f"the network namespace cannot be set up: {why}"
    except subprocess.TimeoutExpired:
        said = f"the network namespace cannot be set up: ip does not end within {_IP_SECONDS:g} s"
    print(said, file=sys.stderr)
    sys.exit(1)


def _end_as(status: int) -> NoReturn:
    """As the program ended, so that whoever started us learns it; connections that are up end with us."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(max(code, 0))


class _Outside:
    def __init__(self, wanted: Namespace) -> None:
        self._wanted = wanted
        self._libc = ctypes.CDLL(None, use_errno=True)

    async def run(self, program: Sequence[str]) -> NoReturn:
        """Raises OSError, CalledProcessError, TimeoutExpired before the program begins."""
        wanted = self._wanted
        outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._called(self._libc.unshare(_CLONE_NEWNET))
        inside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _ip("link set lo up")
        listeners = [_listener(host, port) for host, port in wanted.doors]
        begin, child = _waiting(program)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os.kill, child, signal.SIGTERM)
        try:
            self._enter(outside)
            tunnel = self._wire(child, outside, inside)
            self._enter(outside)
            os.close(inside)
            for listener, door in zip(listeners, wanted.doors, strict=True):
                await asyncio.start_server(partial(self._pass_on, door), sock=listener)
            if tunnel is not None:
                tunnel.start()
            os.write(begin, b"!")
        finally:
            os.close(begin)  # without the word the program does not begin
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        _end_as(status)

    def _wire(self, child: int, outside: int, inside: int) -> Tunnel | None:
        """The devices with their addresses and routes. Begins outside."""
        wanted, tunnel = self._wanted, None
        device, address, gateway = wanted.device, wanted.address, wanted.gateway
        if wanted.impairment is None:
            _ip(f"link add {device} type veth peer name {_INSIDE} netns {child}")
        else:
            far = open_device(device)
            self._enter(inside)
            near = open_device(_INSIDE)
            self._enter(outside)
            ways = (Impairment(wanted.impairment, f"{wanted.seed} {way}") for way in ("out", "in"))
            tunnel = Tunnel((near, far), (next(ways), next(ways)))
        _set(device, "ipv6", "disable_ipv6")
        _set(device, "ipv4", "forwarding")  # from one namespace to another
        _ip(
            f"addr add {gateway}/32 dev {device}",
            f"link set {device} up",
            f"route add {address}/32 dev {device} src {gateway}",
        )
        self._enter(inside)
        _set(_INSIDE, "ipv6", "disable_ipv6")
        _ip(
            f"addr add {address}/32 dev {_INSIDE}",
            f"link set {_INSIDE} up",
            f"route add {gateway}/32 dev {_INSIDE} src {address}",
            f"route add default via {gateway} dev {_INSIDE} src {address}",
        )
        return tunnel

    def _enter(self, namespace: int) -> None:
        self._called(self._libc.setns(namespace, _CLONE_NEWNET))

    @staticmethod
    def _called(result: int) -> None:
        if result != 0:
            raise OSError(number := ctypes.get_errno(), os.strerror(number))

    async def _pass_on(
        self, door: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(*door)
            with contextlib.closing(far_writer):
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_READ):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listener.setblocking(False)
    return listener


def _waiting(program: Sequence[str]) -> tuple[int, int]:
    """(where to write a word for it to begin, its pid). It has a process group of its own, so that a signal
    to ours reaches it once, and ends with us."""
    told, begin = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(begin)
        os.setpgid(0, 0)
        die_with_parent(parent)
        if not os.read(told, 1):
            os._exit(1)
        os.set_inheritable(told, False)
        try:
            os.execvp(program[0], list(program))
        except OSError as error:
            print(f"{program[0]}: {error.strerror}", file=sys.stderr, flush=True)
            os._exit(127)
    os.close(told)
    return begin, child


def _ip(*commands: str) -> None:
    """Raises CalledProcessError with what it said."""
    subprocess.run(
        ["ip", "-batch", "-"],
        input="\n".join(commands) + "\n",
        text=True,
        capture_output=True,
        check=True,
        timeout=_IP_SECONDS,
    )


def _set(device: str, family: str, setting: str) -> None:
    """In the namespace of this thread; a kernel may lack it, and a container forbid it."""
    with contextlib.suppress(OSError):
        Path(f"/proc/sys/net/{family}/conf/{device}/{setting}").write_text("1")


if __name__ == "__main__":
    main(sys.argv[1:])
