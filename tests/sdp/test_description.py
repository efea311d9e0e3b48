from __future__ import annotations

from unittest.mock import ANY

import pytest

from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import Attribute, Connection, Limits, Origin, SdpError, SdpLine, Timing
from callwright.sdp.media import Media

CANONICAL = (
    b"v=0\r\n"
    b"o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\n"
    b"s=Call to John Smith\r\n"
    b"i=SDP Offer #1\r\n"
    b"u=http://www.jdoe.example.com/home.html\r\n"
    b"e=Jane Doe <jane@jdoe.example.com>\r\n"
    b"p=+1 617 555-6011\r\n"
    b"c=IN IP4 198.51.100.1\r\n"
    b"b=AS:64\r\n"
    b"t=3724394400 3724398000\r\n"
    b"r=7d 1h 0 25h\r\n"
    b"z=3724394400 -1h\r\n"
    b"k=clear:nothing\r\n"
    b"a=sendonly\r\n"
    b"a=X-ours:a:b: c\r\n"
    b"a=empty:\r\n"
    b"x=whatever\r\n"
    b"m=audio 49170 RTP/AVP 0 97 101\r\n"
    b"i=the voice\r\n"
    b"c=IN IP6 2001:db8::2\r\n"
    b"b=TIAS:64000\r\n"
    b"a=rtpmap:97 opus/48000/2\r\n"
    b"a=fmtp:97 useinbandfec=1; stereo=0\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\n"
    b"a=ptime:20\r\n"
    b"a=maxptime:60\r\n"
    b"a=rtcp:53020 IN IP6 2001:db8::3\r\n"
    b"a=recvonly\r\n"
    b"m=video 51372/2 RTP/AVP 99\r\n"
    b"c=IN IP4 224.2.1.1/127/3\r\n"
    b"a=rtpmap:99 h263-1998/90000\r\n"
    b"y=0200000001\r\n"
    b"m=image 4000 udptl t38\r\n"
)

HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"


def parse(body: bytes) -> SessionDescription:
    return SessionDescription.parse(body)


def refusal(body: bytes) -> SdpError:
    with pytest.raises(SdpError) as caught:
        parse(body)
    return caught.value


def test_a_canonical_description_comes_back_octet_for_octet() -> None:
    assert parse(CANONICAL).serialize() == CANONICAL


def test_every_line_is_read_into_its_place() -> None:
    description = parse(CANONICAL)
    assert description.origin == Origin("jdoe", 3724394400, 3724394405, "198.51.100.1")
    assert description.name == "Call to John Smith"
    assert description.connection == Connection("198.51.100.1")
    assert description.timings == (Timing(3724394400, 3724398000, ("7d 1h 0 25h",)),)
    assert description.unknown == (SdpLine("x", "whatever"),)
    audio, video, image = description.media
    assert (audio.kind, audio.port, audio.protocol) == ("audio", 49170, "RTP/AVP")
    assert audio.payload_types == (0, 97, 101)
    assert audio.rtpmaps[97] == (97, "opus", 48000, 2)
    assert audio.fmtps == {97: "useinbandfec=1; stereo=0"}
    assert (audio.ptime, audio.maxptime) == (20, 60)
    assert audio.rtcp == (53020, "2001:db8::3")
    assert (video.port, video.port_count) == (51372, 2)
    assert video.connections == (Connection("224.2.1.1", ttl=127, count=3),)
    assert (image.formats, image.payload_types) == (("t38",), ())


def test_direction_and_connection_are_inherited_from_the_session() -> None:
    description = parse(CANONICAL)
    audio, video, image = description.media
    assert description.direction_of(audio) == "recvonly"
    assert description.direction_of(video) == "sendonly"
    assert description.connection_of(image) == Connection("198.51.100.1")


def test_without_any_direction_a_stream_goes_both_ways() -> None:
    description = parse(HEAD + b"m=audio 4000 RTP/AVP 0\r\n")
    assert description.direction_of(description.media[0]) == "sendrecv"


def test_bare_line_feeds_and_empty_lines_are_tolerated() -> None:
    assert parse(CANONICAL.replace(b"\r\n", b"\n") + b"\n\r\n") == parse(CANONICAL)


@pytest.mark.parametrize("end", [b"\r", b"\r\r\n", b"\n"])
def test_other_line_ends_are_tolerated(end: bytes) -> None:
    description = parse(CANONICAL.replace(b"\r\n", end))
    assert description == parse(CANONICAL)
    assert bool(description.remarks) is (end == b"\r")


def test_a_line_that_ends_in_a_carriage_return_alone_leaves_the_audio_usable() -> None:
    description = parse(HEAD + b"m=audio 4000 RTP/AVP 0\ra=sendonly\ry\r")
    (audio,) = description.media
    assert (audio.payload_types, audio.direction, audio.fault) == ((0,), "sendonly", None)
    assert "carriage returns" in description.remarks[0]
    assert "'y' is not of the form" in description.remarks[1]
    assert parse(description.serialize()) == description


def test_a_last_line_without_its_end_is_read() -> None:
    assert parse(CANONICAL.removesuffix(b"\r\n")) == parse(CANONICAL)


def test_lines_of_a_section_may_come_in_another_order() -> None:
    shuffled = b"v=0\r\nt=0 0\r\na=sendrecv\r\nc=IN IP4 192.0.2.1\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n"
    assert parse(shuffled) == parse(HEAD + b"a=sendrecv\r\n")


def test_a_missing_name_and_time_are_filled_in() -> None:
    description = parse(b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n")
    assert (description.name, description.timings) == ("-", (Timing(0, 0),))


def test_an_empty_session_name_is_not_a_missing_one() -> None:
    assert parse(HEAD.replace(b"s=-", b"s=")).name == ""


def test_a_user_name_with_a_blank_is_kept() -> None:
    body = HEAD.replace(b"o=- ", b"o=Front Desk ")
    assert parse(body).origin.username == "Front Desk"
    assert parse(body).serialize() == body


def test_octets_that_are_no_utf_8_survive() -> None:
    body = HEAD.replace(b"s=-", b"s=caf\xe9") + b"a=X:\xff\xfe\r\n"
    assert parse(body).serialize() == body


def test_names_stand_where_addresses_may() -> None:
    connection = parse(HEAD.replace(b"c=IN IP4 192.0.2.1", b"c=IN IP6 media.example.com")).connection
    assert connection == Connection("media.example.com", "IP6")


def test_the_version_6_description_of_the_torture_set_is_read() -> None:
    body = (
        b"v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\ns=Live video"
        b"\r\nc=IN IP6 2001:db8::20\r\nt=3338481189 3370017201\r\nm=audio 6000 RTP/AVP 2\r\n"
        b"a=rtpmap:2 G726-32/8000\r\nm=video 6024 RTP/AVP 107\r\na=rtpmap:107 H263-1998/90000\r\n"
    )
    assert parse(body).serialize() == body


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"m=audio 70000 RTP/AVP 0", "port 70000 is not between 0 and 65535"),
        (b"m=audio -1 RTP/AVP 0", "port '-1' is not a number"),
        (b"m=audio 4000/0 RTP/AVP 0", "number of ports 0"),
        (b"m=audio 4000 RTP/AVP 4294967296", "payload type 4294967296 is not between 0 and 127"),
        (b"m=audio 4000 RTP/AVP 128", "payload type 128"),
        (b"m=audio 4000 RTP/AVP " + b"9" * 4000, "payload type"),
        (b"m=audio 4000 RTP/AVP \xd9\xa1", "payload type"),
        (b"m=audio 4000 RTP/AVP", "names no format"),
        (b"m=audio 4000 RTP//AVP 0", "protocol ''"),
        (b"a=rtpmap:128 PCMU/8000", "payload type 128"),
        (b"a=rtpmap:", "not of the form"),
        (b"a=rtpmap:0 PCMU/0", "clock rate 0"),
        (b"a=rtpmap:0 PCMU/99999999999", "clock rate"),
        (b"a=rtpmap:0 L16/8000/0", "channels 0"),
        (b"a=rtpmap:0 L16/8000/1/1", "more than one"),
        (b"a=fmtp:300 x", "payload type 300"),
        (b"a=ptime:-20", "packet time '-20'"),
        (b"a=ptime:1e9", "packet time"),
        (b"a=maxptime:lots", "packet time 'lots'"),
        (b"a=rtcp:70000", "RTCP port 70000"),
        (b"a=rtcp:5 IN IP4 1.2.3", "'1.2.3' is neither an address nor a name"),
        (b"a=:x", "no name"),
        (b"c=IN IP4 999.0.0.1", "neither an address nor a name"),
        (b"c=IN IP4 2001:db8::1", "IPv6 address, but the line says IP4"),
        (b"c=IN IP4 224.0.0.1/256", "TTL 256"),
        (b"c=IN IP4 224.0.0.1/1/2/3", "too many numbers"),
        (b"c=IN IP4", "not of the form"),
        (b"b=AS", "not of the form"),
        (b"b=AS:many", "bandwidth 'many'"),
        (b"o=- 1 1 IN IP4 192.0.2.9", "belongs above"),
        (b"hello", "not of the form 'type=value'"),
        (b"=x", "not of the form 'type=value'"),
    ],
)
def test_a_line_that_breaks_its_grammar_costs_itself_and_leaves_a_remark(line: bytes, complaint: str) -> None:
    audio = b"m=audio 4000 RTP/AVP 0\r\n"
    description = parse(HEAD + audio + line + b"\r\n")
    (remark,) = description.remarks
    assert remark.startswith("SDP line 7: ")
    assert complaint in remark
    first = description.media[0]
    assert (first.port, first.payload_types, first.fault) == (4000, (0,), None if line[:2] != b"c=" else ANY)
    assert (first.rtpmaps, first.fmtps, first.ptime, first.rtcp) == ({}, {}, None, None)
    assert parse(description.serialize()) == description


def test_a_session_line_that_breaks_its_grammar_leaves_a_remark_as_well() -> None:
    for line, complaint in (
        (b"o=- 1 IN IP4 192.0.2.1", "six fields"),
        (b"o=- x 1 IN IP4 192.0.2.1", "session id 'x'"),
        (b"o=- 2 2 IN IP4 192.0.2.1", "second o= line"),
        (b"c=IN IP4 192.0.2.9", "second c= line"),
        (b"c=IN IP4 299.0.2.9", "neither an address nor a name"),
        (b"i=one\r\ni=two", "second i= line"),
        (b"t=0", "start stop"),
        (b" s=-", "not of the form"),
        (b"v=0", "second v= line"),
        (b"a=", "no name"),
        (b"b=AS:64.5", "bandwidth '64.5'"),
    ):
        description = parse(HEAD + line + b"\r\nm=audio 4000 RTP/AVP 0\r\n")
        assert any(complaint in remark for remark in description.remarks), line
        assert description.media[0].payload_types == (0,)
        assert description.connection == Connection("192.0.2.1")
        assert parse(description.serialize()) == description


@pytest.mark.parametrize("origin", [b"", b"o=- x 1 IN IP4 192.0.2.1\r\n", b"o=-\r\n"])
def test_a_description_does_without_its_origin(origin: bytes) -> None:
    description = parse(b"v=0\r\n" + origin + b"c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n")
    assert len(description.remarks) == 1
    assert parse(description.serialize()) == description


@pytest.mark.parametrize("number", ["-1234567", "18446744073709551616", "99999999999999999999999"])
def test_session_ids_of_any_length_are_told_again_as_they_came(number: str) -> None:
    body = HEAD.replace(b"o=- 1 1", f"o=- {number} {number}".encode())
    assert parse(body).serialize() == body
    assert parse(body).remarks == ()


@pytest.mark.parametrize("where", [b"v=0\0", b"s=-\0", b"RTP/AVP 0\0", b"\r\n\0"])
def test_nul_octets_are_left_out(where: bytes) -> None:
    plain = HEAD + b"m=audio 4000 RTP/AVP 0\r\n"
    body = plain.replace(where.replace(b"\0", b""), where, 1)
    assert body != plain
    assert parse(body) == parse(plain)


def test_a_nul_behind_the_last_line_is_not_worth_a_remark() -> None:
    assert parse(HEAD + b"\0").remarks == ()
    assert "NUL octets" in parse(HEAD.replace(b"s=-", b"s=\0-")).remarks[0]


@pytest.mark.parametrize(
    ("line", "port"),
    [
        (b"m=video 0 RTP/AVP", 0),
        (b"m=video 4000 RTP/AVP", 4000),
        (b"m=application 9 TCP/MRCPv2", 9),
        (b"m=video", 0),
        (b"m=video 70000 RTP/AVP 96", 0),
    ],
)
def test_an_m_line_that_cannot_be_used_keeps_its_place_and_says_why(line: bytes, port: int) -> None:
    description = parse(HEAD + line + b"\r\nm=audio 4000 RTP/AVP 0\r\n")
    odd, audio = description.media
    assert odd.fault is not None
    assert (odd.port, audio.payload_types, audio.fault) == (port, (0,), None)
    assert len(description.remarks) == 1


def test_two_hundred_and_fifty_five_formats_are_read() -> None:
    body = HEAD + b"m=audio 4000 RTP/AVP " + b" ".join(b"%d" % n for n in range(255)) + b"\r\n"
    description = parse(body)
    assert description.media[0].payload_types == tuple(range(128))
    assert description.serialize() == body


@pytest.mark.parametrize("line", [b"m=", b"m= ", b"m=image", b"m=image 9"])
def test_an_m_line_of_fewer_than_three_fields_costs_that_stream_alone(line: bytes) -> None:
    description = parse(HEAD + line + b"\r\na=inactive\r\nm=audio 4000 RTP/AVP 0\r\n")
    broken, audio = description.media
    assert broken.fault is not None
    assert "not of the form" in description.remarks[0]
    assert (audio.payload_types, audio.direction, audio.fault) == ((0,), None, None)
    assert parse(description.serialize()) == description


def test_the_remarks_of_a_hopeless_description_are_few() -> None:
    description = parse(HEAD + b"nonsense\r\n" * 500)
    assert len(description.remarks) == 9
    assert description.remarks[-1] == "and 492 more odd lines"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "empty"),
        (b"\r\n\r\n", "empty"),
        (b"s=-\r\n", "begins with v=0"),
        (b"v=1\r\n", "unknown"),
        (b"\x89PNG\r\n\x1a\n", "not of the form"),
    ],
)
def test_a_description_without_its_frame_is_refused(body: bytes, complaint: str) -> None:
    assert complaint in str(refusal(body))


def test_limits_hold_before_any_work_is_done() -> None:
    assert "octets" in str(refusal(b"v=0\r\n" + b"a" * 70_000))
    assert "octets" in str(refusal(HEAD + b"a=" + b"x" * 60_000 + b"\r\n"))
    assert "64 m-lines" in str(refusal(HEAD + b"m=audio 1 RTP/AVP 0\r\n" * 65))
    assert "lines" in str(refusal(HEAD + b"a=x\r\n" * 3_000))
    assert "formats" in str(refusal(HEAD + b"m=audio 1 RTP/AVP" + b" 0" * 2_000 + b"\r\n"))
    with pytest.raises(SdpError, match="m-lines"):
        SessionDescription.parse(
            HEAD + b"m=a 1 x 0\r\n" * 10_000, Limits(octets=10**7, lines=10**6, line_octets=10**6)
        )


@pytest.mark.parametrize(
    "attribute", [Attribute("x", "a\r\nm=audio 1 RTP/AVP 0"), Attribute("x\n"), Attribute("x", "\0")]
)
def test_no_value_can_smuggle_a_line(attribute: Attribute) -> None:
    with pytest.raises(SdpError, match="line end or NUL"):
        SessionDescription(Origin("-", 1, 1, "192.0.2.1"), attributes=(attribute,)).serialize()


def test_half_a_surrogate_pair_is_refused_on_the_way_out() -> None:
    with pytest.raises(SdpError):
        SessionDescription(Origin("-", 1, 1, "192.0.2.1"), name="\ud800").serialize()


def test_an_address_of_nothing_is_known_in_both_families() -> None:
    assert Connection.to("0.0.0.0").is_unspecified
    assert Connection.to("::").is_unspecified
    assert not Connection.to("192.0.2.1").is_unspecified
    assert not Connection.to("sip.example.com").is_unspecified


def test_the_formats_of_what_is_no_rtp_are_not_read_as_numbers() -> None:
    media = parse(HEAD + b"m=application 9 TCP/MSRP *\r\na=fmtp:any thing\r\n").media[0]
    assert (media.formats, media.payload_types, media.fmtps) == (("*",), (), {})
    assert isinstance(media, Media)


def test_a_map_without_a_clock_rate_is_kept_and_explains_nothing() -> None:
    body = HEAD + b"m=video 3227 RTP/AVP 31\r\na=rtpmap:31 LPC\r\n"
    assert parse(body).media[0].rtpmaps == {}
    assert parse(body).serialize() == body
