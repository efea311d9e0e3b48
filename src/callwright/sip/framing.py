"""Messages out of a stream: TCP and TLS have no boundaries but Content-Length (RFC 3261 section 18.3)."""

from __future__ import annotations

import re

from callwright.sip.message import DEFAULT_LIMITS, MessageLimits

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"\n(?:content-length|l)[ \t]*:((?:[^\r\n]|\r?\n[ \t])*)", re.IGNORECASE)
_LINE_ENDS = b"\r\n\0"  # some end their messages and keep-alives as C ends its texts


class BrokenStreamError(ValueError):
    """Where the next message begins cannot be told any more: the connection is to be closed.

    `messages` were complete before the break; `head` is what there is of the message that broke it (start
    line and headers, if those were complete), enough for `parse_datagram` to tell whether an answer is owed.
    """

    def __init__(self, reason: str, messages: list[bytes], head: bytes) -> None:
        super().__init__(reason)
        self.reason = reason
        self.messages = messages
        self.head = head


class StreamFramer:
    """Cuts one direction of one connection into messages.

    `pings` counts the keep-alives (CRLFCRLF between messages, RFC 5626 section 4.4.1) that are still to be
    answered with a CRLF: whoever answers them sets it to 0. Single CRLFs (pongs, and what RFC 3261 section
    7.5 tolerates) are dropped, and NUL octets between messages with them; `take_pong` tells of them.
    """

    def __init__(self, limits: MessageLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._searched = 0
        self._message_size: int | None = None
        self._leading_line_feeds = 0
        self._broken: str | None = None
        self.pings = 0

    @property
    def buffered(self) -> int:
        """Octets that wait for the rest of their message."""
        return len(self._buffer)

    def take_pong(self) -> bool:
        """Whether a single CRLF came last, between messages; it is then no half of a ping any more."""
        found = self._leading_line_feeds == 1 and not self._buffer
        if found:
            self._leading_line_feeds = 0
        return found

    def feed(self, data: bytes) -> list[bytes]:
        """Take a chunk of any size, return the messages it completes, each for `parse_datagram`.

        Raises BrokenStreamError if a message has no Content-Length, several or one that is no number, or is
        beyond the limits; and on every feed after that.
        """
        if self._broken is not None:
            raise BrokenStreamError(self._broken, [], b"")
        self._buffer += data
        messages: list[bytes] = []
        while True:
            if self._message_size is None:
                self._skip_line_ends()
                if not self._measure(messages):
                    return messages
            size = self._message_size
            if size is None or len(self._buffer) < size:
                return messages
            messages.append(bytes(memoryview(self._buffer)[:size]))
            del self._buffer[:size]
            self._message_size = None
            self._searched = 0

    def _skip_line_ends(self) -> None:
        buffer = self._buffer
        if not buffer or buffer[0] not in _LINE_ENDS:
            return
        skipped = len(buffer) - len(buffer.lstrip(_LINE_ENDS))
        self._leading_line_feeds += buffer.count(b"\n", 0, skipped)
        del buffer[:skipped]
        self.pings += self._leading_line_feeds // 2
        self._leading_line_feeds %= 2

    def _measure(self, messages: list[bytes]) -> bool:
        """Find the end of the header and with it the size of the message; False if it has not come yet."""
        buffer, limit = self._buffer, self._limits.head
        if not buffer:
            return False
        self._leading_line_feeds = 0
        match = _END_OF_HEAD.search(buffer, max(0, self._searched - 2))
        if match is None:
            self._searched = len(buffer)
            if self._searched > limit:
                self._break(f"the header is longer than {limit} octets", messages, bytes(buffer[:limit]))
            return False
        end = match.end()
        head = bytes(memoryview(buffer)[:end])
        if end > limit + 4:
            self._break(f"the header is longer than {limit} octets", messages, head)
        lengths = [value.strip(b" \t\r\n\0") for value in _CONTENT_LENGTH.findall(head)]
        if not lengths:
            self._break("a message without Content-Length on a stream", messages, head)
        if len(lengths) > 1:
            self._break("several Content-Length headers", messages, head)
        if not lengths[0].isdigit() or len(lengths[0]) > 20:
            self._break("Content-Length is not a number", messages, head)
        if int(lengths[0]) > self._limits.body:
            self._break(f"the body is longer than {self._limits.body} octets", messages, head)
        self._message_size = end + int(lengths[0])
        return True

    def _break(self, reason: str, messages: list[bytes], head: bytes) -> None:
        self._broken = reason
        self._buffer.clear()
        raise BrokenStreamError(reason, messages, head)
