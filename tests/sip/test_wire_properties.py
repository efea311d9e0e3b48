"""Properties of the wire format, tried on generated and on mutilated messages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from callwright.sip.digest import Challenge, parse_parameters
from callwright.sip.fields import CSeq, MediaType, Via
from callwright.sip.framing import BrokenStreamError, StreamFramer
from callwright.sip.grammar import SipSyntaxError, quote, split_list, unquote
from callwright.sip.headers import Headers
from callwright.sip.lint import lint
from callwright.sip.message import (
    MalformedMessage,
    Message,
    Request,
    Response,
    parse_datagram,
    serialize,
)
from callwright.sip.uri import NameAddr, Uri
from tests.kit.examples import examples
from tests.sip.wire import INVITE, torture_cases

TOKEN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~"
WORD = "abcdefghijklmnopqrstuvwxyz0123456789"
quick = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])

tokens = st.text(TOKEN, min_size=1, max_size=12)
words = st.text(WORD, min_size=1, max_size=10)
# Any text a header can carry: no line ends, no LWS at its ends, octets beyond UTF-8 as surrogates.
texts = st.binary(max_size=30).map(
    lambda octets: (
        octets.replace(b"\r", b"").replace(b"\n", b"").strip(b" \t").decode("utf-8", "surrogateescape")
    )
)
hosts = st.one_of(
    st.builds("{}.example.com".format, words.map(lambda word: "h" + word)),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
ports = st.none() | st.integers(0, 65535)
parameters = st.lists(st.tuples(words, st.none() | words), max_size=3).map(tuple)
uris = st.builds(
    Uri,
    st.sampled_from(["sip", "sips"]),
    st.none() | words,
    st.none(),
    hosts,
    ports,
    parameters,
    st.lists(st.tuples(words, words), max_size=2).map(tuple),
)
addresses = st.builds(NameAddr, texts, uris, parameters)
vias = st.builds(Via, st.sampled_from(["UDP", "TCP", "TLS", "WS"]), hosts, ports, parameters)


@st.composite
def messages(draw: Callable[[st.SearchStrategy[object]], object]) -> Message:
    """A well-formed message with headers nobody knows, in any order."""

    def pick(strategy: st.SearchStrategy[object]) -> str:
        return str(draw(strategy))

    method = pick(tokens)
    fields = [
        ("Via", pick(vias)),
        ("v", f"{pick(vias)}, {pick(vias)}"),
        (pick(st.sampled_from(["From", "f", "FROM"])), pick(addresses)),
        (pick(st.sampled_from(["To", "t"])), pick(addresses)),
        (pick(st.sampled_from(["Call-ID", "i"])), pick(tokens)),
        ("CSeq", f"{pick(st.integers(0, 2**32 - 1))} {method}"),
        ("Contact", pick(addresses)),
    ]
    for name, value in draw(st.lists(st.tuples(tokens, texts), max_size=5)):  # type: ignore[attr-defined]
        fields.append((f"X-{name}", value))
    body = draw(st.binary(max_size=60))
    assert isinstance(body, bytes)
    shuffled = draw(st.permutations(fields))
    headers = Headers(shuffled)  # type: ignore[arg-type]
    headers.add("Content-Length", str(len(body)))
    if draw(st.booleans()):
        return Request(method, pick(uris), headers, body)
    return Response(int(pick(st.integers(100, 699))), pick(texts), headers, body)


def never_raises_but_malformed(data: bytes) -> Message | None:
    try:
        return parse_datagram(data)
    except MalformedMessage as error:
        refused = error
    assert refused.reason
    assert refused.status in (None, 400, 414, 501, 505, 513)
    return None


@quick
@given(messages())
def test_parse_after_serialize_is_identity(message: Message) -> None:
    assert parse_datagram(serialize(message)) == message


@quick
@given(messages())
def test_serialize_after_parse_is_identity(message: Message) -> None:
    data = serialize(message)
    assert serialize(parse_datagram(data)) == data


@quick
@given(messages())
def test_folding_changes_nothing_but_white_space(message: Message) -> None:
    data = serialize(message)
    head, gap, body = data.partition(b"\r\n\r\n")
    folded = head.replace(b": ", b":\r\n  ", 50) + gap + body
    headers = parse_datagram(folded).headers
    assert headers.get_all("via") == message.headers.get_all("via")
    assert headers.cseq == message.headers.cseq


@quick
@given(messages(), st.binary(max_size=40))
def test_trailing_octets_of_a_datagram_change_nothing(message: Message, noise: bytes) -> None:
    assert parse_datagram(serialize(message) + noise) == message


@quick
@given(messages())
def test_no_prefix_of_a_message_raises_anything_else(message: Message) -> None:
    data = serialize(message)
    for end in range(0, len(data), 7):
        never_raises_but_malformed(data[:end])


@quick
@given(messages())
def test_typed_access_gives_back_what_was_put_in(message: Message) -> None:
    parsed = parse_datagram(serialize(message)).headers
    assert len(parsed.via) == 3
    assert parsed.from_ == message.headers.from_
    assert parsed.contact == message.headers.contact


@quick
@given(messages())
def test_the_lint_calls_generated_messages_well_formed(message: Message) -> None:
    assert lint(serialize(message)).errors == []


@quick
@given(st.lists(messages(), max_size=4), st.binary(max_size=3), st.data())
def test_a_stream_is_the_same_whole_and_in_pieces(
    sent: list[Message], rest: bytes, data: st.DataObject
) -> None:
    assume(b"\n" not in rest and b"\r" not in rest)
    stream = b"\r\n".join([serialize(message) for message in sent]) + rest
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    whole = StreamFramer().feed(stream)
    framer = StreamFramer()
    pieces: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        pieces += framer.feed(stream[start:end])
    assert whole == pieces
    assert [parse_datagram(piece) for piece in pieces] == sent


@quick
@given(st.lists(messages(), max_size=2))
def test_a_stream_is_the_same_byte_by_byte(sent: list[Message]) -> None:
    stream = b"".join([serialize(message) for message in sent])
    framer = StreamFramer()
    single = [message for octet in stream for message in framer.feed(bytes([octet]))]
    assert single == StreamFramer().feed(stream)
    assert [parse_datagram(each) for each in single] == sent


@settings(max_examples=examples(120), deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_raise_nothing_but_malformed(data: bytes) -> None:
    never_raises_but_malformed(data)
    lint(data)


@settings(max_examples=examples(120), deadline=None)
@given(st.text(max_size=200))
def test_any_text_after_a_start_line_raises_nothing_but_malformed(text: str) -> None:
    never_raises_but_malformed(b"OPTIONS sip:a@b SIP/2.0\r\n" + text.encode("utf-8", "replace") + b"\r\n\r\n")


@settings(max_examples=examples(120), deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_chunks_break_a_stream_in_one_way_only(chunks: list[bytes]) -> None:
    framer = StreamFramer()
    with suppress(BrokenStreamError):
        for chunk in chunks:
            for message in framer.feed(chunk):
                never_raises_but_malformed(message)


@pytest.mark.parametrize(
    "parse", [Uri.parse, NameAddr.parse, Via.parse, CSeq.parse, MediaType.parse, Challenge.parse]
)
@settings(max_examples=examples(50), deadline=None)
@given(text=st.text(max_size=60) | texts | st.text('<>";,=:@[]?&%\\ \tsipa1', max_size=40))
def test_any_value_raises_nothing_but_a_syntax_error(parse: Callable[[str], object], text: str) -> None:
    try:
        parsed = parse(text)
    except SipSyntaxError:
        return
    if parsed is not None:
        assert parse(str(parsed)) == parsed


@quick
@given(uris)
def test_uris_are_read_as_they_are_written(uri: Uri) -> None:
    assert Uri.parse(str(uri)) == uri
    assert uri.equivalent(uri)


@quick
@given(addresses)
def test_name_addrs_are_read_as_they_are_written(address: NameAddr) -> None:
    assert NameAddr.parse(str(address)) == address
    assert NameAddr.parse(str(address.with_tag("x"))).tag == "x"


@quick
@given(vias)
def test_vias_are_read_as_they_are_written(via: Via) -> None:
    assert Via.parse(str(via)) == via


@quick
@given(texts)
def test_quoting_is_undone(text: str) -> None:
    assert unquote(quote(text)) == text


@quick
@given(st.lists(addresses.map(str), min_size=1, max_size=5))
def test_a_joined_list_is_split_where_it_was_joined(elements: list[str]) -> None:
    assert split_list(", ".join(elements)) == elements
    assert split_list(" ,".join(elements)) == elements


@quick
@given(st.text(max_size=80))
def test_any_credentials_raise_nothing_but_a_syntax_error(text: str) -> None:
    with suppress(SipSyntaxError):
        parse_parameters("Digest " + text)


SEEDS = [case.data for case in torture_cases() if len(case.data) < 900] + [INVITE]
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b'"',
    b"<",
    b">",
    b"@",
    b"\xff",
    b"%",
    b"\\",
]


def mutated(draw: st.DataObject, seed: bytes) -> bytes:
    """The seed with some octets removed, repeated, exchanged or put in."""
    data = seed
    for _ in range(draw.draw(st.integers(1, 4))):
        start = draw.draw(st.integers(0, len(data)))
        end = min(len(data), start + draw.draw(st.integers(0, 20)))
        piece = draw.draw(st.sampled_from(PIECES) | st.binary(max_size=4))
        data = draw.draw(
            st.sampled_from(
                [
                    data[:start] + data[end:],
                    data[:end] + data[start:],
                    data[:start] + piece + data[start:],
                    data[:start] + piece + data[end:],
                ]
            )
        )
    return data


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed[:20].decode("latin-1"))
@settings(max_examples=examples(15), deadline=None)
@given(draw=st.data())
def test_a_mutilated_message_is_refused_or_survives_a_round_trip(seed: bytes, draw: st.DataObject) -> None:
    data = mutated(draw, seed)
    message = never_raises_but_malformed(data)
    verdict = lint(data)
    assert verdict.well_formed is (message is not None)
    if message is not None:
        again = parse_datagram(serialize(message))
        assert serialize(again) == serialize(message)
        assert again.body == message.body
