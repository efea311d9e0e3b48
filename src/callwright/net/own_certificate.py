"""Certificates that a process signs for itself: of the PBX that a test starts, which speaks for one address,
and of our side of DTLS-SRTP, which is known by its fingerprint alone."""

from __future__ import annotations

import datetime
import ipaddress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from callwright.net.tls import TlsSettings
from callwright.srtp.dtls import Identity

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_LIFE = datetime.timedelta(days=30)


def own_certificate(folder: Path, host: str) -> tuple[TlsSettings, TlsSettings]:
    """Issue a certificate for the numeric address `host`, signed by itself, into `folder` (which the caller
    removes). Gives the settings of who listens with it, and of a client that trusts it and nothing else.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    key, certificate = _self_signed(
        "Callwright PBX",
        slack=datetime.timedelta(hours=1),
        extensions=((x509.BasicConstraints(ca=True, path_length=0), True), (address, False)),
    )
    file = folder / "pbx.pem"
    file.touch(mode=0o600)
    file.write_bytes(_private(key) + certificate.public_bytes(Encoding.PEM))
    return TlsSettings(cert=file), TlsSettings(ca=file)


def make_identity() -> Identity:
    """A key and a certificate which names nobody."""
    from cryptography.hazmat.primitives.serialization import Encoding

    key, certificate = _self_signed("WebRTC", slack=datetime.timedelta(days=1))
    return Identity(_private(key), certificate.public_bytes(Encoding.DER))


@lru_cache(maxsize=1)
def process_identity() -> Identity:
    """One for all calls of this process."""
    return make_identity()


def _private(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _self_signed(
    common_name: str,
    *,
    slack: datetime.timedelta,
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    """A new key on P-256 and a certificate that it signs itself, valid from `slack` ago for 30 days.

    `extensions`: each with whether it is critical (RFC 5280 section 4.2).
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - slack)
        .not_valid_after(now + _LIFE)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return key, builder.sign(key, hashes.SHA256())
