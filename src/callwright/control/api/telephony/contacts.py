"""Contacts of users."""

from __future__ import annotations

from typing import Any

from callwright.control.accounts.model import Right
from callwright.control.api.openapi import fields_of
from callwright.control.api.telephony.records import routes
from callwright.control.contacts.model import CONTACTS, TEXTS

ROUTES: list[Any] = routes(
    "/contacts",
    CONTACTS,
    lambda services: services.contacts,
    properties=fields_of(CONTACTS, (*TEXTS, "global")),
    required=(),
    right=Right.READ,
    word="contact",
)
