"""Agents with one another, in virtual time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.ice import stun
from callwright.ice.agent import Agent, fits
from callwright.ice.candidate import CandidateError, parse_candidate
from callwright.ice.events import ConsentLost, Gathered, IceFailed, IceSettings, Selected
from tests.ice.network import SERVER, Network, Side


def pair(**wishes: object) -> tuple[Network, Side, Side]:
    """A caller who controls and a callee, who have gathered and know each other."""
    network = Network()
    alice = Side(network, "192.0.2.1", controlling=True)
    bob = Side(network, "192.0.2.2", **wishes)  # type: ignore[arg-type]
    begin(network, alice, bob)
    return network, alice, bob


def begin(network: Network, alice: Side, bob: Side) -> None:
    alice.agent.gather(network.now)
    bob.agent.gather(network.now)
    network.run(4)
    assert alice.all(Gathered)
    assert bob.all(Gathered)
    bob.meet(alice)
    alice.meet(bob)


def test_two_on_one_network_select_their_hosts_at_once() -> None:
    network, alice, bob = pair()
    network.run(0.2)
    for side, other in ((alice, bob), (bob, alice)):
        (selected,) = side.all(Selected)
        assert isinstance(selected, Selected)
        assert (selected.local.kind, selected.remote.kind) == ("host", "host")
        assert selected.remote.address == other.address
        assert selected.now - 4 < 0.15
    alice.say(b"audio")
    network.run(0.1)
    assert bob.data == [(b"audio", alice.address)]
    assert alice.agent.report().rtt_ms == pytest.approx(20)
    assert alice.agent.settled


def test_the_offerer_answers_checks_that_overtake_the_answer() -> None:
    network = Network()
    alice = Side(network, "192.0.2.1", controlling=True)
    bob = Side(network, "192.0.2.2")
    alice.agent.gather(0)
    bob.agent.gather(0)
    bob.meet(alice)
    network.run(0.1)
    assert bob.agent.report().rtt_ms is not None, "answered before alice knows bob"
    alice.meet(bob)
    network.run(0.3)
    assert alice.all(Selected)
    assert bob.all(Selected)


def test_a_stun_server_shows_the_address_outside_a_nat() -> None:
    network = Network()
    known = IceSettings(stun=SERVER)
    alice = Side(network, "10.0.0.1", controlling=True, public="198.51.100.1", settings=known)
    bob = Side(network, "10.0.0.1", public="198.51.100.2", settings=known, seed=1)
    begin(network, alice, bob)
    kinds = [candidate.kind for candidate in alice.agent.candidates]
    assert kinds == ["host", "srflx"]
    network.run(5)
    (selected,) = alice.all(Selected)
    assert isinstance(selected, Selected)
    assert selected.remote.address == ("198.51.100.2", 20_000)
    assert bob.all(Selected)


def test_a_stun_server_that_is_silent_costs_three_seconds_and_is_told() -> None:
    network = Network()
    network.server = lambda data, source: []
    alice = Side(network, "10.0.0.1", controlling=True, settings=IceSettings(stun=SERVER))
    alice.agent.gather(0.0)
    network.run(5)
    (gathered,) = alice.all(Gathered)
    assert gathered.now == pytest.approx(3.0)
    assert alice.agent.report().remarks == ("The STUN server did not answer in time.",)


def test_a_lite_side_only_answers() -> None:
    network, alice, bob = pair(settings=IceSettings(lite=True))
    network.run(1)
    assert alice.all(Selected)
    assert bob.all(Selected)
    assert bob.agent.report().checks == 0
    assert alice.agent.report().controlling


def test_two_lite_sides_take_each_other_at_their_word() -> None:
    network = Network()
    alice = Side(network, "192.0.2.1", controlling=True, settings=IceSettings(lite=True))
    bob = Side(network, "192.0.2.2", settings=IceSettings(lite=True))
    begin(network, alice, bob)
    assert alice.all(Selected)
    alice.say(b"audio")
    network.run(1)
    assert bob.data == [(b"audio", alice.address)]


@pytest.mark.parametrize("controlling", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_a_conflict_of_roles_is_settled_by_the_tie_breakers(controlling: bool, seed: int) -> None:
    network = Network()
    alice = Side(network, "192.0.2.1", controlling=controlling, seed=seed)
    bob = Side(network, "192.0.2.2", controlling=controlling, seed=seed)
    begin(network, alice, bob)
    network.run(3)
    assert alice.all(Selected)
    assert bob.all(Selected)
    assert alice.agent.controlling is not bob.agent.controlling


def test_an_address_that_the_policy_forbids_gets_no_packet() -> None:
    network = Network()
    alice = Side(network, "192.0.2.1", controlling=True, permits=lambda address: address[0] != "192.0.2.2")
    bob = Side(network, "192.0.2.2")
    begin(network, alice, bob)
    network.run(30)
    assert alice.sent == []
    (failed,) = alice.all(IceFailed)
    assert isinstance(failed, IceFailed)
    assert failed.reason == "The peer has no candidate that we may use; 1 of its addresses are not permitted."
    assert alice.agent.report().refused == (bob.address,)
    (failed,) = bob.all(IceFailed)
    assert isinstance(failed, IceFailed)
    assert failed.reason == "No pair of candidates works, of 1: no check of the peer came."


def test_a_peer_that_speaks_from_elsewhere_is_discovered() -> None:
    """As a browser does that hides its addresses behind mDNS names."""
    network = Network()
    alice, bob = Side(network, "192.0.2.1", controlling=True), Side(network, "192.0.2.2")
    for side in (alice, bob):
        side.agent.gather(0)
    bob.agent.set_remote(alice.agent.ufrag, alice.agent.pwd, (), now=0)
    alice.meet(bob)
    network.run(2)
    (selected,) = bob.all(Selected)
    assert isinstance(selected, Selected)
    assert (selected.remote.kind, selected.remote.address) == ("prflx", alice.address)


def test_media_of_who_has_not_signed_is_not_heard() -> None:
    network, _, bob = pair()
    mallory = Side(network, "192.0.2.66")
    network.send(mallory, b"\x80 noise", bob.address)
    network.send(mallory, stun.build(0, 1, bytes(12), [(stun.USERNAME, b"x:y")], key=b"no"), bob.address)
    network.run(1)
    assert bob.data == []
    assert bob.agent.report().strangers == 1
    assert not any(to == mallory.address for _, to in bob.sent), "nobody is answered who is not the peer"


def test_consent_is_asked_for_and_its_loss_silences() -> None:
    network, alice, bob = pair()
    network.run(60)
    assert not alice.all(ConsentLost)
    network.sides.remove(bob)
    sent = len(alice.sent)
    network.run(23)
    assert alice.agent.wrapped(b"audio") is not None
    assert 3 <= len(alice.sent) - sent <= 6
    network.run(12)
    (lost,) = alice.all(ConsentLost)
    assert 88 <= lost.now <= 95
    assert alice.agent.wrapped(b"audio") is None
    assert alice.agent.report().consent_lost


@pytest.mark.parametrize("lost", range(12))
def test_any_one_packet_may_be_lost(lost: int) -> None:
    network = Network()
    network.fate = lambda number: number != lost
    alice, bob = Side(network, "192.0.2.1", controlling=True), Side(network, "192.0.2.2")
    begin(network, alice, bob)
    network.run(3)
    assert alice.all(Selected)
    assert bob.all(Selected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_is_lost_each_side_selects_or_says_that_it_failed(seed: int) -> None:
    network = Network()
    chance = random.Random(seed)
    network.fate = lambda _: chance.random() > 0.4
    alice, bob = Side(network, "192.0.2.1", controlling=True), Side(network, "192.0.2.2")
    begin(network, alice, bob)
    network.run(25)
    for side in (alice, bob):
        assert bool(side.all(Selected)) is not bool(side.all(IceFailed))


def test_candidates_may_come_one_by_one() -> None:
    network = Network()
    alice, bob = Side(network, "192.0.2.1", controlling=True), Side(network, "192.0.2.2", settings=None)
    for side in (alice, bob):
        side.agent.gather(0)
    alice.agent.set_remote(bob.agent.ufrag, bob.agent.pwd, (), now=0)
    bob.agent.set_remote(alice.agent.ufrag, alice.agent.pwd, (), now=0)
    network.run(2)
    assert not alice.all(Selected)
    for candidate in bob.agent.candidates:
        alice.agent.add_remote(candidate, network.now)
    network.run(1)
    assert alice.all(Selected)


def test_a_peer_may_restart() -> None:
    network, alice, _ = pair()
    network.run(1)
    moved = Side(network, "192.0.2.3")
    moved.agent.gather(network.now)
    network.run(1)
    moved.meet(alice)
    alice.meet(moved)
    network.run(1)
    assert len(alice.all(Selected)) == 2
    assert alice.agent.remote == moved.address
    assert "The peer restarted ICE." in alice.agent.report().remarks


def test_a_flood_of_candidates_is_bounded() -> None:
    network = Network()
    alice = Side(network, "192.0.2.1", controlling=True)
    alice.agent.gather(0)
    many = [parse_candidate(f"1 1 udp 5 198.51.100.{n % 250} {1024 + n} typ host") for n in range(5000)]
    alice.agent.set_remote("abcd", "x" * 22, many, now=0)
    network.run(25)
    assert len({to for _, to in alice.sent}) == 64
    assert len(alice.sent) < 64 * 8
    assert alice.all(IceFailed)


@given(st.lists(st.binary(max_size=80), max_size=10))
def test_noise_breaks_nothing(packets: list[bytes]) -> None:
    agent = Agent(random.Random(1).randbytes, ("192.0.2.1", 5), controlling=True, permits=lambda _: True)
    agent.gather(0)
    agent.set_remote("abcd", "x" * 22, (), now=0)
    for number, packet in enumerate(packets):
        agent.receive(packet, ("192.0.2.9", 9), number)
        agent.receive(b"\0\1\0\0!\x12\xa4B" + packet, ("192.0.2.9", 9), number)
        agent.wake(number)
    assert agent.transmissions() == []


@pytest.mark.parametrize(
    ("ufrag", "pwd", "right"),
    [
        ("abcd", "x" * 22, True),
        ("abcd", "p", False),
        ("abc", "x" * 22, False),
        ("ab d", "x" * 22, False),
        ("abcd", "x" * 257, False),
    ],
)
def test_what_is_too_short_for_a_secret_is_none(ufrag: str, pwd: str, right: bool) -> None:
    assert fits(ufrag, pwd) is right


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 1 tcp 5 192.0.2.1 9 typ host tcptype active", "only UDP"),
        ("1 1 udp 5 f3b1.local 9 typ host", "mDNS"),
        ("1 1 udp 5 peer.example 9 typ host", "a name"),
        ("1 1 udp 0 192.0.2.1 9 typ host", "out of range"),
        ("1 1 udp 5 192.0.2.1 70000 typ host", "out of range"),
        ("1 1 udp 5 192.0.2.1 9 typ magic", "unknown type"),
        ("nonsense", "no candidate"),
        ("1 1 udp 5 192.0.2.1 9 typ host " + "x" * 2000, "octets"),
    ],
)
def test_candidates_that_cannot_be_used_say_why(text: str, why: str) -> None:
    with pytest.raises(CandidateError, match=why):
        parse_candidate(text)


def test_a_candidate_is_written_as_it_is_read() -> None:
    text = "842163049 1 udp 1677729535 198.51.100.7 52000 typ srflx raddr 10.0.0.1 rport 52000"
    assert str(parse_candidate(text + " generation 0 ufrag x")) == text
