"""DTLS-SRTP handshakes in virtual time: keys, fingerprints, and what happens when a flight is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.net.own_certificate import make_identity
from callwright.srtp.context import SrtpContext
from callwright.srtp.dtls import PROFILES, Dtls, DtlsEstablished, DtlsFailed, Identity
from callwright.srtp.fingerprint import (
    Fingerprint,
    FingerprintError,
    fingerprint_of,
    matching,
    parse_fingerprint,
)

ALICE, BOB, MALLORY = make_identity(), make_identity(), make_identity()


class Handshake:
    """A client and a server, and the datagrams between them; `lost` are the numbers of those that vanish."""

    def __init__(self, client: Dtls, server: Dtls, lost: tuple[int, ...] = ()) -> None:
        self.client, self.server, self.lost = client, server, lost
        self.now, self.counted = 0.0, 0
        self.sent: list[bytes] = []

    def run(self, seconds: float = 40.0) -> None:
        self.client.start(self.now)
        self.server.start(self.now)
        end = self.now + seconds
        while True:
            while self._exchange():
                pass
            wakes = [one.next_wake() for one in (self.client, self.server)]
            due = min((wake for wake in wakes if wake is not None), default=None)
            if due is None or due > end:
                break
            self.now = due
            for one in (self.client, self.server):
                one.wake(self.now)

    def _exchange(self) -> bool:
        moved = False
        for sender, receiver in ((self.client, self.server), (self.server, self.client)):
            for datagram in sender.transmissions():
                moved = True
                self.sent.append(datagram)
                if self.counted not in self.lost:
                    receiver.receive(datagram, self.now)
                self.counted += 1
        return moved


def pair(
    *,
    client_wants: tuple[Fingerprint, ...] = (BOB.fingerprint,),
    server_wants: tuple[Fingerprint, ...] = (ALICE.fingerprint,),
    server: Identity = BOB,
    suites: tuple[str, ...] = tuple(PROFILES),
) -> tuple[Dtls, Dtls]:
    return (
        Dtls(ALICE, client_wants, client=True, suites=suites),
        Dtls(server, server_wants, client=False),
    )


@pytest.mark.parametrize("suite", PROFILES)
def test_both_sides_have_the_same_keys_of_the_suite(suite: str) -> None:
    client, server = pair(suites=(suite,))
    Handshake(client, server).run()
    assert client.keys is not None
    assert server.keys is not None
    assert client.keys.suite == server.keys.suite == suite
    assert (client.keys.send, client.keys.receive) == (server.keys.receive, server.keys.send)
    (established,) = client.events()
    assert isinstance(established, DtlsEstablished)
    assert established.fingerprint == BOB.fingerprint
    packet = b"\x80\x00\x00\x01" + bytes(8) + b"audio"
    protected = SrtpContext(client.keys).protect(packet)
    assert SrtpContext(server.keys).unprotect(protected) == packet
    assert "secret" not in repr(client.keys)
    assert client.keys.send.hex() not in repr(client.keys)


def test_the_datagrams_fit_every_path() -> None:
    handshake = Handshake(*pair())
    handshake.run()
    assert max(map(len, handshake.sent)) <= 1200


def test_a_certificate_that_does_not_match_gives_no_keys() -> None:
    client, server = pair(server=MALLORY)
    Handshake(client, server).run()
    assert client.keys is None
    assert server.keys is None
    (failed,) = client.events()
    assert isinstance(failed, DtlsFailed)
    assert failed.reason == (
        "The certificate of the peer does not match its SDP: "
        f"it has {MALLORY.fingerprint}, the SDP says {BOB.fingerprint}."
    )
    (failed,) = server.events()
    assert isinstance(failed, DtlsFailed)
    assert "alert" in failed.reason


def test_the_server_checks_the_client_too() -> None:
    client, server = pair(server_wants=(MALLORY.fingerprint,))
    Handshake(client, server).run()
    assert server.keys is None
    assert "does not match its SDP" in str(server.failure)


@pytest.mark.parametrize("algorithm", ["sha-1", "sha-224", "sha-384", "sha-512"])
def test_other_hashes_are_checked_too(algorithm: str) -> None:
    client, server = pair(client_wants=(fingerprint_of(BOB.certificate, algorithm),))
    Handshake(client, server).run()
    assert client.keys is not None


def test_the_strongest_hash_counts() -> None:
    weak, wrong = fingerprint_of(BOB.certificate, "sha-1"), fingerprint_of(MALLORY.certificate, "sha-256")
    assert matching(BOB.certificate, [weak, wrong]) is None
    assert matching(BOB.certificate, [weak, wrong, BOB.fingerprint]) == BOB.fingerprint
    assert matching(BOB.certificate, []) is None


@pytest.mark.parametrize("lost", range(10))
def test_any_one_datagram_may_be_lost(lost: int) -> None:
    handshake = Handshake(*pair(), lost=(lost,))
    handshake.run()
    assert handshake.client.keys is not None
    assert handshake.server.keys is not None
    assert handshake.now <= 3.0
    if lost < 4:
        assert handshake.client.resent + handshake.server.resent >= 1


def test_a_peer_that_is_silent_is_told_after_its_flights() -> None:
    client, server = pair()
    Handshake(client, server, lost=tuple(range(1000))).run(60)
    (failed,) = client.events()
    assert isinstance(failed, DtlsFailed)
    assert failed.reason in (
        "The DTLS handshake is not answered.",
        "The DTLS handshake did not come to an end.",
    )
    assert client.resent == 4, "after 1, 3, 7 and 15 seconds"
    (failed,) = server.events()
    assert isinstance(failed, DtlsFailed)


def test_no_profile_in_common_is_told() -> None:
    client = Dtls(ALICE, (BOB.fingerprint,), client=True, suites=("AEAD_AES_256_GCM",))
    server = Dtls(BOB, (ALICE.fingerprint,), client=False, suites=("AES_CM_128_HMAC_SHA1_80",))
    Handshake(client, server).run()
    assert client.keys is None
    assert server.keys is None
    assert "SRTP profile" in str(client.failure) + str(server.failure)


def test_goodbye_is_said_and_taken() -> None:
    client, server = pair()
    handshake = Handshake(client, server)
    handshake.run()
    client.close()
    (goodbye,) = client.transmissions()
    server.receive(goodbye, 1.0)
    assert server.keys is not None


@given(st.lists(st.binary(min_size=1, max_size=100), max_size=8))
def test_noise_ends_a_handshake_or_leaves_it(noise: list[bytes]) -> None:
    client, server = pair()
    client.start(0.0)
    server.start(0.0)
    for data in noise:
        for octets in (data, b"\x16\xfe\xfd" + bytes(8) + len(data).to_bytes(2, "big") + data):
            client.receive(octets, 0.0)
            server.receive(octets, 0.0)
    assert client.keys is None
    assert server.keys is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("md5 " + ":".join(["00"] * 16), "the hash 'md5'"),
        ("sha-256 00:11", "has 2 octets"),
        ("sha-256 zz", "hexadecimal"),
        ("sha-256", "hexadecimal"),
        ("", "the hash ''"),
    ],
)
def test_fingerprints_that_cannot_be_used_say_why(text: str, why: str) -> None:
    with pytest.raises(FingerprintError, match=why):
        parse_fingerprint(text)


def test_a_fingerprint_is_written_as_it_is_read() -> None:
    said = parse_fingerprint(str(BOB.fingerprint))
    assert said == BOB.fingerprint
    assert parse_fingerprint(str(said).lower()) == said
