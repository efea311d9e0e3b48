"""The key and certificate that our side of DTLS-SRTP shows; it is known by its fingerprint alone."""

from __future__ import annotations

import datetime
from functools import lru_cache

from callwright.srtp.dtls import Identity

_SLACK = datetime.timedelta(days=1)
_LIFE = datetime.timedelta(days=30)


def make_identity() -> Identity:
    """A key on P-256 and a certificate signed by itself, which names nobody."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "WebRTC")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + _LIFE)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Identity(pem, certificate.public_bytes(serialization.Encoding.DER))


@lru_cache(maxsize=1)
def process_identity() -> Identity:
    """One for all calls of this process."""
    return make_identity()
