"""What the load loop is told and what it tells.

A loop places and answers calls over UDP in one thread. Another thread sets its rate, pauses and stops it, and
reads its numbers while it runs; numbers read meanwhile are each right, though not all of one moment.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from callwright.generator.names import SLOTS
from callwright.net.bulk_streams import StreamPlan
from callwright.sip.transport import Address

Segments = tuple[tuple[str, bytes | int], ...]
_PLACEHOLDER = re.compile(r"\{([a-z_]+)(?::(\d+))?\}")


class CallNoted(NamedTuple):
    """A call worth a look: failed, or among the slowest."""

    at: float
    """Seconds since the loop began."""
    number: int
    account: int
    outcome: int
    """Index into OUTCOMES."""
    code: int
    """Final status, 0 without."""
    pdd: int
    """Microseconds."""
    setup: int
    mos: int
    """Thousandths, -1 without media."""


class MessageNoted(NamedTuple):
    """A message of a call, as it was on the wire."""

    at: float
    """Seconds since the loop began."""
    sent: bool
    """By us; else received."""
    data: bytes


class FailedLadder(NamedTuple):
    """What was said in one call."""

    call: CallNoted
    whole: bool
    """No message is missing. Of a long or old call only the newest are there."""
    messages: tuple[MessageNoted, ...]


def compile_message(text: str) -> Segments:
    """A message with `{slot}` and `{field:N}` as the segments that a loop fills. Raises ValueError."""
    segments: list[tuple[str, bytes | int]] = []
    at = 0
    for match in _PLACEHOLDER.finditer(text):
        if match.start() > at:
            segments.append(("literal", text[at : match.start()].encode("utf-8", "surrogateescape")))
        name, column = match[1], match[2]
        if name not in SLOTS or name == "literal":
            raise ValueError(f"{{{name}}} is no part of a message")
        segments.append((name, int(column) if column is not None else b""))
        at = match.end()
    if at < len(text):
        segments.append(("literal", text[at:].encode("utf-8", "surrogateescape")))
    return tuple(segments)


def networks_of(texts: Sequence[str]) -> tuple[tuple[bytes, int], ...]:
    """Networks in CIDR notation as the loop compares them: IPv6 octets and prefix length of 128."""
    found = []
    for text in texts:
        network = ipaddress.ip_network(text, strict=False)
        if network.version == 4:
            found.append((bytes(10) + b"\xff\xff" + network.network_address.packed, network.prefixlen + 96))
        else:
            found.append((network.network_address.packed, network.prefixlen))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaConfig:
    """RTP of a loop. `payload` is encoded audio that each stream sends again and again, by `frame` octets."""

    mode: str
    """`ports` (a socket for each stream) or `shared` (one for all)."""
    host: str
    low: int
    high: int
    """Ports, all of five digits, since messages are prepared once."""
    payload: bytes
    frame: int = 160
    payload_type: int = 0
    clock_rate: int = 8000
    ptime: float = 0.020
    jitter_buffer: float = 0.050
    """Seconds; what comes later than this after its time is discarded."""
    r_best: float = 93.2
    """R without loss at the delay that is assumed; the loop subtracts Ie,eff (G.107 eq. 7-29)."""
    ie: float = 0.0
    bpl: float = 4.3
    min_heard: float = 90.0
    """Percent of the time in which audio is due that has to be without an unexplained gap; 0 does not ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """Times in seconds."""

    local: Address
    """Port 0: any."""
    remote: Address | None = None
    salt: int
    """32 bits that stand in every name the loop makes: other loops' messages are told apart by it."""
    seed: bytes
    """16 random octets."""
    messages: Mapping[str, Segments]
    caller: bool = True
    answerer: bool = False
    registering: bool = False
    """The caller sends REGISTER, not INVITE."""
    calls: int = 0
    """Calls to place or to take, 0 without limit."""
    concurrent: int = 0
    rate: float = 0.0
    hold: float = 0.0
    """Caller: from the answer to BYE. Answerer: 0 leaves hanging up to the other side."""
    hold_spread: float = 0.0
    """Up to this much more, evenly distributed."""
    ring_for: float = 180.0
    """Then CANCEL. Timer C (16.6) is at least three minutes."""
    cancel_after: float = 0.0
    """Cancel every call this long after its first provisional response; 0 never."""
    ring_time: float = 0.0
    """Answerer: from 180 to 200."""
    trying: bool = True
    ringing: bool = True
    reject: int = 0
    prack: str = "offered"
    """Reliable provisionals (RFC 3262): `no`, `offered` (as the other side wants it) or `required`."""
    session_expires: int = 0
    """Session timer to ask for (RFC 4028), in whole seconds; 0: what the other side asks for."""
    min_se: int = 90
    refresher: str | None = None
    """`local` or `remote`: who is asked to refresh."""
    refresh_by: str | None = None
    """`UPDATE` or `INVITE`; None: UPDATE where the other side takes it."""
    expires: int = 3600
    """Seconds: of registrations; a 423 raises it."""
    t1: float = 0.5
    t2: float = 4.0
    linger: float = 0.5
    """For which an ended call still answers what is repeated."""
    quiet: float = 0.6
    """Answerer with a limit: leave when nothing has come for this long."""
    accounts: tuple[tuple[bytes, ...], ...] = ()
    user_column: int = -1
    password_column: int = -1
    random_account: bool = False
    ladders: int = 5
    """Calls of each class of failures of which the messages are kept, besides the slowest call; 0: none."""
    networks: tuple[tuple[bytes, int], ...] = ()
    """Where in-dialog requests and RTP may go besides the target, at any port."""
    own: tuple[Address, ...] = ()
    """Where in-dialog requests may go at this port alone: our own PBX."""
    near: bool = False
    """A peer that is on this machine may lead to any loopback address; one from outside never may."""
    share_port: bool = False
    """Several processes answer on one port (SO_REUSEPORT)."""
    media: MediaConfig | None = None
    streams: StreamPlan | None = None
    """Over TCP or TLS; None: UDP."""
    connections: str = "one"
    """Of a caller over streams: `one`, or `per-call`."""
    channel: int = -1
    """The loop's end of `net.bulk_streams.BulkStreams`, made where the loop is."""
    keep_wills: bool = False
    """What ends each call is kept in memory that can be shared: `Loop.descriptors`."""
    extra: Mapping[str, object] = field(default_factory=dict)


class Loop(Protocol):
    """The native loop, as Python sees it."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Of the memory that holds what ends each call (see load_wills), and of the sockets; none where
        nothing is kept."""
        ...

    rate: float
    """Calls per second to place."""
    concurrent: int
    paused: bool

    @property
    def local(self) -> tuple[str, int]: ...

    @property
    def registering(self) -> bool: ...

    def begin(self, *, registering: bool, calls: int, rate: float) -> None:
        """Between two runs: forget all numbers and begin another phase."""

    def run(self, seconds: float | None = None) -> bool:
        """Until everything is done (True), or for so long (False). Only one thread may run it."""
        ...

    def stop(self, how: int, seconds: float = 8.0) -> None:
        """1: no new calls. 2: end every call with BYE or CANCEL, for at most so long. 3: leave at once."""

    def counters(self) -> list[int]:
        """In the order of COUNTERS."""
        ...

    def take_latest(self) -> int:
        """Microseconds: how late a call was placed at worst since this was last asked."""
        ...

    def codes(self) -> dict[int, int]:
        """Calls that ended with a final response other than 2xx, by status."""
        ...

    def histogram(self, which: int) -> bytes:
        """BUCKETS counts of 64 bits, native order; `which` is an index into HISTOGRAMS."""
        ...

    def histograms(self) -> bytes:
        """All of them, one after another."""
        ...

    def note_slower_than(self, microseconds: int) -> None: ...

    def note_worse_than(self, mos: float) -> None: ...

    def notables(self, since: int) -> tuple[int, list[CallNoted]]:
        """Calls noted after the first `since`, and how many there have been; at most the last 1,024."""
        ...

    def ladders(self) -> list[FailedLadder]:
        """The messages of calls that failed, the first of each class, and last those of the slowest call that
        we placed. Nothing while the loop runs.
        """
        ...

    def close(self) -> None: ...


class NoNativeLoop(Exception):
    """The native loop cannot run here. `reason` is a sentence without its period, `remedy` one with it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


def native_loop() -> Callable[[LoopConfig], Loop]:
    """What makes a loop; it raises OSError when a port cannot be opened. Raises NoNativeLoop."""
    if sys.platform != "linux":
        raise NoNativeLoop(
            "a load needs the native load loop, which runs on Linux alone",
            "Run it on Linux, or in the container.",
        )
    try:
        from callwright.generator._loop import LoadLoop
    except ModuleNotFoundError:
        raise NoNativeLoop(
            "a load needs the native load loop, which was not built here",
            "Install gcc and Python's headers (Debian: gcc, python3-dev), then install Callwright again.",
        ) from None
    except ImportError as error:
        raise NoNativeLoop(
            f"a load needs the native load loop, which cannot be used: {error}",
            "Unset CALLWRIGHT_PURE where it is set; else build the native code again: make install.",
        ) from None
    return LoadLoop
