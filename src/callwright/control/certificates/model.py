"""Certificates of servers. Times are unix seconds (float)."""

from __future__ import annotations

import msgspec


class SealedCertificates(msgspec.Struct, frozen=True):
    """Of one server, by its name. Certificates are PEM texts; the keys are sealed. ``ca_ends_at`` and
    ``tls_ends_at``: until when authority and leaf are good."""

    server: str
    ca_cert: str
    sealed_ca_key: str
    ca_ends_at: float
    tls_cert: str
    sealed_tls_key: str
    tls_ends_at: float


class ServerCertificates(msgspec.Struct, frozen=True):
    """As the API gives them: each the standard base64 of a PEM text. The keys are None for whoever is no
    administrator."""

    ca_cert: str
    tls_cert: str
    ca_key: str | None = None
    tls_key: str | None = None

    def __repr__(self) -> str:
        return "ServerCertificates(…)"
