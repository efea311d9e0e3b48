"""The outbox: a message is written in the transaction of the change that it tells, and delivered later.

Who writes here is in a transaction already; without one the message would be there though the change is not,
or the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from callwright.control.notifications.model import Channel, Message, State
from callwright.control.notifications.store import NotificationStore
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy

__all__ = ["Audience", "Outbox", "in_audience"]

#: Ids of channels; None: every channel of the project whose events name it.
Audience = Sequence[int] | None


def in_audience(channel: Channel, event: str, audience: Audience) -> bool:
    """Channels that are named hear of it whatever they hear otherwise."""
    return event in channel.events if audience is None else channel.id in audience


class Outbox:
    """``site``: what links begin with; None: messages have paths alone."""

    def __init__(
        self, store: NotificationStore, *, clock: Clock, entropy: Entropy, site: str | None = None
    ) -> None:
        self._store, self._clock, self._entropy = store, clock, entropy
        self._site = (site or "").rstrip("/")

    def link(self, path: str) -> str:
        return f"{self._site}{path}"

    async def listening(self, project_id: int) -> list[Channel]:
        return await self._store.listening(project_id)

    async def listening_to_calls(self) -> list[tuple[Channel, str]]:
        return await self._store.listening_to_calls()

    async def tell(
        self,
        event: str,
        data: Mapping[str, Any],
        *,
        at: float,
        project_id: int,
        wants: Callable[[Channel], bool],
    ) -> None:
        """To each channel of the project that ``wants`` it."""
        chosen = [one for one in await self._store.listening(project_id) if wants(one)]
        await self.write(event, data, at=at, channels=chosen)

    async def write(
        self,
        event: str,
        data: Mapping[str, Any],
        *,
        at: float,
        channels: Iterable[Channel],
        uid: str | None = None,
    ) -> None:
        """``uid``: given where the same may be written twice, and shall be told once."""
        chosen = list(channels)
        if not chosen:
            return
        uid = uid or f"msg_{self._entropy(16).hex()}"
        moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = msgspec.json.encode({"type": event, "timestamp": moment, "data": data}).decode()
        now = self._clock.wall()
        await self._store.add_messages(
            [
                Message(
                    id=0,
                    channel_id=one.id,
                    uid=uid,
                    event=event,
                    at=now,
                    body=body,
                    state=State.WAITING,
                    attempts=0,
                    next_at=now,
                    tried_at=None,
                    status=None,
                    reason="",
                )
                for one in chosen
            ]
        )
