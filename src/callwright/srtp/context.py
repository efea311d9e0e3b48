"""Both directions of a stream under SRTP: indices, replay, changes of keys, and what was wrong.

    context = SrtpContext(keys)
    context.protect(packet)          what goes out
    context.unprotect(packet)        what came, or None: then a counter tells why
    context.rekey(keys)              a new offer and answer

A packet that cannot be opened is counted and dropped; nothing here ends a stream.
"""

from __future__ import annotations

from collections.abc import Iterable

from callwright.srtp.report import SrtpReport
from callwright.srtp.suite import SUITES, StreamKeys
from callwright.srtp.transform import RTCP_HEADER, RTP_HEADER, transform

__all__ = ["SrtpContext"]

WINDOW = 128
"""Packets behind the newest that are told from replays (RFC 3711 section 3.3.2 asks for 64)."""
_SEEN = (1 << WINDOW) - 1
_SOURCES = 16
"""SSRCs with a state; only packets with a right tag make one."""
_OLD_KEY_FOR = 64
"""Packets under a new key after which the old one is forgotten; until then the peer may not have changed."""
_RTCP_INDEX = 0x7FFFFFFF


class _Source:
    """An SSRC's newest index, and which of those before it have come."""

    __slots__ = ("highest", "seen")

    def __init__(self, index: int) -> None:
        self.highest = index
        self.seen = 1

    def has(self, index: int) -> bool:
        """Whether it has come, or is too old to know."""
        behind = self.highest - index
        return behind >= 0 and (behind >= WINDOW or bool(self.seen >> behind & 1))

    def add(self, index: int) -> None:
        ahead = index - self.highest
        if ahead > 0:
            self.seen = (self.seen << ahead | 1) & _SEEN if ahead < WINDOW else 1
            self.highest = index
        else:
            self.seen |= 1 << -ahead


class _Opener:
    """What comes under one master key."""

    def __init__(self, keys: StreamKeys) -> None:
        self.transform = transform(SUITES[keys.suite], keys.receive)
        self.rtp: dict[bytes, _Source] = {}
        self.rtcp: dict[bytes, _Source] = {}
        self.opened = 0

    def inherit(self, former: _Opener) -> None:
        """The rollover counter goes on under a new key (RFC 3711 section 3.3.1); what has come does not."""
        for ssrc, source in former.rtp.items():
            kept = self.rtp[ssrc] = _Source(source.highest)
            kept.seen = 0


class SrtpContext:
    """One stream's two directions. ValueError, or KeyError, for keys that fit no suite."""

    def __init__(self, keys: StreamKeys) -> None:
        self._keys = keys
        self._sealer = transform(SUITES[keys.suite], keys.send)
        self._opener = _Opener(keys)
        self._former: _Opener | None = None
        self._sent: dict[bytes, int] = {}
        self._tag = self._opener.transform.suite.tag
        self._last: tuple[bytes, _Source] | None = None  # whose packet came last, once no key is in doubt
        self._rtcp_index = 0
        self._in = 0
        self._auth_failures = self._replayed = self._malformed = self._rekeyed = 0

    @property
    def keys(self) -> StreamKeys:
        return self._keys

    def rekey(self, keys: StreamKeys) -> None:
        """What is sent from now on goes under the new key; what comes may be under the old one for a while.

        A side whose key stays goes on as it was: its indices must not begin anew.
        """
        old, self._keys = self._keys, keys
        if keys == old:
            return
        self._rekeyed += 1
        if (keys.suite, keys.send) != (old.suite, old.send):
            self._sealer = transform(SUITES[keys.suite], keys.send)
            self._rtcp_index = 0
        if (keys.suite, keys.receive) != (old.suite, old.receive):
            self._former, self._opener = self._opener, _Opener(keys)
            self._opener.inherit(self._former)
            self._tag, self._last = self._opener.transform.suite.tag, None

    # -- what goes out

    def protect(self, packet: bytes) -> bytes:
        """An RTP packet of ours. One that was taken back may be protected anew, as it was never sent."""
        ssrc = packet[8:12]
        sequence = packet[2] << 8 | packet[3]
        highest = self._sent.get(ssrc, -1)
        index = sequence if highest < 0 else _near(highest, sequence)
        if index > highest:
            self._sent[ssrc] = index
        return self._sealer.seal(packet, RTP_HEADER if packet[0] == 0x80 else _header(packet), index)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """A compound RTCP packet of ours."""
        self._rtcp_index = (self._rtcp_index + 1) & _RTCP_INDEX
        return self._sealer.seal_rtcp(packet, self._rtcp_index)

    # -- what comes

    def unprotect(self, packet: bytes) -> bytes | None:
        """The RTP packet in an SRTP packet; None for what cannot be opened."""
        last = self._last
        if last is not None and packet[8:12] == last[0] and packet[0] == 0x80:
            # The next packet of a stream that runs: most are.
            source = last[1]
            ahead = (packet[2] << 8 | packet[3]) - (source.highest & 0xFFFF)
            if 0 < ahead < WINDOW and len(packet) >= RTP_HEADER + self._tag:
                opened = self._opener.transform.open(packet, RTP_HEADER, source.highest + ahead)
                if opened is None:
                    self._auth_failures += 1
                    return None
                source.highest += ahead
                source.seen = (source.seen << ahead | 1) & _SEEN
                self._in += 1
                return opened
        return self._unprotect(packet)

    def _unprotect(self, packet: bytes) -> bytes | None:
        opener = self._opener
        header = RTP_HEADER if packet[:1] == b"\x80" else _header(packet)
        if header < RTP_HEADER or len(packet) < header + opener.transform.suite.tag:
            self._malformed += 1
            return None
        opened = _open(opener, packet, header)
        if opened is None and self._former is not None:
            opened = self._by_former(packet, header)
        if isinstance(opened, bytes):
            self._in += 1
            if self._former is not None:
                opener.opened += 1
                if opener.opened >= _OLD_KEY_FOR:
                    self._former = None
            else:
                ssrc = packet[8:12]
                self._last = (ssrc, opener.rtp[ssrc])
            return opened
        if opened is None:
            self._auth_failures += 1
        else:
            self._replayed += 1
        return None

    def unprotect_all(
        self, batch: Iterable[tuple[bytes, tuple[str, int], float]]
    ) -> list[tuple[bytes, tuple[str, int], float]]:
        """Those of (data, source, arrival) that can be opened."""
        unprotect = self.unprotect
        return [
            (opened, source, arrival)
            for data, source, arrival in batch
            if (opened := unprotect(data)) is not None
        ]

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """The compound packet in an SRTCP packet; None for what cannot be opened."""
        for opener in (self._opener, self._former):
            if opener is None:
                continue
            suite = opener.transform.suite
            if len(packet) < RTCP_HEADER + 4 + suite.rtcp_tag:
                self._malformed += 1
                return None
            end = len(packet) - (0 if suite.aead else suite.rtcp_tag)
            word = int.from_bytes(packet[end - 4 : end], "big")
            index, ssrc = word & _RTCP_INDEX, packet[4:8]
            known = opener.rtcp.get(ssrc)
            if known is not None and known.has(index):
                self._replayed += 1
                return None
            opened = opener.transform.open_rtcp(packet, word)
            if opened is not None:
                _note(opener.rtcp, ssrc, known, index)
                self._in += 1
                return opened
        self._auth_failures += 1
        return None

    def report(self) -> SrtpReport:
        return SrtpReport(
            self._keys.suite,
            self._in,
            self._auth_failures,
            self._replayed,
            self._malformed,
            self._rekeyed,
        )

    def _by_former(self, packet: bytes, header: int) -> bytes | bool | None:
        former = self._former
        if former is None or len(packet) < header + former.transform.suite.tag:
            return None
        return _open(former, packet, header)


def _open(opener: _Opener, packet: bytes, header: int) -> bytes | bool | None:
    """The packet; None where the tag does not fit; False for one that has come before."""
    ssrc = packet[8:12]
    sequence = packet[2] << 8 | packet[3]
    known = opener.rtp.get(ssrc)
    index = sequence if known is None else _near(known.highest, sequence)
    # Before the first packet under a key a number that seems old may be of a counter that began anew.
    if known is not None and known.seen and known.has(index):
        return False
    opened = opener.transform.open(packet, header, index)
    if opened is None and known is not None and not known.seen and index != sequence:
        index = sequence  # a peer that begins anew with a new key, against RFC 3711 section 3.3.1
        opened = opener.transform.open(packet, header, index)
        known = None if opened is not None else known
    if opened is not None:
        _note(opener.rtp, ssrc, known, index)
    return opened


def _note(sources: dict[bytes, _Source], ssrc: bytes, known: _Source | None, index: int) -> None:
    if known is None:
        if len(sources) >= _SOURCES and ssrc not in sources:
            del sources[next(iter(sources))]
        sources[ssrc] = _Source(index)
    elif known.seen:
        known.add(index)
    else:
        known.highest, known.seen = index, 1


def _near(highest: int, sequence: int) -> int:
    """The index of a sequence number, as near to the newest as can be (RFC 3711 section 3.3.1)."""
    last = highest & 0xFFFF
    near = (highest ^ last) | sequence
    if sequence - last > 0x8000:
        return near - 0x10000 if near >= 0x10000 else near
    if last - sequence > 0x8000:
        return near + 0x10000
    return near


def _header(packet: bytes) -> int:
    """Where the payload begins, behind CSRCs and extension (RFC 3550 section 5); 0 for what is no RTP."""
    if len(packet) < RTP_HEADER or packet[0] >> 6 != 2:
        return 0
    header = RTP_HEADER + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        if len(packet) < header + 4:
            return 0
        header += 4 + 4 * int.from_bytes(packet[header + 2 : header + 4], "big")
    return header
