"""junit.xml: a run as build servers read it. One testsuite, one testcase for each condition and each call."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from callwright.evidence.naming import named_calls
from callwright.evidence.redaction import Redactor
from callwright.evidence.shown import shown
from callwright.outcome.plain import utc_text
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Verdict

_ELEMENT = {
    Verdict.FAILED: "failure",
    Verdict.ERROR: "error",
    Verdict.INVALID: "error",
    Verdict.CANCELED: "skipped",
}


def render_junit(outcome: RunOutcome, redactor: Redactor | None = None) -> str:
    """The document, with its XML declaration. Nothing in it can break XML: see `shown`."""
    redactor = redactor if redactor is not None else Redactor()
    outcome = RunOutcome.from_json(redactor.document(outcome.to_json()))
    name = shown(outcome.name or outcome.title or "callwright")
    root = Element("testsuites", name="callwright")
    suite = SubElement(root, "testsuite", name=name)
    if outcome.started_at is not None:
        suite.set("timestamp", (utc_text(outcome.started_at) or "")[:19])
    _properties(suite, outcome)
    counts = {"tests": 0, "failure": 0, "error": 0, "skipped": 0}
    for case, verdict, message, kind in _cases(outcome, name):
        suite.append(case)
        counts["tests"] += 1
        if outcome.verdict is Verdict.PASSED and verdict is Verdict.FAILED:
            verdict = Verdict.CANCELED  # of a check that is no KO: the run passed all the same
        element = _ELEMENT.get(verdict)
        if element is not None:
            counts[element] += 1
            problem = SubElement(case, element, {"message": shown(message)})
            if element != "skipped":
                problem.set("type", shown(kind))
            problem.text = shown(message)
    seconds = f"{(outcome.duration_ms or 0.0) / 1000:.3f}"
    for level in (suite, root):
        level.set("tests", str(counts["tests"]))
        level.set("failures", str(counts["failure"]))
        level.set("errors", str(counts["error"]))
        level.set("time", seconds)
    suite.set("skipped", str(counts["skipped"]))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _properties(suite: Element, outcome: RunOutcome) -> None:
    facts = {
        "verdict": outcome.verdict.value,
        "blame": outcome.blame.value if outcome.blame is not None else "",
        "reason": outcome.reason,
        "run": outcome.id,
        "callwright": outcome.version,
        **{f"parameter.{key}": value for key, value in outcome.parameters.items()},
        **{f"evidence.{key}": value for key, value in outcome.evidence.items()},
    }
    properties = SubElement(suite, "properties")
    for key, value in facts.items():
        if value:
            SubElement(properties, "property", name=shown(key), value=shown(str(value)))


Case = tuple[Element, Verdict, str, str]


def _cases(outcome: RunOutcome, suite: str) -> Iterator[Case]:
    """Element, verdict, message and type. A run that has no part to blame stands for itself."""
    parts = 0
    calls = dict(zip((call.id for call in outcome.calls), named_calls(outcome), strict=True))
    for condition in outcome.conditions:
        parts += 1
        where = condition.address or (calls[condition.call][0] if condition.call in calls else "end")
        case = Element(
            "testcase", classname=shown(f"{suite}.{where}"), name=shown(condition.text), time="0.000"
        )
        seen = "nothing to look at" if condition.seen is None else condition.seen
        message = f"{condition.text}: expected {condition.expected}, seen {seen}"
        yield case, Verdict.PASSED if condition.passed else Verdict.FAILED, message, "condition"
    for check in outcome.checks:
        verdict = {True: Verdict.PASSED, False: Verdict.FAILED, None: Verdict.INVALID}[check.passed]
        yield _case(suite, "checks", f"{check.level}: {check.title}", None), verdict, check.seen, check.level
    for name, call in calls.values():
        parts += 1
        title = f"call {name} {call.direction.value} {call.destination or call.remote or ''}".strip()
        yield (
            _case(suite, call.address, title, call.duration_ms),
            call.verdict,
            call.reason,
            _kind(call.blame),
        )
    for registration in outcome.registrations:
        parts += 1
        title = f"register {registration.account or registration.party or ''}".strip()
        case = _case(suite, registration.address, title, registration.registered_ms)
        yield case, registration.verdict, registration.reason, _kind(registration.blame)
    for request in outcome.requests:
        parts += 1
        title = f"{request.method} {request.target or ''}".strip()
        case = _case(suite, request.address, title, request.round_trip_ms)
        yield case, request.verdict, request.reason, _kind(request.blame)
    for load in outcome.loads:
        parts += 1
        title = f"load {load.role} {load.party or ''}: {load.attempted} calls"
        blame = Blame(load.blame) if load.blame else None
        yield (
            _case(suite, load.address, title, load.duration_ms),
            Verdict(load.verdict),
            load.reason,
            _kind(blame),
        )
    verdicts = [call.verdict for call in outcome.calls]
    verdicts += [Verdict(load.verdict) for load in outcome.loads]
    verdicts += [registration.verdict for registration in outcome.registrations]
    verdicts += [request.verdict for request in outcome.requests]
    told = any(v is not Verdict.PASSED for v in verdicts) or not all(c.passed for c in outcome.conditions)
    if not parts or (outcome.verdict is not Verdict.PASSED and not told):
        yield (
            _case(suite, None, "run", outcome.duration_ms),
            outcome.verdict,
            outcome.reason,
            _kind(outcome.blame),
        )


def _case(suite: str, address: str | None, title: str, milliseconds: float | None) -> Element:
    return Element(
        "testcase",
        classname=shown(f"{suite}.{address}" if address else suite),
        name=shown(title),
        time=f"{(milliseconds or 0.0) / 1000:.3f}",
    )


def _kind(blame: Blame | None) -> str:
    return blame.value if blame is not None else "unknown"
