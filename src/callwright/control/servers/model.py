"""What is counted of servers, and the switch that holds the fleet."""

from __future__ import annotations

import msgspec

from callwright.fleet.record import ServerRecord

__all__ = ["ServerCounts", "ServerRecord"]


class ServerCounts(msgspec.Struct, frozen=True):
    """Since the database was made. ``created``: machines that providers made. ``create_errors``: those that
    never came to be. ``deleted``: machines that are gone. ``delete_errors``: refusals to destroy one."""

    created: int = 0
    create_errors: int = 0
    deleted: int = 0
    delete_errors: int = 0
