"""What a NOTIFY says of its subscription: Event and Subscription-State (RFC 6665 section 8.2)."""

from __future__ import annotations

from typing import NamedTuple

from callwright.sip.grammar import SipSyntaxError, is_token, parse_parameters
from callwright.sip.headers import Headers

__all__ = ["EventName", "SubscriptionState"]

_LONGEST = 2_147_483_647  # seconds: more than a header may say is as good as for ever


class EventName(NamedTuple):
    """An event package, and which of several subscriptions to it in one dialog is meant."""

    package: str  # lower case
    id: str | None = None

    @classmethod
    def of(cls, headers: Headers) -> EventName | None:
        """The Event header; None where there is none that can be read."""
        found = _parameterized(headers.get("event"))
        return None if found is None else cls(found[0].lower(), found[1].get("id"))


class SubscriptionState(NamedTuple):
    """`state`: active, pending or terminated (or a word of later RFCs). `expires`, `retry_after`: seconds."""

    state: str
    expires: int | None = None
    reason: str = ""
    retry_after: int | None = None

    @property
    def terminated(self) -> bool:
        """The subscription is over with this NOTIFY."""
        return self.state == "terminated"

    @classmethod
    def of(cls, headers: Headers) -> SubscriptionState | None:
        """The Subscription-State header; None where there is none that can be read."""
        found = _parameterized(headers.get("subscription-state"))
        if found is None:
            return None
        state, told = found
        seconds = {name: _seconds(told.get(name)) for name in ("expires", "retry-after")}
        return cls(state.lower(), seconds["expires"], told.get("reason") or "", seconds["retry-after"])


def _parameterized(value: str | None) -> tuple[str, dict[str, str | None]] | None:
    word, semicolon, rest = (value or "").partition(";")
    word = word.strip(" \t")
    if not is_token(word):
        return None
    try:
        found = parse_parameters(semicolon + rest, 0)
    except SipSyntaxError:
        return None
    return word, {name.lower(): text for name, text in found}


def _seconds(text: str | None) -> int | None:
    return min(int(text), _LONGEST) if text and text.isascii() and text.isdigit() and len(text) < 20 else None
