"""AccountStore on any Database: the records of users and of what they sign in with."""

from __future__ import annotations

from callwright.control.storage.sql.keys import SqlKeys
from callwright.control.storage.sql.members import SqlMembers
from callwright.control.storage.sql.second_factors import SqlSecondFactors
from callwright.control.storage.sql.users import SqlUsers

__all__ = ["SqlAccountStore"]


class SqlAccountStore(SqlUsers, SqlMembers, SqlKeys, SqlSecondFactors):
    """AccountStore on any Database."""
