"""A call that a script has in its hand: wait for it, act in it, and read what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from callwright.outcome.call import CallOutcome, StateReached
from callwright.outcome.judgement import (
    MIN_HEARD,
    MIN_MOS,
    judge_call,
    judge_expected,
    judge_request,
    judge_transfers,
)
from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import CallState, Failure, Verdict
from callwright.phone.call import PhoneCall
from callwright.phone.phone import Phone as Softphone
from callwright.phone.plan import AnswerPlan, MediaPlan
from callwright.sip import events

__all__ = ["Invitation", "LiveCall"]


class LiveCall:
    """One call, in either direction. Every wait ends with the call, so a script never hangs on a failure:
    ``answered()`` is False then, and ``finished()`` says why."""

    def __init__(
        self,
        call: PhoneCall,
        *,
        min_mos: float = MIN_MOS,
        min_heard: float = MIN_HEARD,
        reject: int | None = None,
        phone: Softphone | None = None,
    ) -> None:
        self._call, self._reject, self._phone = call, reject, phone
        self._min_mos, self._min_heard = min_mos, min_heard
        self._news = asyncio.Event()
        call.listeners.append(lambda *_: self._news.set())
        call.finished.add_done_callback(lambda _: self._news.set())

    @property
    def state(self) -> CallState | None:
        """The latest state; None before the INVITE."""
        states = self._call.facts.states
        return states[-1].state if states else None

    def on_state(self, listener: Callable[[StateReached], None]) -> None:
        """Be told of each state as it is reached."""
        self._call.listeners.append(lambda _, state: listener(state))

    async def ringing(self, timeout: float | None = None) -> bool:
        """Wait for ringing or early media, or for the answer. False: it ended before, or time ran out."""
        early = {CallState.RINGING, CallState.EARLY_MEDIA, CallState.ANSWERED}
        return await self._until(lambda: any(s.state in early for s in self._call.facts.states), timeout)

    async def answered(self, timeout: float | None = None) -> bool:
        """Wait for the answer. False: it ended before, or time (seconds) ran out."""
        return await self._until(lambda: self._call.answered, timeout)

    async def talk(self, seconds: float) -> bool:
        """Let both sides speak so long. False: the call ended before."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._call.finished)
        except TimeoutError:
            return not self._call.over
        return False

    def send_digits(self, digits: str) -> None:
        """Send DTMF (RFC 4733)."""
        self._call.send_digits(digits)

    def hold(self) -> None:
        """Put the other side on hold with a re-INVITE."""
        self._call.hold()

    def resume(self) -> None:
        """Take the other side back from hold."""
        self._call.resume()

    async def transfer(self, to: str, *, consulted: LiveCall | None = None) -> RequestOutcome:
        """Send the other side to the URI ``to`` (REFER), or connect it with a call of this phone that was
        made for that, ``consulted`` (REFER with Replaces). The outcome comes once the other side told what
        became of it; hang up then. The policy is asked about ``to`` as about a call."""
        if self._phone is None:
            raise RuntimeError("This call belongs to no phone of a script.")
        replaces = consulted._call if consulted is not None else None
        outcome = await self._phone.transfer(self._call, to, replaces=replaces)
        return outcome.judged(*judge_request(outcome))

    def stop(self, why: str) -> None:
        """End it as not finished: the verdict is not the target's then."""
        self._call.hangup(Failure.STOPPED, why)

    async def hang_up(self) -> CallOutcome:
        """End the call with BYE or CANCEL; the outcome, as ``finished()``."""
        self._call.hangup()
        return await self.finished()

    async def ended(self) -> None:
        """Wait for the end."""
        await asyncio.shield(self._call.finished)

    async def finished(self) -> CallOutcome:
        """Wait for the end; verdict, blame, reason and every measurement of the call."""
        outcome = await asyncio.shield(self._call.finished)
        # Refusing was what was asked for, so a refused call is as expected.
        if self._reject is not None and outcome.sip_code == self._reject and not outcome.failure:
            return outcome.judged(*judge_expected(outcome, ()))
        judgement = judge_call(outcome, min_mos=self._min_mos, min_heard=self._min_heard)
        if judgement[0] is Verdict.PASSED:
            judgement = judge_transfers(outcome) or judgement
        return outcome.judged(*judgement)

    async def _until(self, reached: Callable[[], bool], timeout: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout):
                while not reached() and not self._call.finished.done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        return reached()


class Invitation:
    """A call that comes in and waits for what the script says."""

    def __init__(self, phone: Softphone, received: events.CallReceived) -> None:
        self._phone, self._received = phone, received

    @property
    def caller(self) -> str:
        """The URI of From."""
        return str(self._received.call.remote.uri)

    def answer(
        self,
        *,
        ring: float = 0.0,
        play: str = "speech",
        dtmf: str = "",
        record: Path | None = None,
        media: bool = True,
        talk_for: float | None = None,
        min_mos: float = MIN_MOS,
        min_heard: float = MIN_HEARD,
    ) -> LiveCall:
        """Ring for ``ring`` seconds, then answer; see ``Phone.call`` for the others."""
        plan = AnswerPlan(
            media=MediaPlan(voice="man", play=play, dtmf=dtmf, record=record, enabled=media),
            answer_after=ring,
            talk_for=talk_for,
        )
        taken = self._phone.take(self._received, plan)
        return LiveCall(taken, min_mos=min_mos, min_heard=min_heard, phone=self._phone)

    def reject(self, status: int = 486, reason: str | None = None) -> LiveCall:
        """Refuse with a SIP status from 300 to 699."""
        plan = AnswerPlan(ring_after=-1.0, reject=status, reject_reason=reason)
        return LiveCall(self._phone.take(self._received, plan), reject=status)
