"""Offer and answer (RFC 3264) for one audio stream, and what the two sides agreed on.

    offer(local, session_id)                  -> SessionDescription
    answer(theirs, local, session_id)         -> (SessionDescription, Negotiated), or NotAcceptable: 488
    conclude(ours, theirs)                    -> Negotiated, or NotAcceptable: acknowledge, then hang up
    reoffer(previous, local)                  -> SessionDescription: hold, resume, another codec
    reanswer(theirs, previous, local)         -> as answer, in a session that exists

A late offer needs nothing of its own: whoever gets an INVITE without a body puts ``offer`` into the 2xx and
concludes on the ACK; whoever sent it puts ``answer`` into the ACK.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from callwright.sdp.crypto import Crypto, accepted, keys_of
from callwright.sdp.description import SessionDescription
from callwright.sdp.formats import AudioFormat, allocate, formats_of
from callwright.sdp.lines import Attribute, Connection, Origin, SdpError
from callwright.sdp.media import DIRECTIONS, Media
from callwright.srtp.suite import StreamKeys

__all__ = [
    "SRTP",
    "LocalMedia",
    "Negotiated",
    "NotAcceptable",
    "RejectedMedia",
    "answer",
    "conclude",
    "offer",
    "reanswer",
    "reoffer",
]

PROTOCOL, SECURE_PROTOCOL = "RTP/AVP", "RTP/SAVP"
SRTP = ("off", "optional", "required")
"""Plain RTP alone; keys beside plain RTP (`a=crypto` on RTP/AVP), to be used if both have them; RTP/SAVP."""
MIN_PTIME, MAX_PTIME = 10, 60

_REVERSED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


class NotAcceptable(ValueError):
    """No session comes of this. ``reason`` is a sentence, ``warning_code`` one of RFC 3261 section 20.43."""

    status = 488

    def __init__(self, reason: str, warning_code: int = 399) -> None:
        super().__init__(reason)
        self.reason = reason
        self.warning_code = warning_code


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What this side can do and where it listens.

    ``host``: the address peers send to (numeric or a name); ``port``: RTP, 1..65535; ``formats``: in order of
    preference; ``ptime``, ``maxptime``: milliseconds, 10..60; ``rtcp_port``: None for port + 1;
    ``telephone_event``: take RFC 4733 digits, at every clock rate of the formats; ``prefer_local``: when
    answering, use our order of formats instead of the offer's. ``srtp``: see SRTP; ``crypto``: our keys, one
    for each suite that may be used, in order of preference.
    """

    host: str
    port: int
    formats: tuple[AudioFormat, ...]
    ptime: int = 20
    direction: str = "sendrecv"
    maxptime: int | None = None
    rtcp_port: int | None = None
    telephone_event: bool = True
    prefer_local: bool = False
    username: str = "-"
    session_name: str = "callwright"
    srtp: str = "off"
    crypto: tuple[Crypto, ...] = ()

    def __post_init__(self) -> None:
        if self.srtp not in SRTP or (self.srtp != "off") != bool(self.crypto):
            raise SdpError(f"SRTP {self.srtp!r} does not go with {len(self.crypto)} keys")
        if not 1 <= self.port <= 65535 or not (self.rtcp_port is None or 1 <= self.rtcp_port <= 65535):
            raise SdpError(f"the port {self.port} or {self.rtcp_port} is not between 1 and 65535")
        for ptime in (self.ptime, self.maxptime or self.ptime):
            if not MIN_PTIME <= ptime <= MAX_PTIME:
                raise SdpError(f"a packet time of {ptime} ms is not between {MIN_PTIME} and {MAX_PTIME}")
        if self.direction not in DIRECTIONS:
            raise SdpError(f"the direction {self.direction!r} is not one of {', '.join(DIRECTIONS)}")
        if not any(not f.is_telephone_event for f in self.formats):
            raise SdpError("this side has no audio format")

    @property
    def all_formats(self) -> tuple[AudioFormat, ...]:
        """The formats with a telephone-event for every clock rate, unless one is named or none is wanted."""
        if not self.telephone_event:
            return tuple(f for f in self.formats if not f.is_telephone_event)
        named = {f.clock_rate for f in self.formats if f.is_telephone_event}
        rates = dict.fromkeys(f.clock_rate for f in self.formats if not f.is_telephone_event)
        # 8000 first: it is what gets number 101.
        missing = sorted(rate for rate in rates if rate not in named)
        return (*self.formats, *(AudioFormat("telephone-event", rate, fmtp="0-16") for rate in missing))


@dataclass(frozen=True, slots=True)
class RejectedMedia:
    """An m-line that is not used: its place in the description, its kind, and why."""

    index: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both sides agreed on, seen from ours.

    ``format`` is the one to send with (its ``fmtp`` is the peer's wish), ``send_payload_type`` its
    number as the peer wants it; ``receive_payload_types`` all that may come, telephone-event among them.
    ``remote_host`` may be a name. ``remote_rtcp_port`` is None where there is none. ``direction`` is
    ours; ``ptime`` (ms) is what to send. ``disabled``: the stream was taken out with port 0. ``srtp``: the
    keys of both directions, None for plain RTP.
    ``remarks``: what the peer did against the rules.
    """

    format: AudioFormat
    send_payload_type: int
    receive_payload_types: dict[int, AudioFormat]
    remote_host: str
    remote_port: int
    remote_rtcp_host: str
    remote_rtcp_port: int | None
    direction: str
    ptime: int
    telephone_event_payload_type: int | None = None
    telephone_event: AudioFormat | None = None
    send_formats: tuple[AudioFormat, ...] = ()
    media_index: int = 0
    disabled: bool = False
    remote_held: bool = False
    rtcp_mux_offered: bool = False
    rejected: tuple[RejectedMedia, ...] = ()
    remarks: tuple[str, ...] = ()
    srtp: StreamKeys | None = None

    @property
    def sends(self) -> bool:
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        return self.direction in ("sendrecv", "recvonly")


def offer(local: LocalMedia, session_id: int, version: int = 0) -> SessionDescription:
    """The first offer: one audio m-line with all our formats in order (RFC 3264 section 5)."""
    protocol = SECURE_PROTOCOL if local.srtp == "required" else PROTOCOL
    audio = _audio(local, allocate(local.all_formats), local.direction, protocol, local.crypto)
    return _describe(local, session_id, version, (audio,))


def reoffer(previous: SessionDescription, local: LocalMedia) -> SessionDescription:
    """A new offer in a session that exists (RFC 3264 section 8): m-lines keep place, formats their numbers.

    ``previous`` is the last description we sent. The version rises by one if anything changed, else it stays.
    """
    index = _audio_index(previous)
    taken = formats_of(previous.media[index]) if index < len(previous.media) else ()
    protocol = SECURE_PROTOCOL if local.srtp == "required" else PROTOCOL
    if local.srtp == "optional" and index < len(previous.media):
        protocol = previous.media[index].protocol  # of a session whose profile the peer chose
    audio = _audio(local, allocate(local.all_formats, taken), local.direction, protocol, local.crypto)
    media = [_refused(m) for m in previous.media]
    media[index : index + 1] = [audio]
    return _next_version(previous, _describe(local, previous.origin.session_id, 0, tuple(media)))


def answer(
    theirs: SessionDescription, local: LocalMedia, session_id: int, version: int = 0
) -> tuple[SessionDescription, Negotiated]:
    """Answer an offer (RFC 3264 section 6): ours at the first audio we can do, all other m-lines port 0."""
    media, negotiated = _answer(theirs, local)
    if negotiated.disabled:
        raise NotAcceptable("The offer has its audio on port 0, which means no audio.", 304)
    return _describe(local, session_id, version, media), negotiated


def reanswer(
    theirs: SessionDescription, previous: SessionDescription, local: LocalMedia
) -> tuple[SessionDescription, Negotiated]:
    """Answer a new offer in a session that exists; ``previous`` is the last description we sent.

    An offer that takes the audio out (port 0) is accepted: ``Negotiated.disabled``.
    """
    media, negotiated = _answer(theirs, local)
    return _next_version(previous, _describe(local, previous.origin.session_id, 0, media)), negotiated


def conclude(ours: SessionDescription, theirs: SessionDescription) -> Negotiated:
    """What an answer to our offer means. A rule broken without harm is a remark, not a refusal."""
    index = _audio_index(ours)
    if index >= len(ours.media):
        raise NotAcceptable("Our offer had no audio.", 304)
    remarks: list[str] = []
    if len(theirs.media) != len(ours.media):
        remarks.append(f"The answer has {len(theirs.media)} m-lines, the offer had {len(ours.media)}.")
    mine = ours.media[index]
    place = index if index < len(theirs.media) and _in_use(theirs.media[index]) else _audio_index(theirs)
    if place != index and place < len(theirs.media) and mine.port and _in_use(theirs.media[place]):
        # Gateways that put what they refuse first: RFC 3264 section 6 asks for the offer's places.
        remarks.append(f"The answer has its audio in m-line {place + 1}, the offer had it in {index + 1}.")
        index = place
    audio = theirs.media[index] if index < len(theirs.media) else None
    if audio is None or audio.kind != "audio":
        raise NotAcceptable("The answer has no audio where the offer had it.", 304)
    if audio.fault is not None and audio.port:
        raise NotAcceptable(f"The answer cannot be used: {audio.fault}.", 304)
    remarks += _odd("answer", theirs)
    offered, accepted = formats_of(mine), formats_of(audio)
    if audio.port == 0:
        if mine.port != 0:
            raise NotAcceptable("The answer rejects our audio with port 0.", 304)
        return _disabled(index, offered or accepted)
    keys = _concluded_keys(mine, audio, remarks)
    problem = _problem(theirs, audio, ours.connection_of(mine), secure=keys is not None)
    if problem is not None:
        raise NotAcceptable(f"The answer cannot be used: {problem}.", 302)
    send = _named_too(accepted, offered)
    if not any(not f.is_telephone_event for f in send):
        raise NotAcceptable(_nothing_common("the answer", accepted, "the offer", offered), 305)
    if len(send) < len(accepted):
        extra = _names([a for a in accepted if a not in send])
        remarks.append(f"The answer names {extra}, which the offer did not.")
    receive = {f.payload_type: f for f in offered if f.payload_type is not None}
    for one in send:  # some answer with a number of their own and then send with it
        if one.payload_type is not None:
            receive.setdefault(one.payload_type, one)
    wanted, granted = ours.direction_of(mine), _REVERSED[_effective_direction(theirs, audio)]
    direction = _both(wanted, granted)
    if direction != granted:
        said = theirs.direction_of(audio)
        remarks.append(f"The answer says {said}, which the offer's {wanted} does not permit.")
    rejected = tuple(
        RejectedMedia(at, media.kind, "The answer rejects it with port 0.")
        for at, media in enumerate(theirs.media)
        if at != index and media.port == 0
    )
    return _negotiated(theirs, index, send, receive, direction, mine.ptime, rejected, tuple(remarks), keys)


def _concluded_keys(mine: Media, theirs: Media, remarks: list[str]) -> StreamKeys | None:
    """The keys that the answer settles; NotAcceptable where SRTP was the only offer and it has none."""
    if not mine.has("crypto"):
        remarks += _unasked(theirs)
        return None
    try:
        keys = keys_of(mine, theirs)
    except SdpError as error:
        raise NotAcceptable(f"The answer's key for SRTP cannot be used: {error.reason}.", 302) from None
    if keys is None and mine.protocol == SECURE_PROTOCOL:
        raise NotAcceptable("The answer has no key for SRTP (a=crypto), and our offer was RTP/SAVP.", 302)
    if keys is not None and theirs.protocol.upper() != mine.protocol:
        remarks.append(f"The answer is {theirs.protocol} with a key, the offer was {mine.protocol}.")
    return keys


@lru_cache(maxsize=64)
def _named_too(formats: tuple[AudioFormat, ...], others: tuple[AudioFormat, ...]) -> tuple[AudioFormat, ...]:
    """Those that are among the others, by whatever number."""
    return tuple(one for one in formats if any(one.matches(other) for other in others))


# -- making descriptions


def _describe(
    local: LocalMedia, session_id: int, version: int, media: tuple[Media, ...]
) -> SessionDescription:
    connection = Connection.to(local.host)
    origin = Origin(local.username, session_id, version, local.host, connection.address_type)
    return SessionDescription(origin, local.session_name, media, connection=connection)


def _audio(
    local: LocalMedia,
    formats: tuple[AudioFormat, ...],
    direction: str,
    protocol: str,
    crypto: tuple[Crypto, ...],
) -> Media:
    rtcp_port = local.rtcp_port if local.rtcp_port != local.port + 1 else None
    attributes = _attributes(formats, local.ptime, local.maxptime, rtcp_port, direction)
    numbers = tuple(str(one.payload_type) for one in formats)
    attributes += tuple(replace(one, tag=tag).attribute for tag, one in enumerate(crypto, 1))
    return Media("audio", local.port, protocol, numbers, attributes=attributes)


@lru_cache(maxsize=64)  # of all that is said only ports change from call to call
def _attributes(
    formats: tuple[AudioFormat, ...],
    ptime: int,
    maxptime: int | None,
    rtcp_port: int | None,
    direction: str,
) -> tuple[Attribute, ...]:
    attributes: list[Attribute] = []
    for one in formats:
        # Static types are mapped too: RFC 3264 section 5.1 recommends it, and it reads better in a trace.
        attributes.append(Attribute("rtpmap", f"{one.payload_type} {one.rtpmap}"))
        if one.fmtp:
            attributes.append(Attribute("fmtp", f"{one.payload_type} {one.fmtp}"))
    attributes.append(Attribute("ptime", str(ptime)))
    if maxptime is not None:
        attributes.append(Attribute("maxptime", str(maxptime)))
    if rtcp_port is not None:
        attributes.append(Attribute("rtcp", str(rtcp_port)))
    attributes.append(Attribute(direction))
    return tuple(attributes)


def _refused(media: Media) -> Media:
    """The m-line with port 0; a format has to be there and means nothing (RFC 3264 section 6)."""
    return Media(media.kind, 0, media.protocol, media.formats or ("0",))


def _next_version(previous: SessionDescription, new: SessionDescription) -> SessionDescription:
    """RFC 3264 section 8: the same content keeps its version, any other raises it by exactly one."""
    same = replace(new, origin=replace(new.origin, version=previous.origin.version))
    if same == previous:
        return same
    return replace(new, origin=replace(new.origin, version=previous.origin.version + 1))


def _audio_index(description: SessionDescription) -> int:
    """Where our audio is: the first that is in use, else the first at all, else a new line at the end."""
    audio = [at for at, media in enumerate(description.media) if media.kind == "audio"]
    in_use = [at for at in audio if _in_use(description.media[at])]
    return next(iter(in_use or audio), len(description.media))


def _in_use(media: Media) -> bool:
    return media.kind == "audio" and media.port != 0 and media.fault is None


def _odd(what: str, theirs: SessionDescription) -> list[str]:
    return [f"The {what} was read past an oddity: {remark}." for remark in theirs.remarks]


# -- answering


def _answer(theirs: SessionDescription, local: LocalMedia) -> tuple[tuple[Media, ...], Negotiated]:
    negotiated: Negotiated | None = None
    removed: int | None = None
    media: list[Media] = []
    rejected: list[RejectedMedia] = []
    refusal: NotAcceptable | None = None
    for index, offered in enumerate(theirs.media):
        media.append(_refused(offered))
        if offered.kind != "audio":
            reason = "This side does audio only."
        elif offered.port == 0:
            reason = "The offer has it on port 0."
            removed = index if removed is None else removed
        elif offered.fault is not None:
            reason = f"It cannot be used: {offered.fault}."
            refusal = refusal or NotAcceptable(f"The audio on offer cannot be used: {offered.fault}.", 304)
        elif negotiated is not None:
            reason = "This side does one audio stream."
        else:
            try:
                media[index], negotiated = _answer_audio(theirs, index, local)
                continue
            except NotAcceptable as error:
                refusal = refusal or error
                reason = error.reason
        rejected.append(RejectedMedia(index, offered.kind, reason))
    if negotiated is not None:
        remarks = (*negotiated.remarks, *_odd("offer", theirs))
        return tuple(media), replace(negotiated, rejected=tuple(rejected), remarks=remarks)
    if refusal is not None:
        raise refusal
    if removed is not None:
        return tuple(media), replace(_disabled(removed, local.formats), rejected=tuple(rejected))
    kinds = ", ".join(dict.fromkeys(m.kind for m in theirs.media)) or "nothing at all"
    raise NotAcceptable(f"The offer has no audio; it offers {kinds}.", 304)


def _answer_audio(theirs: SessionDescription, index: int, local: LocalMedia) -> tuple[Media, Negotiated]:
    audio = theirs.media[index]
    problem = _problem(theirs, audio, Connection.to(local.host), secure=local.srtp != "off")
    if problem is not None:
        raise NotAcceptable(f"The audio on offer cannot be used: {problem}.", 302)
    crypto, keys, remarks = _answered_keys(audio, local)
    offered, able = formats_of(audio), local.all_formats
    common = [f for f in offered if not f.is_telephone_event and any(f.matches(a) for a in able)]
    if not common:
        raise NotAcceptable(_nothing_common("the offer", offered, "this side", able), 305)
    if local.prefer_local:
        rank = {a.rtpmap.lower(): at for at, a in reversed(list(enumerate(able)))}
        common.sort(key=lambda f: rank[f.rtpmap.lower()])
    events = [f for f in offered if f.is_telephone_event and any(a.is_telephone_event for a in able)]
    rates = {f.clock_rate for f in common}
    events = [f for f in events if f.clock_rate in rates] or events[:1]
    send = (*common, *events)
    # In an answer the numbers stay the offer's, the parameters are ours: they say what we want to receive.
    ours = tuple(replace(f, fmtp=_own_fmtp(f, able)) for f in send)
    granted = _REVERSED[_effective_direction(theirs, audio)]
    direction = _both(local.direction, granted)
    receive = {f.payload_type: f for f in ours if f.payload_type is not None}
    negotiated = _negotiated(theirs, index, send, receive, direction, local.ptime, (), remarks, keys)
    media = _audio(local, ours, direction, audio.protocol.upper(), ())
    if crypto is not None:
        media = replace(media, attributes=(*media.attributes, crypto.attribute))
    return media, negotiated


def _unasked(audio: Media) -> tuple[str, ...]:
    """Of keys that this side did not ask for."""
    if not audio.has("crypto"):
        return ()
    return ("The peer names SRTP keys (a=crypto) for plain RTP/AVP; they are not used.",)


def _answered_keys(
    audio: Media, local: LocalMedia
) -> tuple[Crypto | None, StreamKeys | None, tuple[str, ...]]:
    """(our line for the answer, the keys of both sides, remarks); NotAcceptable where it cannot be plain."""
    if local.srtp == "off":
        return None, None, _unasked(audio)
    found = accepted(audio, local.crypto)
    if isinstance(found, tuple):
        return *found, ()
    secure = audio.protocol.upper() == SECURE_PROTOCOL
    if secure or local.srtp == "required":
        if found:
            raise NotAcceptable(f"No key for SRTP on offer can be used: {'; '.join(found)}.", 302)
        what = "is RTP/SAVP and" if secure else "is plain RTP/AVP, SRTP is required here, and it"
        raise NotAcceptable(f"The offer {what} has no key (a=crypto).", 302)
    return None, None, tuple(f"A key for SRTP on offer was not used: {fault}." for fault in found)


def _own_fmtp(theirs: AudioFormat, able: tuple[AudioFormat, ...]) -> str:
    if theirs.is_telephone_event:
        return next((a.fmtp for a in able if a.matches(theirs)), "0-16")
    return next(a.fmtp for a in able if a.matches(theirs))


# -- what both have in common


def _negotiated(
    theirs: SessionDescription,
    index: int,
    send: tuple[AudioFormat, ...],
    receive: dict[int, AudioFormat],
    direction: str,
    own_ptime: float | None,
    rejected: tuple[RejectedMedia, ...],
    remarks: tuple[str, ...],
    keys: StreamKeys | None,
) -> Negotiated:
    audio = theirs.media[index]
    connection = theirs.connection_of(audio)
    assert connection is not None  # _problem() refused it before
    chosen = next(f for f in send if not f.is_telephone_event)
    assert chosen.payload_type is not None
    event = _event_for(chosen, send)
    if event is not None and event.clock_rate != chosen.clock_rate:
        remarks += (
            f"Digits have a clock of {event.clock_rate} Hz, {chosen.name} one of {chosen.clock_rate} Hz.",
        )
    rtcp = audio.rtcp
    rtcp_port = rtcp.port if rtcp is not None else audio.port + 1
    return Negotiated(
        format=chosen,
        send_payload_type=chosen.payload_type,
        receive_payload_types=receive,
        remote_host=connection.address,
        remote_port=audio.port,
        remote_rtcp_host=rtcp.host if rtcp is not None and rtcp.host is not None else connection.address,
        remote_rtcp_port=rtcp_port if 1 <= rtcp_port <= 65535 else None,
        direction=direction,
        ptime=_ptime(audio, own_ptime, chosen),
        telephone_event_payload_type=None if event is None else event.payload_type,
        telephone_event=event,
        send_formats=send,
        media_index=index,
        remote_held=_effective_direction(theirs, audio) in ("sendonly", "inactive"),
        rtcp_mux_offered=audio.has("rtcp-mux"),
        rejected=rejected,
        remarks=remarks,
        srtp=keys,
    )


def _disabled(index: int, formats: tuple[AudioFormat, ...]) -> Negotiated:
    former = next((f for f in formats if not f.is_telephone_event), AudioFormat("PCMU", 8000, 1, 0))
    return Negotiated(
        format=former,
        send_payload_type=former.payload_type or 0,
        receive_payload_types={},
        remote_host="",
        remote_port=0,
        remote_rtcp_host="",
        remote_rtcp_port=None,
        direction="inactive",
        ptime=20,
        media_index=index,
        disabled=True,
    )


def _problem(theirs: SessionDescription, audio: Media, own: Connection | None, *, secure: bool) -> str | None:
    """Why this m-line can carry no audio between us whatever its codecs, or None. `secure`: we have keys."""
    if audio.protocol.upper() not in ((PROTOCOL, SECURE_PROTOCOL) if secure else (PROTOCOL,)):
        has = f"{PROTOCOL} and {SECURE_PROTOCOL}" if secure else PROTOCOL
        return f"it wants {audio.protocol}, this side has {has}"
    connection = theirs.connection_of(audio)
    if connection is None:
        return "it has no c= line, so nobody knows where to send"
    if connection.network_type.upper() != "IN":
        return f"its network is {connection.network_type}, this side is on the Internet (IN)"
    if connection.is_unspecified or own is None or own.is_unspecified:
        return None
    numeric = connection.is_numeric and own.is_numeric
    if numeric and connection.address_type.upper() != own.address_type.upper():
        return f"it is at {connection.address} and this side at {own.address}, addresses of two families"
    return None


def _effective_direction(theirs: SessionDescription, audio: Media) -> str:
    """What the peer does: 0.0.0.0 forbids to send it anything (RFC 3264, 8.4), whatever else it says."""
    direction = theirs.direction_of(audio)
    connection = theirs.connection_of(audio)
    if connection is not None and connection.is_unspecified:
        return "sendonly" if direction in ("sendrecv", "sendonly") else "inactive"
    return direction


def _both(one: str, other: str) -> str:
    """The direction that both permit."""
    sends = all(d in ("sendrecv", "sendonly") for d in (one, other))
    receives = all(d in ("sendrecv", "recvonly") for d in (one, other))
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _event_for(chosen: AudioFormat, send: tuple[AudioFormat, ...]) -> AudioFormat | None:
    events = [f for f in send if f.is_telephone_event]
    return next((e for e in events if e.clock_rate == chosen.clock_rate), next(iter(events), None))


def _ptime(audio: Media, own: float | None, chosen: AudioFormat) -> int:
    """What to send, in ms: the peer's wish, else ours, within its maxptime; tens (Opus knows 10 20 40 60)."""
    wish = audio.ptime or own or 20
    if audio.maxptime:
        wish = min(wish, audio.maxptime)
    steps = (10, 20, 40, 60) if chosen.name.lower() == "opus" else (10, 20, 30, 40, 50, 60)
    return max((step for step in steps if step <= wish), default=MIN_PTIME)


def _names(formats: list[AudioFormat] | tuple[AudioFormat, ...]) -> str:
    names = list(dict.fromkeys(f.rtpmap for f in formats if not f.is_telephone_event))
    if not names:
        return "no codec"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _nothing_common(
    one: str, formats: tuple[AudioFormat, ...], other: str, others: tuple[AudioFormat, ...]
) -> str:
    return f"No codec in common: {one} has {_names(formats)}, {other} has {_names(others)}."
