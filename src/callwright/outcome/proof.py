"""Whose fault it was, weighed by what both ends did: our own side comes before the target.

A judgement made at one end blames whoever it cannot see. Where the far end of a call is a party of the same
test, what that party sent, heard and answered is known too, and clears the target or the network of what was
ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from callwright.outcome.call import CallOutcome
from callwright.outcome.judgement import Judgement, far_end, name_of
from callwright.outcome.terms import Blame, CallState, Direction, EndedBy, Verdict
from callwright.sip.status import named_status

_OUTSIDE = (Blame.TARGET, Blame.NETWORK)
NEARLY_ALL = 0.97  # of what was sent: a packet that got lost on the way does not make the difference


def other_ends(call: CallOutcome, calls: Sequence[CallOutcome]) -> list[CallOutcome]:
    """The legs at other parties of this test that may be the far end of this call."""
    if call.started_at is None:
        return []
    return [
        leg
        for leg in calls
        if leg.direction is not call.direction
        and leg.party != call.party
        and leg.started_at is not None
        and _overlap(call, leg)
    ]


def other_end(call: CallOutcome, calls: Sequence[CallOutcome]) -> CallOutcome | None:
    """The leg of the same call at another party of this test; None: there is none, or several may be it."""
    found = other_ends(call, calls)
    return found[0] if len(found) == 1 else None


def _overlap(one: CallOutcome, other: CallOutcome) -> bool:
    placed, came = (one, other) if one.direction is Direction.OUTGOING else (other, one)
    assert placed.started_at is not None
    assert came.started_at is not None
    end = placed.started_at + ((placed.setup_ms or 0.0) + (placed.duration_ms or 0.0)) / 1000
    if placed.setup_ms is None:
        end = max((placed.started_at + reached.at for reached in placed.states), default=end)
    # Two clocks of one machine: a leg may seem to begin a moment before the call that caused it.
    return placed.started_at - 0.25 <= came.started_at <= end + 0.25


def weighed(call: CallOutcome, calls: Sequence[CallOutcome], *, meant_to_fail: bool = False) -> CallOutcome:
    """The call with its blame corrected where our own side explains the failure. `meant_to_fail`: the test
    wants the call refused."""
    if call.verdict is not Verdict.FAILED or call.blame not in _OUTSIDE:
        return call
    others = other_ends(call, calls)
    other = others[0] if len(others) == 1 else None
    if meant_to_fail and call.answered:
        taken = other is not None and other.answered
        return call.judged(call.verdict, Blame.TEST if taken else call.blame, call.reason)
    if call.direction is Direction.OUTGOING and not call.answered:
        judgement = _refused_by_us(call, others)
    else:
        judgement = _by_both_ends(call, other)
    return call if judgement is None else call.judged(*judgement)


def _by_both_ends(call: CallOutcome, other: CallOutcome | None) -> Judgement | None:
    """None: nothing that our side did explains it."""
    if not call.answered or not call.media_expected:
        return None
    said = call.reason.rstrip(".")
    heard = call.received
    deaf = heard.without_sound or not heard.packets
    if deaf and call.sent.packets == 0:
        # A target that learns our address from our packets had nowhere to send to.
        return Verdict.FAILED, None, f"{said}. We sent no audio either, so nobody is blamed."
    if other is None:
        if heard.without_sound and sent_silence(call):
            # An echo, or a line that answers what it hears, has nothing else to send.
            return Verdict.FAILED, None, f"{said}. We sent silence too, so nobody is blamed."
        return None
    them, sent = name_of(other.party, "the other end"), other.sent.packets
    if deaf and sent == 0:
        return Verdict.FAILED, Blame.TEST, f"{said}. {them} sent no audio."
    if heard.without_sound and sent_silence(other):
        return Verdict.FAILED, Blame.TEST, f"{said}. {them} sent silence."
    if heard.gaps and heard.packets and sent is not None and heard.packets >= NEARLY_ALL * sent:
        return Verdict.FAILED, Blame.TEST, f"{said}. {them} sent no more than that."
    arrived = other.received.packets
    if not deaf and (call.peer_loss_pct or 0.0) >= 100 and arrived:
        return Verdict.FAILED, Blame.TARGET, f"{said}, though {them} received {arrived:,} packets of it."
    return None


def _refused_by_us(call: CallOutcome, others: Sequence[CallOutcome]) -> Judgement | None:
    """A call that was not answered, where every phone that it may have come to is ours."""
    if not others or any(leg.answered for leg in others):
        return None
    # A leg that the caller canceled has its 487 from us, and that is no refusal.
    refused = [leg for leg in others if (leg.sip_code or 0) >= 300 and leg.ended_by is not EndedBy.REMOTE]
    same = next((leg for leg in refused if leg.sip_code == call.sip_code), None)
    leg = same or (refused or [others[0]])[0]
    name = name_of(leg.party, "Our own phone")
    if not refused:
        rang = any(reached.state is CallState.RINGING for leg in others for reached in leg.states)
        if not rang:
            return None
        return Verdict.FAILED, Blame.TEST, f"{name} rang and never answered: it is a phone of this test."
    reason = f"{name} refused the call with {named_status(leg.sip_code or 0, leg.sip_reason)}"
    if same is None:
        told = named_status(call.sip_code, call.sip_reason) if call.sip_code else "no answer"
        return Verdict.FAILED, None, f"{reason}: it is a phone of this test. The caller was given {told}."
    if leg.sip_code == 488:
        # The offer came through the target, which may have changed it.
        return Verdict.FAILED, None, f"{reason}, and it came through {call.peer or far_end(call)}."
    return Verdict.FAILED, Blame.TEST, f"{reason}: it is a phone of this test."


def sent_silence(call: CallOutcome) -> bool:
    return call.sent_silence_pct is not None and call.sent_silence_pct >= 99.0
