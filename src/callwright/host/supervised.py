"""The line between a child and its supervisor: lines of JSON in, a line back for each, over standard input.

The child tells by its answer that it hears; the supervisor tells what must arrive though NATS is away.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import msgspec

from callwright.dispatch.messages.agents import Word

HEARD = b"heard\n"


async def listen(on_word: Callable[[Word], None]) -> None:
    """Until the supervisor is gone. Standard input must be the socket that it made."""
    line = socket.socket(fileno=0)
    line.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=line)
    while text := await reader.readline():
        try:
            on_word(msgspec.json.decode(text, type=Word))
        except msgspec.MsgspecError:
            continue  # of a supervisor that is newer than this
        writer.write(HEARD)


class ProcessLine:
    """The supervisor's end: `say` returns whether the child answered in time. One question at a time."""

    def __init__(self) -> None:
        self._ours: socket.socket | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def open(self) -> socket.socket:
        """The child's end, for its standard input; to be closed here once it has started."""
        self.close()
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        return theirs

    async def say(self, word: Word, seconds: float) -> bool:
        if self._ours is None:
            return False
        try:
            async with asyncio.timeout(seconds):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(sock=self._ours)
                reader, writer = self._streams
                if writer.transport.get_write_buffer_size() == 0:  # else it has not read what it has
                    writer.write(msgspec.json.encode(word) + b"\n")
                return await reader.readline() == HEARD
        except (TimeoutError, OSError, ValueError):
            return False

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        elif self._ours is not None:
            self._ours.close()
        self._streams = self._ours = None
