from __future__ import annotations

from struct import unpack_from
from typing import Any

import pytest

from callwright.evidence.hep import HepEncoder
from callwright.evidence.redaction import Redactor
from callwright.net.tap import Packet

OPTIONS = (
    b"OPTIONS sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n"
    b"From: <sip:a@x>;tag=1\r\n"
    b"To: <sip:bob@x>\r\nCall-ID: one@192.0.2.1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"
    b"X-Token: hidden-word\r\nContent-Length: 0\r\n\r\n"
)


def packet(data: bytes = OPTIONS, **more: Any) -> Packet:
    values: dict[str, Any] = {
        "wall": 1_700_000_000.25,
        "now": 5.0,
        "direction": "out",
        "kind": "sip",
        "transport": "UDP",
        "local": ("192.0.2.1", 5060),
        "remote": ("192.0.2.2", 5062),
    }
    return Packet(**(values | more), data=data)


def encode(*packets: Packet) -> list[bytes]:
    return HepEncoder(Redactor(["hidden-word"]), agent_id=7).encode(packets)


def chunks(datagram: bytes) -> dict[int, bytes]:
    assert datagram[:4] == b"HEP3"
    assert unpack_from("!H", datagram, 4)[0] == len(datagram)
    found, at = {}, 6
    while at < len(datagram):
        vendor, kind, length = unpack_from("!HHH", datagram, at)
        assert vendor == 0
        assert kind not in found
        found[kind] = datagram[at + 6 : at + length]
        at += length
    return found


def test_a_message_goes_with_its_addresses_time_and_call_id() -> None:
    found = chunks(encode(packet())[0])
    assert found[1] == b"\x02"
    assert found[2] == b"\x11"
    assert (found[3], found[4]) == (bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)))
    assert (found[7], found[8]) == (b"\x13\xc4", b"\x13\xc6")
    assert (unpack_from("!I", found[9])[0], unpack_from("!I", found[10])[0]) == (1_700_000_000, 250_000)
    assert (found[11], unpack_from("!I", found[12])[0]) == (b"\x01", 7)
    assert found[17] == b"one@192.0.2.1"


def test_what_came_in_goes_from_the_peer_to_us() -> None:
    found = chunks(encode(packet(direction="in"))[0])
    assert (found[3], found[7]) == (bytes((192, 0, 2, 2)), b"\x13\xc6")


def test_secrets_stay_here() -> None:
    (datagram,) = encode(packet())
    assert b"hidden-word" not in datagram
    assert len(chunks(datagram)[15]) == len(OPTIONS)


def test_ipv6_has_chunks_of_its_own() -> None:
    found = chunks(encode(packet(local=("2001:db8::1", 5060), remote=("2001:db8::2", 5060)))[0])
    assert found[1] == b"\x0a"
    assert (len(found[5]), len(found[6])) == (16, 16)
    assert not {3, 4} & set(found)


@pytest.mark.parametrize("cut", [1, 40, len(OPTIONS) - 1])
def test_a_stream_is_put_together_first(cut: int) -> None:
    pieces = [
        packet(piece, transport="TCP", direction="in") for piece in (OPTIONS[:cut], OPTIONS[cut:] + OPTIONS)
    ]
    found = [chunks(datagram) for datagram in encode(*pieces)]
    assert [len(one[15]) for one in found] == [len(OPTIONS)] * 2
    assert {one[2] for one in found} == {b"\x06"}


def test_a_broken_stream_gives_what_was_whole_and_begins_anew() -> None:
    broken = packet(OPTIONS + b"x\r\n\r\n", transport="TCP")
    assert len(encode(broken, packet(transport="TCP"))) == 2


def test_rtp_and_keep_alives_are_not_mirrored() -> None:
    assert encode(packet(kind="rtp"), packet(b"\r\n\r\n"), packet(b"\0")) == []


def test_a_message_between_two_of_ours_is_mirrored_once_and_a_retransmission_again() -> None:
    seen: dict[str, Any] = {"direction": "in", "local": ("192.0.2.2", 5062), "remote": ("192.0.2.1", 5060)}
    assert len(encode(packet(), packet(**seen))) == 1
    assert len(encode(packet(), packet(**seen), packet(), packet(**seen))) == 2
    assert len(encode(packet(), packet())) == 2


def test_a_huge_message_is_cut_to_what_a_datagram_holds() -> None:
    (datagram,) = encode(packet(OPTIONS + b"x" * 80_000))
    assert len(datagram) < 65_507
