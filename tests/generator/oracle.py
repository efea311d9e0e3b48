"""What the pure rooms say of what the loop reads: the oracle of its property tests and of `make fuzz`.

The loop reads less of a message than `callwright.sip`, and takes some that are refused there. Each check
raises AssertionError where both take something and mean another thing by it.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from callwright.generator._loop import LoadLoop, audio, authorization, judged, promised, read
from callwright.generator.names import COUNTERS, HISTOGRAMS, bucket_value
from callwright.rtp.loss_pattern import Ledger
from callwright.rtp.packet import RtpError, payload_bounds
from callwright.rtp.reception import HELD, RESTARTED, ArrivalTiming, SequenceCount
from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import SdpError
from callwright.sip.digest import Challenge, Credentials, answer_challenge, parse_parameters
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.headers import Headers
from callwright.sip.message import MalformedMessage, Request, parse_datagram
from callwright.sip.uri import NameAddr

METHODS = ("", "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "INFO", "UPDATE", "PRACK")
MOST = 8
"""Fields of Via and of Record-Route that the loop reads of one message."""
NOTHING, SENDS, BOTH = range(3)
"""What an SDP promises."""
CLOCK, FRAME = 8000, 160
_ODD = re.compile(rb"^\s|\s$|[^\x20-\x7e]|^c=(?!IN IP4 [0-9.]+(/|$)|IN IP6 [0-9a-f:]+(/|$))")
Packets = list[tuple[int, bytes]]
"""Each with its arrival in nanoseconds."""


def _octets(text: str | None) -> bytes:
    return (text or "").encode("utf-8", "surrogateescape")


def meaning(data: bytes) -> dict[str, object] | None:
    """The fields that both read, by `sip.message`; None for what is refused there."""
    try:
        message = parse_datagram(data)
        headers = message.headers
        via = headers.top_via
        request = isinstance(message, Request)
        told: dict[str, object] = {
            "status": 0 if isinstance(message, Request) else message.status,
            "method": METHODS.index(headers.cseq.method) if headers.cseq.method in METHODS else 0,
            "cseq": headers.cseq.number,
            "call_id": _octets(headers.call_id),
            "from_tag": _octets(headers.from_.tag),
            "to_tag": _octets(headers.to.tag),
            "branch": _octets(via.branch),
            "via": [_octets(value) for value in headers.get_fields("via")],
            "rport": request and via.wants_rport and via.rport is None,
            "uri": _octets(message.uri) if isinstance(message, Request) else b"",
        }
        told |= _extensions(headers)
        if request or message.status == 200:  # type: ignore[union-attr]
            contact = headers.first("contact")
            told["contact"] = b"" if contact is None else _octets(contact_uri(contact))
            told["routes"] = [_octets(value) for value in headers.get_all("record-route")]
    except (MalformedMessage, SipSyntaxError, LookupError):
        return None
    return told


def _extensions(headers: Headers) -> dict[str, object]:
    """Of RFC 3262, 3311 and 4028. The loop reads a number as far as it goes: only whole ones are compared."""
    told: dict[str, object] = {}
    for name, fields in (("rseq", "rseq"), ("min_se", "min-se")):
        text = headers.get(fields)
        if text is None or re.fullmatch(r"[0-9]{1,9}", text):
            told[name] = int(text or 0)
    text = headers.first("session-expires")
    if text is None or re.fullmatch(r"[0-9]{1,9}(;refresher=ua[cs])?", text):
        role = (text or "").partition("refresher=")[2]
        told["session"] = (
            None if text is None else (int(text.partition(";")[0]), ("", "uac", "uas").index(role))
        )
    flags = (("supported", "100rel"), ("require", "100rel"), ("supported", "timer"), ("require", "timer"))
    options = sum(headers.has_option(*flag) << at for at, flag in enumerate(flags))
    if not re.search(r"(?i)update", ",".join(headers.get_all("allow")).replace("UPDATE", "")):
        told["options"] = options + 16 * ("allow" in headers) + 32 * headers.has_option("allow", "update")
    return told


def _unfolded(value: object) -> object:
    if isinstance(value, list):
        return [_unfolded(one) for one in value]
    return re.sub(rb"[ \t]*\r?\n[ \t]+", b" ", value) if isinstance(value, bytes) else value


def contact_uri(value: str) -> str:
    """The URI as it stands there. Raises SipSyntaxError."""
    NameAddr.parse(value)
    _, quote, after = value.rpartition('"')  # a name in quotes may hold angles
    _, angle, rest = (after if quote and "<" in after else value).partition("<")
    return rest.partition(">")[0] if angle else value.partition(";")[0].strip()


def check_message(data: bytes) -> bool:
    """Whether both take it."""
    ours, theirs = read(data), meaning(data)
    if theirs is None:
        return False
    if ours is None:
        fields, first = parse_datagram(data).headers, data.lstrip(b"\r\n").partition(b"\n")[2]
        limited = max(len(fields.get_fields(name)) for name in ("via", "record-route")) > MOST
        assert limited or first[:1] in (b" ", b"\t"), f"{data!r} is refused"  # it folds no start line
        return False
    found = {name: _unfolded(ours[name]) for name in theirs}
    assert found == theirs, f"read differs: {found} is not {theirs}"
    return True


def check_challenge(challenge: bytes, *, user: str = "u", body: bytes = b"") -> bool:
    """Whether both answer it."""
    ours = authorization(
        challenge,
        proxy=False,
        user=_octets(user),
        password=b"pass word",
        method=b"INVITE",
        uri=b"sip:a@b",
        cnonce=b"0123456789abcdef",
        body=body,
    )
    try:
        known = Challenge.parse(challenge.decode("utf-8", "surrogateescape"))
    except SipSyntaxError:
        return False
    if known is None or not known.is_supported or ours is None:
        return False
    expected = answer_challenge(
        known,
        Credentials(user, "pass word"),
        method="INVITE",
        uri="sip:a@b",
        cnonce="0123456789abcdef",
        body=body,
    )
    name, _, value = ours.decode("utf-8", "surrogateescape").removesuffix("\r\n").partition(": ")
    assert name == "Authorization"
    found, theirs = parse_parameters(value)[1], parse_parameters(expected)[1]
    assert found == theirs, f"the answer to a challenge differs: {found} is not {theirs}"
    return True


def check_sdp(loop: LoadLoop, body: bytes) -> bool:
    """Whether both find audio in it. `loop` may send anywhere."""
    ours, promise = audio(loop, body), promised(body)
    try:
        description = SessionDescription.parse(body)
    except SdpError:
        return False
    if any(_ODD.search(line) for line in re.split(rb"\r?\n", body)):
        return False  # the loop passes over white space and odd connections, and the phone does not
    used = [media for media in description.media if media.kind == "audio" and media.port]
    if not used or used[0].fault is not None or description.remarks:
        return False
    connection, direction = description.connection_of(used[0]), description.direction_of(used[0])
    if connection is None or not connection.is_numeric or used[0].port_count is not None:
        return False
    if len(used[0].connections) > 1:
        return False  # layers of a multicast stream, which no load has
    if connection.is_unspecified:
        assert (ours, promise) == (None, NOTHING), body
        return False
    assert promise == {"sendrecv": BOTH, "sendonly": SENDS}.get(direction, NOTHING), body
    if ":" in connection.address or used[0].port < 1024:
        assert ours is None, body
        return False
    directions = ("sendrecv", "sendonly", "recvonly", "inactive")
    assert ours is not None, body
    assert (ours[0], ours[1], directions[ours[3]]) == (connection.address, used[0].port, direction), body
    return True


def counted(loop: Any) -> dict[str, int]:
    return dict(zip(COUNTERS, loop.counters(), strict=True))


def recorded(loop: Any, name: str) -> list[float]:
    """The least values of the buckets of a histogram, each as often as it was recorded."""
    found = struct.unpack("=3072Q", loop.histogram(HISTOGRAMS.index(name)))
    return [bucket_value(index) for index, times in enumerate(found) for _ in range(times)]


def check_stream(loop: LoadLoop, packets: Packets) -> None:
    """Counts of a stream of whole packets, none more than 63 numbers late, by `rtp.reception`.

    The loop is to have no numbers yet. Jitter is compared where every packet is new and of one run: the loop
    leaves repeated ones out of it.
    """
    judged(loop, packets)
    numbers, timing = SequenceCount(Ledger(0)), ArrivalTiming()
    before = None
    for arrival, data in packets:
        try:
            payload_bounds(data)
        except RtpError:
            continue
        _, second, number, stamp, _ = struct.unpack_from("!BBHII", data)
        elapsed = 0.0 if before is None else (arrival - before) / 1e9
        before = arrival
        if (found := numbers.receive(number, elapsed)) == RESTARTED:
            numbers.receive((number - 1) & 0xFFFF, 0.0)
            found = numbers.receive(number, 0.0)
            timing.discontinue()
        if found != HELD:
            timing.receive(stamp, arrival / 1e9, CLOCK, bool(second & 0x80), 1)
    ours = counted(loop)
    assert ours["rtp_received"] == numbers.packets
    assert ours["rtp_lost"] == max(0, numbers.lost)
    assert ours["rtp_reordered"] == numbers.reordered
    assert ours["rtp_duplicated"] == numbers.duplicated
    if numbers.packets:
        (share,) = recorded(loop, "loss")
        assert share <= 10_000 * max(0, numbers.lost) / numbers.expected <= share * 1.01 + 1
        if not (numbers.duplicated or numbers.restarts or numbers.stale or timing.jumps):
            (jitter,) = recorded(loop, "jitter")
            assert abs(jitter - timing.jitter * 1e6) <= 2 + jitter * 0.01
