"""The phone as transferor (RFC 5589): when it refers, whom it consults before, and what it hangs up after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from callwright.net.driver import BindFailed
from callwright.net.resolver import ResolutionFailed
from callwright.net.tls import TlsConfigurationError
from callwright.outcome.call import StateReached
from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import CallState, Failure
from callwright.phone.addressing import as_uri, proxy_of
from callwright.phone.call import PhoneCall
from callwright.phone.failures import failure_to_locate
from callwright.phone.permission import NotPermitted
from callwright.phone.plan import CallPlan, TransferPlan
from callwright.phone.referred import follower
from callwright.phone.router import Router
from callwright.phone.transfer import PhoneTransfer
from callwright.sip.refer import ReferTo
from callwright.sip.uri import Uri


class Transferor:
    """Carries one TransferPlan out. `place` makes the call to consult."""

    def __init__(
        self,
        call: PhoneCall,
        plan: TransferPlan,
        router: Router,
        place: Callable[[CallPlan], PhoneCall],
    ) -> None:
        self._call, self._plan, self._router, self._place = call, plan, router, place
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From the answer of the call on; what becomes of it is in the call's outcome."""
        self._work = asyncio.create_task(self._carry_out())
        self._call.finished.add_done_callback(lambda _: self._work.cancel() if self._work else None)

    async def refer(
        self, replaces: PhoneCall | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> RequestOutcome:
        """Send the REFER now, and wait for what becomes of it."""
        refused = None if replaces is not None else await self._refusal()
        if refused is not None:
            return self._failed(*refused)
        to = as_uri(self._plan.to)
        return await asyncio.shield(self._call.transfer(to, replaces=replaces, headers=headers).finished)

    async def _carry_out(self) -> None:
        call, plan = self._call, self._plan
        if not await _answered(call):
            return
        await asyncio.sleep(plan.after)
        if plan.consult is None:
            if _done(await self.refer()) and plan.hang_up:
                call.hangup()
            return
        call.hold()
        consulted = replace(follower(call, as_uri(plan.to)), talk_for=None)
        second = self._place(consulted)
        try:
            if await _answered(second):
                await asyncio.sleep(plan.consult)
                if _done(await self.refer(second)):
                    if plan.hang_up:
                        call.hangup()
                    return
            else:
                outcome = await asyncio.shield(second.finished)
                said = f"{outcome.sip_code} {outcome.sip_reason or ''}".rstrip()
                self._failed(Failure.NO_ANSWER, said if outcome.sip_code else outcome.failure_detail)
            call.resume()
        finally:
            second.hangup()

    async def _refusal(self) -> tuple[Failure, str] | None:
        """Why the peer may not be sent there: nothing is asked of others that we may not do ourselves."""
        try:
            await self._router.way(Uri.parse(as_uri(self._plan.to)), proxy_of(self._call.plan.proxy))
        except NotPermitted as refused:
            return Failure.POLICY, str(refused)
        except ResolutionFailed as error:
            return failure_to_locate(error)
        except (BindFailed, TlsConfigurationError) as error:
            return Failure.PLATFORM, str(error)
        return None

    def _failed(self, failure: Failure, detail: str | None) -> RequestOutcome:
        call = self._call
        to = ReferTo(Uri.parse(as_uri(self._plan.to)))
        never = PhoneTransfer(call.line, to, identifier=call.identifier, party=call.party)
        never.fail(failure, detail)
        outcome = never.finished.result()
        call.facts.transfers.append(outcome)
        return outcome


def _done(transfer: RequestOutcome) -> bool:
    code = transfer.transfer_code
    return code is not None and 200 <= code < 300


async def _answered(call: PhoneCall) -> bool:
    """Wait for the answer; False: it ended before."""
    if call.answered:
        return not call.over
    news = asyncio.Event()

    def reached(_: PhoneCall, state: StateReached) -> None:
        if state.state is CallState.CONFIRMED:
            news.set()

    call.listeners.append(reached)
    call.finished.add_done_callback(lambda _: news.set())
    await news.wait()
    return not call.over
