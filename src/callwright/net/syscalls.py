"""The three calls that the media thread makes all the time, in two ways.

`PortableCalls` uses Python's own sockets, which give up the GIL at each call, even at one that cannot block:
with another Python thread busy, having it back takes up to a switch interval each time. `DirectCalls` calls
the C library and keeps the GIL, for a few microseconds, which is all that a call on a non-blocking socket takes.
Linux on 64 bits only; `calls_here()` picks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import selectors
import socket
import struct
import sys
from typing import Protocol

from callwright.net.address import sockaddr
from callwright.sip.transport import Address

# socket(7): time of arrival by CLOCK_REALTIME, in nanoseconds.
SO_TIMESTAMPNS = 35

LARGEST_PACKET = 65_535
REMEMBERED = 4096
_EVENTS = 256
_TIMESPEC = struct.Struct("@ll")
_CONTROL_HEADER = struct.Struct("@Nii")
_ANCILLARY = 128

Arrived = tuple[bytes, tuple[str, int], float | None]
"""(data, source, Unix seconds of arrival if the kernel tells)."""


class MediaCalls(Protocol):
    def send(self, sock: socket.socket, data: bytes, address: tuple[str, int]) -> None:
        """Sends one datagram to a numeric address. Raises OSError, BlockingIOError when there is no room."""
        ...

    def receive(self, sock: socket.socket) -> Arrived:
        """Takes one datagram. Raises BlockingIOError when there is none, OSError when the network erred."""
        ...

    def ready(self, selector: selectors.BaseSelector) -> list[selectors.SelectorKey]:
        """What is readable now, without waiting."""
        ...


class PortableCalls:
    """By Python's sockets."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(LARGEST_PACKET))

    def send(self, sock: socket.socket, data: bytes, address: tuple[str, int]) -> None:
        sock.sendto(data, sockaddr(Address(*address)) if "%" in address[0] else address)

    def receive(self, sock: socket.socket) -> Arrived:
        size, control, _, name = sock.recvmsg_into([self._buffer], _ANCILLARY)
        stamp: float | None = None
        for level, kind, value in control:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(value) >= _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                stamp = seconds + nanoseconds * 1e-9
        return bytes(self._buffer[:size]), (name[0], name[1]), stamp

    def ready(self, selector: selectors.BaseSelector) -> list[selectors.SelectorKey]:
        return [key for key, _ in selector.select(0)]


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MessageHeader(ctypes.Structure):
    """struct msghdr of recvmsg(2) in glibc and musl on 64 bits, little-endian."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class DirectCalls:
    """By the C library, with the GIL kept. For one thread only."""

    def __init__(self) -> None:
        # PyDLL, unlike CDLL, does not release the GIL around a call.
        library = ctypes.PyDLL(None, use_errno=True)
        size = ctypes.c_ssize_t
        self._sendto = library.sendto
        self._sendto.restype = size
        self._sendto.argtypes = (
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_uint32,
        )
        self._recvmsg = library.recvmsg
        self._recvmsg.restype = size
        self._recvmsg.argtypes = (ctypes.c_int, ctypes.POINTER(_MessageHeader), ctypes.c_int)
        self._epoll_wait = library.epoll_wait
        self._epoll_wait.restype = ctypes.c_int
        self._epoll_wait.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
        # struct epoll_event is packed on x86-64 and nowhere else.
        self._event = struct.Struct("=Ii4x" if platform.machine() == "x86_64" else "=I4xi4x")
        self._events = ctypes.create_string_buffer(_EVENTS * self._event.size)
        self._data = ctypes.create_string_buffer(LARGEST_PACKET)
        self._data_view = memoryview(self._data)
        self._name = ctypes.create_string_buffer(128)
        self._control = ctypes.create_string_buffer(_ANCILLARY)
        self._vector = _Vector(ctypes.addressof(self._data), LARGEST_PACKET)
        self._header = _MessageHeader()
        self._header.name = ctypes.addressof(self._name)
        self._header.vectors = ctypes.pointer(self._vector)
        self._header.vector_count = 1
        self._header.control = ctypes.addressof(self._control)
        self._header_pointer = ctypes.pointer(self._header)
        self._packed: dict[tuple[str, int], bytes] = {}
        self._sources: dict[bytes, tuple[str, int]] = {}

    def send(self, sock: socket.socket, data: bytes, address: tuple[str, int]) -> None:
        name = self._packed.get(address)
        if name is None:
            name = pack_sockaddr(address)
            if len(self._packed) >= REMEMBERED:
                self._packed.clear()
            self._packed[address] = name
        if self._sendto(sock.fileno(), data, len(data), socket.MSG_DONTWAIT, name, len(name)) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def receive(self, sock: socket.socket) -> Arrived:
        header = self._header
        header.name_length = len(self._name)
        header.control_length = _ANCILLARY
        size = self._recvmsg(sock.fileno(), self._header_pointer, socket.MSG_DONTWAIT)
        if size < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        raw = self._name.raw[: header.name_length]
        source = self._sources.get(raw)
        if source is None:
            source = unpack_sockaddr(raw)
            if len(self._sources) >= REMEMBERED:
                self._sources.clear()
            self._sources[raw] = source
        return bytes(self._data_view[:size]), source, self._stamp(header.control_length)

    def _stamp(self, length: int) -> float | None:
        # It is the only kind of control message that these sockets ask for, so it stands first.
        if length < _CONTROL_HEADER.size + _TIMESPEC.size:
            return None
        _, level, kind = _CONTROL_HEADER.unpack_from(self._control)
        if level != socket.SOL_SOCKET or kind != SO_TIMESTAMPNS:
            return None
        seconds, nanoseconds = _TIMESPEC.unpack_from(self._control, _CONTROL_HEADER.size)
        return float(seconds + nanoseconds * 1e-9)

    def ready(self, selector: selectors.BaseSelector) -> list[selectors.SelectorKey]:
        descriptor: int = selector.fileno()  # type: ignore[attr-defined]
        count = self._epoll_wait(descriptor, ctypes.addressof(self._events), _EVENTS, 0)
        if count <= 0:
            return []
        known = selector.get_map()
        keys = []
        for index in range(count):
            _, ready = self._event.unpack_from(self._events, index * self._event.size)
            if ready in known:
                keys.append(known[ready])
        return keys


def pack_sockaddr(address: tuple[str, int]) -> bytes:
    """struct sockaddr_in or sockaddr_in6 of a numeric address. Raises OSError when it is none."""
    host, port, *rest = sockaddr(Address(*address))
    if not 0 < port < 65_536:
        raise OSError(errno.EINVAL, "the port is not between 1 and 65535")
    if ":" not in host:
        return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(host))
    scope = rest[1] if rest else 0
    packed = socket.inet_pton(socket.AF_INET6, host)
    return (
        struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16s", port, 0, packed) + struct.pack("=I", scope)
    )


def unpack_sockaddr(raw: bytes) -> tuple[str, int]:
    """(host, port) of a struct sockaddr_in or sockaddr_in6."""
    family = int.from_bytes(raw[:2], sys.byteorder)
    port = int.from_bytes(raw[2:4], "big")
    if family == socket.AF_INET and len(raw) >= 8:
        return socket.inet_ntoa(raw[4:8]), port
    if family == socket.AF_INET6 and len(raw) >= 28:
        host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
        scope = int.from_bytes(raw[24:28], sys.byteorder)
        return (f"{host}%{socket.if_indextoname(scope)}" if scope else host), port
    raise OSError(errno.EAFNOSUPPORT, "an address of an unknown family")


def direct_calls_possible() -> bool:
    """Whether the structures of `DirectCalls` are those of this machine."""
    return (
        sys.platform == "linux"
        and platform.machine() in ("x86_64", "aarch64")
        and struct.calcsize("P") == 8
        and sys.byteorder == "little"
    )


def calls_here() -> MediaCalls:
    """The best there is on this machine."""
    return DirectCalls() if direct_calls_possible() else PortableCalls()
