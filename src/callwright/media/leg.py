"""The audio of one call: RTP ports, the session on the media engine, and who listens to it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from callwright.audio.codecs import codec
from callwright.ice.events import Gathered, IceSettings
from callwright.media.path import MediaPath, PathEvent, PathReport
from callwright.media.program import Program
from callwright.media.promise import Promise
from callwright.media.recorder import Recorder
from callwright.media.source import (
    ECHO,
    Clip,
    ClipSource,
    EchoSource,
    Interlude,
    NoSource,
    clip_frames,
    load_clip,
)
from callwright.net.address import numeric_host
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy
from callwright.net.media import MediaEngine, MediaHandle
from callwright.net.ports import PortPair, PortsExhausted
from callwright.rtp.report import MediaReport
from callwright.rtp.session import Event, FrameSource, Session, SessionConfig
from callwright.sdp.ice import IceDescription
from callwright.sdp.negotiation import Negotiated
from callwright.srtp.dtls import Identity
from callwright.srtp.suite import StreamKeys

_GATHERING = 5.0  # seconds; the path itself gives up before
_WORK_EVERY = 0.5  # seconds between two looks of the event loop at what the media thread has left for it


class OutOfPorts(Exception):
    """No RTP ports could be opened; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class PathPlan:
    """How a leg comes to its peer, where that is more than an address: by ICE, with keys by DTLS, or both."""

    controlling: bool
    ice: IceSettings | None = None
    identity: Identity | None = None
    suites: tuple[str, ...] = ()


class _Tapped(Session):
    """A session whose frames go to the recorder and the echo as they are played and sent."""

    collect: Callable[[], None]

    def wake(self, now: float) -> None:
        super().wake(now)
        self.collect()


class MediaLeg:
    """Ports are open from the start; the session begins with the first `adjust`. Raises OutOfPorts.

    `host`: our numeric address for RTP; `advertised_host`: the one that descriptions name, by default the
    same. `permits`: whether RTP and RTCP may go to, and come from, an address. `play`: "speech", "tone",
    "silence", "echo" or the path of a WAV file; `voice`: who speaks when it is speech. `record`: the path of
    a stereo WAV, left what is sent, right what comes; None: what comes is measured, not kept. `detect`:
    listen for DTMF tones in what comes. `program`:
    plays in place of `play`, and hears. `on_events`: of the session, on the media thread. `path`: None for
    RTP from port to port; `on_path`: what happens on it, on the event loop.

    Made and used on a running event loop; the session runs on the engine's thread.
    """

    def __init__(
        self,
        engine: MediaEngine,
        clock: Clock,
        entropy: Entropy,
        *,
        host: str,
        permits: Callable[[tuple[str, int]], bool],
        advertised_host: str | None = None,
        play: str = "silence",
        voice: str = "woman",
        record: Path | None = None,
        detect: bool = False,
        program: Program | None = None,
        on_events: Callable[[Sequence[Event]], None] = lambda events: None,
        path: PathPlan | None = None,
        on_path: Callable[[PathEvent], None] = lambda event: None,
    ) -> None:
        self._program, self._on_events, self._on_path = program, on_events, on_path
        self._engine, self._clock, self._entropy, self._permits = engine, clock, entropy, permits
        self._play, self._voice, self._record, self._detect = play, voice, record, detect
        try:
            self._ports: PortPair = engine.open_ports(host)
        except (PortsExhausted, OSError) as error:
            raise OutOfPorts(str(error)) from error
        self.host = host
        self.port, self.rtcp_port = self._ports.local.port, self._ports.local_rtcp.port
        self.advertised_host = advertised_host or host
        self.recorder: Recorder | None = None
        self._promise = Promise()
        self._session: Session | None = None
        self._handle: MediaHandle | None = None
        self._config: SessionConfig | None = None
        self._codecs: dict[int, str] = {}
        self._echo: EchoSource | None = None
        self._playing: FrameSource | None = None
        self._report: MediaReport | None = None
        self._loop = asyncio.get_running_loop()
        self._worker: asyncio.TimerHandle | None = None
        self._works = False  # the event loop looks by itself
        self._started = 0.0
        self._closed = False
        self.path_report: PathReport | None = None
        self._way: tuple[StreamKeys | None, tuple[str, int]] | None = None  # of the media thread
        self._gathered = asyncio.Event()
        self._path = self._open_path(path) if path is not None else None

    def _open_path(self, plan: PathPlan) -> MediaPath:
        path = MediaPath(
            (self.host, self.port),
            self._entropy,
            permits=self._permits,
            advertised=self.advertised_host,
            controlling=plan.controlling,
            ice=plan.ice,
            identity=plan.identity,
            suites=plan.suites,
        )
        path.begin(self._clock.now())
        if path.gathered:
            self._gathered.set()
        self._handle = self._engine.start(path, self._ports, on_events=self._split)
        return path

    def _split(self, events: Sequence[Event | PathEvent]) -> None:
        """On the media thread: what is of the path goes to the event loop, the rest where it always does."""
        ours = [event for event in events if isinstance(event, PathEvent)]
        if ours:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._tell, ours)
        if len(ours) < len(events):
            self._on_events([event for event in events if not isinstance(event, PathEvent)])

    def _tell(self, events: Sequence[PathEvent]) -> None:
        for event in events:
            if isinstance(event, Gathered):
                self._gathered.set()
            if not self._closed:
                self._on_path(event)

    @property
    def gathered(self) -> bool:
        """Our addresses are known, so that a description can be made."""
        return self._gathered.is_set()

    async def gather(self) -> None:
        """Until they are."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gathered.wait(), _GATHERING)

    @property
    def ice(self) -> IceDescription | None:
        """Our side of ICE, for the SDP."""
        return self._path.local_ice() if self._path is not None else None

    # -- from the event loop

    def adjust(
        self, negotiated: Negotiated, *, sending: bool, answered: bool, controlling: bool = True
    ) -> None:
        """Start the stream, or change it after a new offer and answer.

        `sending`: we may send now, as far as the agreement permits. `answered`: the call is, so that a
        second in which promised audio does not come is a gap. `controlling`: in ICE; who offered first is.
        """
        due = self._promise.due(negotiated) and answered
        old = self._config
        if negotiated.disabled:
            if old is not None:
                self._change(old, replace(old, sending=False, receiving=False))
            return
        self._agree(negotiated, controlling)
        config = self._make(negotiated, sending and negotiated.sends, due)
        name = negotiated.format.name
        self._codecs |= {number: kind.name for number, kind in negotiated.receive_payload_types.items()}
        if old is None:
            self._start(config, name)
        elif (old.payload_type, old.ptime_ms) != (config.payload_type, config.ptime_ms):
            self._change(old, config, self._source(config, name))
        else:
            self._change(old, config)

    def expect_nothing(self) -> None:
        """No audio is due from now on, whatever was agreed: the peer is being taken elsewhere."""
        if self._config is not None:
            self._change(self._config, replace(self._config, receiving=False))

    def send_digits(self, digits: str) -> None:
        session = self._session
        if session is not None and self._handle is not None:
            self._handle.run(lambda: session.send_digits(digits, self._clock.now()))

    def send_tones(self, digits: str) -> bool:
        """Play the digits as tones (ITU-T Q.23) in place of what is played; False while no stream flows.

        ValueError for a character that is no digit.
        """
        from callwright.audio.dtmf import generate  # brings numpy, which most calls do without

        session, config, playing = self._session, self._config, self._playing
        if session is None or config is None or self._handle is None or playing is None:
            return False
        name = self._codecs.get(config.payload_type)
        if name is None:
            return False
        row = codec(name)
        clip = Clip(f"dtmf:{digits}", row.sample_rate, generate(digits, row.sample_rate))
        frames = clip_frames(clip, name, config.ptime_ms)
        self._handle.run(lambda: session.set_source(Interlude(frames, playing), self._clock.now()))
        return True

    def run(self, act: Callable[[], None]) -> None:
        """Do something with the program on the media thread; at once while no stream flows."""
        if self._handle is None:
            act()
        elif not self._closed:
            self._handle.run(act)

    def stop(self) -> None:
        """Say goodbye by RTCP and keep what was measured; nothing is sent or counted after it."""
        if self._handle is None or self._closed:
            return
        self._closed = True
        clock = self._clock

        def end() -> MediaReport | None:
            now, session, path = clock.now(), self._session, self._path
            if session is not None:
                session.close(now)
                self.collect()
                self._report = session.report(now)
            if path is not None:
                path.close(now)
                self.path_report = path.report()
            return self._report

        self._ending = asyncio.wrap_future(self._handle.run(end))

    async def measured(self) -> MediaReport | None:
        """What is known so far; None when no stream flows."""
        session = self._session
        if session is None or self._handle is None or self._closed:
            return None
        clock = self._clock
        return await asyncio.wrap_future(self._handle.run(lambda: session.report(clock.now())))

    async def close(self) -> tuple[MediaReport | None, Recorder | None]:
        """Stop, give the ports back, finish the recording."""
        self.stop()
        self._works = True
        if self._worker is not None:
            self._worker.cancel()
        if self._handle is None:
            self._ports.close()
            return None, None
        report = await self._ending
        await asyncio.wrap_future(self._handle.stop())
        if self.recorder is not None:
            self.recorder.close()
        return report, self.recorder

    def _agree(self, negotiated: Negotiated, controlling: bool) -> None:
        path, handle = self._path, self._handle
        if path is None or handle is None:
            return

        def act() -> None:
            handle.rtcp_mux = negotiated.rtcp_mux
            path.agree(negotiated, controlling=controlling, now=self._clock.now())

        handle.run(act)

    def _make(self, negotiated: Negotiated, sending: bool, due: bool) -> SessionConfig:
        row = codec(negotiated.format.name)
        held = numeric_host(negotiated.remote_host) is None or negotiated.nowhere
        old = self._config
        # On hold by 0.0.0.0 there is nowhere to send: the last address stays, and nothing goes there.
        remote = old.remote if held and old else (negotiated.remote_host, negotiated.remote_port)
        rtcp_port = negotiated.remote_rtcp_port or negotiated.remote_port + 1
        remote_rtcp = (
            old.remote_rtcp if held and old else (negotiated.remote_rtcp_host, min(rtcp_port, 65535))
        )
        ptime = negotiated.ptime if negotiated.ptime in row.ptimes else 20
        return SessionConfig(
            remote=remote,
            remote_rtcp=remote_rtcp,
            payload_type=negotiated.send_payload_type,
            clock_rate=row.clock_rate,
            samples_per_packet=row.timestamp_step(ptime),
            ptime_ms=ptime,
            receive_payload_types={
                number: (kind.name, kind.clock_rate)
                for number, kind in negotiated.receive_payload_types.items()
            },
            cname=f"callwright@{self.advertised_host}",
            wall_offset=old.wall_offset if old else self._clock.wall() - self._clock.now(),
            telephone_event=negotiated.telephone_event_payload_type,
            srtp=negotiated.srtp,
            rtcp_mux=negotiated.rtcp_mux,
            sending=sending and (negotiated.ice is not None or not held),
            receiving=due,
            permits=self._permits,
            tap_received=True,
            tap_sent=self._record is not None,
        )

    def _source(self, config: SessionConfig, name: str) -> FrameSource:
        self._playing = self._make_source(config, name)
        return self._playing

    def _make_source(self, config: SessionConfig, name: str) -> FrameSource:
        if self._program is not None:
            return self._program.source(name, config.ptime_ms)
        if self._play == ECHO:
            self._echo = self._echo or EchoSource()
            return self._echo
        if codec(name).receive_only:
            return NoSource()
        clip = load_clip(self._play, codec(name).sample_rate, self._voice)
        return ClipSource(clip, name, config.ptime_ms)

    def _start(self, config: SessionConfig, name: str) -> None:
        self._config = config
        row = codec(name)
        self.recorder = Recorder(self._record, row.sample_rate, row.name, detect=self._detect)
        source = self._source(config, row.name)
        self._works = self.recorder.writing
        path, handle = self._path, self._handle
        if path is None or handle is None:
            session = self._begin(config, source, self._engine.start_time(config.ptime_ms / 1000))
            self._handle = self._engine.start(session, self._ports, on_events=self._on_events)
        else:
            build = functools.partial(self._build, source)
            handle.run(lambda: path.attach(build, self._move, self._clock.now()))
        if self._works:
            self._work()

    def _begin(self, config: SessionConfig, source: FrameSource, at: float) -> _Tapped:
        session = _Tapped(config, self._entropy, source)
        session.collect = self.collect
        self._started = at
        session.start(at)
        self._session = session
        return session

    def _change(self, old: SessionConfig, config: SessionConfig, source: FrameSource | None = None) -> None:
        handle = self._handle
        if config == old or handle is None:
            return
        self._config = config
        only_direction = replace(config, sending=old.sending, receiving=old.receiving) == old

        def act() -> None:
            now, session = self._clock.now(), self._session
            if session is None:
                return  # it begins with what is agreed on then
            if source is not None:
                session.set_source(source, now)
            if only_direction:
                session.set_direction(now, sending=config.sending, receiving=config.receiving)
            else:
                session.relatch(self._placed(config), now)

        handle.run(act)

    def _work(self) -> None:
        recorder = self.recorder
        if recorder is None or self._closed:
            return
        waits = recorder.writing or recorder.waiting
        if waits:
            recorder.work()
            self._worker = self._loop.call_later(_WORK_EVERY, self._work)
        self._works = waits  # where the media thread listens by itself, it calls when that is no longer so

    # -- on the media thread

    def _build(
        self, source: FrameSource, keys: StreamKeys | None, remote: tuple[str, int], now: float
    ) -> Session:
        """Media may flow: by this address, with these keys."""
        assert self._config is not None
        self._way = keys, remote
        return self._begin(self._placed(self._config), source, now)

    def _move(self, keys: StreamKeys | None, remote: tuple[str, int], now: float) -> None:
        """The peer has another address, or other keys."""
        self._way = keys, remote
        if self._session is not None and self._config is not None:
            self._session.relatch(self._placed(self._config), now)

    def _placed(self, config: SessionConfig) -> SessionConfig:
        """With what the path has found, in place of what the description says."""
        if self._way is None:
            return config
        keys, remote = self._way
        beside = remote if config.rtcp_mux else config.remote_rtcp
        return replace(config, remote=remote, remote_rtcp=beside, srtp=config.srtp or keys)

    def collect(self) -> None:
        """Hand what the session has played and sent to the echo and to the recorder."""
        session, recorder, config = self._session, self.recorder, self._config
        if session is None or recorder is None or config is None:
            return
        frames = session.played()
        if frames:
            if self._program is not None:
                self._program.heard(frames, self._codecs)
            if self._echo is not None:
                for frame in frames:
                    if frame.payload is not None:
                        self._echo.push(frame.payload)
            recorder.heard(frames, self._codecs, config.ptime_ms, self._started)
            if not self._works and recorder.waiting:
                self._works = True
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
                    self._loop.call_soon_threadsafe(self._work)
        if config.tap_sent:
            name = self._codecs.get(config.payload_type, recorder.codec_name)
            for sent in session.sent_frames():
                recorder.sent(sent, name)
