"""What SIP accounts need of a database."""

from __future__ import annotations

from typing import Protocol

from callwright.control.credentials.model import Credential, SealedCredential

__all__ = ["CredentialStore"]


class CredentialStore(Protocol):
    async def credentials(self) -> list[Credential]:
        """Of every project, and those of all, by name."""
        ...

    async def sealed_credentials(self) -> list[SealedCredential]: ...
    async def has_credential(self, name: str, project_id: int | None) -> bool: ...
    async def put_credential(self, credential: SealedCredential, now: float, *, replace: bool) -> Credential:
        """By project and name. Raises Conflict when it is there and shall not be replaced."""
        ...

    async def delete_credential(self, name: str, project_id: int | None = None) -> bool: ...
