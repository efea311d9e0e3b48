"""What certificates of servers need of a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from callwright.control.certificates.model import SealedCertificates

__all__ = ["CertificateStore"]


class CertificateStore(Protocol):
    async def certificates(self) -> list[SealedCertificates]:
        """Of all servers, by name."""
        ...

    async def certificates_of(self, server: str) -> SealedCertificates | None: ...

    async def add_certificates(self, made: SealedCertificates) -> SealedCertificates:
        """Those that are there, when there are some: of two that make them at once, one wins."""
        ...

    async def renew_certificates(self, made: SealedCertificates, seen: SealedCertificates) -> bool:
        """In place of ``seen``; False when those were renewed or removed meanwhile."""
        ...

    async def forget_certificates(self, servers: Sequence[str]) -> None: ...
