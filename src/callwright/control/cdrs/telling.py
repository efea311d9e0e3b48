"""What webhooks of users, and whoever follows calls, are told of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from callwright.control.accounts.model import TELEPHONY_IDS, Role
from callwright.control.cdrs.legs import Party, legs_of
from callwright.control.cdrs.live import row_of, users_of
from callwright.control.notifications.outbox import Outbox
from callwright.dispatch.messages.calls import CallNews, CallStep

__all__ = ["CallTeller", "events_of"]

_EVENTS: Mapping[CallStep, str] = {
    CallStep.BEGUN: "call.initial",
    CallStep.RINGING: "call.ringing",
    CallStep.ANSWERED: "call.connected",
    CallStep.ENDED: "call.hangup",
}


def events_of(news: CallNews, parties: Mapping[str, Party]) -> Iterator[tuple[str, dict[str, Any], float]]:
    """Event, the call as `/calls` has it, and when, in unix seconds. A call that is over has also what its
    record has, and one `call.missed` more for each who was called and did not answer."""
    at = _moment(news)
    row = row_of(news, news.on_hold, parties, at)
    if (key := news.digit) is not None:
        side = "src" if key.caller else "dst"
        yield "dtmf", row | {"digit": key.digit, "number": key.number, "leg": side, "by": key.by}, at
        return
    event = "call.on_hold" if news.on_hold and news.step is CallStep.ANSWERED else _EVENTS[news.step]
    if news.step is not CallStep.ENDED:
        yield event, row, at
        return
    first, *others = legs_of(news, parties)
    over = {"disposition": first.disposition, "billsec": first.billsec, "t_cause": first.t_cause}
    yield event, row | over | {"ended_by": news.ended_by}, at
    for leg in others:
        if leg.type == "M":
            missed = {"dst": leg.dst, "dst_id": leg.dst_id, "dst_name": leg.dst_name}
            yield "call.missed", row | missed | {"disposition": leg.disposition, "t_cause": leg.t_cause}, at


def _moment(news: CallNews) -> float:
    """When it came to its step."""
    if news.digit is not None:
        return news.digit.at
    match news.step:
        case CallStep.ENDED:
            found = news.ended_at
        case CallStep.ANSWERED:
            found = news.hold_changed_at or news.answered_at
        case CallStep.RINGING:
            found = news.ringing_at
        case _:
            found = None
    return news.begun_at if found is None else found


class CallTeller:
    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def tell(self, news: Sequence[CallNews], parties: Mapping[str, Party]) -> None:
        """In the transaction that keeps the calls; the same news twice are one message.
        Administrators' webhooks hear of all calls, others of those that their owner is in."""
        listening = await self._outbox.listening_to_calls()
        if not listening:
            return
        for one in news:
            inside = {parties[user].user_id for user in users_of(one) if user in parties}
            hearing = [
                channel
                for channel, role in listening
                if role == Role.ADMIN or TELEPHONY_IDS + (channel.user_id or 0) in inside
            ]
            for event, data, at in events_of(one, parties) if hearing else ():
                which = data["number"] if event == "dtmf" else data["dst"]
                uid = f"msg_{one.call}_{event}_{which}_{int(at * 1000)}"
                wanted = [channel for channel in hearing if event in channel.events]
                await self._outbox.write(event, data, at=at, channels=wanted, uid=uid)
