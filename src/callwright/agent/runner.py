"""Carries out one scenario with softphones: commands of the interpreter in, facts of the phones out.

One phone for each party, one media engine for all. Nothing here judges: verdicts are the interpreter's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import assert_never

from callwright.agent.caps import Caps
from callwright.agent.identities import Identities
from callwright.agent.loading import Loads
from callwright.agent.tasks import Tasks
from callwright.audio.codecs import codec
from callwright.audio.wav import AudioFileError
from callwright.ice.wish import IceWish
from callwright.media.source import load_clip
from callwright.net.clock import Clock, SteadyClock, SystemClock
from callwright.net.entropy import Entropy, system_entropy
from callwright.net.media_choice import media_engine
from callwright.net.ports import MediaPorts
from callwright.net.tap import Tap
from callwright.net.tls import TlsSettings
from callwright.outcome.call import CallOutcome, StateReached
from callwright.outcome.request import RequestOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Failure
from callwright.phone.addressing import as_uri
from callwright.phone.body import ExtraBody
from callwright.phone.call import PhoneCall
from callwright.phone.guard import Guard
from callwright.phone.intent import OnIntent
from callwright.phone.permission import Permission
from callwright.phone.phone import LINGER, Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.phone.publication import PhonePublication
from callwright.phone.registration import PhoneRegistration
from callwright.phone.subscription import PhoneSubscription
from callwright.scenario import command, event
from callwright.scenario.actions import Accept
from callwright.scenario.interpreter import Interpreter
from callwright.scenario.party import PartyAccount
from callwright.scenario.scenario import Scenario
from callwright.sip import events as sip_events
from callwright.sip.session_timer import SMALLEST
from callwright.sip.transport import Transport
from callwright.sip.uri import Uri
from callwright.srtp.wish import SrtpWish

_NO_TLS_WISHES = TlsSettings()
_NEVER = 86_400.0  # the interpreter cancels and hangs up; the phone's own limits stay out of its way


class Runner:
    """`await runner.run()` gives the RunOutcome; `stop(reason)` ends it early, properly.

    `recordings` is the folder for WAVs (None: nothing is recorded); `tls` is for every party; `on_event`
    hears every event of the interpreter, for live progress. `on_intent` is awaited before an INVITE leaves,
    and may withhold it; `caps` are those of targets, over all runs of the agent; `guard` keeps what ends the
    calls though this process is killed.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        permission: Permission,
        taps: Sequence[Tap] = (),
        recordings: Path | None = None,
        bind: str | None = None,
        family: int | None = None,
        rtp_ports: tuple[int, int] = (16384, 32767),
        tls: TlsSettings = _NO_TLS_WISHES,
        user_agent: str = "Callwright",
        clock: Clock | None = None,
        entropy: Entropy = system_entropy,
        on_intent: OnIntent | None = None,
        caps: Caps | None = None,
        guard: Guard | None = None,
        on_event: Callable[[event.Event], None] = lambda _: None,
        on_warning: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.scenario = scenario
        self.interpreter = Interpreter(scenario)
        self._accepts = [
            action for step in scenario.steps for action in step.actions if isinstance(action, Accept)
        ]
        self._permission, self._taps, self._recordings = permission, tuple(taps), recordings
        self._bind, self._user_agent, self._tls = bind, user_agent, tls
        self._family = family
        machine = clock or SystemClock()
        self.clock: Clock = SteadyClock(machine)  # all times of the run are of one calendar
        self._entropy = entropy
        self._on_intent, self._on_event, self._on_warning = on_intent, on_event, on_warning
        self._caps, self._guard = caps, guard
        self._engine = media_engine(ports=MediaPorts(*rtp_ports), clock=machine, taps=self._taps)
        self._loads = Loads(
            scenario,
            permission=permission,
            bind=bind,
            rtp_ports=rtp_ports,
            clock=self.clock,
            post=self.post,
            on_intent=on_intent,
            caps=caps,
            guard=guard,
        )
        self._identities = Identities(self.clock)
        self._phones: dict[str, Phone] = {}
        self._calls: dict[str, PhoneCall] = {}
        self._subscriptions: dict[str, PhoneSubscription | PhonePublication] = {}
        self._ids: dict[PhoneCall, str] = {}  # of all calls of the run
        self._accounts: dict[str, PartyAccount] = {}  # address of the accept action -> its party's
        self._registrations: dict[str, PhoneRegistration] = {}
        self._invites: dict[str, tuple[Phone, sip_events.CallReceived]] = {}
        self._listening: dict[str, Phone] = {}  # address of the accept action -> its party's phone
        self._waiting: deque[event.Event] = deque()
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks()
        self._arrived = 0
        self._outcome: asyncio.Future[RunOutcome] | None = None
        self.warnings: list[str] = []

    async def run(self) -> RunOutcome:
        """From the first step to the last. Always ends: every wait of the interpreter has a deadline."""
        self._outcome = asyncio.get_running_loop().create_future()
        started = self.clock.wall()
        try:
            await self._loads.prepare()
            self.interpreter.start(self.clock.now())
            self._pump()
            outcome = await self._outcome
        finally:
            await self._close()
        return replace(
            outcome,
            started_at=started,
            stopped_at=self.clock.wall(),
            warnings=(*outcome.warnings, *dict.fromkeys(self.warnings)),
        )

    def stop(self, reason: str) -> None:
        """Hang up, unregister, finish; `reason` is a sentence ("Stopped by Ctrl-C.")."""
        self.interpreter.stop(reason, self.clock.now())
        self._pump()

    def hold(self, holding: bool) -> None:
        """No new call of a load that runs, until it is said again with False; other calls ask `on_intent`."""
        self._loads.hold(holding)

    @property
    def busy(self) -> bool:
        """Whether a call or a load is on."""
        return bool(self._calls) or self._loads.busy

    @property
    def calls(self) -> Mapping[str, PhoneCall]:
        """The calls that are on now, by their id in events."""
        return MappingProxyType(self._calls)

    # -- between the interpreter and the phones

    def post(self, what: event.Event) -> None:
        """An event for the interpreter, from a phone."""
        self._waiting.append(what)
        self._pump()

    def _pump(self) -> None:
        """Events in, commands out, until both are empty; from within, it leaves it to the first."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while True:
                for order in self.interpreter.commands():
                    self._carry_out(order)
                if not self._waiting:
                    break
                what = self._waiting.popleft()
                self._on_event(what)
                self.interpreter.receive(what, self.clock.now())
        finally:
            self._pumping = False
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.interpreter.next_wake()
        if due is not None:
            delay = max(0.0, due - self.clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self.interpreter.wake(self.clock.now())
        self._pump()

    def _carry_out(self, order: command.Command) -> None:
        match order:
            case command.Register():
                self._register(order)
            case command.Unregister(id=id_):
                self._tasks.spawn(self._unregister(id_))
            case command.Listen():
                self._listen(order)
            case command.StopListening(address=address):
                self._stop_listening(address)
            case command.TakeCall():
                self._take(order)
            case command.RefuseCall(id=id_, status=status):
                _, received = self._invites.pop(id_)
                received.call.reject(status, now=self.clock.now())
            case command.PlaceCall():
                self._place(order)
            case command.Hold(id=id_):
                self._with_call(id_, PhoneCall.hold)
            case command.Resume(id=id_):
                self._with_call(id_, PhoneCall.resume)
            case command.Cancel(id=id_) | command.Hangup(id=id_):
                self._with_call(id_, PhoneCall.hangup)
            case command.Transfer():
                self._tasks.spawn(self._transfer(order))
            case command.Subscribe():
                self._subscribe(order)
            case command.Publish():
                self._publish(order)
            case command.Unsubscribe(id=id_):
                self._subscriptions[id_].end()
            case command.SendOptions():
                self._request(order, "OPTIONS", b"", None)
            case command.SendRaw():
                self._raw(order)
            case command.SendMessage():
                self._request(order, "MESSAGE", order.text.encode(), order.content_type)
            case command.PlaceLoad():
                self._loads.place(order)
            case command.AnswerLoad():
                self._loads.answer(order)
            case command.StopLoad():
                self._loads.stop(order)
            case command.Finish(outcome=outcome):
                if self._outcome is not None and not self._outcome.done():
                    self._outcome.set_result(outcome)
            case _:
                assert_never(order)

    def _with_call(self, id_: str, act: Callable[[PhoneCall], None]) -> None:
        call = self._calls.get(id_)
        if call is not None:
            act(call)

    # -- parties

    def _phone(self, account: PartyAccount) -> Phone:
        if account.party not in self._phones:
            config = PhoneConfig(
                bind=self._bind,
                family=self._family,
                transport=Transport(account.transport.upper()) if account.transport else None,
                tls=self._tls,
                user_agent=self._user_agent,
                user=account.user,
                ws_path=account.ws_path,
                min_se=self._min_se(account.party),
            )
            phone = Phone(
                config,
                taps=self._taps,
                permission=self._permission,
                clock=self.clock,
                entropy=self._entropy,
                engine=self._engine,
                on_intent=self._on_intent,
                gate=self._caps,
                guard=self._guard,
                on_warning=self._warn,
            )
            phone.line.patience = 2.0
            phone.on_further = self._further
            self._phones[account.party] = phone
        return self._phones[account.party]

    def _min_se(self, party: str) -> int:
        """The shortest session timer that any of its accepts takes (RFC 4028)."""
        accepts = [action for action in self._accepts if action.party == party]
        return min((action.min_se for action in accepts), default=SMALLEST)

    def _warn(self, sentence: str) -> None:
        self.warnings.append(sentence)
        self._on_warning(sentence)

    def _register(self, order: command.Register) -> None:
        registration = self._phone(order.account).register(
            order.registrar,
            account=_account(order.account),
            expires=order.expires,
            domain=order.account.domain.partition(":")[0] if order.account.domain else None,
            proxy=order.account.proxy or None,
            headers=order.headers,
            contact=self._loads.contact(order.account.party, order.account.user),
            outbound=order.outbound,
            instance=order.instance,
            gruu=order.gruu,
            keepalive=order.keepalive,
            third_party=order.third_party or None,
            also=order.contacts,
            identifier=order.address,
            party=order.account.party,
        )
        self._registrations[order.id] = registration

        def done(_: asyncio.Future[bool]) -> None:
            self.post(event.RegistrationDone(order.id, registration.outcome()))

        registration.first.add_done_callback(done)

    async def _unregister(self, id_: str) -> None:
        registration = self._registrations.pop(id_)
        if registration.registered:
            await registration.unregister()
        self.post(event.RegistrationEnded(id_, registration.outcome()))

    def _listen(self, order: command.Listen) -> None:
        phone = self._phone(order.account)
        party = order.account.party
        self._listening[order.address] = phone
        self._accounts[order.address] = order.account
        phone.on_invite = lambda received: self._arrive(phone, party, received)
        self._tasks.spawn(self._open(phone, order))

    async def _open(self, phone: Phone, order: command.Listen) -> None:
        """A party that did not register still needs a door, where the route to its domain begins."""
        try:
            if not any(r.line is phone.line for r in self._registrations.values()):
                await phone.router.locate(_uri_of(order.account.domain or "127.0.0.1"))
        except Exception as error:
            self.post(event.ActionFailed(order.address, str(error)))
            return
        self.post(event.Listening(order.address))

    def _stop_listening(self, address: str) -> None:
        phone = self._listening.pop(address, None)
        if phone is not None:
            phone.on_invite = None

    # -- calls

    def _arrive(self, phone: Phone, party: str, received: sip_events.CallReceived) -> None:
        self._arrived += 1
        id_ = f"{party}/{self._arrived}"
        self._invites[id_] = (phone, received)
        self.post(event.CallArrived(id_, party))

    def _further(self, call: PhoneCall, further: PhoneCall) -> None:
        """A call that came of another, by a REFER or by Replaces."""
        of = self._ids[call]
        id_ = f"{of}/{len(self._ids)}"
        self._follow(id_, further)
        target = further.plan.destination if isinstance(further.plan, CallPlan) else None
        self.post(event.FurtherCall(id_, of, further.direction, target))

    async def _transfer(self, order: command.Transfer) -> None:
        call = self._calls.get(order.call)
        if call is None:
            detail = "the call that was to be transferred had ended"
            outcome = RequestOutcome(
                method="REFER", failure=Failure.NEVER_CAME, failure_detail=detail, refer_to=order.uri
            )
        else:
            replaces = self._calls.get(order.replaces)
            phone = self._phone(order.account)
            outcome = await phone.transfer(call, order.uri, replaces=replaces, headers=order.headers)
        self.post(event.RequestDone(order.id, outcome))

    def _take(self, order: command.TakeCall) -> None:
        phone, received = self._invites.pop(order.id)
        account = self._accounts[order.address]
        refused_at_once = order.reject is not None and order.ring <= 0
        plan = AnswerPlan(
            media=self._media(
                order.id,
                "echo" if order.echo else order.play,
                order.codecs,
                order.dtmf,
                enabled=order.media,
                record=order.record,
                voice="man",
                by=order.dtmf_by,
                detect=order.detect_tones,
                srtp=order.srtp,
                ice=order.ice,
            ),
            ring_after=0.0 if not refused_at_once and (order.ring > 0 or order.early_media) else -1.0,
            answer_after=order.ring,
            early_media=order.early_media,
            reject=order.reject,
            reject_reason=order.reject_reason or None,
            headers=order.headers,
            prack=order.prack,
            early_update=order.early_update,
            session=order.session,
            transfers=order.transfers,
            auto_answer=order.auto_answer,
            identity=self._identities.check(order.verify_identity),
            caller=_caller(account, ""),
            account=_account(account),
            proxy=account.proxy or None,
            identifier=order.address,
        )
        if not self._playable(order.address, plan.media):
            received.call.reject(480, now=self.clock.now())
            return
        phone.on_incoming = lambda call: self._follow(order.id, call)
        phone.take(received, plan)

    def _place(self, order: command.PlaceCall) -> None:
        account = order.account
        plan = CallPlan(
            destination=order.uri,
            media=self._media(
                order.id,
                order.play,
                order.codecs,
                order.dtmf,
                enabled=order.media,
                record=order.record,
                by=order.dtmf_by,
                detect=order.detect_tones,
                srtp=order.srtp,
                ice=order.ice,
            ),
            caller=_caller(account, order.caller_id),
            account=_account(account),
            proxy=account.proxy or None,
            headers=order.headers,
            talk_for=None,
            ring_for=_NEVER,
            follow=order.follow,
            prack=order.prack,
            early_update=order.early_update,
            session=order.session,
            offer_by=order.offer_by,
            transfers=order.transfers,
            identity=self._identities.plan(order.caller),
            body=ExtraBody(order.body, order.body_type),
            identifier=order.address,
            party=account.party,
            transport=Transport(order.transport.upper()) if order.transport else None,
        )
        if self._playable(order.address, plan.media):
            self._follow(order.id, self._phone(account).call(plan))

    def _playable(self, address: str, media: MediaPlan) -> bool:
        """Whether what is to be played can be: a file that is not there is the test's fault, told before."""
        if not media.enabled or media.play == "echo":
            return True
        try:
            load_clip(media.play, codec(media.codecs[0]).sample_rate if media.codecs else 8000)
        except (AudioFileError, OSError) as error:
            self.post(event.ActionFailed(address, str(error), by_test=True))
            return False
        return True

    def _follow(self, id_: str, call: PhoneCall) -> None:
        self._calls[id_] = call
        self._ids[call] = id_

        def reached(_: PhoneCall, state: StateReached) -> None:
            self.post(event.CallStateChanged(id_, state.state, state.code))

        def finished(future: asyncio.Future[CallOutcome]) -> None:
            self._calls.pop(id_, None)
            self.post(event.CallFinished(id_, future.result()))

        call.listeners.append(reached)
        call.finished.add_done_callback(finished)

    def _media(
        self,
        id_: str,
        play: str,
        codecs: tuple[str, ...],
        dtmf: str,
        *,
        enabled: bool,
        record: bool,
        by: str,
        detect: bool,
        srtp: SrtpWish,
        ice: IceWish,
        voice: str = "woman",
    ) -> MediaPlan:
        path = None
        if self._recordings is not None and record and enabled:
            path = self._recordings / f"{id_.replace('/', '-')}.wav"
        return MediaPlan(
            play=play,
            codecs=codecs,
            dtmf=dtmf,
            dtmf_by=by,
            detect_tones=detect,
            record=path,
            enabled=enabled,
            voice=voice,
            srtp=srtp,
            ice=ice,
        )

    # -- requests

    def _request(
        self,
        order: command.SendOptions | command.SendMessage,
        method: str,
        body: bytes,
        content_type: str | None,
    ) -> None:
        account = order.account
        request = self._phone(account).request(
            method,
            order.uri,
            account=_account(account),
            caller=_caller(account, ""),
            proxy=account.proxy or None,
            headers=order.headers,
            body=body,
            content_type=content_type,
            identifier=order.address,
            party=account.party,
        )
        request.finished.add_done_callback(
            lambda future: self.post(event.RequestDone(order.id, future.result()))
        )

    def _raw(self, order: command.SendRaw) -> None:
        made = self._phone(order.account).raw(
            order.uri,
            order.octets,
            timeout=order.timeout,
            user=order.account.user,
            identifier=order.address,
            party=order.account.party,
        )
        made.finished.add_done_callback(
            lambda future: self.post(event.RequestDone(order.id, future.result()))
        )

    def _subscribe(self, order: command.Subscribe) -> None:
        account = order.account
        made = self._phone(account).subscribe(
            order.uri,
            order.event,
            account=_account(account),
            caller=_caller(account, ""),
            proxy=account.proxy or None,
            expires=order.expires,
            accept=order.accept,
            headers=order.headers,
            identifier=order.address,
            party=account.party,
        )
        self._subscriptions[order.id] = made
        made.finished.add_done_callback(
            lambda future: self.post(event.RequestDone(order.id, future.result()))
        )

    def _publish(self, order: command.Publish) -> None:
        account = order.account
        made = self._phone(account).publish(
            order.uri,
            order.event,
            order.body.encode(),
            order.type,
            expires=order.expires,
            account=_account(account),
            caller=_caller(account, ""),
            proxy=account.proxy or None,
            headers=order.headers,
            identifier=order.address,
            party=account.party,
        )
        self._subscriptions[order.id] = made
        made.finished.add_done_callback(
            lambda future: self.post(event.RequestDone(order.id, future.result()))
        )

    # -- the end

    async def _close(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.end()  # where the run was stopped before
        if self._timer is not None:
            self._timer.cancel()
        for phone in self._phones.values():
            await phone.close(linger=LINGER)
        await self._loads.close()
        await asyncio.get_running_loop().run_in_executor(None, self._engine.close)


def _uri_of(host: str) -> Uri:
    return Uri.parse(as_uri(host))


def _account(account: PartyAccount) -> Account:
    return Account(account.auth_user or account.user, account.password, account.display_name)


def _caller(account: PartyAccount, caller_id: str) -> str:
    """The From of a party: its address of record, or the identity that the document wants shown."""
    domain = account.domain.partition(":")[0] if not account.domain.startswith("[") else account.domain
    name, user = account.display_name, account.user
    if caller_id:
        shown, bracket, rest = caller_id.partition("<")
        name, user = (shown.strip().strip('"'), rest.rstrip("> ")) if bracket else ("", caller_id)
    if user.lower().startswith(("sip:", "sips:", "tel:")):
        return f'"{name}" <{user}>' if name else f"<{user}>"
    uri = f"sip:{user}@{domain or 'localhost'}"
    return f'"{name}" <{uri}>' if name else f"<{uri}>"
