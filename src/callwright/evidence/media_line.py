"""What a ladder says about SDP: where audio is to go, in which codecs, in which direction.

It forgives what the real parser refuses, since it has to show what a peer sent, also when that is wrong.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

STATIC_PAYLOAD_TYPES = {
    0: "PCMU",
    3: "GSM",
    4: "G723",
    8: "PCMA",
    9: "G722",
    10: "L16",
    11: "L16",
    13: "CN",
    15: "G728",
    18: "G729",
}
"""Audio of RFC 3551, table 4."""

_SHOWN = {"G722": "G.722", "G729": "G.729", "G723": "G.723.1", "G728": "G.728", "OPUS": "Opus"}
_NOT_SPEECH = {"telephone-event", "CN", "red", "ulpfec"}
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_DIRECTIONS = {"sendrecv", "sendonly", "recvonly", "inactive"}


@dataclass(frozen=True, slots=True)
class MediaLine:
    """The first audio line of a description."""

    address: str
    port: int | None
    """None when it is not a number; 0 refuses the stream."""
    codecs: tuple[str, ...]
    """Speech codecs in order of preference, as an engineer writes them: "G.722"."""
    names: dict[int, str]
    """Payload type to encoding name, telephone-event included."""
    direction: str = "sendrecv"
    version: str = ""
    """The session version of the o= line (RFC 8866, section 5.2)."""
    encrypted: bool = False

    @property
    def held(self) -> bool:
        """Whether it asks the peer to be silent (RFC 3264, section 8.4)."""
        return self.direction in {"sendonly", "inactive"} or self.address == "0.0.0.0"

    @property
    def private(self) -> bool:
        """Whether the address is of a private network."""
        return is_private(self.address)


def is_private(host: str) -> bool:
    """Whether a numeric address is of RFC 1918 or RFC 4193; loopback and the examples of RFC 5737 are not."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in net for net in _PRIVATE if net.version == address.version)


def shown_codec(name: str) -> str:
    """The name that an engineer writes."""
    return _SHOWN.get(name.upper(), name)


def media_line(body: bytes) -> MediaLine | None:
    """The first m=audio of an SDP body, None when there is none. Never raises."""
    address = version = ""
    direction = session_direction = "sendrecv"
    port: int | None = None
    formats: list[str] = []
    names: dict[int, str] = {}
    encrypted = inside = False
    for line in body.decode("utf-8", "replace").splitlines():
        kind, _, value = line.strip().partition("=")
        if kind == "m":
            if inside:
                break
            words = value.split()
            if len(words) >= 3 and words[0] == "audio":
                inside = True
                direction = session_direction
                port_text = words[1].partition("/")[0]
                port = int(port_text) if port_text.isascii() and port_text.isdigit() else None
                formats = words[3:]
                encrypted = "SAVP" in words[2]
        elif kind == "c" and (inside or not address):
            address = value.split()[-1].partition("/")[0] if value.split() else ""
        elif kind == "o":
            words = value.split()
            version = words[2] if len(words) > 2 else ""
        elif kind == "a" and value.startswith("crypto:") and inside:
            encrypted = True
        elif kind == "a" and value in _DIRECTIONS:
            direction = value
            if not inside:
                session_direction = value
        elif kind == "a" and value.startswith("rtpmap:") and inside:
            number, _, encoding = value[7:].partition(" ")
            if number.isascii() and number.isdigit() and len(number) < 4:
                names[int(number)] = encoding.partition("/")[0].strip()
    if not inside:
        return None
    for text in formats:
        if text.isascii() and text.isdigit() and int(text[:4]) in STATIC_PAYLOAD_TYPES:
            names.setdefault(int(text), STATIC_PAYLOAD_TYPES[int(text)])
    order = [names[int(f)] for f in formats if f.isascii() and f.isdigit() and int(f[:4]) in names]
    codecs = tuple(dict.fromkeys(shown_codec(name) for name in order if name not in _NOT_SPEECH))
    return MediaLine(address, port, codecs, names, direction, version, encrypted)
