"""Media by way of the PBX: each description is told anew with ports of ours, and what arrives goes across.

Only RTP is relayed; any other m-line (a fax by UDPTL, a channel to a recogniser) is passed on as it is.

RTP goes only where the policy lets a peer lead us (`policy.following`), and to nobody else whatever the
description says; a side that may not be sent to is still heard, and answered where it speaks from when that
is the host that it signals from.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from callwright.net.address import WILDCARDS, is_local
from callwright.net.forwarder import Forwarder
from callwright.net.ports import PortPair, PortsExhausted
from callwright.pbx.crossing import Crossing, CrossingEnd
from callwright.pbx.path import DirectPath, LegSide, MediaPath, NoMediaPath
from callwright.pbx.record import Relayed
from callwright.pbx.tape import Tape
from callwright.policy.destination import Purpose, Rules
from callwright.policy.following import media_allowed
from callwright.sdp.description import SessionDescription
from callwright.sdp.formats import AudioFormat, formats_of
from callwright.sdp.lines import SdpError
from callwright.sdp.media import Media
from callwright.sdp.relocation import UNTOUCHED, relocate
from callwright.sip.transport import Hop

__all__ = ["RelayPath", "RelayPaths"]

OnLoop = Callable[[Callable[[float], None]], None]
_MAX_STREAMS = 4  # m-lines of one call that are relayed; further ones are taken out


class RelayPaths:
    """Makes a RelayPath for each call, on one forwarder. `on_loop(act)` has `act(now)` run by the machine's
    own thread; without it no key is told."""

    def __init__(self, forwarder: Forwarder, rules: Rules, on_loop: OnLoop | None = None) -> None:
        self._forwarder = forwarder
        self._rules = rules
        self._on_loop = on_loop

    def open(self, caller: Hop, callees: Sequence[Hop], now: float, *, direct: bool = False) -> MediaPath:
        """Ports are opened when the first description needs them."""
        if direct:
            return DirectPath()
        return RelayPath(self._forwarder, self._rules, ([caller], callees), now, self._on_loop)


@dataclass(slots=True)
class _Stream:
    """An m-line: its ports on both sides and what crosses between them."""

    pairs: tuple[PortPair, PortPair]
    crossing: Crossing
    audio: bool


@dataclass(frozen=True, slots=True)
class _Line:
    """What an m-line says of its audio."""

    formats: dict[int, AudioFormat]
    ptime: float
    sends: bool
    receives: bool


@dataclass(slots=True)
class _Description:
    """What a side said: an endpoint and a line for each m-line, and whether it wants any media."""

    endpoints: list[CrossingEnd | None] = field(default_factory=list)
    active: bool = False
    media: list[_Line] = field(default_factory=list)


class RelayPath:
    """The relayed media of one call; see MediaPath. `hops`: those of the caller, those of the callee."""

    def __init__(
        self,
        forwarder: Forwarder,
        rules: Rules,
        hops: tuple[Sequence[Hop], Sequence[Hop]],
        now: float,
        on_loop: OnLoop | None = None,
    ) -> None:
        self._forwarder = forwarder
        self._rules = rules
        self._hosts = [_bindable([hop.local.host for hop in side]) for side in hops]
        self._peers = [frozenset(_plain(hop.remote.host) for hop in side) for side in hops]
        self._opened_at = now
        self._streams: list[_Stream | None] = []
        self._settled: dict[LegSide, _Description] = {}
        self._proposed: dict[LegSide, _Description] = {}
        self._closed = self._answered = self._paused = False
        self._on_loop = on_loop
        self._told: Callable[[LegSide, str, float], None] | None = None

    def carry(self, body: bytes, speaker: LegSide, *, speaker_host: str, listener_local: str) -> bytes:
        """See MediaPath."""
        if self._closed:
            raise NoMediaPath("the call is over")
        description = SessionDescription.parse(body)
        said = _Description()
        ports: list[int | None] = []
        for index, media in enumerate(description.media):
            placed = media.kind == "audio" or description.connection_of(media) is not None
            stream = self._stream(index, media, media.is_rtp and placed) if placed else None
            said.endpoints.append(self._endpoint(description, media, speaker_host) if stream else None)
            if stream is not None:
                ports.append(stream.pairs[speaker.other].local.port)
            else:
                ports.append(None if media.is_rtp else UNTOUCHED)
            held = (connection := description.connection_of(media)) is not None and connection.is_unspecified
            direction = description.direction_of(media) if media.port and not held else "inactive"
            said.active |= direction != "inactive"
            said.media.append(_line(media, direction))
        relocated = relocate(description, listener_local, ports).serialize()
        self._proposed[speaker] = said
        if speaker not in self._settled:
            self._settle(speaker)
            self._describe_audio()
        return relocated

    def listen(self, told: Callable[[LegSide, str, float], None]) -> None:
        """See MediaPath."""
        self._told = told

    def record(self, tape: Tape | None) -> bool:
        """See MediaPath."""
        for stream in self._streams:
            if stream is not None and stream.audio and not self._closed:
                stream.crossing.record(tape)
                self._forwarder.changed(stream.pairs)
                return True
        return False

    def admit(self, callees: Sequence[Hop]) -> None:
        """See MediaPath."""
        side = LegSide.CALLEE
        self._peers[side] |= {_plain(hop.remote.host) for hop in callees}
        if side in self._settled:
            return
        for stream in self._streams:
            if stream is not None:
                self._describe(stream, side, CrossingEnd(None, None, self._peers[side]))

    def settle(self, now: float) -> None:
        """See MediaPath."""
        self._forwarder.catch_up()
        for side in list(self._proposed):
            self._settle(side)
        self._describe_audio()
        self._paused = False
        if self._answered:
            self._expect(now)

    def answered(self, now: float) -> None:
        """See MediaPath."""
        self._forwarder.catch_up()
        self._answered = True
        self._expect(now)

    def pause(self, now: float) -> None:
        """See MediaPath."""
        self._forwarder.catch_up()
        self._paused = True
        self._expect(now)

    def revert(self) -> None:
        """See MediaPath."""
        self._proposed.clear()

    def silent_since(self) -> float | None:
        """See MediaPath."""
        if self._paused or len(self._settled) < 2 or not all(said.active for said in self._settled.values()):
            return None
        heard = [stream.crossing.heard_at for stream in self._streams if stream is not None]
        return max([moment for moment in heard if moment is not None], default=self._opened_at)

    def close(self, now: float, ended_by: LegSide | None = None) -> Relayed | None:
        """See MediaPath."""
        if not self._closed:
            for stream in self._streams:
                if stream is not None:
                    self._forwarder.stop(stream.pairs)
        self._closed = True
        total = Relayed()
        audio = next((one for one in self._streams if one is not None and one.audio), None)
        if audio is not None:
            total.caller, total.callee = (
                audio.crossing.measures[side].quality(
                    now, hung_up=ended_by is side, rtt_ms=audio.crossing.round_trip.ms
                )
                for side in LegSide
            )
        for stream in self._streams:
            if stream is None:
                continue
            caller, callee = stream.crossing.tallies
            total.from_caller += caller.rtp
            total.from_callee += callee.rtp
            total.rtcp_from_caller += caller.rtcp
            total.rtcp_from_callee += callee.rtcp
            total.refused += caller.refused + callee.refused
        return total

    # -- inside

    def _stream(self, index: int, media: Media, wanted: bool) -> _Stream | None:
        """The stream of an m-line, opened when it is the first to be wanted; None: it is not relayed."""
        while len(self._streams) <= index:
            self._streams.append(None)
        if self._streams[index] is None and media.port and wanted and index < _MAX_STREAMS:
            self._streams[index] = self._open(media.kind == "audio")
        return self._streams[index]

    def _open(self, audio: bool) -> _Stream:
        caller = self._ports(LegSide.CALLER)
        try:
            pairs = (caller, self._ports(LegSide.CALLEE))
        except NoMediaPath:
            caller.close()
            raise
        stream = _Stream(pairs, Crossing(told=self._pressed), audio)
        for side in LegSide:
            # Who answers may send before his answer is here (RFC 3264 section 5.1).
            stream.crossing.describe(side, CrossingEnd(None, None, self._peers[side]))
        self._forwarder.start(stream.crossing, pairs)
        return stream

    def _pressed(self, side: int, key: str, now: float) -> None:
        """On the forwarder's thread."""
        if self._on_loop is not None and self._told is not None:
            told = self._told
            self._on_loop(lambda at: told(LegSide(side), key, at))

    def _ports(self, side: LegSide) -> PortPair:
        try:
            return self._forwarder.open_ports(self._hosts[side])
        except PortsExhausted as error:
            raise NoMediaPath(error.reason) from error
        except OSError as error:
            raise NoMediaPath(str(error)) from error

    def _endpoint(self, description: SessionDescription, media: Media, peer: str) -> CrossingEnd:
        connection = description.connection_of(media)
        if connection is None:
            raise SdpError("no c= line says where media goes")
        host = _plain(connection.address)
        hosts = {_plain(peer)}
        rtp = rtcp = None
        if media.port and not connection.is_unspecified and self._allowed(host, media.port, peer):
            rtp = (host, media.port)
            hosts.add(host)
            said = media.rtcp
            rtcp_host = _plain(said.host) if said is not None and said.host else host
            rtcp_port = said.port if said is not None else media.port + 1
            if self._allowed(rtcp_host, rtcp_port, peer):
                rtcp = (rtcp_host, rtcp_port)
        return CrossingEnd(
            rtp,
            rtcp,
            frozenset(hosts),
            held=not media.port or connection.is_unspecified,
            keys=frozenset(
                one.payload_type
                for one in formats_of(media)
                if one.is_telephone_event and one.payload_type is not None
            ),
            secret="SAVP" in media.protocol.upper() or media.has("crypto"),
        )

    def _allowed(self, host: str, port: int, peer: str) -> bool:
        return media_allowed(host, port, peer=peer, purpose=Purpose.MEDIA, rules=self._rules).allowed

    def _describe_audio(self) -> None:
        """Tell each measure which payload types may come: a side sends in those of its peer's description
        (RFC 3264 section 5.1), and before there is one, in its own."""
        for side in LegSide:
            own, peer = self._settled.get(side), self._settled.get(side.other)
            for index, stream in enumerate(self._streams):
                if stream is None or not stream.audio:
                    continue
                lines = [said.media[index] for said in (own, peer) if said and index < len(said.media)]
                measure = stream.crossing.measures[side]
                kinds = {number: kind for line in lines for number, kind in line.formats.items()}
                measure.may_come(kinds)
                stream.crossing.kinds[side] = kinds
                if own is not None and index < len(own.media):
                    measure.ptime = own.media[index].ptime

    def _expect(self, now: float) -> None:
        """Audio is due from a side that sends, where the other receives."""
        for side in LegSide:
            own, peer = self._settled.get(side), self._settled.get(side.other)
            for index, stream in enumerate(self._streams):
                if stream is None or not stream.audio:
                    continue
                due = (
                    own is not None
                    and peer is not None
                    and index < min(len(own.media), len(peer.media))
                    and own.media[index].sends
                    and peer.media[index].receives
                )
                measure = stream.crossing.measures[side]
                if due and self._answered and not self._paused:
                    measure.expect(now)
                else:
                    measure.excuse(now)

    def _settle(self, side: LegSide) -> None:
        said = self._proposed.pop(side)
        self._settled[side] = said
        for stream, endpoint in zip(self._streams, said.endpoints, strict=False):
            if stream is not None and endpoint is not None:
                self._describe(stream, side, endpoint)

    def _describe(self, stream: _Stream, side: LegSide, endpoint: CrossingEnd) -> None:
        stream.crossing.describe(side, endpoint)
        self._forwarder.changed(stream.pairs)


def _line(media: Media, direction: str) -> _Line:
    formats: dict[int, AudioFormat] = {}
    if media.kind == "audio":
        for one in formats_of(media):
            if one.payload_type is not None and one.clock_rate > 0:
                formats[one.payload_type] = one
    return _Line(
        formats,
        media.ptime or 20.0,
        direction in ("sendrecv", "sendonly"),
        direction in ("sendrecv", "recvonly"),
    )


def _bindable(hosts: Sequence[str]) -> str:
    """One address of ours to bind to: the one that serves all, else every one of that family."""
    distinct = list(dict.fromkeys(hosts))
    if len(distinct) == 1 and distinct[0] not in WILDCARDS and is_local(distinct[0]):
        return distinct[0]
    return "::" if distinct and ":" in distinct[0] else "0.0.0.0"


def _plain(host: str) -> str:
    """The canonical text of a numeric host, as a socket gives it; a name stays one and is allowed nowhere."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host
