"""What a call is to do about SRTP."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.srtp.suite import FIRST_OFFERED, SUITES

__all__ = ["DTLS_SUITES", "NO_SRTP", "USES", "SrtpWish"]

USES = ("off", "optional", "required", "fallback", "dtls")
"""Plain RTP alone; keys beside plain RTP (`a=crypto` on RTP/AVP); RTP/SAVP; RTP/SAVP first, and plain RTP in
a second INVITE where 488 refuses the first; keys by DTLS (UDP/TLS/RTP/SAVP, RFC 5764) and by nothing else.
Who answers takes both profiles of the first four, `required` only with a key."""


DTLS_SUITES = (
    "AEAD_AES_128_GCM",
    "AES_CM_128_HMAC_SHA1_80",
    "AEAD_AES_256_GCM",
    "AES_CM_128_HMAC_SHA1_32",
)
"""Suites that DTLS can agree on (RFC 5764 section 4.1.2, RFC 7714 section 14.2), in our order."""


@dataclass(frozen=True, slots=True)
class SrtpWish:
    """`use`: of USES. `suites`: those to offer and to take, in order of preference; empty: RFC 4568's own are
    offered, all are taken. `rekey_after`: seconds from the answer until new keys are offered."""

    use: str = "off"
    suites: tuple[str, ...] = ()
    rekey_after: float | None = None

    @property
    def offered(self) -> tuple[str, ...]:
        return self.suites or FIRST_OFFERED

    @property
    def taken(self) -> tuple[str, ...]:
        return self.suites or tuple(SUITES)


NO_SRTP = SrtpWish()
