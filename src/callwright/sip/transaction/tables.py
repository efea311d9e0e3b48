"""The four machines, for whoever walks or prints them all."""

from __future__ import annotations

from callwright.sip.transaction.invite_client import INVITE_CLIENT
from callwright.sip.transaction.invite_server import INVITE_SERVER
from callwright.sip.transaction.non_invite_client import NON_INVITE_CLIENT
from callwright.sip.transaction.non_invite_server import NON_INVITE_SERVER
from callwright.sip.transaction.table import Table

TABLES: tuple[Table, ...] = (INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER)
