"""A TURN server in virtual time, and the client that asks it for an address."""

from __future__ import annotations

import pytest

from callwright.ice import stun
from callwright.ice.events import Gathered, IceSettings, Selected, TurnServer
from callwright.ice.stun import Message
from tests.ice.network import SERVER, AddressTuple, Network, Side

USER, PASSWORD, REALM = "user", "secret", "callwright"
KEY = stun.long_term_key(USER, REALM, PASSWORD)
RELAYED = (SERVER[0], 50_000)
ERROR = stun.ERROR


class Server:
    """One allocation. `heard`: methods that it granted, in order."""

    def __init__(self) -> None:
        self.nonce = b"first"
        self.client: AddressTuple | None = None
        self.permitted: set[str] = set()
        self.channels: dict[int, AddressTuple] = {}
        self.heard: list[int] = []
        self.as_channel = 0  # packets of the client with the short header

    def __call__(self, data: bytes, source: AddressTuple) -> list[tuple[bytes, AddressTuple]]:
        if source == self.client and 0x40 <= data[0] < 0x50:
            self.as_channel += 1
            bound = self.channels[int.from_bytes(data[:2], "big")]
            return [self.to_peer(data[4 : 4 + int.from_bytes(data[2:4], "big")], bound)]
        if source != self.client and self.client is not None:  # of a peer, to the relayed address
            if source[0] not in self.permitted:
                return []
            number = next((n for n, peer in self.channels.items() if peer == source), None)
            if number is not None:
                return [(number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data, self.client)]
            said = [
                (stun.XOR_PEER_ADDRESS, stun.xor_address(source, bytes(12))),
                (stun.DATA_ATTRIBUTE, data),
            ]
            return [(stun.build(stun.INDICATION, stun.DATA, bytes(12), said), self.client)]
        message = stun.parse(data)
        if message.method == stun.SEND:
            peer = message.address(stun.XOR_PEER_ADDRESS)
            payload = message.value(stun.DATA_ATTRIBUTE)
            assert peer is not None
            assert payload is not None
            return [self.to_peer(payload, peer)] if peer[0] in self.permitted else []
        return [(self.granted(message, source), source)]

    def to_peer(self, data: bytes, peer: AddressTuple) -> tuple[bytes, AddressTuple]:
        return data, peer

    def granted(self, message: Message, source: AddressTuple) -> bytes:
        if message.value(stun.NONCE) != self.nonce or not message.signed_by(KEY):
            code = 401 if not message.has(stun.NONCE) or message.value(stun.NONCE) == self.nonce else 438
            said = [
                (stun.ERROR_CODE, stun.error_value(code, "No")),
                (stun.REALM, REALM.encode()),
                (stun.NONCE, self.nonce),
            ]
            return stun.build(ERROR, message.method, message.transaction, said)
        self.heard.append(message.method)
        said = []
        peer = message.address(stun.XOR_PEER_ADDRESS)
        if message.method == stun.ALLOCATE:
            self.client = source
            said = [
                (stun.XOR_RELAYED_ADDRESS, stun.xor_address(RELAYED, message.transaction)),
                (stun.XOR_MAPPED_ADDRESS, stun.xor_address(source, message.transaction)),
                (stun.LIFETIME, (600).to_bytes(4, "big")),
            ]
        elif message.method == stun.CREATE_PERMISSION and peer is not None:
            self.permitted.add(peer[0])
        elif message.method == stun.CHANNEL_BIND and peer is not None:
            number = message.value(stun.CHANNEL_NUMBER)
            assert number is not None
            self.channels[int.from_bytes(number[:2], "big")] = peer
        return stun.build(stun.SUCCESS, message.method, message.transaction, said, key=KEY)


def begin(password: str = PASSWORD) -> tuple[Network, Server, Side, Side]:
    """Alice may only be reached by the server; bob is on the open network."""
    network, server = Network(), Server()

    def serve(data: bytes, source: AddressTuple) -> list[tuple[bytes, AddressTuple]]:
        return server(data, source)

    network.server = serve
    fly = network.fly

    def from_relay(data: bytes, source: AddressTuple, to: AddressTuple) -> None:
        if source[0] == SERVER[0]:
            source = RELAYED if to == bob.address else SERVER
        fly(data, source, to)

    network.fly = from_relay  # type: ignore[method-assign]
    turn = IceSettings(turn=TurnServer(SERVER, USER, password), relay_only=True)
    alice = Side(network, "10.0.0.1", controlling=True, public="198.51.100.1", settings=turn)
    bob = Side(network, "192.0.2.2")
    alice.agent.gather(0)
    bob.agent.gather(0)
    network.run(4)
    return network, server, alice, bob


def test_media_goes_by_the_relay() -> None:
    network, server, alice, bob = begin()
    (relay,) = alice.agent.candidates
    assert (relay.kind, relay.address, relay.related) == ("relay", RELAYED, ("198.51.100.1", 20_000))
    bob.meet(alice)
    alice.meet(bob)
    network.run(3)
    (selected,) = alice.all(Selected)
    assert isinstance(selected, Selected)
    assert (selected.local.kind, selected.remote.address) == ("relay", bob.address)
    assert bob.all(Selected)
    alice.say(b"audio")
    bob.say(b"answer")
    network.run(0.1)
    assert bob.data == [(b"audio", RELAYED)]
    assert alice.data == [(b"answer", bob.address)]
    assert server.as_channel >= 1
    assert all(to == SERVER for _, to in alice.sent)


def test_allocation_permission_and_channel_are_kept_alive_and_given_back() -> None:
    network, server, alice, bob = begin()
    bob.meet(alice)
    alice.meet(bob)
    network.run(3)
    server.heard.clear()
    server.nonce = b"second"
    network.run(600)
    assert server.heard.count(stun.REFRESH) == 1
    assert server.heard.count(stun.CREATE_PERMISSION) >= 2
    assert server.heard.count(stun.CHANNEL_BIND) >= 2
    alice.agent.close(network.now)
    network.run(1)
    assert server.heard[-1] == stun.REFRESH


@pytest.mark.parametrize(
    ("password", "silent", "why"),
    [
        ("wrong", False, "The TURN server refused an allocation: 401 No."),
        (PASSWORD, True, "The TURN server did not answer in time."),
    ],
)
def test_a_server_that_gives_nothing_is_told_of(password: str, silent: bool, why: str) -> None:
    network, server = Network(), Server()
    network.server = (lambda data, source: []) if silent else server
    turn = IceSettings(turn=TurnServer(SERVER, USER, password))
    alice = Side(network, "192.0.2.1", controlling=True, settings=turn)
    alice.agent.gather(0)
    network.run(4)
    assert alice.all(Gathered)
    assert [candidate.kind for candidate in alice.agent.candidates] == ["host"]
    assert alice.agent.report().remarks == (why,)
    assert password not in repr(turn)


def test_what_the_server_was_not_asked_for_is_not_taken() -> None:
    _, _, alice, _ = begin()
    said = [
        (stun.XOR_PEER_ADDRESS, stun.xor_address(("203.0.113.66", 9), bytes(12))),
        (stun.DATA_ATTRIBUTE, b"noise"),
    ]
    forged = stun.build(stun.INDICATION, stun.DATA, bytes(12), said)
    for data in (forged, b"\x40\x00\x00\x02hi", b"\x40", b"\x4f\xff\xff\xff", b""):
        assert alice.agent.receive(data, SERVER, 5.0) is None
