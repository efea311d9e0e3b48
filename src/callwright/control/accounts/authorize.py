"""May they? The one place where it is decided."""

from __future__ import annotations

from callwright.control.accounts.model import RIGHTS, Identity, Right
from callwright.control.errors import Forbidden, NotFound

__all__ = ["authorize", "may"]


def may(identity: Identity, right: Right, project_id: int | None = None) -> bool:
    """In that project; without one: somewhere, or with what belongs to no project. The role of the account is
    the most that a role in a project gives."""
    if right not in identity.rights:
        return False
    if project_id is None or identity.projects is None:
        return True
    return any(project_id == mine and right in RIGHTS[role] for mine, role in identity.projects)


def authorize(
    identity: Identity, right: Right, project_id: int | None = None, *, unseen: NotFound | None = None
) -> None:
    """Nothing where it `may`. ``unseen``: raised in place of Forbidden for a record of a project that the
    identity does not see, as if the record were not there. Raises Forbidden."""
    if may(identity, right, project_id):
        return
    if unseen is not None and not may(identity, Right.READ, project_id):
        raise unseen
    known = dict(identity.projects or ())
    there = "" if project_id is None or not may(identity, right) else " in this project"
    role = known.get(project_id, identity.role) if there and project_id is not None else identity.role
    raise Forbidden(
        f"The role {role} of {identity.username}{there} does not permit this; it needs the right {right}.",
        "Ask an administrator.",
    )
