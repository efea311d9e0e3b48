"""A condition that does not hold: what happened, what was asked for, and whom it speaks against."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from callwright.outcome.call import CallOutcome
from callwright.outcome.judgement import far_end, happened, milliseconds, name_of
from callwright.outcome.proof import NEARLY_ALL, other_end, sent_silence
from callwright.outcome.request import RegistrationOutcome
from callwright.outcome.run import ConditionOutcome
from callwright.outcome.terms import Blame, Direction, EndedBy, Verdict
from callwright.quality.bands import band
from callwright.scenario.condition import Condition, Subject
from callwright.sip.status import named_status

_Words = Callable[[Subject, str], str]

_SAME_SHARE = 5.0  # percent: two ends that differ by less have measured the same
_OF_THE_SOUND = frozenset({"silence", "heard", "level"})
_OF_THE_GAPS = frozenset({"heard_pct", "longest_gap", "dtx"})
_OF_THE_END = frozenset({"duration", "ended_by"})
_SEVERAL = re.compile(r"^(?P<first>.*) \((?P<failed>\d+) of (?P<all>\d+) failed\)$")


def unmet_sentence(condition: Condition, found: ConditionOutcome, subject: Subject | None) -> str:
    """`found` did not hold for `subject`; None: there was nothing that it concerned.

    "Bob heard 4101 at MOS 3.2, Fair, where at least 4.0 was asked for (2 of 3 calls)."
    """
    asked = _asked(condition)
    if condition.metric.kind == "count":
        return f"There were {found.seen or 0} calls, {asked}."
    if subject is None:
        return f"There was no call to look at, {asked}."
    seen, several = found.seen, ""
    if seen is not None and (match := _SEVERAL.match(seen)):
        seen = match["first"]
        several = f" ({match['failed']} of {match['all']} calls)"
    if seen is None or seen == "nothing":
        return f"{_nothing(condition, subject)}, {asked}{several}."
    words = _WORDS.get(condition.metric.name)
    told = words(subject, seen) if words is not None else f"The {condition.metric.name} was {seen}"
    if condition.metric.kind == "header":
        told = f"The {condition.header} header{_of(condition)} was {seen}"
    return f"{told}, {asked}{several}."


def _asked(condition: Condition) -> str:
    """`where at least 4.0 was asked for`"""
    operator = condition.operator
    wanted = condition.expected.removeprefix(operator).strip()
    if condition.metric.name == "states":
        wanted = wanted.strip("[]")
    unit = condition.metric.unit
    if unit and not wanted.endswith((unit.strip(), "s")):  # a time is written with its own
        wanted += unit
    return {
        ">=": f"where at least {wanted} was asked for",
        ">": f"where more than {wanted} was asked for",
        "<=": f"where at most {wanted} was asked for",
        "<": f"where less than {wanted} was asked for",
        "!=": f"where anything but {wanted} was expected",
        "in": f"where one of {wanted.strip('[]')} was expected",
        "not in": f"where none of {wanted.strip('[]')} was expected",
        "~": f"where a match of {wanted} was expected",
        "!~": f"where no match of {wanted} was expected",
        "present": "where one was expected",
        "absent": "where none was expected",
        "ordered": f"where {wanted} in this order was expected",
        "has": f"where {wanted} was expected",
        "lacks": f"where no {wanted} was expected",
    }.get(operator, f"where {wanted} was expected")


def _of(condition: Condition) -> str:
    return f" of {condition.message}" if condition.message else ""


def _nothing(condition: Condition, subject: Subject) -> str:
    """There was nothing to compare: what the call itself came to comes first."""
    if condition.metric.kind == "header":
        return f"No {condition.header} header{_of(condition)} came"
    about_tls = condition.metric.name.startswith("tls.")
    if (isinstance(subject, CallOutcome) and not subject.answered) or (about_tls and subject.failure):
        return happened(subject)
    peer = far_end(subject)
    plain = {
        "dtmf": f"{_us(subject)} received no digits",
        "dtmf_event": f"{_us(subject)} received no digits by telephone-event",
        "dtmf_info": f"{_us(subject)} received no digits by INFO",
        "dtmf_inband": f"{_us(subject)} heard no digits in the audio",
        "caller_id": f"{_us(subject)} saw no number of the caller",
        "caller_name": f"{_us(subject)} saw no name of the caller",
        "user_agent": f"{far_end(subject)} did not say what software it is",
        "session_expires": f"{_call(subject)} had no session timer",
        "mos": f"What {_us(subject)} heard could not be rated",
        **dict.fromkeys(
            ("tls.version", "tls.cipher", "tls.trusted"),
            f"The signalling with {peer} went without TLS",
        ),
        **dict.fromkeys(
            ("tls.days_left", "tls.subject", "tls.issuer", "tls.names"),
            f"{peer} showed no certificate",
        ),
    }
    return plain.get(condition.metric.name, f"There is no figure for this: {condition.metric.help}")


def _us(subject: Subject) -> str:
    return name_of(subject.party, "We")


def _them(subject: Subject) -> str:
    return far_end(subject)


def _call(subject: Subject) -> str:
    outgoing = not isinstance(subject, CallOutcome) or subject.direction is Direction.OUTGOING
    return f"The call {'to' if outgoing else 'of'} {far_end(subject)}"


def _time(seen: str) -> str:
    """Milliseconds of a condition as people say them."""
    match = re.fullmatch(r"([\d.e+-]+) ms", seen)
    return milliseconds(float(match[1])) if match and float(match[1]) >= 1000 else seen


def _band_of(seen: str) -> str:
    try:
        return f"{seen}, {band(float(seen)).name}"
    except ValueError:
        return seen


def _code(subject: Subject, seen: str) -> str:
    if subject.sip_code is not None and 200 <= subject.sip_code < 300:
        method = "call" if isinstance(subject, CallOutcome) else "request"
        if isinstance(subject, RegistrationOutcome):
            method = "registration"
        return f"The {method} was answered with {named_status(subject.sip_code, subject.sip_reason)}"
    return happened(subject)


def _expires(days: str) -> str:
    return f"expired {days[1:]} days ago" if days.startswith("-") else f"expires in {days} days"


_TRUSTED = {"yes": "checked and good", "no": "not checked"}
_ENDERS = {"local": "our side", "remote": "", "network": "the network", "platform": "Callwright itself"}
_WORDS: dict[str, _Words] = {
    "mos": lambda s, v: f"{_us(s)} heard {_them(s)} at MOS {_band_of(v)}",
    "sent.mos": lambda s, v: f"{_them(s)} heard {_us(s)} at MOS {_band_of(v)}",
    "r": lambda s, v: f"{_us(s)} heard {_them(s)} at an R factor of {v}",
    "loss": lambda s, v: f"{v} of the packets to {_us(s)} were lost",
    "sent.loss": lambda s, v: f"{v} of the packets of {_us(s)} were lost",
    "discarded": lambda s, v: f"{v} packets to {_us(s)} came too late for the jitter buffer",
    "burst_ratio": lambda s, v: f"The loss to {_us(s)} had a burst ratio of {v}",
    "jitter": lambda s, v: f"The jitter of the audio to {_us(s)} was {v}",
    "max_jitter": lambda s, v: f"The jitter of the audio to {_us(s)} reached {v}",
    "rtt": lambda s, v: f"The round trip of the audio to {_them(s)} took {_time(v)}",
    "packets": lambda s, v: f"{_us(s)} received {v} packets of audio",
    "sent.packets": lambda s, v: f"{_us(s)} sent {v} packets of audio",
    "silence": lambda s, v: f"{v} of what {_us(s)} heard of {_them(s)} was silence",
    "heard": lambda s, v: f"{v} of what {_us(s)} heard of {_them(s)} was sound",
    "heard_pct": lambda s, v: f"Audio of {_them(s)} came to {_us(s)} for {v} of the time",
    "dtx": lambda s, v: f"{_them(s)} left out {v} of the audio to {_us(s)} on purpose",
    "longest_gap": lambda s, v: f"No audio came to {_us(s)} for {_time(v)}",
    "clipping": lambda s, v: f"{v} of what {_us(s)} heard of {_them(s)} was clipped",
    "level": lambda s, v: f"{_us(s)} heard {_them(s)} at a level of {v}",
    "pdd": lambda s, v: f"{_call(s)} rang after {_time(v)}",
    "setup": lambda s, v: f"{_call(s)} was answered after {_time(v)}",
    "duration": lambda s, v: f"{_call(s)} lasted {_time(v)}",
    "code": _code,
    "codec": lambda s, v: f"{_call(s)} used {v}",
    "dtmf": lambda s, v: f"{_us(s)} received the digits {v}",
    "dtmf_event": lambda s, v: f"{_us(s)} received the digits {v} by telephone-event",
    "dtmf_info": lambda s, v: f"{_us(s)} received the digits {v} by INFO",
    "dtmf_inband": lambda s, v: f"{_us(s)} heard the digits {v} in the audio",
    "caller_id": lambda s, v: f"{_us(s)} saw {v} as the caller",
    "caller_name": lambda s, v: f"{_us(s)} saw {v} as the caller's name",
    "user_agent": lambda s, v: f"{_them(s)} says that it is {v}",
    "tls.version": lambda s, v: f"{_them(s)} agreed on {v}",
    "tls.cipher": lambda s, v: f"{_them(s)} agreed on the cipher {v}",
    "tls.trusted": lambda s, v: f"The certificate of {_them(s)} was {_TRUSTED[v]}",
    "tls.days_left": lambda s, v: f"The certificate of {_them(s)} {_expires(v)}",
    "tls.subject": lambda s, v: f"The certificate of {_them(s)} is for {v}",
    "tls.issuer": lambda s, v: f"The certificate of {_them(s)} was issued by {v}",
    "tls.names": lambda s, v: f"The certificate of {_them(s)} names {v}",
    "early_media": lambda s, v: f"{'Audio' if v == 'yes' else 'No audio'} came to {_us(s)} before the answer",
    "reliable_provisionals": lambda s, v: f"{_call(s)} had {v} provisional responses with a PRACK",
    "updates": lambda s, v: f"{_call(s)} had {v} accepted UPDATEs",
    "session_expires": lambda s, v: f"{_call(s)} had a session timer of {v} s",
    "session_refreshes": lambda s, v: f"{_call(s)} had its session refreshed {v} times",
    "ended_by": lambda s, v: f"{_call(s)} was ended by {_ENDERS.get(v, v) or _them(s)}",
    "failure": lambda s, _: happened(s),
    "verdict": lambda s, v: s.reason.rstrip(".") or f"The verdict was {v}",
    "blame": lambda s, v: f"The {v} is to blame",
    "states": lambda s, v: f"{_call(s)} went through {v}",
    "registered": lambda s, v: f"{happened(s)} after {_time(v)}",
    "expires": lambda s, v: f"{_them(s)} granted the registration for {v} s",
    "refreshes": lambda s, v: f"The registration was refreshed {v} times",
    "round_trip": lambda s, v: f"{_them(s)} answered after {_time(v)}",
    "allow": lambda s, v: f"{_them(s)} allows {v}",
}


def blame_of(
    condition: Condition, found: ConditionOutcome, subject: Subject | None, calls: Sequence[CallOutcome]
) -> Blame | None:
    """Whom an unmet condition speaks against; None: nothing that was measured tells."""
    if subject is None:
        return None
    if subject.verdict is Verdict.FAILED:
        return subject.blame
    if condition.metric.name.startswith("tls.") and subject.tls is None:
        return Blame.TEST  # it chose another transport
    if not isinstance(subject, CallOutcome):
        return condition.blame
    other, metric = other_end(subject, calls), condition.metric.name
    if metric in _OF_THE_END and EndedBy.LOCAL in (subject.ended_by, other.ended_by if other else None):
        return Blame.TEST
    if metric in _OF_THE_SOUND:
        return _blame_for_sound(subject, other)
    if other is None:
        return condition.blame
    if metric in _OF_THE_GAPS:
        sent, came = other.sent.packets, subject.received.packets
        whole = sent is not None and came is not None and came >= NEARLY_ALL * sent
        return Blame.TEST if whole else condition.blame
    if metric == "dtmf" and (other.dtmf_sent or "") == (subject.received.dtmf or ""):
        return Blame.TEST
    if metric == "code" and other.sip_code == subject.sip_code:
        return Blame.TEST
    if metric == "codec" and other.codec == subject.codec:
        return None  # our own phone chose it, from what the target passed on
    return condition.blame


def _blame_for_sound(call: CallOutcome, other: CallOutcome | None) -> Blame | None:
    heard, sent = call.received.silence_pct, other.sent_silence_pct if other else None
    if other is None:
        return None if sent_silence(call) else Blame.TARGET
    if heard is None or sent is None:
        return None
    return Blame.TEST if abs(heard - sent) < _SAME_SHARE else Blame.TARGET
