"""SIP over WebSocket (RFC 7118): one end of one connection, without its socket. Each message of the WebSocket
is one SIP message, so Content-Length is not needed.

Handshake and frames are those of `wsproto`; the subprotocol `sip`, the bounds, the keep-alive and the way a
connection ends are kept here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from hmac import compare_digest
from ipaddress import ip_address
from typing import TYPE_CHECKING

from callwright.sip.message import DEFAULT_LIMITS
from callwright.sip.transport import Address

if TYPE_CHECKING:
    from wsproto import WSConnection
    from wsproto.events import Event as Frame

__all__ = [
    "DEFAULT_PATH",
    "MESSAGE_LIMIT",
    "SUBPROTOCOL",
    "Ended",
    "Event",
    "Opened",
    "Received",
    "WebSocket",
    "peer_header",
]

SUBPROTOCOL = "sip"
DEFAULT_PATH = "/ws"
MESSAGE_LIMIT = DEFAULT_LIMITS.head + 4 + DEFAULT_LIMITS.body
"""Octets of one message, however many frames it comes in."""
PING_EVERY = 30.0  # seconds of silence; NATs and proxies in between forget connections after a minute
PONG_WITHIN = 20.0
OPEN_WITHIN = 10.0
CLOSE_WITHIN = 2.0
_PEER = b"callwright-peer"
_TOO_BIG = 1009


class _State(Enum):
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"  # our Close frame is sent; what comes is no message any more
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Opened:
    """The handshake is done. `peer`: the client behind the proxy of our own platform, if it came by that."""

    peer: Address | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A whole message, of a text or a binary frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more will come: the connection is to be closed once what is to be sent was sent. `reason` is a
    sentence, empty when we ended it ourselves."""

    reason: str


Event = Opened | Received | Ended


@dataclass(slots=True)
class WebSocket:
    """`host`: the server as a client names it (Host); empty at the server. `path`: what a client asks for.

    `trust`: the secret by which a server knows the proxy of our own platform, empty without one. `headers`:
    what a client adds to its handshake. `now` of the verbs is monotonic seconds. `wsproto` masks a
    client's frames with octets of the system's source.
    """

    now: float
    host: str = ""
    path: str = DEFAULT_PATH
    trust: str = field(default="", repr=False)
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    _state: _State = field(default=_State.OPENING, init=False)
    _machine: WSConnection = field(init=False, repr=False)
    _out: bytearray = field(default_factory=bytearray, init=False)
    _events: list[Event] = field(default_factory=list, init=False)
    _message: bytearray = field(default_factory=bytearray, init=False)
    _heard: float = field(init=False)
    _pinged: bool = field(default=False, init=False)
    _wake: float = field(init=False)

    def __post_init__(self) -> None:
        from wsproto import ConnectionType, WSConnection
        from wsproto.events import Request

        self._heard = self.now
        self._wake = self.now + OPEN_WITHIN
        self._machine = WSConnection(ConnectionType.CLIENT if self.host else ConnectionType.SERVER)
        if self.host:
            headers = [(name.encode(), value.encode()) for name, value in self.headers]
            wanted = Request(self.host, self.path, extra_headers=headers, subprotocols=[SUBPROTOCOL])
            self._out += self._machine.send(wanted)

    def receive(self, data: bytes, now: float) -> None:
        """Octets of the peer, however they were cut."""
        from wsproto.utilities import LocalProtocolError, RemoteProtocolError

        self._heard = now
        if self._is_over() or not data:
            return
        if self._state is _State.OPEN:
            self._pinged = False
            self._wake = now + PING_EVERY
        try:
            self._machine.receive_data(data)
            for event in self._machine.events():
                self._take(event, now)
                if self._is_over():
                    return
        except RemoteProtocolError as error:
            self._refuse(str(error), error.event_hint, now)
        except LocalProtocolError as error:
            self._end(f"WebSocket: {error}")

    def send(self, data: bytes) -> None:
        """A SIP message: in a text frame where it is UTF-8, else in a binary one (RFC 7118 section 5)."""
        from wsproto.events import BytesMessage, TextMessage

        if self._state is not _State.OPEN:
            return
        try:
            frame: TextMessage | BytesMessage = TextMessage(data=data.decode())
        except UnicodeDecodeError:
            frame = BytesMessage(data=data)
        self._out += self._machine.send(frame)

    def close(self, now: float, code: int = 1000) -> None:
        """Says goodbye; `Ended` follows when the peer has answered, or in a moment without that."""
        self._close(code, "", now)

    def wake(self, now: float) -> None:
        """The time of `next_wake()` has come."""
        from wsproto.events import Ping

        if self._state is _State.ENDED or now < self._wake:
            return
        if self._state is _State.OPENING:
            self._end(f"the far end did not complete the WebSocket handshake within {OPEN_WITHIN:g} s")
        elif self._state is _State.CLOSING:
            self._end("")
        elif self._pinged:
            self._end(f"the far end answered no ping of the WebSocket within {PONG_WITHIN:g} s")
        else:
            self._out += self._machine.send(Ping())
            self._pinged = True
            self._wake = now + PONG_WITHIN

    def next_wake(self) -> float | None:
        return None if self._state is _State.ENDED else self._wake

    def transmissions(self) -> bytes:
        """Takes the octets to be sent."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def events(self) -> Sequence[Event]:
        """Takes what happened, in order."""
        found, self._events = self._events, []
        return found

    # -- what comes

    def _take(self, event: Frame, now: float) -> None:
        from wsproto import events

        match event:
            case events.Request():
                self._answer(event)
            case events.AcceptConnection():
                if event.subprotocol != SUBPROTOCOL:
                    self._close(1002, "no subprotocol sip", now)
                    self._end(
                        "the far end does not speak SIP over WebSocket: it agreed on no subprotocol sip"
                    )
                else:
                    self._opened(None)
            case events.RejectConnection():
                self._end(f"the far end answered the WebSocket handshake for {self.path} {event.status_code}")
            case events.TextMessage() | events.BytesMessage():
                data = event.data
                self._piece(data.encode() if isinstance(data, str) else data, event.message_finished, now)
            case events.Ping():
                self._out += self._machine.send(event.response())
            case events.CloseConnection():
                self._out += self._machine.send(event.response())
                why = f": {event.reason}" if event.reason else ""
                self._end(f"the far end closed the WebSocket ({event.code}{why})")
            case _:
                pass

    def _answer(self, request: Frame) -> None:
        from wsproto.events import AcceptConnection, RejectConnection, Request

        assert isinstance(request, Request)
        if SUBPROTOCOL not in request.subprotocols:
            self._out += self._machine.send(RejectConnection(status_code=400))
            self._end("a client asked for a WebSocket without the subprotocol sip")
            return
        told = next((value for name, value in request.extra_headers if name.lower() == _PEER), None)
        peer = _peer_of(told, self.trust) if told is not None else None
        if told is not None and peer is None:
            self._out += self._machine.send(RejectConnection(status_code=403))
            self._end("a client posed as the proxy of the platform")
            return
        self._out += self._machine.send(AcceptConnection(subprotocol=SUBPROTOCOL))
        self._opened(peer)

    def _opened(self, peer: Address | None) -> None:
        self._state = _State.OPEN
        self._wake = self._heard + PING_EVERY
        self._events.append(Opened(peer))

    def _piece(self, data: bytes | bytearray, last: bool, now: float) -> None:
        if len(self._message) + len(data) > MESSAGE_LIMIT:
            self._message.clear()
            reason = f"a message of the WebSocket is longer than {MESSAGE_LIMIT} octets"
            self._close(_TOO_BIG, reason, now)
            return
        self._message += data
        if last:
            self._events.append(Received(bytes(self._message)))
            self._message.clear()

    # -- ends

    def _is_over(self) -> bool:
        """What still comes is no message any more."""
        return self._state in (_State.CLOSING, _State.ENDED)

    def _refuse(self, reason: str, hint: Frame | None, now: float) -> None:
        from wsproto.events import CloseConnection, RejectConnection

        if self._state is _State.OPENING:
            if isinstance(hint, RejectConnection) and not self.host:
                self._out += self._machine.send(hint)
            self._end(f"the WebSocket handshake failed: {reason}")
            return
        code = hint.code if isinstance(hint, CloseConnection) else 1002
        self._close(code, reason, now)

    def _close(self, code: int, reason: str, now: float) -> None:
        from wsproto.events import CloseConnection

        if self._state is _State.OPENING:
            self._end("")
        elif self._state is _State.OPEN:
            self._out += self._machine.send(CloseConnection(code=code, reason=reason[:120] or None))
            self._state = _State.CLOSING
            self._wake = now + CLOSE_WITHIN

    def _end(self, reason: str) -> None:
        if self._state is not _State.ENDED:
            self._state = _State.ENDED
            self._events.append(Ended(reason))


def peer_header(trust: str, peer: Address) -> tuple[str, str]:
    """The header by which our own proxy tells the PBX for whom it opens a connection."""
    return _PEER.decode(), f"{trust} {peer.port} {peer.host}"


def _peer_of(told: bytes, trust: str) -> Address | None:
    secret, _, rest = told.decode("latin-1").partition(" ")
    port, _, host = rest.partition(" ")
    if not trust or not compare_digest(secret.encode(), trust.encode()):
        return None
    try:
        return Address(str(ip_address(host)), int(port) & 0xFFFF)
    except ValueError:
        return None
