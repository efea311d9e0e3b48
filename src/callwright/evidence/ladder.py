"""A ladder as data: parties, messages with their meaning, and streams of RTP, in order of time. Drawn
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from callwright.evidence.explanation import Narrator, Words
from callwright.evidence.flow import SeenMessage, SeenStream, messages_of, streams_of
from callwright.evidence.lanes import (
    Lanes,
    Parsed,
    Party,
    address_text,
    header_text,
    parsed_octets,
    understood_part,
)
from callwright.evidence.media_line import (
    STATIC_PAYLOAD_TYPES,
    MediaLine,
    is_private,
    media_line,
    shown_codec,
)
from callwright.evidence.redaction import Redactor
from callwright.evidence.shown import one_line, shown_octets
from callwright.net.tap import Packet
from callwright.sip.message import MalformedMessage, Message, Request, Response

GAP = 1.0
"""Seconds of silence from which a gap is drawn."""
LONGEST_RAW = 16_384
"""Octets of one message that are shown; the capture has all."""


@dataclass(frozen=True, slots=True)
class MessageRow:
    """An arrow. `at` is seconds since the ladder's origin; source and destination are indices of parties."""

    number: int
    """From 1, in order of time; retransmissions count."""
    at: float
    source: int
    destination: int
    transport: str
    label: str
    """"re-INVITE", "180 Ringing", "not SIP"."""
    note: str
    """What it carries, in a few words: "PCMA, PCMU", "352 ms after INVITE"."""
    method: str | None
    """Of the request, or of the request that is answered."""
    status: int | None
    reason: str
    cseq: str
    call_id: str
    media: MediaLine | None
    repeat_of: int | None
    """Number of the message of which this is a retransmission."""
    lost: bool
    """It left, and its receiver, in this process too, never saw it."""
    trouble: bool
    """A refusal, garbage or a loss: worth colour."""
    explanation: tuple[str, ...]
    raw: str
    size: int
    """Octets."""


@dataclass(frozen=True, slots=True)
class StreamRow:
    """RTP in one direction, from `at` to `until`, seconds since the origin."""

    at: float
    until: float
    source: int
    destination: int
    codec: str
    packets: int
    lost: int | None
    expected: int | None
    """Of how many packets `lost` tells; None when only the sender was seen."""
    ssrc: int
    call_ids: tuple[str, ...]
    """Calls in whose SDP one of its addresses stands."""
    destination_address: str
    out_of_reach: bool = False
    """It went to a private address from a party that is not in a private network."""
    note: str = ""
    """How good it was, or how much of it there was."""

    @property
    def detail(self) -> str:
        """Codec, and what `note` leaves open."""
        if self.out_of_reach:
            return f"{self.codec}, sent to {self.destination_address}"
        if self.lost:
            return f"{self.codec}, {self.lost:,} of {self.expected:,} lost"
        return self.codec


@dataclass(frozen=True, slots=True)
class GapRow:
    """Time without a message, drawn short."""

    at: float
    seconds: float
    text: str


Row = MessageRow | StreamRow | GapRow


@dataclass(frozen=True, slots=True)
class Ladder:
    """Everything that a drawing needs; `origin` is unix seconds, what `at` counts from."""

    parties: tuple[Party, ...]
    rows: tuple[Row, ...]
    origin: float

    @property
    def messages(self) -> list[MessageRow]:
        return [row for row in self.rows if isinstance(row, MessageRow)]

    @property
    def streams(self) -> list[StreamRow]:
        return [row for row in self.rows if isinstance(row, StreamRow)]


def build_ladder(
    packets: Iterable[Packet],
    *,
    names: Mapping[str, str] | None = None,
    call_names: Mapping[tuple[str, str], str] | None = None,
    origin: float | None = None,
    redactor: Redactor | None = None,
) -> Ladder:
    """The ladder of what the taps saw, in any order, from one side or from both.

    `names` gives a lane its name by "host:port" or by host. `call_names` names who sends ("caller") or
    receives ("callee") the INVITE or REGISTER of a Call-ID: `{("1@alice", "caller"): "Alice"}`. `origin`
    (unix seconds) is where time starts, the first packet when None.
    """
    packets = list(packets)
    seen = messages_of(packets)
    streams = streams_of(packets)
    parsed = [parsed_octets(message.data) for message in seen]
    firsts = [(m.wall, m.at) for m in seen] + [(s.wall, s.first) for s in streams]
    wall, start = min(firsts, key=lambda pair: pair[1], default=(origin or 0.0, 0.0))
    zero = start - (wall - origin) if origin is not None else start
    lanes = Lanes()
    lanes.place(seen, parsed)
    rows: list[Row] = list(
        _message_rows(
            seen,
            parsed,
            lanes,
            zero,
            redactor if redactor is not None else Redactor(),
            names or {},
            call_names or {},
        )
    )
    rows += [_stream_row(stream, lanes, zero) for stream in streams]
    rows.sort(key=lambda row: row.at)
    parties = lanes.parties(names or {}, call_names or {}, seen, parsed)
    return Ladder(tuple(parties), tuple(_with_gaps(rows)), wall if origin is None else origin)


# -- rows ----------------------------------------------------------------------------------------------------


def _message_rows(
    seen: Sequence[SeenMessage],
    parsed: Sequence[Parsed],
    lanes: Lanes,
    zero: float,
    redactor: Redactor,
    names: Mapping[str, str],
    call_names: Mapping[tuple[str, str], str],
) -> Iterable[MessageRow]:
    parties = lanes.parties(names, call_names, seen, parsed)
    both_ends = {message.destination for message in seen if message.arrived}
    narrator = Narrator()
    for index, (message, content) in enumerate(zip(seen, parsed, strict=True)):
        source, destination = lanes.lane(message.source), lanes.lane(message.destination)
        understood = understood_part(content)
        lost = message.departed and not message.arrived and message.destination in both_ends
        fault = content.reason if isinstance(content, MalformedMessage) else None
        media = media_line(understood.body) if understood is not None and understood.body else None
        words = narrator.tell(
            understood,
            fault=one_line(fault) if fault is not None else None,
            at=message.at,
            sender=parties[source].name,
            receiver=parties[destination].name,
            media=media,
            repeat_of=None if message.repeat_of is None else message.repeat_of + 1,
            lost=lost,
            lanes=(source, destination),
            out_of_reach=media is not None and media.private and not is_private(message.destination[0]),
        )
        yield _row(
            index, message, understood, words, media, lost, (source, destination), message.at - zero, redactor
        )


def _row(
    index: int,
    seen: SeenMessage,
    message: Message | None,
    words: Words,
    media: MediaLine | None,
    lost: bool,
    lanes: tuple[int, int],
    at: float,
    redactor: Redactor,
) -> MessageRow:
    cseq = header_text(message, "CSeq")
    response = message if isinstance(message, Response) else None
    raw = shown_octets(redactor.message(seen.data[:LONGEST_RAW]))
    if len(seen.data) > LONGEST_RAW:
        raw += f"\n… {len(seen.data) - LONGEST_RAW:,} more octets are in the capture"
    method = message.method if isinstance(message, Request) else (cseq.split() or [""])[-1] or None
    return MessageRow(
        number=index + 1,
        at=at,
        source=lanes[0],
        destination=lanes[1],
        transport=seen.transport,
        label=words.label,
        note=words.note,
        method=method,
        status=response.status if response is not None else None,
        reason=one_line(response.reason, 80) if response is not None else "",
        cseq=cseq,
        call_id=header_text(message, "Call-ID"),
        media=media,
        repeat_of=None if seen.repeat_of is None else seen.repeat_of + 1,
        lost=lost,
        trouble=words.trouble or lost,
        explanation=words.sentences,
        raw=raw,
        size=len(seen.data),
    )


def _stream_row(stream: SeenStream, lanes: Lanes, zero: float) -> StreamRow:
    source, destination = lanes.media_lane(stream.source), lanes.media_lane(stream.destination)
    calls: dict[str, None] = {}
    names: dict[int, str] = {}
    for endpoint in (stream.destination, stream.source):
        calls.update(dict.fromkeys(lanes.media_calls.get(endpoint, ())))
        names = {**lanes.media_names.get(endpoint, {}), **names}
    speech = {n: c for n, c in stream.payload_types.items() if names.get(n) != "telephone-event"}
    number = max(speech, key=lambda n: speech[n], default=stream.payload_type)
    codec = names.get(number) or STATIC_PAYLOAD_TYPES.get(number) or f"payload type {number}"
    return StreamRow(
        at=stream.first - zero,
        until=stream.last - zero,
        source=source,
        destination=destination,
        codec=shown_codec(one_line(codec, 24)),
        packets=stream.packets,
        lost=stream.lost,
        expected=stream.expected,
        ssrc=stream.ssrc,
        call_ids=tuple(calls),
        destination_address=address_text(stream.destination),
        note=f"{stream.packets:,} packets",
        out_of_reach=is_private(stream.destination[0])
        and not is_private(stream.source[0])
        and not stream.arrived,
    )


def _with_gaps(rows: Sequence[Row]) -> Iterable[Row]:
    """Put a gap row where nothing was sent for more than a second, and say what the call did in it."""
    doing = "waiting"
    last: float | None = None
    for row in rows:
        if last is not None and row.at - last > GAP:
            yield GapRow(last, row.at - last, f"{row.at - last:.1f} s {doing}")
        last = row.at
        if isinstance(row, StreamRow):
            doing = "talking"
        elif isinstance(row, MessageRow):
            doing = _doing(row, doing)
        yield row


def _doing(row: MessageRow, before: str) -> str:
    if row.label == "re-INVITE" and row.media is not None:
        return "on hold" if row.media.held else "talking"
    in_call = before in {"talking", "on hold"}
    if row.method == "INVITE" and row.status is None:
        return before if in_call else "without an answer"
    if row.status in {180, 183} and not in_call:
        return "ringing" if row.status == 180 else "in progress"
    if row.method == "INVITE" and row.status is not None and 200 <= row.status < 300:
        return before if in_call else "talking"
    if row.method in {"BYE", "CANCEL", "REGISTER", "OPTIONS"} or (row.status or 0) >= 300:
        return "waiting"
    return before
