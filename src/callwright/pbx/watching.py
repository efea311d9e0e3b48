"""Who watches what: lines (Event: dialog, RFC 4235), presence (RFC 3856), mailboxes (Event: message-summary,
RFC 3842) and where an account is registered (Event: reg, RFC 3680)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from xml.sax.saxutils import escape, quoteattr

from callwright.pbx.presence import PIDF_TYPE, PRESENCE, Presence, pidf
from callwright.pbx.reginfo import REG_TYPE, REGISTRATION, reginfo
from callwright.pbx.registrar import Binding
from callwright.sip.legible import legible
from callwright.sip.subscription import Subscription

__all__ = [
    "DIALOG",
    "MESSAGES",
    "SUMMARY_TYPE",
    "LineState",
    "WatchHost",
    "Watchers",
    "summary",
]

DIALOG, MESSAGES = "dialog", "message-summary"
_NAMESPACE = "urn:ietf:params:xml:ns:dialog-info"
_DIALOG_TYPE = "application/dialog-info+xml"
SUMMARY_TYPE = "application/simple-message-summary"


class LineState(NamedTuple):
    """One call of a line. `direction` initiator or recipient; `state` trying, early or confirmed; `remote` a
    SIP URI, empty: nobody knows. `call_id` and tags, as the line's own phone has them; empty: not told."""

    id: str
    direction: str
    state: str
    remote: str
    call_id: str = ""
    local_tag: str = ""
    remote_tag: str = ""


class WatchHost(Protocol):
    """What is watched."""

    def uri_of(self, number: str) -> str:
        """The SIP URI of a number."""
        ...

    def lines(self, number: str, viewer: str) -> Sequence[LineState]:
        """The calls of a number now, as an account may see them."""
        ...

    def presence(self, user: str) -> Presence:
        """What is known of an account now."""
        ...

    def messages(self, user: str) -> tuple[int, int]:
        """How many messages are new, and how many were heard."""
        ...

    def contacts(self, user: str) -> Sequence[Binding]:
        """Where an account is registered now."""
        ...


@dataclass(slots=True)
class _Watch:
    """What one subscriber, the account `viewer`, was told last. `entity`: the user part that it asked for."""

    package: str
    number: str
    entity: str
    viewer: str
    version: int = 0
    told: object = None
    contacts: Sequence[Binding] = ()  # that were told last


class Watchers:
    """The subscriptions of a PBX; each is told the whole state whenever it is another than before."""

    def __init__(self, host: WatchHost) -> None:
        self._host = host
        self._subscriptions: dict[Subscription, None] = {}

    def __len__(self) -> int:
        return len(self._subscriptions)

    def add(
        self, subscription: Subscription, package: str, number: str, now: float, *, entity: str, viewer: str
    ) -> None:
        """Somebody watches from now on, and is told at once."""
        subscription.user_data = _Watch(package, number, entity, viewer)
        self._subscriptions[subscription] = None
        self.tell(subscription, now)

    def drop(self, subscription: Subscription) -> None:
        """It has ended."""
        self._subscriptions.pop(subscription, None)

    def look(self, now: float) -> None:
        """Tell everybody for whom something has changed."""
        states: dict[tuple[str, str, bool], object] = {}
        for subscription in list(self._subscriptions):
            watch = subscription.user_data
            if not isinstance(watch, _Watch):
                continue
            key = watch.package, watch.number, watch.viewer == watch.number
            if key not in states:
                states[key] = self._state(watch)
            if states[key] != watch.told:
                self.tell(subscription, now)

    def tell(self, subscription: Subscription, now: float) -> None:
        """The whole state, now."""
        watch = subscription.user_data
        if not isinstance(watch, _Watch):
            return
        watch.told = self._state(watch)
        host = self._host
        uri = host.uri_of(watch.number)
        if watch.package == MESSAGES:
            body = summary(uri, *host.messages(watch.number))
            subscription.notify(body, SUMMARY_TYPE, now=now)
        elif watch.package == PRESENCE:
            subscription.notify(pidf(uri, host.presence(watch.number)), PIDF_TYPE, now=now)
        elif watch.package == REGISTRATION:
            contacts = host.contacts(watch.number)
            body = reginfo(uri, watch.version, contacts, watch.contacts, now)
            watch.version, watch.contacts = watch.version + 1, contacts
            subscription.notify(body, REG_TYPE, now=now)
        else:
            lines = host.lines(watch.number, watch.viewer)
            body = _dialog_info(host.uri_of(watch.entity), uri, watch.version, lines)
            watch.version += 1
            subscription.notify(body, _DIALOG_TYPE, now=now)
        if subscription.over:
            self.drop(subscription)

    def _state(self, watch: _Watch) -> object:
        if watch.package == MESSAGES:
            return self._host.messages(watch.number)
        if watch.package == PRESENCE:
            return self._host.presence(watch.number)
        if watch.package == REGISTRATION:
            return tuple(self._host.contacts(watch.number))
        return tuple(self._host.lines(watch.number, watch.viewer))


def summary(uri: str, new: int, heard: int) -> bytes:
    """The body of a message-summary (RFC 3842 section 5.2)."""
    waiting = "yes" if new else "no"
    lines = [f"Messages-Waiting: {waiting}", f"Message-Account: {uri}", f"Voice-Message: {new}/{heard} (0/0)"]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _dialog_info(entity: str, uri: str, version: int, lines: Iterable[LineState]) -> bytes:
    parts = [
        '<?xml version="1.0"?>',
        f'<dialog-info xmlns="{_NAMESPACE}" version="{version}" state="full" entity={quoteattr(entity)}>',
    ]
    for line in lines:
        known = {"call-id": line.call_id, "local-tag": line.local_tag, "remote-tag": line.remote_tag}
        named = "".join(f" {name}={quoteattr(value)}" for name, value in known.items() if value)
        parts.append(f"<dialog id={quoteattr(line.id)}{named} direction={quoteattr(line.direction)}>")
        parts.append(f"<state>{line.state}</state>")
        parts.append(_party("local", uri))
        if line.remote:
            parts.append(_party("remote", line.remote))
        parts.append("</dialog>")
    parts.append("</dialog-info>\n")
    return legible("\n".join(parts)).encode()


def _party(side: str, uri: str) -> str:
    return f"<{side}><identity>{escape(uri)}</identity><target uri={quoteattr(uri)}/></{side}>"
