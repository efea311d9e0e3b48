"""Keys for SRTP in a description: `a=crypto` (RFC 4568).

    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20

What such a line says is a secret. No `repr` and no error of this file holds a key.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from callwright.sdp.lines import Attribute, SdpError
from callwright.sdp.media import Media
from callwright.srtp.suite import SUITES, StreamKeys

__all__ = ["Crypto", "accepted", "keys_of", "parse_crypto"]

_TAG = re.compile(r"[0-9]{1,9}\Z")
_LIFETIME = re.compile(r"(?:2\^([0-9]{1,2})|([0-9]{1,20}))\Z")
_MKI = re.compile(r"[0-9]{1,20}:[0-9]{1,3}\Z")
LONGEST_LIFE = 48
"""Packets under one key, as a power of two (RFC 3711 section 9.2)."""
SHORTEST_LIFE = 16
"""The same for the least that we agree to: some 20 minutes of a call, as we change no key unasked."""


@dataclass(frozen=True, slots=True)
class Crypto:
    """One `a=crypto` that can be used. `key` is master key and salt, as long as the suite wants them."""

    tag: int
    suite: str
    key: bytes = field(repr=False)

    @property
    def attribute(self) -> Attribute:
        return Attribute("crypto", f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}")


def parse_crypto(value: str) -> Crypto:
    """What follows `a=crypto:`. Raises SdpError with the reason why that key cannot be used."""
    parts = value.split()
    if len(parts) < 3 or not _TAG.match(parts[0]):
        raise SdpError("a=crypto is not of the form 'tag suite inline:key'")
    tag, name, methods, *parameters = parts
    suite = SUITES.get(name.upper())
    if suite is None:
        raise SdpError(f"the crypto suite {name[:40]!r} is unknown here")
    keys = methods.split(";")
    if len(keys) > 1:
        raise SdpError(f"{len(keys)} keys at once need an MKI, which is not done here")
    method, colon, info = keys[0].partition(":")
    if method.lower() != "inline" or not colon:
        raise SdpError(f"the key method {method[:20]!r} is unknown; there is only inline")
    text, *bounds = info.split("|")
    for bound in bounds:
        _check_bound(bound)
    for parameter in parameters:
        _check_parameter(parameter)
    return Crypto(int(tag), suite.name, _key(text, suite.name, suite.master))


def _key(text: str, suite: str, wanted: int) -> bytes:
    try:
        # Some leave out the padding.
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise SdpError("the key behind inline: is not base64") from None
    if len(key) != wanted:
        raise SdpError(f"{suite} takes a key and salt of {wanted} octets, not {len(key)}")
    return key


def _check_bound(text: str) -> None:
    """A lifetime, or an MKI and its length."""
    if _MKI.match(text):
        raise SdpError(f"the key has an MKI ({text}), which is not done here")
    match = _LIFETIME.match(text)
    if match is None:
        raise SdpError(f"{text[:20]!r} is neither the lifetime of a key nor its MKI")
    packets = 2 ** int(match[1]) if match[1] else int(match[2])
    if packets > 2**LONGEST_LIFE:
        raise SdpError(f"the lifetime {text} is above the 2^{LONGEST_LIFE} packets of a key")
    if packets < 2**SHORTEST_LIFE:
        raise SdpError(f"the lifetime {text} is below 2^{SHORTEST_LIFE} packets, too short for a call")


def _check_parameter(text: str) -> None:
    """A session parameter (RFC 4568 section 6.3). One that we do not know must not be passed over, unless a
    hyphen says that it may."""
    name, _, value = text.partition("=")
    if name.startswith("-"):
        return
    if name.upper() == "WSH" and value.isdigit() and len(value) < 6:  # a hint; our window is 128
        return
    if name.upper() == "KDR" and value == "0":
        return
    raise SdpError(f"the session parameter {text[:40]!r} is not done here")


def accepted(media: Media, ours: Sequence[Crypto]) -> tuple[Crypto, StreamKeys] | list[str]:
    """Of the keys on offer the first whose suite is among ours: our line for the answer, and what both sides
    use; else why none can be used, a reason each."""
    faults = []
    for value in media.values("crypto"):
        try:
            theirs = parse_crypto(value)
        except SdpError as error:
            faults.append(error.reason)
            continue
        mine = next((one for one in ours if one.suite == theirs.suite), None)
        if mine is not None:
            return replace(mine, tag=theirs.tag), StreamKeys(theirs.suite, mine.key, theirs.key)
        faults.append(f"the crypto suite {theirs.suite} was not chosen here")
    return list(dict.fromkeys(faults))


def keys_of(offer: Media, answer: Media) -> StreamKeys | None:
    """What an answer to our offer means; None where it has no key. Raises SdpError where that is unusable."""
    lines = answer.values("crypto")
    if not lines:
        return None
    theirs = parse_crypto(lines[0])
    for mine in map(parse_crypto, offer.values("crypto")):
        if mine.tag == theirs.tag:
            if mine.suite != theirs.suite:
                raise SdpError(f"its key {theirs.tag} is for {theirs.suite}, ours was for {mine.suite}")
            return StreamKeys(mine.suite, mine.key, theirs.key)
    raise SdpError(f"our offer had no key with the tag {theirs.tag}")
