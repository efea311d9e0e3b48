"""What a relay tells each side of the other, and when it counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from callwright.net.forwarder import Forwarder
from callwright.net.ports import MediaPorts
from callwright.pbx.path import LegSide, MediaPath, NoMediaPath
from callwright.pbx.relay import RelayPaths
from callwright.policy.destination import Rules
from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import SdpError
from callwright.sip.transport import Address, Hop, Transport

HERE = Address("127.0.0.1", 5060)
ALICE = Hop(Transport.UDP, HERE, Address("127.0.0.1", 5071))
BOB = Hop(Transport.UDP, HERE, Address("127.0.0.1", 5072))


def sdp(*media: str, host: str = "127.0.0.1", direction: str = "sendrecv") -> bytes:
    lines = ["v=0", f"o=- 7 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    for line in media or ("audio 40000 RTP/AVP 0",):
        lines += [f"m={line}", f"a={direction}"]
    return "\r\n".join([*lines, ""]).encode()


@pytest.fixture
def forwarder() -> Iterator[Forwarder]:
    made = Forwarder(ports=MediaPorts(31_300, 31_399))
    yield made
    made.close()


@pytest.fixture
def path(forwarder: Forwarder) -> Iterator[MediaPath]:
    opened = RelayPaths(forwarder, Rules()).open(ALICE, [BOB], 10.0)
    yield opened
    opened.close(20.0)


def carry(path: MediaPath, body: bytes, speaker: LegSide, peer: str = "127.0.0.1") -> SessionDescription:
    carried = path.carry(body, speaker, speaker_host=peer, listener_local="127.0.0.1")
    return SessionDescription.parse(carried)


def test_each_side_gets_ports_of_ours_and_an_offer_again_the_same(path: MediaPath) -> None:
    offer = carry(path, sdp(), LegSide.CALLER)
    answer = carry(path, sdp("audio 50000 RTP/AVP 0"), LegSide.CALLEE)
    path.settle(12.0)
    ports = offer.media[0].port, answer.media[0].port
    assert ports[0] != ports[1]
    assert all(31_300 <= port <= 31_399 and port % 2 == 0 for port in ports)
    again = carry(path, sdp(direction="sendonly"), LegSide.CALLER)
    assert again.media[0].port == ports[0]
    assert again.direction_of(again.media[0]) == "sendonly"


def test_what_is_no_rtp_goes_on_as_it_is(path: MediaPath) -> None:
    lines = (
        "audio 40000 RTP/AVP 0",
        "image 40002 udptl t38",
        "video 0 RTP/AVP 31",
        "application 9 TCP/MRCPv2",
    )
    offer = carry(path, sdp(*lines, host="127.0.0.7"), LegSide.CALLER, peer="127.0.0.7")
    audio, image, video, recogniser = offer.media
    assert 31_300 <= audio.port <= 31_399
    assert (image.port, image.formats, video.port) == (40002, ("t38",), 0)
    assert (recogniser.port, recogniser.protocol, recogniser.formats) == (9, "TCP/MRCPv2", ())
    assert [str(offer.connection_of(media)) for media in offer.media] == [
        "IN IP4 127.0.0.1",
        "IN IP4 127.0.0.7",
        "IN IP4 127.0.0.1",
        "IN IP4 127.0.0.7",
    ]


@pytest.mark.parametrize(
    "odd",
    ["video 0 RTP/AVP 255", "video 0 RTP/AVP", "video 0 RTP/AVPF 96", "audio 40002 RTP/AVP 0"],
)
def test_an_odd_m_line_costs_the_others_nothing(path: MediaPath, odd: str) -> None:
    body = sdp("audio 40000 RTP/AVP 0", odd) + b"a=\r\na=rtpmap:96\r\n"
    carried = path.carry(body, LegSide.CALLER, speaker_host="127.0.0.1", listener_local="127.0.0.1")
    assert carried.endswith(b"a=\r\na=rtpmap:96\r\n")
    assert SessionDescription.parse(carried).media[0].port


def test_a_video_line_that_names_no_address_is_taken_out(path: MediaPath) -> None:
    body = (
        sdp()
        .replace(b"c=IN IP4 127.0.0.1\r\n", b"")
        .replace(b"m=audio 40000 RTP/AVP 0\r\n", b"m=audio 40000 RTP/AVP 0\r\nc=IN IP4 127.0.0.1\r\n")
    )
    offer = carry(path, body + b"m=video 40004 RTP/AVP 31\r\n", LegSide.CALLER)
    assert [bool(media.port) for media in offer.media] == [True, False]


def test_a_description_that_cannot_be_read_is_an_error(path: MediaPath) -> None:
    with pytest.raises(SdpError):
        path.carry(b"nonsense", LegSide.CALLER, speaker_host="127.0.0.1", listener_local="127.0.0.1")


def test_silence_counts_only_while_media_is_wanted(path: MediaPath) -> None:
    carry(path, sdp(), LegSide.CALLER)
    assert path.silent_since() is None
    carry(path, sdp(), LegSide.CALLEE)
    path.settle(12.0)
    assert path.silent_since() == 10.0
    carry(path, sdp(direction="inactive"), LegSide.CALLER)
    carry(path, sdp(direction="inactive"), LegSide.CALLEE)
    assert path.silent_since() == 10.0, "an offer counts with its answer"
    path.settle(12.0)
    assert path.silent_since() is None


def test_a_refused_offer_is_forgotten(path: MediaPath) -> None:
    carry(path, sdp(), LegSide.CALLER)
    carry(path, sdp(), LegSide.CALLEE)
    path.settle(12.0)
    carry(path, sdp(direction="inactive"), LegSide.CALLER)
    path.revert()
    path.settle(12.0)
    assert path.silent_since() == 10.0


def test_ports_are_given_back_and_a_closed_path_opens_none(forwarder: Forwarder) -> None:
    path = RelayPaths(forwarder, Rules()).open(ALICE, [BOB], 0.0)
    carry(path, sdp(), LegSide.CALLER)
    assert forwarder.ports.in_use == 2
    path.close(20.0)
    path.close(20.0)
    with pytest.raises(NoMediaPath):
        carry(path, sdp(), LegSide.CALLEE)
    forwarder.close()
    assert forwarder.ports.in_use == 0
