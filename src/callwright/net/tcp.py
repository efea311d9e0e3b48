"""SIP over streams: connections of TCP, TLS and WebSocket, opened on demand, reused, and closed when idle.

Every local address has one port per transport, which is the source of its outbound connections, is in Via and
Contact, and listens as well where it can. So a peer reaches us whether it reuses the connection, connects
to the Contact, or looks a connection up by the address of the Contact, as proxies do. Only for WebSocket
that port does not listen by itself: clients are reached by the connection that they opened.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable

from callwright.net.address import WILDCARDS, Unreachable, bracketed, family_of, from_sockaddr, sockaddr
from callwright.net.flow import CLOSE_SECONDS, WRITE_LIMIT, Flow, WebSocketFlow
from callwright.net.tls import (
    TlsConfigurationError,
    TlsSession,
    TlsSettings,
    UntrustedPeer,
    handshake_failure,
    names_of,
    session_of,
    speaks_for,
)
from callwright.sip.transport import Address, Hop, Transport

FLOW_LIMIT = 8192
ACCEPT_BATCH = 64

_Key = tuple[Transport, Address, Address, str]


class _Port:
    """Our port on one local address: reserved, and listening when `accepting`."""

    def __init__(self, sock: socket.socket, transport: Transport, context: ssl.SSLContext | None) -> None:
        self.sock = sock
        self.transport = transport
        self.context = context
        self.local = from_sockaddr(sock.getsockname())


class StreamTransport:
    """All flows of one driver but UDP.

    `on_chunk(data, hop)` gets octets as they come, `on_failure(hop, reason)` each flow that could not be
    opened or broke, `on_warning(sentence)` what failed without anybody having asked for it. A WebSocket
    gives whole messages instead of chunks. `websocket_path`: what we ask of servers; `websocket_trust`: the
    secret of the proxy before ours, empty without one.
    """

    def __init__(
        self,
        *,
        tls: TlsSettings,
        connect_timeout: float,
        idle_timeout: float,
        websocket_path: str,
        websocket_trust: str,
        on_chunk: Callable[[bytes, Hop], None],
        on_failure: Callable[[Hop, str], None],
        on_warning: Callable[[str], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.on_chunk = on_chunk
        self._on_failure = on_failure
        self._on_warning = on_warning
        self._tls = tls
        self._client_context: ssl.SSLContext | None = None
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self.websocket_path = websocket_path
        self.websocket_trust = websocket_trust
        self._ports: dict[tuple[Transport, str], _Port] = {}
        self._all_ports: list[_Port] = []
        self._flows: dict[_Key, Flow] = {}
        self._by_remote: dict[tuple[Transport, Address], Flow] = {}
        self._sessions: dict[tuple[Transport, Address], TlsSession] = {}  # outlive their flows
        self._handshakes: set[asyncio.Task[None]] = set()
        self._opening: set[Flow] = set()  # WebSockets of clients whose handshake is not done
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed = False

    # Ports

    def listen(self, transport: Transport, host: str, port: int) -> Address:
        """Opens a listening port; port 0 picks a free one. Raises OSError, or TlsConfigurationError."""
        context = self._tls.server_context() if transport.secure else None
        if port:
            # Sharing the port (below) would hide that another process has it: ask without sharing first.
            self._bind(host, port, share=False).close()
        opened = _Port(self._bind(host, port, share=True), transport, context)
        self._accept_on(opened)
        self._all_ports.append(opened)
        # The first port opened on an address is the source of what is sent from it.
        self._ports.setdefault((transport, opened.local.host), opened)
        return opened.local

    def local_address(self, transport: Transport, host: str) -> Address:
        """Our address for flows from a local host; its port is opened when it is not yet. Raises OSError."""
        found = self._ports.get((transport, host))
        if found is None:
            for wildcard in WILDCARDS - {""}:
                anywhere = self._ports.get((transport, wildcard))
                if anywhere is not None and family_of(wildcard) == family_of(host):
                    return Address(host, anywhere.local.port)
            # TLS without a certificate cannot listen; its port is kept all the same, as source of flows.
            context = self._tls.server_context() if transport is Transport.TLS and self._tls.cert else None
            found = _Port(self._bind(host, 0, share=True), transport, context)
            if transport is Transport.TCP or context is not None:
                self._accept_on(found)
            self._ports[transport, host] = found
            self._all_ports.append(found)
        return found.local

    def _bind(self, host: str, port: int, *, share: bool) -> socket.socket:
        sock = socket.socket(family_of(host), socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if share:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(sockaddr(Address(host, port)))
            if not share:
                sock.listen(1)
        except BaseException:
            sock.close()
            raise
        return sock

    def _accept_on(self, port: _Port) -> None:
        port.sock.listen(1024)
        self.loop.add_reader(port.sock.fileno(), self._accept, port)

    def _accept(self, port: _Port) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                sock, name = port.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors or memory: the port would stay readable, so look away for a second.
                self._on_warning(f"no connection can be accepted: {os.strerror(error.errno or 0)}")
                self.loop.remove_reader(port.sock.fileno())
                self.loop.call_later(1.0, self._accept_again, port)
                return
            if len(self._flows) + len(self._handshakes) + len(self._opening) >= FLOW_LIMIT:
                self._on_warning(f"{FLOW_LIMIT:,} connections are open: one more from {name[0]} is refused")
                sock.close()
                continue
            sock.setblocking(False)
            hop = Hop(port.transport, from_sockaddr(sock.getsockname()), from_sockaddr(name))
            task = self.loop.create_task(self._welcome(sock, hop, port.context))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def _accept_again(self, port: _Port) -> None:
        if port.sock.fileno() >= 0:
            self.loop.add_reader(port.sock.fileno(), self._accept, port)

    async def _welcome(self, sock: socket.socket, hop: Hop, context: ssl.SSLContext | None) -> None:
        try:
            await self.loop.connect_accepted_socket(
                lambda: self._flow(hop, inbound=True),
                sock,
                ssl=context,
                ssl_handshake_timeout=self._connect_timeout if context else None,
                ssl_shutdown_timeout=CLOSE_SECONDS if context else None,
            )
        except OSError as error:
            sock.close()
            if not self._closed:
                self._on_warning(f"inbound: {handshake_failure(error, hop.remote, '')}")

    # Flows

    def send(self, data: bytes, hop: Hop) -> None:
        """Writes a message to the flow of a hop, opening one if need be. Failures go to `on_failure`."""
        flow = self._find(hop)
        if flow is None:
            flow = self._open(hop)
        flow.write(data)
        if flow.transport is not None and flow.transport.get_write_buffer_size() > WRITE_LIMIT:
            self._forget(flow)
            flow.gone_on_purpose = True
            flow.abort()
            self._on_failure(hop, f"the far end at {bracketed(hop.remote)} does not read what it is sent")

    def drop(self, hop: Hop) -> None:
        """Cuts the flow of a hop, if it is open, without telling anybody: the next message opens another."""
        flow = self._flows.get((hop.transport, hop.local, hop.remote, hop.name))
        if flow is not None:
            self._forget(flow)
            flow.gone_on_purpose = True
            if flow.task is not None:
                flow.task.cancel()
            flow.abort()

    def _find(self, hop: Hop) -> Flow | None:
        exact = self._flows.get((hop.transport, hop.local, hop.remote, hop.name))
        if exact is not None or (hop.name and hop.transport.secure):
            return exact
        # Nothing was demanded of the peer's name, so an open flow to this address serves (RFC 5923).
        return self._by_remote.get((hop.transport, hop.remote))

    def _flow(self, hop: Hop, *, inbound: bool) -> Flow:
        return (WebSocketFlow if hop.transport.over_websocket else Flow)(self, hop, inbound=inbound)

    def _open(self, hop: Hop) -> Flow:
        flow = self._flow(hop, inbound=False)
        self._remember(flow)
        flow.task = self.loop.create_task(self._connect(flow))
        return flow

    async def _connect(self, flow: Flow) -> None:
        hop = flow.hop
        sock: socket.socket | None = None
        try:
            context = self._client() if hop.transport.secure else None
            async with asyncio.timeout(self._connect_timeout):
                sock = await self._dial(hop)
            await self._adopt(flow, sock, context)
        except (OSError, Unreachable, TlsConfigurationError, UntrustedPeer) as error:
            if sock is not None and flow.opened is None:
                sock.close()
            self._forget(flow)
            if not flow.gone_on_purpose:
                flow.gone_on_purpose = True
                flow.abort()
                self._on_failure(hop, self._why_not(error, hop, dialled=sock is not None))
            if not flow.ended.done():
                flow.ended.set_result(None)

    async def _dial(self, hop: Hop) -> socket.socket:
        try:
            return await self._dial_from(hop, hop.local.port)
        except OSError as error:
            # A connection of a moment ago may still hold our port towards this peer (TIME-WAIT).
            if not hop.local.port or error.errno not in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
                raise
        return await self._dial_from(hop, 0)

    async def _dial_from(self, hop: Hop, port: int) -> socket.socket:
        sock = self._bind_source(hop.local.host, port)
        try:
            await self.loop.sock_connect(sock, sockaddr(hop.remote))
        except BaseException:
            sock.close()
            raise
        return sock

    def _bind_source(self, host: str, port: int) -> socket.socket:
        sock = socket.socket(family_of(host), socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(sockaddr(Address(host, port)))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _adopt(self, flow: Flow, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        if context is None:
            await self.loop.create_connection(lambda: flow, sock=sock)
        else:
            await self._secure(flow, sock, context)
        flow.begin()

    async def _secure(self, flow: Flow, sock: socket.socket, context: ssl.SSLContext) -> None:
        name = self._tls.name_for(flow.hop.name, flow.hop.remote)
        transport, _ = await self.loop.create_connection(
            lambda: flow,
            sock=sock,
            ssl=context,
            server_hostname=name,
            ssl_handshake_timeout=self._connect_timeout,
            ssl_shutdown_timeout=CLOSE_SECONDS,
        )
        self._note_session(flow.hop, transport, name)
        if self._tls.insecure:
            return
        certificate = transport.get_extra_info("peercert") or {}
        if not speaks_for(certificate, name):
            raise UntrustedPeer(
                f"its certificate is for {names_of(certificate)}, not for {name} (name mismatch)"
            )

    def _note_session(self, hop: Hop, transport: asyncio.BaseTransport, name: str) -> None:
        connection = transport.get_extra_info("ssl_object")
        if connection is None:
            return
        if len(self._sessions) >= FLOW_LIMIT:
            del self._sessions[next(iter(self._sessions))]
        # A server is trusted once its name is checked too, and until then nothing is sent; a client is only
        # asked for a certificate where one is required.
        trusted = not self._tls.insecure if name else connection.getpeercert(binary_form=True) is not None
        self._sessions[hop.transport, hop.remote] = session_of(connection, name, trusted=trusted)

    def session(self, hop: Hop) -> TlsSession | None:
        """Of the last TLS connection with the far end of a hop; None without one."""
        return self._sessions.get((hop.transport, hop.remote))

    def _client(self) -> ssl.SSLContext:
        if self._client_context is None:
            self._client_context = self._tls.client_context()
        return self._client_context

    def _why_not(self, error: BaseException, hop: Hop, *, dialled: bool) -> str:
        if isinstance(error, (TlsConfigurationError, Unreachable)):
            return str(error)
        where = bracketed(hop.remote)
        if dialled and hop.transport.secure:
            return handshake_failure(error, hop.remote, self._tls.name_for(hop.name, hop.remote))
        if isinstance(error, TimeoutError):
            return f"connecting to {where} timed out: no answer within {self._connect_timeout:g} s"
        code = error.errno if isinstance(error, OSError) and error.errno else 0
        if code == errno.ECONNREFUSED:
            return f"connection refused: nothing listens on TCP port {hop.remote.port} of {hop.remote.host}"
        if code in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return f"host unreachable: {hop.remote.host} cannot be reached ({os.strerror(code)})"
        return f"connecting to {where} failed: {os.strerror(code) if code else error}"

    # What the flows tell

    def opening(self, flow: Flow) -> None:
        """A client has connected, and its handshake is awaited."""
        if self._closed:
            flow.abort()
        self._opening.add(flow)

    def refused(self, flow: Flow, reason: str) -> None:
        """A flow ends for a reason of its own; `reason` is empty when it was ours."""
        self._opening.discard(flow)
        self._forget(flow)
        if flow.gone_on_purpose:
            return
        flow.gone_on_purpose = True
        where = f"{flow.hop.transport} with {bracketed(flow.hop.remote)}"
        if flow.known:
            self._on_failure(flow.hop, f"{where}: {reason}")
        elif reason:
            self._on_warning(f"inbound {where}: {reason}")

    def accepted(self, flow: Flow) -> None:
        self._opening.discard(flow)
        if self._closed:
            flow.gone_on_purpose = True
            flow.abort()
            return
        if flow.hop.transport.secure and flow.opened is not None:
            self._note_session(flow.hop, flow.opened, "")
        self._remember(flow)

    def lost(self, flow: Flow, error: Exception | None) -> None:
        self._opening.discard(flow)
        self._forget(flow)
        if flow.gone_on_purpose or not flow.known or (flow.task is not None and not flow.task.done()):
            return
        where = f"the {flow.hop.transport} connection with {bracketed(flow.hop.remote)}"
        if isinstance(error, ssl.SSLError):
            # With TLS 1.3 a server refuses our certificate only after the handshake is complete for us.
            name = self._tls.name_for(flow.hop.name, flow.hop.remote)
            self._on_failure(flow.hop, handshake_failure(error, flow.hop.remote, name))
        elif error is None:
            mute = flow.hop.transport.secure and not flow.inbound and not flow.heard
            hint = " at once; it may want a certificate from us (--cert, --key)"
            wanted = hint if mute and self._tls.cert is None else ""
            self._on_failure(flow.hop, f"{where} was closed by the far end{wanted}")
        elif isinstance(error, ConnectionResetError):
            self._on_failure(flow.hop, f"{where} was reset by the far end")
        else:
            self._on_failure(flow.hop, f"{where} broke: {error}")

    def _remember(self, flow: Flow) -> None:
        hop = flow.hop
        flow.known = True
        self._flows[hop.transport, hop.local, hop.remote, hop.name] = flow
        self._by_remote[hop.transport, hop.remote] = flow
        if self._sweep_timer is None:
            self._sweep_timer = self.loop.call_later(self._idle_timeout / 4, self._sweep)

    def _forget(self, flow: Flow) -> None:
        hop = flow.hop
        key = (hop.transport, hop.local, hop.remote, hop.name)
        if self._flows.get(key) is flow:
            del self._flows[key]
        if self._by_remote.get((hop.transport, hop.remote)) is flow:
            del self._by_remote[hop.transport, hop.remote]

    def _sweep(self) -> None:
        self._sweep_timer = None
        oldest = self.loop.time() - self._idle_timeout
        for flow in list(self._flows.values()):
            if flow.last_used < oldest:
                self._forget(flow)
                flow.close()
        if self._flows:
            self._sweep_timer = self.loop.call_later(self._idle_timeout / 4, self._sweep)

    async def close(self) -> None:
        """Flushes and closes every flow; what has not gone within `CLOSE_SECONDS` is cut."""
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for port in self._all_ports:
            self.loop.remove_reader(port.sock.fileno())
            port.sock.close()
        self._ports.clear()
        self._all_ports.clear()
        flows = [*self._flows.values(), *self._opening]
        for task in self._handshakes:
            task.cancel()
        for flow in flows:
            flow.close()
        if flows:
            _, late = await asyncio.wait([flow.ended for flow in flows], timeout=CLOSE_SECONDS)
            if late:
                for flow in flows:
                    if not flow.ended.done():
                        flow.abort()
        tasks = [flow.task for flow in flows if flow.task is not None] + list(self._handshakes)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._flows.clear()
        self._by_remote.clear()
