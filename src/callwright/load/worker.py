"""Where a loop runs: in a thread here, or, one for each core, in processes whose numbers are one set."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from callwright.generator.loop import CallNoted, FailedLadder, Loop, LoopConfig, native_loop
from callwright.load.connections import Connected
from callwright.load.statistics import Snapshot
from callwright.net.bulk_streams import BulkStreams

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


@dataclass(frozen=True, slots=True)
class Reading:
    """A worker's numbers so far, the worst lateness since the last reading, calls worth a look."""

    numbers: Snapshot | None
    """None where only the end was asked for."""
    latest_us: int
    notable: list[CallNoted]
    done: bool


class WorkerDied(OSError):
    """A process was killed, or its loop broke: a guardian ends its calls, and its numbers are lost."""


class Worker(Protocol):
    """One loop at work. `start` begins a run; `read` may be asked at any time."""

    @property
    def local(self) -> tuple[str, int]: ...

    def start(self, *, registering: bool, calls: int, rate: float) -> None: ...

    def set(
        self, *, rate: float, paused: bool, concurrent: int, slower_us: int, worse_mos: float
    ) -> None: ...

    def stop(self, how: int, seconds: float) -> None: ...

    def read(self, *, numbers: bool = True) -> Reading:
        """How it stands; without `numbers` only whether it is done, which costs next to nothing."""
        ...

    def ladders(self) -> list[FailedLadder]:
        """What was said in the calls that failed, once the run is done."""
        ...

    def close(self) -> None: ...


class KeptLoad(Protocol):
    """What ends the calls of one loop, kept."""

    def close(self) -> None:
        """They have all ended."""
        ...

    def orphan(self) -> None:
        """Their process is gone, or left them: they are to be ended now."""
        ...


LoadGuard = Callable[[LoopConfig, tuple[str, int], Sequence[int]], KeptLoad]
"""config, local address, descriptors of the loop."""


_DIED = "a load process has died"
_END_SECONDS = 3.0
"""In which a loop that is closed while it runs ends its calls; `ProcessWorker.close` waits for longer."""


class ThreadWorker:
    """The loop in a thread of this process, which does not hold the GIL while it runs."""

    def __init__(self, config: LoopConfig, *, guard: LoadGuard | None = None) -> None:
        self._streams: BulkStreams | None = None
        if config.streams is not None:
            self._streams = BulkStreams(config.streams)
            config = replace(config, channel=self._streams.channel.fileno())
        try:
            self._loop: Loop = native_loop()(config)
        except BaseException:
            if self._streams is not None:
                self._streams.close()
            raise
        self._kept = guard(config, self._loop.local, self._loop.descriptors) if guard is not None else None
        self._thread: threading.Thread | None = None
        self._notes = 0
        self._error: BaseException | None = None
        self._closing = self._left = False
        self._connected = Connected()

    @property
    def local(self) -> tuple[str, int]:
        return self._loop.local

    def start(self, *, registering: bool, calls: int, rate: float) -> None:
        self._notes = 0
        if self._streams is not None:
            self._connected.begin(self._streams.counts)
        self._loop.begin(registering=registering, calls=calls, rate=rate)
        self._thread = threading.Thread(target=self._run, name="callwright-load", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._loop.run()
        except BaseException as error:
            self._error = error

    def set(self, *, rate: float, paused: bool, concurrent: int, slower_us: int, worse_mos: float) -> None:
        loop = self._loop
        loop.rate, loop.paused, loop.concurrent = rate, paused, concurrent
        loop.note_slower_than(slower_us)
        loop.note_worse_than(worse_mos)

    def stop(self, how: int, seconds: float) -> None:
        self._left = self._left or how >= 3
        self._loop.stop(how, seconds)

    def read(self, *, numbers: bool = True) -> Reading:
        done = self._thread is None or not self._thread.is_alive()  # first: no number changes after it
        if self._error is not None:
            raise self._error
        if not numbers and not done:
            return Reading(None, 0, [], done)
        loop = self._loop
        self._notes, notable = loop.notables(self._notes)
        counters, histograms = loop.counters(), loop.histograms()
        if self._streams is not None:
            counters, histograms = self._connected.onto(self._streams.counts, counters, histograms)
        told = Snapshot.of(counters, loop.codes(), histograms)
        return Reading(told, loop.take_latest(), notable, done)

    def ladders(self) -> list[FailedLadder]:
        return self._loop.ladders()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._left = self._left or self._error is not None
        if self._thread is not None and self._thread.is_alive():
            self._loop.stop(2, _END_SECONDS)  # whoever closes early leaves no call up all the same
            self._thread.join(_END_SECONDS + 1)
            if self._thread.is_alive():
                self._left = True
                self._loop.stop(3)
                self._thread.join(1)
        if self._thread is None or not self._thread.is_alive():
            self._loop.close()
        if self._streams is not None:
            self._streams.close()
        if self._kept is not None:
            if self._left:
                self._kept.orphan()
            else:
                self._kept.close()

    @property
    def left(self) -> bool:
        """Whether calls may be up that nobody has ended."""
        return self._left

    @property
    def descriptors(self) -> tuple[int, ...]:
        return self._loop.descriptors


def _serve(config: LoopConfig, pipe: Connection, theirs: Connection, parent: int) -> None:
    """The life of a process: does what the pipe says, and ends with `parent`. `theirs`: the other end, which
    a fork brings along and which would keep the pipe open for ever."""
    import signal
    from multiprocessing.reduction import send_handle

    from callwright.net.process import die_with_parent

    die_with_parent(parent)
    theirs.close()
    for number in (signal.SIGINT, signal.SIGHUP):  # the parent ends the calls in order
        signal.signal(number, signal.SIG_IGN)
    try:
        worker = ThreadWorker(config)
    except Exception as error:
        pipe.send(("error", f"{type(error).__name__}: {error}"))
        return
    # A collection would go through all that was imported, for nothing.
    gc.collect()
    gc.freeze()
    pipe.send(("ready", (worker.local, len(worker.descriptors))))
    for descriptor in worker.descriptors:
        send_handle(pipe, descriptor, None)  # the parent has them kept: it may outlive us
    try:
        while True:
            verb, arguments = pipe.recv()
            if verb == "close":
                break
            try:
                pipe.send(("ok", getattr(worker, verb)(**arguments)))
            except Exception as error:
                pipe.send(("error", f"{type(error).__name__}: {error}"))
    except (EOFError, OSError):
        pass  # the parent is gone: so are we
    worker.close()
    if worker.left:
        raise SystemExit(1)


class ProcessWorker:
    """The loop in a process of its own, which ends when this one does."""

    def __init__(self, config: LoopConfig, *, guard: LoadGuard | None = None) -> None:
        self._kept: KeptLoad | None = None
        self._left = False
        context: Any = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(config, theirs, self._pipe, os.getpid()), daemon=True
        )
        self._process.start()
        theirs.close()
        self._local: tuple[str, int]
        try:
            self._begin(config, guard)
        except BaseException:
            self._lose()
            raise

    def _begin(self, config: LoopConfig, guard: LoadGuard | None) -> None:
        from multiprocessing.reduction import recv_handle

        self._local, count = self._answer()
        descriptors: list[int] = []
        try:
            descriptors.extend(recv_handle(self._pipe) for _ in range(count))
            if guard is not None:
                self._kept = guard(config, self._local, descriptors)
        except EOFError:
            raise WorkerDied(_DIED) from None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _answer(self) -> Any:
        try:
            if not self._pipe.poll(30):
                raise WorkerDied("a load process does not answer")
            kind, value = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise WorkerDied(_DIED) from None
        if kind == "error":
            raise OSError(value)
        return value

    def _ask(self, verb: str, **arguments: Any) -> Any:
        try:
            self._pipe.send((verb, arguments))
            return self._answer()
        except WorkerDied:
            self._lose()
            raise
        except BrokenPipeError:
            self._lose()
            raise WorkerDied(_DIED) from None
        except OSError as error:
            self._lose()
            raise WorkerDied(f"a load process has broken: {error}") from None

    def _lose(self) -> None:
        """It is dead, or deaf and killed here: its calls are ended now, for nobody else does."""
        self._process.kill()
        self._process.join(5)
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.orphan()

    @property
    def local(self) -> tuple[str, int]:
        return self._local

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def start(self, *, registering: bool, calls: int, rate: float) -> None:
        self._ask("start", registering=registering, calls=calls, rate=rate)

    def set(self, *, rate: float, paused: bool, concurrent: int, slower_us: int, worse_mos: float) -> None:
        self._ask(
            "set", rate=rate, paused=paused, concurrent=concurrent, slower_us=slower_us, worse_mos=worse_mos
        )

    def stop(self, how: int, seconds: float) -> None:
        self._left = self._left or how >= 3
        self._ask("stop", how=how, seconds=seconds)

    def read(self, *, numbers: bool = True) -> Reading:
        reading: Reading = self._ask("read", numbers=numbers)
        return reading

    def ladders(self) -> list[FailedLadder]:
        found: list[FailedLadder] = self._ask("ladders")
        return found

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send(("close", {}))
        self._process.join(_END_SECONDS + 3)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(5)
        self._pipe.close()
        kept, self._kept = self._kept, None
        if kept is not None:
            if self._process.exitcode == 0 and not self._left:
                kept.close()
            else:
                kept.orphan()


def share(total: int, parts: int, index: int) -> int:
    """The part of `total` that falls to the worker `index` of `parts`; 0 (no limit) stays 0."""
    return total // parts + (1 if index < total % parts else 0)


def make_workers(configs: Sequence[LoopConfig], *, guard: LoadGuard | None = None) -> list[Worker]:
    """A thread for one loop, a process each for several. `guard` keeps what ends their calls though this
    process, or one of these, is killed. Raises NoNativeLoop and OSError; none is left running then."""
    native_loop()
    made: list[Worker] = []
    if guard is not None:
        configs = [replace(config, keep_wills=True) for config in configs]
    try:
        kind = ThreadWorker if len(configs) == 1 else ProcessWorker
        made.extend(kind(config, guard=guard) for config in configs)
    except BaseException:
        for worker in made:
            worker.close()
        raise
    return made
