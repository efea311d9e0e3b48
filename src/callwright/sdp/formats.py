"""Audio formats: what a payload type means, statically (RFC 3551 table 4) or by rtpmap; when two are one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from callwright.sdp.lines import Attribute, SdpError, number
from callwright.sdp.media import Media

__all__ = [
    "CODECS",
    "STATIC_PAYLOAD_TYPES",
    "AudioFormat",
    "allocate",
    "audio_format",
    "formats_of",
    "telephone_events",
]

TELEPHONE_EVENT = "telephone-event"


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """One way to put audio into RTP. ``clock_rate`` is the RTP clock in Hz, not the codec's sampling rate.

    ``payload_type`` None: any that is free. ``fmtp``: parameters as text, from whoever described the format.
    """

    name: str
    clock_rate: int
    channels: int = 1
    payload_type: int | None = None
    fmtp: str = ""

    def matches(self, other: AudioFormat) -> bool:
        """The same encoding: names without regard to case, clock rate, channels."""
        return (
            self.clock_rate == other.clock_rate
            and self.channels == other.channels
            and (self.name == other.name or self.name.lower() == other.name.lower())
            and (self.name[:3].upper() != "AMR" or self._is_aligned == other._is_aligned)
        )

    @property
    def _is_aligned(self) -> bool:
        """Of AMR: both ends need the same kind of payload (RFC 4867 section 8.3.1)."""
        return "octet-align=1" in self.fmtp.replace(" ", "").split(";")

    @property
    def _identity(self) -> tuple[str, int, int]:
        return self.name.lower(), self.clock_rate, self.channels

    @property
    def is_telephone_event(self) -> bool:
        return self.name.lower() == TELEPHONE_EVENT

    @property
    def rtpmap(self) -> str:
        """``opus/48000/2``; one channel is not written."""
        channels = f"/{self.channels}" if self.channels > 1 else ""
        return f"{self.name}/{self.clock_rate}{channels}"

    def __str__(self) -> str:
        return self.rtpmap


STATIC_PAYLOAD_TYPES: dict[int, AudioFormat] = {
    payload_type: AudioFormat(name, clock_rate, channels, payload_type)
    for payload_type, name, clock_rate, channels in (
        (0, "PCMU", 8000, 1),
        (3, "GSM", 8000, 1),
        (4, "G723", 8000, 1),
        (5, "DVI4", 8000, 1),
        (6, "DVI4", 16000, 1),
        (7, "LPC", 8000, 1),
        (8, "PCMA", 8000, 1),
        (
            9,
            "G722",
            8000,
            1,
        ),  # samples at 16 kHz; the clock is 8000 by an old mistake (RFC 3551 section 4.5.2)
        (10, "L16", 44100, 2),
        (11, "L16", 44100, 1),
        (12, "QCELP", 8000, 1),
        (13, "CN", 8000, 1),
        (14, "MPA", 90000, 1),
        (15, "G728", 8000, 1),
        (16, "DVI4", 11025, 1),
        (17, "DVI4", 22050, 1),
        (18, "G729", 8000, 1),
    )
}

_STATIC = {known._identity: number_ for number_, known in STATIC_PAYLOAD_TYPES.items()}

CODECS: dict[str, AudioFormat] = {
    **{known.name.lower(): replace(known, payload_type=None) for known in STATIC_PAYLOAD_TYPES.values()},
    "l16": AudioFormat("L16", 8000),
    "dvi4": AudioFormat("DVI4", 8000),
    "opus": AudioFormat("opus", 48000, 2),  # always written so, mono too (RFC 7587 section 7)
    "ilbc": AudioFormat("iLBC", 8000, fmtp="mode=20"),
    "g726-32": AudioFormat("G726-32", 8000),
    "amr": AudioFormat("AMR", 8000, fmtp="octet-align=1"),
    "amr-wb": AudioFormat("AMR-WB", 16000, fmtp="octet-align=1"),
    TELEPHONE_EVENT: AudioFormat(TELEPHONE_EVENT, 8000, fmtp="0-16"),
}


def audio_format(name: str) -> AudioFormat:
    """The format a person means by a codec's name: ``pcmu``, ``opus``, ``L16/16000``, ``speex/8000/1``.

    Raises SdpError for a name that is not known and does not say its clock rate.
    """
    word, slash, rest = name.strip().partition("/")
    known = CODECS.get(word.lower())
    if not slash:
        if known is None:
            raise SdpError(f"there is no codec {name!r}; known are {', '.join(sorted(CODECS))}")
        return known
    clock_text, _, channel_text = rest.partition("/")
    clock_rate = number(clock_text, 1, 10_000_000, "clock rate")
    default = known.channels if known is not None and known.clock_rate == clock_rate else 1
    channels = number(channel_text, 1, 255, "number of channels") if channel_text else default
    return AudioFormat(known.name if known else word, clock_rate, channels, fmtp=known.fmtp if known else "")


def formats_of(media: Media) -> tuple[AudioFormat, ...]:
    """What the payload types of an m-line mean, in its order; types that nobody explains are left out."""
    return _formats_of(media.protocol, media.formats, media.attributes)


@lru_cache(maxsize=64)  # nearly all calls describe the same
def _formats_of(
    protocol: str, formats: tuple[str, ...], attributes: tuple[Attribute, ...]
) -> tuple[AudioFormat, ...]:
    media = Media("audio", 0, protocol, formats, attributes=attributes)
    rtpmaps, fmtps = media.rtpmaps, media.fmtps
    found: list[AudioFormat] = []
    for payload_type in media.payload_types:
        mapping = rtpmaps.get(payload_type)
        static = STATIC_PAYLOAD_TYPES.get(payload_type)
        fmtp = fmtps.get(payload_type, "")
        if mapping is None:
            if static is not None:
                found.append(replace(static, fmtp=fmtp))
            continue
        clock_rate, channels = mapping.clock_rate, mapping.channels
        if mapping.name.lower() == "g722" and clock_rate == 16000:
            clock_rate = 8000  # a common mistake; whoever writes it sends a clock of 8000 all the same
        if mapping.name.lower() == "opus" and clock_rate == 48000:
            channels = 2  # left out by some, though RFC 7587 section 4.1 has no other form
        found.append(AudioFormat(mapping.name, clock_rate, channels, payload_type, fmtp))
    return tuple(found)


def allocate(formats: Iterable[AudioFormat], taken: Sequence[AudioFormat] = ()) -> tuple[AudioFormat, ...]:
    """Give every format a payload type: its own, that of the same format in ``taken``, static, or free.

    Dynamic types are 96..127; 101 is kept for telephone-event at 8000 since some gateways look no further.
    A number that ``taken`` used for another format is not used again (RFC 3264 section 8.3.2).
    """
    return _allocated(tuple(formats), tuple(taken))


@lru_cache(maxsize=64)
def _allocated(wanted: tuple[AudioFormat, ...], taken: tuple[AudioFormat, ...]) -> tuple[AudioFormat, ...]:
    used = {f.payload_type for f in (*wanted, *taken) if f.payload_type is not None}
    free = [n for n in (*range(96, 101), *range(102, 128), *range(35, 64)) if n not in used]
    free.reverse()
    result: list[AudioFormat] = []
    for one in wanted:
        payload_type = one.payload_type
        if payload_type is None:
            payload_type = next((t.payload_type for t in taken if t.matches(one)), None)
        if payload_type is None:
            payload_type = _STATIC.get(one._identity)
        if payload_type is None and one.is_telephone_event and 101 not in used:
            payload_type = 101
            used.add(101)
        if payload_type is None:
            if not free:
                raise SdpError("there are more formats than dynamic payload types")
            payload_type = free.pop()
        result.append(replace(one, payload_type=number(str(payload_type), 0, 127, "payload type")))
    numbers = [one.payload_type for one in result]
    if len(set(numbers)) != len(numbers):
        raise SdpError("two formats have the same payload type")
    return tuple(result)


def telephone_events(fmtp: str) -> frozenset[int]:
    """The events a telephone-event format carries, from ``0-15,32``; empty text means 0-15 (RFC 4733, 2.4.1).

    What is not a number of 0..255 is left out, so that a strange list costs nobody a call.
    """
    events: set[int] = set()
    for part in (fmtp.strip() or "0-15").removeprefix("events=").split(",")[:256]:
        low, dash, high = part.strip().partition("-")
        try:
            first = number(low, 0, 255, "event")
            last = number(high, 0, 255, "event") if dash else first
        except SdpError:
            continue
        events.update(range(first, last + 1))
    return frozenset(events)
