"""Was the load a success? Thresholds as people write them, and when a result is not to be believed. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from callwright.load.statistics import LostProcess, Snapshot
from callwright.outcome.decisive import decisive
from callwright.outcome.judgement import ABOUT_OURS

_COMPARISONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
_CONDITION = re.compile(
    r"^\s*([a-z_]+?)(?:_p(\d{1,2}(?:\.\d+)?|100)|_(mean|max|min))?\s*(<=|>=|==|=|<|>)\s*([0-9.]+)\s*(%|ms|s)?\s*$"
)
_TIMES = {"pdd", "setup", "bye", "register", "lateness", "rtp_lateness", "jitter"}
_SCALES = {"mos": 1000.0, "loss": 100.0, "heard": 100.0}
_COUNTS = {"failed", "canceled", "answered", "attempted", "resent", "drops"}
METRICS = sorted({*_TIMES, *_SCALES, *_COUNTS, "asr", "status_CODE"} - {"status_CODE"})


class ThresholdError(ValueError):
    """A threshold that cannot be read; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """`pdd_p95<250ms`: a metric, maybe a percentile or `mean`, a comparison and a limit.

    Times are in ms, `loss` and `heard` in percent. `failed`, `canceled` and `answered` are counts, or with
    `%` the share of all calls; `asr` is a percentage.
    """

    text: str
    metric: str
    percentile: float | None
    mean: bool
    comparison: str
    limit: float
    share: bool
    form: str = "violation"
    """What `text` says: the `violation`, as in --fail-if; the `wish` that does not hold then, as in a test
    document; or nothing, where it is `implied`."""

    def value(self, numbers: Snapshot) -> float | None:
        """What was measured, in the unit of the limit; None when there is nothing to measure it by."""
        if self.metric in _COUNTS:
            count = numbers.failed if self.metric == "failed" else numbers[self.metric]
            if not self.share:
                return float(count)
            return 100.0 * count / numbers["attempted"] if numbers["attempted"] else None
        if self.metric == "asr":
            return numbers.asr
        if self.metric == "heard":  # what is counted is what was not
            unheard = numbers.histogram("unheard")
            percentile = 50.0 if self.percentile is None else self.percentile
            found = unheard.mean if self.mean else unheard.percentile(100.0 - percentile)
            return None if found is None else 100.0 - min(found, 10_000.0) / 100.0
        histogram = numbers.histogram(self.metric)
        if self.mean:
            found = histogram.mean
        else:
            found = histogram.percentile(50.0 if self.percentile is None else self.percentile)
        return None if found is None else found / _SCALES.get(self.metric, 1000.0)

    def holds(self, numbers: Snapshot) -> bool | None:
        """Whether the comparison is true; None when nothing was measured."""
        value = self.value(numbers)
        return None if value is None else bool(_COMPARISONS[self.comparison](value, self.limit))


def parse_threshold(text: str) -> Threshold:
    """`failed>0.1%`, `pdd_p99>500ms`, `mos_p5<3.8`, `asr>=99.5%`. Raises ThresholdError."""
    match = _CONDITION.match(text)
    if match is None:
        raise ThresholdError(
            f"{text!r} is not a condition such as 'failed>0.1%', 'pdd_p99>500ms' or 'mos_p5<3.8'."
        )
    metric, percentile, word, comparison, number, unit = match.groups()
    if metric not in METRICS:
        raise ThresholdError(f"{metric!r} is not measured; there are {', '.join(METRICS)}.")
    try:
        limit = float(number)
    except ValueError:
        raise ThresholdError(f"{number!r} in {text!r} is not a number.") from None
    if metric in _TIMES:
        if unit == "%":
            raise ThresholdError(f"{metric} is a time: {text!r} needs ms or s.")
        limit *= 1000.0 if unit == "s" else 1.0
    elif unit in ("ms", "s"):
        raise ThresholdError(f"{metric} is not a time: {text!r} has the unit {unit}.")
    elif unit == "%" and metric == "mos":
        raise ThresholdError(f"MOS has no percent: {text!r}.")
    if (percentile or word) and metric in (*_COUNTS, "asr"):
        raise ThresholdError(f"{metric} has no percentile: {text!r}.")
    if word in ("max", "min"):
        percentile = "100" if word == "max" else "0"
    return Threshold(
        text=text.strip(),
        metric=metric,
        percentile=float(percentile) if percentile is not None else None,
        mean=word == "mean",
        comparison=comparison,
        limit=limit,
        share=unit == "%" and metric in _COUNTS,
    )


def parse_goal(text: str) -> tuple[Threshold, ...]:
    """Several conditions parted by blanks, all of which have to hold. Raises ThresholdError."""
    found = tuple(parse_threshold(word) for word in text.split())
    if not found:
        raise ThresholdError("A goal has at least one condition, such as 'asr>=99.5%'.")
    return found


@dataclass(frozen=True, slots=True)
class Judgement:
    """`verdict`: passed, failed, invalid, canceled. `blame` as elsewhere: target, platform, test, or None."""

    verdict: str
    blame: str | None
    reason: str
    conditions: tuple[dict[str, Any], ...] = ()


MOST_LIMITED = 0.1
"""Share of limited seconds above which a load was not the load that was asked for."""


def _refused_by_target(numbers: Snapshot, fail_if: Sequence[Threshold]) -> bool:
    """Whether the failures are calls that the target refused with a status, however late we were."""
    counted = [t for t in fail_if if t.metric not in ("failed", "asr", "answered") and t.holds(numbers)]
    return not counted and set(numbers.failures) <= {str(code) for code in numbers.codes}


def _violated(numbers: Snapshot, fail_if: Sequence[Threshold]) -> list[str]:
    if not fail_if:
        return [_failures_in_words(numbers)] if numbers.failed else []
    return [_in_words(t, numbers) for t in fail_if if t.holds(numbers)]


def _in_words(threshold: Threshold, numbers: Snapshot) -> str:
    shown = _shown(threshold, numbers)
    if threshold.form == "violation":
        return f"{threshold.text} (it was {shown})"
    if threshold.form == "implied":
        if threshold.metric == "failed":
            return _failures_in_words(numbers)
        return f"the lowest MOS was {shown}, where {threshold.limit:g} was asked for"
    asked = (
        f"where {_BOUNDS[threshold.comparison]} {_with_unit(threshold, f'{threshold.limit:g}')} was asked for"
    )
    attempted = numbers["attempted"]
    if threshold.metric == "failed":
        return f"{_failures_in_words(numbers)}, {asked}"
    classes = f" ({_classes(numbers)})" if threshold.metric in _OF_FAILURES and numbers.failures else ""
    if threshold.metric in ("answered", "canceled", "attempted"):
        word = "placed" if threshold.metric == "attempted" else threshold.metric
        return f"{numbers[threshold.metric]:,} of {attempted:,} calls were {word}{classes}, {asked}"
    of_what = _IN_A_SENTENCE.get(threshold.metric, f"the {threshold.metric}")
    return f"{_rank(threshold)}{of_what} was {shown}{classes}, {asked}"


#: What was asked for, by the comparison that says that it was not so.
_BOUNDS = {
    ">": "at most",
    ">=": "less than",
    "<": "at least",
    "<=": "more than",
    "!=": "exactly",
    "=": "anything but",
    "==": "anything but",
}
_IN_A_SENTENCE = {
    "asr": "the share of answered calls",
    "pdd": "the post-dial delay",
    "setup": "the time to the answer",
    "bye": "the time from BYE to its answer",
    "register": "the time of a registration",
    "jitter": "the jitter",
    "loss": "the loss of RTP",
    "heard": "the part of a call that was heard",
    "mos": "the MOS",
    "lateness": "the lateness of our calls",
    "rtp_lateness": "the lateness of our RTP",
}


def _rank(threshold: Threshold) -> str:
    """`at the 99th percentile, ` and the like."""
    if threshold.mean:
        return "on average, "
    percentile = threshold.percentile
    if percentile is None or threshold.metric == "asr":
        return ""
    if percentile in (0.0, 100.0):
        return "at worst, "
    return f"at percentile {percentile:g}, "


_OF_FAILURES = ("failed", "asr", "answered")


def _refused_what_we_sent(numbers: Snapshot, fail_if: Sequence[Threshold]) -> bool:
    """Whether all that failed are refusals that speak of our offer or our body, as 488 and 415 do: seen from
    one end they prove nothing against the target."""
    about_ours = {str(code) for code in ABOUT_OURS}
    of_failures = all(t.metric in _OF_FAILURES for t in fail_if if t.holds(numbers))
    return bool(numbers.failures) and of_failures and set(numbers.failures) <= about_ours


def _classes(numbers: Snapshot) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in list(numbers.failures.items())[:5])


def _shown(threshold: Threshold, numbers: Snapshot) -> str:
    value = threshold.value(numbers)
    if value is None:
        return "not measured"
    return seen(threshold, value)


def seen(threshold: Threshold, value: float) -> str:
    """A figure with its unit, never rounded across the limit."""
    return _with_unit(threshold, decisive(value, threshold.limit, significant=3))


def _with_unit(threshold: Threshold, figure: str) -> str:
    if threshold.share or threshold.metric in ("asr", "loss", "heard"):
        return f"{figure} %"
    return f"{figure} ms" if threshold.metric in _TIMES else figure


def _failures_in_words(numbers: Snapshot) -> str:
    return f"{numbers.failed:,} of {numbers['attempted']:,} calls failed ({_classes(numbers)})"


def _lost_in_words(lost: Sequence[LostProcess], total: Snapshot) -> str:
    parts = [
        f"{one.reason} (number {one.process}, noticed after {one.noticed_at:.1f} s; its numbers end at "
        f"{one.counted_until:.1f} s with {one.calls_open:,} calls under way, whose end was not counted)"
        for one in lost
    ]
    unanswered = f", {total['abandoned']:,} of them unanswered" if total["abandoned"] else ""
    return f"{'; '.join(parts)}; the calls of the other processes were ended{unanswered}"


def judge(
    total: Snapshot,
    clean: Snapshot,
    *,
    fail_if: Sequence[Threshold] = (),
    seconds: int = 0,
    limited: Sequence[str] = (),
    interrupted: bool = False,
    lost: Sequence[LostProcess] = (),
    loaded: int | None = None,
) -> Judgement:
    """The verdict of a load whose calls have all ended.

    `clean` are the numbers of the seconds in which the generator was not the bottleneck, `limited` why it was
    in the others, `seconds` how many there were, and `loaded` how many with calls: the sentence tells of
    these. Where the verdict would be another without the limited seconds, or too many are limited, it is
    `invalid`: a number about the generator is none about the target.
    Where processes were `lost` nothing is decided: their numbers are not whole.
    """
    conditions = tuple({"text": t.text, "value": t.value(total), "violated": t.holds(total)} for t in fail_if)
    if lost:
        unasked = tuple(condition | {"violated": None} for condition in conditions)
        return Judgement("error", "platform", _lost_in_words(lost, total), unasked)
    if total.missing:
        reason = f"{total.missing:,} of {total['attempted']:,} calls are missing from the count"
        return Judgement("error", "platform", reason, conditions)
    if interrupted:
        reason = f"interrupted after {total['attempted']:,} calls, all of them ended"
        return Judgement("canceled", None, reason, conditions)
    if not total["attempted"]:
        return Judgement("failed", "test", "no call was placed or received", conditions)
    violated = _violated(total, fail_if)
    if limited:
        share = len(limited) / max(seconds, 1)
        without = _violated(clean, fail_if)
        dropped = any("dropped" in why for why in limited) and bool(violated)
        few = not clean["attempted"]
        rests = share > MOST_LIMITED or bool(violated) != bool(without) or dropped or few
        if rests and not (violated and _refused_by_target(total, fail_if)):
            reason = (
                f"the generator could not keep up in {len(limited)} of {loaded or seconds} seconds "
                f"({limited[0]}), so this says nothing about the target"
            )
            return Judgement("invalid", "platform", reason, conditions)
    if violated:
        ours = set(total.failures) <= {"no_port"} and all(t.form == "implied" for t in fail_if)
        blame = "platform" if ours and total.failures else "target"
        if _refused_what_we_sent(total, fail_if):
            return Judgement("failed", None, "; ".join(violated), conditions)
        return Judgement("failed", blame, "; ".join(violated), conditions)
    unmeasured = [t.text for t in fail_if if t.holds(total) is None and t.form != "implied"]
    if unmeasured:
        reason = f"{unmeasured[0]}: nothing was measured to decide it"
        return Judgement("failed", "test", reason, conditions)
    one = total["answered"] == 1
    reason = (
        "the one call was answered and ended"
        if one
        else f"all {total['answered']:,} calls were answered and ended"
    )
    if total.failed or total["canceled"]:
        reason = (
            f"{total['answered']:,} of {total['attempted']:,} calls were answered and ended, "
            f"{total.failed:,} failed, {total['canceled']:,} canceled: within the limits"
        )
    return Judgement("passed", None, reason, conditions)
