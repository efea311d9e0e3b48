"""A call that goes on, or has just ended, as `/calls` and what tells of it show it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from callwright.control.cdrs.legs import Party
from callwright.dispatch.messages.calls import CallNews, CallStep

__all__ = ["row_of", "users_of"]


def users_of(news: CallNews) -> set[str]:
    """Accounts that are in the call, were called, or asked for it."""
    ends = (news.caller, news.callee, news.asked_by)
    return {user for user in (*ends, *(leg.user for leg in news.legs)) if user}


def row_of(news: CallNews, on_hold: bool, parties: Mapping[str, Party], now: float) -> dict[str, Any]:
    """``parties``: by extension; ``now``: unix seconds."""
    winner = next((leg.user for leg in news.legs if leg.answered and leg.user), None)
    src, dst = news.caller or news.caller_number, winner or news.callee or ""
    caller, callee = parties.get(news.caller or ""), parties.get(dst)
    src_name = caller.name if caller is not None else news.caller_name
    if news.step is CallStep.ENDED:
        state = "HANGUP"
    elif news.answered_at is not None:
        state = "ON_HOLD" if on_hold else "CONNECTED"
    else:
        state = "INITIAL" if news.ringing_at is None else "RINGING"
    until = now if news.ended_at is None else news.ended_at
    return {
        "id": news.call,
        "clid": f'"{src_name}" <{src}>' if src_name else f"<{src}>",
        "start_time": math.floor(news.begun_at),
        "connected_at": None if news.answered_at is None else math.floor(news.answered_at),
        "context": "internal",
        "destination": news.callee or "",
        "src": src,
        "src_id": None if caller is None else str(caller.user_id),
        "src_name": src_name,
        "dst": dst,
        "dst_id": None if callee is None else str(callee.user_id),
        "dst_name": "" if callee is None else callee.name,
        "state": state,
        "duration": max(0, math.floor(until - news.begun_at)),
        "call_id": news.call_id,
    }
