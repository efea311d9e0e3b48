"""Calls on tape as MP3 files: written off the loop while they go on, told of when they are whole."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from callwright.audio.mp3 import Mp3Writer
from callwright.audio.wav import AudioFileError
from callwright.media.source import load_clip
from callwright.net.clock import Clock
from callwright.pbx.record import recording_name
from callwright.pbx.tape import RATE, Tape

__all__ = ["NoRecordings", "Recorded", "Recordings", "Recordist"]

_log = logging.getLogger(__name__)
_WRITE_EVERY = 0.5  # seconds
_ANNOUNCEMENT = "say:recorded"


@dataclass(frozen=True, slots=True)
class Recorded:
    """`call`: the id of its record; `began`: monotonic seconds."""

    call: str
    path: Path
    began: float
    seconds: float


class Recordist:
    """Where tapes come from."""

    def tape(self, call: str, part: int = 1) -> Tape | None:
        """For a call, by the id of its record, its ``part``-th; None: nothing is recorded here."""
        raise NotImplementedError

    def end(self, tape: Tape, now: float) -> None:
        """The call is over, or it is recorded no longer."""
        raise NotImplementedError


class NoRecordings(Recordist):
    """A PBX that records nothing."""

    def tape(self, call: str, part: int = 1) -> Tape | None:
        """See Recordist."""
        return None

    def end(self, tape: Tape, now: float) -> None:
        """See Recordist."""


class _File:
    def __init__(self, call: str, path: Path) -> None:
        self.call, self.path, self.part = call, path, path.with_suffix(".part")
        self.writer: Mp3Writer | None = None
        self.failed = False

    def write(self, left: bytes, right: bytes) -> None:
        """On the writing thread."""
        if self.failed or not left:
            return
        try:
            if self.writer is None:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.part.touch(mode=0o600)
                self.writer = Mp3Writer(self.part, RATE)
            self.writer.write(left, right)
        except (AudioFileError, OSError) as error:
            self._fail(error)

    def close(self) -> float:
        """Its length in seconds; 0: nothing was recorded."""
        if self.writer is None or self.failed:
            return 0.0
        try:
            self.writer.close()
            self.part.rename(self.path)
        except (AudioFileError, OSError) as error:
            self._fail(error)
            return 0.0
        return self.writer.seconds

    def _fail(self, error: Exception) -> None:
        self.failed = True
        _log.error("the call %s is not recorded any further: %s", self.call, error)


class Recordings(Recordist):
    """Files `….mp3` in a folder, `….part` until they are whole, named by `recording_name`. Used on one
    running event loop; `on_done` is called there."""

    def __init__(self, folder: Path, clock: Clock, on_done: Callable[[Recorded], None]) -> None:
        self._folder, self._clock, self._on_done = folder, clock, on_done
        self._files: dict[Tape, _File] = {}
        self._thread = ThreadPoolExecutor(1, "recordings")
        for left in folder.glob("*.part"):  # of a process that was killed: whole but for its last second
            with contextlib.suppress(OSError):
                left.rename(left.with_suffix(".mp3"))
        self._writing: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def tape(self, call: str, part: int = 1) -> Tape | None:
        """See Recordist."""
        tape = Tape(load_clip(_ANNOUNCEMENT, RATE).pcm)
        self._files[tape] = _File(call, self._folder / f"{recording_name(call, part)}.mp3")
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._keep_writing())
        return tape

    def end(self, tape: Tape, now: float) -> None:
        """See Recordist."""
        file = self._files.pop(tape, None)
        if file is not None:
            task = asyncio.get_running_loop().create_task(self._end(tape, file, now))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Every file is whole afterwards."""
        if self._writing is not None:
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
        for tape in list(self._files):
            self.end(tape, self._clock.now())
        await asyncio.gather(*self._ending)
        self._thread.shutdown()

    async def _keep_writing(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_WRITE_EVERY)
            for tape, file in list(self._files.items()):
                await loop.run_in_executor(self._thread, self._write, tape, file, self._clock.now())

    @staticmethod
    def _write(tape: Tape, file: _File, now: float) -> None:
        file.write(*tape.take(now))

    async def _end(self, tape: Tape, file: _File, now: float) -> None:
        def finished() -> float:
            file.write(*tape.end(now))
            return file.close()

        seconds = await asyncio.get_running_loop().run_in_executor(self._thread, finished)
        if tape.lost:
            _log.warning("%d packets of the call %s are not in its recording", tape.lost, file.call)
        if seconds > 0 and tape.began is not None:
            self._on_done(Recorded(file.call, file.path, tape.began, seconds))
