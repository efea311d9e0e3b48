"""Offers and answers with DTLS-SRTP, ICE, rtcp-mux and BUNDLE, as browsers make them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callwright.ice.candidate import parse_candidate
from callwright.sdp.description import SessionDescription
from callwright.sdp.formats import audio_format
from callwright.sdp.ice import IceDescription
from callwright.sdp.negotiation import LocalMedia, NotAcceptable, answer, conclude, offer, reanswer, reoffer
from callwright.srtp.fingerprint import Fingerprint

OURS = Fingerprint("sha-256", bytes(range(32)))
THEIRS = Fingerprint("sha-256", bytes(range(32, 64)))
HOST = parse_candidate("1 1 udp 2130706431 192.0.2.1 20000 typ host")
ICE = IceDescription("ourufrag", "ourpasswordourpassword", (HOST,))
LOCAL = LocalMedia(
    "192.0.2.1", 20000, (audio_format("opus"), audio_format("PCMU")), dtls=OURS, ice=ICE, rtcp_port=20001
)
PEER = replace(
    LOCAL,
    host="192.0.2.2",
    dtls=THEIRS,
    ice=IceDescription(
        "theirufrag", "theirpasswordtheirpass", (parse_candidate("1 1 udp 5 192.0.2.2 3 typ host"),)
    ),
)

BROWSER = f"""v=0
o=- 5178 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS stream
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:2382 1 udp 2113937151 5f6b3d0e-8f1c.local 52000 typ host generation 0 network-cost 999
a=candidate:8421 1 udp 1677729535 198.51.100.7 52000 typ srflx raddr 0.0.0.0 rport 0 generation 0
a=ice-ufrag:Iv5Q
a=ice-pwd:U7qXW2sdkmQwCWi5kBhZcBJv
a=ice-options:trickle
a=fingerprint:{THEIRS}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=sendrecv
a=msid:stream track
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:3570614608 cname:4TOk42mSjXCkVIa6
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:Iv5Q
a=ice-pwd:U7qXW2sdkmQwCWi5kBhZcBJv
a=fingerprint:{THEIRS}
a=setup:actpass
a=mid:1
a=recvonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
"""


def browser(old: str = "", new: str = "") -> SessionDescription:
    assert old in BROWSER
    return SessionDescription.parse(BROWSER.replace(old, new))


def test_a_browser_is_answered_with_one_bundled_audio() -> None:
    ours, agreed = answer(browser(), LOCAL, 1)
    text = ours.serialize().decode()
    assert agreed.format.name == "opus"
    assert agreed.dtls is not None
    assert (agreed.dtls.fingerprints, agreed.dtls.client) == ((THEIRS,), True)
    assert agreed.ice is not None
    assert (agreed.ice.ufrag, agreed.ice.lite) == ("Iv5Q", False)
    assert [one.host for one in agreed.ice.candidates] == ["198.51.100.7"]
    assert agreed.rtcp_mux
    assert agreed.direction == "sendrecv", "0.0.0.0 is no hold where ICE is done"
    assert not agreed.nowhere
    assert agreed.remarks == (
        "A candidate was passed over: the candidate 5f6b3d0e-8f1c.local has an mDNS name for an address.",
    )
    assert "a=group:BUNDLE 0\r\n" in text
    audio, video = ours.media
    assert audio.protocol == "UDP/TLS/RTP/SAVPF"
    for line in ("mid:0", "rtcp-mux", f"fingerprint:{OURS}", "setup:active", "ice-ufrag:ourufrag"):
        assert f"a={line}\r\n" in text
    assert f"a=candidate:{HOST}\r\n" in text
    assert (video.port, video.value("mid")) == (0, "1")
    assert not video.has("ice-ufrag")


def test_offer_and_answer_of_ours_agree() -> None:
    first = offer(LOCAL, 1)
    theirs, at_peer = answer(first, PEER, 2)
    agreed = conclude(first, theirs)
    for one in (agreed, at_peer):
        assert one.rtcp_mux
        assert one.ice is not None
        assert one.dtls is not None
        assert one.remarks == ()
    assert agreed.dtls is not None
    assert at_peer.dtls is not None
    assert (agreed.dtls.client, at_peer.dtls.client) == (False, True)
    assert agreed.dtls.fingerprints == (THEIRS,)
    assert at_peer.ice is not None
    assert at_peer.ice.pwd == ICE.pwd
    assert at_peer.ice.candidates == (HOST,)
    assert "a=group:BUNDLE 0\r\n" in first.serialize().decode()


def test_a_further_offer_keeps_the_roles() -> None:
    first = offer(LOCAL, 1)
    theirs, _ = answer(first, PEER, 2)
    again = reoffer(theirs, replace(PEER, direction="sendonly"))
    assert again.media[0].value("setup") == "actpass"
    ours, agreed = reanswer(again, first, replace(LOCAL, dtls_role="passive"))
    assert ours.media[0].value("setup") == "passive"
    assert agreed.dtls is not None
    assert not agreed.dtls.client
    assert agreed.remote_held


def test_dtls_without_ice_is_the_profile_of_rfc_5764() -> None:
    first = offer(replace(LOCAL, ice=None), 1)
    assert first.media[0].protocol == "UDP/TLS/RTP/SAVP"
    assert not first.media[0].has("ice-ufrag")
    _, agreed = answer(first, replace(PEER, ice=None), 2)
    assert agreed.ice is None
    assert agreed.dtls is not None
    assert (agreed.remote_host, agreed.remote_port) == ("192.0.2.1", 20000)


def test_ice_without_dtls_carries_plain_rtp() -> None:
    first = offer(replace(LOCAL, dtls=None), 1)
    assert first.media[0].protocol == "RTP/AVP"
    theirs, agreed = answer(first, replace(PEER, dtls=None), 2)
    assert agreed.ice is not None
    assert agreed.dtls is None
    assert conclude(first, theirs).ice is not None


def test_a_lite_side_says_so() -> None:
    lite = replace(LOCAL, ice=replace(ICE, lite=True))
    ours, _ = answer(browser(), lite, 1)
    assert b"a=ice-lite\r\n" in ours.serialize()
    agreed = answer(offer(lite, 1), PEER, 2)[1]
    assert agreed.ice is not None
    assert agreed.ice.lite


def test_a_peer_without_ice_or_mux_is_told_of() -> None:
    first = offer(LOCAL, 1)
    theirs, _ = answer(first, replace(PEER, ice=None), 2)
    assert conclude(first, theirs).remarks == ("The peer does no ICE: media goes where its SDP says.",)
    plain = SessionDescription.parse(theirs.serialize().replace(b"a=rtcp-mux\r\n", b""))
    assert "RTCP would need a handshake of its own" in " ".join(conclude(first, plain).remarks)


@pytest.mark.parametrize(
    ("setup", "client", "remark"),
    [
        ("a=setup:active", False, ""),
        ("a=setup:passive", True, ""),
        ("a=setup:actpass", True, ""),
        ("a=x", False, "The offer has no a=setup"),
    ],
)
def test_who_begins_the_handshake(setup: str, client: bool, remark: str) -> None:
    _, agreed = answer(browser("a=setup:actpass", setup), LOCAL, 1)
    assert agreed.dtls is not None
    assert agreed.dtls.client is client
    assert remark in " ".join(agreed.remarks)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("a=ice-pwd:U7qXW2sdkmQwCWi5kBhZcBJv", "a=ice-pwd:p", "have 4 and 1 characters"),
        ("a=ice-pwd:U7qXW2sdkmQwCWi5kBhZcBJv", "a=x", "have 4 and 0 characters"),
        (f"a=fingerprint:{THEIRS}", "a=x", "no a=fingerprint"),
        ("a=fingerprint:sha-256", "a=fingerprint:md5", "the hash 'md5'"),
        ("a=setup:actpass", "a=setup:holdconn", "a=setup is 'holdconn'"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP", "keys by DTLS are required here"),
    ],
)
def test_offers_that_cannot_be_secured_are_refused(old: str, new: str, why: str) -> None:
    with pytest.raises(NotAcceptable, match=why):
        answer(browser(old, new), LOCAL, 1)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP", "The answer is RTP/AVP, our offer was UDP/TLS/RTP/SAVPF"),
        (f"a=fingerprint:{THEIRS}", "a=x", "no a=fingerprint"),
        ("a=ice-pwd:theirpasswordtheirpass", "a=ice-pwd:p", "ICE secrets"),
    ],
)
def test_answers_that_cannot_be_secured_end_the_call(old: str, new: str, why: str) -> None:
    first = offer(LOCAL, 1)
    theirs, _ = answer(first, PEER, 2)
    text = theirs.serialize().decode()
    assert old in text
    with pytest.raises(NotAcceptable, match=why):
        conclude(first, SessionDescription.parse(text.replace(old, new)))


def test_who_has_no_dtls_refuses_it_by_name() -> None:
    with pytest.raises(NotAcceptable, match="it wants UDP/TLS/RTP/SAVPF, this side has RTP/AVP"):
        answer(browser(), replace(LOCAL, dtls=None, ice=None), 1)


def test_no_repr_shows_the_password() -> None:
    _, agreed = answer(browser(), LOCAL, 1)
    assert "U7qXW2sdkmQwCWi5kBhZcBJv" not in repr(agreed)
    assert ICE.pwd not in repr(LOCAL)
