"""What a load leaves: the JSON of `callwright load --json`, of load.json, and of the page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from callwright.evidence.generator_words import ranged
from callwright.evidence.redaction import Redactor
from callwright.load.accounts import LoadAccounts
from callwright.load.engine import Result
from callwright.load.ladders import told, told_call
from callwright.load.statistics import RESPONSE_TIMES, Histogram, Snapshot
from callwright.load.verdict import Judgement, Threshold

if TYPE_CHECKING:
    from callwright.load.plan import Plan
    from callwright.load.preparation import Wishes

PERCENTILES = (50, 75, 90, 95, 99, 99.9)
MOS_EDGES = (1.0, 2.6, 3.1, 3.6, 4.0, 4.3)
"""Lower ends of the bands in which the distribution of MOS is told."""


def summary(histogram: Histogram, scale: float = 1000.0) -> dict[str, Any]:
    """Percentiles in ms (or in what `scale` makes of it)."""

    def of(percent: float) -> float | None:
        value = histogram.percentile(percent)
        return None if value is None else round(value / scale, 3)

    mean = histogram.mean
    found: dict[str, Any] = {"count": histogram.total, "min": of(0)}
    found |= {f"p{percent:g}": of(percent) for percent in PERCENTILES}
    return found | {"max": of(100), "mean": None if mean is None else round(mean / scale, 3)}


def heard(unheard: Histogram) -> dict[str, Any]:
    """Percentiles of how much of its time a stream was without a gap, from those of the gaps."""

    def of(percent: float) -> float | None:
        value = unheard.percentile(100.0 - percent)
        return None if value is None else round(100.0 - min(value, 10_000.0) / 100.0, 3)

    mean = unheard.mean
    found: dict[str, Any] = {"count": unheard.total, "min": of(0), "p5": of(5)}
    found |= {f"p{percent:g}": of(percent) for percent in PERCENTILES}
    return found | {"max": of(100), "mean": None if mean is None else round(100.0 - mean / 100.0, 3)}


def numbers(total: Snapshot) -> dict[str, Any]:
    """The counts of a load, or of one stage."""
    mos = total.histogram("mos")
    quality = summary(mos, 1000.0) | {
        "p5": None if not mos.total else round((mos.percentile(5) or 0.0) / 1000, 3),
        "distribution": dict(
            zip(
                (f"{edge:g}" for edge in MOS_EDGES),
                mos.bars([edge * 1000 for edge in MOS_EDGES]),
                strict=True,
            )
        ),
    }
    return {
        "attempted": total["attempted"],
        "answered": total["answered"],
        "established": total["established"],
        "canceled": total["canceled"],
        "failed": total.failed,
        "failures": total.failures,
        "asr_pct": None if total.asr is None else round(total.asr, 4),
        **{f"{name}_ms": summary(total.histogram(name)) for name in RESPONSE_TIMES},
        "media": {
            "streams": total["streams_ended"],
            "silent": total["streams_silent"],
            "sent": total["rtp_sent"],
            "received": total["rtp_received"],
            "lost": total["rtp_lost"],
            "discarded": total["rtp_discarded"],
            "duplicated": total["rtp_duplicated"],
            "reordered": total["rtp_reordered"],
            "unmatched": total["rtp_unmatched"],
            "moved": total["streams_moved"],
            "heard_pct": heard(total.histogram("unheard")),
            "gap_count": total["rtp_gaps"],
            "dtx_pct": round(100.0 * total["rtp_dtx_ms"] / total["rtp_due_ms"], 3)
            if total["rtp_due_ms"]
            else None,
            "jitter_ms": summary(total.histogram("jitter")),
            "loss_pct": summary(total.histogram("loss"), 100.0),
            "mos": quality,
        },
        "messages": {
            "sent": total["sent"],
            "received": total["received"],
            "retransmitted": total["resent"],
            "repeated_by_peer": total["repeated"],
            "malformed": total["malformed"],
            "stray": total["stray"],
        },
        "retry_after": {"responses": total["retry_after"], "longest_s": total["retry_after_max"] or None},
        "challenged": total["challenged"],
        "hung_up_by_peer": total["hung_up"],
        "abandoned": total["abandoned"],
        "withheld": total["withheld"],
        "registrations": total["registrations"],
        "connections": {
            "opened": total["connections"],
            "accepted": total["connections_accepted"],
            "failed": total["connections_failed"],
            "handshakes": total["handshakes"],
            "connect_ms": summary(total.histogram("connect")),
            "handshake_ms": summary(total.histogram("handshake")),
        },
        "refused_srtp": total["encrypted"],
        "prack": {
            "reliable": total["reliable"],
            "acknowledged": total["pracks"],
            "failed": total["pracks_failed"],
        },
        "session": {"refreshed": total["refreshed"], "too_brief": total["brief"]},
    }


def times_of(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Key and name of the response times to show. On the side that answers, setup is its own ring time."""
    named = {"pdd": "Post-dial delay", "setup": "Setup", "bye": "BYE", "register": "REGISTER"}
    if told.get("role") == "answerer":
        del named["setup"]
    return [(key, name) for key, name in named.items() if told[f"{key}_ms"]["count"]]


def settings(wishes: Wishes, plan: Plan, fail_if: Sequence[Threshold]) -> dict[str, Any]:
    """What was asked for; null: it does not apply, or has no limit. Seconds, percent, calls per second."""
    from callwright.load.preparation import transport_of

    calls, media = wishes.uri is not None, wishes.media != "none"
    return {
        "rate": plan.in_words if calls else None,
        "calls": plan.calls or wishes.calls or None,
        "concurrent": plan.concurrent or None,
        "hold_s": wishes.hold if calls else None,
        "ring_s": wishes.ring_for if calls else wishes.ring_time,
        "reject": wishes.reject or None,
        "transport": transport_of(wishes).value.lower(),
        "connections": wishes.connections if calls else None,
        "prack": wishes.prack,
        "session_expires_s": wishes.session.interval,
        "media": wishes.media,
        "codec": wishes.codec if media else None,
        "play": wishes.play if media else None,
        "min_heard_pct": wishes.min_heard if media and wishes.min_heard else None,
        "accounts": None if wishes.accounts is None else len(wishes.accounts.rows),
        "fail_if": [threshold.text for threshold in fail_if if threshold.form != "implied"],
    }


def document(
    result: Result,
    judgement: Judgement,
    *,
    name: str,
    target: str,
    role: str,
    exit_code: int,
    cores: int,
    version: str,
    started_at: float,
    accounts: LoadAccounts | None = None,
) -> dict[str, Any]:
    """Every key is always there; what was not measured is null. No message tells a password of `accounts`."""
    seconds = result.seconds
    return {
        "verdict": judgement.verdict,
        "blame": judgement.blame,
        "reason": judgement.reason,
        "exit_code": exit_code,
        "conditions": list(judgement.conditions),
        "name": name,
        "role": role,
        "target": target,
        "started_at": started_at,
        "version": version,
        "seconds": round(result.elapsed, 3),
        **numbers(result.total),
        "rate": {
            "asked_max": max((second.target_rate for second in seconds), default=0.0),
            "reached_max": round(
                max((second.rate for second in seconds if second.span > 0.5), default=0.0), 2
            ),
            "mean": round(result.total["attempted"] / result.elapsed, 2) if result.elapsed > 0 else 0.0,
        },
        "handshakes_per_s": round(result.total["handshakes"] / result.elapsed, 2)
        if result.total["handshakes"] and result.elapsed > 0
        else None,
        "concurrent_peak": result.total["peak"],
        "generator": {
            "cores": cores,
            "native": True,
            "limited_seconds": len(result.limited),
            "loaded_seconds": result.loaded,
            "why": ranged(result.limited)[:10],
            "lost_processes": [asdict(one) for one in result.lost],
            "lateness_ms": summary(result.total.histogram("lateness")),
            "rtp_lateness_ms": summary(result.total.histogram("rtp_lateness")),
            "drops": result.total["drops"] + result.total["media_drops"],
            "send_errors": result.total["send_errors"] + result.total["rtp_send_errors"],
            "cpu_seconds": round(result.total["cpu_ns"] / 1e9, 3),
            "cpu_us_per_call": round(result.total["cpu_ns"] / 1e3 / result.total["attempted"], 2)
            if result.total["attempted"]
            else None,
        },
        "stages": [numbers(stage) for stage in result.stages],
        "worst_calls": [told_call(call) for call in result.worst],
        "ladders": [
            told(ladder, Redactor(accounts.passwords(ladder.call.account, cores) if accounts else ()))
            for ladder in result.ladders
        ],
    }
