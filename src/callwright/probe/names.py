"""A probe of DNS: what a SIP domain's records are, how long they took, and whether they changed."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

from callwright.net.clock import Clock
from callwright.net.records import NoRecords, sip_records
from callwright.outcome.terms import Blame, Verdict
from callwright.probe.result import ProbeResult, State

Lookup = Callable[[str], Awaitable[tuple[str, ...]]]


def fingerprint(answers: tuple[str, ...]) -> str:
    """The same for the same records, whatever their order: two that differ are a change."""
    return hashlib.sha256("\n".join(sorted(answers)).encode()).hexdigest()[:16]


async def look_up(name: str, clock: Clock, lookup: Lookup = sip_records) -> ProbeResult:
    """`answers` and their `fingerprint`; `rtt_ms`: until the last of them came."""
    begun = ProbeResult(kind="dns", target=name, started_at=clock.wall())
    started = clock.now()
    try:
        answers = await lookup(name)
    except NoRecords as error:
        return replace(begun, verdict=Verdict.FAILED, blame=Blame.TARGET, reason=str(error))
    took = (clock.now() - started) * 1000
    if not any(answer.startswith(("A ", "AAAA ", "SRV ")) for answer in answers):
        reason = f"{name} has neither an address nor a SIP service in DNS."
        return replace(begun, verdict=Verdict.FAILED, blame=Blame.TARGET, reason=reason, rtt_ms=took)
    return replace(
        begun,
        state=State.DONE,
        verdict=Verdict.PASSED,
        blame=None,
        reason=f"{len(answers)} {'record' if len(answers) == 1 else 'records'} in {took:.0f} ms.",
        rtt_ms=took,
        answers=answers,
        fingerprint=fingerprint(answers),
    )


def compared(result: ProbeResult, before: tuple[str, ...]) -> ProbeResult:
    """The same, with whether the records are others than `before`, and which. It is still a pass: somebody
    may have meant it."""
    if result.state is not State.DONE:
        return result
    new, gone = sorted(set(result.answers) - set(before)), sorted(set(before) - set(result.answers))
    if not new and not gone:
        return replace(result, changed=False)
    said = [f"new: {', '.join(new)}"] if new else []
    said += [f"gone: {', '.join(gone)}"] if gone else []
    return replace(result, changed=True, reason=f"The records changed ({'; '.join(said)}).")


def expected(result: ProbeResult, wanted: str | None) -> ProbeResult:
    """The same, failed where the records have another fingerprint than `wanted`."""
    if wanted is None or result.verdict is not Verdict.PASSED or result.fingerprint == wanted:
        return result
    reason = f"The records changed: their fingerprint is {result.fingerprint}, not {wanted}."
    return replace(result, verdict=Verdict.FAILED, blame=Blame.TARGET, reason=reason, changed=True)
