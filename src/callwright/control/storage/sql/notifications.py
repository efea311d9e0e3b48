"""Channels, and the outbox of their messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Table,
    UniqueConstraint,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    update,
)

from callwright.control.notifications.model import Channel, Message, State
from callwright.control.storage.sql.columns import (
    Number,
    id_column,
    metadata,
    reference,
    text_column,
    time_column,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.users import users
from callwright.control.storage.sql.writing import (
    as_is,
    columns,
    filling,
    in_list,
    in_projects,
    inserting,
    list_values,
    project_values,
    upsert,
    values_of,
)

__all__ = ["SqlNotifications"]

channels = Table(
    "notification_channels",
    metadata,
    id_column(),
    reference("project_id", "projects.id", nullable=True),
    reference("user_id", "users.id", nullable=True),
    text_column("handle"),
    text_column("name"),
    text_column("kind"),
    text_column("url"),
    text_column("service"),
    text_column("sealed"),
    text_column("events", default="[]"),
    text_column("tests", default="[]"),
    Column("after", Number, nullable=False),
    Column("active", Number, nullable=False),
    time_column("created_at"),
    time_column("updated_at"),
)
Index("ix_notification_channels_project_id", channels.c.project_id)
Index("ix_notification_channels_user_id", channels.c.user_id)

messages = Table(
    "notification_messages",
    metadata,
    id_column(),
    reference("channel_id", "notification_channels.id", cascade=True),
    text_column("uid"),
    text_column("event"),
    time_column("at"),
    text_column("body"),
    text_column("state"),
    Column("attempts", Number, nullable=False),
    time_column("next_at"),
    time_column("tried_at", nullable=True),
    Column("status", Number, nullable=True),
    text_column("reason"),
    UniqueConstraint("channel_id", "uid"),
)
_WHERE_OPEN = text("state IN ('waiting', 'retrying')")
Index("ix_notification_messages_channel_id_id", messages.c.channel_id, messages.c.id)
Index(
    "ix_notification_messages_open",
    messages.c.channel_id,
    messages.c.id,
    sqlite_where=_WHERE_OPEN,
    postgresql_where=_WHERE_OPEN,
)

_CHANNEL, _MESSAGE = columns(channels, Channel), columns(messages, Message)
_channel = filling(Channel, events=tuple[str, ...], tests=tuple[str, ...])
#: Written out, so that the partial index serves it.
_IS_OPEN = literal_column("(notification_messages.state IN ('waiting', 'retrying'))", Boolean())

_IN_PROJECTS = select(*_CHANNEL).where(channels.c.project_id.is_not(None)).order_by(channels.c.id)
_ALL = Statement(_IN_PROJECTS)
_OF_USERS = select(*_CHANNEL).where(channels.c.user_id.is_not(None)).order_by(channels.c.id)
_OF_ALL_USERS = Statement(_OF_USERS)
_OF_USER = Statement(_OF_USERS.where(channels.c.user_id == param("user_id")))
_BY_ID = Statement(select(*_CHANNEL).where(channels.c.id == param("id")))
_FIELDS = [name for name in Channel.__struct_fields__ if name != "id"]
_ADD = Statement(inserting(channels, _FIELDS).returning(*_CHANNEL))
_FIXED = ("project_id", "user_id", "handle", "kind", "created_at")
_REPLACE = Statement(
    update(channels)
    .where(channels.c.id == param("id"))
    .values({name: param(name) for name in _FIELDS if name not in _FIXED})
    .returning(*_CHANNEL)
)
_REMOVE = Statement(delete(channels).where(channels.c.id == param("id")))
_LISTENING = Statement(
    select(*_CHANNEL)
    .where(channels.c.project_id == param("project_id"), channels.c.active == literal(1))
    .order_by(channels.c.id)
)
_LISTENING_TO_CALLS = Statement(
    select(*_CHANNEL, users.c.role)
    .join(users, users.c.id == channels.c.user_id)
    .where(channels.c.active == literal(1), users.c.deleted_at.is_(None))
    .order_by(channels.c.id)
)

_PUT = upsert(
    messages,
    ("channel_id", "uid"),
    [name for name in Message.__struct_fields__ if name != "id"],
    keep=True,
)
_heads = select(func.min(messages.c.id)).where(_IS_OPEN).group_by(messages.c.channel_id)
_DUE = Statement(
    select(messages.c.channel_id)
    .join(channels, channels.c.id == messages.c.channel_id)
    .where(
        channels.c.active == literal(1),
        messages.c.id.in_(_heads.scalar_subquery()),
        or_(messages.c.next_at <= param("now"), messages.c.next_at > param("latest")),
    )
    .order_by(messages.c.id)
)
_HEAD = Statement(
    select(*_MESSAGE)
    .where(messages.c.channel_id == param("channel_id"), _IS_OPEN)
    .order_by(messages.c.id)
    .limit(1)
)
_SETTLE = Statement(
    update(messages)
    .where(
        messages.c.id == param("id"),
        messages.c.attempts == param("attempts_seen"),
        messages.c.state == param("state_seen"),
    )
    .values(
        {name: param(name) for name in ("at", "state", "attempts", "next_at", "tried_at", "status", "reason")}
    )
)
_HASTEN = Statement(
    update(messages)
    .where(messages.c.channel_id == param("channel_id"), _IS_OPEN)
    .values(next_at=param("now"))
)
_OPEN_COUNTS = Statement(
    select(messages.c.channel_id, func.count()).where(_IS_OPEN).group_by(messages.c.channel_id)
)
_NEWEST_TO_GO = (
    select(messages.c.id)
    .where(messages.c.channel_id == param("channel_id"), _IS_OPEN)
    .order_by(messages.c.id.desc())
    .offset(param("most"))
    .limit(1)
    .scalar_subquery()
)
_GIVE_UP = Statement(
    update(messages)
    .where(messages.c.channel_id == param("channel_id"), _IS_OPEN, messages.c.id <= _NEWEST_TO_GO)
    .values(state=literal(State.GIVEN_UP.value), reason=param("reason"))
)
_MESSAGE_BY_ID = Statement(select(*_MESSAGE).where(messages.c.id == param("id")))
_FORGET = Statement(
    delete(messages).where(~_IS_OPEN, func.coalesce(messages.c.tried_at, messages.c.at) < param("before"))
)


@lru_cache(maxsize=8)
def _channels_in(count: int) -> Statement:
    return Statement(_IN_PROJECTS.where(in_projects(channels.c.project_id, count)))


@lru_cache(maxsize=64)
def _page(count: int, states: int, filters: frozenset[str]) -> Statement:
    statement = select(*_MESSAGE).where(in_list(messages.c.channel_id, "channel", count))
    if states:
        statement = statement.where(messages.c.state.in_([param(f"state_{n}") for n in range(states)]))
    if "event" in filters:
        statement = statement.where(messages.c.event == param("event"))
    if "before" in filters:
        statement = statement.where(messages.c.id < param("before"))
    return Statement(statement.order_by(messages.c.id.desc()).limit(param("limit")))


def _with_role(*values: Any) -> tuple[Channel, str]:
    return _channel(*values[:-1]), values[-1]


class SqlNotifications:
    """NotificationStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def transaction(self) -> AbstractAsyncContextManager[object]:
        return self._db.transaction()

    async def channels(self, visible: Sequence[int] | None) -> list[Channel]:
        values, count = project_values(visible)
        return await self._db.all(_channel, _ALL if count is None else _channels_in(count), values)

    async def channels_of_users(self, user_id: int | None = None) -> list[Channel]:
        if user_id is None:
            return await self._db.all(_channel, _OF_ALL_USERS)
        return await self._db.all(_channel, _OF_USER, {"user_id": user_id})

    async def channel(self, channel_id: int) -> Channel | None:
        return await self._db.one(_channel, _BY_ID, {"id": channel_id})

    async def add_channel(self, channel: Channel) -> Channel:
        (added,) = await self._db.changed(_channel, _ADD, values_of(channel))
        return added

    async def replace_channel(self, channel: Channel) -> Channel | None:
        rows = await self._db.changed(_channel, _REPLACE, values_of(channel))
        return rows[0] if rows else None

    async def remove_channel(self, channel_id: int) -> bool:
        return await self._db.run(_REMOVE, {"id": channel_id}) > 0

    async def listening(self, project_id: int) -> list[Channel]:
        return await self._db.all(_channel, _LISTENING, {"project_id": project_id})

    async def listening_to_calls(self) -> list[tuple[Channel, str]]:
        return await self._db.all(_with_role, _LISTENING_TO_CALLS)

    async def add_messages(self, messages: Sequence[Message]) -> None:
        async with self._db.transaction() as transaction:
            await transaction.run_many(_PUT, [values_of(one, without=("id",)) for one in messages])

    async def due(self, now: float, latest: float) -> list[int]:
        rows = await self._db.all(as_is, _DUE, {"now": now, "latest": latest})
        return [channel_id for (channel_id,) in rows]

    async def head(self, channel_id: int) -> Message | None:
        return await self._db.one(_message, _HEAD, {"channel_id": channel_id})

    async def settle(self, seen: Message, after: Message) -> bool:
        values = values_of(after) | {"attempts_seen": seen.attempts, "state_seen": seen.state}
        return await self._db.run(_SETTLE, values) > 0

    async def hasten(self, channel_id: int, now: float) -> None:
        await self._db.run(_HASTEN, {"channel_id": channel_id, "now": now})

    async def give_up_beyond(self, channel_id: int, most: int, reason: str) -> int:
        values = {"channel_id": channel_id, "most": most, "reason": reason}
        return await self._db.run(_GIVE_UP, values)

    async def messages(
        self,
        channel_ids: Sequence[int],
        *,
        states: Sequence[str] = (),
        event: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Message]:
        if not channel_ids:
            return []
        filters = {"event": event, "before": before}
        given: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
        listed, count = list_values("channel", channel_ids)
        values = given | listed | {f"state_{n}": state for n, state in enumerate(states)}
        statement = _page(count, len(states), frozenset(given))
        return await self._db.all(_message, statement, values | {"limit": limit})

    async def message(self, message_id: int) -> Message | None:
        return await self._db.one(_message, _MESSAGE_BY_ID, {"id": message_id})

    async def open_counts(self) -> Mapping[int, int]:
        rows = await self._db.all(as_is, _OPEN_COUNTS)
        return {channel_id: int(count) for channel_id, count in rows}

    async def forget_messages(self, before: float) -> int:
        return await self._db.run(_FORGET, {"before": before})


_message = filling(Message)
