"""What the load loop is told and what it tells.

A loop places and answers calls over UDP in one thread. Another thread sets its rate, pauses and stops it, and
reads its numbers while it runs; numbers read meanwhile are each right, though not all of one moment.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from callwright.net.address import family_of, sockaddr
from callwright.net.ports import SO_TIMESTAMPNS
from callwright.net.udp import enable_error_queue
from callwright.sip.transport import Address

__all__ = [
    "BUCKETS",
    "COUNTERS",
    "FIRST_VERSION",
    "HISTOGRAMS",
    "LADDERS",
    "LADDER_MESSAGES",
    "MESSAGES",
    "MOS_LEAST",
    "OUTCOMES",
    "SLOTS",
    "CallNoted",
    "Ladder",
    "Loop",
    "LoopConfig",
    "MediaConfig",
    "MessageNoted",
    "NoNativeLoop",
    "Segments",
    "bucket_value",
    "compile_message",
    "mos_value",
    "native_loop",
    "networks_of",
    "open_shared_port",
    "open_sockets",
]

OUTCOMES = (
    "answered",
    "canceled",
    "timeout",  # no response at all in 64·T1
    "no_answer",  # rang for too long, or 2xx after we gave up
    "bye_timeout",  # answered, but its BYE was not
    "refused",  # ICMP port unreachable
    "unreachable",  # another ICMP error, or no way there
    "unexpected",  # a 2xx without tag or Contact, and the like
    "no_port",  # the range of RTP ports was exhausted
    "no_ack",  # we answered and never saw the ACK
    "no_media",  # answered, and no RTP packet with audio came
    "media_gaps",  # answered, and less than `MediaConfig.min_heard` of the call was without a gap
    "status",  # a final response other than 2xx; `codes` says which
)
"""How a call ended. The first is a success, the second is nobody's failure, all others are failures."""

COUNTERS = (
    *OUTCOMES,
    "attempted",
    "established",  # a 2xx was received, or sent
    "confirmed",  # answering side: the ACK came
    "active",
    "peak",
    "sent",  # SIP messages
    "received",
    "resent",
    "repeated",  # what the other side sent again
    "malformed",
    "stray",  # belongs to no call of ours
    "drops",  # datagrams that the kernel dropped for want of buffer (SO_RXQ_OVFL)
    "send_errors",
    "send_blocked",
    "retry_after",  # responses with Retry-After
    "retry_after_max",  # seconds
    "challenged",
    "registered",
    "hung_up",  # by the other side
    "abandoned",  # not ended when the time for stopping was over; counted as failed or canceled as well
    "withheld",  # calls due, but as many were under way as permitted
    "turns",
    "late",  # calls placed more than 20 ms after they were due
    "rtp_sent",
    "rtp_received",
    "rtp_lost",
    "rtp_discarded",
    "rtp_duplicated",
    "rtp_reordered",
    "rtp_unmatched",
    "rtp_send_errors",
    "streams",
    "streams_peak",
    "media_drops",
    "streams_ended",
    "streams_silent",
    "streams_moved",  # they went on from another address, and we follow them there
    "rtp_gaps",  # half a second or more without a packet, where audio was due
    "rtp_due_ms",  # time in which audio was due
    "rtp_gap_ms",
    "rtp_dtx_ms",  # left out by the sender on purpose
    "registrations",  # REGISTER requests that the answering side took
    "registrations_failed",
    "cpu_ns",
    "latest_us",
)
HISTOGRAMS = (
    "pdd",
    "setup",
    "bye",
    "register",
    "lateness",
    "rtp_lateness",
    "jitter",
    "mos",
    "loss",
    "unheard",
)
"""In microseconds, but `mos` in thousandths, `loss` (of a stream) and `unheard` (its time in gaps) in
hundredths of a percent."""
BUCKETS = 3072
MOS_LEAST = 1429
"""Thousandths: of MOS a bucket is one of these and up, so that a limit is held exactly."""

MESSAGES = (
    "invite",
    "ack",
    "ack_failed",
    "bye",
    "cancel",
    "register",
    "ringing",
    "ok",
    "empty",
    "hangup",
    "challenge",
    "registered",
)
SLOTS = (
    "literal",
    "id",
    "branch",
    "cseq",
    "to",
    "target",
    "routes",
    "port",
    "ssrc",
    "field",
    "authorization",
    "number",
    "local",
    "call_id",
    "tag",
    "direction",
    "version",
)
#: Of the SDP of a loop: ten digits, as many as it can rise to.
FIRST_VERSION = 1_000_000_000
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


class Ladder(NamedTuple):
    """What was said in one call."""

    call: CallNoted
    whole: bool
    """No message is missing. Of a long or old call only the newest are there."""
    messages: tuple[MessageNoted, ...]


LADDER_MESSAGES = 40
"""The most messages of one call that are kept."""
LADDERS = 256
"""The most calls of which a loop keeps the messages."""


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


def mos_value(index: int) -> int:
    """Thousandths of a bucket of MOS. The first holds all that are lower, and is taken for the lowest."""
    return MOS_LEAST + index if index else 1000


def bucket_value(index: int) -> int:
    """The least value of a histogram's bucket."""
    if index < 256:
        return index
    shift = index // 128 - 1
    return (index - 128 * shift) << shift


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

    def ladders(self) -> list[Ladder]:
        """The messages of calls that failed, the first of each class, and last those of the slowest call that
        we placed. Nothing while the loop runs.
        """
        ...

    def close(self) -> None: ...


def open_sockets(config: LoopConfig) -> tuple[socket.socket, ...]:
    """The sockets of a loop: one that is connected to the target and one for all others on the same port, or,
    without a target, one. Raises OSError.

    A connected socket needs no look at the routing table for each datagram, and gets ICMP errors everywhere.
    """
    first = _socket(config, connect=config.remote)
    if config.remote is None:
        return (first,)
    host, port = first.getsockname()[:2]
    try:
        return first, _socket(config, at=Address(host, port))
    except OSError:
        first.close()
        raise


#: linux/socket.h; CPython does not export them.
_SO_RXQ_OVFL = 40
_UDP_GRO = 104
_SO_RCVBUFFORCE = 33
_SO_SNDBUFFORCE = 32
BUFFER = 32 * 1024 * 1024


def _socket(
    config: LoopConfig, *, connect: Address | None = None, at: Address | None = None
) -> socket.socket:
    local = at or config.local
    sock = socket.socket(family_of(local.host), socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if config.remote is not None or config.share_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        enlarge(sock, BUFFER)
        if sys.platform == "linux":
            sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            enable_error_queue(sock)
        sock.bind(sockaddr(local))
        if connect is not None:
            sock.connect(sockaddr(connect))
    except OSError:
        sock.close()
        raise
    return sock


def open_shared_port(media: MediaConfig, *, joined: bool = False) -> socket.socket:
    """The one port of all streams: the first free even one of the range. Raises OSError.

    With `joined` the kernel may hand over several packets of one flow in one piece (UDP_GRO, udp(7)), each as
    long as its control message says.
    """
    for port in range(media.low + media.low % 2, media.high + 1, 2):
        sock = socket.socket(family_of(media.host), socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind(sockaddr(Address(media.host, port)))
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                continue
            raise
        enlarge(sock, BUFFER)
        if sys.platform == "linux":
            sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            if joined:
                with contextlib.suppress(OSError):  # a kernel before 5.0
                    sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        return sock
    raise OSError(errno.EADDRINUSE, f"no RTP port is free in {media.low}-{media.high} on {media.host}")


def enlarge(sock: socket.socket, size: int) -> None:
    """Buffers as large as the kernel permits; larger than its limit where we may."""
    for option, force in ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE)):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, option, size)
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, force, size)


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
