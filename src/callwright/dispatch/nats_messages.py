"""Messages and tickets as NATS carries them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from callwright.dispatch.packing import MARK, TooLarge, packed, unpacked

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

__all__ = ["NatsMessage", "NatsTicket", "fitting", "whole"]

_log = logging.getLogger(__name__)
_HEADERS = 1_024  # octets that are left for headers in the largest message


def fitting(client: Client, data: bytes) -> tuple[bytes, dict[str, str] | None]:
    """As it is sent, and with which headers. Raises TooLarge."""
    room = client.max_payload - _HEADERS
    return (data, None) if len(data) <= room else (packed(data, room), MARK)


def whole(message: Msg) -> bytes:
    """Raises TooLarge."""
    is_packed = message.headers is not None and MARK.items() <= message.headers.items()
    return unpacked(message.data) if is_packed else message.data


class NatsMessage:
    __slots__ = ("_client", "_message", "data", "subject")

    def __init__(self, message: Msg, client: Client) -> None:
        """Raises TooLarge."""
        self._message, self._client = message, client
        self.subject: str = message.subject
        self.data: bytes = whole(message)

    async def respond(self, data: bytes) -> None:
        from nats.errors import Error

        if self._message.reply:
            try:
                sent, headers = fitting(self._client, data)
                await self._client.publish(self._message.reply, sent, headers=headers)
            except (Error, TooLarge) as error:
                _log.warning("an answer on %s was not sent: %s", self.subject, error)


class NatsTicket:
    __slots__ = ("_message", "data")

    def __init__(self, message: Msg) -> None:
        self._message = message
        self.data: bytes = message.data

    async def settle(self) -> None:
        await self._tell(self._message.ack)

    async def put_back(self) -> None:
        await self._tell(self._message.nak)

    async def _tell(self, act: Callable[[], Any]) -> None:
        from nats.errors import Error

        try:
            await act()
        except Error as error:
            # It comes again after its time; the claim is what decides.
            _log.info("a ticket was not settled: %s", error)
