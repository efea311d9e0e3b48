"""What stands between a socket and an RTP session: STUN, DTLS and RTP on one port (RFC 7983).

    path = MediaPath(...)
    path.begin(now)                        addresses are gathered
    path.agree(terms, now)                 what offer and answer settled; checks and handshake begin
    path.attach(build, change, now)        build(keys, remote, now) is called once, when media may flow

A `MediaSession` for the engine, and an `AheadSession` once media flows. No media leaves before ICE has found
a pair and DTLS a key, where those were agreed on, and none is heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from callwright.ice.agent import Agent
from callwright.ice.events import ConsentLost, Gathered, IceFailed, IceSettings, Selected
from callwright.ice.report import IceReport
from callwright.rtp.outgoing import Prepared
from callwright.rtp.session import Event, RtpTransmission
from callwright.sdp.dtls import DtlsPeer
from callwright.sdp.ice import IceDescription
from callwright.sdp.negotiation import Negotiated
from callwright.srtp.dtls import Dtls, DtlsEstablished, DtlsFailed, Identity
from callwright.srtp.suite import StreamKeys

__all__ = ["DtlsReport", "MediaPath", "PathEvent", "PathReport"]

AddressTuple = tuple[str, int]
PathEvent = Gathered | Selected | IceFailed | ConsentLost | DtlsEstablished | DtlsFailed
_HELD = 8  # datagrams of DTLS that come before the description of the peer


class PathSession(Protocol):
    """What is needed of `rtp.Session`."""

    def receive_batch(self, batch: Iterable[tuple[bytes, AddressTuple, float]]) -> None: ...
    def receive_rtcp(self, data: bytes, source: AddressTuple, now: float) -> None: ...
    def wake(self, now: float) -> None: ...
    def next_wake(self) -> float | None: ...
    def transmissions(self) -> list[RtpTransmission]: ...
    def events(self) -> list[Event]: ...
    def prepare(self, now: float, until: float, most: int = 16) -> list[Prepared]: ...
    def settle(self, left: Sequence[float]) -> None: ...
    def withdraw(self, now: float) -> None: ...
    @property
    def live(self) -> bool: ...
    @property
    def outdated(self) -> bool: ...


Build = Callable[[StreamKeys | None, AddressTuple, float], PathSession]
Change = Callable[[StreamKeys | None, AddressTuple, float], None]


@dataclass(frozen=True, slots=True)
class DtlsReport:
    """`fingerprint`: of the SDP, which the certificate has; None where there was no such. Times are monotonic
    seconds. `resent`: flights of ours that went again."""

    client: bool
    suite: str | None
    fingerprint: str | None
    began: float | None
    established: float | None
    resent: int
    failure: str | None


@dataclass(frozen=True, slots=True)
class PathReport:
    """`agreed`: when offer and answer were through."""

    agreed: float | None
    ice: IceReport | None
    dtls: DtlsReport | None


class MediaPath:
    """`ice`: None where it is not wished for; `identity`: None without DTLS. `permits`: whether packets may
    go to, and come from, an address. `suites`: those that DTLS may agree on; none: all."""

    def __init__(
        self,
        local: AddressTuple,
        entropy: Callable[[int], bytes],
        *,
        permits: Callable[[AddressTuple], bool],
        advertised: str | None = None,
        controlling: bool = True,
        ice: IceSettings | None = None,
        identity: Identity | None = None,
        suites: Sequence[str] = (),
    ) -> None:
        self._permits, self._identity, self._suites = permits, identity, tuple(suites)
        self._agent = (
            Agent(
                entropy,
                local,
                controlling=controlling,
                permits=permits,
                advertised=advertised,
                settings=ice,
            )
            if ice is not None
            else None
        )
        self._ice = False  # agreed on with the peer
        self._mux = False
        self._wanted: DtlsPeer | None = None
        self._dtls: Dtls | None = None
        self._dtls_began: float | None = None
        self._dtls_done: float | None = None
        self._held: list[bytes] = []
        self._remote: AddressTuple | None = None  # without ICE, where DTLS goes
        self._plain: StreamKeys | None = None  # of SDES
        self._agreed: float | None = None
        self._build: Build | None = None
        self.session: PathSession | None = None
        self._session_remote: AddressTuple = ("0.0.0.0", 0)
        self._change: Change = lambda keys, remote, now: None
        self._prepared_for: AddressTuple | None = None
        self._events: list[PathEvent] = []
        self._closing = False
        self._last: list[RtpTransmission] = []

    # -- acts, on the media thread

    def begin(self, now: float) -> None:
        if self._agent is not None:
            self._agent.gather(now)
            self._take_ice(now)

    @property
    def gathered(self) -> bool:
        """Our addresses are known."""
        return self._agent is None or self._agent.report().gathered is not None

    def local_ice(self) -> IceDescription | None:
        """Ours, for the SDP."""
        agent = self._agent
        if agent is None:
            return None
        return IceDescription(agent.ufrag, agent.pwd, agent.candidates, agent.lite)

    def agree(self, agreed: Negotiated, *, controlling: bool, now: float) -> None:
        """What an offer and its answer came to; again for a further one."""
        first = self._agreed is None
        self._agreed = now if first else self._agreed
        self._mux, self._plain = agreed.rtcp_mux, agreed.srtp
        self._remote = (agreed.remote_host, agreed.remote_port)
        agent = self._agent
        if agent is not None and agreed.ice is not None:
            self._ice = True
            if first and not agent.lite:
                agent.controlling = controlling
            theirs = agreed.ice
            agent.set_remote(theirs.ufrag, theirs.pwd, theirs.candidates, lite=theirs.lite, now=now)
            self._take_ice(now)
        self._want_dtls(agreed.dtls)
        if self.session is not None and not self._ice:
            self._change(self._keys, self._remote, now)
        self._go_on(now)

    def attach(self, build: Build, change: Change, now: float) -> None:
        """`build` makes the session when media may flow; `change` gets another address of the peer, or other
        keys."""
        self._build, self._change = build, change
        self._go_on(now)

    def close(self, now: float) -> None:
        """Goodbye to the peer's DTLS, and to a TURN server. What is to be sent for it still leaves."""
        if self._closing:
            return
        self._closing = True
        goodbye = self._session_packets()
        if self._dtls is not None:
            self._dtls.close()
        self._last = goodbye + self._dtls_packets()
        if self._agent is not None:
            self._agent.close(now)

    def report(self) -> PathReport:
        dtls = self._dtls
        told = None
        if self._wanted is not None:
            keys = dtls.keys if dtls is not None else None
            matched = dtls.fingerprint if dtls is not None else None
            told = DtlsReport(
                client=self._wanted.client,
                suite=keys.suite if keys is not None else None,
                fingerprint=str(matched) if matched is not None else None,
                began=self._dtls_began,
                established=self._dtls_done,
                resent=dtls.resent if dtls is not None else 0,
                failure=dtls.failure if dtls is not None else None,
            )
        ice = self._agent.report() if self._agent is not None and self._ice else None
        return PathReport(self._agreed, ice, told)

    # -- the verbs

    def receive_batch(self, batch: Iterable[tuple[bytes, AddressTuple, float]]) -> None:
        media: list[tuple[bytes, AddressTuple, float]] = []
        now = 0.0
        for data, source, arrival in batch:
            now = max(now, arrival)
            if self._agent is not None:
                passed = self._agent.receive(data, source, arrival)
                if passed is not None and self._ice:
                    # Whoever is proven to be the peer is it, by whichever of its addresses.
                    data, source = passed[0], self._session_remote
                elif self._ice or not data or data[0] < 4:
                    continue
            if data and 20 <= data[0] <= 63:
                self._receive_dtls(data, source, arrival)
            elif self.session is not None:
                media.append((data, source, arrival))
        if self._agent is not None:
            self._take_ice(now)
        self._go_on(now)
        if media and self.session is not None:
            self.session.receive_batch(media)

    def receive_rtcp(self, data: bytes, source: AddressTuple, now: float) -> None:
        if self.session is not None and not self._mux and self._wanted is None:
            self.session.receive_rtcp(data, source, now)

    def wake(self, now: float) -> None:
        if self._agent is not None:
            self._agent.wake(now)
            self._take_ice(now)
        if self._dtls is not None:
            self._dtls.wake(now)
        self._go_on(now)
        if self.session is not None:
            self.session.wake(now)

    def next_wake(self) -> float | None:
        times = [
            self._agent.next_wake() if self._agent is not None else None,
            self._dtls.next_wake() if self._dtls is not None else None,
            self.session.next_wake() if self.session is not None else None,
        ]
        return min((one for one in times if one is not None), default=None)

    def transmissions(self) -> list[RtpTransmission]:
        out, self._last = self._last, []
        if self._agent is not None:
            out = [RtpTransmission(data, to, False) for data, to in self._agent.transmissions()] + out
        return out + self._dtls_packets() + self._session_packets()

    def events(self) -> list[Event | PathEvent]:
        out, self._events = self._events, []
        return [*out, *(self.session.events() if self.session is not None else [])]

    # -- ahead of time

    def prepare(self, now: float, until: float, most: int = 16) -> list[Prepared]:
        if self.session is None:
            return []
        if not self._ice or self._agent is None:
            return self.session.prepare(now, until, most)
        self._prepared_for = self._agent.remote
        if self._prepared_for is None:
            return []
        made = []
        for due, data, _ in self.session.prepare(now, until, most):
            wrapped = self._agent.wrapped(data)
            if wrapped is not None:
                made.append(Prepared(due, *wrapped))
        return made

    def settle(self, left: Sequence[float]) -> None:
        if self.session is not None:
            self.session.settle(left)

    def withdraw(self, now: float) -> None:
        self._prepared_for = None
        if self.session is not None:
            self.session.withdraw(now)

    @property
    def live(self) -> bool:
        """Checks and handshake want a quick answer; what comes after does not."""
        if self._agent is not None and not self._agent.settled:
            return True
        return self.session is None or self.session.live

    @property
    def outdated(self) -> bool:
        if self.session is None:
            return False
        moved = self._ice and self._agent is not None and self._prepared_for not in (None, self._agent.remote)
        return moved or self.session.outdated

    # -- inside

    def _take_ice(self, now: float) -> None:
        assert self._agent is not None
        for event in self._agent.events():
            self._events.append(event)
            if isinstance(event, Selected) and self.session is not None:
                self._session_remote = event.remote.address
                self._change(self._keys, event.remote.address, now)

    @property
    def _keys(self) -> StreamKeys | None:
        return self._dtls.keys if self._dtls is not None else self._plain

    def _want_dtls(self, wanted: DtlsPeer | None) -> None:
        """Begin a handshake, or a new one where the peer has another certificate (RFC 8842 section 4)."""
        known = self._wanted
        if wanted is None or self._identity is None:
            return
        if known is not None and known.fingerprints == wanted.fingerprints:
            return
        self._wanted = wanted
        suites = self._suites
        self._dtls = Dtls(self._identity, wanted.fingerprints, client=wanted.client, **_only(suites))
        self._dtls_began = self._dtls_done = None

    def _receive_dtls(self, data: bytes, source: AddressTuple, now: float) -> None:
        if self._dtls is None:
            if self._identity is not None and len(self._held) < _HELD:
                self._held.append(data)
            return
        if not self._ice:
            if source != self._remote and not self._permits(source):
                return
            if self._dtls.keys is None:
                self._remote = source
        self._dtls.receive(data, now)

    def _go_on(self, now: float) -> None:
        """The next step, as soon as the one before it is done: a pair, keys, media."""
        if self._agreed is None or self._closing:
            return
        remote = self._agent.remote if self._ice and self._agent is not None else self._remote
        if remote is None:
            return
        dtls = self._dtls
        if dtls is not None:
            if self._dtls_began is None:
                self._dtls_began = now
                dtls.start(now)
                held, self._held = self._held, []
                for data in held:
                    dtls.receive(data, now)
            for event in dtls.events():
                self._events.append(event)
                if isinstance(event, DtlsEstablished):
                    self._dtls_done = now
                    if self.session is not None:
                        self._change(event.keys, remote, now)
            if dtls.keys is None:
                return
        if self.session is None and self._build is not None:
            self._session_remote = remote
            self.session = self._build(self._keys, remote, now)

    def _dtls_packets(self) -> list[RtpTransmission]:
        if self._dtls is None:
            return []
        out = []
        for data in self._dtls.transmissions():
            if self._ice and self._agent is not None:
                wrapped = self._agent.wrapped(data)
                if wrapped is not None:
                    out.append(RtpTransmission(*wrapped, False))
            elif self._remote is not None and self._permits(self._remote):
                out.append(RtpTransmission(data, self._remote, False))
        return out

    def _session_packets(self) -> list[RtpTransmission]:
        if self.session is None:
            return []
        out = []
        for sent in self.session.transmissions():
            if sent.is_rtcp and self._wanted is not None and not self._mux:
                continue  # its keys would be others
            if self._ice and self._agent is not None and (self._mux or not sent.is_rtcp):
                wrapped = self._agent.wrapped(sent.data)
                if wrapped is not None:
                    out.append(RtpTransmission(*wrapped, sent.is_rtcp))
            else:
                out.append(sent)
        return out


def _only(suites: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """No choice means all."""
    return {"suites": suites} if suites else {}
