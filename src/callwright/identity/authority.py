"""An authority of one process, for tests that sign and verify by themselves: a root, and signers of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from callwright.identity.certificates import Store

__all__ = ["INFO", "Authority", "Signer", "tn_auth_list"]

INFO = "https://identity.callwright.invalid/signer.pem"
"""The URL that tokens of such a signer name; nobody asks there."""
_LIFE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Signer:
    """A key and the certificate chain that belongs to it, the signer's own first."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]


class Authority:
    """`now` in unix seconds."""

    def __init__(self, now: float, name: str = "Callwright test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._now = datetime.fromtimestamp(now, UTC)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = self._issue(self._name, self._key, None, authority=True)

    def signer(self, *, numbers: bytes | None = None, expired: bool = False) -> Signer:
        """`numbers`: the DER of a TNAuthList."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SHAKEN signer")])
        leaf = self._issue(name, key, numbers, authority=False, expired=expired)
        return Signer(key, (leaf, self.root))

    def store(self, *signers: Signer) -> Store:
        """Trusts this authority, and has the certificates of these."""
        return Store([self.root], [one.chain[0] for one in signers])

    def _issue(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        numbers: bytes | None,
        *,
        authority: bool,
        expired: bool = False,
    ) -> x509.Certificate:
        start = self._now - (2 * _LIFE if expired else timedelta(hours=1))
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + _LIFE)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
        )
        if numbers is not None:
            kind = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")
            builder = builder.add_extension(x509.UnrecognizedExtension(kind, numbers), critical=False)
        return builder.sign(self._key, SHA256())


def tn_auth_list(
    *, providers: Sequence[str] = (), ranges: Sequence[tuple[str, int]] = (), single: Sequence[str] = ()
) -> bytes:
    """The DER of a TNAuthList (RFC 8226 section 9)."""
    found = b"".join(_der(0xA0, _der(0x16, one.encode())) for one in providers)
    for first, count in ranges:
        number = count.to_bytes((count.bit_length() + 8) // 8, "big")
        found += _der(0xA1, _der(0x30, _der(0x16, first.encode()) + _der(0x02, number)))
    found += b"".join(_der(0xA2, _der(0x16, one.encode())) for one in single)
    return _der(0x30, found)


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content
