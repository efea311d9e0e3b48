"""From the records of accounts to the answers of this chapter."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.control.accounts import model as accounts
from callwright.control.api.access import schemas
from callwright.control.api.answers import utc, utc_or_none
from callwright.control.audit.model import AuditEntry
from callwright.control.credentials.model import Credential
from callwright.control.projects.model import Membership, Project


def credential(record: Credential) -> schemas.Credential:
    return schemas.Credential(
        id=record.id,
        name=record.name,
        user=record.user,
        auth_user=record.auth_user,
        domain=record.domain,
        display_name=record.display_name,
        proxy=record.proxy,
        transport=record.transport,
        has_password=bool(record.has_password),
        project=record.project_name,
        created_at=utc(record.created_at),
        updated_at=utc(record.updated_at),
    )


def key(record: accounts.ApiKey, secret: str | None = None) -> schemas.Key:
    return schemas.Key(
        id=record.id,
        public_key=record.public_key,
        name=record.name,
        user=record.username,
        project=record.project_name,
        created_at=utc(record.created_at),
        last_used_at=utc_or_none(record.last_used_at),
        revoked_at=utc_or_none(record.revoked_at),
        created_by=record.created_by,
        made_by_key=record.made_by_key,
        secret=secret,
    )


def made(record: accounts.Made) -> schemas.Made:
    return schemas.Made(kind=record.kind, id=record.id, name=record.name)


def user(record: accounts.User, memberships: Sequence[Membership] = ()) -> schemas.User:
    return schemas.User(
        id=record.id,
        username=record.username,
        name=record.name,
        email=record.email,
        role=str(record.role),
        category=str(record.category),
        time_zone=record.time_zone,
        created_at=utc(record.created_at),
        last_login_at=utc_or_none(record.last_login_at),
        projects=[
            schemas.InProject(project=one.project_name, role=one.role)
            for one in memberships
            if one.user_id == record.id
        ],
    )


def member(record: Membership) -> schemas.Member:
    return schemas.Member(username=record.username, role=record.role, since=utc(record.since))


def project(record: Project, identity: accounts.Identity) -> schemas.Project:
    mine = dict(identity.projects or ())
    return schemas.Project(
        id=record.id,
        name=record.name,
        description=record.description,
        created_at=utc(record.created_at),
        role=accounts.Role.ADMIN.value if identity.projects is None else mine[record.id].value,
        max_running=record.max_running,
        max_queued=record.max_queued,
        keep_runs_days=record.keep_runs_days,
    )


def audit(record: AuditEntry) -> schemas.Audit:
    return schemas.Audit(
        id=record.id,
        at=utc(record.at),
        user=record.username,
        action=record.action,
        object=record.object,
        detail=record.detail,
        key_id=record.key_id,
    )
