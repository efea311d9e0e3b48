"""An action while it runs: one class a kind. Each knows when the next step may begin and never waits for
ever."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from callwright.ice.wish import IceWish
from callwright.outcome.call import CallOutcome, StateReached
from callwright.outcome.load import LoadOutcome
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.terms import CallState, Direction, Failure
from callwright.scenario import actions, command, event
from callwright.scenario.identity import CallerWords
from callwright.scenario.party import PartyAccount, numbered_after
from callwright.scenario.scenario import Scenario
from callwright.sip.events import Side
from callwright.sip.session_timer import SessionWish
from callwright.srtp.wish import SrtpWish

# What the protocol itself needs (Timers B and F are 32 s, a challenge doubles it) and some more.
REGISTER_LIMIT_S = 80.0
REQUEST_LIMIT_S = 80.0
LISTEN_LIMIT_S = 20.0
CALL_MARGIN_S = 80.0


class Run(Protocol):
    """What an action may do to the run it belongs to."""

    scenario: Scenario

    def emit(self, order: command.Command) -> None: ...
    def at(self, when: float, then: Callable[[float], None]) -> None: ...
    def own(self, id_: str, progress: Progress) -> None: ...
    def fail(self, address: str, detail: str, now: float, *, by_test: bool = False) -> None: ...
    def stopping(self) -> bool: ...
    def call_of(self, party: str) -> Leg | None: ...


@dataclass
class Leg:
    """One call while it is up."""

    id: str
    direction: Direction
    begun_at: float
    answered_at: float | None = None
    canceled_on_purpose: bool = False
    further: bool = False  # it came of another call of its action
    gave_up: bool = False  # nobody answered within ring_timeout
    outcome: CallOutcome | None = None
    destination: str | None = None
    states: list[StateReached] = field(default_factory=list)  # for an end that the runner never tells

    def reach(self, what: event.CallStateChanged, now: float) -> None:
        self.states.append(StateReached(round(now - self.begun_at, 6), what.state, what.code))

    def left_open(self, failure: Failure, detail: str) -> CallOutcome:
        """What is known of a call whose end was never told."""
        return CallOutcome(
            failure=failure,
            failure_detail=detail,
            states=tuple(self.states),
            destination=self.destination,
        )

    @property
    def up(self) -> bool:
        return self.outcome is None


class Progress:
    """``ready``: the next step may begin. ``done``: nothing more is awaited from it."""

    def __init__(self, action: actions.Action, run: Run, *, last_step: bool) -> None:
        self.base = action
        self.run = run
        self.last_step = last_step
        self.legs: dict[str, Leg] = {}
        self.registrations: dict[str, RegistrationOutcome | None] = {}
        self.requests: dict[str, RequestOutcome | None] = {}
        self.load: LoadOutcome | None = None
        self.load_id: str | None = None  # while its calls are up

    def begin(self, now: float) -> None:
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        raise NotImplementedError

    def receive(self, what: event.Event, now: float) -> None:
        """Events that bear one of its ids, or its address."""

    def stirred(self, now: float) -> None:
        """Something happened somewhere in the run."""

    def further(self, what: event.FurtherCall, now: float) -> None:
        """A call that came of one of its calls."""
        self.legs[what.id] = Leg(what.id, what.direction, now, destination=what.destination, further=True)
        self.run.own(what.id, self)

    @property
    def taken(self) -> int:
        """How many calls it placed or took by itself."""
        return sum(not leg.further for leg in self.legs.values())

    @property
    def account(self) -> PartyAccount:
        return self.run.scenario.account(self.base.party)

    def finish_leg(self, id_: str, outcome: CallOutcome, now: float) -> None:
        leg = self.legs[id_]
        if leg.up:
            leg.outcome = dataclasses.replace(
                outcome, id=id_, address=self.base.address, party=self.base.party, direction=leg.direction
            )

    def legs_up(self) -> list[Leg]:
        return [leg for leg in self.legs.values() if leg.up]

    @property
    def up(self) -> bool:
        """Whether a call of it is."""
        return self.load_id is not None or any(leg.up for leg in self.legs.values())

    def give_up(self, failure: Failure, detail: str, now: float) -> None:
        """Fills in what the runner never told, so that the run can end."""
        for id_, done in self.registrations.items():
            if done is None:
                self.registrations[id_] = RegistrationOutcome(
                    address=self.base.address,
                    party=self.base.party,
                    account=self.account.address_of_record,
                    failure=failure,
                    failure_detail=detail,
                )
        for id_, answered in self.requests.items():
            if answered is None:
                self.requests[id_] = RequestOutcome(
                    address=self.base.address, party=self.base.party, failure=failure, failure_detail=detail
                )
        for leg in self.legs_up():
            self.finish_leg(leg.id, leg.left_open(failure, detail), now)


class RegisterProgress(Progress):
    def __init__(self, action: actions.Register, run: Run, *, last_step: bool) -> None:
        super().__init__(action, run, last_step=last_step)
        self.action = action
        self.ended: set[str] = set()

    def begin(self, now: float) -> None:
        action, party = self.action, self.account
        first = action.user or party.user
        for number, user in enumerate(numbered_after(first, action.users), 1):
            own_user = user == party.user
            account = dataclasses.replace(
                party,
                user=user,
                auth_user=party.auth_user if own_user else user,
                password=action.password or party.password,
                domain=action.registrar or party.domain,
            )
            id_ = f"{action.address}/{number}"
            self.registrations[id_] = None
            self.run.own(id_, self)
            self.run.emit(
                command.Register(
                    id_,
                    action.address,
                    account,
                    account.domain,
                    action.regexpire,
                    action.headers,
                    action.reg_id if action.outbound else None,
                    action.instance,
                    action.gruu,
                    action.keepalive,
                    action.third_party,
                    action.contacts,
                )
            )
        self.run.at(now + REGISTER_LIMIT_S, self._overdue)

    def _overdue(self, now: float) -> None:
        if not self.ready:
            self.give_up(Failure.PLATFORM, "a registration never reported its result", now)

    @property
    def ready(self) -> bool:
        return all(outcome is not None for outcome in self.registrations.values())

    def receive(self, what: event.Event, now: float) -> None:
        if isinstance(what, event.RegistrationDone | event.RegistrationEnded):
            before, after = self.registrations.get(what.id), what.outcome
            self.registrations[what.id] = dataclasses.replace(
                after,
                address=self.action.address,
                party=self.action.party,
                account=after.account or (before.account if before else None),
                registered_ms=after.registered_ms or (before.registered_ms if before else None),
                expires_s=after.expires_s or (before.expires_s if before else None),
            )
            if isinstance(what, event.RegistrationEnded):
                self.ended.add(what.id)

    def registered(self) -> list[str]:
        """Ids that hold a registration which the end of the run takes back."""
        return [
            id_
            for id_, outcome in self.registrations.items()
            if outcome is not None
            and outcome.failure is None
            and id_ not in self.ended
            and self.action.unregister
        ]


class AcceptProgress(Progress):
    def __init__(self, action: actions.Accept, run: Run, *, last_step: bool) -> None:
        super().__init__(action, run, last_step=last_step)
        self.action = action
        self.listening = False
        self.waited_enough = False
        self.closed = False  # takes no more calls

    def begin(self, now: float) -> None:
        self.run.emit(command.Listen(self.action.address, self.account))
        self.run.at(now + LISTEN_LIMIT_S, self._overdue)
        if self.last_step:
            self.run.at(now + self.action.timeout, self._nobody_came)

    def _overdue(self, now: float) -> None:
        if not self.listening:
            self.run.fail(self.action.address, "it never listened for calls", now)

    def _nobody_came(self, now: float) -> None:
        self.waited_enough = True
        if self.legs or self.run.stopping():
            return
        id_ = f"{self.action.address}/none"
        self.legs[id_] = Leg(id_, Direction.INCOMING, now)
        detail = f"within {self.action.timeout:g} s"
        self.finish_leg(id_, CallOutcome(failure=Failure.NEVER_CAME, failure_detail=detail), now)

    @property
    def ready(self) -> bool:
        if not self.last_step:
            return self.listening
        enough = self.taken >= max(1, self.action.max_total_calls) or self.waited_enough
        return enough and not self.legs_up()

    @property
    def takes_calls(self) -> bool:
        limit = self.action.max_total_calls
        return self.listening and not self.closed and (limit == 0 or self.taken < limit)

    def take(self, id_: str, now: float) -> None:
        action = self.action
        self.legs[id_] = Leg(id_, Direction.INCOMING, now)
        self.run.own(id_, self)
        self.run.emit(
            command.TakeCall(
                id_,
                action.address,
                action.ring,
                action.early_media,
                action.reject,
                action.reject_reason,
                action.codecs,
                action.play,
                action.echo,
                action.dtmf,
                action.media,
                action.record,
                action.headers,
                action.prack,
                action.early_update,
                _session(action),
                action.dtmf_by,
                action.detect_tones,
                _srtp(action),
                IceWish(action.ice),
                action.transfers,
                action.auto_answer,
                action.verify_identity,
            )
        )

    def receive(self, what: event.Event, now: float) -> None:
        if isinstance(what, event.Listening):
            self.listening = True
        elif isinstance(what, event.CallStateChanged):
            leg = self.legs[what.id]
            leg.reach(what, now)
            if what.state is CallState.ANSWERED and leg.answered_at is None:
                leg.answered_at = now
                if self.action.hangup_after is not None:
                    self.run.at(now + self.action.hangup_after, lambda _: self._hang_up(leg))
        elif isinstance(what, event.CallFinished):
            self.finish_leg(what.id, what.outcome, now)

    def _hang_up(self, leg: Leg) -> None:
        if leg.up:
            self.run.emit(command.Hangup(leg.id))


class CallProgress(Progress):
    def __init__(self, action: actions.Call, run: Run, *, last_step: bool) -> None:
        super().__init__(action, run, last_step=last_step)
        self.action = action
        self._begun_at = 0.0

    def begin(self, now: float) -> None:
        self._begun_at = now
        self._place_due(now)

    @property
    def ready(self) -> bool:
        return self.taken >= self.action.max_total_calls and not self.legs_up()

    def _place_due(self, now: float) -> None:
        """Places the calls whose turn has come: one every 1/call_rate, no more at once than
        ``concurrent``."""
        action = self.action
        while self.taken < action.max_total_calls and not self.run.stopping():
            if action.concurrent and len(self.legs_up()) >= action.concurrent:
                return  # the end of a call places the next
            due = self._begun_at + self.taken / action.call_rate
            if due > now + 1e-6:
                self.run.at(due, self._place_due)
                return
            self._place(now)

    def _place(self, now: float) -> None:
        action, account = self.action, self.account
        id_ = f"{action.address}/{self.taken + 1}"
        uri = self.run.scenario.uri(action.dial_destination, account)
        leg = self.legs[id_] = Leg(id_, Direction.OUTGOING, now, destination=uri)
        self.run.own(id_, self)
        self.run.emit(
            command.PlaceCall(
                id_,
                action.address,
                account,
                uri,
                action.dial_destination,
                action.codecs,
                action.play,
                action.dtmf,
                action.caller_id,
                action.transport or account.transport,
                action.follow,
                action.media,
                action.record,
                action.headers,
                action.prack,
                action.early_update,
                _session(action),
                action.dtmf_by,
                action.detect_tones,
                action.offer_by,
                _srtp(action),
                IceWish(action.ice),
                action.transfers,
                CallerWords(
                    action.asserted_identity,
                    action.preferred_identity,
                    action.privacy,
                    action.identity,
                    action.attest,
                ),
                action.body,
                action.body_type or ("application/octet-stream" if action.body else ""),
            )
        )
        if action.cancel_after is not None:
            self.run.at(now + action.cancel_after, lambda _: self._cancel(leg, on_purpose=True))
        self.run.at(now + action.ring_timeout, lambda _: self._cancel(leg, on_purpose=False))
        limit = action.ring_timeout + action.max_duration + CALL_MARGIN_S
        self.run.at(now + limit, lambda then: self._overdue(leg, then))

    def _cancel(self, leg: Leg, *, on_purpose: bool) -> None:
        if leg.up and leg.answered_at is None and not leg.canceled_on_purpose:
            leg.canceled_on_purpose = on_purpose
            leg.gave_up = not on_purpose
            self.run.emit(command.Cancel(leg.id))

    def _overdue(self, leg: Leg, now: float) -> None:
        if leg.up:
            self.finish_leg(leg.id, leg.left_open(Failure.PLATFORM, "a call never reported its end"), now)

    def receive(self, what: event.Event, now: float) -> None:
        if isinstance(what, event.CallStateChanged):
            leg = self.legs[what.id]
            leg.reach(what, now)
            if what.state is CallState.ANSWERED and leg.answered_at is None:
                self._answered(leg, now)
        elif isinstance(what, event.CallFinished):
            self.finish_leg(what.id, what.outcome, now)
            if self.action.concurrent:
                self._place_due(now)

    def finish_leg(self, id_: str, outcome: CallOutcome, now: float) -> None:
        leg = self.legs[id_]
        if (
            leg.gave_up
            and not outcome.answered
            and outcome.failure in (None, Failure.REFUSED, Failure.STOPPED)
        ):
            detail = f"within {self.action.ring_timeout:g} s"
            outcome = dataclasses.replace(outcome, failure=Failure.NO_ANSWER, failure_detail=detail)
        super().finish_leg(id_, outcome, now)

    def _answered(self, leg: Leg, now: float) -> None:
        action = self.action
        leg.answered_at = now
        changes = ((action.hold, command.Hold(leg.id)), (action.resume, command.Resume(leg.id)))
        for when, order in () if leg.further else changes:
            if when is not None and when < action.max_duration:
                self.run.at(now + when, lambda _, order=order: self._while_up(leg, order))  # type: ignore[misc]
        self.run.at(now + action.max_duration, lambda _: self._while_up(leg, command.Hangup(leg.id)))

    def _while_up(self, leg: Leg, order: command.Command) -> None:
        if leg.up:
            self.run.emit(order)


def _session(action: actions.Call | actions.Accept) -> SessionWish:
    method = {"update": "UPDATE", "reinvite": "INVITE"}.get(action.refresh_by)
    refresher = Side(action.refresher) if action.refresher else None
    return SessionWish(action.session_expires, action.min_se, refresher, method)


def _srtp(action: actions.Call | actions.Accept) -> SrtpWish:
    suites = (action.srtp_suite,) if action.srtp_suite else ()
    return SrtpWish(action.srtp, suites, action.rekey_after)


class WaitProgress(Progress):
    def __init__(self, action: actions.Wait, run: Run, *, last_step: bool) -> None:
        super().__init__(action, run, last_step=last_step)
        self.action = action
        self._over = False

    def begin(self, now: float) -> None:
        self.run.at(now + self.action.seconds, self._is_over)

    def _is_over(self, now: float) -> None:
        self._over = True

    @property
    def ready(self) -> bool:
        return self._over


class RequestProgress(Progress):
    """OPTIONS, several in a row, one MESSAGE, or one message as it is written."""

    def __init__(
        self, action: actions.Options | actions.Message | actions.Raw, run: Run, *, last_step: bool
    ) -> None:
        super().__init__(action, run, last_step=last_step)
        self.action = action
        self._count = action.count if isinstance(action, actions.Options) else 1

    def begin(self, now: float) -> None:
        interval = self.action.interval if isinstance(self.action, actions.Options) else 0.0
        self._send(now)
        for number in range(1, self._count):
            self.run.at(now + number * interval, self._send)

    def _send(self, now: float) -> None:
        if self.run.stopping():
            return
        action, account = self.action, self.account
        id_ = f"{action.address}/{len(self.requests) + 1}"
        self.requests[id_] = None
        self.run.own(id_, self)
        if isinstance(action, actions.Options):
            uri = self.run.scenario.host_uri(action.destination, account)
            self.run.emit(command.SendOptions(id_, action.address, account, uri, action.headers))
        elif isinstance(action, actions.Raw):
            uri = self.run.scenario.uri(action.destination, account)
            self.run.emit(command.SendRaw(id_, action.address, account, uri, action.text, action.timeout))
        else:
            uri = self.run.scenario.uri(action.destination, account)
            self.run.emit(
                command.SendMessage(
                    id_, action.address, account, uri, action.text, action.type, action.headers
                )
            )
        self.run.at(now + REQUEST_LIMIT_S, lambda then: self._overdue(id_, then))

    def _overdue(self, id_: str, now: float) -> None:
        if self.requests[id_] is None:
            detail = "a request never reported its result"
            outcome = RequestOutcome(failure=Failure.PLATFORM, failure_detail=detail)
            self.receive(event.RequestDone(id_, outcome), now)

    @property
    def ready(self) -> bool:
        sent = len(self.requests) >= self._count
        return sent and all(outcome is not None for outcome in self.requests.values())

    def receive(self, what: event.Event, now: float) -> None:
        if isinstance(what, event.RequestDone) and self.requests.get(what.id) is None:
            self.requests[what.id] = dataclasses.replace(
                what.outcome, address=self.action.address, party=self.action.party
            )
