"""A runner for tests: it carries the interpreter's commands out on a stage of its own, in virtual time."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable

from callwright.outcome.call import CallOutcome, IdentityOutcome, ReceivedOutcome, StateReached
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.load import LoadOutcome
from callwright.outcome.request import NotifyOutcome, RegistrationOutcome, RequestOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import CallState, Direction, EndedBy, Failure
from callwright.outcome.tls import TlsOutcome
from callwright.scenario import command, event
from callwright.scenario.document import load
from callwright.scenario.interpreter import Interpreter
from callwright.scenario.scenario import Scenario

HEARD = ReceivedOutcome(codec="PCMA", packets=400, lost=0, loss_pct=0.0, mos=4.4, silence_pct=20.0, dtmf="")


@dataclasses.dataclass
class Actor:
    """One leg on the stage."""

    id: str
    direction: Direction
    began: float
    peer: str | None = None
    states: list[StateReached] = dataclasses.field(default_factory=list)
    code: int | None = None
    ended_by: EndedBy | None = None
    received: ReceivedOutcome = HEARD
    up: bool = True


class Stage:
    """Both parties behave; ``mute`` makes the runner forget events of a type, to see the deadlines work."""

    def __init__(self, scenario: Scenario | str) -> None:
        if isinstance(scenario, str):
            scenario = load(scenario)
        if scenario.needs_pbx:
            scenario = scenario.on_pbx("127.0.0.1:5070", dict.fromkeys(scenario.pbx_accounts(), "x"))
        self.scenario = scenario
        self.interpreter = Interpreter(scenario)
        self.now = 100.0
        self.orders: list[tuple[float, command.Command]] = []
        self.outcome: RunOutcome | None = None
        self.mute: tuple[type, ...] = ()
        self._placed: dict[str, command.PlaceCall] = {}
        self._identities: dict[str, IdentityOutcome] = {}
        self._registered: dict[str, RegistrationOutcome] = {}
        self.registration_code: Callable[[command.Register], int] = lambda order: 200
        self.refuse_with: int | None = None  # by the PBX, before it rings anywhere
        self.transfer_code = 200  # what the peer tells of a transfer
        self.calls_arrive = True  # False: somebody else answers
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.legs: dict[str, Actor] = {}
        self.takes: dict[str, command.TakeCall] = {}
        self.loads: dict[str, LoadOutcome] = {}
        self.subscribed: dict[str, command.Subscribe | command.Publish] = {}
        self.load_judgement: tuple[str, str | None, str] = ("passed", None, "All 100 calls were answered.")
        self.load_value = 1.0

    def orders_of(self, kind: type) -> list[command.Command]:
        return [order for _, order in self.orders if isinstance(order, kind)]

    def when(self, kind: type) -> list[float]:
        return [round(at - 100.0, 3) for at, order in self.orders if isinstance(order, kind)]

    def play(self, until: float = 5000.0, stop_at: float | None = None) -> RunOutcome:
        self.interpreter.start(self.now)
        if stop_at is not None:
            self.later(stop_at, lambda: self.interpreter.stop("Stopped by Ctrl-C.", self.now))
        while True:
            self._carry_out()
            if self.outcome is not None:
                return self.outcome
            moments = [moment for moment in (self.interpreter.next_wake(),) if moment is not None]
            moments += [self._later[0][0]] if self._later else []
            assert moments, "the run hangs: nothing will ever happen"
            self.now = max(self.now, min(moments))
            assert self.now < 100 + until, "the run is endless"
            while self._later and self._later[0][0] <= self.now:
                heapq.heappop(self._later)[2]()
                self._carry_out()
            self.interpreter.wake(self.now)

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._later, (self.now + seconds, self._count, then))

    def tell(self, what: event.Event, after: float = 0.0) -> None:
        if not isinstance(what, self.mute):
            self.later(after, lambda: self.interpreter.receive(what, self.now))

    def _carry_out(self) -> None:
        for order in self.interpreter.commands():
            self.orders.append((self.now, order))
            self._do(order)

    def _do(self, order: command.Command) -> None:
        if isinstance(order, command.Register):
            code = self.registration_code(order)
            outcome = RegistrationOutcome(
                sip_code=code,
                account=order.account.user,
                registrar=order.registrar,
                registered_ms=20.0,
                expires_s=order.expires,
                failure=Failure.REFUSED if code >= 300 else None,
                authenticated=True,
                outbound=order.outbound is not None or None,
                public_gruu=f"sip:{order.account.user}@pbx;gr=urn:uuid:1" if order.gruu else None,
                keepalives_answered=5 if order.keepalive else 0,
                tls=self._tls(),
            )
            self._registered[order.id] = outcome
            self.tell(event.RegistrationDone(order.id, outcome), 0.02)
        elif isinstance(order, command.Unregister):
            ended = dataclasses.replace(self._registered[order.id], sip_code=200, unregistered=True)
            self.tell(event.RegistrationEnded(order.id, ended), 0.02)
        elif isinstance(order, command.Listen):
            self.tell(event.Listening(order.address), 0.01)
        elif isinstance(order, command.PlaceCall):
            self.place(order)
        elif isinstance(order, command.TakeCall):
            self.take(order)
        elif isinstance(order, command.Hangup | command.Cancel):
            self._end(order.id)
        elif isinstance(order, command.Hold | command.Resume):
            ours, theirs = (
                (CallState.HELD, CallState.HELD_BY_PEER)
                if isinstance(order, command.Hold)
                else (CallState.RESUMED, CallState.RESUMED_BY_PEER)
            )
            self._reach(order.id, ours)
            peer = self.legs[order.id].peer
            if peer:
                self._reach(peer, theirs)
        elif isinstance(order, command.SendOptions | command.SendMessage):
            method = "OPTIONS" if isinstance(order, command.SendOptions) else "MESSAGE"
            answer = RequestOutcome(
                sip_code=200, method=method, target=order.uri, round_trip_ms=3.0, tls=self._tls()
            )
            self.tell(event.RequestDone(order.id, answer), 0.003)
        elif isinstance(order, command.Subscribe | command.Publish):
            self.subscribed[order.id] = order
        elif isinstance(order, command.Unsubscribe):
            begun = self.subscribed[order.id]
            done = _published() if isinstance(begun, command.Publish) else _told(begun.event)
            self.tell(event.RequestDone(order.id, done), 0.01)
        elif isinstance(order, command.Transfer):
            refused = self.transfer_code >= 300
            done = RequestOutcome(
                method="REFER",
                sip_code=202,
                refer_to=order.uri,
                transfer_codes=(100, self.transfer_code),
                transfer_code=self.transfer_code,
                transfer_ms=50.0,
            )
            self.tell(event.RequestDone(order.id, done), 0.05)
            party = next((n for n, u in self.scenario.users().items() if f"sip:{u}@" in order.uri), None)
            if party is not None and not order.replaces and not refused:
                arrived = f"in-{order.id}"
                caller = self.legs[order.call].peer
                self.legs[arrived] = Actor(arrived, Direction.INCOMING, self.now, peer=caller)
                self.legs[order.call].peer = None
                self._reach(arrived, CallState.INCOMING)
                self.tell(event.CallArrived(arrived, party), 0.001)
        elif isinstance(order, command.PlaceLoad | command.AnswerLoad):
            self._load(order)
        elif isinstance(order, command.StopLoad):
            self._end_load(order.id, "canceled")
        elif isinstance(order, command.Finish):
            self.outcome = order.outcome

    def _tls(self) -> TlsOutcome | None:
        good = TlsOutcome("TLSv1.3", "TLS_AES_256_GCM_SHA384", True, days_left=30.0)
        return good if self.scenario.transport == "tls" else None

    def _load(self, order: command.PlaceLoad | command.AnswerLoad) -> None:
        """All calls of a load are answered; `load_judgement` is what the engine says."""
        role = "answerer"
        if isinstance(order, command.PlaceLoad):
            role = "caller"
            self.later(order.action.placing_seconds + 1.0, lambda: self._end_load(order.id, "passed"))
        else:
            self.tell(event.Listening(order.address), 0.01)
        self.loads[order.id] = LoadOutcome(
            *self.load_judgement,
            order.id,
            order.address,
            order.account.party,
            role,
            attempted=100,
            answered=100,
            conditions=tuple(
                {"text": c.text, "value": self.load_value, "violated": self.load_judgement[0] == "failed"}
                for c in order.conditions
            ),
        )

    def _end_load(self, id_: str, verdict: str) -> None:
        outcome = self.loads.pop(id_, None)
        if outcome is not None:
            kept = verdict == "passed" or outcome.role == "answerer"
            done = outcome if kept else outcome.judged("canceled", "test", "Interrupted.")
            self.tell(event.LoadFinished(id_, done), 0.5)

    def _reach(self, id_: str, state: CallState, code: int | None = None) -> None:
        leg = self.legs[id_]
        leg.states.append(StateReached(round(self.now - leg.began, 3), state, code))
        self.tell(event.CallStateChanged(id_, state, code))

    def place(self, order: command.PlaceCall) -> None:
        self._placed[order.id] = order
        leg = self.legs[order.id] = Actor(order.id, Direction.OUTGOING, self.now)
        self._reach(order.id, CallState.CALLING)
        if self.refuse_with is not None:
            self._fail(order.id, self.refuse_with)
            return
        party = next((n for n, u in self.scenario.users().items() if f"sip:{u}@" in order.uri), None)
        if party is None or not self.calls_arrive:
            self.later(0.2, lambda: self._answer(order.id))
            return
        leg.peer = f"in-{order.id}"
        self.legs[leg.peer] = Actor(leg.peer, Direction.INCOMING, self.now, peer=order.id)
        self._reach(leg.peer, CallState.INCOMING)
        self.tell(event.CallArrived(leg.peer, party), 0.001)

    def take(self, order: command.TakeCall) -> None:
        caller = self.legs[order.id].peer
        assert caller is not None
        self.takes[order.id] = order
        if order.ring:
            self._reach(order.id, CallState.RINGING, 180)
            self._reach(caller, CallState.RINGING, 180)

        def decide() -> None:
            if not self.legs[order.id].up:
                return
            refused = {"wrong_key": 438, "stale": 403}.get(self._placed[caller].caller.identity)
            if order.verify_identity != "no":
                verdict = "invalid" if refused else "valid"
                self._identities[order.id] = IdentityOutcome(verdict, refused, attest="A")
            if order.verify_identity == "require" and refused is not None:
                self._fail(order.id, refused, Failure.IDENTITY)
                self._fail(caller, refused)
            elif order.reject is not None:
                self._fail(order.id, order.reject)
                self._fail(caller, order.reject)
            else:
                self._answer(order.id)
                self._answer(caller)

        self.later(order.ring + 0.01, decide)

    def _answer(self, id_: str) -> None:
        if self.legs[id_].up:
            self.legs[id_].code = 200
            self._reach(id_, CallState.ANSWERED, 200)

    def _fail(self, id_: str, code: int, failure: Failure = Failure.REFUSED) -> None:
        self.legs[id_].code = code
        self._reach(id_, CallState.FAILED, code)
        self._finish(id_, failure)

    def _end(self, id_: str) -> None:
        leg = self.legs[id_]
        for one, by in ((id_, EndedBy.LOCAL), (leg.peer, EndedBy.REMOTE)):
            if one is None or not self.legs[one].up:
                continue
            self.legs[one].ended_by = by
            if self.legs[one].code == 200:
                self._reach(one, CallState.ENDED)
                self._finish(one, None)
            else:
                self.legs[one].code = 487
                self._reach(one, CallState.CANCELED, 487)
                self._finish(one, Failure.REFUSED)

    def _finish(self, id_: str, failure: Failure | None) -> None:
        leg = self.legs[id_]
        leg.up = False
        answered = any(reached.state is CallState.ANSWERED for reached in leg.states)
        outcome = CallOutcome(
            direction=leg.direction,
            sip_code=leg.code,
            failure=failure,
            states=tuple(leg.states),
            ended_by=leg.ended_by,
            received=leg.received if answered else ReceivedOutcome(),
            pdd_ms=20.0,
            setup_ms=120.0,
            destination="sip:1002@127.0.0.1",
            codec="PCMA",
            caller_identity="1001",
            identity=self._identities.get(id_),
        )
        self.tell(event.CallFinished(id_, outcome), 0.05)


def _published() -> RequestOutcome:
    heads = CapturedMessage("200", (("SIP-ETag", "one"),))
    return RequestOutcome(method="PUBLISH", sip_code=200, refreshes=0, messages=(heads,))


def _told(package: str) -> RequestOutcome:
    heads = (("Event", package), ("Subscription-State", "terminated;reason=timeout"))
    text = "<note>at lunch</note>" if package == "presence" else "Messages-Waiting: no\r\n"
    body = NotifyOutcome(0.0, "active", None, None, text)
    return RequestOutcome(
        method="SUBSCRIBE", sip_code=200, notifies=(body, body), messages=(CapturedMessage("NOTIFY", heads),)
    )
