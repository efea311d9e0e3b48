"""One connection of SIP over a stream, with or without WebSocket on it."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from callwright.net.address import bracketed
from callwright.sip.transport import Hop
from callwright.sip.websocket import Ended, Opened, Received, WebSocket

__all__ = ["CLOSE_SECONDS", "WRITE_LIMIT", "Flow", "Owner", "WebSocketFlow"]

WRITE_LIMIT = 4 * 1024 * 1024
"""Octets that may wait for a peer that does not read, before it is given up."""
CLOSE_SECONDS = 0.08


class Owner(Protocol):
    """What a flow tells, and whom."""

    loop: asyncio.AbstractEventLoop
    websocket_path: str
    websocket_trust: str

    def on_chunk(self, data: bytes, hop: Hop, /) -> None: ...
    def opening(self, flow: Flow, /) -> None: ...
    def accepted(self, flow: Flow, /) -> None: ...
    def refused(self, flow: Flow, reason: str, /) -> None: ...
    def lost(self, flow: Flow, error: Exception | None, /) -> None: ...


class Flow(asyncio.Protocol):
    """One connection: connecting (messages wait), open, closed."""

    def __init__(self, owner: Owner, hop: Hop, *, inbound: bool) -> None:
        self.owner = owner
        self.hop = hop
        self.inbound = inbound
        self.heard = False
        self.opened: asyncio.Transport | None = None
        # Set when messages may be written: for TLS, not before the peer's name was checked.
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None
        self.waiting: list[bytes] = []
        self.last_used = owner.loop.time()
        self.gone_on_purpose = False
        self.known = False  # the owner has it among its flows
        self.ended = owner.loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.opened = cast(asyncio.Transport, transport)
        if self.inbound:
            self.transport = self.opened
            self.owner.accepted(self)

    def begin(self) -> None:
        """Our connection stands, and its peer was checked: messages may be written."""
        self.transport = self.opened
        waiting, self.waiting = self.waiting, []
        for data in waiting:
            self.write(data)

    def data_received(self, data: bytes) -> None:
        self.last_used = self.owner.loop.time()
        self.heard = True
        self.owner.on_chunk(data, self.hop)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        self.owner.lost(self, error)

    def write(self, data: bytes) -> None:
        self.last_used = self.owner.loop.time()
        if self.transport is None:
            self.waiting.append(data)
            return
        self.transport.write(data)

    def close(self) -> None:
        self.gone_on_purpose = True
        if self.task is not None:
            self.task.cancel()
        if self.opened is not None:
            self.opened.close()
        elif not self.ended.done():
            self.ended.set_result(None)

    def abort(self) -> None:
        if self.opened is not None:
            self.opened.abort()


class WebSocketFlow(Flow):
    """Each chunk that its owner gets is a whole message (RFC 7118)."""

    def __init__(self, owner: Owner, hop: Hop, *, inbound: bool) -> None:
        super().__init__(owner, hop, inbound=inbound)
        self._machine: WebSocket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.opened = cast(asyncio.Transport, transport)
        if self.inbound:
            self._machine = WebSocket(self.owner.loop.time(), trust=self.owner.websocket_trust)
            self.owner.opening(self)
            self._drain()

    def begin(self) -> None:
        host = bracketed((self.hop.name or self.hop.remote.host, self.hop.remote.port))
        self._machine = WebSocket(self.owner.loop.time(), host=host, path=self.owner.websocket_path)
        self._drain()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        if self._machine is not None:
            self._machine.receive(data, self.owner.loop.time())
            self._drain()

    def write(self, data: bytes) -> None:
        self.last_used = self.owner.loop.time()
        if self.transport is None or self._machine is None:
            self.waiting.append(data)
            return
        self._machine.send(data)
        self._drain()

    def close(self) -> None:
        if self._machine is not None and self.opened is not None:
            self._machine.close(self.owner.loop.time(), 1001)
            self.opened.write(self._machine.transmissions())
        super().close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(error)

    def _drain(self) -> None:
        machine, opened = self._machine, self.opened
        if machine is None or opened is None:
            return
        out = machine.transmissions()
        if out and not opened.is_closing():
            opened.write(out)
            if opened.get_write_buffer_size() > WRITE_LIMIT:  # it sends pings and reads no answer
                self.owner.refused(self, "the far end does not read what it is sent")
                opened.abort()
                return
        for event in machine.events():
            match event:
                case Opened(peer):
                    if peer is not None:
                        self.hop = Hop(self.hop.transport, self.hop.local, peer)
                    if self.inbound:
                        self.transport = opened
                        self.owner.accepted(self)
                    else:
                        super().begin()
                case Received(data):
                    self.last_used = self.owner.loop.time()
                    self.owner.on_chunk(data, self.hop)
                case Ended(reason):
                    self.owner.refused(self, reason)
                    opened.close()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake = self._machine.next_wake() if self._machine is not None else None
        if wake is not None:
            self._timer = self.owner.loop.call_at(wake, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._machine is not None:
            self._machine.wake(self.owner.loop.time())
            self._drain()
