"""What a scenario needs to know of a message that came: as little as SIPp asks of one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from callwright.sip.scan import ScanError, scan

__all__ = ["Received", "received"]

_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
    "k": "supported",
    "s": "subject",
    "e": "content-encoding",
    "r": "refer-to",
}


@dataclass(frozen=True)
class Received:
    """`status` 0: a request. `fields` in order, with their names as they came."""

    text: str
    method: str
    status: int
    target: str
    fields: tuple[tuple[str, str], ...]
    body: str

    @cached_property
    def call_id(self) -> str:
        return self.first("call-id")

    @cached_property
    def cseq(self) -> tuple[int, str]:
        """Number and method."""
        number, _, method = self.first("cseq").partition(" ")
        return (int(number) if number.isdigit() and len(number) < 11 else 0, method.strip().upper())

    def every(self, name: str) -> list[tuple[str, str]]:
        """Fields of this name, which is in lower case and long."""
        return [pair for pair in self.fields if _long(pair[0]) == name]

    def first(self, name: str) -> str:
        return next((value for _, value in self.every(name)), "")

    def lines(self, name: str) -> str | None:
        """The header lines as they came, CRLF between them; None: there is none."""
        found = [f"{told}: {value}" for told, value in self.every(_long(name))]
        return "\r\n".join(found) if found else None

    @cached_property
    def peer_tag(self) -> str:
        """Of the other side: the To of a response, the From of a request."""
        return tag_of(self.first("to" if self.status else "from"))


def received(data: bytes) -> Received | None:
    """None: no message that can be read."""
    try:
        found = scan(data, 8_192, 65_536, 256, 128, 16_384)
    except ScanError:
        return None
    line = found.start_line
    text = data.decode("utf-8", "surrogateescape")
    body = data[found.body_offset :].decode("utf-8", "surrogateescape")
    if line.startswith("SIP/2.0 "):
        code = line[8:11]
        status = int(code) if code.isdigit() and code.isascii() else 0
        return Received(text, "", status, "", tuple(found.fields), body) if 100 <= status <= 699 else None
    method, _, rest = line.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not target or version != "SIP/2.0":
        return None
    return Received(text, method, 0, target, tuple(found.fields), body)


def tag_of(value: str) -> str:
    """The tag of a From or To, "" without one."""
    parameters = value.rpartition(">")[2] if ">" in value else value.partition(";")[2]
    for part in parameters.split(";"):
        name, _, tag = part.strip().partition("=")
        if name.lower() == "tag":
            return tag.strip()
    return ""


def _long(name: str) -> str:
    lowered = name.lower()
    return _COMPACT.get(lowered, lowered)
