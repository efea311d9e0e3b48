"""The audio of one call: what was offered and agreed (RFC 3264), and the leg that it flows through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from callwright.audio.codecs import only_received
from callwright.ice.events import IceSettings, TurnServer
from callwright.ice.wish import Server
from callwright.media.leg import MediaLeg, PathPlan
from callwright.media.path import PathEvent, PathReport
from callwright.media.program import Program
from callwright.media.recorder import Recorder
from callwright.net.address import numeric_host
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy
from callwright.net.media import MediaEngine
from callwright.net.own_certificate import process_identity
from callwright.phone.permission import Permission
from callwright.phone.plan import MediaPlan
from callwright.rtp.report import MediaReport
from callwright.rtp.session import Event
from callwright.sdp.crypto import Crypto
from callwright.sdp.description import SessionDescription
from callwright.sdp.formats import audio_format
from callwright.sdp.negotiation import LocalMedia, Negotiated, answer, conclude, offer, reanswer, reoffer
from callwright.srtp.dtls import DtlsEstablished
from callwright.srtp.key_file import KeysAgreed
from callwright.srtp.suite import SUITES, StreamKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """What every call of a phone makes its audio with. `codecs` and `ptime` (ms) where a plan names none.

    `session_ids`: RFC 8866 asks for numbers that nobody else uses. `advertised`: the address that peers are
    told for one of ours. `find`: the numeric address of a host and port of an SDP; raises ResolutionFailed.
    `on_keys`: gets the keys of SRTP, which are secrets, whenever some are agreed on.
    """

    engine: MediaEngine
    clock: Clock
    entropy: Entropy
    permission: Permission
    codecs: tuple[str, ...]
    ptime: int
    session_ids: Iterator[int]
    advertised: Callable[[str], str]
    find: Callable[[str, int], Awaitable[str]]
    on_keys: Callable[[KeysAgreed], None] | None = None


class CallAudio:
    """`ours` is the last description that we sent, `negotiated` what it came to.

    Whatever reads a description of the peer raises SdpError where it cannot be read, and NotAcceptable where
    nothing comes of it. `name`: of the call, for `on_keys`. `program`, `on_events`, `on_path`: see MediaLeg.
    `controlling`: in ICE, as whoever makes the first offer.
    """

    def __init__(
        self,
        studio: Studio,
        plan: MediaPlan,
        *,
        name: str = "call",
        program: Program | None = None,
        on_events: Callable[[Sequence[Event]], None] = lambda events: None,
        on_path: Callable[[PathEvent], None] = lambda event: None,
        controlling: bool = True,
    ) -> None:
        self._name, self._program, self._on_events = name, program, on_events
        self._on_path, self._controlling = on_path, controlling
        self._ice = IceSettings(lite=plan.ice.use == "lite", relay_only=plan.ice.relay_only)
        self._dtls_role: str | None = None
        self._told: StreamKeys | None = None
        self.plan = plan
        self.leg: MediaLeg | None = None
        self.ours: SessionDescription | None = None
        self.negotiated: Negotiated | None = None
        self.held = False  # we hold the peer
        self._studio = studio
        self._ptime: int | None = None  # ms, the packet time that the caller asked for
        self._peer_host = ""  # numeric: where the peer signals from
        self._former: list[MediaLeg] = []
        self._keys: dict[str, bytes] = {}  # ours for SRTP, by suite
        self._fell_back = False  # to plain RTP, after SRTP was refused

    @property
    def asks_servers(self) -> bool:
        """Our addresses are to be learnt from servers: `prepare` before `open`, `gather` after it."""
        wish = self.plan.ice
        return self.plan.enabled and wish.use == "on" and (wish.stun is not None or wish.turn is not None)

    async def prepare(self) -> None:
        """Find the servers of ICE, and ask whether packets may go there. Raises ResolutionFailed and
        NotPermitted."""
        wish = self.plan.ice
        if self.asks_servers:
            stun = await self._server(wish.stun) if wish.stun is not None else None
            turn = await self._server(wish.turn) if wish.turn is not None else None
            lent = TurnServer(turn, wish.turn.user, wish.turn.password) if turn and wish.turn else None
            self._ice = replace(self._ice, stun=stun, turn=lent)

    async def _server(self, server: Server) -> tuple[str, int]:
        address = numeric_host(server.host)
        found = str(address) if address is not None else await self._studio.find(server.host, server.port)
        self._studio.permission.place(server.host, found, server.port)
        return found, server.port

    async def gather(self) -> None:
        """Until our addresses are known."""
        if self.leg is not None:
            await self.leg.gather()

    def _path(self) -> PathPlan | None:
        srtp, ice = self.plan.srtp, self.plan.ice
        if not self.plan.enabled or (srtp.use != "dtls" and ice.use == "off"):
            return None
        return PathPlan(
            self._controlling,
            self._ice if ice.use != "off" else None,
            process_identity() if srtp.use == "dtls" else None,
            srtp.suites,
        )

    def open(self, local_host: str, peer_host: str) -> None:
        """Have RTP ports on `local_host`. Raises OutOfPorts."""
        if self.leg is not None:
            if self.leg.host == local_host:
                return
            self._former.append(self.leg)
        studio = self._studio
        self._peer_host = peer_host
        self.leg = MediaLeg(
            studio.engine,
            studio.clock,
            studio.entropy,
            host=local_host,
            advertised_host=studio.advertised(local_host),
            permits=studio.permission.gate(peer_host),
            play=self.plan.play,
            voice=self.plan.voice,
            record=self.plan.record,
            detect=self.plan.detect_tones,
            program=self._program,
            on_events=self._on_events,
            path=self._path(),
            on_path=self._take_path,
        )

    def _take_path(self, event: PathEvent) -> None:
        if isinstance(event, DtlsEstablished) and self.negotiated is not None:
            self._tell_keys(self.negotiated, event.keys)
        self._on_path(event)

    @property
    def host(self) -> str:
        """Our address as peers are told."""
        return self.leg.advertised_host if self.leg is not None else "localhost"

    def local(self, *, answering: bool = False) -> LocalMedia:
        """What this side can do now, once ports are open."""
        assert self.leg is not None
        srtp, suites = self._srtp(answering)
        names = self.plan.codecs or self._studio.codecs
        direction = ("inactive" if self.held else "recvonly") if only_received(names) else None
        return LocalMedia(
            host=self.leg.advertised_host,
            port=self.leg.port,
            formats=tuple(audio_format(name) for name in names),
            ptime=self.plan.ptime or self._ptime or self._studio.ptime,
            direction=direction or ("sendonly" if self.held else "sendrecv"),
            rtcp_port=self.leg.rtcp_port,
            srtp=srtp,
            crypto=tuple(Crypto(0, suite, self._key(suite)) for suite in suites),
            dtls=process_identity().fingerprint if self.plan.srtp.use == "dtls" else None,
            dtls_role=self._dtls_role,
            ice=self.leg.ice,
        )

    def _srtp(self, answering: bool) -> tuple[str, tuple[str, ...]]:
        """How we do SRTP (`sdp.negotiation.SRTP`), and in which suites."""
        wish = self.plan.srtp
        if wish.use in ("off", "dtls") or (self._fell_back and not answering):
            return "off", ()
        if answering:
            return "required" if wish.use == "required" else "optional", wish.taken
        settled = self.negotiated.srtp if self.negotiated is not None else None
        suites = (settled.suite,) if settled is not None else wish.offered
        return "optional" if wish.use == "optional" else "required", suites

    def _key(self, suite: str) -> bytes:
        if suite not in self._keys:
            self._keys[suite] = self._studio.entropy(SUITES[suite].master)
        return self._keys[suite]

    def fall_back(self) -> bool:
        """Offer plain RTP from now on, where that was wished for; False where it was not."""
        if self._fell_back or self.plan.srtp.use != "fallback" or self.ours is None:
            return False
        self._fell_back = True
        return True

    def rekey(self) -> None:
        """Our next description has new keys."""
        self._keys.clear()

    # -- descriptions

    def offer(self) -> bytes:
        """The first offer of the call, or of this attempt at it."""
        self.rekey()  # another target does not get the key of the one before
        self.ours = offer(self.local(), next(self._studio.session_ids))
        return self.ours.serialize()

    def next_offer(self) -> SessionDescription:
        """An offer in the session that there is, or the first."""
        if self.ours is None:
            return offer(self.local(), next(self._studio.session_ids))
        return reoffer(self.ours, self.local())

    def conclude(self, body: bytes) -> Negotiated:
        """What the peer's answer to our offer means."""
        assert self.ours is not None
        agreed = conclude(self.ours, SessionDescription.parse(body))
        if self.negotiated is None:
            self._controlling = True
        return self._keeping_role(agreed)

    def _keeping_role(self, agreed: Negotiated) -> Negotiated:
        if agreed.dtls is not None:
            self._dtls_role = "active" if agreed.dtls.client else "passive"
        return agreed

    def answer(self, body: bytes, *, their_ptime: bool = False) -> Negotiated:
        """Answer the first offer of the peer: `ours` is the answer.

        `their_ptime`: take the packet time of the offer for both directions, unless the plan has one.
        """
        theirs, session = SessionDescription.parse(body), next(self._studio.session_ids)
        self.ours, negotiated = answer(theirs, self.local(answering=True), session)
        if their_ptime and self.plan.ptime is None and negotiated.ptime != self._studio.ptime:
            # One packet time for both directions, as the caller has it: many devices know no other way.
            self._ptime = negotiated.ptime
            self.ours, negotiated = answer(theirs, self.local(answering=True), session)
        if self.negotiated is None:
            self._controlling = False
        return self._keeping_role(negotiated)

    def reanswer(self, body: bytes) -> tuple[SessionDescription, Negotiated]:
        """Our answer to a further offer of the peer; it becomes `ours` once it is sent."""
        theirs, previous = SessionDescription.parse(body), self.ours or self.next_offer()
        return reanswer(theirs, previous, self.local(answering=True))

    # -- the stream

    def refusal(self, negotiated: Negotiated) -> str | None:
        """Why media may not go where the peer wants it, in sentences; None when it may, or there is none."""
        if negotiated.disabled or negotiated.nowhere or not self.plan.enabled or self.leg is None:
            return None
        places = [(negotiated.remote_host, negotiated.remote_port)]
        if negotiated.ice is not None:
            # Each is asked about again before a packet goes there; here it is whether any may be used. One
            # that tells none yet may tell them later, or speak from where it did not tell.
            places = [
                candidate.address for candidate in negotiated.ice.candidates if candidate.component == 1
            ]
        permission = self._studio.permission
        refused = None
        for host, port in places:
            decision = permission.media(host, port, self._peer_host)
            if decision.allowed:
                return None
            refused = refused or permission.said(decision)
        return refused

    @staticmethod
    def is_numeric(negotiated: Negotiated) -> bool:
        """Nothing is to be looked up before media can go there."""
        by_ice = negotiated.ice is not None  # which takes no names
        return negotiated.disabled or by_ice or numeric_host(negotiated.remote_host) is not None

    async def located(self, negotiated: Negotiated) -> Negotiated:
        """The same with the address of the host that the SDP names (RFC 8866 section 5.7 permits a name).

        Raises ResolutionFailed."""
        if self.is_numeric(negotiated):
            return negotiated
        host = await self._studio.find(negotiated.remote_host, negotiated.remote_port)
        return replace(negotiated, remote_host=host, remote_rtcp_host=host)

    def start(self, negotiated: Negotiated, *, sending: bool, answered: bool) -> None:
        """Begin the stream, or adjust it to what was agreed. See MediaLeg.adjust."""
        if self.plan.enabled and self.leg is not None:
            self._tell_keys(negotiated, negotiated.srtp)
            self.leg.adjust(negotiated, sending=sending, answered=answered, controlling=self._controlling)

    @property
    def path_report(self) -> PathReport | None:
        """What became of ICE and DTLS, once the call is over; None without both."""
        return self.leg.path_report if self.leg is not None else None

    def _tell_keys(self, negotiated: Negotiated, keys: StreamKeys | None) -> None:
        tell, leg = self._studio.on_keys, self.leg
        if tell is None or keys is None or keys == self._told or leg is None:
            return
        self._told = keys
        remote = (negotiated.remote_host, negotiated.remote_port)
        tell(KeysAgreed(self._name, self._studio.clock.wall(), (leg.host, leg.port), remote, keys))

    def send_digits(self, digits: str) -> bool:
        """Send telephone-events (RFC 4733); False where none were agreed on."""
        agreed = self.negotiated
        if self.leg is None or agreed is None or agreed.telephone_event_payload_type is None:
            return False
        self.leg.send_digits(digits)
        return True

    def send_tones(self, digits: str) -> bool:
        """Play digits in the audio itself; False while none flows."""
        return self.leg is not None and self.leg.send_tones(digits)

    async def report(self) -> MediaReport | None:
        """What is known so far; None when no stream flows."""
        return await self.leg.measured() if self.leg is not None else None

    def stop(self) -> None:
        """Nothing more is sent or counted."""
        if self.leg is not None:
            self.leg.stop()

    async def close(self) -> tuple[MediaReport | None, Recorder | None]:
        """Stop, give the ports back, finish the recording."""
        for leg in self._former:
            await leg.close()
        return await self.leg.close() if self.leg is not None else (None, None)
