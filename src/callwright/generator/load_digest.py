"""Digest authentication of the load loop without native code (RFC 7616, RFC 8760).

It is the twin of `_digest.pxi`: both answer every challenge with the same octets, which a test holds
them to. `callwright.sip.digest` reads more strictly, and counts nonces; a load answers each challenge once.
"""

from __future__ import annotations

import hashlib

from callwright.sip.digest import hash_name

__all__ = ["answerable", "authorization", "directive"]

_SPACE = b" \t\r\n"


def directive(challenge: bytes, name: bytes) -> bytes:
    """A parameter of `Digest a="b", c=d`, quotes removed, backslashes as they came; empty without it."""
    p, end = 0, len(challenge)
    while p < end and challenge[p] not in _SPACE:  # the scheme
        p += 1
    while p < end:
        while p < end and challenge[p] in b"," + _SPACE:
            p += 1
        word = p
        while p < end and challenge[p] != 61:
            p += 1
        key = challenge[word:p].strip(_SPACE).lower()
        p += 1
        while p < end and challenge[p] in _SPACE:
            p += 1
        if p < end and challenge[p] == 34:
            p += 1
            start = p
            while p < end and challenge[p] != 34:
                p += 2 if challenge[p] == 92 else 1
            found = challenge[start:p]
            p += 1
        else:
            start = p
            while p < end and challenge[p] != 44:
                p += 1
            found = challenge[start:p].strip(_SPACE)
        if key == name:
            return found
        while p < end and challenge[p] != 44:
            p += 1
    return b""


def _hash(algorithm: bytes) -> str | None:
    """Name of the hash for hashlib; None for one that is not known here. Without a name it is MD5."""
    try:
        return hash_name(algorithm.decode("ascii") or "MD5") if algorithm.lower() != b"-sess" else None
    except UnicodeDecodeError:
        return None


def _protection(challenge: bytes) -> bytes | None:
    """What the answer protects: `auth`, `auth-int` where only that is offered, b"" without qop (RFC 2069);
    None where nothing known is offered."""
    qop = directive(challenge, b"qop")
    offered = [option.strip(_SPACE).lower() for option in qop.split(b",")]
    return next((one for one in (b"auth", b"auth-int") if one in offered), None) if qop else b""


def answerable(challenge: bytes) -> bool:
    """Whether it is a Digest challenge with a hash and a protection that are known here."""
    return (
        len(challenge) >= 8
        and challenge[:6].lower() == b"digest"
        and challenge[6] in _SPACE
        and bool(directive(challenge, b"nonce"))
        and _hash(directive(challenge, b"algorithm")) is not None
        and _protection(challenge) is not None
    )


def _unguarded(text: bytes) -> bytes:
    """The text that a quoted string means: a backslash only guards what follows it."""
    meant, p = bytearray(), 0
    while p < len(text):
        if text[p] == 92 and p + 1 < len(text):
            p += 1
        meant.append(text[p])
        p += 1
    return bytes(meant)


def authorization(
    challenge: bytes,
    *,
    proxy: bool,
    user: bytes,
    password: bytes,
    method: bytes,
    uri: bytes,
    cnonce: bytes,
    body: bytes = b"",
) -> bytes | None:
    """The (Proxy-)Authorization line that answers a challenge, with its end of line; None if it cannot.

    Of both protections auth is taken, since auth-int does not survive a proxy that touches the body."""
    if not answerable(challenge):
        return None
    realm, nonce = directive(challenge, b"realm"), directive(challenge, b"nonce")
    algorithm, opaque = directive(challenge, b"algorithm"), directive(challenge, b"opaque")
    qop = _protection(challenge)
    session = algorithm.lower().endswith(b"-sess")
    name = _hash(algorithm)
    assert name is not None

    def digest(*words: bytes) -> bytes:
        return hashlib.new(name, b":".join(words), usedforsecurity=False).hexdigest().encode()

    plain = _unguarded(nonce)
    secret = digest(user, _unguarded(realm), password)
    if session:
        secret = digest(secret, plain, cnonce)
    action = digest(method, uri, digest(body)) if qop == b"auth-int" else digest(method, uri)
    response = (
        digest(secret, plain, b"00000001", cnonce, qop, action) if qop else digest(secret, plain, action)
    )
    guarded = user.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    text = (
        b'%bAuthorization: Digest username="%b", realm="%b", nonce="%b", uri="%b", response="%b", '
        b"algorithm=%b"
        % (b"Proxy-" if proxy else b"", guarded, realm, nonce, uri, response, algorithm or b"MD5")
    )
    if qop or session:
        text += b', cnonce="%b"' % cnonce
    if qop:
        text += b", qop=%b, nc=00000001" % qop
    if opaque:
        text += b', opaque="%b"' % opaque
    return text + b"\r\n"
