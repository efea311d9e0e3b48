"""What channels and their outbox need of a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from callwright.control.notifications.model import Channel, Message

__all__ = ["NotificationStore"]


class NotificationStore(Protocol):
    def transaction(self) -> AbstractAsyncContextManager[object]: ...

    async def channels(self, visible: Sequence[int] | None) -> list[Channel]:
        """Of projects, oldest first. ``visible``: projects, None: all."""
        ...

    async def channels_of_users(self, user_id: int | None = None) -> list[Channel]:
        """Webhooks for calls, oldest first; of one user, or of all."""
        ...

    async def channel(self, channel_id: int) -> Channel | None: ...
    async def add_channel(self, channel: Channel) -> Channel: ...
    async def replace_channel(self, channel: Channel) -> Channel | None: ...
    async def remove_channel(self, channel_id: int) -> bool:
        """With all its messages."""
        ...

    async def listening(self, project_id: int) -> list[Channel]:
        """Active ones of a project."""
        ...

    async def listening_to_calls(self) -> list[tuple[Channel, str]]:
        """Active ones of users, with the role of each."""
        ...

    async def add_messages(self, messages: Sequence[Message]) -> None:
        """A message whose ``uid`` its channel has already is left as it is."""
        ...

    async def due(self, now: float, latest: float) -> list[int]:
        """Active channels whose oldest open message may be tried: its time has come, or lies after
        ``latest``, which only a clock that was set back can have caused."""
        ...

    async def head(self, channel_id: int) -> Message | None:
        """The oldest open message."""
        ...

    async def settle(self, seen: Message, after: Message) -> bool:
        """Writes what came of an attempt; False when somebody else has changed it since."""
        ...

    async def hasten(self, channel_id: int, now: float) -> None:
        """What waits may be tried at once."""
        ...

    async def give_up_beyond(self, channel_id: int, most: int, reason: str) -> int:
        """Of more open messages than ``most`` the oldest are given up; how many."""
        ...

    async def messages(
        self,
        channel_ids: Sequence[int],
        *,
        states: Sequence[str] = (),
        event: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Message]:
        """Newest first."""
        ...

    async def message(self, message_id: int) -> Message | None: ...
    async def open_counts(self) -> Mapping[int, int]:
        """Channel to its open messages."""
        ...

    async def forget_messages(self, before: float) -> int:
        """Those that are not open and were last tried before that."""
        ...
