"""Loads of test documents: what a `call` or an `accept` asks of the engine, and what `run.json` has of it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from callwright.load.accounts import LoadAccounts
from callwright.load.document import Flow
from callwright.load.engine import Result
from callwright.load.outcome import document
from callwright.load.plan import Plan, Stage
from callwright.load.preparation import Wishes
from callwright.load.statistics import LoadSecond
from callwright.load.verdict import Judgement, Threshold
from callwright.outcome.load import LoadOutcome
from callwright.policy.destination import Rules
from callwright.scenario.actions import Accept, Call
from callwright.scenario.load_condition import LoadCondition
from callwright.scenario.party import PartyAccount
from callwright.sip.events import Side
from callwright.sip.session_timer import SessionWish
from callwright.sip.transport import Address

POINTS = 600
"""Of each series in `run.json`; more seconds than that are put together."""
_COLUMN = re.compile(r"%7B(\w+)%7D", re.IGNORECASE)
_SUMMED = ("attempted", "answered", "failed", "canceled")
SERIES = (
    "at", "span", "target_rate", "rate", *_SUMMED, "active", "pdd_p50", "pdd_p95", "pdd_p99", "mos_p5",
    "lateness_p99", "limited",
)  # fmt: skip


def plan_of(call: Call) -> Plan:
    """When its calls are placed."""
    if call.ramp is None:
        stages = [Stage(call.call_rate, call.call_rate)]
    else:
        stages = [Stage(call.ramp.start, call.ramp.end, call.ramp.seconds)]
        if call.ramp.end:  # until the last call is placed
            stages.append(Stage(call.ramp.end, call.ramp.end))
    return Plan(tuple(stages), call.max_total_calls, call.concurrent)


def wishes_of_call(
    call: Call,
    account: PartyAccount,
    uri: str,
    *,
    rules: Rules,
    bind: str | None = None,
    rtp_ports: tuple[int, int] = (16384, 32767),
    accounts: LoadAccounts | None = None,
) -> Wishes:
    """What each call is. With `accounts` their columns stand for `{column}`, and their users call."""
    if accounts is None and account.password:
        row = (account.auth_user.encode(), account.password.encode())
        columns = LoadAccounts(("username", "password"), (row,))
    else:
        columns = accounts  # type: ignore[assignment]
    user, name = account.user, account.display_name
    if accounts is not None and accounts.user_column >= 0:
        user = f"{{{accounts.columns[accounts.user_column]}}}"
    if call.caller_id:
        shown, bracket, rest = call.caller_id.partition("<")
        name, user = (shown.strip().strip('"'), rest.rstrip("> ")) if bracket else ("", call.caller_id)
    host = account.domain if account.domain.startswith("[") else account.domain.partition(":")[0]
    is_uri = user.lower().startswith(("sip:", "sips:", "tel:"))
    return Wishes(
        uri=_COLUMN.sub(r"{\1}", uri),
        proxy=account.proxy or None,
        from_=user if is_uri else f"sip:{user}@{host or 'localhost'}",
        display_name=name,
        headers=call.headers,
        hold=call.max_duration,
        ring_for=call.ring_timeout,
        prack=call.prack,
        session=_session(call),
        # 0 would be never.
        flow=Flow(cancel_after=0.0 if call.cancel_after is None else max(call.cancel_after, 0.001)),
        media="ports" if call.media else "none",
        codec=call.codecs[0],
        play=call.play,
        min_heard=call.min_heard_pct,
        rtp_ports=rtp_ports,
        accounts=columns,
        rules=rules,
        bind=bind,
        calls=call.max_total_calls,
        contact_user=account.user,
    )


def _session(action: Call | Accept) -> SessionWish:
    method = {"update": "UPDATE", "reinvite": "INVITE"}.get(action.refresh_by)
    refresher = Side(action.refresher) if action.refresher else None
    return SessionWish(action.session_expires, action.min_se, refresher, method)


def wishes_of_accept(
    accept: Accept,
    account: PartyAccount,
    host: str,
    *,
    rules: Rules,
    rtp_ports: tuple[int, int] = (16384, 32767),
) -> Wishes:
    """How calls are answered, at any port of `host`."""
    return Wishes(
        listen=Address(host, 0),
        headers=accept.headers,
        hold=accept.hangup_after or 0.0,
        ring_time=accept.ring,
        silent=accept.ring <= 0,
        reject=accept.reject or 0,
        prack=accept.prack,
        session=_session(accept),
        media="ports" if accept.media else "none",
        codec=accept.codecs[0],
        play=accept.play,
        min_heard=accept.min_heard_pct,
        rtp_ports=rtp_ports,
        rules=rules,
        calls=accept.max_total_calls,
        contact_user=account.user,
    )


def thresholds_of(action: Call | Accept, conditions: Sequence[LoadCondition]) -> tuple[Threshold, ...]:
    """On what the load fails: its conditions do not hold; or, where these say nothing of it, a call failed,
    or one was heard at a MOS below `min_mos`.
    """
    found = [
        Threshold(
            condition.text,
            {"calls": "attempted"}.get(condition.metric.name, condition.metric.name),
            condition.percentile,
            condition.mean,
            condition.violated_by,
            condition.limit,
            condition.share,
            "wish",
        )
        for condition in conditions
    ]
    named = {threshold.metric for threshold in found}
    rejects = isinstance(action, Accept) and action.reject is not None
    if rejects:
        found.append(Threshold("calls >= 1", "attempted", None, False, "<", 1.0, False, "implied"))
    elif not named & {"failed", "answered", "asr"}:
        found.append(Threshold("failed = 0", "failed", None, False, ">", 0.0, False, "implied"))
    canceled = isinstance(action, Call) and action.cancel_after is not None
    if action.media and "mos" not in named and not rejects and not canceled:
        text = f"mos >= {action.min_mos:g}"
        found.append(Threshold(text, "mos", 0.0, False, "<", action.min_mos, False, "implied"))
    return tuple(found)


def sentence(reason: str) -> str:
    """A reason of the engine as the verdicts of runs have it."""
    return f"{reason[:1].upper()}{reason[1:].rstrip('.')}." if reason else ""


def outcome_of(
    result: Result,
    judgement: Judgement,
    *,
    id_: str,
    address: str,
    party: str,
    role: str,
    target: str,
    local: str,
    version: str = "",
) -> LoadOutcome:
    """What stands in `run.json`."""
    told = document(
        result, judgement, name=address, target=target, role=role, exit_code=0, cores=1, version=version,
        started_at=0.0,
    )  # fmt: skip
    copied = (
        "attempted", "answered", "canceled", "failed", "failures", "asr_pct", "concurrent_peak", "rate",
        "pdd_ms", "setup_ms", "bye_ms", "media", "messages", "generator",
    )  # fmt: skip
    return LoadOutcome(
        judgement.verdict,
        judgement.blame,
        sentence(judgement.reason),
        id_,
        address,
        party,
        role,
        target,
        local,
        round(result.elapsed * 1000, 3),
        conditions=tuple(told["conditions"]),
        worst_calls=tuple(told["worst_calls"]),
        seconds=series_of(result.seconds),
        **{name: told[name] for name in copied},
    )


def series_of(seconds: Sequence[LoadSecond], points: int = POINTS) -> dict[str, tuple[Any, ...]]:
    """Columns of at most so many values: counts are added up, the last of the rest counts, any `limited`."""
    width = max(1, math.ceil(len(seconds) / points))
    stretches = [seconds[at : at + width] for at in range(0, len(seconds), width)]
    return {name: tuple(_joined(name, stretch) for stretch in stretches) for name in SERIES}


def _joined(name: str, stretch: Sequence[LoadSecond]) -> Any:
    values = [getattr(second, name) for second in stretch]
    if name in (*_SUMMED, "span"):
        return round(sum(values), 3)
    if name == "limited":
        return next((why for why in values if why), "")
    return round(values[-1], 3) if isinstance(values[-1], float) else values[-1]


def told_live(second: LoadSecond) -> dict[str, Any]:
    """A second as the page of a run shows it while it runs."""
    names = (
        "at",
        "span",
        "target_rate",
        "rate",
        "active",
        "attempted",
        "answered",
        "failed",
        "pdd_p95",
        "mos_p5",
        "limited",
    )
    return {name: _joined(name, [second]) for name in names}
