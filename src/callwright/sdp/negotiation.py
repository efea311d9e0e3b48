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

from dataclasses import replace
from functools import lru_cache

from callwright.sdp.agreement import (
    MIN_PTIME,
    PROTOCOL,
    SECURE_PROTOCOL,
    SRTP,
    LocalMedia,
    Negotiated,
    NotAcceptable,
    RejectedMedia,
)
from callwright.sdp.bundle import bundled, grouped, mid_of
from callwright.sdp.crypto import Crypto, accepted, keys_of
from callwright.sdp.description import SessionDescription
from callwright.sdp.dtls import (
    DtlsPeer,
    answered_dtls,
    concluded_dtls,
    dtls_attributes,
    is_dtls,
)
from callwright.sdp.formats import AudioFormat, allocate, formats_of
from callwright.sdp.ice import IceDescription, ice_of
from callwright.sdp.lines import Attribute, Connection, Origin, SdpError
from callwright.sdp.media import Media
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

_REVERSED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


def offer(local: LocalMedia, session_id: int, version: int = 0) -> SessionDescription:
    """The first offer: one audio m-line with all our formats in order (RFC 3264 section 5)."""
    audio = _audio(local, allocate(local.all_formats), local.direction, local.protocol, local.crypto)
    return _describe(local, session_id, version, (_offered(local, audio, "0"),))


def reoffer(previous: SessionDescription, local: LocalMedia) -> SessionDescription:
    """A new offer in a session that exists (RFC 3264 section 8): m-lines keep place, formats their numbers.

    ``previous`` is the last description we sent. The version rises by one if anything changed, else it stays.
    """
    index = _audio_index(previous)
    taken = formats_of(previous.media[index]) if index < len(previous.media) else ()
    protocol, mid = local.protocol, "0"
    if index < len(previous.media):
        mid = mid_of(previous.media[index]) or mid
        if local.srtp == "optional" or local.dtls is not None:
            protocol = previous.media[index].protocol  # of a session whose profile the peer chose
    audio = _audio(local, allocate(local.all_formats, taken), local.direction, protocol, local.crypto)
    audio = _offered(local, audio, mid)
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
    return _describe(local, session_id, version, media, theirs), negotiated


def reanswer(
    theirs: SessionDescription, previous: SessionDescription, local: LocalMedia
) -> tuple[SessionDescription, Negotiated]:
    """Answer a new offer in a session that exists; ``previous`` is the last description we sent.

    An offer that takes the audio out (port 0) is accepted: ``Negotiated.disabled``.
    """
    media, negotiated = _answer(theirs, local)
    described = _describe(local, previous.origin.session_id, 0, media, theirs)
    return _next_version(previous, described), negotiated


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
    dtls = _concluded_dtls(mine, theirs, audio)
    keys = _concluded_keys(mine, audio, remarks) if dtls is None else None
    ice = _peers_ice(theirs, audio, "answer") if mine.has("ice-ufrag") else None
    problem = _problem(
        theirs, audio, ours.connection_of(mine), secure=keys is not None, dtls=dtls is not None, ice=ice
    )
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
    wanted, granted = ours.direction_of(mine), _REVERSED[_effective_direction(theirs, audio, ice)]
    direction = _both(wanted, granted)
    if direction != granted:
        said = theirs.direction_of(audio)
        remarks.append(f"The answer says {said}, which the offer's {wanted} does not permit.")
    rejected = tuple(
        RejectedMedia(at, media.kind, "The answer rejects it with port 0.")
        for at, media in enumerate(theirs.media)
        if at != index and media.port == 0
    )
    agreed = _negotiated(
        theirs, index, send, receive, direction, mine.ptime, rejected, tuple(remarks), keys, ice
    )
    return _muxed(
        agreed, dtls, mux=mine.has("rtcp-mux") and audio.has("rtcp-mux"), asked=mine.has("ice-ufrag")
    )


def _concluded_dtls(mine: Media, theirs: SessionDescription, audio: Media) -> DtlsPeer | None:
    if not mine.has("fingerprint"):
        return None
    if not is_dtls(theirs, audio):
        reason = f"The answer is {audio.protocol}, our offer was {mine.protocol}."
        raise NotAcceptable(reason, 302)
    try:
        return concluded_dtls(theirs, audio)
    except SdpError as error:
        raise NotAcceptable(f"The answer cannot be used for DTLS-SRTP: {error.reason}.", 302) from None


def _peers_ice(theirs: SessionDescription, audio: Media, what: str) -> IceDescription | None:
    try:
        return ice_of(theirs, audio)
    except SdpError as error:
        raise NotAcceptable(f"The {what} cannot be used: {error.reason}.", 302) from None


def _muxed(agreed: Negotiated, dtls: DtlsPeer | None, *, mux: bool, asked: bool) -> Negotiated:
    """With what DTLS, ICE and one port for all come to. `asked`: for ICE."""
    remarks = (*agreed.remarks, *(dtls.remarks if dtls is not None else ()))
    if agreed.ice is not None:
        remarks += tuple(f"A candidate was passed over: {why}." for why in agreed.ice.remarks)
    elif asked:
        remarks += ("The peer does no ICE: media goes where its SDP says.",)
    if dtls is not None and not mux:
        remarks += ("The peer does no rtcp-mux: RTCP would need a handshake of its own, and is left out.",)
    return replace(agreed, dtls=dtls, rtcp_mux=mux, remarks=remarks)


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
    local: LocalMedia,
    session_id: int,
    version: int,
    media: tuple[Media, ...],
    theirs: SessionDescription | None = None,
) -> SessionDescription:
    """`theirs`: the offer that it answers."""
    connection = Connection.to(local.host)
    origin = Origin(local.username, session_id, version, local.host, connection.address_type)
    attributes = grouped(media, theirs)
    if local.ice is not None and any(one.has("ice-ufrag") for one in media):
        attributes += local.ice.session_attributes
    return SessionDescription(origin, local.session_name, media, connection=connection, attributes=attributes)


def _offered(local: LocalMedia, audio: Media, mid: str) -> Media:
    """What an offer says beside of ICE, DTLS and the one port."""
    if not local.muxed:
        return audio
    added = [Attribute("mid", mid), Attribute("rtcp-mux")]
    if local.dtls is not None:
        added += dtls_attributes(local.dtls, "actpass")
    if local.ice is not None:
        added += [*local.ice.attributes, Attribute("msid", "callwright audio")]
    return replace(audio, attributes=(*audio.attributes, *added))


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
    """The m-line with port 0; a format has to be there and means nothing (RFC 3264 section 6). It keeps its
    name, and leaves its bundle (RFC 9143 section 7.3.3)."""
    return Media(media.kind, 0, media.protocol, media.formats or ("0",), attributes=bundled(media))


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
    ice = _peers_ice(theirs, audio, "offer") if local.ice is not None else None
    secure, own = local.srtp != "off", Connection.to(local.host)
    problem = _problem(theirs, audio, own, secure=secure, dtls=local.dtls is not None, ice=ice)
    if problem is not None:
        raise NotAcceptable(f"The audio on offer cannot be used: {problem}.", 302)
    dtls = _answered_dtls(theirs, audio, local)
    crypto, keys, remarks = _answered_keys(audio, local) if dtls is None else (None, None, ())
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
    granted = _REVERSED[_effective_direction(theirs, audio, ice)]
    direction = _both(local.direction, granted)
    receive = {f.payload_type: f for f in ours if f.payload_type is not None}
    negotiated = _negotiated(theirs, index, send, receive, direction, local.ptime, (), remarks, keys, ice)
    mux = local.muxed and audio.has("rtcp-mux")
    negotiated = _muxed(negotiated, dtls, mux=mux, asked=local.ice is not None)
    media = _audio(local, ours, direction, audio.protocol.upper(), ())
    added = [crypto.attribute] if crypto is not None else []
    if local.muxed:
        added += [*bundled(audio), *([Attribute("rtcp-mux")] if mux else [])]
    if dtls is not None and local.dtls is not None:
        added += dtls_attributes(local.dtls, "active" if dtls.client else "passive")
    if ice is not None and local.ice is not None:
        added += [*local.ice.attributes, Attribute("msid", "callwright audio")]
    return replace(media, attributes=(*media.attributes, *added)), negotiated


def _answered_dtls(theirs: SessionDescription, audio: Media, local: LocalMedia) -> DtlsPeer | None:
    if local.dtls is None:
        return None
    if not is_dtls(theirs, audio):
        raise NotAcceptable(f"The offer is {audio.protocol}, and keys by DTLS are required here.", 302)
    try:
        return answered_dtls(theirs, audio, local.dtls_role)
    except SdpError as error:
        raise NotAcceptable(f"The offer cannot be used for DTLS-SRTP: {error.reason}.", 302) from None


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
    ice: IceDescription | None,
) -> Negotiated:
    audio = theirs.media[index]
    connection = theirs.connection_of(audio)
    assert connection is not None  # _problem() refused it before
    host, port = connection.address, audio.port
    if ice is not None and ice.candidates and (connection.is_unspecified or not connection.is_numeric):
        host, port = ice.candidates[0].address  # one that trickles has no default yet (RFC 8840)
    chosen = next(f for f in send if not f.is_telephone_event)
    assert chosen.payload_type is not None
    event = _event_for(chosen, send)
    if event is not None and event.clock_rate != chosen.clock_rate:
        remarks += (
            f"Digits have a clock of {event.clock_rate} Hz, {chosen.name} one of {chosen.clock_rate} Hz.",
        )
    rtcp = audio.rtcp
    rtcp_port = rtcp.port if rtcp is not None else port + 1
    rtcp_host = rtcp.host if rtcp is not None and rtcp.host is not None and ice is None else host
    return Negotiated(
        format=chosen,
        send_payload_type=chosen.payload_type,
        receive_payload_types=receive,
        remote_host=host,
        remote_port=port,
        remote_rtcp_host=rtcp_host,
        remote_rtcp_port=rtcp_port if 1 <= rtcp_port <= 65535 else None,
        direction=direction,
        ptime=_ptime(audio, own_ptime, chosen),
        telephone_event_payload_type=None if event is None else event.payload_type,
        telephone_event=event,
        send_formats=send,
        media_index=index,
        remote_held=_effective_direction(theirs, audio, ice) in ("sendonly", "inactive"),
        rtcp_mux_offered=audio.has("rtcp-mux"),
        rejected=rejected,
        remarks=remarks,
        srtp=keys,
        ice=ice,
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


def _problem(
    theirs: SessionDescription,
    audio: Media,
    own: Connection | None,
    *,
    secure: bool,
    dtls: bool,
    ice: IceDescription | None,
) -> str | None:
    """Why this m-line can carry no audio between us whatever its codecs, or None. `secure`: we have keys."""
    if not dtls and audio.protocol.upper() not in ((PROTOCOL, SECURE_PROTOCOL) if secure else (PROTOCOL,)):
        has = f"{PROTOCOL} and {SECURE_PROTOCOL}" if secure else PROTOCOL
        return f"it wants {audio.protocol}, this side has {has}"
    connection = theirs.connection_of(audio)
    if connection is None:
        return "it has no c= line, so nobody knows where to send"
    if connection.network_type.upper() != "IN":
        return f"its network is {connection.network_type}, this side is on the Internet (IN)"
    if connection.is_unspecified or own is None or own.is_unspecified or ice is not None:
        return None
    numeric = connection.is_numeric and own.is_numeric
    if numeric and connection.address_type.upper() != own.address_type.upper():
        return f"it is at {connection.address} and this side at {own.address}, addresses of two families"
    return None


def _effective_direction(theirs: SessionDescription, audio: Media, ice: IceDescription | None = None) -> str:
    """What the peer does: 0.0.0.0 forbids to send it anything (RFC 3264, 8.4), whatever else it says. With
    ICE it is the default address of who has none yet."""
    direction = theirs.direction_of(audio)
    connection = theirs.connection_of(audio)
    if connection is not None and connection.is_unspecified and ice is None:
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
