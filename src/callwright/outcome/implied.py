"""The rules that a test need not write: a call is answered, audio comes, and it is good enough.

A part that failed by one of them shows it among the conditions, so that the rule that decided can be read
there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from callwright.outcome.call import SILENT_PCT, CallOutcome
from callwright.outcome.decisive import decisive
from callwright.outcome.judgement import MIN_HEARD, MIN_MOS, Outcome
from callwright.outcome.run import ConditionOutcome
from callwright.outcome.terms import Verdict


def broken_rule(
    part: Outcome, *, min_mos: float = MIN_MOS, min_heard: float = MIN_HEARD
) -> ConditionOutcome | None:
    """The implied rule that a judged call, registration or request broke, in the words of a condition; None:
    it did not fail, or by something else."""
    if part.verdict is not Verdict.FAILED:
        return None
    if not isinstance(part, CallOutcome) or not part.answered or part.failure is not None:
        seen = None if part.sip_code is None else str(part.sip_code)
        return _rule("code = 200", "= 200", seen, part)
    heard = part.received
    if not heard.packets and part.media_expected:
        return _rule("packets > 0", "> 0", "0", part)
    if heard.heard_pct is not None and heard.heard_pct < min_heard:
        share = decisive(heard.heard_pct, min_heard, significant=4)
        return _rule(f"heard_pct >= {min_heard:g} %", f">= {min_heard:g} %", f"{share} %", part)
    if heard.without_sound and heard.silence_pct is not None:
        share = decisive(heard.silence_pct, SILENT_PCT, significant=4)
        return _rule(f"silence < {SILENT_PCT:g} %", f"< {SILENT_PCT:g} %", f"{share} %", part)
    if part.peer_loss_pct is not None and part.peer_loss_pct >= 100:
        return _rule("sent.loss < 100 %", "< 100 %", "100 %", part)
    if heard.mos is not None and heard.mos < min_mos:
        shown = decisive(heard.mos, min_mos, significant=4)
        return _rule(f"mos >= {min_mos:g}", f">= {min_mos:g}", shown, part)
    return None


def _rule(text: str, expected: str, seen: str | None, part: Outcome) -> ConditionOutcome:
    call = part.id if isinstance(part, CallOutcome) else None
    return ConditionOutcome(text, expected, seen, False, part.address, call or None, implied=True)


def together(broken: Sequence[ConditionOutcome]) -> list[ConditionOutcome]:
    """One row for each rule of an action, however many of its calls broke it."""
    rows: dict[tuple[str, str | None], list[ConditionOutcome]] = {}
    for rule in broken:
        rows.setdefault((rule.text, rule.address), []).append(rule)
    found = []
    for first, *others in rows.values():
        seen = first.seen if first.seen is not None else "nothing"
        more = f"{seen} ({1 + len(others)} calls)"
        found.append(dataclasses.replace(first, seen=more) if others else first)
    return found
