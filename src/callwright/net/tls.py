"""SIP over TLS: contexts, whom a certificate speaks for (RFC 5922), and failures in sentences."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callwright.net.address import bracketed, numeric_host
from callwright.sip.transport import Address

# Numbers of X509_verify_cert_error_string(3).
_VERIFY_REASONS = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is self-signed and not trusted",
    19: "its certificate comes from a private authority that is not trusted",
    20: "its certificate comes from an unknown authority",
    21: "its certificate comes without the authority that signed it",
    23: "its certificate was revoked",
    26: "its certificate was not made for servers",
    62: "its certificate is for another host name",
    64: "its certificate is for another address",
}


@dataclass(frozen=True, slots=True)
class TlsSession:
    """What a handshake came to. `name`: that the far end's certificate had to bear, "" where we are the
    server; `certificate`: of the far end, DER; `trusted`: whether it was checked and found good."""

    version: str
    cipher: str
    name: str
    certificate: bytes | None
    trusted: bool


def session_of(connection: ssl.SSLObject, name: str, *, trusted: bool) -> TlsSession:
    """Of a connection whose handshake is done."""
    cipher = connection.cipher()
    return TlsSession(
        connection.version() or "",
        cipher[0] if cipher else "",
        name,
        connection.getpeercert(binary_form=True) or None,
        trusted,
    )


class TlsConfigurationError(ValueError):
    """Certificates or keys of ours that cannot be used; the text is a sentence that names the file."""


class UntrustedPeer(Exception):
    """A verified certificate that speaks for somebody else; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What the user said about TLS. Paths are PEM files."""

    ca: Path | None = None
    """Authorities to trust instead of the system's."""
    cert: Path | None = None
    key: Path | None = None
    """Private key of `cert`; None when both are in one file."""
    sni: str | None = None
    """Name to ask for and to verify, instead of the host that was typed."""
    insecure: bool = False
    """Accept any certificate."""
    require_client_certificate: bool = False
    """As a server, accept only clients with a certificate of `ca`."""

    def client_context(self) -> ssl.SSLContext:
        """A context for outbound connections. Names are checked by `speaks_for` after the handshake,
        since a SIP certificate may carry its domain as a URI, which OpenSSL's check does not read.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        if self.insecure:
            context.verify_mode = ssl.CERT_NONE
        elif self.ca is not None:
            self._load_authorities(context, self.ca)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if self.cert is not None:
            self._load_own(context, self.cert)
        return context

    def server_context(self) -> ssl.SSLContext:
        """A context for a listening port. Raises TlsConfigurationError without a certificate."""
        if self.cert is None:
            raise TlsConfigurationError("listening for TLS needs a certificate and its key (--cert, --key)")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load_own(context, self.cert)
        if self.require_client_certificate:
            if self.ca is None:
                raise TlsConfigurationError("requiring client certificates needs their authority (--ca)")
            self._load_authorities(context, self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def name_for(self, name: str, remote: Address) -> str:
        """The name that the far end's certificate has to bear: `sni`, the host typed, or the address."""
        return self.sni or name or remote.host

    def _load_authorities(self, context: ssl.SSLContext, ca: Path) -> None:
        try:
            if ca.is_dir():
                context.load_verify_locations(capath=str(ca))
            else:
                context.load_verify_locations(cafile=str(ca))
        except FileNotFoundError:
            raise TlsConfigurationError(f"the authority file {ca} does not exist") from None
        except (OSError, ssl.SSLError) as error:
            raise TlsConfigurationError(f"{ca} holds no certificate that can be read: {error}") from error

    def _load_own(self, context: ssl.SSLContext, cert: Path) -> None:
        for path in (cert, self.key):
            if path is not None and not path.is_file():
                raise TlsConfigurationError(f"the certificate or key file {path} does not exist")

        def no_password() -> str:
            raise TlsConfigurationError(f"the key {self.key or cert} is protected by a password")

        try:
            context.load_cert_chain(str(cert), str(self.key) if self.key else None, no_password)
        except ssl.SSLError as error:
            if "KEY_VALUES_MISMATCH" in str(error):
                raise TlsConfigurationError(
                    f"the key {self.key or cert} does not belong to {cert}"
                ) from error
            raise TlsConfigurationError(f"{cert} and its key cannot be read: {error}") from error


def speaks_for(certificate: Mapping[str, Any], name: str) -> bool:
    """Whether a verified certificate (as `getpeercert()` gives it) speaks for a SIP domain or address.

    RFC 5922 section 7.1: the domains are its `sip:` URIs; without any, its DNS names; the common name only
    when it has no alternative names at all. Section 7.2 forbids wildcards, but public servers use them, so
    one label at the left is allowed, as in RFC 6125.
    """
    names: list[tuple[str, str]] = list(certificate.get("subjectAltName", ()))
    address = numeric_host(name)
    if address is not None:
        return any(kind == "IP Address" and numeric_host(value.strip()) == address for kind, value in names)
    wanted = name.rstrip(".").lower()
    domains = [domain for kind, value in names if kind == "URI" and (domain := _sip_domain(value))]
    if domains:
        return wanted in domains
    dns = [value for kind, value in names if kind == "DNS"]
    if not names:
        dns = [value for rdn in certificate.get("subject", ()) for kind, value in rdn if kind == "commonName"]
    return any(_dns_matches(pattern.rstrip(".").lower(), wanted) for pattern in dns)


def names_of(certificate: Mapping[str, Any]) -> str:
    """The names in a certificate, for a sentence."""
    names = [value for _, value in certificate.get("subjectAltName", ())]
    if not names:
        names = [v for rdn in certificate.get("subject", ()) for kind, v in rdn if kind == "commonName"]
    return ", ".join(names[:5]) or "nobody"


def _sip_domain(uri: str) -> str | None:
    """The domain of a `sip:` URI that names a domain (one with a user part names a person)."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() not in ("sip", "sips") or "@" in rest:
        return None
    return rest.split(";", 1)[0].split(":", 1)[0].rstrip(".").lower() or None


def _dns_matches(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        label, _, parent = name.partition(".")
        return bool(label) and "." in parent and parent == pattern[2:]
    return pattern == name


def handshake_failure(error: BaseException, remote: Address, name: str) -> str:
    """Why a TLS connection did not come to be, as a sentence."""
    where = f"{name} ({bracketed(remote)})" if name and name != remote.host else bracketed(remote)
    start = f"TLS with {where} failed"
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = _VERIFY_REASONS.get(
            error.verify_code, error.verify_message or "its certificate is not valid"
        )
        return f"{start}: {reason}"
    if isinstance(error, UntrustedPeer):
        return f"{start}: {error}"
    if isinstance(error, TimeoutError) or "taking longer" in str(error):
        return f"{start}: the handshake took too long"
    text = str(error).upper().replace(" ", "_")
    if isinstance(error, ssl.SSLError):
        told = (
            ("WRONG_VERSION_NUMBER", "the far end does not speak TLS on this port"),
            ("UNEXPECTED_MESSAGE", "the far end does not speak TLS on this port"),
            ("CERTIFICATE_REQUIRED", "the far end wants a certificate from us (--cert, --key)"),
            ("UNKNOWN_CA", "the far end does not trust the authority of our certificate"),
            ("UNSUPPORTED_PROTOCOL", "the far end speaks no version of TLS from 1.2 on"),
            ("PROTOCOL_VERSION", "the far end speaks no version of TLS from 1.2 on"),
            ("UNRECOGNIZED_NAME", f"the far end has no certificate for {name}"),
            ("HANDSHAKE_FAILURE", "there is no cipher or certificate that both ends accept"),
        )
        for mark, reason in told:
            if mark in text:
                return f"{start}: {reason}"
        return f"{start}: {error.reason or error}"
    if isinstance(error, ConnectionError):
        return f"{start}: the far end closed the connection during the handshake"
    return f"{start}: {error}"
