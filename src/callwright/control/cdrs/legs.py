"""The records of one call from what the PBX told of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from callwright.control.cdrs.model import MEASURED, Cdr
from callwright.dispatch.messages.calls import AudioNews, CallNews, LegNews

__all__ = ["Party", "cause_of", "disposition_of", "legs_of"]

#: SIP status to Q.850 cause (RFC 3398 section 8.2.6.1), for those that a class does not tell.
_CAUSES: Mapping[int, int] = {
    **dict.fromkeys((401, 402, 403, 407, 603), 21),
    **dict.fromkeys((404, 485, 604), 1),
    **dict.fromkeys((405,), 63),
    **dict.fromkeys((406, 415, 501), 79),
    **dict.fromkeys((408, 504), 102),
    **dict.fromkeys((413, 414, 416, 420, 421, 423, 505, 513), 127),
    **dict.fromkeys((482, 483), 25),
    **dict.fromkeys((486, 600), 17),
    **dict.fromkeys((488, 606), 31),
    410: 22,
    480: 18,
    484: 28,
    487: 16,
    502: 38,
}
_NORMAL, _TEMPORARY_FAILURE, _INTERWORKING = 16, 41, 127
_BUSY, _UNANSWERED = (486, 600, 603), (408, 480, 487)


class Party(msgspec.Struct, frozen=True):
    """Who has an extension; ``user_id``: that of the chapter."""

    user_id: int
    name: str


def cause_of(status: int | None, answered: bool) -> int:
    """The Q.850 cause of a call's end; ``status``: the final response to the caller."""
    if answered:
        return _NORMAL
    if status is None:
        return _TEMPORARY_FAILURE
    return _CAUSES.get(status, _TEMPORARY_FAILURE if 500 <= status < 600 else _INTERWORKING)


def disposition_of(status: int | None, answered: bool) -> str:
    if answered:
        return "ANSWERED"
    if status in _BUSY:
        return "BUSY"
    return "NO ANSWER" if status in _UNANSWERED else "FAILED"


def legs_of(news: CallNews, parties: Mapping[str, Party]) -> list[Cdr]:
    """``news``: of a call that is over; ``parties``: by extension. The caller's leg comes first, then one
    for each account that was called: some may have missed it."""
    ended = news.ended_at if news.ended_at is not None else news.begun_at
    answered = news.answered_at is not None
    rung = _by_account(news)
    winner = next((leg for leg in rung if leg.answered), None)
    dialled = winner.user if winner is not None else news.callee or ""
    caller, callee = parties.get(news.caller or ""), parties.get(dialled)
    src = news.caller or news.caller_number
    owner = caller if news.asked_by is None else parties.get(news.asked_by)
    src_name = caller.name if caller is not None else news.caller_name
    talk = 0.0 if news.answered_at is None else max(0.0, ended - news.answered_at)
    outbound = Cdr(
        live_id=news.call,
        leg=0,
        call_id=news.call_id,
        type="O",
        calldate=news.begun_at,
        clid=f'"{src_name}" <{src}>' if src_name else f"<{src}>",
        src=src,
        dst=dialled,
        src_name=src_name,
        dst_name=callee.name if callee is not None else "",
        duration=math.floor(max(0.0, ended - news.begun_at)),
        billsec=math.floor(talk),
        disposition=disposition_of(news.status, answered),
        destination=news.callee or "",
        t_cause=_TEMPORARY_FAILURE if news.status is None else cause_of(news.status, answered),
        info=news.reason,
        user_id=None if owner is None else owner.user_id,
        src_id=None if caller is None else str(caller.user_id),
        dst_id=None if callee is None else str(callee.user_id),
        src_ua=news.caller_agent or None,
        dst_ua=winner.agent or None if winner is not None else None,
        src_codec=_codec(news.src_audio, news),
        dst_codec=_codec(news.dst_audio, news),
        pdd=None if news.ringing_at is None else max(0.0, news.ringing_at - news.begun_at),
    )
    outbound = msgspec.structs.replace(outbound, **_measured(news))
    if not rung and callee is not None:  # nothing rang: not registered, or not to be disturbed
        rung = [LegNews(dialled, news.call_id, news.status, news.reason)]
    return [outbound, *(_inbound(outbound, number, leg, parties) for number, leg in enumerate(rung, 1))]


def _codec(audio: AudioNews | None, news: CallNews) -> str | None:
    """What came, else what was agreed on."""
    return (audio.codec if audio is not None else None) or news.codec or None


def _measured(news: CallNews) -> dict[str, float | None]:
    """Of each direction, and of the worse one."""
    found: dict[str, float | None] = {}
    for name, worse in (("mos", min), ("r_factor", min), ("jitter", max), ("loss", max)):
        each = [getattr(audio, name, None) for audio in (news.src_audio, news.dst_audio)]
        known = [value for value in each if value is not None]
        found[name] = worse(known) if known else None
        found[f"{name}_src"], found[f"{name}_dst"] = each
    return found


def _by_account(news: CallNews) -> list[LegNews]:
    """One leg for each account: that which answered, else the first of its phones."""
    found: dict[str, LegNews] = {}
    for leg in news.legs:
        if leg.user and (leg.user not in found or leg.answered):
            found[leg.user] = leg
    return list(found.values())


def _inbound(outbound: Cdr, number: int, leg: LegNews, parties: Mapping[str, Party]) -> Cdr:
    party = parties.get(leg.user)
    talked = leg.answered and outbound.disposition == "ANSWERED"
    same: dict[str, Any] = {}
    if not talked:
        same = {"billsec": 0, "disposition": disposition_of(_missed(leg), False), **dict.fromkeys(MEASURED)}
    return msgspec.structs.replace(
        outbound,
        leg=number,
        call_id=leg.call_id,
        type="I" if talked else "M",
        dst=leg.user,
        dst_name="" if party is None else party.name,
        dst_id=None if party is None else str(party.user_id),
        dst_ua=leg.agent or None,
        dst_codec=outbound.dst_codec if talked else None,
        user_id=None if party is None else party.user_id,
        t_cause=outbound.t_cause if talked else cause_of(_missed(leg), False),
        info=outbound.info if talked else leg.reason or outbound.info,
        **same,
    )


def _missed(leg: LegNews) -> int:
    """A leg that was canceled, because another answered or the caller gave up, was not answered."""
    return leg.status if leg.status is not None and leg.status >= 300 else 487
