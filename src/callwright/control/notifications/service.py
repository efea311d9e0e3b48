"""Channels: who may make, change and try them, and what became of their messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.credentials.vault import Vault
from callwright.control.errors import Conflict, Invalid, NotFound
from callwright.control.notifications.model import (
    CALL_EVENTS,
    EVENTS,
    TEST,
    Channel,
    Kind,
    Message,
    State,
)
from callwright.control.notifications.outbox import Outbox
from callwright.control.notifications.signing import new_secret
from callwright.control.notifications.store import NotificationStore
from callwright.control.projects.service import Projects
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy
from callwright.scenario.source import nearest_names

__all__ = ["DEFAULT_EVENTS", "Notifications"]

#: What a channel hears of when nothing is said of it.
DEFAULT_EVENTS = (
    "incident.opened",
    "incident.reminded",
    "incident.recovered",
    "incident.closed",
    "run.failed",
    "run.recovered",
)
_LONGEST_NAME, _LONGEST_URL = 200, 2_000
_MOST_AFTER = 50
_MOST_TESTS = 1_000
_MOST_CHANNELS = 200  # of a project, or of a user
_CHANGED = ("name", "url", "events", "tests", "after", "active")


class Notifications:
    """``recognise``: the service that a URL of Apprise means; raises Invalid. ``named_by``: names of alerts
    that name a channel of a project. ``test_names``: of a project."""

    def __init__(
        self,
        store: NotificationStore,
        outbox: Outbox,
        projects: Projects,
        vault: Vault,
        *,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
        recognise: Callable[[str], Awaitable[str]],
        named_by: Callable[[int, int], Awaitable[Sequence[str]]],
        test_names: Callable[[int], Awaitable[Sequence[str]]],
    ) -> None:
        self._store, self._outbox, self._projects, self._vault = store, outbox, projects, vault
        self._audit, self._clock, self._entropy = audit, clock, entropy
        self._recognise, self._named_by, self._test_names = recognise, named_by, test_names

    # -- channels

    async def channels(self, identity: Identity) -> list[Channel]:
        """Of the projects that the identity sees, oldest first."""
        return await self._store.channels(identity.project_ids)

    async def webhooks(self, identity: Identity) -> list[Channel]:
        """For calls: one's own; administrators see those of all users."""
        own = None if may(identity, Right.ADMINISTER) else identity.person
        return await self._store.channels_of_users(own)

    async def channel(self, identity: Identity, channel_id: int) -> Channel:
        """Of a project. Raises NotFound."""
        found = await self._store.channel(channel_id)
        if found is None or found.project_id is None or not may(identity, Right.READ, found.project_id):
            raise NotFound("channel", channel_id)
        return found

    async def webhook(self, identity: Identity, channel_id: int) -> Channel:
        """For calls. Raises NotFound."""
        found = await self._store.channel(channel_id)
        own = found is not None and found.user_id == identity.person
        if found is None or found.user_id is None or not (own or may(identity, Right.ADMINISTER)):
            raise NotFound("webhook", channel_id)
        return found

    async def create(
        self, identity: Identity, fields: Mapping[str, Any], *, kind: str, project: str | None = None
    ) -> tuple[Channel, str | None]:
        """``fields``: name, url, events, tests, after, active. The secret of a webhook, which is never shown
        again. Raises Invalid, Conflict, NotFound, Forbidden."""
        if kind not in list(Kind):
            raise Invalid(f"{kind[:40]!r} is no kind of channel.", f"Kinds: {', '.join(Kind)}.", field="kind")
        authorize(identity, Right.EDIT)
        owner = await self._projects.own(identity, project)
        authorize(identity, Right.EDIT, owner.id)
        return await self._make(identity, fields, kind=kind, project_id=owner.id)

    async def create_webhook(self, identity: Identity, fields: Mapping[str, Any]) -> tuple[Channel, str]:
        """For the calls that one sees: ``fields`` are name, url, events, active. Raises Invalid, Conflict."""
        if not identity.person:
            authorize(identity, Right.ADMINISTER)
        made, secret = await self._make(identity, fields, kind=Kind.WEBHOOK, user_id=identity.user_id)
        assert secret is not None
        return made, secret

    async def change(self, identity: Identity, channel: Channel, fields: Mapping[str, Any]) -> Channel:
        """``fields``: those that change, of which `active` too. Raises Invalid, NotFound, Forbidden."""
        self._authorize(identity, channel)
        changed = await self._filled(channel, fields)
        async with self._audit.change():
            kept = await self._replace(identity, changed, ", ".join(fields))
            await self._store.hasten(kept.id, self._clock.wall())
        return kept

    async def renew_secret(self, identity: Identity, channel: Channel) -> tuple[Channel, str]:
        """The old one signs no more. Raises Invalid for a channel without one, Forbidden."""
        self._authorize(identity, channel)
        if channel.kind != Kind.WEBHOOK:
            raise Invalid("Only webhooks have a secret.", field="secret")
        secret = new_secret(self._entropy)
        sealed = self._vault.seal(secret, channel.context)
        async with self._audit.change():
            kept = await self._replace(identity, msgspec.structs.replace(channel, sealed=sealed), "secret")
        return kept, secret

    async def remove(self, identity: Identity, channel: Channel) -> None:
        """With its messages. Raises Conflict where an alert names it, NotFound, Forbidden."""
        self._authorize(identity, channel)
        async with self._audit.change():
            project = channel.project_id
            alerts = [] if project is None else await self._named_by(project, channel.id)
            if alerts:
                raise Conflict(
                    f"The alert {alerts[0]!r} names the channel {channel.name!r}.",
                    "Give the alert other channels first.",
                )
            if not await self._store.remove_channel(channel.id):
                raise NotFound("channel", channel.id)
            await self._audit.note(identity, "channel.deleted", f"channel {channel.name}")

    # -- messages

    async def try_out(self, identity: Identity, channel: Channel) -> Message:
        """Writes a test message, which waits its turn like others. Raises Conflict for one that is paused,
        Forbidden."""
        self._authorize(identity, channel)
        if not channel.active:
            raise Conflict(f"The channel {channel.name!r} is paused.", "Activate it first.")
        now = self._clock.wall()
        async with self._audit.change():
            data = {"channel": channel.name, "sent_by": identity.username}
            await self._outbox.write(TEST, data, at=now, channels=[channel])
            await self._audit.note(identity, "channel.tried", f"channel {channel.name}", "test message")
            (message,) = await self._store.messages([channel.id], limit=1)
        return message

    async def messages(
        self,
        channels: Sequence[Channel],
        *,
        state: str | None = None,
        event: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Message]:
        """Of channels that were found for the identity, newest first. Raises Invalid for an unknown state."""
        if state is not None and state not in list(State):
            raise Invalid(f"{state[:40]!r} is no state.", f"States: {', '.join(State)}.", field="state")
        states = () if state is None else (state,)
        ids = [one.id for one in channels]
        return await self._store.messages(ids, states=states, event=event, before=before, limit=limit)

    async def again(self, identity: Identity, channel: Channel, message_id: int) -> Message:
        """A message that was given up waits again. Raises NotFound, Conflict, Forbidden."""
        self._authorize(identity, channel)
        seen = await self._store.message(message_id)
        if seen is None or seen.channel_id != channel.id:
            raise NotFound("message", message_id)
        if seen.state != State.GIVEN_UP:
            raise Conflict(f"The message is {seen.state}.", "Only what was given up is sent again.")
        now = self._clock.wall()
        after = msgspec.structs.replace(seen, state=State.WAITING, at=now, next_at=now, attempts=0)
        async with self._audit.change():
            if not await self._store.settle(seen, after):
                raise Conflict("Somebody else has sent the message again meanwhile.")
            await self._audit.note(
                identity, "channel.tried", f"channel {channel.name}", f"message {seen.uid} again"
            )
        return after

    async def open_counts(self) -> Mapping[int, int]:
        return await self._store.open_counts()

    # -- inside

    def _authorize(self, identity: Identity, channel: Channel) -> None:
        if channel.project_id is not None:
            authorize(identity, Right.EDIT, channel.project_id, unseen=NotFound("channel", channel.id))
        elif channel.user_id != identity.person:
            authorize(identity, Right.ADMINISTER)

    async def _make(
        self,
        identity: Identity,
        fields: Mapping[str, Any],
        *,
        kind: str,
        project_id: int | None = None,
        user_id: int | None = None,
    ) -> tuple[Channel, str | None]:
        now = self._clock.wall()
        empty = Channel(
            id=0,
            project_id=project_id,
            user_id=user_id,
            handle=self._entropy(12).hex(),
            name="",
            kind=kind,
            url="",
            service="",
            sealed="",
            events=DEFAULT_EVENTS if user_id is None else tuple(CALL_EVENTS),
            tests=(),
            after=3,
            active=1,
            created_at=now,
            updated_at=now,
        )
        channel = await self._filled(empty, {"name": "", "url": "", **fields})
        secret = None
        if kind == Kind.WEBHOOK:
            secret = new_secret(self._entropy)
            channel = msgspec.structs.replace(channel, sealed=self._vault.seal(secret, channel.context))
        async with self._audit.change():
            there = (
                await self._store.channels([project_id])
                if project_id is not None
                else await self._store.channels_of_users(user_id)
            )
            if len(there) >= _MOST_CHANNELS:
                raise Conflict(f"There are {_MOST_CHANNELS} channels already.", "Remove one first.")
            added = await self._store.add_channel(channel)
            await self._audit.note(identity, "channel.created", f"channel {added.name}", added.kind)
        return added, secret

    async def _replace(self, identity: Identity, channel: Channel, detail: str) -> Channel:
        kept = await self._store.replace_channel(
            msgspec.structs.replace(channel, updated_at=self._clock.wall())
        )
        if kept is None:
            raise NotFound("channel", channel.id)
        await self._audit.note(identity, "channel.changed", f"channel {kept.name}", detail)
        return kept

    async def _filled(self, channel: Channel, fields: Mapping[str, Any]) -> Channel:
        """With what was given, checked. Raises Invalid."""
        unknown = [name for name in fields if name not in _CHANGED]
        if unknown:
            raise Invalid(f"{unknown[0][:80]!r} cannot be changed.", field=unknown[0][:80])
        values: dict[str, Any] = dict(fields)
        if "name" in values and not 0 < len(values["name"].strip()) <= _LONGEST_NAME:
            raise Invalid(f"A channel has a name of 1 to {_LONGEST_NAME} characters.", field="name")
        if "events" in values:
            known = EVENTS if channel.user_id is None else CALL_EVENTS
            values["events"] = _events(values["events"], known)
        if "tests" in values:
            values["tests"] = await self._tests(values["tests"], channel)
        if "after" in values and not 2 <= values["after"] <= _MOST_AFTER:
            raise Invalid(f"after is a number of runs from 2 to {_MOST_AFTER}.", field="after")
        if "active" in values:
            values["active"] = int(bool(values["active"]))
        url = values.pop("url", None)
        changed: Channel = msgspec.structs.replace(channel, **values)
        return changed if url is None else await self._addressed(changed, url)

    async def _addressed(self, channel: Channel, url: str) -> Channel:
        if not url or len(url) > _LONGEST_URL or any(ord(c) < 33 or ord(c) == 127 for c in url):
            raise Invalid(
                f"A channel has a URL of 1 to {_LONGEST_URL:,} characters without blanks.", field="url"
            )
        if channel.kind == Kind.APPRISE:
            service = await self._recognise(url)
            sealed = self._vault.seal(url, channel.context)
            return msgspec.structs.replace(channel, service=service, sealed=sealed)
        _check_webhook(url)
        return msgspec.structs.replace(channel, url=url)

    async def _tests(self, names: Sequence[str], channel: Channel) -> tuple[str, ...]:
        if channel.project_id is None:
            raise Invalid("A webhook for calls has no tests.", field="tests")
        known = await self._test_names(channel.project_id) if names else []
        for name in names:
            if name not in known:
                near = nearest_names(name, list(known))
                hint = f"Did you mean {near[0]!r}?" if near else ""
                raise Invalid(f"There is no test {name[:80]!r} in the project.", hint, field="tests")
        if len(names) > _MOST_TESTS:
            raise Invalid(f"A channel names at most {_MOST_TESTS:,} tests.", field="tests")
        return tuple(dict.fromkeys(names))


def _events(names: Sequence[str], known: Mapping[str, str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise Invalid(f"{name[:80]!r} is no event.", f"Events: {', '.join(known)}.", field="events")
    if not names:
        raise Invalid("A channel hears of one event at least.", "Pause it with active.", field="events")
    return tuple(name for name in known if name in names)


def _check_webhook(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isascii():
        raise Invalid(
            f"{url[:80]!r} is not the URL of a webhook.",
            "For example: https://hooks.example.com/callwright",
            field="url",
        )
    if parts.username or parts.password or parts.fragment:
        raise Invalid(
            "The URL of a webhook has no user, password or fragment.",
            "The signature proves who sends; put a token into the path or the query where one is needed.",
            field="url",
        )
