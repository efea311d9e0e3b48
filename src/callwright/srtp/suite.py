"""The crypto suites that we speak, and the master keys of a stream.

The names are those of `a=crypto` (RFC 4568 section 6.2, RFC 6188 section 4, RFC 7714 section 14.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FIRST_OFFERED", "SUITES", "StreamKeys", "Suite"]


@dataclass(frozen=True, slots=True)
class Suite:
    """`key`, `salt`: octets of the master key and salt; `tag`, `rtcp_tag`: octets behind each packet.

    `aead`: AES-GCM, whose tag is its own; else AES in counter mode with HMAC-SHA1.
    """

    name: str
    key: int
    salt: int
    tag: int
    rtcp_tag: int
    aead: bool = False

    @property
    def master(self) -> int:
        """Octets of what `inline:` holds: key, then salt."""
        return self.key + self.salt


SUITES = {
    suite.name: suite
    for suite in (
        Suite("AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10),
        # Its RTCP keeps the long tag: RFC 4568 section 6.2.2.
        Suite("AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10),
        Suite("AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10),
        Suite("AES_256_CM_HMAC_SHA1_32", 32, 14, 4, 10),
        Suite("AEAD_AES_128_GCM", 16, 12, 16, 16, aead=True),
        Suite("AEAD_AES_256_GCM", 32, 12, 16, 16, aead=True),
    )
}
"""By name. AES-192, F8 and the NULL ciphers are unknown here, and refused by their names."""

FIRST_OFFERED = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
"""What an offer names where nobody chose: RFC 4568's own, which every phone with SDES has."""


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """What a stream is protected with, once both sides have named a key.

    `send` and `receive` are master key and salt, `Suite.master` octets each. They are secrets: no `repr`
    shows them.
    """

    suite: str
    send: bytes = field(repr=False)
    receive: bytes = field(repr=False)

    def __post_init__(self) -> None:
        wanted = SUITES[self.suite].master
        for key in (self.send, self.receive):
            if len(key) != wanted:
                raise ValueError(f"{self.suite} takes a key and salt of {wanted} octets, not {len(key)}")
