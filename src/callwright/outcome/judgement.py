"""Verdict, blame and the sentence that says both, from the facts of an outcome. Pure, and a table where
it can be.

A verdict is ``(Verdict, Blame | None, reason)``. The reason is in the past tense, says who noticed what,
names the SIP status with its name or the host, and has at most 30 words; advice is a second sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from callwright.outcome.call import CallOutcome, ReceivedOutcome, SilentGap
from callwright.outcome.decisive import decisive
from callwright.outcome.load import LoadOutcome
from callwright.outcome.refusals import explained, unanswerable
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.run import ConditionOutcome
from callwright.outcome.terms import Blame, CallState, Direction, Failure, Verdict
from callwright.quality.bands import band
from callwright.sip.status import named_status

Judgement = tuple[Verdict, Blame | None, str]
Outcome = CallOutcome | RegistrationOutcome | RequestOutcome

MIN_MOS = 3.5
MIN_HEARD = 90.0  # percent of the time in which audio was due; 0 does not ask
# A status that speaks of what we sent: our offer, our body, the extensions we ask for. Seen from one end it
# proves nothing against the target (RFC 3261 21.4.13, 21.4.15, 21.4.16, 21.4.26, 21.6.4).
ABOUT_OURS = frozenset((406, 415, 420, 421, 488, 606))
OWN_ERROR_LIMIT_MS = 10.0  # p99 of our own sending; beyond half a packet a poor MOS may be our doing


def name_of(party: str | None, otherwise: str) -> str:
    return (party[0].upper() + party[1:]) if party else otherwise


def milliseconds(value: float) -> str:
    return f"{value / 1000:.3g} s" if value >= 1000 else f"{value:.0f} ms"


def far_end(outcome: Outcome) -> str:
    """The number or user at the other end, as one would say it."""
    if isinstance(outcome, RegistrationOutcome):
        return outcome.registrar or outcome.peer or "the registrar"
    uri = outcome.target if isinstance(outcome, RequestOutcome) else outcome.destination or outcome.remote
    if isinstance(outcome, CallOutcome) and outcome.direction is Direction.INCOMING:
        uri = outcome.caller_identity or outcome.remote
    match = re.search(r"sips?:(?:([^@;>\s]+)@)?([^;>?\s]+)", uri or "")
    if match:
        return match[1].partition(":")[0] if match[1] else match[2]
    return uri or outcome.peer or "the peer"


def _user_of(uri: str | None) -> str:
    match = re.search(r"sips?:(?:([^@;>\s]+)@)?([^;>?\s]+)", uri or "")
    return (match[1] or match[2]) if match else uri or "somebody else"


def _where(outcome: Outcome) -> str:
    """The host that packets went to."""
    if outcome.peer:
        return re.sub(r"^(udp|tcp|tls):", "", outcome.peer)
    detail = outcome.failure_detail or ""
    return detail if detail and " " not in detail else far_end(outcome)


def _detail(outcome: Outcome) -> str:
    """After a colon, where a sentence of another room goes on without its capital."""
    detail = (outcome.failure_detail or "").rstrip(".")
    return f": {re.sub('^(?:The|An?|No) ', lambda word: word[0].lower(), detail)}" if detail else ""


def _what(outcome: Outcome) -> str:
    if isinstance(outcome, CallOutcome):
        return "INVITE" if outcome.direction is Direction.OUTGOING else "200 OK"
    return outcome.method if isinstance(outcome, RequestOutcome) else "REGISTER"


def _refused(outcome: Outcome) -> Judgement:
    code = outcome.sip_code or 0
    named = named_status(code, outcome.sip_reason)
    if isinstance(outcome, CallOutcome):
        if outcome.direction is Direction.INCOMING:
            us = name_of(outcome.party, "We")
            if any(reached.state is CallState.CANCELED for reached in outcome.states):
                callee = name_of(outcome.party, "we")
                reason = f"The call of {far_end(outcome)} was canceled before {callee} answered."
                return Verdict.FAILED, Blame.TARGET, reason
            reason = f"{us} refused the call of {far_end(outcome)} with {named}{_detail(outcome)}."
            return Verdict.FAILED, Blame.TEST, reason
        who = far_end(outcome)
        opening = f"The call to {who} was refused with {named}"
    elif isinstance(outcome, RegistrationOutcome):
        who = far_end(outcome)
        opening = f"The registration of {outcome.account or 'the account'} at {who} failed with {named}"
    else:
        who = far_end(outcome)
        opening = f"{who} answered the {outcome.method} with {named}"
    if code in (401, 407):
        if odd := unanswerable(outcome, code):
            return Verdict.FAILED, None, f"{opening}: {odd}."
        why = (
            "probably the user or the password is wrong" if outcome.authenticated else "no password was given"
        )
        return Verdict.FAILED, Blame.TEST, f"{opening}: {why}."
    if 300 <= code < 400:
        to = getattr(outcome, "redirected_to", ())
        where = f" to {to[0]}" if to else ""
        return Verdict.FAILED, Blame.TARGET, f"{opening}: it redirected us{where}, which was not followed."
    blame = None if code in ABOUT_OURS else Blame.TARGET
    return Verdict.FAILED, blame, f"{opening}{explained(outcome, code)}."


def _timeout(outcome: Outcome) -> Judgement:
    copies = outcome.retransmissions if not isinstance(outcome, RegistrationOutcome) else None
    times = f"{copies + 1} copies went to {_where(outcome)}" if copies else f"it went to {_where(outcome)}"
    reason = f"Nobody answered the {_what(outcome)}: {times}, and no packet came back."
    return Verdict.FAILED, Blame.NETWORK, reason


def _unreachable(outcome: Outcome) -> Judgement:
    detail = (outcome.failure_detail or "").lower()
    where = _where(outcome)
    if not detail or "refused" in detail or "port unreachable" in detail:
        reason = f"Nothing listened at {where}: the {_what(outcome)} was refused by the host itself."
        return Verdict.FAILED, Blame.TARGET, reason
    return Verdict.FAILED, Blame.NETWORK, f"The {_what(outcome)} could not reach {where}{_detail(outcome)}."


def _unresolved(outcome: Outcome) -> Judgement:
    detail = outcome.failure_detail or far_end(outcome)
    dead = re.search(r"time.?out|timed out|servfail|no name ?server", detail, re.IGNORECASE)
    uri = getattr(outcome, "destination", None) or getattr(outcome, "target", None) or far_end(outcome)
    match = re.search(r"@?([\w.-]+)(?::\d+)?(?:[;>?].*)?$", uri.removeprefix("sip:"))
    host = match[1] if match else uri
    about = f"{host}: {detail.rstrip('.')}" if host not in detail else detail.rstrip(".")
    reason = f"The {_what(outcome)} was never sent, since the host does not resolve: {about}."
    return Verdict.FAILED, Blame.NETWORK if dead else Blame.TEST, reason


def _within(outcome: Outcome) -> str:
    """``within 30 s`` when the detail is a time."""
    time = re.fullmatch(r"(?:within )?([\d.]+ m?s)", outcome.failure_detail or "")
    return f"within {time[1]}" if time else ""


def _never_came(outcome: Outcome) -> Judgement:
    within = f" {_within(outcome)}" if _within(outcome) else _detail(outcome)
    return Verdict.FAILED, Blame.TARGET, f"{name_of(outcome.party, 'We')} never got the call{within}."


def _no_answer(outcome: Outcome) -> Judgement:
    who = far_end(outcome)
    rang = isinstance(outcome, CallOutcome) and any(s.state is CallState.RINGING for s in outcome.states)
    how = "it rang, and nobody took the call" if rang else "it neither rang nor answered"
    return Verdict.FAILED, Blame.TARGET, f"{who} did not answer {_within(outcome) or 'in time'}: {how}."


def _not_bound(outcome: Outcome) -> Judgement:
    account = getattr(outcome, "account", None) or "the account"
    lasted = getattr(outcome, "registered_ms", None) is not None
    how = (
        "did not last"
        if lasted
        else f"failed, though it was answered {named_status(outcome.sip_code or 200)}"
    )
    reason = f"The registration of {account} at {far_end(outcome)} {how}{_detail(outcome)}."
    return Verdict.FAILED, Blame.TARGET, reason


def _sentence(verdict: Verdict, blame: Blame | None, text: str) -> Judgement:
    return verdict, blame, text


# Failures whose sentence needs only names: {who} is the far end, {what} our request, {where} the host.
_PLAIN = {
    Failure.TLS: _sentence(Verdict.FAILED, Blame.TARGET, "TLS to {where} failed{detail}."),
    Failure.TRANSPORT: _sentence(Verdict.FAILED, Blame.TEST, "The {what} was never sent{detail}."),
    Failure.POLICY: _sentence(Verdict.ERROR, Blame.TEST, "Policy refused to send to {who}{detail}."),
    Failure.MALFORMED: _sentence(
        Verdict.FAILED, Blame.TARGET, "{where} sent a message that could not be used{detail}."
    ),
    Failure.NO_CREDENTIALS: _sentence(
        Verdict.FAILED, Blame.TEST, "{where} asked for a password ({status}), and the test has none{detail}."
    ),
    Failure.NOT_ACKNOWLEDGED: _sentence(
        Verdict.FAILED,
        Blame.NETWORK,
        "The call of {who} was cut after 32 s: our 200 OK went to {where} again and again, and no ACK came.",
    ),
    Failure.SESSION_EXPIRED: _sentence(
        Verdict.FAILED, Blame.TARGET, "The call of {who} was ended by its session timer{detail}."
    ),
    Failure.NEGOTIATION: _sentence(
        Verdict.FAILED, Blame.TARGET, "{who} and we agreed on no audio format{detail}."
    ),
    Failure.ICE: _sentence(
        Verdict.FAILED, Blame.NETWORK, "ICE found no way for media between {who} and us{detail}."
    ),
    Failure.DTLS: _sentence(Verdict.FAILED, Blame.TARGET, "{who} and we agreed on no keys by DTLS{detail}."),
    Failure.IDENTITY: _sentence(
        Verdict.FAILED, Blame.TARGET, "We refused the call of {who} with {status}{detail}."
    ),
    Failure.STOPPED: _sentence(Verdict.CANCELED, None, "It was stopped from outside{detail}."),
    Failure.DEADLINE: _sentence(Verdict.FAILED, Blame.TEST, "The run's time was over first{detail}."),
    Failure.PLATFORM: _sentence(
        Verdict.ERROR,
        Blame.PLATFORM,
        "Callwright itself failed{detail}. This says nothing about the target.",
    ),
}
_WORDED = {
    Failure.NOT_BOUND: _not_bound,
    Failure.REFUSED: _refused,
    Failure.TIMEOUT: _timeout,
    Failure.UNREACHABLE: _unreachable,
    Failure.UNRESOLVED: _unresolved,
    Failure.NO_ANSWER: _no_answer,
    Failure.NEVER_CAME: _never_came,
}


def _judge_failure(outcome: Outcome, failure: Failure) -> Judgement:
    if failure in _WORDED:
        return _WORDED[failure](outcome)
    verdict, blame, text = _PLAIN[failure]
    reason = text.format(
        who=far_end(outcome),
        what=_what(outcome),
        where=_where(outcome) if outcome.peer else far_end(outcome),
        detail=_detail(outcome),
        status=named_status(outcome.sip_code or 401, outcome.sip_reason),
    )
    return verdict, blame, reason


def judge_call(
    call: CallOutcome,
    *,
    min_mos: float = MIN_MOS,
    min_heard: float = MIN_HEARD,
    silence_permitted: bool = False,
) -> Judgement:
    """The verdict of a call that was meant to be answered and to carry audio (RFC 3261 and our own rules).

    It passes when it was answered, audio came (an echo of our own SSRC is audio) unless the peer promised
    none, the peer reports no
    total loss, the received MOS, where one can be rated, is at least ``min_mos``, and no more of the time
    than ``min_heard`` leaves was an unexplained gap.
    """
    if call.failure is not None:
        return _judge_failure(call, call.failure)
    if not call.answered:
        if call.sip_code and call.sip_code >= 300:
            return _refused(call)
        if any(reached.state is CallState.CANCELED for reached in call.states):
            return Verdict.FAILED, Blame.TEST, f"The call to {far_end(call)} was canceled before an answer."
        return _no_answer(call)
    if not call.media_expected:
        if _none_arrived(call):
            return _unheard_by_peer(call)
        after = f" after {milliseconds(call.setup_ms)}" if call.setup_ms is not None else ""
        why = (
            "no audio was asked for"
            if call.received.packets is None
            else f"{far_end(call)} promised no audio"
        )
        return Verdict.PASSED, None, f"{_answerer(call)} answered{after}; {why}."
    return _judge_media(call, min_mos, min_heard, silence_permitted)


def _answerer(call: CallOutcome) -> str:
    return far_end(call) if call.direction is Direction.OUTGOING else name_of(call.party, "We")


def _answered_but(call: CallOutcome, us: str) -> str:
    """The one who answered and the one who listens, named once where they are the same."""
    answerer = _answerer(call)
    return f"{answerer} answered, but" if answerer.lower() == us.lower() else f"{answerer} answered, but {us}"


def _judge_media(call: CallOutcome, min_mos: float, min_heard: float, silence_permitted: bool) -> Judgement:
    us, them = name_of(call.party, "we"), far_end(call)
    heard = call.received
    span = f" in {milliseconds(call.duration_ms)}" if call.duration_ms else ""
    if not heard.packets:
        reason = f"{_answered_but(call, us)} heard nothing: no RTP packet came{span}."
        return Verdict.FAILED, Blame.TARGET, reason
    if heard.heard_pct is not None and heard.heard_pct < min_heard:
        return _unheard(call, us, them, heard.heard_pct, min_heard)
    if heard.without_sound and not silence_permitted:
        reason = f"{_answered_but(call, us)} heard silence: {_without_sound(heard)}."
        return Verdict.FAILED, Blame.TARGET, reason
    if _none_arrived(call):
        return _unheard_by_peer(call)
    if heard.mos is None and heard.audio_packets == 0:
        reason = f"{_answerer(call)} answered; silence was permitted, and {_without_sound(heard)}."
        return Verdict.PASSED, None, reason
    if heard.mos is None:
        reason = (
            f"{_answerer(call)} answered and audio came; no MOS is known for {heard.codec or 'its codec'}."
        )
        return Verdict.PASSED, None, reason
    if heard.mos >= min_mos:
        after = f" after {milliseconds(call.setup_ms)}" if call.setup_ms is not None else ""
        subject = us[0].upper() + us[1:]
        reason = (
            f"{_answerer(call)} answered{after}; {subject if call.party else us} heard {them} "
            f"at MOS {decisive(heard.mos, min_mos)}, {band(heard.mos).name}."
        )
        return Verdict.PASSED, None, reason
    return _poor(call, us, them, heard.mos, min_mos)


def _none_arrived(call: CallOutcome) -> bool:
    """The peer's RTCP says so of our audio."""
    return call.peer_loss_pct is not None and call.peer_loss_pct >= 100


def _unheard_by_peer(call: CallOutcome) -> Judgement:
    us, them = name_of(call.party, "we"), far_end(call)
    reason = f"{them} heard nothing of {us}: its RTCP reported that all our audio was lost."
    return Verdict.FAILED, Blame.NETWORK, reason


def _without_sound(heard: ReceivedOutcome) -> str:
    if heard.audio_packets != 0:
        return f"all {heard.packets} packets were without sound"
    if heard.comfort_noise:
        return "comfort noise came, and no audio"
    return f"none of the {heard.packets} packets held audio"


def _unheard(call: CallOutcome, us: str, them: str, heard_pct: float, min_heard: float) -> Judgement:
    subject = us[0].upper() + us[1:]
    reason = (
        f"{subject} heard {them} for {decisive(heard_pct, min_heard, 0)} % of the call, "
        f"where {min_heard:g} % was asked for{silent_in_words(call)}."
    )
    longest = max(call.received.gaps, key=lambda gap: gap.to_s - gap.from_s, default=None)
    lost = longest is not None and longest.why == "lost"
    return Verdict.FAILED, Blame.NETWORK if lost else Blame.TARGET, reason


def silent_in_words(call: CallOutcome) -> str:
    """`: silent from 0:01 to the end`: the longest gap of a call, and how many there were besides."""
    gaps = call.received.gaps
    if not gaps:
        return ""
    longest = max(gaps, key=lambda gap: gap.to_s - gap.from_s)
    others = len(gaps) - 1
    more = f", and {others} more {'gap' if others == 1 else 'gaps'}" if others else ""
    return f": silent from {gap_in_words(longest, call.duration_ms)}{more}"


def gap_in_words(gap: SilentGap, duration_ms: float | None) -> str:
    """`0:01 to the end`, in minutes and seconds of the call."""
    to_end = duration_ms is not None and gap.to_s >= duration_ms / 1000 - 0.25
    # A part of a second that was heard is not silent.
    since = math.ceil(gap.from_s - 0.05)
    return f"{_minutes(since)} to {'the end' if to_end else _minutes(max(since, round(gap.to_s)))}"


def _minutes(whole: int) -> str:
    return f"{whole // 60}:{whole % 60:02d}"


def _poor(call: CallOutcome, us: str, them: str, mos: float, min_mos: float) -> Judgement:
    subject = us[0].upper() + us[1:]
    shown = decisive(mos, min_mos)
    opening = f"{subject} heard {them} at MOS {shown}, {band(mos).name}, where {min_mos:g} was asked for"
    own = call.measurement.send_error_p99_ms
    if own is not None and own > OWN_ERROR_LIMIT_MS:
        reason = (
            f"{opening}, but our own sending was {own:.0f} ms late (p99). Measure again on a calmer machine."
        )
        return Verdict.INVALID, Blame.PLATFORM, reason
    shares = {
        "loss": call.causes.loss,
        "discard": call.causes.discard,
        "delay": call.causes.delay,
        "codec": call.causes.codec,
        "gaps": call.causes.gaps,
    }
    known = {name: share for name, share in shares.items() if share}
    worst = max(known, key=lambda name: known[name]) if known else ("loss" if call.received.lost else "")
    if worst == "codec":
        return Verdict.FAILED, Blame.TEST, f"{opening}: {call.received.codec} allows no more."
    why = {
        "loss": f": {call.received.loss_pct or 0:.1f} % of the packets were lost",
        "discard": f": {call.received.discarded or 0} packets came too late for the jitter buffer",
        "gaps": silent_in_words(call),
        "delay": f": the delay was {call.received.ta_ms or 0:.0f} ms",
    }.get(worst, "")
    return Verdict.FAILED, Blame.NETWORK, f"{opening}{why}."


def judge_expected(outcome: Outcome, conditions: Sequence[ConditionOutcome]) -> Judgement:
    """The verdict of what was meant to fail: it passes when it failed as its conditions say."""
    failed = next((condition for condition in conditions if not condition.passed), None)
    what = happened(outcome)
    if failed is None:
        return Verdict.PASSED, None, f"{what}, as expected."
    if outcome.failure in (Failure.PLATFORM, Failure.STOPPED, Failure.POLICY):
        return _judge_failure(outcome, outcome.failure)
    return Verdict.FAILED, Blame.TARGET, f"{what}, where {failed.text} was expected."


def happened(outcome: Outcome) -> str:
    if isinstance(outcome, CallOutcome):
        canceled = any(reached.state is CallState.CANCELED for reached in outcome.states)
        outgoing = outcome.direction is Direction.OUTGOING
        subject = f"The call {'to' if outgoing else 'of'} {far_end(outcome)}"
        if outcome.answered:
            return f"{subject} was answered"
        if canceled:
            return f"{subject} was canceled before an answer"
    elif isinstance(outcome, RegistrationOutcome):
        subject = f"The registration of {outcome.account or 'the account'}"
        if outcome.sip_code and outcome.sip_code < 300:
            return f"{subject} succeeded with {named_status(outcome.sip_code)}"
    else:
        subject = f"The {outcome.method} to {far_end(outcome)}"
        if outcome.sip_code and outcome.sip_code < 300:
            return f"{subject} was answered with {named_status(outcome.sip_code)}"
    if outcome.sip_code:
        return f"{subject} was refused with {named_status(outcome.sip_code, outcome.sip_reason)}"
    return f"{subject} got no answer" if outcome.failure is Failure.TIMEOUT else f"{subject} did not succeed"


def judge_registration(registration: RegistrationOutcome) -> Judgement:
    if registration.failure is not None:
        return _judge_failure(registration, registration.failure)
    code = registration.sip_code
    if code is None:
        return _timeout(registration)
    if code >= 300:
        return _refused(registration)
    took = f" in {milliseconds(registration.registered_ms)}" if registration.registered_ms is not None else ""
    what = f"{registration.account or 'The account'} registered at {far_end(registration)}{took}"
    refused = f" {registration.service_route_refused}" if registration.service_route_refused else ""
    return Verdict.PASSED, None, f"{what}.{refused}"


def judge_request(request: RequestOutcome) -> Judgement:
    """Any answer to an OPTIONS is alive (RFC 3261 section 11); other methods want a 2xx."""
    if request.method == "REFER":
        return _judge_transfer(request)
    if request.failure is not None and not (request.method == "OPTIONS" and request.sip_code):
        return _judge_failure(request, request.failure)
    code = request.sip_code
    if code is None:
        return _timeout(request)
    if code >= 300 and request.method != "OPTIONS":
        return _refused(request)
    took = f" in {milliseconds(request.round_trip_ms)}" if request.round_trip_ms is not None else ""
    if request.method == "SUBSCRIBE" and not request.notifies:
        reason = f"{far_end(request)} took the SUBSCRIBE with {named_status(code)}, and sent no NOTIFY."
        return Verdict.FAILED, Blame.TARGET, reason
    return (
        Verdict.PASSED,
        None,
        f"{far_end(request)} answered the {request.method} with {named_status(code)}{took}.",
    )


def _judge_transfer(refer: RequestOutcome) -> Judgement:
    """A transfer is done when the peer told a 2xx of its own INVITE (RFC 3515 section 2.4.5)."""
    to = _user_of(refer.refer_to)
    if refer.sip_code is None and refer.transfer_code is None and refer.failure is not None:
        if refer.failure in (Failure.NEVER_CAME, Failure.NO_ANSWER):
            spoken = Blame.TARGET if refer.failure is Failure.NO_ANSWER else Blame.TEST
            return Verdict.FAILED, spoken, f"The transfer to {to} never began{_detail(refer)}."
        return _judge_failure(refer, refer.failure)
    code = refer.sip_code
    if code is not None and code >= 300:
        return _refused(refer)
    who, told = far_end(refer), refer.transfer_code
    if told is None or told < 200:
        last = "" if told is None else f" after {named_status(told, refer.transfer_reason)}"
        reason = f"{who} took the REFER to {to}, and never told what became of it{last}."
        return Verdict.FAILED, Blame.TARGET, reason
    named = named_status(told, refer.transfer_reason)
    if told >= 300:
        blame = None if told in ABOUT_OURS else Blame.TARGET
        return Verdict.FAILED, blame, f"The transfer of {who} to {to} failed with {named}."
    took = f" within {milliseconds(refer.transfer_ms)}" if refer.transfer_ms is not None else ""
    return Verdict.PASSED, None, f"{who} was transferred to {to}{took}: {named}."


def judge_transfers(call: CallOutcome) -> Judgement | None:
    """The first transfer of a call that failed; None: each was done."""
    judged = (judge_request(transfer) for transfer in call.transfers)
    return next((found for found in judged if found[0] is not Verdict.PASSED), None)


def judge_run(
    calls: Sequence[CallOutcome],
    conditions: Sequence[ConditionOutcome],
    registrations: Sequence[RegistrationOutcome] = (),
    requests: Sequence[RequestOutcome] = (),
    *,
    unmet: Sequence[tuple[str, Blame | None]] = (),
    stopped: str | None = None,
    trouble: Judgement | None = None,
    loads: Sequence[LoadOutcome] = (),
) -> Judgement:
    """The verdict of a run whose parts are judged: canceled, then error, failed, invalid, passed.

    ``unmet`` holds, for each condition that does not hold, the sentence that says so and whom it speaks
    against; without it the condition's own text has to do. ``stopped`` is the sentence that says
    who stopped the run, and ``trouble`` is a judgement of something that is no call, such as a step that
    never got ready.
    """
    if stopped is not None:
        return Verdict.CANCELED, None, stopped
    parts: list[Judgement] = [trouble] if trouble else []
    placed_first = sorted(calls, key=lambda call: call.direction is Direction.INCOMING)
    everything: list[Outcome] = [*registrations, *placed_first, *requests]
    of_loads = sorted(loads, key=lambda load: load.role != "caller")
    # What the other side of a load found is worth no more than the load itself.
    of_loads = [load for load in of_loads if load.verdict == "invalid"] or of_loads
    parts += [
        (Verdict(load.verdict), Blame(load.blame) if load.blame else None, load.reason) for load in of_loads
    ]
    parts += [(part.verdict, part.blame, part.reason) for part in everything]
    for wanted in (Verdict.ERROR, Verdict.FAILED):
        of_them = [part for part in parts if part[0] is wanted]
        if of_them:
            verdict, blame, reason = of_them[0]
            several = sum(1 for call in calls if call.verdict is wanted)
            if several > 1 and len(calls) > 2:
                reason = f"{several} of {len(calls)} calls did not pass. The first: {reason}"
            return verdict, blame, reason
        if wanted is Verdict.ERROR:
            continue
        failed = [condition for condition in conditions if not condition.passed]
        if failed:
            return _unmet(unmet or [_plainly(condition) for condition in failed], calls)
    for wanted in (Verdict.INVALID, Verdict.CANCELED):
        for part in parts:
            if part[0] is wanted:
                return part
    if of_loads:
        return Verdict.PASSED, None, of_loads[0].reason
    return Verdict.PASSED, None, _all_well(calls, registrations, requests)


def _plainly(condition: ConditionOutcome) -> tuple[str, Blame | None]:
    seen = f"it was {condition.seen}" if condition.seen is not None else "there was nothing to see"
    return f"{condition.text} was asked for: {seen}.", Blame.TARGET


def _unmet(unmet: Sequence[tuple[str, Blame | None]], calls: Sequence[CallOutcome]) -> Judgement:
    (sentence, blame), others = unmet[0], len(unmet) - 1
    if others:
        sentence += f" {others} more conditions failed." if others > 1 else " One more condition failed."
    own = max((call.measurement.send_error_p99_ms or 0 for call in calls), default=0)
    if blame is Blame.NETWORK and own > OWN_ERROR_LIMIT_MS:
        return Verdict.INVALID, Blame.PLATFORM, f"{sentence} Our own sending was {own:.0f} ms late (p99)."
    return Verdict.FAILED, blame, sentence


def _all_well(
    calls: Sequence[CallOutcome],
    registrations: Sequence[RegistrationOutcome],
    requests: Sequence[RequestOutcome],
) -> str:
    outgoing = [call for call in calls if call.direction is Direction.OUTGOING]
    rated = [call.received.mos for call in calls if call.received.mos is not None]
    if len(outgoing) == 1 and outgoing[0].answered:
        call = outgoing[0]
        them = [leg for leg in calls if leg.direction is Direction.INCOMING and leg.party]
        caller, callee = name_of(call.party, "We"), name_of(them[0].party if them else None, far_end(call))
        if call.received.mos is not None and them and them[0].received.mos is not None:
            both = f"{caller} called {callee}, and both heard each other"
            rated_as = f"MOS {call.received.mos:.1f} and {them[0].received.mos:.1f}, {band(min(rated)).name}"
            return f"{both}: {rated_as}."
        return call.reason
    if len(outgoing) == 1:
        return outgoing[0].reason
    if outgoing:
        lowest = f"; the lowest MOS was {min(rated):.1f}, {band(min(rated)).name}" if rated else ""
        return f"All {len(outgoing)} calls went as they should{lowest}."
    if len(requests) + len(registrations) == 1:
        return requests[0].reason if requests else registrations[0].reason
    if requests or registrations:
        said = [f"{len(requests)} requests were answered"] if requests else []
        said += [f"{len(registrations)} registrations went as they should"] if registrations else []
        return f"{' and '.join(said)}."
    if calls:
        return calls[0].reason
    return "Every step was done; it placed no call."
