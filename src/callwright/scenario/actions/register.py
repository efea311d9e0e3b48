from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from callwright.scenario.actions.action import Action
from callwright.scenario.parameter import (
    Boolean,
    Headers,
    Host,
    Integer,
    Seconds,
    Secret,
    Words,
    parameter,
)


@dataclass(frozen=True, kw_only=True)
class Register(Action):
    kind: ClassVar[str] = "register"
    summary: ClassVar[str] = (
        "Registers a party's account, refreshes it at half its expiry, unregisters at the end."
    )
    ready: ClassVar[str] = "when the registrar has answered 200"
    example: ClassVar[str] = "register: {party: bob, regexpire: 300}"
    main: ClassVar[str] = "party"
    aliases: ClassVar = MappingProxyType({"expires": "regexpire", "account": "user", "count": "users"})

    regexpire: int = parameter(
        Seconds(minimum=1, maximum=604_800), "Expiry asked for, in seconds.", default=3600
    )
    users: int = parameter(
        Integer(minimum=1, maximum=1000),
        "How many accounts: the party's user and those numbered after it, all with the same password.",
        default=1,
    )
    user: str = parameter(Words(128), "User, instead of the party's.", default="", default_text="the party's")
    password: str = parameter(
        Secret(256), "Password, instead of the party's.", default="", default_text="the party's"
    )
    registrar: str = parameter(
        Host(255), "Registrar, instead of the party's domain.", default="", default_text="the party's domain"
    )
    headers: tuple[tuple[str, str], ...] = parameter(Headers(), "Extra headers of the REGISTER.", default=())
    unregister: bool = parameter(Boolean(), "Whether to unregister at the end of the run.", default=True)
