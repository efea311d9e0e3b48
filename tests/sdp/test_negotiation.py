from __future__ import annotations

from dataclasses import replace

import pytest

from callwright.sdp.description import SessionDescription
from callwright.sdp.formats import (
    STATIC_PAYLOAD_TYPES,
    AudioFormat,
    allocate,
    audio_format,
    formats_of,
    telephone_events,
)
from callwright.sdp.lines import Attribute, SdpError
from callwright.sdp.negotiation import (
    LocalMedia,
    Negotiated,
    NotAcceptable,
    answer,
    conclude,
    offer,
    reanswer,
    reoffer,
)

PCMU, PCMA, G722, OPUS = map(audio_format, ("pcmu", "pcma", "g722", "opus"))
HEAD = "v=0\r\no=peer 5 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"


def local(*formats: AudioFormat, **changes: object) -> LocalMedia:
    return replace(LocalMedia("192.0.2.1", 4000, formats or (PCMU, PCMA)), **changes)  # type: ignore[arg-type]


def theirs(*lines: str, head: str = HEAD) -> SessionDescription:
    return SessionDescription.parse(head + "".join(f"{line}\r\n" for line in lines))


def answered(description: SessionDescription, side: LocalMedia | None = None) -> Negotiated:
    return answer(description, side or local(), 9)[1]


def refusal(description: SessionDescription, side: LocalMedia | None = None) -> NotAcceptable:
    with pytest.raises(NotAcceptable) as caught:
        answer(description, side or local(), 9)
    return caught.value


def lines(description: SessionDescription) -> list[str]:
    return description.serialize().decode().split("\r\n")


# -- offers


def test_an_offer_names_all_formats_in_order_with_their_maps() -> None:
    assert lines(offer(local(G722, OPUS, PCMA), 42, 3)) == [
        "v=0",
        "o=- 42 3 IN IP4 192.0.2.1",
        "s=callwright",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 4000 RTP/AVP 9 96 8 101 97",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=rtpmap:97 telephone-event/48000",
        "a=fmtp:97 0-16",
        "a=ptime:20",
        "a=sendrecv",
        "",
    ]


def test_an_offer_over_version_6_says_so() -> None:
    assert "c=IN IP6 2001:db8::1" in lines(offer(local(host="2001:db8::1"), 1))


def test_an_rtcp_port_beside_the_next_one_is_named() -> None:
    assert "a=rtcp:4010" in lines(offer(local(rtcp_port=4010), 1))
    assert not any("rtcp" in line for line in lines(offer(local(rtcp_port=4001), 1)))


def test_digits_are_offered_unless_unwanted() -> None:
    assert offer(local(telephone_event=False), 1).media[0].formats == ("0", "8")


def test_rtcp_mux_is_never_offered() -> None:
    assert not offer(local(), 1).media[0].has("rtcp-mux")


@pytest.mark.parametrize(
    "changes",
    [
        {"port": 0},
        {"port": 65536},
        {"rtcp_port": 70000},
        {"ptime": 5},
        {"ptime": 70},
        {"maxptime": 200},
        {"direction": "both"},
        {"formats": ()},
        {"formats": (audio_format("telephone-event"),)},
    ],
)
def test_a_side_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(SdpError):
        local(**changes)


# -- formats


def test_static_types_need_no_map() -> None:
    media = theirs("m=audio 4000 RTP/AVP 0 3 8 9 18 13 96").media[0]
    assert [f.name for f in formats_of(media)] == ["PCMU", "GSM", "PCMA", "G722", "G729", "CN"]


def test_a_map_overrides_the_static_meaning() -> None:
    media = theirs("m=audio 4000 RTP/AVP 0", "a=rtpmap:0 L16/16000").media[0]
    assert formats_of(media) == (AudioFormat("L16", 16000, 1, 0),)


def test_the_clock_of_g722_is_8000_whatever_a_peer_says() -> None:
    media = theirs("m=audio 4000 RTP/AVP 9 96", "a=rtpmap:9 G722/16000", "a=rtpmap:96 g722/8000").media[0]
    assert [f.clock_rate for f in formats_of(media)] == [8000, 8000]
    assert STATIC_PAYLOAD_TYPES[9].clock_rate == 8000


def test_opus_without_its_two_channels_is_opus() -> None:
    media = theirs("m=audio 4000 RTP/AVP 111", "a=rtpmap:111 OPUS/48000").media[0]
    assert formats_of(media)[0].matches(OPUS)


def test_names_of_codecs_are_read_as_people_write_them() -> None:
    assert audio_format("PcmA") == PCMA
    assert audio_format("L16/16000") == AudioFormat("L16", 16000)
    assert audio_format("speex/8000/1") == AudioFormat("speex", 8000)
    with pytest.raises(SdpError, match="known are"):
        audio_format("g7111")
    with pytest.raises(SdpError, match="clock rate"):
        audio_format("speex/fast")


def test_two_formats_with_one_number_are_refused() -> None:
    with pytest.raises(SdpError, match="same payload type"):
        allocate((replace(PCMU, payload_type=0), replace(OPUS, payload_type=0)))
    with pytest.raises(SdpError, match="more formats"):
        allocate([AudioFormat("x", rate) for rate in range(1, 80)])


def test_the_events_of_a_telephone_event_are_bounded() -> None:
    assert telephone_events("0-15,66") == frozenset({*range(16), 66})
    assert telephone_events("") == frozenset(range(16))
    assert telephone_events("0-4294967296,x,300,7,9-3") == frozenset({7})


# -- answers


def test_the_order_of_the_offer_decides() -> None:
    negotiated = answered(theirs("m=audio 4000 RTP/AVP 8 0"), local(PCMU, PCMA))
    assert (negotiated.format.name, negotiated.send_payload_type) == ("PCMA", 8)


def test_our_own_order_decides_where_we_insist() -> None:
    ours, negotiated = answer(theirs("m=audio 4000 RTP/AVP 8 0"), local(PCMU, PCMA, prefer_local=True), 9)
    assert negotiated.format.name == "PCMU"
    assert ours.media[0].formats == ("0", "8")


def test_dynamic_numbers_are_those_of_the_offer() -> None:
    description = theirs(
        "m=audio 4000 RTP/AVP 120 98",
        "a=rtpmap:120 opus/48000/2",
        "a=fmtp:120 useinbandfec=1",
        "a=rtpmap:98 telephone-event/48000",
        "a=fmtp:98 0-15",
    )
    ours, negotiated = answer(description, local(OPUS), 9)
    assert negotiated.send_payload_type == 120
    assert negotiated.format.fmtp == "useinbandfec=1"
    assert negotiated.telephone_event_payload_type == 98
    assert negotiated.receive_payload_types.keys() == {120, 98}
    assert "a=fmtp:98 0-16" in lines(ours)


def test_digits_at_another_clock_are_taken_with_a_remark() -> None:
    description = theirs(
        "m=audio 4000 RTP/AVP 120 101", "a=rtpmap:120 opus/48000/2", "a=rtpmap:101 telephone-event/8000"
    )
    negotiated = answered(description, local(OPUS))
    assert negotiated.telephone_event_payload_type == 101
    assert negotiated.remarks == ("Digits have a clock of 8000 Hz, opus one of 48000 Hz.",)


def test_without_a_common_codec_the_refusal_names_both_sides() -> None:
    error = refusal(theirs("m=audio 4000 RTP/AVP 18 3"), local(PCMU, G722))
    assert error.reason == (
        "No codec in common: the offer has G729/8000 and GSM/8000, this side has PCMU/8000 and G722/8000."
    )
    assert (error.status, error.warning_code) == (488, 305)


def test_digits_alone_are_no_codec_in_common() -> None:
    description = theirs("m=audio 4000 RTP/AVP 18 101", "a=rtpmap:101 telephone-event/8000")
    assert "No codec in common" in refusal(description).reason


def test_every_m_line_is_answered_in_its_place() -> None:
    description = theirs(
        "m=video 5000 RTP/AVP 99",
        "a=rtpmap:99 H264/90000",
        "m=audio 4000 RTP/AVP 0",
        "m=audio 4002 RTP/AVP 8",
        "m=application 9 UDP/BFCP *",
    )
    ours, negotiated = answer(description, local(), 9)
    assert [(m.kind, m.port, m.formats) for m in ours.media] == [
        ("video", 0, ("99",)),
        ("audio", 4000, ("0",)),
        ("audio", 0, ("8",)),
        ("application", 0, ("*",)),
    ]
    assert [(r.index, r.reason) for r in negotiated.rejected] == [
        (0, "This side does audio only."),
        (2, "This side does one audio stream."),
        (3, "This side does audio only."),
    ]


def test_the_audio_we_can_do_is_found_behind_one_we_cannot() -> None:
    description = theirs("m=audio 4000 RTP/SAVP 0", "m=audio 4002 RTP/AVP 0")
    ours, negotiated = answer(description, local(), 9)
    assert [m.port for m in ours.media] == [0, 4000]
    assert negotiated.remote_port == 4002
    assert "RTP/SAVP" in negotiated.rejected[0].reason


@pytest.mark.parametrize(
    ("media", "complaint"),
    [
        (["m=audio 4000 RTP/SAVP 0"], "it wants RTP/SAVP, this side has RTP/AVP"),
        (["m=video 4000 RTP/AVP 99"], "it offers video"),
        ([], "it offers nothing at all"),
        (["m=audio 0 RTP/AVP 0"], "port 0"),
        (["m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::7"], "addresses of two families"),
        (["m=audio 4000 RTP/AVP 0", "c=ATM NSAP 47.0091"], "its network is ATM"),
    ],
)
def test_an_offer_of_no_use_is_refused(media: list[str], complaint: str) -> None:
    assert complaint in refusal(theirs(*media)).reason


def test_without_any_connection_line_nobody_knows_where_to_send() -> None:
    description = theirs("m=audio 4000 RTP/AVP 0", head=HEAD.replace("c=IN IP4 198.51.100.7\r\n", ""))
    assert "no c= line" in refusal(description).reason


@pytest.mark.parametrize(
    ("offered", "able", "expected"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendonly", "sendrecv", "recvonly"),
        ("recvonly", "sendrecv", "sendonly"),
        ("inactive", "sendrecv", "inactive"),
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "sendonly", "inactive"),
        ("recvonly", "recvonly", "inactive"),
        ("sendrecv", "inactive", "inactive"),
    ],
)
def test_directions_meet(offered: str, able: str, expected: str) -> None:
    ours, negotiated = answer(theirs("m=audio 4000 RTP/AVP 0", f"a={offered}"), local(direction=able), 9)
    assert negotiated.direction == expected
    assert ours.direction_of(ours.media[0]) == expected
    assert negotiated.sends == (expected in ("sendrecv", "sendonly"))
    assert negotiated.receives == (expected in ("sendrecv", "recvonly"))


def test_a_direction_of_the_session_counts() -> None:
    assert answered(theirs("a=sendonly", "m=audio 4000 RTP/AVP 0")).direction == "recvonly"


@pytest.mark.parametrize(
    ("said", "expected"),
    [("sendrecv", "recvonly"), ("sendonly", "recvonly"), ("recvonly", "inactive"), ("inactive", "inactive")],
)
def test_the_old_hold_stops_what_we_send(said: str, expected: str) -> None:
    negotiated = answered(theirs("m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0", f"a={said}"))
    assert (negotiated.direction, negotiated.remote_held) == (expected, True)
    assert not negotiated.sends


@pytest.mark.parametrize(
    ("attributes", "own", "codec", "expected"),
    [
        ([], 20, 0, 20),
        ([], 30, 0, 30),
        (["a=ptime:40"], 20, 0, 40),
        (["a=ptime:25.5"], 20, 0, 20),
        (["a=ptime:2000"], 20, 0, 60),
        (["a=ptime:1"], 20, 0, 10),
        (["a=ptime:0"], 30, 0, 30),
        (["a=maxptime:20"], 60, 0, 20),
        (["a=ptime:60", "a=maxptime:30"], 20, 0, 30),
        (["a=ptime:50"], 20, 111, 40),
    ],
)
def test_packets_are_as_long_as_the_peer_wants(
    attributes: list[str], own: int, codec: int, expected: int
) -> None:
    description = theirs(f"m=audio 4000 RTP/AVP {codec}", "a=rtpmap:111 opus/48000/2", *attributes)
    assert answered(description, local(PCMU, OPUS, ptime=own)).ptime == expected


@pytest.mark.parametrize(
    ("port", "attribute", "expected"),
    [
        (4000, "a=x", ("198.51.100.7", 4001)),
        (4000, "a=rtcp:5555", ("198.51.100.7", 5555)),
        (4000, "a=rtcp:5555 IN IP4 198.51.100.8", ("198.51.100.8", 5555)),
        (4000, "a=rtcp:0", ("198.51.100.7", None)),
        (65535, "a=x", ("198.51.100.7", None)),
    ],
)
def test_rtcp_goes_to_the_next_port_or_where_it_is_wanted(
    port: int, attribute: str, expected: tuple[str, int | None]
) -> None:
    negotiated = answered(theirs(f"m=audio {port} RTP/AVP 0", attribute))
    assert (negotiated.remote_rtcp_host, negotiated.remote_rtcp_port) == expected


def test_rtcp_mux_is_seen_and_declined() -> None:
    ours, negotiated = answer(theirs("m=audio 4000 RTP/AVP 0", "a=rtcp-mux"), local(), 9)
    assert negotiated.rtcp_mux_offered
    assert not ours.media[0].has("rtcp-mux")


# -- conclusions


def test_the_answer_decides_codec_and_number() -> None:
    ours = offer(local(PCMU, OPUS), 1)
    negotiated = conclude(ours, theirs("m=audio 6000 RTP/AVP 111", "a=rtpmap:111 opus/48000/2"))
    assert (negotiated.format.name, negotiated.send_payload_type) == ("opus", 111)
    assert {0, 96, 111} <= negotiated.receive_payload_types.keys()
    assert (negotiated.remote_host, negotiated.remote_port) == ("198.51.100.7", 6000)
    assert negotiated.telephone_event_payload_type is None


@pytest.mark.parametrize(
    ("media", "complaint"),
    [
        (["m=audio 0 RTP/AVP 0"], "rejects our audio"),
        (["m=audio 6000 RTP/AVP 18"], "the answer has G729/8000, the offer has PCMU/8000 and PCMA/8000"),
        (["m=audio 6000 RTP/AVP 96"], "the answer has no codec"),
        (["m=video 6000 RTP/AVP 0"], "no audio where"),
        ([], "no audio where"),
        (["m=audio 6000 RTP/SAVP 0"], "RTP/SAVP"),
    ],
)
def test_an_answer_of_no_use_is_refused(media: list[str], complaint: str) -> None:
    with pytest.raises(NotAcceptable, match=complaint):
        conclude(offer(local(), 1), theirs(*media))


def test_rules_broken_without_harm_are_remarked() -> None:
    ours = offer(local(direction="sendonly"), 1)
    described = theirs("m=audio 6000 RTP/AVP 0 18", "m=video 6002 RTP/AVP 99", "a=rtpmap:99 H264/90000")
    negotiated = conclude(ours, described)
    assert negotiated.direction == "sendonly"
    assert negotiated.remarks == (
        "The answer has 2 m-lines, the offer had 1.",
        "The answer names G729/8000, which the offer did not.",
        "The answer says sendrecv, which the offer's sendonly does not permit.",
    )


def test_keys_for_srtp_in_plain_rtp_are_remarked() -> None:
    described = theirs("m=audio 6000 RTP/AVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x")
    assert "SRTP" in conclude(offer(local(), 1), described).remarks[0]


def test_a_late_offer_is_answered_in_the_ack() -> None:
    in_200 = offer(local(PCMA, PCMU), 1)
    in_ack, at_caller = answer(in_200, local(PCMU, port=5000), 2)
    at_callee = conclude(in_200, in_ack)
    assert at_caller.format.name == at_callee.format.name == "PCMU"
    assert at_callee.remote_port == 5000


# -- a session goes on


def test_hold_and_resume_raise_the_version_by_one_each() -> None:
    first = offer(local(), 7, 3)
    held = reoffer(first, local(direction="sendonly"))
    again = reoffer(held, local(direction="sendonly"))
    resumed = reoffer(again, local())
    versions = [d.origin.version for d in (first, held, again, resumed)]
    assert versions == [3, 4, 4, 5]
    assert {d.origin.session_id for d in (first, held, resumed)} == {7}


def test_a_held_peer_answers_hold() -> None:
    held = reoffer(offer(local(), 7), local(direction="sendonly"))
    ours, negotiated = answer(held, local(port=5000), 9)
    assert (negotiated.direction, negotiated.remote_held) == ("recvonly", True)
    assert conclude(held, ours).direction == "sendonly"


def test_a_new_offer_keeps_lines_and_numbers_of_the_session() -> None:
    description = theirs("m=video 1 RTP/AVP 99", "m=audio 4000 RTP/AVP 120", "a=rtpmap:120 opus/48000/2")
    ours, _ = answer(description, local(OPUS), 9)
    again = reoffer(ours, local(AudioFormat("iLBC", 8000), OPUS))
    assert [(m.kind, m.port) for m in again.media] == [("video", 0), ("audio", 4000)]
    assert again.media[1].rtpmaps[120].name == "opus"
    assert again.origin.version == 1


def test_a_number_of_the_session_never_means_another_format() -> None:
    description = theirs("m=audio 4000 RTP/AVP 96", "a=rtpmap:96 opus/48000/2")
    ours, _ = answer(description, local(OPUS), 9)
    again = reoffer(ours, local(AudioFormat("iLBC", 8000)))
    assert 96 not in again.media[0].rtpmaps


def test_answers_in_a_session_count_versions_too() -> None:
    first, _ = answer(theirs("m=audio 4000 RTP/AVP 0"), local(), 9)
    same, _ = reanswer(theirs("m=audio 4000 RTP/AVP 0"), first, local())
    held, negotiated = reanswer(theirs("m=audio 4000 RTP/AVP 0", "a=sendonly"), same, local())
    assert [d.origin.version for d in (first, same, held)] == [0, 0, 1]
    assert held.origin.session_id == 9
    assert negotiated.direction == "recvonly"


def test_audio_taken_out_of_a_session_is_disabled_and_can_come_back() -> None:
    first, _ = answer(theirs("m=audio 4000 RTP/AVP 0"), local(), 9)
    out, negotiated = reanswer(theirs("m=audio 0 RTP/AVP 0"), first, local())
    assert negotiated.disabled
    assert not negotiated.sends
    assert not negotiated.receives
    assert out.media[0].port == 0
    back, negotiated = reanswer(theirs("m=audio 4000 RTP/AVP 0"), out, local())
    assert back.media[0].port == 4000
    assert not negotiated.disabled


def test_our_own_disabled_stream_answered_so_is_no_failure() -> None:
    ours = offer(local(), 1)
    disabled = replace(ours, media=(replace(ours.media[0], port=0, attributes=(Attribute("inactive"),)),))
    assert conclude(disabled, theirs("m=audio 0 RTP/AVP 0")).disabled
