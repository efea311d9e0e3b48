"""A certificate for the PBX that a test starts for itself: it speaks for one address, for some days."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from callwright.net.tls import TlsSettings

_SLACK = datetime.timedelta(hours=1)
_LIFE = datetime.timedelta(days=30)


def own_certificate(folder: Path, host: str) -> tuple[TlsSettings, TlsSettings]:
    """Issue a certificate for the numeric address `host`, signed by itself, into `folder` (which the caller
    removes). Gives the settings of who listens with it, and of a client that trusts it and nothing else.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Callwright PBX")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "pbx.pem"
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return TlsSettings(cert=file), TlsSettings(ca=file)
