"""SIP addresses in documents that are no destinations: whom a registration is for, where else it leads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from callwright.scenario.parameter import Words
from callwright.scenario.source import Items, Node, Refusal, quoted
from callwright.sip.binding_wish import is_urn
from callwright.sip.uri import SipSyntaxError, Uri

__all__ = ["Instance", "SipAddress", "SipAddresses"]


@dataclass(frozen=True)
class SipAddress(Words):
    """A SIP URI: ``sip:1002@pbx.example.com``; ``sip:`` may be left out."""

    name: ClassVar[str] = "SIP address"

    def read(self, node: Node) -> str:
        text = Words.read(self, node)
        if not text:
            return ""
        full = text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}"
        try:
            uri = Uri.parse(full)
        except SipSyntaxError as error:
            raise Refusal(f"{quoted(text)} is not a SIP URI: {error.reason}.", key=text) from None
        if not uri.host or not uri.user:
            raise Refusal(f"{quoted(text)} names no user and host. Write sip:1002@pbx.example.com.", key=text)
        return full


@dataclass(frozen=True)
class SipAddresses(SipAddress):
    """Several of these, in a list."""

    name: ClassVar[str] = "SIP addresses"
    MOST: ClassVar[int] = 8

    def read(self, node: Node) -> tuple[str, ...]:  # type: ignore[override]
        found = tuple(
            SipAddress.read(self, item) for item in (node.items if isinstance(node, Items) else [node])
        )
        if len(found) > self.MOST:
            raise Refusal(f"There are {len(found)} addresses; at most {self.MOST} are permitted.")
        return tuple(filter(None, found))

    def show(self, value: Any) -> str:
        return f"[{', '.join(value)}]" if value else ""

    def plain(self, value: Any) -> Any:
        return list(value or ())


@dataclass(frozen=True)
class Instance(Words):
    """A URN: ``urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6``."""

    name: ClassVar[str] = "URN"

    def read(self, node: Node) -> str:
        text = Words.read(self, node)
        if text and not is_urn(text):
            raise Refusal(f"{quoted(text)} is not a URN. Write urn:uuid: and a UUID.", key=text)
        return text
