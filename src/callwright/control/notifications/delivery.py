"""Delivers what waits in the outbox: at least once, to each channel in order, and each channel by itself.

The oldest message of a channel is tried until it is delivered or given up, and only then the next. A channel
that is down holds up nobody but itself. All that is remembered is in the database.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum, auto
from typing import NamedTuple, Protocol

import msgspec

from callwright.control.accounts.model import PLATFORM
from callwright.control.audit.service import Audit
from callwright.control.credentials.vault import Vault
from callwright.control.errors import DomainError
from callwright.control.notifications.model import Channel, Kind, Message, State
from callwright.control.notifications.signing import signed_headers
from callwright.control.notifications.store import NotificationStore
from callwright.control.notifications.wording import words_of
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy, uniform
from callwright.net.posting import PostingFailed
from callwright.version import __version__

__all__ = ["GIVE_UP_AFTER", "Announcer", "Delivery", "Poster", "Undelivered", "retry_delay"]

_log = logging.getLogger(__name__)

_EVERY = 1.0  # seconds between two looks
_AT_ONCE = 64  # channels
_FIRST_DELAY, _LONGEST_DELAY = 5.0, 900.0
GIVE_UP_AFTER = 3 * 86_400.0
"""Seconds for which a message is tried."""
_REFUSALS = 5  # attempts of a message that the receiver takes for wrong
_MOST_OPEN = 10_000  # messages of a channel
_KEPT = 30 * 86_400.0
_HOUSEKEEPING = 600.0
_WRONG = (400, 413, 415, 422)  # the receiver works, and does not take this message
_GONE = 410
_USER_AGENT = f"Callwright/{__version__}"


class Undelivered(Exception):
    """An attempt that failed; the text is a sentence without secrets."""


class Poster(Protocol):
    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        """The status of the answer; no redirection is followed. Raises PostingFailed."""
        ...


class Announcer(Protocol):
    async def announce(self, url: str, title: str, text: str) -> None:
        """``url``: as Apprise takes it. Raises Undelivered."""
        ...


class _End(Enum):
    DELIVERED = auto()
    AGAIN = auto()  # the channel does not work
    REFUSED = auto()  # it works, and does not take this message
    GONE = auto()  # the receiver wants no more messages


class _Answer(NamedTuple):
    end: _End
    status: int | None = None
    reason: str = ""


def retry_delay(attempts: int, entropy: Entropy) -> float:
    """Seconds until the next attempt after so many: doubled each time up to a quarter of an hour, and of that
    between a half and all, so that channels that failed together do not come back together."""
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(attempts - 1, 20))
    return longest / 2 + uniform(entropy, 1_000_001) / 1_000_000 * longest / 2


class Delivery:
    """``announcer`` None: channels of Apprise wait."""

    def __init__(
        self,
        store: NotificationStore,
        vault: Vault,
        poster: Poster,
        announcer: Announcer | None = None,
        *,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store, self._vault, self._audit = store, vault, audit
        self._poster, self._announcer = poster, announcer
        self._clock, self._entropy = clock, entropy
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._cleaned_at = float("-inf")

    async def keep(self) -> None:
        """Until it is canceled."""
        try:
            while True:
                try:
                    await self._begin()
                    if self._clock.now() - self._cleaned_at >= _HOUSEKEEPING:
                        self._cleaned_at = self._clock.now()
                        await self.clean_up()
                except DomainError as error:
                    _log.warning("messages were not delivered: %s", error)
                except Exception:
                    _log.exception("an exception with the delivery of messages")
                await asyncio.sleep(_EVERY)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def once(self) -> None:
        """All that is due now, until each message of it was tried."""
        await self._begin()
        await asyncio.gather(*self._busy.values())

    async def clean_up(self) -> None:
        """What was settled long ago goes, and what is more than a channel may have waiting is given up."""
        await self._store.forget_messages(self._clock.wall() - _KEPT)
        for channel_id, count in (await self._store.open_counts()).items():
            if count > _MOST_OPEN:
                reason = f"More than {_MOST_OPEN:,} messages waited for this channel."
                given_up = await self._store.give_up_beyond(channel_id, _MOST_OPEN, reason)
                _log.warning("channel %d: %d messages were given up. %s", channel_id, given_up, reason)

    async def _begin(self) -> None:
        now = self._clock.wall()
        for channel_id in await self._store.due(now, now + 2 * _LONGEST_DELAY):
            if channel_id not in self._busy and len(self._busy) < _AT_ONCE:
                self._busy[channel_id] = asyncio.create_task(self._drain(channel_id))

    async def _drain(self, channel_id: int) -> None:
        """One message after the other, as far as they are delivered."""
        try:
            while await self._next(channel_id):
                pass
        except DomainError as error:
            _log.warning("channel %d: a message waits: %s", channel_id, error)
        except Exception:
            _log.exception("an exception with channel %d", channel_id)
        finally:
            del self._busy[channel_id]

    async def _next(self, channel_id: int) -> bool:
        channel, message = await self._store.channel(channel_id), await self._store.head(channel_id)
        if channel is None or message is None or not channel.active:
            return False
        now = self._clock.wall()
        if now < message.next_at <= now + 2 * _LONGEST_DELAY:
            return False
        answer = await self._attempt(channel, message)
        settled = self._settled(message, answer)
        if answer.end is _End.GONE:
            await self._pause(channel, message, settled)
            return False
        await self._store.settle(message, settled)
        return settled.state in (State.DELIVERED, State.GIVEN_UP)

    async def _attempt(self, channel: Channel, message: Message) -> _Answer:
        try:
            secret = self._vault.open(channel.sealed, channel.context)
            if channel.kind == Kind.APPRISE:
                if self._announcer is None:
                    raise Undelivered("This platform does not deliver by Apprise.")
                title, text = words_of(message.body)
                await self._announcer.announce(secret, title, text)
                return _Answer(_End.DELIVERED)
            body = message.body.encode()
            headers = signed_headers(secret, message.uid, self._clock.wall(), body)
            headers |= {"content-type": "application/json", "user-agent": _USER_AGENT}
            return _judged(await self._poster.post(channel.url, headers, body))
        except (Undelivered, PostingFailed) as error:
            return _Answer(_End.AGAIN, None, str(error))
        except DomainError as error:  # sealed with another key
            return _Answer(_End.AGAIN, None, error.message)

    def _settled(self, message: Message, answer: _Answer) -> Message:
        now, attempts = self._clock.wall(), message.attempts + 1
        state, next_at = State.RETRYING, message.next_at
        over = now - message.at >= GIVE_UP_AFTER
        if answer.end is _End.DELIVERED:
            state = State.DELIVERED
        elif over or answer.end is _End.GONE or (answer.end is _End.REFUSED and attempts >= _REFUSALS):
            state = State.GIVEN_UP
        else:
            next_at = now + retry_delay(attempts, self._entropy)
        return msgspec.structs.replace(
            message,
            state=state,
            attempts=attempts,
            next_at=next_at,
            tried_at=now,
            status=answer.status,
            reason=answer.reason,
        )

    async def _pause(self, channel: Channel, message: Message, settled: Message) -> None:
        """The specification has 410 for a receiver that is to be told nothing any more."""
        async with self._audit.change():
            await self._store.settle(message, settled)
            paused = msgspec.structs.replace(channel, active=0, updated_at=self._clock.wall())
            await self._store.replace_channel(paused)
            await self._audit.note(
                PLATFORM, "channel.changed", f"channel {channel.name}", "its receiver answered 410: paused"
            )


def _judged(status: int) -> _Answer:
    if 200 <= status < 300:
        return _Answer(_End.DELIVERED, status)
    if status == _GONE:
        return _Answer(_End.GONE, status, "The receiver answered 410: it wants no more messages.")
    if status in _WRONG:
        return _Answer(_End.REFUSED, status, f"The receiver answered {status} to this message.")
    if 300 <= status < 400:
        return _Answer(_End.AGAIN, status, f"The receiver answered {status}; redirections are not followed.")
    return _Answer(_End.AGAIN, status, f"The receiver answered {status}.")
