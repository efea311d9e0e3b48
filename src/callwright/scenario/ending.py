"""The end of a run: each call judged by what its author wanted of it, the conditions, and the verdict of
all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from callwright.outcome.call import CallOutcome
from callwright.outcome.implied import broken_rule, together
from callwright.outcome.judgement import (
    MIN_HEARD,
    MIN_MOS,
    Judgement,
    judge_call,
    judge_expected,
    judge_registration,
    judge_request,
    judge_run,
)
from callwright.outcome.proof import weighed
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.run import CheckOutcome, ConditionOutcome, PhaseOutcome, RunOutcome
from callwright.outcome.terms import Blame, CallState, Direction, Verdict
from callwright.scenario import actions
from callwright.scenario.check import Found, accept, forgiven, judge_check, verdict_of_book
from callwright.scenario.condition import Condition, Subject
from callwright.scenario.load_condition import LoadCondition
from callwright.scenario.load_progress import AnsweringLoad, PlacingLoad
from callwright.scenario.progress import AcceptProgress, Leg, Progress
from callwright.scenario.scenario import Scenario
from callwright.scenario.unmet import blame_of, unmet_sentence


def judge(
    scenario: Scenario,
    progresses: Sequence[Progress],
    *,
    phases: tuple[PhaseOutcome, ...],
    duration_ms: float,
    stopped: str | None,
    trouble: Judgement | None,
) -> RunOutcome:
    users = scenario.users()
    canceled = any(leg.canceled_on_purpose for progress in progresses for leg in progress.legs.values())
    calls: list[CallOutcome] = []
    registrations: list[RegistrationOutcome] = []
    requests: list[RequestOutcome] = []
    broken: list[ConditionOutcome | None] = []
    meant_to_fail: set[str] = set()
    for progress in progresses:
        expects = progress.base.expect
        of_calls = [c for c in expects if isinstance(c, LoadCondition) or CallOutcome in c.metric.of]
        for leg in progress.legs.values():
            if leg.outcome is not None:
                wanted = [*of_calls, *(c for c in scenario.at_the_end() if c.select([leg.outcome]))]
                call, rule = _judged_call(progress.base, leg, leg.outcome, wanted, users, canceled=canceled)
                calls.append(call)
                broken.append(rule)
                if any(condition.expects_failure for condition in wanted):
                    meant_to_fail.add(call.id)
        for registration in progress.registrations.values():
            if registration is not None:
                judgement = judge_registration(registration)
                if any(c.expects_failure for c in expects):
                    results = [c.evaluate((), [registration], (), users) for c in expects]
                    judgement = judge_expected(registration, results)
                else:
                    broken.append(broken_rule(registration.judged(*judgement)))
                registrations.append(registration.judged(*judgement))
        for request in progress.requests.values():
            if request is not None:
                judgement = judge_request(request)
                asked = [c for c in expects if RequestOutcome in c.metric.of]
                asked += [c for c in scenario.at_the_end() if _on_request(c, request)]
                if any(c.expects_failure for c in asked):
                    results = [c.evaluate((), (), [request], users) for c in asked]
                    judgement = judge_expected(request, results)
                else:
                    broken.append(broken_rule(request.judged(*judgement)))
                requests.append(request.judged(*judgement))
    calls = [weighed(call, calls, meant_to_fail=call.id in meant_to_fail) for call in calls]
    written = [c for action in scenario.actions() for c in action.expect] + scenario.at_the_end()
    titles = [check.title for check in scenario.checks for _ in check.conditions]
    titled = [*[None] * (len(written) - len(titles)), *titles]
    loads = [progress.load for progress in progresses if progress.load is not None]
    conditions = [
        c.judged(loads)
        if isinstance(c, LoadCondition)
        else replace(c.evaluate(calls, registrations, requests, users), check=title)
        for c, title in zip(written, titled, strict=True)
    ]
    # Conditions on loads are in the verdict of the load: it alone knows when none is to be believed.
    judged = [
        (c, found, *_spoken(c, found, c.select(calls, registrations, requests), calls))
        for c, found in zip(written, conditions, strict=True)
        if not isinstance(c, LoadCondition)
    ]
    checks = _checked(scenario, judged, [*calls, *registrations, *requests], bool(stopped or trouble))
    spared, mild = forgiven(scenario.checks), {c.title for c in scenario.checks if c.level != "ko"}
    decisive = [one for one in judged if one[1].check not in mild and one[1].address not in spared]
    verdict, blame, reason = judge_run(
        _decisive(calls, spared),
        [found for _, found, *_ in decisive],
        _decisive(registrations, spared),
        _decisive(requests, spared),
        unmet=[(sentence, spoken) for _, found, sentence, spoken in decisive if not found.passed],
        stopped=stopped,
        trouble=trouble or _sent_elsewhere(progresses, calls) or _load_sent_elsewhere(progresses),
        loads=loads,
    )
    acceptance = accept(checks) if checks else None
    if acceptance is not None:
        verdict, blame, reason = verdict_of_book((verdict, blame, reason), checks, acceptance)
    return RunOutcome(
        verdict,
        blame,
        reason,
        name=scenario.name,
        title=scenario.title,
        description=scenario.description,
        tags=scenario.tags,
        checks=tuple(checks),
        acceptance=acceptance,
        conditions=(*conditions, *together([rule for rule in broken if rule is not None])),
        calls=tuple(calls),
        registrations=tuple(registrations),
        requests=tuple(requests),
        loads=tuple(loads),
        duration_ms=duration_ms,
        phases=phases,
        parameters=scenario.shown_parameters(),
    )


_Judged = tuple[Condition, ConditionOutcome, str, Blame | None]
_S = TypeVar("_S", CallOutcome, RegistrationOutcome, RequestOutcome)


def _checked(
    scenario: Scenario, judged: Sequence[_Judged], subjects: Sequence[Subject], ended_early: bool
) -> list[CheckOutcome]:
    found = []
    for check in scenario.checks:
        addresses = check.addresses
        of_it = [
            (outcome, sentence)
            for _, outcome, sentence, _ in judged
            if outcome.check == check.title or (outcome.address in addresses and outcome.address is not None)
        ]
        left = Found([subject for subject in subjects if subject.address in addresses], of_it)
        found.append(judge_check(check, left, ended_early=ended_early))
    return found


def _decisive(subjects: Sequence[_S], spared: frozenset[str]) -> list[_S]:
    """Without those whose failure no KO check minds."""
    return [s for s in subjects if s.verdict is not Verdict.FAILED or s.address not in spared]


def _on_request(condition: Condition, request: RequestOutcome) -> bool:
    """A condition at the end that looks at this request, and at nothing else."""
    only = getattr(condition, "metric", None) is not None and condition.metric.of == (RequestOutcome,)
    return only and bool(condition.select((), (), [request]))


def _spoken(
    condition: Condition,
    found: ConditionOutcome,
    looked_at: Sequence[Subject],
    calls: Sequence[CallOutcome],
) -> tuple[str, Blame | None]:
    """The sentence of a condition that does not hold, and whom it speaks against."""
    by_id = [subject for subject in looked_at if found.call and getattr(subject, "id", None) == found.call]
    subject = next(iter(by_id or looked_at), None)
    return unmet_sentence(condition, found, subject), blame_of(condition, found, subject, calls)


def _judged_call(
    action: actions.Action,
    leg: Leg,
    call: CallOutcome,
    wanted: Sequence[Condition],  # of its action, and those at the end that look at it
    users: dict[str, str],
    *,
    canceled: bool,
) -> tuple[CallOutcome, ConditionOutcome | None]:
    """And the rule that it broke which nobody wrote."""
    named = {condition.metric.name for condition in wanted}
    meant_to_fail = any(condition.expects_failure for condition in wanted)
    results = [
        condition.evaluate([call], users=users)
        for condition in wanted
        if condition.address is not None or condition.expects_failure
    ]
    if isinstance(action, actions.Accept) and action.reject is not None:
        seen = str(call.sip_code) if call.sip_code else None
        text = f"code = {action.reject}"
        told = ConditionOutcome(text, f"= {action.reject}", seen, call.sip_code == action.reject)
        rule = None if told.passed else replace(told, address=call.address, call=call.id, implied=True)
        return call.judged(*judge_expected(call, [told, *results])), rule
    was_canceled = any(reached.state is CallState.CANCELED for reached in call.states)
    incoming_canceled = canceled and was_canceled and leg.direction is Direction.INCOMING
    on_purpose = leg.canceled_on_purpose and not call.answered
    if on_purpose or incoming_canceled or meant_to_fail:
        return call.judged(*judge_expected(call, results)), None
    # What the author has conditions on is left to them: a lower MOS, silence. A min_mos that was given stays.
    min_mos = action.min_mos if isinstance(action, actions.Call | actions.Accept) else MIN_MOS
    min_heard = action.min_heard_pct if isinstance(action, actions.Call | actions.Accept) else MIN_HEARD
    asked = [
        condition.value if condition.operator in (">=", ">") else 0.0
        for condition in wanted
        if condition.metric.name == "mos"
    ]
    min_mos = min([min_mos, *asked]) if min_mos <= MIN_MOS else min_mos
    judgement = judge_call(
        call,
        min_mos=min_mos,
        min_heard=min_heard,
        silence_permitted=bool(named & {"silence", "heard"}),
    )
    judged = call.judged(*judgement)
    return judged, broken_rule(judged, min_mos=min_mos, min_heard=min_heard)


def _sent_elsewhere(progresses: Sequence[Progress], calls: Sequence[CallOutcome]) -> Judgement | None:
    """A call to one of our parties was answered, and not by him."""
    for progress in progresses:
        party = progress.base.party
        accepts = [p for p in progresses if isinstance(p, AcceptProgress) and p.base.party == party]
        if not accepts or any(accept.legs for accept in accepts):
            continue
        for other in progresses:
            if isinstance(other.base, actions.Call) and other.base.dial_destination == party:
                answered = [call for call in calls if call.address == other.base.address and call.answered]
                if answered and answered[0].verdict is Verdict.PASSED:
                    name = party[0].upper() + party[1:]
                    reason = f"{name}'s phone never rang: somebody else answered the call to {name}."
                    return Verdict.FAILED, Blame.TARGET, reason
    return None


def _load_sent_elsewhere(progresses: Sequence[Progress]) -> Judgement | None:
    """The calls of a load to one of our parties were answered, and none came to him."""
    for answering in progresses:
        if not isinstance(answering, AnsweringLoad) or answering.load is None or answering.load.attempted:
            continue
        party = answering.base.party
        for other in progresses:
            placed = other.load if isinstance(other, PlacingLoad) else None
            if placed and placed.answered and other.base.dial_destination == party:  # type: ignore[attr-defined]
                name = party[0].upper() + party[1:]
                reason = f"{name} got no call of the load: somebody else answered the calls to {name}."
                return Verdict.FAILED, Blame.TARGET, reason
    return None
