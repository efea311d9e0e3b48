"""The TLS connection that the signalling went over, and the certificate of its far end."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.outcome.plain import AsJson


@dataclass(frozen=True, slots=True)
class TlsOutcome(AsJson):
    """`name`: that the certificate had to bear, None where the far end connected to us. The certificate is
    None throughout where the far end showed none. `days_left` below 0: it has expired."""

    version: str  # "TLSv1.3"
    cipher: str  # as OpenSSL names it
    trusted: bool  # checked and found good; False with --insecure, and of a client without a certificate
    name: str | None = None
    subject: str | None = None  # RFC 4514
    issuer: str | None = None
    names: tuple[str, ...] = ()  # the alternative names in it
    not_after: str | None = None  # RFC 3339, UTC
    days_left: float | None = None
