"""A WebSocket for SIP to the PBX of our own platform, for a client that the web worker speaks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from callwright.sip.transport import Address
from callwright.sip.websocket import Ended, Opened, Received, WebSocket, peer_header

__all__ = ["Passage"]

_OPEN_SECONDS = 5.0
_READ = 65_536


class Passage:
    """Messages in both directions, each whole. Made by `open`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, machine: WebSocket
    ) -> None:
        self._reader, self._writer, self._machine = reader, writer, machine
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._ended = False

    @classmethod
    async def open(cls, pbx: Address, trust: str, client: Address) -> Passage:
        """`trust`: the secret that PBX and platform share. Raises OSError where it takes nobody."""
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                reader, writer = await asyncio.open_connection(*pbx)
                machine = WebSocket(
                    asyncio.get_running_loop().time(), host=str(pbx), headers=[peer_header(trust, client)]
                )
                made = cls(reader, writer, machine)
                while not await made._more():
                    if made._ended:
                        writer.close()
                        raise ConnectionRefusedError("the PBX refused the WebSocket")
                return made
        except TimeoutError:
            raise ConnectionRefusedError("the PBX did not answer") from None

    async def _more(self) -> bool:
        """Reads once; whether the handshake is done."""
        self._flush()
        data = await self._reader.read(_READ)
        if not data:
            self._ended = True
            return False
        self._machine.receive(data, self._loop.time())
        opened = False
        for event in self._machine.events():
            match event:
                case Opened():
                    opened = True
                case Received(message):
                    self._waiting.append(message)
                case Ended():
                    self._ended = True
        self._flush()
        return opened

    def _flush(self) -> None:
        self._writer.write(self._machine.transmissions())

    async def send(self, message: bytes) -> None:
        """Waits while the PBX does not read."""
        self._machine.send(message)
        self._flush()
        await self._writer.drain()

    async def messages(self) -> AsyncIterator[bytes]:
        """Until the PBX ends it. Nothing is read from the PBX before a message was taken."""
        while True:
            waiting, self._waiting = self._waiting, []
            for message in waiting:
                yield message
            if self._ended:
                return
            await self._more()

    def close(self) -> None:
        self._machine.close(self._loop.time())
        if not self._writer.is_closing():
            self._flush()
            self._writer.close()
