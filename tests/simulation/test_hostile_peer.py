"""A peer that says anything at any time: the endpoint never raises, and forgets it all in the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callwright.sip.events import CallAnswered, CallReceived, OfferReceived
from callwright.sip.transport import Transport
from tests.kit.examples import examples
from tests.kit.peer import LOCAL, Peer
from tests.kit.wire import Wire

TORTURE = sorted((Path(__file__).parent.parent / "data" / "torture").rglob("*.dat"))
HEADERS = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Record-Route",
    "Content-Type",
    "Require",
    "Expires",
]
VALUES = [
    "",
    ",",
    ";tag=",
    "<",
    "<sip:@:>;tag=1",
    "4294967295 INVITE",
    "0 ACK",
    "99999999999 BYE",
    "SIP/2.0/UDP [::1;branch=z9hG4bK",
    "SIP/2.0/UDP h:99999;branch=z9hG4bKx;rport=99999999",
    "SIP/2.0/UDP h;maddr=224.0.0.1;received=h;branch=z9hG4bK",
    "<tel:+1>",
    "*",
    "<sip:a@[::1]:0;lr>,<sip:b;lr>",
    "é\x00ÿ",
    "a" * 3000,
]


def steps() -> st.SearchStrategy[list[tuple[int, int, str, str]]]:
    step = st.tuples(st.integers(0, 40), st.integers(0, 4), st.sampled_from(HEADERS), st.sampled_from(VALUES))
    return st.lists(step, min_size=1, max_size=12)


def changed(data: bytes, how: int, header: str, value: str) -> bytes:
    text = data.decode("utf-8", "surrogateescape")
    lines = text.split("\r\n")
    at = next((index for index, line in enumerate(lines) if line.startswith(header + ":")), None)
    if how == 0 or at is None:
        lines.insert(1, f"{header}: {value}")
    elif how == 1:
        lines[at] = f"{header}: {value}"
    elif how == 2:
        lines[at] += value
    elif how == 3:
        del lines[at]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=steps())
def test_messages_of_a_call_changed_and_said_again_at_any_time_do_no_harm(
    script: list[tuple[int, int, str, str]],
) -> None:
    wire = Wire()
    call = wire.alice.invite(body=b"offer")
    for number, (pick, how, header, value) in enumerate(script):
        wire.settle()
        now = wire.clock.now
        for received in wire.bob.all(CallReceived)[:1]:
            received.call.ring(now=now)
            if number > 1:
                received.call.answer(b"answer", now=now)
        if wire.alice.all(CallAnswered):
            call.acknowledge(now=now)
            call.reinvite(b"more", now=now)
        for offer in wire.bob.all(OfferReceived):
            offer.call.accept_offer(b"answer", now=now)
        sent = wire.log[pick % len(wire.log)]
        wire.deliver(type(sent)(now, sent.sender, changed(sent.data, how, header, value), sent.hop, -1))
        wire.clock.advance(0.3)
    for received in wire.bob.all(CallReceived):
        received.call.hangup(now=wire.clock.now)
    call.hangup(now=wire.clock.now)
    wire.clock.advance(1400)
    for party in (wire.alice, wire.bob):
        assert sum(party.endpoint.pending()) == 0
        assert party.endpoint.next_wake() is None


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
@pytest.mark.parametrize("path", TORTURE, ids=lambda path: path.stem)
def test_the_torture_messages_do_no_harm(path: Path, transport: Transport) -> None:
    peer = Peer(transport=transport)
    peer.endpoint.invite("sip:peer@192.0.2.99", local=LOCAL, hop=peer.hop, now=peer.now)
    peer.send_raw(path.read_bytes())
    for call in list(peer.endpoint.calls):
        call.hangup(now=peer.now)
    peer.clock.advance(1400)
    assert sum(peer.endpoint.pending()) == 0


@settings(max_examples=examples(100), deadline=None)
@given(chunks=st.lists(st.binary(max_size=80), max_size=20), transport=st.sampled_from(list(Transport)))
def test_noise_does_no_harm(chunks: list[bytes], transport: Transport) -> None:
    peer = Peer(transport=transport)
    for chunk in chunks:
        peer.send_raw(chunk)
    assert sum(peer.endpoint.pending()) == 0
