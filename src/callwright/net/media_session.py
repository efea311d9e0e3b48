"""A session on the media engine: what it has to be, and how others reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from callwright.net.ports import PortPair
from callwright.net.tap import Tap

if TYPE_CHECKING:
    from callwright.net.media import MediaEngine

T = TypeVar("T")


class MediaSession(Protocol):
    """An RTP session without I/O, as `rtp.Session`. Only the media thread calls it once it was started."""

    def receive_batch(self, batch: Iterable[tuple[bytes, tuple[str, int], float]]) -> None:
        """(data, source, arrival in monotonic seconds), in order of arrival."""
        ...

    def receive_rtcp(self, data: bytes, source: tuple[str, int], now: float) -> None: ...
    def wake(self, now: float) -> None: ...
    def next_wake(self) -> float | None: ...

    def transmissions(self) -> Sequence[tuple[bytes, tuple[str, int], bool]]:
        """Takes (data, destination, is_rtcp)."""
        ...

    def events(self) -> Sequence[Any]: ...


class MediaHandle:
    """A session on the engine. Its methods may be called from any thread."""

    def __init__(
        self,
        engine: MediaEngine,
        session: MediaSession,
        ports: PortPair,
        on_events: Callable[[Sequence[Any]], None],
        on_broken: Callable[[BaseException], None],
        on_refused: Callable[[tuple[str, int], str], None],
        tap: Tap | None,
        rtcp_mux: bool,
    ) -> None:
        self.session = session
        self.ports = ports
        self.unsent = 0
        """Packets that the kernel would not take."""
        self.dropped = 0
        """Packets that the kernel dropped since we did not read them in time; known at the end, and only on
        the native rooms."""
        self.rtcp_mux = rtcp_mux
        self._engine = engine
        self._on_events = on_events
        self._on_broken = on_broken
        self._on_refused = on_refused
        self._tap = tap
        self._due: float | None = None
        self._refused: set[tuple[str, int]] = set()
        self._numeric: set[tuple[str, int]] = set()
        self._running = False
        self._heard: list[tuple[bytes, tuple[str, int], float]] = []
        self._heard_rtcp: list[tuple[bytes, tuple[str, int], float]] = []

    def run(self, act: Callable[[], T]) -> Future[T]:
        """Runs something with the session on the media thread and sends what comes of it."""
        return self._engine.run(act, self)

    def stop(self) -> Future[None]:
        """Takes the session off the engine and gives its ports back. What it still had to send is sent."""
        return self._engine.stop(self)
