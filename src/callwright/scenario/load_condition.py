"""Conditions on a load: on all of its calls at once, by counts, shares and percentiles.

    failed <= 0.1 %      asr >= 99.5 %      pdd_p95 < 250 ms      mos_p5 >= 3.8      callee.mos >= 3.5

A metric without `_pNN`, `_mean`, `_max` or `_min` looks at the worst call, as a condition on calls does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from callwright.outcome.call import CallOutcome
from callwright.outcome.decisive import decisive
from callwright.outcome.load import LoadOutcome
from callwright.outcome.run import ConditionOutcome
from callwright.outcome.terms import Blame
from callwright.scenario.actions import Accept, Action, Call
from callwright.scenario.condition import COMPARISONS, Condition, Metric, parse_condition
from callwright.scenario.parameter import read_duration
from callwright.scenario.source import NOWHERE, Refusal, Text, did_you_mean, quoted

_KINDS = {
    "pdd": ("time", "post-dial delay: INVITE to the first ringing or answer"),
    "setup": ("time", "INVITE to the answer"),
    "bye": ("time", "BYE to its answer"),
    "jitter": ("time", "interarrival jitter of a stream"),
    "mos": ("number", "MOS of what was heard in a call"),
    "loss": ("percent", "RTP packets due of a stream that never came"),
    "heard": ("percent", "part of a call without a gap in what was heard"),
    "failed": ("count", "calls that failed"),
    "answered": ("count", "calls that were answered"),
    "canceled": ("count", "calls that were canceled"),
    "calls": ("count", "calls that were placed, or came"),
    "asr": ("percent", "answered of those that were not canceled"),
}
LOAD_METRICS = tuple(_KINDS)
LOAD_HELP = {name: help_ for name, (_, help_) in _KINDS.items()}
_SPREAD = ("time", "number")
_CALLER_ONLY = ("pdd", "setup", "bye", "asr")
_TEXT = re.compile(
    r"(?:(?P<who>[A-Za-z][\w-]*|step\.\d+\.\d+)\.)?(?P<metric>[a-z]+)(?:_(?P<part>p\d{1,2}(?:\.\d+)?|p100|mean|max|min))?"
    r"\s*(?P<op>>=|<=|==|!=|=|<|>|≥|≤|≠)\s*(?P<value>.*)"
)
_SAME = {"==": "=", "≥": ">=", "≤": "<=", "≠": "!="}
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "!=", "!=": "="}


@dataclass(frozen=True)
class LoadCondition(Condition):
    """`limit` is in ms, percent, MOS or calls; `percentile` None where a count or `mean` is meant."""

    percentile: float | None = None
    mean: bool = False
    share: bool = False  # of all calls, in percent
    limit: float = 0.0

    @property
    def expects_failure(self) -> bool:
        return False

    @property
    def violated_by(self) -> str:
        """The comparison that is true of the figure when the condition does not hold."""
        return _NEGATED[self.operator]

    @property
    def blame(self) -> Blame:
        return Blame.NETWORK if self.metric.name in ("mos", "loss", "jitter", "heard") else Blame.TARGET

    def concerns(self, action: Action) -> bool:
        """Whether it looks at this action, as a load."""
        if not action.is_load:
            return False
        if self.who is None:
            here = self.address is None or self.address == action.address
            return here and (self.address is not None or action.calls or self.metric.name not in _CALLER_ONLY)
        if self.who in ("caller", "callee"):
            here = self.address is None or self.address == action.address
            return here and action.calls == (self.who == "caller")
        return self.who in (action.party, action.address)

    def seen(self, value: float) -> str:
        figure = decisive(value, self.limit, significant=4)
        if self.share or self.metric.kind == "percent":
            return f"{figure} %"
        return f"{figure} ms" if self.metric.kind == "time" else figure

    def judged(self, loads: Sequence[LoadOutcome]) -> ConditionOutcome:
        """By what the loads that it concerns have found of it."""
        found = [(load, told) for load in loads for told in load.conditions if told.get("text") == self.text]
        if not found:
            return ConditionOutcome(self.text, self.expected, None, False, self.address, None)
        unmet = [pair for pair in found if pair[1].get("violated") is not False]
        load, told = (unmet or found)[0]
        value = told.get("value")
        seen = None if value is None else self.seen(float(value))
        return ConditionOutcome(self.text, self.expected, seen, not unmet, self.address, load.id)


def is_only_for_loads(text: str) -> bool:
    """Whether the line can mean nothing but a load: `failed`, `asr`, a percentile."""
    match = _TEXT.fullmatch(" ".join(text.split()))
    if match is None:
        return False
    return match["metric"] in _KINDS and (
        match["part"] is not None or match["metric"] in ("failed", "answered", "canceled", "asr", "bye")
    )


def condition_on(
    actions: Sequence[Action],
    node: Text,
    address: str | None,
    parties: Sequence[str],
    addresses: Sequence[str],
    *,
    all_known: bool = True,
) -> Condition:
    """A condition on calls, or, where these are loads or it can mean nothing else, on loads. Raises Refusal.

    `all_known` False: some actions could not be read, and might have been loads.
    """
    if any(action.is_load for action in actions):
        if is_only_for_loads(node.value) or (address is not None and len(actions) == 1):
            return parse_load_condition(node, address=address, parties=parties, addresses=addresses)
        found = parse_condition(node, address=address, parties=parties, addresses=addresses)
        meant = [a for a in actions if isinstance(a, Call | Accept) and _means(found.who, a)]
        if found.metric.of == (CallOutcome,) and meant and all(action.is_load for action in meant):
            return parse_load_condition(node, address=address, parties=parties, addresses=addresses)
        return found
    if is_only_for_loads(node.value):
        if not all_known:
            return parse_load_condition(node, address=address, parties=parties, addresses=addresses)
        raise Refusal(
            f"{quoted(node.value)} looks at a load, and there is none here: load: yes makes a call one.",
            key=node.value,
        )
    return parse_condition(node, address=address, parties=parties, addresses=addresses)


def _means(who: str | None, action: Action) -> bool:
    if who in (None, "caller", "callee"):
        return who is None or action.calls == (who == "caller")
    return who in (action.party, action.address)


def parse_load_condition(
    node: Text, *, address: str | None = None, parties: Sequence[str] = (), addresses: Sequence[str] = ()
) -> LoadCondition:
    """Raises Refusal with a sentence that says what would be right."""
    text = " ".join(node.value.split())
    match = _TEXT.fullmatch(text)
    name = match["metric"] if match else re.match(r"[\w.-]*", text)[0].rpartition(".")[2]  # type: ignore[index]
    if name not in _KINDS:
        tail, near = did_you_mean(name, LOAD_METRICS)
        message = f"{quoted(name)} is nothing that can be measured of a load.{tail}"
        raise Refusal(message, permitted=LOAD_METRICS, nearest=near, key=text)
    if match is None:
        raise Refusal(
            f"{quoted(text)} is not a condition on a load. Write failed <= 0.1 % or pdd_p95 < 250 ms.",
            permitted=COMPARISONS,
            key=text,
        )
    who = match["who"]
    everybody = ("caller", "callee", *parties, *addresses)
    if who is not None and who not in everybody:
        tail, near = did_you_mean(who, everybody)
        message = f"{quoted(who)} is not a party of this test.{tail}"
        raise Refusal(message, permitted=everybody, nearest=near, key=who)
    kind, help_ = _KINDS[name]
    operator = _SAME.get(match["op"], match["op"])
    percentile, mean = _part(name, kind, match["part"], operator, text)
    limit, share = _limit(name, kind, match["value"].strip())
    written = " ".join((node.written or node.value).split())
    return LoadCondition(
        written,
        Metric(name, kind, lambda _: None, help_, ()),
        operator,
        limit,
        f"{operator} {match['value'].strip()}",
        who,
        address=address,
        mark=node.mark if node.mark else NOWHERE,
        percentile=percentile,
        mean=mean,
        share=share,
        limit=limit,
    )


def _part(name: str, kind: str, part: str | None, operator: str, text: str) -> tuple[float | None, bool]:
    """The percentile that is meant, and whether the mean is."""
    spread = kind in _SPREAD or name in ("loss", "heard")
    if not spread:
        if part:
            raise Refusal(f"{name} has no {part}: it is one figure of all calls.", key=text)
        return None, False
    if operator in ("=", "!="):
        permitted = ("<", "<=", ">", ">=")
        raise Refusal(
            f"{name} of a load cannot be judged with {operator}.", permitted=permitted, key=operator
        )
    if part is None:
        return (100.0 if operator in ("<", "<=") else 0.0), False
    if part == "mean":
        return None, True
    return {"max": 100.0, "min": 0.0}.get(part, 0.0) if part in ("max", "min") else float(part[1:]), False


def _limit(name: str, kind: str, raw: str) -> tuple[float, bool]:
    if not raw:
        raise Refusal("A value is wanted after the operator.")
    if kind == "time":
        if re.fullmatch(r"[\d.]+", raw):
            raise Refusal(f"{raw} has no unit. Write {raw} ms or {raw} s.", key=raw)
        return read_duration(raw) * 1000, False
    figure = raw.removesuffix("%").strip()
    if not re.fullmatch(r"\d{1,12}(\.\d{1,12})?", figure) or (raw.endswith("%") and kind == "number"):
        raise Refusal(f"{quoted(raw)} is not a number.", key=raw)
    return float(figure), kind == "count" and raw.endswith("%")
