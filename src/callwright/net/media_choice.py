"""Which media engine hosts the sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from callwright.net.clock import Clock, SystemClock
from callwright.net.media import MediaEngine
from callwright.net.ports import MediaPorts
from callwright.net.tap import Tap


def native_engine() -> type[MediaEngine] | None:
    """The engine on the native rooms; None where they were not built, or are not wanted (CALLWRIGHT_PURE)."""
    try:
        from callwright.net.media_native import NativeMediaEngine
    except ImportError:
        return None
    return NativeMediaEngine


def code_sums() -> Callable[[bytes, bytes, bytes], tuple[int, int]] | None:
    """`_media.sum_codes`, which listens to G.711 as it comes; None where it was not built."""
    try:
        from callwright.net._media import sum_codes
    except ImportError:
        return None
    return sum_codes


def frame_sums() -> Callable[..., Any] | None:
    """`_media.sum_frames`, which listens to many frames at once; None where it was not built."""
    try:
        from callwright.net._media import sum_frames
    except ImportError:
        return None
    return sum_frames


def media_engine(
    *,
    ports: MediaPorts | None = None,
    clock: Clock | None = None,
    taps: Sequence[Tap] = (),
    raise_priority: bool = True,
) -> MediaEngine:
    """The best engine there is here; the arguments are those of `MediaEngine`."""
    native = native_engine()
    # The native one keeps time itself, by CLOCK_MONOTONIC.
    own_clock = clock is not None and not isinstance(clock, SystemClock)
    engine = MediaEngine if native is None or own_clock else native
    return engine(ports=ports, clock=clock, taps=taps, raise_priority=raise_priority)
