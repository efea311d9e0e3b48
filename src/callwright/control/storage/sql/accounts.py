"""AccountStore on any Database: the records of users and of what they sign in with."""

from __future__ import annotations

from callwright.control.storage.sql.audit import SqlAuditStore
from callwright.control.storage.sql.credentials import SqlCredentials
from callwright.control.storage.sql.keys import SqlKeys
from callwright.control.storage.sql.users import SqlUsers

__all__ = ["SqlAccountStore"]


class SqlAccountStore(SqlUsers, SqlKeys, SqlCredentials, SqlAuditStore):
    """AccountStore on any Database."""
