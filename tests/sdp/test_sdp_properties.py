from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from callwright.sdp.description import SessionDescription
from callwright.sdp.formats import AudioFormat, audio_format
from callwright.sdp.lines import Attribute, Bandwidth, Connection, Origin, SdpError, SdpLine, Timing
from callwright.sdp.media import Media
from callwright.sdp.negotiation import LocalMedia, NotAcceptable, answer, conclude, offer

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=30)
word = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-.!+", min_size=1, max_size=12)
big = st.integers(0, 2**64 - 1)
address = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.just("media.example.com")
)
connection = address.map(Connection.to)
plain_attribute = st.builds(
    Attribute,
    word.filter(lambda name: name not in {"rtpmap", "fmtp", "ptime", "maxptime", "rtcp"}),
    st.none() | text,
)
checked_attribute = st.one_of(
    st.builds(
        lambda n, name, clock, channels: Attribute("rtpmap", f"{n} {name}/{clock}/{channels}"),
        st.integers(0, 127),
        word,
        st.integers(1, 10_000_000),
        st.integers(1, 255),
    ),
    st.builds(lambda n, rest: Attribute("fmtp", f"{n} {rest}"), st.integers(0, 127), text),
    st.integers(0, 999).map(lambda n: Attribute("ptime", str(n))),
    st.integers(0, 65535).map(lambda n: Attribute("rtcp", str(n))),
    st.sampled_from(["sendrecv", "sendonly", "recvonly", "inactive"]).map(Attribute),
)
attributes = st.lists(plain_attribute | checked_attribute, max_size=6).map(tuple)
bandwidths = st.lists(st.builds(Bandwidth, word, big), max_size=2).map(tuple)
media = st.builds(
    Media,
    kind=st.sampled_from(["audio", "video", "application"]),
    port=st.integers(0, 65535),
    protocol=st.sampled_from(["RTP/AVP", "RTP/SAVP", "udptl"]),
    formats=st.lists(st.integers(0, 127).map(str), min_size=1, max_size=8).map(tuple),
    port_count=st.none() | st.integers(1, 65535),
    title=st.none() | text,
    connections=st.lists(connection, max_size=2).map(tuple),
    bandwidths=bandwidths,
    key=st.none() | text,
    attributes=attributes,
    unknown=st.lists(st.builds(SdpLine, st.sampled_from("dfghjlnqwxyX"), text), max_size=2).map(tuple),
)
descriptions = st.builds(
    SessionDescription,
    origin=st.builds(Origin, word, big, big, address),
    name=text,
    media=st.lists(media, max_size=4).map(tuple),
    information=st.none() | text,
    uri=st.none() | text,
    emails=st.lists(text, max_size=2).map(tuple),
    phones=st.lists(text, max_size=2).map(tuple),
    connection=st.none() | connection,
    bandwidths=bandwidths,
    timings=st.lists(
        st.builds(Timing, big, big, st.lists(text, max_size=2).map(tuple)), min_size=1, max_size=2
    ).map(tuple),
    time_zones=st.none() | text,
    key=st.none() | text,
    attributes=attributes,
    unknown=st.lists(st.builds(SdpLine, st.sampled_from("dfghjlnqwxyX"), text), max_size=2).map(tuple),
)
codecs = st.sampled_from(["pcmu", "pcma", "g722", "opus", "gsm", "ilbc", "L16/16000"]).map(audio_format)
directions = st.sampled_from(["sendrecv", "sendonly", "recvonly", "inactive"])
local_media = st.builds(
    LocalMedia,
    host=st.just("192.0.2.1"),
    port=st.integers(1, 65535),
    formats=st.lists(codecs, min_size=1, max_size=6, unique=True).map(tuple),
    ptime=st.integers(10, 60),
    direction=directions,
    telephone_event=st.booleans(),
    prefer_local=st.booleans(),
)


@given(descriptions)
def test_what_is_written_is_read_as_it_was(description: SessionDescription) -> None:
    written = description.serialize()
    assert SessionDescription.parse(written) == description
    assert SessionDescription.parse(written).serialize() == written


@given(descriptions, st.data())
def test_a_damaged_description_is_refused_or_still_comes_back(
    description: SessionDescription, data: st.DataObject
) -> None:
    octets = bytearray(description.serialize())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not octets:
            return
    with contextlib.suppress(SdpError):
        read = SessionDescription.parse(bytes(octets))
        assert SessionDescription.parse(read.serialize()) == read


@given(st.binary(max_size=200))
def test_noise_raises_nothing_but_a_refusal(noise: bytes) -> None:
    for body in (noise, b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n" + noise):
        with contextlib.suppress(SdpError):
            SessionDescription.parse(body)


@given(descriptions, local_media)
def test_any_offer_is_answered_line_for_line_or_refused_with_a_sentence(
    theirs: SessionDescription, local: LocalMedia
) -> None:
    try:
        ours, negotiated = answer(theirs, local, 1)
    except NotAcceptable as refusal:
        _is_a_sentence(refusal.reason)
        return
    assert [m.kind for m in ours.media] == [m.kind for m in theirs.media]
    assert [m.protocol for m in ours.media] == [m.protocol for m in theirs.media]
    assert sum(m.port != 0 for m in ours.media) == 1
    assert set(ours.media[negotiated.media_index].formats) <= {
        str(int(f)) for f in theirs.media[negotiated.media_index].formats
    }
    assert SessionDescription.parse(ours.serialize()) == ours
    assert 10 <= negotiated.ptime <= 60
    assert 0 <= negotiated.send_payload_type <= 127


@given(descriptions, local_media)
def test_any_answer_is_concluded_or_refused_with_a_sentence(
    theirs: SessionDescription, local: LocalMedia
) -> None:
    try:
        negotiated = conclude(offer(local, 1), theirs)
    except NotAcceptable as refusal:
        _is_a_sentence(refusal.reason)
        return
    assert any(negotiated.format.matches(f) for f in local.formats)


def _is_a_sentence(reason: str) -> None:
    assert reason[0].isupper()
    assert reason.endswith(".")


def _opposite(direction: str) -> str:
    return {"sendonly": "recvonly", "recvonly": "sendonly"}.get(direction, direction)


def _shared(one: LocalMedia, other: LocalMedia) -> list[AudioFormat]:
    return [f for f in one.formats if any(f.matches(o) for o in other.formats)]


@given(local_media, local_media)
def test_both_sides_draw_the_same_conclusion(caller: LocalMedia, callee: LocalMedia) -> None:
    ours = offer(caller, 1)
    try:
        theirs, at_callee = answer(ours, callee, 2)
    except NotAcceptable:
        assert not _shared(caller, callee)
        return
    at_caller = conclude(ours, theirs)
    assert at_caller.format.matches(at_callee.format)
    assert at_caller.send_payload_type == at_callee.send_payload_type
    assert at_caller.direction == _opposite(at_callee.direction)
    assert (at_caller.remote_port, at_callee.remote_port) == (callee.port, caller.port)
    assert at_caller.telephone_event_payload_type == at_callee.telephone_event_payload_type
    assert set(at_callee.receive_payload_types) <= set(at_caller.receive_payload_types)
    assert not at_caller.remarks or "Digits" in at_caller.remarks[0]
