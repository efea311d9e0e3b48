"""The keys of calls as a text file, for whoever has to open a capture of SRTP.

    call-1 1764410000.123456 sent 192.0.2.1:20000 198.51.100.7:30000 AEAD_AES_128_GCM inline:d0RmdmcmVCspeE…

A line is written for each direction whenever keys are agreed on; it holds until another line with the same
call and direction. RTCP has the key of its RTP. The file holds secrets, and nothing else does.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field

from callwright.srtp.suite import SUITES, StreamKeys

__all__ = ["HEADING", "KeyLine", "KeysAgreed", "read_keys"]

HEADING = "# call, unix time, direction, from, to, suite, key: of SRTP (RFC 4568). Keep this file secret.\n"
_SENT, _RECEIVED = "sent", "received"


@dataclass(frozen=True, slots=True)
class KeysAgreed:
    """What both ends of a stream use from `at` (unix seconds) on; addresses are (numeric host, port)."""

    call: str
    at: float
    local: tuple[str, int]
    remote: tuple[str, int]
    keys: StreamKeys

    def lines(self) -> str:
        """Two lines of the file."""
        ways = (
            (_SENT, self.local, self.remote, self.keys.send),
            (_RECEIVED, self.remote, self.local, self.keys.receive),
        )
        return "".join(
            f"{self.call} {self.at:.6f} {way} {_shown(source)} {_shown(target)} {self.keys.suite} "
            f"inline:{base64.b64encode(key).decode()}\n"
            for way, source, target, key in ways
        )


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One direction of a stream; `key` is master key and salt."""

    call: str
    at: float
    source: tuple[str, int]
    target: tuple[str, int]
    suite: str
    key: bytes = field(repr=False)


def read_keys(text: str) -> Iterator[KeyLine]:
    """The lines of a file. ValueError with the number of a line that is none, and never its key."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.split()
        try:
            call, at, _, source, target, suite, key = parts
            octets = base64.b64decode(key.removeprefix("inline:"), validate=True)
            found = KeyLine(call, float(at), _address(source), _address(target), suite, octets)
            if len(octets) != SUITES[suite].master:
                raise ValueError
        except (ValueError, KeyError, binascii.Error):
            raise ValueError(f"line {number} is no line of keys") from None
        yield found


def _shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)
