"""The phone as transferee (RFC 5589): REFERs of peers, the calls that come of them, and what is told of it.

The policy decides about the target as about any destination of ours; a REFER to what it forbids is refused
with 403, and the call remarks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from callwright.net.driver import BindFailed
from callwright.net.resolver import ResolutionFailed
from callwright.net.tls import TlsConfigurationError
from callwright.outcome.call import CallOutcome, StateReached
from callwright.outcome.terms import CallState
from callwright.phone.addressing import proxy_of
from callwright.phone.call import PhoneCall
from callwright.phone.line import PhoneLine
from callwright.phone.permission import NotPermitted
from callwright.phone.plan import AnswerPlan, CallPlan
from callwright.phone.router import Router
from callwright.sip import events
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.refer import FRAGMENT, ReferTo, fragment
from callwright.sip.subscription import Subscription
from callwright.sip.uri import NameAddr

_MOST = 5  # transfers of one call
_DECLINED = "Decline (transfers are not followed)"


class Referred:
    """Follows the REFERs of peers where the plan of the call says so, one at a time for each call."""

    def __init__(
        self, line: PhoneLine, router: Router, place: Callable[[PhoneCall, CallPlan], PhoneCall]
    ) -> None:
        self._line, self._router, self._place = line, router, place
        self._under_way: set[PhoneCall] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, call: PhoneCall, event: events.RequestReceived) -> None:
        """A REFER within a call."""
        if not call.plan.transfers:
            self._refuse(event, 603, _DECLINED)
            call.facts.remark(
                "The peer asked us to call somebody else (REFER): declined, as nobody said yes."
            )
            return
        if not call.answered or call.over:
            self._refuse(event, 480)
            return
        if call in self._under_way:
            self._refuse(event, 491)
            return
        if call.referred >= _MOST:
            self._refuse(event, 603, "Decline (too many transfers of one call)")
            return
        try:
            wanted = ReferTo.of(event.request.headers)
        except SipSyntaxError as error:
            self._refuse(event, 400, "Bad Request (Refer-To)")
            call.facts.remark(f"The peer's REFER could not be used: {error.reason}.")
            return
        self._under_way.add(call)
        call.referred += 1
        task = asyncio.create_task(self._follow(call, event, wanted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def refreshed(self, event: events.SubscriptionRefreshed) -> None:
        """Who referred us asks anew what became of it, or does not want to know."""
        told = event.subscription.user_data
        if isinstance(told, _Told):
            told.repeat(event.at)
        else:
            event.subscription.notify(b"", None, now=event.at, ended="noresource")

    async def _follow(self, call: PhoneCall, event: events.RequestReceived, wanted: ReferTo) -> None:
        plan = follower(call, str(wanted.target), event.request.headers.get("referred-by"), wanted)
        try:
            await self._router.way(wanted.target, proxy_of(plan.proxy))
        except NotPermitted as refused:
            self._refuse(event, 403)
            call.facts.remark(f"The peer asked us to call {wanted.target} (REFER): refused. {refused}")
        except (ResolutionFailed, BindFailed, TlsConfigurationError) as error:
            self._refuse(event, 404)
            call.facts.remark(f"The peer asked us to call {wanted.target} (REFER), which has no way: {error}")
        else:
            self._call(call, event, plan)
            return
        self._under_way.discard(call)
        self._line.drain()

    def _call(self, call: PhoneCall, event: events.RequestReceived, plan: CallPlan) -> None:
        now = self._line.now()
        subscription = None
        if call.sip is not None:
            subscription = self._line.endpoint.accept_refer(event.transaction, call.sip, now=now)
        told = _Told(self._line, subscription)
        told.tell(100)
        made = self._place(call, plan)

        def reached(_: PhoneCall, state: StateReached) -> None:
            if state.state in (CallState.RINGING, CallState.EARLY_MEDIA) and state.code is not None:
                told.tell(state.code)
            elif state.state is CallState.ANSWERED:
                told.tell(state.code or 200)

        def finished(done: asyncio.Future[CallOutcome]) -> None:
            self._under_way.discard(call)
            outcome = done.result()
            told.tell(outcome.sip_code if outcome.sip_code and outcome.sip_code >= 200 else 503)

        made.listeners.append(reached)
        made.finished.add_done_callback(finished)
        self._line.drain()

    def _refuse(self, event: events.RequestReceived, status: int, reason: str | None = None) -> None:
        now = self._line.now()
        self._line.endpoint.respond(event.transaction, status, now=now, reason=reason)
        self._line.drain()


class _Told:
    """What a transferor was told last."""

    def __init__(self, line: PhoneLine, subscription: Subscription | None) -> None:
        self._line, self._subscription = line, subscription
        self._status = 0
        if subscription is not None:
            subscription.user_data = self

    def tell(self, status: int) -> None:
        """Once for each status; nothing follows a final one."""
        if self._status >= 200 or status == self._status:
            return
        self._status = status
        self.repeat(self._line.now())
        self._line.drain()

    def repeat(self, now: float) -> None:
        """The whole state, which is one status."""
        if self._subscription is not None:
            ended = "noresource" if self._status >= 200 else None
            self._subscription.notify(fragment(self._status), FRAGMENT, now=now, ended=ended)


def follower(
    call: PhoneCall, to: str, referred_by: str | None = None, wanted: ReferTo | None = None
) -> CallPlan:
    """How the owner of a call calls `to` because of it: as the same caller, over the same proxy."""
    plan = call.plan
    caller = plan.caller
    if caller is None and isinstance(plan, AnswerPlan) and call.sip is not None:
        caller = str(NameAddr(call.sip.local.display_name, call.sip.local.uri))
    headers: list[tuple[str, str]] = []
    if referred_by is not None:
        headers.append(("Referred-By", referred_by))
    if wanted is not None and wanted.replaces is not None:
        headers += [("Require", "replaces"), ("Replaces", str(wanted.replaces))]
    return CallPlan(
        destination=to,
        media=replace(call.media, dtmf="", record=beside(call.media.record, call.referred)),
        caller=caller,
        account=plan.account,
        proxy=plan.proxy,
        headers=tuple(headers),
        talk_for=plan.talk_for,
        prack=plan.prack,
        session=plan.session,
        transport=plan.transport if isinstance(plan, CallPlan) else None,
        identifier=call.identifier,
        party=call.party,
    )


def beside(record: Path | None, number: int = 0) -> Path | None:
    """Where the recording of a further call goes."""
    return None if record is None else record.with_stem(f"{record.stem}-further{number or ''}")
