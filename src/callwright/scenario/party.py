"""The parties of a test: who has which account where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from callwright.scenario.parameter import TRANSPORTS, Choice, Host, Secret, UrlPath, Words, parameter


@dataclass(frozen=True, kw_only=True)
class Party:
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"registrar": "domain", "account": "user", "host": "domain", "name": "display_name"}
    )

    name: str
    user: str = parameter(
        Words(128), "User part of its address.", default="", default_text="an account of the built-in PBX"
    )
    password: str = parameter(
        Secret(256), "Password of the account.", default="", default_text="the account's"
    )
    auth_user: str = parameter(
        Words(128), "User name for authentication.", default="", default_text="the user"
    )
    display_name: str = parameter(Words(128), "Display name in From.", default="")
    domain: str = parameter(
        Host(255), "Domain or registrar of the account.", default="", default_text="the target"
    )
    proxy: str = parameter(
        Host(255), "Send everything through this host.", default="", default_text="the domain itself"
    )
    transport: str = parameter(
        Choice(TRANSPORTS, "transport"), "Transport of this party.", default="", default_text="the document's"
    )
    ws_path: str = parameter(
        UrlPath(256), "Path to ask a server of WebSocket for, such as `/sip/ws`.", default="/ws"
    )
    credentials: str = parameter(
        Words(128), "Name of an entry in the credentials file that fills what is not given here.", default=""
    )


@dataclass(frozen=True)
class PartyAccount:
    """A party's account as a softphone needs it: nothing is left to work out but the resolution of names."""

    party: str
    user: str
    password: str
    auth_user: str
    display_name: str
    domain: str  # host or host:port
    proxy: str  # host or host:port, "" for none
    transport: str  # of TRANSPORTS
    ws_path: str = "/ws"

    @property
    def address_of_record(self) -> str:
        return f"sip:{escape_user(self.user)}@{self.domain}"

    def __repr__(self) -> str:
        return f"Account({self.party}, {self.address_of_record})"  # never the password


def escape_user(user: str) -> str:
    """Percent-escapes what the user part of a SIP URI does not permit (RFC 3261 section 25.1)."""
    return re.sub(
        r"[^A-Za-z0-9\-_.!~*'()&=+$,;?/%]",
        lambda match: "".join(f"%{octet:02X}" for octet in match[0].encode()),
        user,
    )


def numbered_after(user: str, count: int) -> list[str]:
    """``1001`` and 3 give 1001, 1002, 1003; leading zeros stay; a user without a number at its end gets
    one."""
    match = re.search(r"\d+$", user)
    if match is None:
        return [user, *(f"{user}{number}" for number in range(2, count + 1))]
    stem, digits = user[: match.start()], match[0]
    return [f"{stem}{int(digits) + step:0{len(digits)}d}" for step in range(count)]
