"""Certificates as people read them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """What a peer's certificate says. `subject`, `issuer`: RFC 4514; `names`: its alternative names;
    `not_after`: unix seconds."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_after: float

    @property
    def until(self) -> str:
        """`not_after` in UTC, as RFC 3339 writes it."""
        moment = datetime.datetime.fromtimestamp(self.not_after, datetime.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def days_left(self, wall: float) -> float:
        """At `wall`, unix seconds; below 0 it has expired."""
        return (self.not_after - wall) / 86_400


def read_certificate(der: bytes) -> ShownCertificate | None:
    """None where it cannot be read."""
    from cryptography import x509

    try:
        found = x509.load_der_x509_certificate(der)
        return ShownCertificate(
            found.subject.rfc4514_string(),
            found.issuer.rfc4514_string(),
            _names(found),
            found.not_valid_after_utc.timestamp(),
        )
    except ValueError:
        return None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ()
    return tuple(str(name.value) for name in found)
