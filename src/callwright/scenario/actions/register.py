from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from callwright.scenario.actions.action import Action
from callwright.scenario.actions.engine import Unfit
from callwright.scenario.addresses import Instance, SipAddress, SipAddresses
from callwright.scenario.parameter import (
    Boolean,
    Duration,
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
    headers: tuple[tuple[str, str], ...] = parameter(
        Headers(free=True),
        "Headers to add to the REGISTER or to replace; `-Name`: leave out.",
        default=(),
    )
    outbound: bool = parameter(
        Boolean(),
        "Whether the registrar is to keep the flow (RFC 5626), kept alive, and formed anew if it dies.",
        default=False,
    )
    reg_id: int = parameter(Integer(1, 2**31 - 1), "Number of the flow, with `outbound`.", default=1)
    instance: str = parameter(
        Instance(256), "URN of the device (`+sip.instance`).", default="", default_text="one of its own"
    )
    gruu: bool = parameter(
        Boolean(), "Whether to ask for a GRUU (RFC 5627), and to give that as Contact.", default=False
    )
    keepalive: float | None = parameter(
        Duration(1, 86_400),
        "Longest pause between keep-alives: CRLF over TCP and TLS, STUN over UDP.",
        default=None,
        default_text="none; with `outbound`, as the registrar says",
    )
    contacts: tuple[str, ...] = parameter(
        SipAddresses(512), "Further contacts to bind to the account, beside the party's phone.", default=()
    )
    third_party: str = parameter(
        SipAddress(512),
        "Address to register where that is not the party's own.",
        default="",
        default_text="the party's own",
    )
    unregister: bool = parameter(Boolean(), "Whether to unregister at the end of the run.", default=True)

    def unfit(self, given: Collection[str]) -> list[Unfit]:
        alone = ("instance", "contacts", "third_party")
        several = [name for name in alone if name in given and self.users > 1]
        return [Unfit(name, f"{name} is of one account: leave out users.") for name in several]
