"""A TURN client over UDP (RFC 8656): one allocation, its permissions and channels.

allocation = Allocation(server, user, password, entropy)
allocation.start(now)
allocation.permit(host, now)               before the server takes anything of that host, or to it
allocation.wrapped(data, peer)             what to send to the server
allocation.receive(data, now)              (payload, peer) of what the server passes on
"""

from __future__ import annotations

from collections.abc import Callable

from callwright.ice import stun
from callwright.ice.requests import Answered, Requests
from callwright.ice.stun import Message, StunError

__all__ = ["Allocation"]

_UDP = 17 << 24
_LIFETIME = 600
_AHEAD = 60.0  # seconds before its end that the allocation is refreshed
_PERMISSION = 240.0  # seconds between two requests for a permission, which lasts 300
_FIRST_CHANNEL, _LAST_CHANNEL = 0x4000, 0x4FFF
_MOST_PERMISSIONS = 64
_MOST_CHANNELS = 8
_RENEWALS = 3  # stale nonces in a row


class Allocation:
    """`relayed`: our address at the server, once it is there; `mapped`: ours as the server sees it; `failed`:
    a sentence. The five verbs, but `receive` gives what the server passes on."""

    def __init__(
        self,
        server: tuple[str, int],
        user: str,
        password: str,
        entropy: Callable[[int], bytes],
        transmit: Callable[[bytes, tuple[str, int]], None],
    ) -> None:
        self.server = server
        self.relayed: tuple[str, int] | None = None
        self.mapped: tuple[str, int] | None = None
        self.failed: str | None = None
        self._user, self._password, self._entropy = user, password, entropy
        self._transmit = transmit
        self._requests = Requests(transmit)
        self._realm = self._nonce = b""
        self._key: bytes | None = None
        self._stale = 0
        self._refresh_at: float | None = None
        self._permitted: dict[str, float] = {}  # host, and when it is asked for again
        self._channels: dict[tuple[str, int], int] = {}  # those that the server has confirmed
        self._asked: dict[tuple[str, int], tuple[int, float]] = {}
        self._closed = False

    def start(self, now: float) -> None:
        self._request(
            stun.ALLOCATE, [(stun.REQUESTED_TRANSPORT, _UDP.to_bytes(4, "big"))], now, self._allocated
        )

    def permit(self, host: str, now: float) -> None:
        """Ask the server to let packets of this host pass."""
        if self.relayed is None or host in self._permitted or len(self._permitted) >= _MOST_PERMISSIONS:
            return
        self._permitted[host] = now + _PERMISSION
        self._create_permission(host, now)

    def bind(self, peer: tuple[str, int], now: float) -> None:
        """Have a channel to a peer, whose header is 4 octets instead of 36."""
        if self.relayed is None or peer in self._asked or len(self._asked) >= _MOST_CHANNELS:
            return
        number = _FIRST_CHANNEL + len(self._asked)
        self._asked[peer] = (number, now + _PERMISSION)
        self._channel_bind(peer, number, now)

    def wrapped(self, data: bytes, peer: tuple[str, int]) -> bytes:
        number = self._channels.get(peer)
        if number is not None:
            return number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data
        transaction = self._entropy(12)
        attributes = [
            (stun.XOR_PEER_ADDRESS, stun.xor_address(peer, transaction)),
            (stun.DATA_ATTRIBUTE, data),
        ]
        return stun.build(stun.INDICATION, stun.SEND, transaction, attributes, fingerprint=False)

    def receive(self, data: bytes, now: float) -> tuple[bytes, tuple[str, int]] | None:
        """What came from the server: None for what is between it and us, or broken."""
        if len(data) >= 4 and _FIRST_CHANNEL <= (number := int.from_bytes(data[:2], "big")) <= _LAST_CHANNEL:
            size = int.from_bytes(data[2:4], "big")
            peer = next((peer for peer, (own, _) in self._asked.items() if own == number), None)
            return None if peer is None or size > len(data) - 4 else (data[4 : 4 + size], peer)
        try:
            message = stun.parse(data)
        except StunError:
            return None
        if message.kind == stun.INDICATION:
            payload, peer = message.value(stun.DATA_ATTRIBUTE), message.address(stun.XOR_PEER_ADDRESS)
            if message.method != stun.DATA or payload is None or peer is None:
                return None
            return (payload, peer) if peer[0] in self._permitted else None
        if message.kind in (stun.SUCCESS, stun.ERROR):
            self._requests.receive(message, self.server, now)
        return None

    def next_wake(self) -> float | None:
        times = [self._requests.next_wake(), self._refresh_at]
        if self.relayed is not None and not self._closed:
            times += list(self._permitted.values())
            times += [again for _, again in self._asked.values()]
        return min((one for one in times if one is not None), default=None)

    def wake(self, now: float) -> None:
        self._requests.wake(now)
        if self._closed or self.relayed is None:
            return
        if self._refresh_at is not None and self._refresh_at <= now:
            self._refresh_at = None
            self._refresh(_LIFETIME, now, self._refreshed)
        for host, again in list(self._permitted.items()):
            if again <= now:
                self._permitted[host] = now + _PERMISSION
                self._create_permission(host, now)
        for peer, (number, again) in list(self._asked.items()):
            if again <= now:
                self._asked[peer] = (number, now + _PERMISSION)
                self._channel_bind(peer, number, now)

    def close(self, now: float) -> None:
        """Give the allocation back."""
        if self.relayed is not None and not self._closed:
            self._refresh(0, now, _ignore)
        self._closed, self._refresh_at = True, None

    # -- inside

    def _refresh(self, lifetime: int, now: float, answered: Answered) -> None:
        self._request(stun.REFRESH, [(stun.LIFETIME, lifetime.to_bytes(4, "big"))], now, answered)

    def _create_permission(self, host: str, now: float) -> None:
        self._request(stun.CREATE_PERMISSION, [], now, _ignore, peer=(host, 0))

    def _channel_bind(self, peer: tuple[str, int], number: int, now: float) -> None:
        def bound(message: Message | None, _: object, __: float) -> None:
            if message is not None and message.kind == stun.SUCCESS:
                self._channels[peer] = number

        attributes = [(stun.CHANNEL_NUMBER, (number << 16).to_bytes(4, "big"))]
        self._request(stun.CHANNEL_BIND, attributes, now, bound, peer=peer)

    def _request(
        self,
        method: int,
        attributes: list[tuple[int, bytes]],
        now: float,
        answered: Answered,
        *,
        peer: tuple[str, int] | None = None,
    ) -> None:
        transaction = self._entropy(12)
        said = list(attributes)
        if peer is not None:
            said.append((stun.XOR_PEER_ADDRESS, stun.xor_address(peer, transaction)))
        if self._key is not None:
            said += [
                (stun.USERNAME, self._user.encode()),
                (stun.REALM, self._realm),
                (stun.NONCE, self._nonce),
            ]

        def judged(message: Message | None, source: tuple[str, int] | None, at: float) -> None:
            error = message.error if message is not None and message.kind == stun.ERROR else None
            challenged = error is not None and (error[0] == 438 or (error[0] == 401 and self._key is None))
            if message is not None and challenged and self._challenge(message):
                self._request(method, attributes, at, answered, peer=peer)
                return
            if message is not None and message.kind == stun.SUCCESS and self._key is not None:
                if not message.signed_by(self._key):
                    message = None  # whoever sent it does not know the password
                self._stale = 0
            answered(message, source, at)

        data = stun.build(stun.REQUEST, method, transaction, said, key=self._key, fingerprint=False)
        self._requests.send(transaction, data, self.server, now, judged)

    def _challenge(self, message: Message) -> bool:
        realm, nonce = message.value(stun.REALM), message.value(stun.NONCE)
        self._stale += 1
        if nonce is None or (realm is None and not self._realm) or self._stale > _RENEWALS:
            return False
        self._realm, self._nonce = realm or self._realm, nonce
        named = self._realm.decode("utf-8", "replace")
        self._key = stun.long_term_key(self._user, named, self._password)
        return True

    def _allocated(self, message: Message | None, _: object, now: float) -> None:
        if message is None:
            self.failed = "The TURN server did not answer."
            return
        if message.kind == stun.ERROR:
            code, reason = message.error or (0, "")
            self.failed = f"The TURN server refused an allocation: {code} {reason}".rstrip() + "."
            return
        self.mapped = message.address(stun.XOR_MAPPED_ADDRESS)
        self.relayed = message.address(stun.XOR_RELAYED_ADDRESS)
        if self.relayed is None:
            self.failed = "The TURN server named no relayed address."
            return
        self._lives(message, now)
        if self._closed:
            self._closed = False
            self.close(now)

    def _refreshed(self, message: Message | None, _: object, now: float) -> None:
        if message is None or message.kind == stun.ERROR:
            self.failed = "The TURN server ended the allocation."
            return
        self._lives(message, now)

    def _lives(self, message: Message, now: float) -> None:
        seconds = message.number(stun.LIFETIME) or _LIFETIME
        self._refresh_at = now + max(seconds - _AHEAD, seconds / 2, 1.0)


def _ignore(message: Message | None, source: tuple[str, int] | None, now: float) -> None:
    pass
