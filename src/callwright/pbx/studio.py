"""Stages on real RTP: the media engine, a program for each party, and a mix for each conference."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from callwright.audio.wav import AudioFileError
from callwright.media.leg import MediaLeg, OutOfPorts
from callwright.media.mix import Mix
from callwright.media.program import Dictation, Program
from callwright.media.source import load_clip
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy
from callwright.net.media import MediaEngine
from callwright.pbx.path import NoMediaPath
from callwright.pbx.stage import Digit, Heard, Played, Stage
from callwright.phone.audio import CallAudio, Studio
from callwright.phone.permission import Permission
from callwright.phone.plan import MediaPlan
from callwright.rtp.session import DigitReceived, Event
from callwright.sdp.negotiation import Negotiated
from callwright.sip.transport import Hop
from callwright.srtp.wish import SrtpWish

__all__ = ["StudioStages"]

_CODECS = ("PCMU", "PCMA")
_WRITE_EVERY = 0.5  # seconds
_MOST_WAITING = 3_000  # frames of a recording that nobody has written: a minute


async def _no_names(host: str, port: int) -> str:
    raise ValueError(f"{host} is a name")


class StudioStages:
    """See Stages. `engine` is made with the first stage; `told(act)` runs `act(now)` on the machine, and what
    comes of it is sent. Used on one running event loop."""

    def __init__(
        self,
        engine: Callable[[], MediaEngine],
        clock: Clock,
        entropy: Entropy,
        permission: Permission,
        advertised: Callable[[Hop], str],
        told: Callable[[Callable[[float], None]], None],
    ) -> None:
        self._make_engine = engine
        self._engine: MediaEngine | None = None
        self._clock, self._entropy, self._permission = clock, entropy, permission
        self._advertised, self._told = advertised, told
        self._session_ids = itertools.count(int.from_bytes(entropy(4), "big"))
        self._rooms: dict[str, Mix] = {}
        self._closing: set[asyncio.Task[object]] = set()

    def open(self, hop: Hop, hear: Callable[[Heard, float], None]) -> Stage:
        """See Stages."""
        if self._engine is None:
            self._engine = self._make_engine()
        studio = Studio(
            engine=self._engine,
            clock=self._clock,
            entropy=self._entropy,
            permission=self._permission,
            codecs=_CODECS,
            ptime=20,
            session_ids=self._session_ids,
            advertised=lambda host: self._advertised(hop),
            find=_no_names,
        )
        try:
            return _RealStage(studio, hop, self._rooms, lambda what: self._heard(hear, what), self._keep)
        except OutOfPorts as error:
            raise NoMediaPath(str(error)) from error

    async def close(self) -> None:
        """End the engine, and all that still plays."""
        if self._closing:
            await asyncio.wait(self._closing, timeout=1.0)
        if self._engine is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._engine.close)

    def _heard(self, hear: Callable[[Heard, float], None], what: Heard) -> None:
        self._told(lambda now: hear(what, now))

    def _keep(self, task: asyncio.Task[object]) -> None:
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


_PLAN = MediaPlan(srtp=SrtpWish("optional"))
"""Who comes encrypted is served so."""


class _RealStage:
    def __init__(
        self,
        studio: Studio,
        hop: Hop,
        rooms: dict[str, Mix],
        hear: Callable[[Heard], None],
        keep: Callable[[asyncio.Task[object]], None],
    ) -> None:
        self._rooms, self._hear, self._keep = rooms, hear, keep
        self._loop = asyncio.get_running_loop()
        self._program = Program(lambda: self._on_loop(Played()))
        self._audio = CallAudio(studio, _PLAN, program=self._program, on_events=self._events)
        self._audio.open(hop.local.host, hop.remote.host)
        self._theirs = b""
        self._dictation: Dictation | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._closed = False

    # -- from the media thread

    def _events(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, DigitReceived):
                self._on_loop(Digit(event.digit))

    def _on_loop(self, what: Heard) -> None:
        try:
            self._loop.call_soon_threadsafe(self._tell, what)
        except RuntimeError:
            return  # the loop is closed: nobody wants to know any more

    def _tell(self, what: Heard) -> None:
        if not self._closed:
            self._hear(what)

    # -- descriptions

    @property
    def theirs(self) -> bytes:
        """See Stage."""
        return self._theirs

    def answer(self, offer: bytes) -> bytes:
        """See Stage."""
        audio = self._audio
        if audio.ours is None:
            negotiated = audio.answer(offer)
        else:
            audio.ours, negotiated = audio.reanswer(offer)
        assert audio.ours is not None
        self._agreed(negotiated)
        self._theirs = offer
        return audio.ours.serialize()

    def offer(self) -> bytes:
        """See Stage."""
        if self._audio.ours is None:
            return self._audio.offer()
        self._audio.ours = self._audio.next_offer()
        return self._audio.ours.serialize()

    def conclude(self, answer: bytes) -> None:
        """See Stage."""
        self._agreed(self._audio.conclude(answer))
        self._theirs = answer

    def _agreed(self, negotiated: Negotiated) -> None:
        refusal = self._audio.refusal(negotiated)
        if refusal is not None:
            raise ValueError(refusal)
        if not CallAudio.is_numeric(negotiated):
            raise ValueError(
                f"The description names the host {negotiated.remote_host}; an address is needed."
            )
        self._audio.start(negotiated, sending=True, answered=True)

    # -- what it does

    @property
    def _leg(self) -> MediaLeg:
        assert self._audio.leg is not None
        return self._audio.leg

    def play(self, *clips: str, repeat: bool = False) -> None:
        """See Stage. A clip that cannot be read is left out."""
        usable = tuple(clip for clip in clips if _is_usable(clip))
        self._leg.run(lambda: self._program.play(usable, repeat=repeat))
        if clips and not usable:
            self._loop.call_soon(self._tell, Played())

    def echo(self) -> None:
        """See Stage."""
        self._leg.run(self._program.echo)

    def join(self, room: str) -> None:
        """See Stage."""
        mix = self._rooms.setdefault(room, Mix())
        self._leg.run(lambda: self._program.join(mix))

    def record(self, path: Path) -> None:
        """See Stage."""
        frames: deque[tuple[float, bytes]] = deque(maxlen=_MOST_WAITING)
        self._leg.run(lambda: self._program.record(frames))
        self._dictation = Dictation(path, frames)
        self._write()

    def stop_recording(self) -> float:
        """See Stage."""
        dictation, self._dictation = self._dictation, None
        if dictation is None:
            return 0.0
        self._leg.run(self._program.stop_recording)
        dictation.close()
        return dictation.seconds

    def close(self) -> None:
        """See Stage."""
        if self._closed:
            return
        self._closed = True
        self.stop_recording()
        self._leg.run(self._program.close)
        self._keep(self._loop.create_task(self._audio.close()))

    def _write(self) -> None:
        if self._dictation is not None:
            self._dictation.work()
            self._writing = self._loop.call_later(_WRITE_EVERY, self._write)


def _is_usable(clip: str) -> bool:
    try:
        load_clip(clip, 8000)
    except (AudioFileError, KeyError, OSError):
        return False
    return True
