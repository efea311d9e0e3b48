"""ICE for one component of one stream (RFC 8445): which pair of addresses carries the media, and whether the
peer still wants it (RFC 7675).

    agent = Agent(entropy, ("192.0.2.1", 20000), controlling=True, permits=gate)
    agent.gather(now)                                 Gathered is an event
    agent.set_remote(ufrag, pwd, candidates, now=now) from the SDP of the peer; then checks begin
    agent.receive(data, source, now)                  (payload, peer) of what is no STUN, from a proven peer
    agent.wrapped(data)                               (data, destination) of what goes to the peer

Sans-IO. `permits` is asked about each address of the peer before a packet goes there. All pairs begin
"waiting": with one component and one stream freezing saves nothing. A host has one base here, the socket; a
relay is a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from callwright.ice import stun
from callwright.ice.candidate import PRFLX, Candidate, priority
from callwright.ice.events import (
    AddressTuple,
    ConsentLost,
    Gathered,
    IceEvent,
    IceFailed,
    IceSettings,
    Selected,
)
from callwright.ice.gathering import Gathering
from callwright.ice.pairs import FAILED, IN_PROGRESS, SUCCEEDED, WAITING, Pair, Pairs
from callwright.ice.report import IceReport
from callwright.ice.requests import Requests
from callwright.ice.stun import Message, StunError

__all__ = ["Agent", "fits"]

TA = 0.05
"""Seconds between two checks (RFC 8445 section 14.2)."""
PATIENCE = 20.0
"""Seconds from the first check after which no pair means failure."""
BETTER = 0.3
"""Seconds that the first good pair is held back for one of higher priority."""
CONSENT_EVERY, CONSENT_LASTS = 5.0, 30.0
_EARLY = 16  # checks that come before the peer's SDP
_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def fits(ufrag: str, pwd: str) -> bool:
    """Whether both are as long as RFC 8839 section 5.4 wants them, of its characters."""
    sizes = 4 <= len(ufrag) <= 256 and 22 <= len(pwd) <= 256
    return sizes and all(one in _CHARS for one in ufrag + pwd)


class Agent:
    """`ufrag` and `pwd` are ours, for the SDP; `pwd` is a secret. `local`: what our socket is bound to;
    `advertised`: the address that peers are told in its place."""

    def __init__(
        self,
        entropy: Callable[[int], bytes],
        local: AddressTuple,
        *,
        controlling: bool,
        permits: Callable[[AddressTuple], bool],
        advertised: str | None = None,
        settings: IceSettings | None = None,
    ) -> None:
        self._entropy = entropy
        settings = settings or IceSettings()
        self.lite, self._relay_only = settings.lite, settings.relay_only
        self.controlling = controlling and not self.lite
        self.ufrag, self.pwd = _text(entropy, 8), _text(entropy, 24)
        self._tie = int.from_bytes(entropy(8), "big")
        self.selected: Pair | None = None
        self._former: Pair | None = None  # before the peer restarted
        self.failure: str | None = None
        self._remote_ufrag, self._remote_pwd, self._remote_lite = "", b"", False
        self._pairs = Pairs(permits)
        self._triggered: deque[Pair] = deque()
        self._early: deque[tuple[Message, AddressTuple, bool]] = deque(maxlen=_EARLY)
        self._out: list[tuple[bytes, AddressTuple]] = []
        self._events: list[IceEvent] = []
        self._requests = Requests(self._transmit)
        self._relayed_requests = Requests(self._transmit_relayed)
        self._gathering = Gathering(
            entropy, local, advertised, settings, self._requests, self._transmit, self._remark
        )
        self._relay_known = self._gathered_told = False
        self._checking: float | None = None
        self._selected_at: float | None = None
        self._next_check: float | None = None
        self._nominate_at: float | None = None
        self._next_consent: float | None = None
        self._lost = self._closed = False
        self._checks = self._strangers = 0
        self._rtt_ms: float | None = None
        self._remarks: list[str] = []

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Ours, for the SDP."""
        return tuple(self._gathering.candidates)

    def gather(self, now: float) -> None:
        """Learn our addresses from the servers; without any that is done at once."""
        self._gathering.start(now)
        self._look_at_gathering(now)

    def _look_at_gathering(self, now: float) -> None:
        gathering = self._gathering
        gathering.look(now)
        if gathering.relay is not None and not self._relay_known:
            self._relay_known = True
            for remote in list(self._pairs.remote.values()):
                self._pair(remote, now)
        if gathering.done is not None and not self._gathered_told:
            self._gathered_told = True
            self._events.append(Gathered(now))

    # -- the peer's description

    def set_remote(
        self, ufrag: str, pwd: str, candidates: Iterable[Candidate], *, lite: bool = False, now: float
    ) -> None:
        """What the SDP of the peer says. The same again changes nothing but candidates; another ufrag is an
        ICE restart (RFC 8445 section 9): checks begin anew, the pair in use stays until another wins."""
        if self._remote_ufrag and (ufrag, pwd.encode()) != (self._remote_ufrag, self._remote_pwd):
            self._former, self.selected = self.selected or self._former, None
            self._pairs.restart()
            self._triggered.clear()
            self._checking = self._nominate_at = None
            self._remark("The peer restarted ICE.")
        self._remote_ufrag, self._remote_pwd, self._remote_lite = ufrag, pwd.encode(), lite
        if lite and not self.lite:
            self.controlling = True
        for candidate in candidates:
            self.add_remote(candidate, now)
        if self._checking is None:
            self._checking = now
            self._next_check = now
        early, self._early = list(self._early), deque(maxlen=_EARLY)
        for message, source, relayed in early:
            self._checked(message, source, relayed, now)
        if lite and self.lite:
            self._settle_between_lites(now)

    def add_remote(self, candidate: Candidate, now: float) -> None:
        """One more, as trickled. Those of another component are passed over."""
        if self._pairs.add(candidate):
            self._pair(candidate, now)

    def _pair(self, remote: Candidate, now: float) -> None:
        gathering = self._gathering
        if not self._relay_only:
            self._pairs.pair(remote, gathering.host, relayed=False)
        if gathering.relay is not None and gathering.turn is not None:
            self._pairs.pair(remote, gathering.relay, relayed=True)
            gathering.turn.permit(remote.host, now)
        self._pairs.rank(self.controlling)
        if self._next_check is None and self._checking is not None:
            self._next_check = now

    # -- the verbs

    def receive(self, data: bytes, source: AddressTuple, now: float) -> tuple[bytes, AddressTuple] | None:
        """A datagram of the socket. What is no STUN comes back, with the peer that sent it, where that has
        shown by a signed check that it is the peer; else None."""
        relayed = False
        turn = self._gathering.turn
        if turn is not None and source == turn.server and not _is_binding(data):
            passed = turn.receive(data, now)
            self._look_at_gathering(now)
            if passed is None:
                return None
            data, source = passed
            relayed = True
        if stun.is_stun(data):
            self._receive_stun(data, source, relayed, now)
            return None
        pair = self._pairs.find(source, relayed)
        known = pair is not None and (pair.heard or pair.state == SUCCEEDED)
        if not known and (self._former is None or source != self._former.remote.address):
            return None
        return data, source

    def wake(self, now: float) -> None:
        turn = self._gathering.turn
        if turn is not None:
            turn.wake(now)
        if self._closed:
            return
        self._requests.wake(now)
        self._relayed_requests.wake(now)
        self._look_at_gathering(now)
        if self._next_check is not None and self._next_check <= now:
            self._check_next(now)
        if self._nominate_at is not None and self._nominate_at <= now:
            self._nominate(now)
        if self._next_consent is not None and self._next_consent <= now:
            self._ask_consent(now)
        if self._checking is not None and self.selected is None and now >= self._checking + PATIENCE:
            self._fail(self._why_not(), now)

    def next_wake(self) -> float | None:
        turn = self._gathering.turn
        times = [turn.next_wake() if turn is not None else None]
        if not self._closed:
            times += [self._requests.next_wake(), self._relayed_requests.next_wake(), self._gathering.until]
            times += [self._next_check, self._nominate_at, self._next_consent]
            if self._checking is not None and self.selected is None and self.failure is None:
                times.append(self._checking + PATIENCE)
        return min((one for one in times if one is not None), default=None)

    def transmissions(self) -> list[tuple[bytes, AddressTuple]]:
        out, self._out = self._out, []
        return out

    def events(self) -> list[IceEvent]:
        out, self._events = self._events, []
        return out

    def wrapped(self, data: bytes) -> tuple[bytes, AddressTuple] | None:
        """How a packet goes to the peer: by the selected pair, until there is one by the best that works;
        None while there is none, and after consent was lost."""
        pair, turn = self._usable(), self._gathering.turn
        if pair is None:
            return None
        if pair.relayed and turn is not None:
            return turn.wrapped(data, pair.remote.address), turn.server
        return data, pair.remote.address

    @property
    def remote(self) -> AddressTuple | None:
        """Where `wrapped` sends to, as the peer is known."""
        pair = self._usable()
        return None if pair is None else pair.remote.address

    @property
    def settled(self) -> bool:
        """Nothing but consent is to be asked any more, so nobody has to be quick."""
        over = self.failure is not None or self._lost
        return over or (self.selected is not None and self._next_check is None)

    def close(self, now: float) -> None:
        """Give back what a TURN server holds; nothing more is checked."""
        self._closed = True
        if self._gathering.turn is not None:
            self._gathering.turn.close(now)

    def report(self) -> IceReport:
        pair = self.selected
        return IceReport(
            controlling=self.controlling,
            lite=self.lite,
            began=self._gathering.began,
            gathered=self._gathering.done,
            checked=self._checking,
            selected=self._selected_at,
            local=pair.local if pair is not None else None,
            remote=pair.remote if pair is not None else None,
            rtt_ms=self._rtt_ms,
            local_candidates=self.candidates,
            remote_candidates=tuple(self._pairs.remote.values()),
            refused=tuple(self._pairs.refused),
            checks=self._checks,
            strangers=self._strangers,
            consent_lost=self._lost,
            failure=self.failure,
            remarks=tuple(self._remarks),
        )

    # -- what comes

    def _receive_stun(self, data: bytes, source: AddressTuple, relayed: bool, now: float) -> None:
        try:
            message = stun.parse(data)
        except StunError:
            self._strangers += 1
            return
        if message.method != stun.BINDING:
            return
        if message.kind in (stun.SUCCESS, stun.ERROR):
            requests = self._relayed_requests if relayed else self._requests
            requests.receive(message, source, now)
            self._look_at_gathering(now)
        elif message.kind == stun.REQUEST:
            self._requested(message, source, relayed, now)

    def _requested(self, message: Message, source: AddressTuple, relayed: bool, now: float) -> None:
        ours, _, theirs = (message.value(stun.USERNAME) or b"").decode("utf-8", "replace").partition(":")
        right_peer = not self._remote_ufrag or theirs == self._remote_ufrag
        if self._closed or ours != self.ufrag or not right_peer or not message.signed_by(self.pwd.encode()):
            self._strangers += 1
            return
        if not self._pairs.admits(source):
            return
        if message.unknown:
            listed = b"".join(one.to_bytes(2, "big") for one in message.unknown[:16])
            said = [
                (stun.ERROR_CODE, stun.error_value(420, "Unknown Attribute")),
                (stun.UNKNOWN_ATTRIBUTES, listed),
            ]
            self._respond(message, source, relayed, stun.ERROR, said)
            return
        if not self._agree_on_roles(message, source, relayed):
            return
        mapped = [(stun.XOR_MAPPED_ADDRESS, stun.xor_address(source, message.transaction))]
        self._respond(message, source, relayed, stun.SUCCESS, mapped)
        self._checked(message, source, relayed, now)

    def _agree_on_roles(self, message: Message, source: AddressTuple, relayed: bool) -> bool:
        """Two that control, or none (RFC 8445 section 7.3.1.1); False: the peer was told to change."""
        kind = stun.ICE_CONTROLLING if self.controlling else stun.ICE_CONTROLLED
        theirs = message.number(kind)
        if theirs is None or self.lite:
            return True
        if (self._tie >= theirs) == self.controlling:
            conflict = [(stun.ERROR_CODE, stun.error_value(487, "Role Conflict"))]
            self._respond(message, source, relayed, stun.ERROR, conflict)
            return False
        self._change_role(not self.controlling)
        return True

    def _change_role(self, controlling: bool) -> None:
        if controlling == self.controlling:
            return
        self.controlling = controlling
        self._nominate_at = None
        self._remark(
            f"Both sides wanted to be {'controlled' if controlling else 'controlling'} (RFC 8445, 7.3.1.1)."
        )
        self._pairs.rank(self.controlling)

    def _respond(
        self,
        request: Message,
        to: AddressTuple,
        relayed: bool,
        kind: int,
        attributes: Sequence[tuple[int, bytes]],
    ) -> None:
        data = stun.build(kind, stun.BINDING, request.transaction, attributes, key=self.pwd.encode())
        if relayed:
            self._transmit_relayed(data, to)
        else:
            self._transmit(data, to)

    def _checked(self, message: Message, source: AddressTuple, relayed: bool, now: float) -> None:
        """A signed check of the peer came along a pair (RFC 8445 sections 7.3.1.3 to 7.3.1.5)."""
        if not self._remote_ufrag:
            self._early.append((message, source, relayed))
            return
        if source not in self._pairs.remote:
            self._pair(self._pairs.discover(source, message.number(stun.PRIORITY)), now)
        pair = self._pairs.find(source, relayed)
        if pair is None:
            return
        pair.heard = True
        if message.has(stun.USE_CANDIDATE) and not self.controlling:
            pair.nominated = True
        if self.lite:
            if pair.nominated:
                self._select(pair, now)
            return
        if pair.state == SUCCEEDED:
            if pair.nominated:
                self._select(pair, now)
        elif pair.state != IN_PROGRESS and pair not in self._triggered:
            pair.state = WAITING
            self._triggered.append(pair)
            if self._next_check is None:
                self._next_check = now

    # -- our checks

    def _check_next(self, now: float) -> None:
        self._next_check = None
        if self.lite or self.failure is not None or not self._remote_ufrag:
            return
        pair = self._triggered.popleft() if self._triggered else None
        if pair is None and not (self.selected is not None and self.selected.state == SUCCEEDED):
            pair = self._pairs.best(WAITING)
        if pair is None:
            return
        self._check(pair, now)
        self._next_check = now + TA

    def _check(self, pair: Pair, now: float, *, nominate: bool = False) -> None:
        if pair.transaction:
            self._by(pair).forget(pair.transaction)
        if pair.state != SUCCEEDED:
            pair.state = IN_PROGRESS
        pair.nominating = nominate
        transaction, data = self._request(pair, nominate)
        pair.transaction = transaction
        self._checks += 1

        def answered(message: Message | None, source: AddressTuple | None, at: float) -> None:
            self._answered(pair, transaction, message, source, at, at - now)

        self._by(pair).send(transaction, data, pair.remote.address, now, answered)

    def _request(self, pair: Pair, nominate: bool) -> tuple[bytes, bytes]:
        kind = stun.ICE_CONTROLLING if self.controlling else stun.ICE_CONTROLLED
        reflexive = priority(PRFLX) if not pair.relayed else pair.local.priority
        attributes = [
            (stun.USERNAME, f"{self._remote_ufrag}:{self.ufrag}".encode()),
            (stun.PRIORITY, reflexive.to_bytes(4, "big")),
            (kind, self._tie.to_bytes(8, "big")),
        ]
        if nominate:
            attributes.append((stun.USE_CANDIDATE, b""))
        transaction = self._entropy(12)
        data = stun.build(stun.REQUEST, stun.BINDING, transaction, attributes, key=self._remote_pwd)
        return transaction, data

    def _by(self, pair: Pair) -> Requests:
        return self._relayed_requests if pair.relayed else self._requests

    def _answered(
        self,
        pair: Pair,
        transaction: bytes,
        message: Message | None,
        source: AddressTuple | None,
        now: float,
        took: float,
    ) -> None:
        if pair.transaction != transaction:
            return
        pair.transaction = b""
        nominating, pair.nominating = pair.nominating, False
        signed = message is not None and message.signed_by(self._remote_pwd)
        error = message.error if message is not None and message.kind == stun.ERROR else None
        if error is not None and signed and error[0] == 487:
            self._change_role(not self.controlling)
            pair.state = WAITING
            self._triggered.append(pair)
            self._next_check = self._next_check or now
            return
        if message is None or error is not None or not signed or source != pair.remote.address:
            if message is not None and not signed:
                self._strangers += 1
            if not nominating or pair.state != SUCCEEDED:
                pair.state = FAILED
            self._look_at_end(now)
            return
        pair.state, pair.consent = SUCCEEDED, now
        self._rtt_ms = 1000.0 * took
        if nominating and self.controlling:
            pair.nominated = True
        if pair.nominated:
            self._select(pair, now)
        elif self.controlling and self.selected is None:
            better = self._pairs.best(WAITING, IN_PROGRESS)
            if better is None or better.rank < pair.rank:
                self._nominate_at = now
            elif self._nominate_at is None:
                self._nominate_at = now + BETTER

    def _nominate(self, now: float) -> None:
        self._nominate_at = None
        best = self._pairs.best(SUCCEEDED)
        if best is not None and self.controlling and self.selected is None and not best.nominating:
            self._check(best, now, nominate=True)

    def _look_at_end(self, now: float) -> None:
        """A pair failed: one that works may be the best now. With none there is no end before the time is
        over, since a check of the peer may come from where it did not tell."""
        if self._nominate_at is None and self.controlling and self.selected is None:
            good = self._pairs.best(SUCCEEDED)
            if good is not None and not good.nominating:
                self._nominate_at = now

    def _select(self, pair: Pair, now: float) -> None:
        current = self.selected
        if pair is current or (current is not None and current.rank >= pair.rank):
            return
        self.selected, pair.consent = pair, now
        if self._selected_at is None:
            self._selected_at = now
        if pair.relayed and self._gathering.turn is not None:
            self._gathering.turn.bind(pair.remote.address, now)
        self._events.append(Selected(pair.local, pair.remote, now))
        if not self.lite and self._next_consent is None:
            self._next_consent = now + self._consent_pause()

    def _settle_between_lites(self, now: float) -> None:
        """Neither side checks: the peer's best candidate is taken at its word (RFC 8445 section 6.1.1)."""
        if self._pairs.all and self.selected is None:
            self._pairs.all[0].heard = True
            self._select(self._pairs.all[0], now)

    # -- consent

    def _consent_pause(self) -> float:
        """0.8 to 1.2 of 5 s, by chance (RFC 7675 section 5.1)."""
        return CONSENT_EVERY * (0.8 + 0.4 * int.from_bytes(self._entropy(2), "big") / 65535)

    def _ask_consent(self, now: float) -> None:
        pair = self.selected
        self._next_consent = None
        if pair is None or self._lost:
            return
        if now - pair.consent >= CONSENT_LASTS:
            self._lost = True
            self._events.append(ConsentLost(now))
            return
        transaction, data = self._request(pair, False)

        def answered(message: Message | None, source: AddressTuple | None, at: float) -> None:
            right = (
                message is not None and message.kind == stun.SUCCESS and message.signed_by(self._remote_pwd)
            )
            if right and source == pair.remote.address:
                pair.consent = at
                self._rtt_ms = 1000.0 * (at - now)

        # Each is a request of its own, sent once (RFC 7675 section 5.1).
        self._by(pair).send(transaction, data, pair.remote.address, now, answered, tries=1, rto=CONSENT_EVERY)
        self._next_consent = min(now + self._consent_pause(), max(pair.consent + CONSENT_LASTS, now + 0.1))

    # -- small things

    def _usable(self) -> Pair | None:
        if self._lost or self._closed:
            return None
        if self.selected is not None:
            return self.selected
        return self._pairs.best(SUCCEEDED) or self._former

    def _why_not(self) -> str:
        pairs, refused = self._pairs.all, len(self._pairs.refused)
        if not pairs:
            told = f"; {refused} of its addresses are not permitted" if refused else ""
            return f"The peer has no candidate that we may use{told}."
        what = "our checks are not answered" if any(p.heard for p in pairs) else "no check of the peer came"
        return f"No pair of candidates works, of {len(pairs)}: {what}."

    def _fail(self, reason: str, now: float) -> None:
        if self.failure is None:
            self.failure = reason
            self._next_check = None
            self._events.append(IceFailed(reason, now))

    def _remark(self, text: str) -> None:
        if text not in self._remarks and len(self._remarks) < 16:
            self._remarks.append(text)

    def _transmit(self, data: bytes, to: AddressTuple) -> None:
        self._out.append((data, to))

    def _transmit_relayed(self, data: bytes, to: AddressTuple) -> None:
        turn = self._gathering.turn
        if turn is not None:
            self._out.append((turn.wrapped(data, to), turn.server))


def _is_binding(data: bytes) -> bool:
    """A server may be STUN and TURN at once: its Binding responses are no affair of the allocation."""
    return len(data) >= 2 and data[:2] in (b"\x01\x01", b"\x01\x11")


def _text(entropy: Callable[[int], bytes], length: int) -> str:
    return "".join(_CHARS[octet & 63] for octet in entropy(length))
