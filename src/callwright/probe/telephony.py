"""Probes that are a telephone: a real call with media, and a registration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from callwright.net.clock import Clock, SystemClock
from callwright.net.tap import Tap
from callwright.outcome.call import CallOutcome, StreamOutcome
from callwright.outcome.judgement import MIN_HEARD, judge_call, judge_registration
from callwright.outcome.request import RegistrationOutcome
from callwright.outcome.terms import Failure, Verdict
from callwright.phone.guard import Guard
from callwright.phone.intent import Gate
from callwright.phone.permission import Permission
from callwright.phone.phone import LINGER, Phone
from callwright.phone.plan import Account, CallPlan, MediaPlan, PhoneConfig
from callwright.probe.result import DirectionResult, ProbeResult, State

_REGISTER_SECONDS = 32.0  # Timer F, RFC 3261 section 17.1.2.2
_SEND_ERROR_MS = 20.0
"""Our own packets may leave so late before a call says nothing about the network: one packet's time."""
_RINGING = 30.0


@dataclass(frozen=True, slots=True)
class Telephone:
    """`stop`: ends what is on. `guard` keeps what ends the calls though this process is killed. `taps` see
    every packet."""

    config: PhoneConfig
    permission: Permission
    guard: Guard | None = None
    gate: Gate | None = None
    clock: Clock | None = None
    stop: asyncio.Event | None = None
    taps: Sequence[Tap] = ()

    async def call(
        self, uri: str, *, seconds: float, account: Account | None = None, min_mos: float = 1.0
    ) -> ProbeResult:
        """Speech there, and what comes back measured here; the way there by the far end's RTCP. Raises
        SipSyntaxError."""
        plan = CallPlan(
            destination=uri,
            media=MediaPlan(play="speech"),
            account=account,
            talk_for=seconds,
            ring_for=_RINGING,
        )
        phone = self._phone()
        try:
            placed = phone.call(plan)
            stopped = await self._either(placed.finished)
            if stopped:
                placed.hangup()
            outcome = await placed.finished
        finally:
            if phone.calls:
                await phone.hang_up_all()
            await phone.close(linger=LINGER)
        verdict, blame, reason = judge_call(outcome, min_mos=min_mos, min_heard=MIN_HEARD)
        return of_call(outcome.judged(verdict, blame, reason), uri, stopped=stopped)

    async def register(self, registrar: str, account: Account, domain: str | None = None) -> ProbeResult:
        """Registers, and takes the binding back. Raises SipSyntaxError."""
        phone = self._phone()
        try:
            registration = phone.register(registrar, account=account, domain=domain, expires=60)
            stopped = await self._either(registration.first, _REGISTER_SECONDS)
            if stopped or not registration.first.done():
                registration.abandon()
            if registration.registered:
                await registration.unregister()
            outcome = registration.outcome()
        finally:
            await phone.close()
        return of_registration(outcome.judged(*judge_registration(outcome)), registrar)

    def _phone(self) -> Phone:
        return Phone(
            self.config,
            permission=self.permission,
            guard=self.guard,
            gate=self.gate,
            clock=self.clock or SystemClock(),
            taps=self.taps,
        )

    async def _either(self, wanted: asyncio.Future[Any], seconds: float | None = None) -> bool:
        """Whether it was stopped first."""
        stopped: asyncio.Future[Any] = asyncio.ensure_future((self.stop or asyncio.Event()).wait())
        try:
            await asyncio.wait([stopped, wanted], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return stopped.done() and not wanted.done()
        finally:
            stopped.cancel()


def of_call(outcome: CallOutcome, uri: str, *, stopped: bool = False) -> ProbeResult:
    """A judged call as a measurement."""
    received, sent = outcome.received, outcome.sent
    late = outcome.measurement.send_error_p99_ms
    failed = outcome.verdict not in (Verdict.PASSED, Verdict.INVALID)
    result = ProbeResult(
        kind="call",
        target=uri,
        address=outcome.peer,
        state=State.FAILED if failed else State.DONE,
        verdict=outcome.verdict,
        blame=outcome.blame,
        reason=outcome.reason,
        started_at=outcome.started_at,
        sent=outcome.measurement.packets_scheduled,
        received=received.packets,
        lost=received.lost,
        loss_pct=received.loss_pct,
        late=received.late,
        duplicated=received.duplicated,
        reordered=received.reordered,
        rtt_ms=outcome.rtt_ms,
        jitter_ms=received.jitter_ms,
        burst_ratio=received.burst_ratio,
        r_factor=received.r_factor,
        mos=received.mos,
        codec=outcome.codec,
        error_ms=outcome.measurement.send_error_max_ms,
        out=_direction(sent),
        back=_direction(received),
        sip_code=outcome.sip_code,
        sip_reason=outcome.sip_reason,
        user_agent=outcome.user_agent,
        setup_ms=outcome.setup_ms,
        failure=outcome.failure.value if outcome.failure else None,
    )
    if stopped:
        return replace(result, verdict=Verdict.CANCELED, blame=None)
    if late is not None and late > _SEND_ERROR_MS and not failed:
        reason = f"This machine was too busy: its own packets left up to {late:.0f} ms late."
        return replace(result, verdict=Verdict.INVALID, reason=reason, mos=None, r_factor=None)
    return result


def of_registration(outcome: RegistrationOutcome, registrar: str) -> ProbeResult:
    """A judged registration as a measurement: `setup_ms` is the first REGISTER to its 200."""
    passed = outcome.verdict is Verdict.PASSED
    stopped = outcome.failure is Failure.STOPPED
    return ProbeResult(
        kind="register",
        target=registrar,
        address=outcome.peer,
        state=State.DONE if passed else State.FAILED,
        verdict=Verdict.CANCELED if stopped else outcome.verdict,
        blame=outcome.blame,
        reason=outcome.reason,
        started_at=outcome.started_at,
        sip_code=outcome.sip_code,
        sip_reason=outcome.sip_reason,
        user_agent=outcome.user_agent,
        setup_ms=outcome.registered_ms,
        failure=outcome.failure.value if outcome.failure else None,
    )


def _direction(found: StreamOutcome) -> DirectionResult | None:
    """None where nobody measured it."""
    if found.packets is None and found.lost is None and found.mos is None:
        return None
    due = None if found.packets is None or found.lost is None else found.packets + found.lost
    return DirectionResult(
        sent=due,
        received=found.packets,
        lost=found.lost,
        loss_pct=found.loss_pct,
        late=found.late,
        duplicated=found.duplicated,
        reordered=found.reordered,
        jitter_ms=found.jitter_ms,
        burst_ratio=found.burst_ratio,
        r_factor=found.r_factor,
        mos=found.mos,
    )
