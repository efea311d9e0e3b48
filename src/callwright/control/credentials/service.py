"""SIP accounts that tests name: their passwords are sealed, and never shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.credentials.model import Credential, SealedCredential
from callwright.control.credentials.store import CredentialStore
from callwright.control.credentials.vault import Vault
from callwright.control.errors import Conflict, Invalid, NotFound
from callwright.net.clock import Clock

__all__ = ["Credentials"]

_FIELDS = ("user", "auth_user", "domain", "display_name", "proxy", "transport")


class Credentials:
    def __init__(self, store: CredentialStore, vault: Vault, *, audit: Audit, clock: Clock) -> None:
        self._store, self._vault, self._audit, self._clock = store, vault, audit, clock

    async def list(self, identity: Identity) -> Sequence[Credential]:
        """Of the projects that are seen, and those of all."""
        found = await self._store.credentials()
        return [row for row in found if row.project_id is None or may(identity, Right.READ, row.project_id)]

    async def all(self) -> Sequence[Credential]:
        """Of every project, without their passwords."""
        return await self._store.credentials()

    async def get(self, identity: Identity, name: str, project_id: int | None = None) -> Credential:
        """By name: the only one, or that of the project, or the shared one. Raises NotFound, Conflict."""
        found = [row for row in await self.list(identity) if row.name == name]
        if project_id is not None:
            found = [row for row in found if row.project_id == project_id]
        if len(found) > 1 and identity.project_ids is not None and len(identity.project_ids) == 1:
            found = [row for row in found if row.project_id is not None]
        if not found:
            raise NotFound("credential", name)
        if len(found) > 1:
            places = ", ".join(row.project_name or "all projects" for row in found)
            raise Conflict(f"There are several credentials {name!r}: of {places}.", "Say of which project.")
        return found[0]

    def own_project(self, identity: Identity) -> int | None:
        """To which project a new SIP account goes of which nothing is said: an administrator's is for all.

        Raises Invalid when it must be said, Forbidden.
        """
        if identity.project_ids is None:
            return None
        mine = [one for one in identity.project_ids if may(identity, Right.CREDENTIALS, one)]
        if len(mine) > 1:
            raise Invalid("Say to which project the account belongs.", field="project")
        if not mine:
            authorize(identity, Right.CREDENTIALS, 0)  # of no project: refused
        return mine[0]

    async def put(
        self,
        identity: Identity,
        name: str,
        fields: Mapping[str, str],
        *,
        replace: bool = False,
        project_id: int | None = None,
    ) -> Credential:
        """``fields``: user, password, auth_user, domain, display_name, proxy, transport; what is not given is
        empty, but with ``replace`` an absent password stays. ``project_id`` None: for every project.

        Raises Invalid, Conflict, Forbidden.
        """
        _authorize(identity, project_id)
        if not name.strip() or len(name) > 128:
            raise Invalid("A credential has a name of 1 to 128 characters.", field="name")
        if name.strip() == "import":
            raise Invalid(
                "No credential can be called 'import': it has a meaning in addresses.", field="name"
            )
        for field in fields:
            if field not in (*_FIELDS, "password"):
                permitted = ", ".join((*_FIELDS, "password"))
                raise Invalid(
                    f"{field!r} is not part of an account.", f"Permitted: {permitted}.", field=field
                )
        if not fields.get("user"):
            raise Invalid("A credential needs a user.", field="user")
        sealed = ""
        if fields.get("password"):
            sealed = self._vault.seal(fields["password"], _sealed_for(name, project_id))
        elif replace and "password" not in fields:
            known = await self._store.sealed_credentials()
            before = [row for row in known if (row.name, row.project_id) == (name, project_id)]
            sealed = before[0].sealed_password if before else ""
        given = {field: fields.get(field, "") for field in _FIELDS}
        row = SealedCredential(id=0, name=name, sealed_password=sealed, project_id=project_id, **given)
        try:
            async with self._audit.change():
                there = await self._store.has_credential(name, project_id)
                kept = await self._store.put_credential(row, self._clock.wall(), replace=replace)
                action = "credential.changed" if there else "credential.created"
                await self._audit.note(identity, action, name)
        except Conflict:
            raise Conflict(f"There is a credential {name!r} already.", field="name") from None
        return kept

    async def delete(self, identity: Identity, name: str, project_id: int | None = None) -> None:
        _authorize(identity, project_id)
        async with self._audit.change():
            if not await self._store.delete_credential(name, project_id):
                raise NotFound("credential", name)
            await self._audit.note(identity, "credential.deleted", name)

    async def revealed(self, project_id: int | None = None) -> dict[str, dict[str, str]]:
        """The accounts of a project with their passwords, for jobs alone: name to fields, as
        scenario.document.load takes them. Its own go before those of all. Never shown, never logged."""
        revealed = {}
        rows = await self._store.sealed_credentials()
        for row in sorted(rows, key=lambda row: row.project_id is not None):
            if row.project_id not in (None, project_id):
                continue
            fields = {field: getattr(row, field) for field in _FIELDS if getattr(row, field)}
            if row.sealed_password:
                password = self._vault.opened(row.sealed_password, _sealed_for(row.name, row.project_id))
                if password is not None:
                    fields["password"] = password
            revealed[row.name] = fields
        return revealed

    async def unopened(self) -> Sequence[tuple[str, int | None]]:
        """Name and project of the accounts whose password was sealed with another key."""
        return [
            (row.name, row.project_id)
            for row in await self._store.sealed_credentials()
            if row.sealed_password
            and not self._vault.opens(row.sealed_password, _sealed_for(row.name, row.project_id))
        ]


def _sealed_for(name: str, project_id: int | None) -> str:
    """What a password is bound to: moved to another record it does not open."""
    return f"credential/{name}" if project_id is None else f"credential/{project_id}/{name}"


def _authorize(identity: Identity, project_id: int | None) -> None:
    """Those of all projects are an administrator's. Raises Forbidden, NotFound."""
    if project_id is None:
        authorize(identity, Right.CREDENTIALS if identity.projects is None else Right.ADMINISTER)
    else:
        authorize(identity, Right.CREDENTIALS, project_id, unseen=NotFound("project", project_id))
