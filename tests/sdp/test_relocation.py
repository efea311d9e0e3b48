from __future__ import annotations

import pytest

from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import Origin, SdpError
from callwright.sdp.relocation import relocate

OFFER = SessionDescription.parse(
    b"v=0\r\no=peer 5 7 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\na=ice-lite\r\na=X:kept\r\n"
    b"m=audio 4000/2 RTP/AVP 0\r\nc=IN IP4 10.0.0.6\r\na=rtcp:4009\r\na=rtcp-mux\r\n"
    b"a=candidate:1 1 UDP 1 10.0.0.5 4000 typ host\r\na=ptime:30\r\na=sendonly\r\n"
    b"m=video 0 RTP/AVP 99\r\nm=audio 5000 RTP/AVP 8\r\n"
)


def test_nothing_but_the_place_of_the_media_changes() -> None:
    assert relocate(OFFER, "192.0.2.1", [30000, None, None]).serialize() == (
        b"v=0\r\no=peer 5 7 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=X:kept\r\n"
        b"m=audio 30000 RTP/AVP 0\r\na=ptime:30\r\na=sendonly\r\n"
        b"m=video 0 RTP/AVP 99\r\nm=audio 0 RTP/AVP 8\r\n"
    )


def test_a_line_that_was_out_stays_out() -> None:
    assert [m.port for m in relocate(OFFER, "192.0.2.1", [30000, 30002, 30004]).media] == [30000, 0, 30004]


def test_the_old_hold_stays_a_hold_in_either_family() -> None:
    held = SessionDescription.parse(
        b"v=0\r\no=- 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    )
    for host, nowhere in (("192.0.2.1", "0.0.0.0"), ("2001:db8::1", "::")):
        moved = relocate(held, host, [30000])
        connection = moved.connection_of(moved.media[0])
        assert connection is not None
        assert (connection.address, connection.is_unspecified) == (nowhere, True)
        assert SessionDescription.parse(moved.serialize()) == moved


def test_the_session_may_be_our_own() -> None:
    ours = Origin("-", 99, 3, "192.0.2.1")
    assert relocate(OFFER, "192.0.2.1", [30000, None, None], origin=ours).origin == ours


@pytest.mark.parametrize("ports", [[], [30000], [0, None, None], [70000, None, None]])
def test_ports_that_do_not_fit_are_refused(ports: list[int | None]) -> None:
    with pytest.raises(SdpError):
        relocate(OFFER, "192.0.2.1", ports)
