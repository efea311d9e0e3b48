"""What the load loop without native code sends: prepared messages, filled for a call, and the sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from callwright.generator.load_digest import authorization
from callwright.generator.load_media import DIRECTIONS
from callwright.generator.load_numbers import Numbers
from callwright.generator.loop import FIRST_VERSION, LoopConfig, open_sockets
from callwright.generator.wills import Wills
from callwright.net.address import numeric_host, sockaddr
from callwright.sip.transport import Address

if TYPE_CHECKING:
    from callwright.generator.load_calls import Call

_LETTERS = {"invite": b"i", "ack_failed": b"i", "cancel": b"i", "ack": b"a", "register": b"r"}
_NOBODY = 9
"""The port of discard, for a call without media."""


class Wire:
    """Fills messages and sends them. Raises OSError when no socket can be opened."""

    def __init__(
        self, config: LoopConfig, numbers: Numbers, say: Callable[[Call, bytes], bytes] = lambda _, data: data
    ) -> None:
        self._config = config
        self._say = say
        self._numbers = numbers
        self.sockets = open_sockets(config)
        self.wills = Wills() if config.keep_wills else None

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        if self.wills is not None:
            self.wills.close()
            self.wills = None

    def id(self, call: Call) -> bytes:
        return b"%08x-%08x" % (call.number, 1)

    def fill(
        self, name: str, call: Call | None, cseq: int, to: bytes, line: bytes = b"", letter: bytes = b""
    ) -> bytes:
        config, parts = self._config, []
        letter = letter or _LETTERS.get(name, b"b")
        for kind, value in config.messages[name]:
            if isinstance(value, int):
                row = config.accounts[call.account] if call and config.accounts else ()
                parts.append(row[value] if value < len(row) else b"")
            elif kind == "literal":
                parts.append(value)
            elif call is None:
                raise ValueError(f"{name} belongs to no call")
            elif kind == "id":
                parts.append(self.id(call))
            elif kind == "branch":
                parts.append(b"%b-%b%02x" % (self.id(call), letter, cseq & 0xFF))
            elif kind == "cseq":
                parts.append(b"%d" % cseq)
            elif kind == "to":
                parts.append(to)
            elif kind == "number":
                parts.append(b"%d" % call.account)
            elif kind == "authorization":
                parts.append(line)
            elif kind == "direction":
                parts.append(DIRECTIONS[call.direction])
            elif kind == "version":
                parts.append(b"%d" % (FIRST_VERSION + call.version))
            elif kind == "port":
                parts.append(b"%d" % (call.stream.port if call.stream is not None else _NOBODY))
            elif kind == "ssrc":
                parts.append(b"%d" % (call.stream.ssrc if call.stream is not None else 0))
            else:
                parts.append(getattr(call, kind))
        return b"".join(parts)

    def request(self, name: str, call: Call, cseq: int) -> None:
        line = b""
        challenge = call.bye_challenge if name == "bye" else call.challenge
        if challenge and (name == "bye" or (call.tried and name in ("invite", "register"))):
            plain = self.fill(name, call, cseq, call.remote)
            method, uri, _ = plain.split(b" ", 2)
            line = self._credentials(call, challenge, method, uri, plain.partition(b"\r\n\r\n")[2])
        data = self.fill(name, call, cseq, call.remote, line)
        if name == "invite" and self.wills is not None:
            self.wills.called(call.number, data, call.account)
        self.send(self._say(call, data), call.peer)

    def request_uri(self, call: Call) -> bytes:
        """That of the INVITE of a call."""
        return self.fill("invite", call, call.cseq, b"").split(b" ", 2)[1]

    def _credentials(self, call: Call, challenge: bytes, method: bytes, uri: bytes, body: bytes) -> bytes:
        config = self._config
        row = config.accounts[call.account]
        line = authorization(
            challenge,
            proxy=call.proxy_challenge,
            user=row[config.user_column],
            password=row[config.password_column] if config.password_column >= 0 else b"",
            method=method,
            uri=uri,
            # The same in a repeat of the request, which has to be the same octets (17.1.2.2).
            cnonce=b"%08x%08x" % (config.salt, call.number),
            body=body,
        )
        return line or b""

    def send(self, data: bytes, to: Address | None) -> None:
        """To the target, where `to` is None."""
        remote = to or self._config.remote
        assert remote is not None
        sock = self.sockets[0]
        connected = len(self.sockets) > 1
        if connected and to is not None:
            sock, connected = self.sockets[1], False
        for _ in range(3):
            try:
                if connected:
                    sock.send(data)
                else:
                    sock.sendto(data, sockaddr(remote))
                break
            except ConnectionRefusedError:
                continue  # of an earlier datagram: this one is tried again
            except OSError:
                self._numbers.add("send_errors")
                break
        self._numbers.add("sent")

    # -- where it may go

    def next_hop(self, uri: bytes) -> Address | None:
        """An address other than the target's, where the host is numeric and the target may lead there."""
        text = uri.partition(b":")[2].split(b";")[0].split(b"?")[0].rpartition(b"@")[2].decode("latin-1")
        host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
        if not colon:
            host, port = text, "5060"
        numeric = numeric_host(host)
        if numeric is None or not port.isdigit() or int(port) > 65535:
            return None
        address = Address(numeric, int(port) or 5060)
        if address == self._config.remote:
            return None
        if address not in self._config.own and not self.permitted(numeric, self._config.remote):
            return None
        return address

    def permitted(self, host: str, peer: Address | None) -> bool:
        """Whether our packets may go to this numeric host, which `peer` named: a peer must not send our load
        to a stranger, nor one from outside to this machine."""
        six = _six(host)
        if _is_impossible(six):
            return False
        if self._config.near and peer is not None and _is_loopback(six) and _is_loopback(_six(peer.host)):
            return True
        wanted = int.from_bytes(six, "big")
        for network, bits in self._config.networks:
            if (wanted ^ int.from_bytes(network, "big")) >> (128 - bits) == 0:
                return True
        return False


_MAPPED = bytes(10) + b"\xff\xff"


def _six(host: str) -> bytes:
    """A numeric host as an IPv6 address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(family, host.split("%")[0])
    return packed if len(packed) == 16 else _MAPPED + packed


def _is_loopback(six: bytes) -> bool:
    return six == bytes(15) + b"\x01" or (six.startswith(_MAPPED) and six[12] == 127)


def _is_impossible(six: bytes) -> bool:
    """Unspecified, multicast, broadcast or reserved: no network permits them."""
    if six.startswith(_MAPPED):
        return six[12] == 0 or six[12] >= 224
    return six[0] == 0xFF or six == bytes(16)
