"""Certificates of those who may sign for numbers (RFC 8226): a local store, chains, lists of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

__all__ = ["Distrusted", "Numbers", "Store", "is_root", "numbers_of", "read_key", "read_pem"]

_TN_AUTH_LIST = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")
_LONGEST_CHAIN = 6
_MOST = 512
_LARGEST = 1024 * 1024
"""Octets of one file of certificates."""


class Distrusted(Exception):
    """The chain of a certificate leads to nobody whom we trust; the text says why."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a certificate may sign for: service provider codes, ranges (first, count), single numbers."""

    providers: tuple[str, ...] = ()
    ranges: tuple[tuple[str, int], ...] = ()
    single: tuple[str, ...] = ()

    def cover(self, number: str) -> bool:
        """Whether it may sign for that number, without +. A provider code covers any: which numbers are the
        provider's stands in a register that nobody here has."""
        if self.providers or number in self.single:
            return True
        return any(
            number.isdigit() and len(number) == len(first) and 0 <= int(number) - int(first) < count
            for first, count in self.ranges
        )


def read_pem(path: Path) -> list[x509.Certificate]:
    """Those of a file, or of all *.pem and *.crt of a folder. Raises ValueError with a sentence."""
    files = sorted(path.glob("*.pem")) + sorted(path.glob("*.crt")) if path.is_dir() else [path]
    found: list[x509.Certificate] = []
    for file in files:
        try:
            if file.stat().st_size > _LARGEST:
                raise ValueError(f"{file} is larger than {_LARGEST:,} octets")
            found += x509.load_pem_x509_certificates(file.read_bytes())
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise ValueError(f"{file} holds no certificates (PEM): {error}") from None
    if not found or len(found) > _MOST:
        raise ValueError(f"{path} holds {len(found)} certificates; 1 to {_MOST} are of use")
    return found


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key of a file. Raises ValueError with a sentence, which says nothing of the key."""
    try:
        octets = path.read_bytes()[:_LARGEST]
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        key = load_pem_private_key(octets, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{path} holds no private key (PEM, without a password)") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(f"{path} holds no key on the curve P-256, which ES256 needs")
    return key


def is_root(certificate: x509.Certificate) -> bool:
    """An authority that has signed itself."""
    return _is_authority(certificate) and _issued(certificate, certificate)


class Store:
    """`roots` are trusted; `others` are what signers and authorities between may be found among."""

    def __init__(self, roots: Iterable[x509.Certificate], others: Iterable[x509.Certificate] = ()) -> None:
        self._roots = list(roots)
        self._others = list(others)

    @property
    def signers(self) -> list[x509.Certificate]:
        """Those that may have signed a token: no authorities."""
        return [one for one in (*self._others, *self._roots) if not _is_authority(one)]

    def trust(self, certificate: x509.Certificate, now: float) -> None:
        """Raises Distrusted unless its chain leads to a root, each link in its time. `now`: unix seconds."""
        moment = datetime.fromtimestamp(now, UTC)
        link = certificate
        for _ in range(_LONGEST_CHAIN):
            if not link.not_valid_before_utc <= moment <= link.not_valid_after_utc:
                raise Distrusted(f"the certificate {_name(link)} is not valid at this time")
            if link in self._roots:
                return
            issuer = next((one for one in self._authorities() if _issued(one, link)), None)
            if issuer is None:
                raise Distrusted(f"no authority that we trust has issued the certificate {_name(link)}")
            link = issuer
        raise Distrusted(f"its chain has more than {_LONGEST_CHAIN} certificates")

    def _authorities(self) -> Sequence[x509.Certificate]:
        return [one for one in (*self._roots, *self._others) if _is_authority(one)]


def numbers_of(certificate: x509.Certificate) -> Numbers | None:
    """Its TNAuthList (RFC 8226 section 9); None without one. ValueError: it cannot be read."""
    try:
        extension = certificate.extensions.get_extension_for_oid(_TN_AUTH_LIST)
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        return None
    value = extension.value
    octets = value.value if isinstance(value, x509.UnrecognizedExtension) else b""
    providers, ranges, single = list[str](), list[tuple[str, int]](), list[str]()
    for tag, content in _elements(_only(octets, 0x30)):
        if tag == 0xA0:
            providers.append(_text(content))
        elif tag == 0xA1:
            first, count = _elements(_only(content, 0x30))
            ranges.append((first[1].decode("ascii"), int.from_bytes(count[1], "big")))
        elif tag == 0xA2:
            single.append(_text(content))
    return Numbers(tuple(providers), tuple(ranges), tuple(single))


def _text(content: bytes) -> str:
    return _only(content, 0x16).decode("ascii")


def _only(octets: bytes, tag: int) -> bytes:
    elements = _elements(octets)
    if len(elements) != 1 or elements[0][0] != tag:
        raise ValueError("its TNAuthList cannot be read")
    return elements[0][1]


def _elements(octets: bytes) -> list[tuple[int, bytes]]:
    """The elements of a DER sequence, by tag. Raises ValueError."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(octets) and len(found) <= _MOST:
        if at + 2 > len(octets):
            raise ValueError("its TNAuthList ends early")
        tag, length = octets[at], octets[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(octets[at : at + size], "big")
            at += size
        if at + length > len(octets):
            raise ValueError("its TNAuthList ends early")
        found.append((tag, octets[at : at + length]))
        at += length
    return found


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False


def _issued(issuer: x509.Certificate, link: x509.Certificate) -> bool:
    if issuer.subject != link.issuer:
        return False
    try:
        link.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:120] or "without a name"
