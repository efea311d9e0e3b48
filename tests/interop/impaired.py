"""A bad network between two of our own processes on loopback: a relay of datagrams that loses and delays.

Each side advertises a loopback address that is not its own (127.0.0.2 for 127.0.0.1); the relay listens there
on the same ports and passes on what comes, with the source address that the far side was told. What arrives
is thus on `lo` for dumpcap to see, and what was lost is known to the packet, since the relay did it.
"""

from __future__ import annotations

import heapq
import select
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from callwright.net.impairment import Impairment, Impairments
from tests.interop.peers import LOOPBACK

NO_IMPAIRMENT = Impairments()
#: Signalling towards the near side is slow, so that all media that the far side sent is there before its BYE.
SLOW = Impairments(delay=0.2)


class Door:
    """One advertised address: what comes to `advertised` goes on to 127.0.0.1, the same port."""

    def __init__(self, advertised: str, port: int, impairment: Impairment) -> None:
        self.port = port
        self.impairment = impairment
        self.delivered: list[bytes] = []
        self.dropped = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((advertised, port))
        self.socket.setblocking(False)


class Relay:
    """Carries datagrams between doors in a thread of its own.

    `near` and `far` are (advertised address, ports), each direction with its impairments. A packet
    that a side sends leaves from the door that the other side knows it by.
    """

    def __init__(
        self,
        near: tuple[str, Sequence[int]],
        far: tuple[str, Sequence[int]],
        *,
        toward_near: Impairments = NO_IMPAIRMENT,
        toward_far: Impairments = NO_IMPAIRMENT,
        seed: int = 1,
    ) -> None:
        self._near_host = near[0]
        # By position, not by port, so that a seed gives the same network whatever the ports are.
        self.near = {
            port: Door(near[0], port, Impairment(toward_near, f"{seed} near {position}"))
            for position, port in enumerate(near[1])
        }
        self.far = {
            port: Door(far[0], port, Impairment(toward_far, f"{seed} far {position}"))
            for position, port in enumerate(far[1])
        }
        self._queue: list[tuple[float, int, Door, Door, bytes]] = []
        self._serial = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join(5)
        for door in [*self.near.values(), *self.far.values()]:
            door.socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            doors = {door.socket: (door, self.far) for door in self.near.values()}
            doors |= {door.socket: (door, self.near) for door in self.far.values()}
            wait = 0.05
            if self._queue:
                wait = min(wait, max(0.0, self._queue[0][0] - time.monotonic()))
            for ready in select.select(list(doors), [], [], wait)[0]:
                door, others = doors[ready]
                data, source = ready.recvfrom(65_536)
                back = others.get(source[1])
                if back is None:
                    back = self._new_door(source[1]) if others is self.near else None
                    if back is None:
                        continue
                now = time.monotonic()
                arrivals = door.impairment.plan(len(data), now)
                door.dropped += not arrivals
                for arrival in arrivals:
                    self._serial += 1
                    heapq.heappush(self._queue, (arrival, self._serial, door, back, data))
            while self._queue and self._queue[0][0] <= time.monotonic():
                _, _, door, back, data = heapq.heappop(self._queue)
                door.delivered.append(data)
                back.socket.sendto(data, (LOOPBACK, door.port))

    def _new_door(self, port: int) -> Door | None:
        """The near side's SIP socket has a port of its own choice: the far side sees the same one."""
        try:
            door = Door(self._near_host, port, Impairment(SLOW, port))
        except OSError:
            return None
        self.near[port] = door
        return door
