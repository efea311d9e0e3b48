"""Which forwarder relays media."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.net.clock import Clock, SystemClock
from callwright.net.forwarder import Forwarder
from callwright.net.ports import MediaPorts
from callwright.net.tap import Tap


def native_forwarder() -> type[Forwarder] | None:
    """The one on the native room; None where it was not built, or is not wanted (CALLWRIGHT_PURE)."""
    try:
        from callwright.net.forwarder_native import NativeForwarder
    except ImportError:
        return None
    return NativeForwarder


def media_forwarder(
    *, ports: MediaPorts | None = None, clock: Clock | None = None, taps: Sequence[Tap] = ()
) -> Forwarder:
    """The best there is here; the arguments are those of `Forwarder`."""
    native = native_forwarder()
    # The native one keeps time itself, by CLOCK_MONOTONIC.
    own_clock = clock is not None and not isinstance(clock, SystemClock)
    made = Forwarder if native is None or own_clock else native
    return made(ports=ports, clock=clock, taps=taps)
