"""One RTP session with one far end (RFC 3550), without sockets and clocks: the five verbs of the house."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from callwright.rtp.report import MediaReport


class FrameSource(Protocol):
    """Where the encoded audio comes from. The session asks once each ptime, and not while it is silent."""

    def next_frame(self) -> bytes | None:
        """One ptime of encoded payload; None when there is nothing to send now."""
        ...


class PlayedFrame(NamedTuple):
    """A frame of the far end in play-out order (primary buffer); payload None: `lost` frames are missing here."""

    media_time: float  # seconds since the first packet of the stream
    payload: bytes | None
    payload_type: int
    lost: int
    play_time: float  # monotonic seconds


class SentFrame(NamedTuple):
    """A frame as it was sent; telephone-event packets are not among them."""

    media_time: float  # seconds since `MediaReport.started`, by the RTP timestamp
    payload: bytes
    payload_type: int
    sent_at: float


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What offer and answer settled, and how to send."""

    remote: tuple[str, int]
    remote_rtcp: tuple[str, int]
    payload_type: int
    clock_rate: int
    samples_per_packet: int  # in RTP clock units
    ptime_ms: int
    receive_payload_types: dict[int, tuple[str, int]]  # pt -> (name, clock rate)
    cname: str
    wall_offset: float = 0.0  # unix seconds = now + wall_offset
    telephone_event: int | None = None  # payload type to send
    sending: bool = True
    receiving: bool = True
    permits: Callable[[tuple[str, int]], bool] | None = None  # may RTP come from, and go to, this address?
    symmetric: bool = True  # send to where RTP comes from
    rtcp_mux: bool = False
    tap_received: bool = False  # keep played frames for `played()`
    tap_sent: bool = False  # keep sent frames for `sent_frames()`
    max_catch_up: int = 3
    tone_ms: int = 100
    tone_pause_ms: int = 100


class Transmission(NamedTuple):
    data: bytes
    address: tuple[str, int]
    is_rtcp: bool


@dataclass(frozen=True, slots=True)
class SourceLatched:
    source: tuple[str, int]
    now: float


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The first audio packet of an SSRC."""

    ssrc: int
    payload_type: int
    now: float


@dataclass(frozen=True, slots=True)
class DigitReceived:
    digit: str
    now: float


@dataclass(frozen=True, slots=True)
class FarEndReported:
    fraction_lost: float
    cumulative_lost: int
    jitter_ms: float
    rtt_ms: float | None
    now: float


@dataclass(frozen=True, slots=True)
class ByeReceived:
    now: float


Event = SourceLatched | StreamStarted | DigitReceived | FarEndReported | ByeReceived


class Session:
    def __init__(
        self, config: SessionConfig, entropy: Callable[[int], bytes], source: FrameSource | None = None
    ) -> None:
        raise NotImplementedError

    ssrc: int
    closed: bool

    def start(self, now: float) -> None:
        """Begin: the schedule of packets and the series of the report count from here."""

    def receive(self, data: bytes, source: tuple[str, int], now: float) -> None: ...
    def receive_batch(self, batch: Iterable[tuple[bytes, tuple[str, int], float]]) -> None: ...
    def receive_rtcp(self, data: bytes, source: tuple[str, int], now: float) -> None: ...
    def wake(self, now: float) -> None: ...
    def next_wake(self) -> float | None:
        raise NotImplementedError

    def transmissions(self) -> list[Transmission]:
        raise NotImplementedError

    def events(self) -> list[Event]:
        raise NotImplementedError

    def send_digits(self, digits: str, now: float) -> None: ...
    def set_source(self, source: FrameSource | None) -> None: ...
    def set_direction(self, now: float, *, sending: bool, receiving: bool) -> None: ...
    def relatch(self, config: SessionConfig, now: float) -> None:
        """A new offer and answer: take what is new in `config`; the next valid source is latched."""

    def close(self, now: float) -> None:
        """Last compound SR/RR with BYE; nothing is sent after it."""

    def played(self) -> list[PlayedFrame]:
        raise NotImplementedError

    def sent_frames(self) -> list[SentFrame]:
        raise NotImplementedError

    def report(self, now: float) -> MediaReport:
        raise NotImplementedError
