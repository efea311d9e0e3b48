from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar
from xml.sax.saxutils import escape, quoteattr

from callwright.scenario.actions.action import Action
from callwright.scenario.actions.engine import Unfit
from callwright.scenario.parameter import Choice, Destination, Duration, Headers, Seconds, Words, parameter


@dataclass(frozen=True, kw_only=True)
class Publish(Action):
    kind: ClassVar[str] = "publish"
    summary: ClassVar[str] = "Publishes an event state (RFC 3903), by default presence, and keeps it alive."
    ready: ClassVar[str] = "when `for` is over and the state was taken back, or was refused"
    example: ClassVar[str] = "publish: {party: alice, status: closed, note: at lunch, for: 5 s}"
    main: ClassVar[str] = "status"
    calls: ClassVar[bool] = True
    aliases: ClassVar = MappingProxyType(
        {"from": "party", "to": "destination", "for": "lasting", "package": "event"}
    )

    destination: str = parameter(
        Destination(512),
        "Whose state: a number, a user, a SIP URI, or a party.",
        default="",
        default_text="its own",
    )
    status: str = parameter(
        Choice(("open", "closed"), "status"), "Presence: whether the party can be reached.", default="open"
    )
    note: str = parameter(Words(256), "Presence: a note for people.", default="")
    event: str = parameter(Words(128), "Event package.", default="presence")
    body: str = parameter(
        Words(4_096), "The document itself, instead of `status` and `note`.", default="", default_text="PIDF"
    )
    type: str = parameter(Words(128), "Content-Type of the document.", default="application/pidf+xml")
    lasting: float = parameter(Duration(0.1, 86_400), "Take it back after so long; or `for`.", default=5.0)
    expires: int = parameter(Seconds(1, 86_400), "Expires of the PUBLISH.", default=600)
    headers: tuple[tuple[str, str], ...] = parameter(
        Headers(free=True), "Headers to add to the PUBLISH or to replace; `-Name` leaves one out.", default=()
    )

    def unfit(self, given: Collection[str]) -> list[Unfit]:
        both = [name for name in ("status", "note") if self.body and name in given]
        return [Unfit(name, f"{name}: `body` is the whole document. Leave one of them out.") for name in both]

    def document(self, uri: str) -> str:
        """What is published for that URI."""
        if self.body:
            return self.body
        note = f"<note>{escape(self.note)}</note>" if self.note else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity={quoteattr(uri)}>'
            f'<tuple id="callwright"><status><basic>{self.status}</basic></status>{note}</tuple></presence>'
        )
