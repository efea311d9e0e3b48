"""One master key at work: packets sealed and opened (RFC 3711 sections 3 and 4, RFC 7714), nothing counted.

The ciphers are OpenSSL's by way of `cryptography`; what is here is where they are applied.
"""

from __future__ import annotations

import hashlib
from hmac import compare_digest
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from callwright.srtp.suite import Suite

__all__ = ["RTCP_HEADER", "RTP_HEADER", "SessionKeys", "Transform", "derive", "transform"]

RTP_HEADER, RTCP_HEADER = 12, 8
_ENCRYPTED = 0x80000000  # the E flag before an SRTCP index
_SALT_BITS = 8 * 14
_BLOCK = 64  # octets, of SHA-1


class SessionKeys(NamedTuple):
    """What RFC 3711 section 4.3 makes of a master key, for one of RTP and RTCP. `auth` is empty for AEAD."""

    key: bytes
    salt: bytes
    auth: bytes


def derive(suite: Suite, master: bytes, *, rtcp: bool = False) -> SessionKeys:
    """The session keys (RFC 3711 section 4.3.1, RFC 6188 section 3, RFC 7714 section 11); the rate is 0."""
    key = master[: suite.key]
    salt = int.from_bytes(master[suite.key : suite.master].ljust(14, b"\0"), "big")

    def drawn(label: int, octets: int) -> bytes:
        counter = ((salt ^ (label << 48)) << 16).to_bytes(16, "big")
        return Cipher(AES(key), CTR(counter)).encryptor().update(bytes(octets))

    first = 3 if rtcp else 0
    return SessionKeys(
        drawn(first, suite.key), drawn(first + 2, suite.salt), b"" if suite.aead else drawn(first + 1, 20)
    )


def transform(suite: Suite, master: bytes) -> Transform:
    """A master key, key and salt in one, ready for work."""
    make = _Aead if suite.aead else _CounterMode
    return make(suite, derive(suite, master), derive(suite, master, rtcp=True))


class Transform:
    """`header` is where the payload of an RTP packet begins; `index` is ROC and sequence number, 48 bits.

    What opens a packet returns None where the tag does not fit.
    """

    def __init__(self, suite: Suite, rtp: SessionKeys, rtcp: SessionKeys) -> None:
        self.suite = suite

    def seal(self, packet: bytes, header: int, index: int) -> bytes:
        raise NotImplementedError

    def open(self, packet: bytes, header: int, index: int) -> bytes | None:
        raise NotImplementedError

    def seal_rtcp(self, packet: bytes, index: int) -> bytes:
        raise NotImplementedError

    def open_rtcp(self, packet: bytes, word: int) -> bytes | None:
        """`word`: the E flag and the index as the packet has them; the packet is long enough for both."""
        raise NotImplementedError


class _Tag:
    """HMAC-SHA1 (RFC 2104) with both pads hashed once: an `hmac` object costs twice the time to copy."""

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(_BLOCK, b"\0")
        self.inner = hashlib.sha1(bytes(octet ^ 0x36 for octet in padded))
        self.outer = hashlib.sha1(bytes(octet ^ 0x5C for octet in padded))

    def of(self, data: bytes) -> bytes:
        inner = self.inner.copy()
        inner.update(data)
        outer = self.outer.copy()
        outer.update(inner.digest())
        return outer.digest()


class _CounterMode(Transform):
    """AES in counter mode, HMAC-SHA1 over packet and ROC (RFC 3711 sections 4.1.1 and 4.2)."""

    def __init__(self, suite: Suite, rtp: SessionKeys, rtcp: SessionKeys) -> None:
        super().__init__(suite, rtp, rtcp)
        # One context each: a new counter for it costs a fraction of a new context.
        cipher = Cipher(AES(rtp.key), CTR(bytes(16))).encryptor()
        self._reset, self._apply = cipher.reset_nonce, cipher.update
        self._salt = int.from_bytes(rtp.salt, "big") << 16
        self._tag = _Tag(rtp.auth)
        self._ssrc, self._salted = b"\0\0\0\0", self._salt
        self._roc, self._roc_octets = 0, bytes(4)
        self._rtcp_cipher = Cipher(AES(rtcp.key), CTR(bytes(16))).encryptor()
        self._rtcp_salt = int.from_bytes(rtcp.salt, "big") << 16
        self._rtcp_tag = _Tag(rtcp.auth)
        self._octets, self._rtcp_octets = suite.tag, suite.rtcp_tag

    def _aim(self, packet: bytes, index: int) -> None:
        """Have ready what stays the same from packet to packet."""
        self._ssrc, self._roc = packet[8:12], index >> 16
        self._salted = self._salt ^ (int.from_bytes(self._ssrc, "big") << 64)
        self._roc_octets = self._roc.to_bytes(4, "big")

    def seal(self, packet: bytes, header: int, index: int) -> bytes:
        if packet[8:12] != self._ssrc or index >> 16 != self._roc:
            self._aim(packet, index)
        self._reset((self._salted ^ index << 16).to_bytes(16, "big"))
        sealed = packet[:header] + self._apply(packet[header:])
        tag = self._tag
        inner = tag.inner.copy()  # `tag.of`, without a call for each packet
        inner.update(sealed + self._roc_octets)
        outer = tag.outer.copy()
        outer.update(inner.digest())
        return sealed + outer.digest()[: self._octets]

    def open(self, packet: bytes, header: int, index: int) -> bytes | None:
        if packet[8:12] != self._ssrc or index >> 16 != self._roc:
            self._aim(packet, index)
        octets = self._octets
        tag = self._tag
        inner = tag.inner.copy()
        inner.update(packet[:-octets] + self._roc_octets)
        outer = tag.outer.copy()
        outer.update(inner.digest())
        if not compare_digest(outer.digest()[:octets], packet[-octets:]):
            return None
        self._reset((self._salted ^ index << 16).to_bytes(16, "big"))
        return packet[:header] + self._apply(packet[header:-octets])

    def _applied(self, packet: bytes, index: int) -> bytes:
        counter = self._rtcp_salt ^ (int.from_bytes(packet[4:8], "big") << 64) ^ (index << 16)
        self._rtcp_cipher.reset_nonce(counter.to_bytes(16, "big"))
        return packet[:RTCP_HEADER] + self._rtcp_cipher.update(packet[RTCP_HEADER:])

    def seal_rtcp(self, packet: bytes, index: int) -> bytes:
        sealed = self._applied(packet, index) + (_ENCRYPTED | index).to_bytes(4, "big")
        return sealed + self._rtcp_tag.of(sealed)[: self._rtcp_octets]

    def open_rtcp(self, packet: bytes, word: int) -> bytes | None:
        end = len(packet) - self._rtcp_octets
        if not compare_digest(self._rtcp_tag.of(packet[:end])[: self._rtcp_octets], packet[end:]):
            return None
        body = packet[: end - 4]
        return self._applied(body, word ^ _ENCRYPTED) if word & _ENCRYPTED else body


class _Aead(Transform):
    """AES-GCM (RFC 7714 sections 8 and 9): header, and in RTCP the word with the index, are authenticated."""

    def __init__(self, suite: Suite, rtp: SessionKeys, rtcp: SessionKeys) -> None:
        super().__init__(suite, rtp, rtcp)
        self._cipher, self._salt = AESGCM(rtp.key), int.from_bytes(rtp.salt, "big")
        self._rtcp_cipher, self._rtcp_salt = AESGCM(rtcp.key), int.from_bytes(rtcp.salt, "big")

    def seal(self, packet: bytes, header: int, index: int) -> bytes:
        nonce = self._salt ^ (int.from_bytes(packet[8:12], "big") << 48) ^ index
        clear = packet[:header]
        return clear + self._cipher.encrypt(nonce.to_bytes(12, "big"), packet[header:], clear)

    def open(self, packet: bytes, header: int, index: int) -> bytes | None:
        nonce = self._salt ^ (int.from_bytes(packet[8:12], "big") << 48) ^ index
        clear = packet[:header]
        try:
            return clear + self._cipher.decrypt(nonce.to_bytes(12, "big"), packet[header:], clear)
        except InvalidTag:
            return None

    def _nonce(self, packet: bytes, index: int) -> bytes:
        nonce = self._rtcp_salt ^ (int.from_bytes(packet[4:8], "big") << 48) ^ index
        return nonce.to_bytes(12, "big")

    def seal_rtcp(self, packet: bytes, index: int) -> bytes:
        clear, word = packet[:RTCP_HEADER], (_ENCRYPTED | index).to_bytes(4, "big")
        nonce = self._nonce(packet, index)
        return clear + self._rtcp_cipher.encrypt(nonce, packet[RTCP_HEADER:], clear + word) + word

    def open_rtcp(self, packet: bytes, word: int) -> bytes | None:
        body, tail = packet[:-4], packet[-4:]
        nonce = self._nonce(packet, word & ~_ENCRYPTED)
        try:
            if word & _ENCRYPTED:
                clear = body[:RTCP_HEADER]
                return clear + self._rtcp_cipher.decrypt(nonce, body[RTCP_HEADER:], clear + tail)
            clear = body[: -self.suite.rtcp_tag]
            self._rtcp_cipher.decrypt(nonce, body[len(clear) :], clear + tail)
            return clear
        except InvalidTag:
            return None
