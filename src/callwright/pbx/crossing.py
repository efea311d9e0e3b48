"""One relayed stream, pure: what comes from one side is measured and goes to the other, if it comes from
who it should.

RTP of a side comes from where its description says, or from another port or host that has proved to be that
side's (`rtp.latch`: a NAT may have changed the address, before or in the middle of the call).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from callwright.net.forwarder import Passed, Passing
from callwright.pbx.measuring import RoundTrip, StreamMeasure
from callwright.pbx.tape import Tape
from callwright.policy.following import MEDIA_PORTS
from callwright.rtp.latch import Latch
from callwright.rtp.latching import rtcp_beside
from callwright.rtp.packet import RtpError, parse
from callwright.rtp.telephone_event import EventReceiver
from callwright.sdp.formats import AudioFormat

__all__ = ["Crossing", "CrossingEnd", "Tally"]

AddressTuple = tuple[str, int]
_RTP_VERSION = 2
_RTP_HEADER = 12
_RTCP_HEADER = 8
_REORDERED = 2  # packets of a batch in which the newest is looked for


@dataclass(frozen=True, slots=True)
class CrossingEnd:
    """Where a side receives by its description, None where it may not or cannot be sent to; and the hosts
    that its packets may come from. `held`: it wants nothing sent to it (RFC 3264 section 8.4). `keys`: the
    payload types by which it takes telephone-events; `secret`: it offers or takes SRTP."""

    rtp: AddressTuple | None
    rtcp: AddressTuple | None
    hosts: frozenset[str]
    held: bool = False
    keys: frozenset[int] = frozenset()
    secret: bool = False


@dataclass(slots=True)
class Tally:
    """Packets that went on, from one side."""

    rtp: int = 0
    rtcp: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Party:
    endpoint: CrossingEnd
    latch: Latch
    rtcp: AddressTuple | None = None  # latched
    # of the RTP stream that comes from it
    ssrc: int | None = None
    highest: int = 0
    heard: float | None = None

    @property
    def where(self) -> AddressTuple | None:
        """Where RTP for this side goes."""
        return None if self.endpoint.held else self.latch.source or self.endpoint.rtp


@dataclass(slots=True)
class Crossing:
    """Sides 0 and 1. `heard_at`: when the last packet of either came, monotonic seconds.
    `tape`: what passes is recorded there; `kinds`: payload types of each side. `revision`: see net.forwarder.
    `told(side, key, now)` of each key that a side pressed, by the thread that routes."""

    tallies: tuple[Tally, Tally] = field(default_factory=lambda: (Tally(), Tally()))
    measures: tuple[StreamMeasure, StreamMeasure] = field(
        default_factory=lambda: (StreamMeasure(), StreamMeasure())
    )
    round_trip: RoundTrip = field(default_factory=RoundTrip)
    tape: Tape | None = None
    kinds: list[dict[int, AudioFormat]] = field(default_factory=lambda: [{}, {}])
    heard_at: float | None = None
    revision: int = 0
    told: Callable[[int, str, float], None] | None = None
    _keys: tuple[EventReceiver, EventReceiver] = field(
        default_factory=lambda: (EventReceiver(8000), EventReceiver(8000))
    )
    _parties: list[_Party | None] = field(default_factory=lambda: [None, None])

    def describe(self, side: int, endpoint: CrossingEnd) -> None:
        """What offer and answer say of a side. The latch stays on hold, and where the address is the same."""
        party = self._parties[side]
        self.revision += 1
        if party is None:
            self._parties[side] = _Party(endpoint, Latch(endpoint.rtp))
        elif party.endpoint != endpoint:
            latch = party.latch
            if not endpoint.held and endpoint.rtp != latch.remote:
                latch = latch.moved(endpoint.rtp, self.heard_at)
            # Replaced whole: another thread may be routing.
            self._parties[side] = _Party(
                endpoint, latch, ssrc=party.ssrc, highest=party.highest, heard=party.heard
            )

    def record(self, tape: Tape | None) -> None:
        """What passes is recorded from now on, once it has been announced; None: no longer."""
        self.tape = tape
        self.revision += 1

    def passing(self, side: int, is_rtcp: bool) -> Passing:
        """See net.forwarder.Crossing: what comes from where a side has proved to speak from."""
        party, other = self._parties[side], self._parties[1 - side]
        if party is None or (not is_rtcp and self.tape is not None and self.tape.began is None):
            return Passing(None, None)
        if is_rtcp:
            return Passing(party.rtcp, _rtcp_of(other) if other is not None else None)
        watched = other.endpoint.keys if other is not None and self.told is not None else frozenset()
        return Passing(party.latch.source, other.where if other is not None else None, watched)

    def passed(self, side: int, is_rtcp: bool, batch: Sequence[Passed], watched: bool) -> None:
        """See net.forwarder.Crossing."""
        party, other = self._parties[side], self._parties[1 - side]
        if party is None or not batch:
            return
        self.heard_at = max(batch[-1][2], self.heard_at or 0.0)
        if is_rtcp:
            for data, _, now in batch:
                self._control(side, data, now)
            return
        self.tallies[side].rtp += len(batch)
        self.measures[side].receive_batch(batch)
        for data, _, now in batch[-_REORDERED:]:
            _follow(party, data, now)
        if watched and other is not None:
            for data, _, now in batch:
                if len(data) > 1 and data[1] & 0x7F in other.endpoint.keys:
                    self._key(side, party, other, data, now)
        if self.tape is not None:
            for data, _, now in batch:
                self.rewrite(side, data, now)

    def route(
        self, side: int, is_rtcp: bool, data: bytes, source: AddressTuple, now: float
    ) -> AddressTuple | None:
        """Where a packet that came from `side` goes; None: nowhere."""
        party, other = self._parties[side], self._parties[1 - side]
        tally = self.tallies[side]
        admit = _admit_rtcp if is_rtcp else _admit_rtp
        before = None if party is None else (party.latch.source, party.rtcp)
        if party is None or not admit(party, data, source, now):
            tally.refused += 1
            return None
        if before != (party.latch.source, party.rtcp):
            self.revision += 1
        self.heard_at = now
        if is_rtcp:
            self._control(side, data, now)
            return None if other is None else _rtcp_of(other)
        tally.rtp += 1
        self.measures[side].receive(data, now)
        if other is None:
            return None
        if self.told is not None and len(data) > 1 and data[1] & 0x7F in other.endpoint.keys:
            self._key(side, party, other, data, now)
        return other.where

    def rewrite(self, side: int, data: bytes, now: float) -> bytes:
        """What leaves in place of RTP that went this way: an announcement, where the call is recorded."""
        tape, party, other = self.tape, self._parties[side], self._parties[1 - side]
        if tape is None or party is None or other is None or len(data) < 2:
            return data
        if party.endpoint.secret and other.endpoint.secret:
            return data  # nobody here can read it
        leaving = tape.pass_on(side, self.kinds[side].get(data[1] & 0x7F), data, now)
        if tape.began == now:
            self.revision += 1  # all was announced: from here on packets go on as they are
        return leaving

    def _control(self, side: int, data: bytes, now: float) -> None:
        self.tallies[side].rtcp += 1
        if self.round_trip.receive(side, data, now):
            self.measures[side].goodbye(now)

    def _key(self, side: int, party: _Party, other: _Party, data: bytes, now: float) -> None:
        if party.endpoint.secret and other.endpoint.secret:
            return  # nobody here can read it
        try:
            packet = parse(data)
        except RtpError:
            return
        key = self._keys[side].receive(packet.timestamp, packet.payload, now)
        if key is not None and self.told is not None:
            self.told(side, key, now)


def _rtcp_of(party: _Party) -> AddressTuple | None:
    said, source = party.endpoint, party.latch.source
    if party.rtcp is not None or source is None or said.rtp is None or said.rtcp is None:
        return party.rtcp or said.rtcp
    return rtcp_beside(source, said.rtp, said.rtcp)


def _may_come(party: _Party, source: AddressTuple) -> bool:
    """From a host of this side, and not from the port of a service, to which what is answered would go."""
    return source[0] in party.endpoint.hosts and source[1] in MEDIA_PORTS


def _admit_rtcp(party: _Party, data: bytes, source: AddressTuple, now: float) -> bool:
    if party.rtcp is not None:
        return source == party.rtcp
    if not _may_come(party, source) or len(data) < _RTCP_HEADER or data[0] >> 6 != _RTP_VERSION:
        return False
    party.rtcp = source
    return True


def _admit_rtp(party: _Party, data: bytes, source: AddressTuple, now: float) -> bool:
    """Whether it is of this side. Packets that were the proof are not sent after: they are late by then."""
    whole = len(data) >= _RTP_HEADER and data[0] >> 6 == _RTP_VERSION
    if source != party.latch.source:
        if not whole or not _may_come(party, source):
            return False
        before = party.latch.source
        proof = party.latch.consider(
            data, source, now, ssrc=party.ssrc, highest=party.highest, heard=party.heard
        )
        if proof is None:
            return False
        if before is not None and party.rtcp is not None and party.rtcp[0] == before[0] != source[0]:
            party.rtcp = None  # it moves with RTP
    _follow(party, data, now)
    return True


def _follow(party: _Party, data: bytes, now: float) -> None:
    """A packet of this side: how far its stream is."""
    if len(data) < _RTP_HEADER or data[0] >> 6 != _RTP_VERSION:
        return
    number, ssrc = int.from_bytes(data[2:4], "big"), int.from_bytes(data[8:12], "big")
    if ssrc != party.ssrc or (number - party.highest) & 0xFFFF < 0x8000:
        party.ssrc, party.highest = ssrc, number
    party.heard = now
