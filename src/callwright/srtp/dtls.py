"""Keys for SRTP by a DTLS handshake (RFC 5763, 5764), without sockets; the handshake itself is OpenSSL's.

    dtls = Dtls(identity, fingerprints, client=True)
    dtls.start(now)
    dtls.receive(datagram, now)
    for datagram in dtls.transmissions(): ...
    dtls.events()                               DtlsEstablished or DtlsFailed

The certificate of the peer is held to the fingerprints of its SDP while the handshake goes on: one that does
not match ends it with an alert, and no key comes of it.

A flight that is not answered is sent again after 1 s, 2 s, … (RFC 6347 section 4.2.4), by our own clock.
Where that of OpenSSL agrees, it makes the records anew; else the same octets go once more. A peer that
repeats its last flight gets ours again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from callwright.srtp.fingerprint import Fingerprint, fingerprint_of, matching
from callwright.srtp.suite import SUITES, StreamKeys
from callwright.srtp.wish import DTLS_SUITES

_OPENSSL = {
    "AES_CM_128_HMAC_SHA1_80": "AES128_CM_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32": "AES128_CM_SHA1_32",
}
__all__ = ["PROFILES", "Dtls", "DtlsEstablished", "DtlsEvent", "DtlsFailed", "Identity"]

PROFILES = {name: ("SRTP_" + _OPENSSL.get(name, name)).encode() for name in DTLS_SUITES}
"""By OpenSSL's names."""
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES"
_LABEL = b"EXTRACTOR-dtls_srtp"
_DATAGRAM = 1200
"""Octets of a datagram of ours, below the MTU of all paths in use."""
_FIRST_WAIT, _TRIES = 1.0, 6
PATIENCE = 30.0
"""Seconds from `start` after which there is no hope."""
_RECORD = 13
_HANDSHAKE = 22


@dataclass(frozen=True, slots=True)
class Identity:
    """A key and its certificate, as PEM and DER."""

    key: bytes = field(repr=False)
    certificate: bytes

    @property
    def fingerprint(self) -> Fingerprint:
        return fingerprint_of(self.certificate)


@dataclass(frozen=True, slots=True)
class DtlsEstablished:
    """`fingerprint`: of the SDP, which the peer's certificate has."""

    keys: StreamKeys
    fingerprint: Fingerprint
    now: float


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    """There will be no keys; the reason is a sentence."""

    reason: str
    now: float


DtlsEvent = DtlsEstablished | DtlsFailed


def is_dtls(data: bytes) -> bool:
    """Whether a datagram of a port that STUN and RTP share is DTLS (RFC 7983)."""
    return len(data) >= _RECORD and 20 <= data[0] <= 63


class Dtls:
    """`suites`: those that may be agreed on. Five verbs; `close` says goodbye."""

    def __init__(
        self,
        identity: Identity,
        fingerprints: Sequence[Fingerprint],
        *,
        client: bool,
        suites: Sequence[str] = tuple(PROFILES),
    ) -> None:
        from OpenSSL import SSL

        self._ssl: Any = SSL
        self.client = client
        self.keys: StreamKeys | None = None
        self.failure: str | None = None
        self.fingerprint: Fingerprint | None = None
        self._wanted = tuple(fingerprints)
        self._connection = SSL.Connection(_context(SSL, identity, self._verify, suites), None)
        if client:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()
        self._connection.set_ciphertext_mtu(_DATAGRAM)
        self._mismatch: str | None = None
        self._flight: list[bytes] = []
        self._resend_at: float | None = None
        self._wait = _FIRST_WAIT
        self._left = _TRIES
        self._deadline: float | None = None
        self._out: list[bytes] = []
        self._events: list[DtlsEvent] = []
        self.resent = 0

    def start(self, now: float) -> None:
        """The client speaks first; a server begins to wait."""
        if self._deadline is None:
            self._deadline = now + PATIENCE
            self._go_on(now)

    def receive(self, data: bytes, now: float) -> None:
        if self.failure is not None or not is_dtls(data):
            return
        self._connection.bio_write(data)
        if self.keys is None:
            self._go_on(now)
            return
        with contextlib.suppress(self._ssl.Error):
            self._connection.recv(1)  # alerts; there is no data here (RFC 5764 section 3)
        fresh = self._flush()
        if data[0] == _HANDSHAKE:  # the peer has not heard our last flight
            self._out += fresh or self._flight
            self.resent += 1

    def wake(self, now: float) -> None:
        if self.keys is not None or self.failure is not None:
            return
        if self._deadline is not None and now >= self._deadline:
            self._fail("The DTLS handshake did not come to an end.", now)
        elif self._resend_at is not None and now >= self._resend_at:
            self._resend(now)

    def next_wake(self) -> float | None:
        if self.keys is not None or self.failure is not None:
            return None
        return min((one for one in (self._resend_at, self._deadline) if one is not None), default=None)

    def transmissions(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def events(self) -> list[DtlsEvent]:
        out, self._events = self._events, []
        return out

    def close(self) -> None:
        """Say goodbye (close_notify)."""
        if self.keys is None:
            return
        try:
            self._connection.shutdown()
        except self._ssl.Error:
            return
        self._out += self._flush()

    # -- inside

    def _go_on(self, now: float) -> None:
        try:
            self._connection.do_handshake()
        except self._ssl.WantReadError:
            self._take_flight(now)
        except self._ssl.Error as error:
            self._out += self._flush()  # the alert
            self._fail(self._mismatch or f"The DTLS handshake failed: {_reason(error)}.", now)
        else:
            self._take_flight(now)
            self._finish(now)

    def _take_flight(self, now: float) -> None:
        flight = self._flush()
        if flight:
            self._flight = flight
            self._out += flight
            self._wait, self._left = _FIRST_WAIT, _TRIES
            self._resend_at = now + self._wait

    def _resend(self, now: float) -> None:
        self._left -= 1
        if self._left <= 0:
            self._fail("The DTLS handshake is not answered.", now)
            return
        with contextlib.suppress(self._ssl.Error):  # it may have lost patience before us
            self._connection.DTLSv1_handle_timeout()
        fresh = self._flush()
        self._out += fresh or self._flight
        self.resent += 1
        self._wait *= 2
        self._resend_at = now + self._wait

    def _finish(self, now: float) -> None:
        self._resend_at = None
        chosen = self._connection.get_selected_srtp_profile()
        suite = next((name for name, profile in PROFILES.items() if profile == chosen), None)
        if suite is None or self.fingerprint is None:
            self._fail("The DTLS handshake agreed on no SRTP profile (use_srtp).", now)
            return
        key, salt = SUITES[suite].key, SUITES[suite].salt
        secret = self._connection.export_keying_material(_LABEL, 2 * (key + salt))
        client = secret[:key] + secret[2 * key : 2 * key + salt]
        server = secret[key : 2 * key] + secret[2 * key + salt :]
        send, receive = (client, server) if self.client else (server, client)
        self.keys = StreamKeys(suite, send, receive)
        self._events.append(DtlsEstablished(self.keys, self.fingerprint, now))

    def _fail(self, reason: str, now: float) -> None:
        if self.failure is None:
            self.failure = reason
            self._events.append(DtlsFailed(reason, now))

    def _verify(self, _: Any, certificate: Any, __: int, depth: int, ___: int) -> bool:
        """Asked by OpenSSL for each certificate; that of the peer itself counts, whoever signed it."""
        if depth:
            return True
        der = self._ssl_der(certificate)
        self.fingerprint = matching(der, self._wanted)
        if self.fingerprint is None:
            shown = fingerprint_of(der, self._wanted[0].algorithm if self._wanted else "sha-256")
            named = self._wanted[0] if self._wanted else "none"
            self._mismatch = (
                f"The certificate of the peer does not match its SDP: it has {shown}, the SDP says {named}."
            )
        return self.fingerprint is not None

    def _ssl_der(self, certificate: Any) -> bytes:
        from OpenSSL import crypto

        return bytes(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))

    def _flush(self) -> list[bytes]:
        """What OpenSSL has to send, as datagrams of whole records: its buffer forgets where one ended."""
        octets = b""
        while True:
            try:
                octets += self._connection.bio_read(65_536)
            except self._ssl.WantReadError:
                break
        datagrams: list[bytes] = []
        while octets:
            size = _RECORD + int.from_bytes(octets[11:_RECORD], "big")
            record, octets = octets[:size], octets[size:]
            if datagrams and len(datagrams[-1]) + len(record) <= _DATAGRAM:
                datagrams[-1] += record
            else:
                datagrams.append(record)
        return datagrams


def _context(ssl: Any, identity: Identity, verify: Any, suites: Sequence[str]) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    context = ssl.Context(ssl.DTLS_METHOD)
    context.set_verify(ssl.VERIFY_PEER | ssl.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
    context.use_certificate(x509.load_der_x509_certificate(identity.certificate))
    context.use_privatekey(load_pem_private_key(identity.key, None))
    context.set_cipher_list(_CIPHERS)
    context.set_options(ssl.OP_NO_QUERY_MTU)
    context.set_session_cache_mode(ssl.SESS_CACHE_OFF)
    context.set_tlsext_use_srtp(b":".join(PROFILES[name] for name in PROFILES if name in suites))
    return context


def _reason(error: Exception) -> str:
    """OpenSSL's word for it."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    words = [str(entry[-1]) for entry in entries if entry and entry[-1]]
    return words[0] if words else "the peer broke it off"
