"""TLS towards the platform: certificates verified, names too; and authorities of our own making."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.x509 import CertificateBuilder, GeneralName, KeyUsage, Name

_YEARS = 10


def verifying_context(ca: str | None = None) -> ssl.SSLContext:
    """A client's context that checks certificate and host name. `ca`: PEM text to trust instead of the
    system's authorities. Raises ValueError when it cannot be read."""
    if ca is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=ca)
    except ssl.SSLError as error:
        raise ValueError(f"the CA certificate cannot be read: {error.reason}") from None
    return context


class ServerCertificate(NamedTuple):
    """PEM texts. `key` is the server's; the authority's own key is thrown away."""

    ca: str
    certificate: str
    key: str


class Issued(NamedTuple):
    """A certificate and its private key (PKCS #8, not encrypted), PEM texts; the end of its life in unix
    seconds."""

    certificate: str
    key: str
    ends_at: float


def make_server_certificate(names: Sequence[str], wall: float) -> ServerCertificate:
    """An authority and one certificate of it for these hosts and addresses, good for ten years from `wall`
    (unix seconds). A new set of names takes a new authority, so nobody can sign with the old one."""
    authority = make_authority("Callwright dispatch CA", wall, days=365 * _YEARS)
    leaf = issue(
        authority, names[0][:64], [_general(name) for name in names], wall, days=365 * _YEARS, client=False
    )
    return ServerCertificate(authority.certificate, leaf.certificate, leaf.key)


def make_authority(common_name: str, wall: float, *, days: float) -> Issued:
    """An authority that signs certificates of servers and no other authorities (RFC 5280 section 4.2.1.9),
    good from `wall` (unix seconds) for so many days."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _named(common_name)
    builder = _begun(name, name, key.public_key(), key.public_key(), wall, days)
    return _signed(
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(
            _usage(signs_certificates=True), critical=True
        ),
        key,
        key,
    )


def issue_for(authority: Issued, name: str, wall: float, *, days: float) -> Issued:
    """A certificate for one machine by its name, as a TLS server and as a client, never good for longer than
    its authority. Raises ValueError when the authority cannot be read."""
    from cryptography import x509

    return issue(authority, name, [x509.DNSName(name)], wall, days=days, client=True)


def issue(
    authority: Issued,
    common_name: str,
    names: Sequence[GeneralName],
    wall: float,
    *,
    days: float,
    client: bool,
) -> Issued:
    """`client`: it may also prove a client's identity. Raises ValueError when the authority cannot be
    read."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    ca = x509.load_pem_x509_certificate(authority.certificate.encode())
    ca_key = serialization.load_pem_private_key(authority.key.encode(), None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key of the authority is of another kind")
    days = min(days, (ca.not_valid_after_utc.timestamp() - wall) / 86_400)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if client else [])]
    builder = _begun(_named(common_name), ca.subject, key.public_key(), ca_key.public_key(), wall, days)
    return _signed(
        builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False),
        ca_key,
        key,
    )


def _begun(
    subject: Name,
    issuer: Name,
    key: EllipticCurvePublicKey,
    issuer_key: EllipticCurvePublicKey,
    wall: float,
    days: float,
) -> CertificateBuilder:
    """What every certificate has. It begins an hour before `wall`, since clocks differ."""
    from cryptography import x509

    now = datetime.fromtimestamp(wall, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _signed(
    builder: CertificateBuilder, issuer_key: EllipticCurvePrivateKey, key: EllipticCurvePrivateKey
) -> Issued:
    from cryptography.hazmat.primitives import hashes, serialization

    certificate = builder.sign(issuer_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    return Issued(
        certificate.public_bytes(pem).decode(),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
        certificate.not_valid_after_utc.timestamp(),
    )


def _named(common_name: str) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
