"""TCP and TLS for traffic in bulk (RFC 3261 section 18, RFC 5923), for a loop that speaks in datagrams.

A thread stands between the two. Each message of the loop comes with the number of the connection that it is
for, and each message for the loop with that of its connection and with the peer's address:

    loop -> thread   connection (32 bits), kind (32 bits), message
    thread -> loop   connection, kind, sockaddr of the peer (28 octets), its size, 0, message

Connections of ours are opened when a message is for them, with the number that the loop gave; those that were
accepted get numbers from 2^31 on. What could not be sent comes back to the loop with the kind that says why.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from callwright.net.address import family_of, sockaddr
from callwright.net.tls import TlsSettings, names_of, speaks_for
from callwright.sip.framing import BrokenStreamError, StreamFramer
from callwright.sip.transport import Address

MESSAGE, REFUSED, UNREACHABLE, CLOSE = range(4)
"""Kinds. From the loop: MESSAGE and CLOSE; to it: the first three."""
_FROM_LOOP = struct.Struct("=II")
_TO_LOOP = struct.Struct("=II28sII")
_ACCEPTED = 1 << 31
_CHUNK = 65536
_MOST_WAITING = 4 * 1024 * 1024
"""Octets that may wait for one connection; what comes then is given back."""
_MOST_CONNECTIONS = 60_000
_MOST_KEPT = 1000
"""Messages that go back to the loop where a connection comes to nothing."""
_ROUNDS = 256
BUFFER = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """`remote`: where connections of ours go; None for the side that only listens at `local`."""

    local: Address
    remote: Address | None = None
    name: str = ""
    """What the user typed for the remote, which its certificate has to bear."""
    secure: bool = False
    tls: TlsSettings = field(default_factory=TlsSettings)
    connect_seconds: float = 5.0


@dataclass(slots=True)
class StreamCounts:
    """What came of connections so far; times in microseconds, each once."""

    opened: int = 0
    accepted: int = 0
    failed: int = 0
    handshakes: int = 0
    connect_us: list[int] = field(default_factory=list)
    handshake_us: list[int] = field(default_factory=list)
    reason: str = ""
    """Why the last one failed."""


class _Connection:
    __slots__ = (
        "began",
        "framer",
        "heard",
        "number",
        "out",
        "peer",
        "ready",
        "secured",
        "sock",
        "wants",
        "whole",
    )

    def __init__(self, number: int, sock: socket.socket, peer: Address, now: float) -> None:
        self.number, self.sock, self.peer, self.began = number, sock, peer, now
        self.framer = StreamFramer()
        self.out = bytearray()
        self.whole: list[bytes] = []  # what goes back to the loop where the peer never says a word
        self.ready = self.heard = False
        self.secured = 0.0  # when the handshake began
        self.wants = 0


class BulkStreams:
    """Opens and accepts connections until it is closed. Raises OSError and TlsConfigurationError.

    `channel` is the loop's end. `counts` may be read at any time; its lists are taken by who reads.
    """

    def __init__(self, plan: StreamPlan, *, now: Callable[[], float] = time.monotonic) -> None:
        self.plan, self._now = plan, now
        self.counts = StreamCounts()
        self._client = plan.tls.client_context() if plan.secure and plan.remote is not None else None
        self._server: ssl.SSLContext | None = None
        self._connections: dict[int, _Connection] = {}
        self._next = _ACCEPTED
        self._opening: set[_Connection] = set()
        self._selector = selectors.DefaultSelector()
        self._closing = False
        self._listener = self._listening()
        self.channel, self._ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for sock in (self.channel, self._ours):
            sock.setblocking(False)
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        self._selector.register(self._ours, selectors.EVENT_READ, None)
        if self._listener is not None:
            self._selector.register(self._listener, selectors.EVENT_READ, self._listener)
        self._thread = threading.Thread(target=self._run, name="callwright-streams", daemon=True)
        self._thread.start()

    def _listening(self) -> socket.socket | None:
        """The port of Via and Contact. A client of TLS without a certificate cannot be called back."""
        plan = self.plan
        if plan.secure:
            if plan.remote is not None and plan.tls.cert is None:
                return None
            self._server = plan.tls.server_context()
        listener = socket.socket(family_of(plan.local.host), socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # a process for each core
            listener.bind(sockaddr(plan.local))
            listener.listen(4096)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        return listener

    def close(self) -> None:
        """What is still to be sent is sent, for at most a second."""
        self._closing = True
        self._thread.join(2.0)
        self.channel.close()

    # -- the thread

    def _run(self) -> None:
        until = 0.0
        while True:
            if self._closing:
                until = until or self._now() + 1.0
                if self._now() >= until or not any(one.out for one in self._connections.values()):
                    break
            for key, mask in self._selector.select(0.1):
                if key.data is None:
                    self._from_loop()
                elif key.data is self._listener:
                    self._accept()
                elif isinstance(key.data, _Connection) and key.data.sock.fileno() >= 0:
                    self._turn(key.data, mask)
            now = self._now()
            for late in [one for one in self._opening if now - one.began > self.plan.connect_seconds]:
                self._fail(late, UNREACHABLE, f"connecting to {late.peer} took too long")
        self._from_loop()
        for connection in list(self._connections.values()):
            self._drop(connection)
        if self._listener is not None:
            self._listener.close()
        self._selector.close()
        self._ours.close()

    def _from_loop(self) -> None:
        for _ in range(_ROUNDS):
            try:
                data = self._ours.recv(_CHUNK)
            except (BlockingIOError, ConnectionError):
                return
            if len(data) < _FROM_LOOP.size:
                return  # the loop has closed its end
            number, kind = _FROM_LOOP.unpack_from(data)
            connection = self._connections.get(number)
            if kind == CLOSE:
                if connection is not None:
                    self._send(connection)
                    self._drop(connection)
                continue
            message = data[_FROM_LOOP.size :]
            if connection is None:
                connection = self._open(number, message)
            if connection is None:
                continue
            if len(connection.out) > _MOST_WAITING:
                self._give_back(connection, message, UNREACHABLE)
                continue
            connection.out += message
            if not connection.heard and len(connection.whole) < _MOST_KEPT:
                connection.whole.append(message)
            if connection.ready:
                self._send(connection)

    def _open(self, number: int, message: bytes) -> _Connection | None:
        remote = self.plan.remote
        if remote is None or number >= _ACCEPTED or len(self._connections) >= _MOST_CONNECTIONS:
            return None  # an accepted connection that is gone: its peer has to come again
        sock = socket.socket(family_of(remote.host), socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(number, sock, remote, self._now())
        try:
            sock.bind(sockaddr(Address(self.plan.local.host, 0)))
            code = sock.connect_ex(sockaddr(remote))
        except OSError as error:
            code = error.errno or errno.EIO
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            self.counts.failed += 1
            self.counts.reason = f"connecting to {remote}: {errno.errorcode.get(code, code)}"
            self._give_back(connection, message, _kind_of(code))
            return None
        self._connections[number] = connection
        self._opening.add(connection)
        self._watch(connection, selectors.EVENT_WRITE)
        return connection

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(_ROUNDS):
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self._connections) >= _MOST_CONNECTIONS:
                sock.close()
                continue
            connection = _Connection(self._next, sock, Address(*address[:2]), self._now())
            self._next = _ACCEPTED + (self._next - _ACCEPTED + 1) % _ACCEPTED
            self._connections[connection.number] = connection
            self.counts.accepted += 1
            self._opening.add(connection)
            self._connected(connection, self._server, accepted=True)

    def _connected(self, connection: _Connection, context: ssl.SSLContext | None, *, accepted: bool) -> None:
        if context is None:
            self._opened(connection)
            return
        plain = connection.sock
        with contextlib.suppress(KeyError):
            self._selector.unregister(plain)
        connection.secured = self._now()
        connection.wants = 0
        name = None if accepted else self.plan.tls.name_for(self.plan.name, connection.peer)
        connection.sock = context.wrap_socket(
            plain, server_side=accepted, do_handshake_on_connect=False, server_hostname=name
        )
        self._shake(connection)

    def _shake(self, connection: _Connection) -> None:
        sock = connection.sock
        assert isinstance(sock, ssl.SSLSocket)
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(connection, selectors.EVENT_READ)
            return
        except ssl.SSLWantWriteError:
            self._watch(connection, selectors.EVENT_WRITE)
            return
        except (OSError, ValueError) as error:
            self._fail(connection, UNREACHABLE, f"the TLS handshake failed: {error}")
            return
        self.counts.handshakes += 1
        self.counts.handshake_us.append(int((self._now() - connection.secured) * 1e6))
        if not sock.server_side and not self.plan.tls.insecure:
            name = self.plan.tls.name_for(self.plan.name, connection.peer)
            certificate = sock.getpeercert() or {}
            if not speaks_for(certificate, name):
                said = f"its certificate is for {names_of(certificate)}, not for {name} (name mismatch)"
                self._fail(connection, UNREACHABLE, said)
                return
        self._opened(connection)

    def _opened(self, connection: _Connection) -> None:
        connection.ready = True
        self._opening.discard(connection)
        self._watch(connection, selectors.EVENT_READ)
        self._send(connection)
        if isinstance(connection.sock, ssl.SSLSocket) and connection.sock.fileno() >= 0:
            self._receive(connection)

    def _turn(self, connection: _Connection, mask: int) -> None:
        if connection.ready:
            if mask & selectors.EVENT_WRITE:
                self._send(connection)
            if mask & selectors.EVENT_READ and connection.sock.fileno() >= 0:
                self._receive(connection)
        elif connection.secured:
            self._shake(connection)
        else:
            code = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                said = f"connecting to {connection.peer}: {errno.errorcode.get(code, code)}"
                self._fail(connection, _kind_of(code), said)
                return
            self.counts.opened += 1
            self.counts.connect_us.append(int((self._now() - connection.began) * 1e6))
            self._connected(connection, self._client, accepted=False)

    def _send(self, connection: _Connection) -> None:
        if not connection.ready:
            return
        while connection.out:
            try:
                done = connection.sock.send(connection.out)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                break
            except OSError as error:
                self._lost(connection, str(error))
                return
            del connection.out[:done]
        self._watch(connection, selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.out else 0))

    def _receive(self, connection: _Connection) -> None:
        while True:
            try:
                data = connection.sock.recv(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self._lost(connection, str(error))
                return
            if not data:
                self._lost(connection, "the peer closed it")
                return
            if not connection.heard:
                connection.heard = True
                connection.whole.clear()
            try:
                messages = connection.framer.feed(data)
            except BrokenStreamError as error:
                for message in error.messages:
                    self._give(connection, message, MESSAGE)
                self._lost(connection, error.reason)
                return
            for message in messages:
                self._give(connection, message, MESSAGE)
            if connection.framer.pings:  # RFC 5626 section 4.4.1
                connection.out += b"\r\n" * connection.framer.pings
                connection.framer.pings = 0
                self._send(connection)
                if connection.sock.fileno() < 0:
                    return

    # -- ends

    def _lost(self, connection: _Connection, reason: str) -> None:
        """By the peer, or by an error. A TLS server that does not like our certificate says so only now (RFC
        8446 section 4.4.2); of a connection that was in use, timers tell what was lost."""
        if not connection.heard and connection.whole:
            self._fail(connection, UNREACHABLE, reason)
        else:
            self._drop(connection)

    def _fail(self, connection: _Connection, kind: int, reason: str) -> None:
        """It never opened: what waited for it goes back."""
        self.counts.failed += 1
        self.counts.reason = reason
        for message in connection.whole:
            self._give_back(connection, message, kind)
        self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        self._connections.pop(connection.number, None)
        self._opening.discard(connection)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.sock)
        connection.sock.close()

    def _watch(self, connection: _Connection, events: int) -> None:
        if connection.wants == events:
            return
        if connection.wants:
            self._selector.modify(connection.sock, events, connection)
        else:
            self._selector.register(connection.sock, events, connection)
        connection.wants = events

    # -- to the loop

    def _give(self, connection: _Connection, message: bytes, kind: int) -> None:
        raw, size = _raw(connection.peer)
        for _ in range(1000):
            try:
                self._ours.send(_TO_LOOP.pack(connection.number, kind, raw, size, 0) + message)
                return
            except BlockingIOError:
                time.sleep(0.001)  # the loop has not taken what came before
            except OSError:
                return

    def _give_back(self, connection: _Connection, message: bytes, kind: int) -> None:
        self._give(connection, message, kind)


def _kind_of(code: int) -> int:
    return REFUSED if code == errno.ECONNREFUSED else UNREACHABLE


def _raw(address: Address) -> tuple[bytes, int]:
    """The sockaddr of Linux, and its octets."""
    host = address.host.split("%")[0]
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host)
        return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", address.port, 0) + packed + bytes(
            4
        ), 28
    head = struct.pack("=H", socket.AF_INET) + struct.pack("!H", address.port)
    return head + socket.inet_pton(socket.AF_INET, host) + bytes(20), 16
