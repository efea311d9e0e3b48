"""The calls of a PBX as it tells of them beyond its process."""

from __future__ import annotations

from typing import Protocol

import msgspec

from callwright.dispatch.messages.calls import AudioNews, CallNews, CallStep, DigitNews, LegNews
from callwright.pbx.record import (
    CallConnected,
    CallEvent,
    CallFinished,
    CallPlaced,
    CallRecord,
    CallRinging,
    DigitHeard,
    StreamQuality,
)
from callwright.sip.legible import legible_values

__all__ = ["NewsOfCalls", "news_of", "standing"]

_STEPS: dict[type[CallEvent], CallStep] = {
    CallPlaced: CallStep.BEGUN,
    CallRinging: CallStep.RINGING,
    CallConnected: CallStep.ANSWERED,
    CallFinished: CallStep.ENDED,
}


class NewsOfCalls(Protocol):
    """Takes news of calls to whoever listens."""

    def tell(self, news: CallNews) -> None:
        """In the order of the calls; never waits, and may be lost."""
        ...


def news_of(event: CallEvent) -> CallNews:
    """The call of the event as it stands now."""
    record = event.record
    if isinstance(event, DigitHeard):
        at = record.wall(event.at) or record.began
        digit = DigitNews(event.digit, event.number, at, event.caller, event.by)
        return msgspec.structs.replace(standing(record), digit=digit)
    return _news(record, _STEPS[type(event)])


def standing(record: CallRecord) -> CallNews:
    """A call that is not over, as it stands now."""
    if record.answered_at is not None:
        return _news(record, CallStep.ANSWERED)
    return _news(record, CallStep.BEGUN if record.ringing_at is None else CallStep.RINGING)


def _news(record: CallRecord, step: CallStep) -> CallNews:
    news = _as_told(record, step)
    try:
        if b"\\u0000" not in msgspec.json.encode(news):
            return news
    except UnicodeEncodeError:
        pass  # octets of a phone that are not UTF-8
    return msgspec.convert(legible_values(msgspec.to_builtins(news)), CallNews)


def _as_told(record: CallRecord, step: CallStep) -> CallNews:
    return CallNews(
        call=record.id,
        step=step,
        caller=record.caller,
        callee=record.callee,
        call_id=record.call_id,
        begun_at=record.began,
        ringing_at=record.wall(record.ringing_at),
        answered_at=record.wall(record.answered_at),
        ended_at=record.wall(record.ended_at),
        status=record.status,
        reason=record.reason,
        ended_by=record.ended_by,
        caller_name=record.caller_name,
        caller_number=record.caller_number,
        asked_by=record.asked_by,
        caller_agent=record.caller_agent,
        codec=record.codec,
        legs=tuple(
            LegNews(leg.user, leg.call_id, leg.status, leg.reason, leg.agent, leg.answered)
            for leg in record.branches
        ),
        src_audio=_audio(record.relayed.caller) if record.relayed is not None else None,
        dst_audio=_audio(record.relayed.callee) if record.relayed is not None else None,
    )


def _audio(quality: StreamQuality | None) -> AudioNews | None:
    if quality is None:
        return None
    return AudioNews(quality.codec, quality.mos, quality.r_factor, quality.jitter_ms, quality.loss_pct)
