from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from callwright.scenario.actions.action import Action
from callwright.scenario.parameter import Destination, Duration, Headers, Seconds, Words, parameter


@dataclass(frozen=True, kw_only=True)
class Subscribe(Action):
    kind: ClassVar[str] = "subscribe"
    summary: ClassVar[str] = "Subscribes to an event package (RFC 6665), and keeps what its NOTIFYs say."
    ready: ClassVar[str] = "when `for` is over and the subscription has ended, or was refused"
    example: ClassVar[str] = (
        "subscribe: {party: alice, to: bob, event: dialog, for: 5 s, expect: 'body ~ /confirmed/'}"
    )
    main: ClassVar[str] = "destination"
    calls: ClassVar[bool] = True
    aliases: ClassVar = MappingProxyType(
        {"from": "party", "to": "destination", "for": "lasting", "package": "event"}
    )

    destination: str = parameter(Destination(512), "Whose state: a number, a user, a SIP URI, or a party.")
    event: str = parameter(
        Words(128), "Event package: `dialog`, `message-summary`, `presence` or another.", default="dialog"
    )
    lasting: float = parameter(Duration(0.1, 86_400), "Unsubscribe after so long; or `for`.", default=5.0)
    expires: int = parameter(Seconds(1, 86_400), "Expires of the SUBSCRIBE.", default=600)
    accept: str = parameter(
        Words(256), "Accept of the SUBSCRIBE: types of bodies.", default="", default_text="none is sent"
    )
    headers: tuple[tuple[str, str], ...] = parameter(
        Headers(free=True),
        "Headers to add to the SUBSCRIBE or to replace; `-Name`: leave out.",
        default=(),
    )
