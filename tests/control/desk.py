"""A PBX as the web workers see it: what it answers over the broker, and what it was told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from callwright.dispatch import subject
from callwright.dispatch.broker import Message
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.calls import CallNews, CallStep, LegNews
from callwright.dispatch.messages.pbx import (
    CallAnswering,
    CallDone,
    CallEnding,
    CallMade,
    CallMove,
    CallNow,
    CallRecording,
    CallWish,
    JoinMade,
    JoinWish,
    Live,
    MailboxTouched,
    PhoneNow,
    TextSent,
    TextWish,
)
from callwright.dispatch.messages.wire import decode, encode

__all__ = ["Desk", "live_at"]


class Desk:
    """What a PBX answers, and what it was told."""

    def __init__(self, live: Live) -> None:
        self.live, self.told = live, list[Any]()
        self.registered = True
        self.joined, self.sent = JoinMade("joined"), TextSent(200, "OK")

    async def open(self, broker: MemoryBroker) -> None:
        await broker.subscribe(subject.PBX_LIVE, lambda message: message.respond(encode(self.live)))
        await broker.subscribe(subject.PBX_PLACE, self._place)
        await broker.subscribe(subject.PBX_MOVE, self._move)
        await broker.subscribe(subject.PBX_END, self._end)
        await broker.subscribe(subject.PBX_ANSWER, self._answer)
        await broker.subscribe(subject.PBX_RECORD, self._record)
        for where, kind, answer in (
            (subject.PBX_JOIN, JoinWish, lambda: self.joined),
            (subject.PBX_TEXT, TextWish, lambda: self.sent),
            (subject.PBX_MAILBOX, MailboxTouched, lambda: CallDone(True)),
        ):
            await broker.subscribe(where, self._telling(kind, answer))

    def _telling(self, kind: type[Any], answer: Callable[[], Any]) -> Callable[[Message], Awaitable[None]]:
        async def tell(message: Message) -> None:
            self.told.append(decode(kind, message.data))
            await message.respond(encode(answer()))

        return tell

    async def _place(self, message: Message) -> None:
        self.told.append(decode(CallWish, message.data))
        await message.respond(encode(CallMade("new" if self.registered else None)))

    async def _move(self, message: Message) -> None:
        self.told.append(decode(CallMove, message.data))
        await message.respond(encode(CallMade("moved")))

    async def _end(self, message: Message) -> None:
        self.told.append(decode(CallEnding, message.data))
        await message.respond(encode(CallDone(True)))

    async def _record(self, message: Message) -> None:
        wish = decode(CallRecording, message.data)
        self.told.append(wish)
        answered = [one.news.call for one in self.live.calls if one.news.answered_at is not None]
        calls = [
            msgspec.structs.replace(one, recorded=wish.on) if one.news.call == wish.call else one
            for one in self.live.calls
        ]
        if wish.call in answered:
            self.live = Live(tuple(calls), self.live.phones)
        await message.respond(encode(CallDone(wish.call in answered)))

    async def _answer(self, message: Message) -> None:
        wish = decode(CallAnswering, message.data)
        self.told.append(wish)
        calls = [
            CallNow(msgspec.structs.replace(one.news, answered_at=one.news.begun_at + 1))
            if one.news.call == wish.call
            else one
            for one in self.live.calls
        ]
        self.live = Live(tuple(calls), self.live.phones)
        await message.respond(encode(CallDone(True)))


def live_at(now: float) -> Live:
    leg = LegNews("2002", "leg", 200, "OK", "Phone", answered=True)
    news = CallNews(
        "one", CallStep.ANSWERED, "2001", "2002", "a@b", now - 80, now - 79, now - 75, legs=(leg,)
    )
    rings = CallNews("two", CallStep.RINGING, "2002", "2001", "c@d", now - 5, now - 4)
    phone = PhoneNow("2001", "sip:2001@192.0.2.9", "tcp", "203.0.113.4:1", now - 60, now + 60, True, "Desk 7")
    return Live((CallNow(news), CallNow(rings)), (phone,))
