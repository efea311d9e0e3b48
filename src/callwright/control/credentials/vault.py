"""Secrets that must be read again (SIP passwords) are sealed with a key that is not in the database."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import hmac
import os
import tempfile
from pathlib import Path

from callwright.control.errors import StorageUnavailable
from callwright.net.entropy import Entropy

__all__ = ["Vault"]

_VERSION = "v1"
_NONCE = 12  # octets, as AES-GCM wants it


class Vault:
    """AES-256-GCM. ``key``: 32 octets. The ``context`` binds a sealed text to its record: moved to another,
    it does not open."""

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        if len(key) != 32:
            raise ValueError("the key of a vault has 32 octets")
        self._key, self._entropy = key, entropy

    @classmethod
    def open_file(cls, path: Path, entropy: Entropy, *, create: bool = True) -> Vault:
        """Reads the key; with ``create`` makes it (0600) when there is none. Raises StorageUnavailable."""
        try:
            if not path.exists():
                if not create:
                    raise StorageUnavailable(
                        f"The key file {path} is missing, and there is a database whose secrets it sealed.",
                        "Restore it from the backup. Without one, --new-secret-key goes on with a new key: "
                        "passwords of SIP accounts must then be set again, and public links stop working.",
                    )
                _create(path, entropy(32))
            key = bytes.fromhex(path.read_text("ascii").strip())
            return cls(key, entropy)
        except OSError as error:
            raise StorageUnavailable(
                f"The key file {path} cannot be used: {error.strerror}.",
                f"Make room on the disk of {path.parent}."
                if error.errno in (errno.ENOSPC, errno.EDQUOT)
                else "Give it to the user that Callwright runs as.",
            ) from None
        except ValueError as error:
            raise StorageUnavailable(
                f"The key file {path} cannot be used: {error}.", "Restore it from the backup."
            ) from None

    def seal(self, text: str, context: str) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = self._entropy(_NONCE)
        sealed = nonce + AESGCM(self._key).encrypt(nonce, text.encode(), context.encode())
        return f"{_VERSION}:{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str, context: str) -> str:
        """Raises StorageUnavailable when it was sealed with another key or for another record."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        version, _, text = sealed.partition(":")
        try:
            if version != _VERSION:
                raise ValueError
            octets = base64.b64decode(text, validate=True)
            plain = AESGCM(self._key).decrypt(octets[:_NONCE], octets[_NONCE:], context.encode())
            return plain.decode()
        except (InvalidTag, ValueError):
            raise StorageUnavailable(
                "A secret does not open with this key file.", "Restore secret.key from the same backup."
            ) from None

    def opened(self, sealed: str, context: str) -> str | None:
        """None when it was sealed with another key or for another record."""
        try:
            return self.open(sealed, context)
        except StorageUnavailable:
            return None

    def opens(self, sealed: str, context: str) -> bool:
        """Whether it was sealed with this key, for this record."""
        return self.opened(sealed, context) is not None

    def derive(self, purpose: str) -> bytes:
        """32 octets that only the holder of the key can tell for this purpose."""
        return hmac.digest(self._key, purpose.encode(), hashlib.sha256)


def _create(path: Path, key: bytes) -> None:
    """Whole or not at all, and never over a key that is there."""
    handle, name = tempfile.mkstemp(dir=path.parent)  # made 0600
    draft = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
