"""A wire between two network devices that this process holds (TUN), as bad as an `Impairment` says.

It carries IP packets of every kind, so it does for a whole network namespace what netem does where the kernel
has it. Times are those of the event loop: some tenths of a millisecond late, more on a busy machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import heapq
import os
import struct

from callwright.net.impairment import Impairment

__all__ = ["Tunnel", "open_device"]

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_LARGEST = 65_535
_BATCH = 64  # packets taken from one end before the other has its turn


def open_device(name: str) -> int:
    """A new device of IP packets in the namespace of this thread; it is gone when the descriptor is closed.
    Raises OSError."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class Tunnel:
    """``ends``: the two descriptors; ``ways``: what becomes of packets from the first to the second, and of
    those from the second to the first. Works from `start` on, on the running loop."""

    def __init__(self, ends: tuple[int, int], ways: tuple[Impairment, Impairment]) -> None:
        self._ends, self._ways = ends, ways
        self._loop = asyncio.get_running_loop()
        self._queue: list[tuple[float, int, int, bytes]] = []  # when, serial, to which end, packet
        self._serial = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        for number, end in enumerate(self._ends):
            self._loop.add_reader(end, self._read, number)

    def _read(self, number: int) -> None:
        now = self._loop.time()
        for _ in range(_BATCH):
            try:
                packet = os.read(self._ends[number], _LARGEST)
            except OSError:  # nothing more, or the device is down
                break
            for at in self._ways[number].plan(len(packet), now):
                self._serial += 1
                heapq.heappush(self._queue, (at, self._serial, 1 - number, packet))
        self._deliver()

    def _deliver(self) -> None:
        now = self._loop.time()
        while self._queue and self._queue[0][0] <= now:
            _, _, end, packet = heapq.heappop(self._queue)
            with contextlib.suppress(OSError):  # its queue is full, as that of a router may be
                os.write(self._ends[end], packet)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue:
            self._timer = self._loop.call_at(self._queue[0][0], self._deliver)
