"""From a dialled number to whoever answers: rings, forwards, and rings again where nobody did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, assert_never

from callwright.pbx.accounts import PbxAccount, PbxAccounts
from callwright.pbx.booth import Booth, BoothHost
from callwright.pbx.bridge import Attempt, Bridge, BridgeHost, Invitation, Place, Standing
from callwright.pbx.holding import open_both_ways
from callwright.pbx.messages import Mailboxes
from callwright.pbx.outside import TrunkLines, trunk_address
from callwright.pbx.passage import (
    asserted_by,
    caller_address,
    escaped,
    hides,
    hops_left,
    identity_headers,
    onward,
)
from callwright.pbx.path import MediaPaths, NoMediaPath
from callwright.pbx.plan import VOICEMAIL, PbxPlan, RingGroup
from callwright.pbx.reception import Reception, ReceptionHost
from callwright.pbx.record import CallFinished, CallPlaced, CallRecord, Diversion
from callwright.pbx.registrar import Binding, Registrar
from callwright.pbx.routing import (
    Forward,
    Onward,
    Outside,
    Refuse,
    Ring,
    Route,
    Serve,
    Strategy,
    TakeMessage,
    Why,
    ring_group,
    route,
)
from callwright.pbx.verdicts import Final
from callwright.phone.permission import NotPermitted, Permission
from callwright.sip.alerting import answers_itself
from callwright.sip.call import Call
from callwright.sip.digest import Credentials
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.message import Request
from callwright.sip.transport import Hop, PermittedHop
from callwright.sip.uri import NameAddr, Uri

__all__ = ["Placing", "PlacingHost"]

_MOST_DIVERSIONS = 5
ANONYMOUS = NameAddr("Anonymous", Uri("sip", "anonymous", None, "anonymous.invalid"))
_UNREACHABLE = Refuse(480, "Temporarily Unavailable")
_BUSY = (486, 600, 603)  # a phone that declines says 603; to its owner's forwarding that is busy
_SILENT = (408, 480, 487)


class PlacingHost(BridgeHost, BoothHost, ReceptionHost, Protocol):
    """What calls are placed from."""

    @property
    def permission(self) -> Permission: ...

    @property
    def trunks(self) -> TrunkLines: ...

    def way_to(self, binding: Binding) -> PermittedHop:
        """Where requests to a binding go."""
        ...

    def address_of(self, user: str) -> NameAddr:
        """To towards an account."""
        ...

    @property
    def strategy(self) -> Strategy: ...

    def is_own(self, hop: Hop) -> bool:
        """The hop leads back to us."""
        ...

    def joined(self, session: Bridge | Booth) -> None:
        """A call lives from now on, or goes on in this session."""
        ...

    def concluded(self, session: Bridge | Booth, now: float) -> None:
        """The call is over, though legs may still say goodbye."""
        ...

    def moved_on(self, session: Bridge | Booth) -> None:
        """The call goes on in another session."""
        ...

    def turned_away(self, record: CallRecord, event: CallFinished) -> None:
        """A call was refused before anything rang."""
        ...

    def too_many(self, account: PbxAccount | None) -> bool:
        """No further call of that account may begin."""
        ...


@dataclass(slots=True)
class _Journey:
    """A caller on the way. `asks`: the account that credentials proved; `onward`: what the last ring says of
    calls that it does not answer. `rights`: the account by whose rights it goes outside, the last that
    forwarded it. `booth`: where the party waits that is up already; `parker`: who
    transferred it."""

    call: Call
    request: Request
    asks: PbxAccount | None
    record: CallRecord
    onward: Onward = field(default_factory=Onward)
    rights: PbxAccount | None = None
    bridge: Bridge | None = None
    booth: Booth | None = None
    parker: str = ""


class Placing:
    """The calls of a PBX until somebody answers. `plan` is replaced whole by whoever owns the PBX."""

    def __init__(
        self,
        host: PlacingHost,
        registrar: Registrar,
        paths: MediaPaths,
        plan: PbxPlan,
        mailboxes: Mailboxes | None = None,
    ) -> None:
        self.plan = plan
        self.reception = Reception(host, mailboxes)
        self._host = host
        self._registrar = registrar
        self._accounts: PbxAccounts = registrar.accounts
        self._paths = paths

    def place(
        self,
        call: Call,
        request: Request,
        account: PbxAccount | None,
        record: CallRecord,
        now: float,
        to: str | None = None,
    ) -> None:
        """A call of this account; None: of somebody who needs none. `to`: the number, where the Request-URI
        has another."""
        journey = _Journey(call, request, account, record, rights=account)
        found = self._way(journey, request.target if to is None else to, now)
        if not isinstance(found, Refuse) and self._host.too_many(account):
            found = Refuse(503, "Service Unavailable (too many calls)")
        self._do(journey, found, now)

    def send_on(self, booth: Booth, to: str | RingGroup, account: PbxAccount | None, now: float) -> None:
        """Connect a party that is up to somebody else; see BoothHost.send_on."""
        journey = _Journey(
            booth.call,
            booth.call.request,
            account,
            booth.record,
            rights=account,
            booth=booth,
            parker=booth.parker,
        )
        if isinstance(to, RingGroup):
            group = ring_group(to, self._accounts, self._registrar, now)
            usable = self._usable(group, account) if isinstance(group, Ring | Refuse) else _UNREACHABLE
            self._do(journey, usable, now)
        else:
            self._do(journey, self._way(journey, to, now), now)

    def _do(
        self, journey: _Journey, found: Outside | Ring | Refuse | Serve | TakeMessage, now: float
    ) -> None:
        match found:
            case Ring():
                hops = _hops(found)
                self._ring(journey, self._attempts(journey, found), hops, now)
            case Outside():
                attempts = self._outward(journey, found)
                if isinstance(attempts, Refuse):
                    self._turn_away(journey, attempts, now)
                else:
                    hops = [place.hop for attempt in attempts for place in attempt.places]
                    self._ring(journey, attempts, hops, now)
            case Refuse():
                self._turn_away(journey, found, now)
            case _:
                self._serve(journey, found, now)

    def reached(self, request: Request, target: Uri, account: PbxAccount | None, now: float) -> Ring | Refuse:
        """Whom a request that is no call means: the contacts of an account or group, whatever it wishes about
        calls; without the contacts that would lead back to us."""
        if hops_left(request) < 0:
            return Refuse(483, "Too Many Hops")
        found: Route = route(target, self._accounts, self._registrar, now, strategy=self._host.strategy)
        who = self._accounts.dialled(target.unescaped_user)
        if who is not None and not isinstance(found, Ring) and self._accounts.serves(target):
            bindings = self._registrar.reachable(who.user, now)
            if bindings:
                found = Ring(who, (bindings,))
        if not isinstance(found, Ring | Refuse):
            found = _UNREACHABLE
        return self._usable(found, account)

    # -- calls that a program asks for

    def own_phones(self, user: str, number: str, now: float) -> Attempt | None:
        """The phones of an account, which show the number that it is going to call; None: it has none."""
        bindings = self._registrar.reachable(user, now)
        if not bindings:
            return None
        host = self._host
        headers = answers_itself(str(host.address_of("").uri))
        invitation = Invitation(NameAddr(number, host.address_of(number).uri), tuple(headers))
        return Attempt(invitation, tuple(self._place_of(binding) for binding in bindings))

    def attempts_at(
        self, number: str, shown: str, account: PbxAccount, record: CallRecord, now: float
    ) -> list[Attempt] | Refuse:
        """Who is rung at a number by the rights of an account, forwardings not followed. `shown`: the number
        that phones of ours see."""
        found = route(
            self._number(number),
            self._accounts,
            self._registrar,
            now,
            plan=self.plan,
            strategy=self._host.strategy,
            rights=account,
        )
        match found:
            case Ring():
                usable = self._usable(found, account)
                if isinstance(usable, Refuse):
                    return usable
                invitation = Invitation(NameAddr("", self._host.address_of(shown).uri), ())
                groups = usable.groups
                return [Attempt(invitation, tuple(self._place_of(one) for one in group)) for group in groups]
            case Outside():
                return self._ways_of(found, account, [], record)
            case Refuse():
                return found
            case _:
                return Refuse(480, "Temporarily Unavailable (nobody can be rung at this number)")

    # -- the way

    def _way(
        self, journey: _Journey, target: Uri | str, now: float
    ) -> Outside | Ring | Refuse | Serve | TakeMessage:
        """What rings or answers, after as many forwardings as there are."""
        if hops_left(journey.request) < 0:
            return Refuse(483, "Too Many Hops")
        while True:
            if isinstance(target, str):
                kind, _, user = target.partition(":")
                if kind == VOICEMAIL:
                    return TakeMessage(user) if self._accounts.find(user) else Refuse(404, "Not Found")
                target = self._number(target)
            found = route(
                target,
                self._accounts,
                self._registrar,
                now,
                plan=self.plan,
                strategy=self._host.strategy,
                rights=journey.rights,
            )
            match found:
                case Forward():
                    circle = self._divert(journey, found)
                    if circle is not None:
                        return circle
                    target = found.to
                    journey.rights = self._accounts.find(found.by) or journey.rights
                case Ring() | Refuse():
                    usable = self._usable(found, journey.asks)
                    if isinstance(usable, Ring):
                        journey.onward = usable.onward
                    return usable
                case Outside():
                    journey.onward = Onward()
                    return found
                case Serve() | TakeMessage():
                    return found
                case _:
                    assert_never(found)

    def _divert(self, journey: _Journey, forward: Forward) -> Refuse | None:
        """Note it; a Refuse when it leads in a circle."""
        diversions = journey.record.diversions
        if len(diversions) >= _MOST_DIVERSIONS or any(done.by == forward.by for done in diversions):
            return Refuse(482, f"Loop Detected (calls of {escaped(forward.by)} are forwarded in a circle)")
        diversions.append(Diversion(forward.by, forward.to, forward.why.value))
        return None

    def _usable(self, found: Ring | Refuse, asks: PbxAccount | None) -> Ring | Refuse:
        if isinstance(found, Refuse):
            # A stranger does not learn which accounts there are.
            return _UNREACHABLE if asks is None and found.status in (404, 480) else found
        own = self._host.is_own
        groups = [tuple(b for b in group if not own(b.next_hop)) for group in found.groups]
        if not any(groups):
            return Refuse(482, "Loop Detected (the contact is this PBX)")
        return replace(found, groups=tuple(group for group in groups if group))

    def _number(self, number: str) -> Uri:
        return Uri("sip", escaped(number), None, self._accounts.domain)

    # -- ringing

    def _ring(self, journey: _Journey, attempts: Sequence[Attempt], hops: Sequence[Hop], now: float) -> None:
        """Call the places, and join the first that answers with the caller."""
        call, request = journey.call, journey.request
        if _is_alone(request) and _contact_host(request) not in (None, call.hop.remote.host):
            # Behind a NAT, and no proxy in between: back the way it came.
            call.use_hop(self._host.permission.led(call.hop, call.hop))
        try:
            path = self._paths.open(call.hop, hops, now, direct=self._is_direct(journey, attempts))
        except NoMediaPath as error:
            refuse = Refuse(503, f"Service Unavailable ({error.reason})")
            self._turn_away(journey, refuse, now)
            return
        bridge = Bridge(
            self._host,
            call,
            attempts,
            path,
            journey.record,
            self._unanswered(journey),
            _standing(journey.booth),
        )
        journey.bridge = bridge
        if journey.booth is not None:
            self._host.moved_on(journey.booth)
        self._host.joined(bridge)
        if journey.booth is None:
            self._host.tell(CallPlaced(now, journey.record))
        bridge.start(now)

    def _is_direct(self, journey: _Journey, attempts: Sequence[Attempt]) -> bool:
        """The caller wants the audio past the PBX, or everybody does who rings first."""
        asks, trunk = journey.asks, self.plan.trunk(journey.record.trunk or "")
        places = [place for attempt in attempts for place in attempt.places]
        if any(self._is_recorded(user) for user in (journey.record.caller, *(one.user for one in places))):
            return False
        if asks.direct if asks is not None else trunk is not None and trunk.direct:
            return True
        return bool(places) and all(place.direct for place in places)

    def _is_recorded(self, user: str | None) -> bool:
        account = self._accounts.find(user)
        return account is not None and account.record

    def _serve(self, journey: _Journey, found: Serve | TakeMessage, now: float) -> None:
        """The PBX answers itself, or gives the caller who waits there."""
        call, record, host = journey.call, journey.record, self._host
        user = None if journey.asks is None else journey.asks.user
        parked = self.reception.lot.get(found.dialled) if isinstance(found, Serve) else None
        if parked is not None and journey.booth is None and not journey.parker:
            self._fetch(journey, parked, now)
            return
        act = self.reception.act(found, user, self.plan, journey.parker)
        if isinstance(act, Refuse):
            self._turn_away(journey, act, now)
        elif journey.booth is not None:
            host.joined(journey.booth)
            journey.booth.act.reached(journey.booth, now)
            journey.booth.become(act, now)
        else:
            booth = Booth(host, call, record, act, user)
            host.joined(booth)
            host.tell(CallPlaced(now, record))
            booth.answer(now)

    def join(
        self,
        first: Call,
        said: bytes,
        second: Call,
        record: CallRecord,
        user: str,
        now: float,
        done: Callable[[bool, float], None],
    ) -> None:
        """Connect two parties that are up. `said`: the last description of the first."""
        try:
            wishes = [self._accounts.find(one) for one in (record.caller, user)]
            direct = any(one.direct for one in wishes if one is not None)
            direct = direct and not any(self._is_recorded(one) for one in (record.caller, user))
            path = self._paths.open(first.hop, [second.hop], now, direct=direct)
        except NoMediaPath:
            for call in (first, second):
                call.hangup(now=now)
            done(False, now)
            return
        standing = Standing(
            open_both_ways(said),
            lambda at: done(True, at),
            lambda at: done(False, at),
            lambda final, at: done(False, at),
        )
        bridge = Bridge(self._host, first, [], path, record, standing=standing)
        first.user_data = bridge
        self._host.joined(bridge)
        bridge.pick_up(second, now, user=user)

    def _fetch(self, journey: _Journey, parked: Booth, now: float) -> None:
        """Join the caller with a party that waits in a booth."""
        call = journey.call
        try:
            path = self._paths.open(call.hop, [parked.call.hop], now)
        except NoMediaPath as error:
            self._turn_away(journey, Refuse(503, f"Service Unavailable ({error.reason})"), now)
            return
        bridge = Bridge(self._host, call, [], path, journey.record)
        self._host.joined(bridge)
        self._host.tell(CallPlaced(now, journey.record))
        if bridge.pick_up(parked.call, now, user=parked.record.caller or ""):
            parked.hand_over(f"fetched by {journey.record.caller}", now)
        else:
            bridge.refuse(Final(488, "Not Acceptable Here (an offer is needed)"), now)

    def _attempts(self, journey: _Journey, ring: Ring) -> list[Attempt]:
        request, account, domain = journey.request, journey.asks, self._accounts.domain
        headers = onward(request.headers, hops_left(request))
        shown = journey.booth.identity if journey.booth is not None else None
        if shown is None:
            shown = caller_address(request, account, domain)
            headers += identity_headers(request, account, domain)
            headers += self._asserted(journey)
        else:
            headers.append(("P-Asserted-Identity", str(shown)))
            if journey.parker:
                headers.append(("Referred-By", f"<{self._number(journey.parker)}>"))
        headers += [
            ("Diversion", f"<{self._number(done.by)}>;reason={done.why}")
            for done in reversed(journey.record.diversions)
        ]
        invitation = Invitation(shown, tuple(headers))
        return [
            Attempt(invitation, tuple(self._place_of(binding) for binding in group), ring.seconds)
            for group in ring.groups
        ]

    def _asserted(self, journey: _Journey) -> list[tuple[str, str]]:
        """Whom a trunk of our trust domain asserts; nobody else is believed, and nobody learns who hides."""
        trunk = self.plan.trunk(journey.record.trunk) if journey.record.trunk else None
        believed = trunk is not None and trunk.trusted and journey.asks is None
        return asserted_by(journey.request) if believed and not hides(journey.request) else []

    def _place_of(self, binding: Binding) -> Place:
        host, account = self._host, self._accounts.find(binding.user)
        return Place(
            binding.contact,
            host.address_of(binding.user),
            host.way_to(binding),
            binding.user,
            fixed=binding.behind_nat,
            agent=binding.user_agent or "",
            routes=binding.path,
            direct=account is not None and account.direct,
        )

    def _outward(self, journey: _Journey, outside: Outside) -> list[Attempt] | Refuse:
        headers = onward(journey.request.headers, hops_left(journey.request))
        return self._ways_of(outside, journey.rights, headers, journey.record, journey.request)

    def _ways_of(
        self,
        outside: Outside,
        rights: PbxAccount | None,
        headers: Sequence[tuple[str, str]],
        record: CallRecord,
        request: Request | None = None,
    ) -> list[Attempt] | Refuse:
        """One attempt for each way that a trunk has. `request`: of the caller, if there is one."""
        found = list[Attempt]()
        refusal: NotPermitted | None = None
        for trunk in outside.trunks:
            caller = trunk.caller or (rights.extension or rights.user if rights is not None else "")
            shown = trunk_address(trunk, escaped(caller) or "anonymous")
            said = tuple(headers)
            if trunk.trusted and request is not None:
                domain = self._accounts.domain
                said += tuple(identity_headers(request, rights, domain, trusted=True))
            elif request is not None and hides(request):
                shown = ANONYMOUS
            invitation = Invitation(shown, said)
            to = trunk_address(trunk, escaped(outside.number))
            known = Credentials(trunk.username, trunk.password) if trunk.username else None
            try:
                hops = self._host.trunks.ways(trunk, outside.number)
            except NotPermitted as error:
                refusal = error
                continue
            for hop in hops:
                place = Place(to.uri, to, hop, outside.number, credentials=known, direct=trunk.direct)
                found.append(Attempt(invitation, (place,), spare=bool(found)))
                record.trunk = trunk.name
        if found:
            return found
        if refusal is not None:
            return Refuse(403, "Forbidden (the policy permits no such call outside)")
        return Refuse(503, "Service Unavailable (no trunk can be reached)")

    def _unanswered(self, journey: _Journey) -> Callable[[Final, float], bool]:
        def onward(final: Final, now: float) -> bool:
            return self._go_on(journey, final, now)

        return onward

    def _go_on(self, journey: _Journey, final: Final, now: float) -> bool:
        """Nobody answered: whether somebody else is rung."""
        if final.status in _BUSY:
            why = Why.BUSY
        elif final.status in _SILENT and journey.bridge is not None and journey.bridge.rang:
            why = Why.NO_ANSWER
        else:
            why = Why.UNREACHABLE
        to, bridge = journey.onward.after(why), journey.bridge
        journey.rights = self._accounts.find(journey.onward.by) or journey.rights
        if not to or bridge is None or self._divert(journey, Forward(journey.onward.by, to, why)) is not None:
            return False
        found = self._way(journey, to, now)
        match found:
            case Refuse():
                bridge.refuse(Final(found.status, found.reason), now)
            case Ring():
                bridge.admit(_hops(found))
                bridge.extend(self._attempts(journey, found), now)
            case Outside():
                attempts = self._outward(journey, found)
                if isinstance(attempts, Refuse):
                    bridge.refuse(Final(attempts.status, attempts.reason), now)
                else:
                    bridge.admit([place.hop for attempt in attempts for place in attempt.places])
                    bridge.extend(attempts, now)
            case _:
                bridge.give_back(now)
                self._serve(journey, found, now)
        return True

    def _turn_away(self, journey: _Journey, refusal: Refuse, now: float) -> None:
        record = journey.record
        if journey.booth is not None:
            journey.booth.hear_of_failure(refusal.status, now)
            return
        headers = [("Retry-After", "10")] if refusal.status == 503 else []
        journey.call.reject(refusal.status, now=now, reason=refusal.reason, headers=headers)
        record.ended_at, record.ended_by = now, "pbx"
        record.status, record.reason = refusal.status, refusal.reason
        self._host.turned_away(record, CallFinished(now, record))


def _standing(booth: Booth | None) -> Standing | None:
    if booth is None or booth.stage is None:
        return None

    def joined(now: float) -> None:
        booth.act.reached(booth, now)
        booth.leave(now)

    def failed(final: Final, now: float) -> None:
        booth.hear_of_failure(final.status, now)

    return Standing(booth.stage.theirs, joined, booth.leave, failed)


def _hops(ring: Ring) -> Sequence[Hop]:
    return [binding.next_hop for group in ring.groups for binding in group]


def _is_alone(request: Request) -> bool:
    """No proxy stands between the caller and us."""
    return len(request.headers.get_all("via")) == 1 and "record-route" not in request.headers


def _contact_host(request: Request) -> str | None:
    try:
        contacts = request.headers.contact
    except SipSyntaxError:
        return None
    return contacts[0].uri.host if contacts else None
