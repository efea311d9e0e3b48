"""The registrar: which contacts an address-of-record has, and until when (RFC 3261 section 10.3).

Pure: a REGISTER that digest has already proven, the flow it came over and ``now`` in; status and headers
out. An update is made whole or not at all.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from callwright.pbx.accounts import PbxAccounts
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.message import Request
from callwright.sip.transport import Address, Hop
from callwright.sip.uri import NameAddr, Uri

__all__ = ["Binding", "Change", "ChangeKind", "Registered", "Registrar"]

_DELTA_SECONDS = re.compile(r"[0-9]{1,10}\Z")
_Q = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)\Z")


@dataclass(frozen=True, slots=True)
class Binding:
    """One contact of an address-of-record. ``expires_at`` and ``since``: monotonic seconds; ``q``: 0 to 1."""

    user: str
    contact: Uri
    hop: Hop
    expires_at: float
    since: float
    call_id: str
    cseq: int
    q: float = 1.0
    instance: str | None = None
    user_agent: str | None = None

    @property
    def behind_nat(self) -> bool:
        """The contact names another host than the one the REGISTER came from."""
        return not _same_host(self.contact.host, self.hop.remote.host)

    @property
    def next_hop(self) -> Hop:
        """Where a request to this contact goes.

        Over the flow it registered on, for that is what a NAT lets through (RFC 3581, RFC 5626); only a UDP
        phone that says its own address is believed about its port.
        """
        if self.hop.transport.reliable or self.behind_nat:
            return self.hop
        said = (self.contact.parameter("transport") or "udp").lower()
        if said != "udp":
            return self.hop
        port = self.contact.port or self.hop.transport.default_port
        return replace(self.hop, remote=Address(self.hop.remote.host, port))


class ChangeKind(StrEnum):
    ADDED = "added"
    REFRESHED = "refreshed"
    REMOVED = "removed"
    EXPIRED = "expired"
    LOST = "lost"  # the connection it came over is gone


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a binding."""

    kind: ChangeKind
    binding: Binding


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer to a REGISTER: status, reason phrase, headers; and what changed."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()
    changes: tuple[Change, ...] = ()


class _Refused(Exception):
    def __init__(self, status: int, reason: str, *headers: tuple[str, str]) -> None:
        self.answer = Registered(status, reason, headers)


@dataclass(frozen=True, slots=True)
class _Wish:
    """One Contact of a REGISTER; ``expires`` in seconds, 0 to remove."""

    contact: NameAddr
    expires: int
    q: float
    instance: str | None


class Registrar:
    """Bindings of all accounts. Times in seconds; ``min_expires`` below what is asked gives 423."""

    def __init__(
        self,
        accounts: PbxAccounts,
        *,
        min_expires: int = 60,
        max_expires: int = 3600,
        default_expires: int = 3600,
        max_bindings: int = 10,
    ) -> None:
        if not 0 < min_expires <= default_expires <= max_expires:
            raise ValueError("Expiries have to rise: 0 < minimum <= default <= maximum.")
        self.accounts = accounts
        self._min, self._max, self._default = min_expires, max_expires, default_expires
        self._max_bindings = max_bindings
        self._bindings: dict[str, list[Binding]] = {}

    def register(self, request: Request, hop: Hop, *, authenticated_as: str, now: float) -> Registered:
        """Carry out a REGISTER. ``authenticated_as``: the digest's username; it alone decides whose line it
        is.

        The From counts for nothing: another's address-of-record in To is 403. A domain or user we do not
        have is 404.
        """
        try:
            return self._register(request, hop, authenticated_as, now)
        except _Refused as refused:
            return refused.answer
        except (SipSyntaxError, LookupError):  # what it says came from the wire, and stays out of our phrase
            return Registered(400, "Bad Request (To, Contact, Call-ID or CSeq cannot be read)")

    def bindings(self, user: str, now: float) -> tuple[Binding, ...]:
        """The live contacts of a user: highest q first, then the latest."""
        live = [b for b in self._bindings.get(user, ()) if b.expires_at > now]
        return tuple(sorted(live, key=lambda b: (-b.q, -b.since)))

    def wake(self, now: float) -> tuple[Change, ...]:
        """Forget what has expired."""
        return self._drop(ChangeKind.EXPIRED, [b for b in self._all() if b.expires_at <= now])

    def next_wake(self) -> float | None:
        return min((b.expires_at for b in self._all()), default=None)

    def flow_lost(self, hop: Hop) -> tuple[Change, ...]:
        """A connection closed: what registered over it cannot be reached. UDP has no connection to lose."""
        if not hop.transport.reliable:
            return ()
        return self._drop(ChangeKind.LOST, [b for b in self._all() if b.hop == hop])

    def forget_strangers(self) -> tuple[Change, ...]:
        """Drop the contacts of users that have no account any more."""
        return self._drop(ChangeKind.REMOVED, [b for b in self._all() if self.accounts.find(b.user) is None])

    # -- one REGISTER

    def _register(self, request: Request, hop: Hop, authenticated_as: str, now: float) -> Registered:
        to = request.headers.to.uri
        account = self.accounts.addressed_by(to)
        if account is None:
            raise _Refused(404, "Not Found")
        if account.user != authenticated_as:
            raise _Refused(403, "Forbidden (the credentials belong to another address)")
        user = account.user
        self.wake(now)
        old = list(self._bindings.get(user, ()))
        call_id, cseq = request.headers.call_id, request.headers.cseq.number
        texts = request.headers.get_all("contact")
        if "*" in texts:
            if len(texts) > 1 or request.headers.expires != 0:
                raise _Refused(400, "Bad Request (Contact: * stands alone and with Expires: 0)")
            for binding in old:
                _in_order(binding, call_id, cseq)
            new: list[Binding] = []
            changes = [Change(ChangeKind.REMOVED, binding) for binding in old]
        else:
            agent = request.headers.get("user-agent")
            base = Binding(user, to, hop, now, now, call_id, cseq, user_agent=agent)
            new, changes = self._update(old, self._wishes(request, texts), base, now)
        self._bindings[user] = new
        headers = tuple(("Contact", _contact(binding, now)) for binding in self.bindings(user, now))
        return Registered(200, "OK", headers, tuple(changes))

    def _wishes(self, request: Request, texts: list[str]) -> list[_Wish]:
        if len(texts) > self._max_bindings:
            raise _Refused(403, f"Forbidden (more than {self._max_bindings} contacts)")
        wishes: list[_Wish] = []
        for text in texts:
            contact = NameAddr.parse(text)
            if not contact.uri.is_sip:
                raise _Refused(400, "Bad Request (a contact is not a SIP URI)")
            expires = self._expiry(contact, request)
            if 0 < expires < self._min:
                raise _Refused(423, "Interval Too Brief", ("Min-Expires", str(self._min)))
            q = contact.parameter("q")
            value = float(q) if q is not None and _Q.match(q) else 1.0
            wishes.append(
                _Wish(contact, min(expires, self._max), value, contact.parameter("+sip.instance") or None)
            )
        return wishes

    def _expiry(self, contact: NameAddr, request: Request) -> int:
        """The contact's parameter, else the Expires header, else our default; what is malformed is not
        there.
        """
        said = contact.parameter("expires")
        if said is not None and _DELTA_SECONDS.match(said):
            return int(said)
        header = request.headers.expires
        return self._default if header is None else header

    def _update(
        self, old: list[Binding], wishes: list[_Wish], base: Binding, now: float
    ) -> tuple[list[Binding], list[Change]]:
        bindings, changes = list(old), list[Change]()
        for wish in wishes:
            at = next((at for at, b in enumerate(bindings) if _means(wish, b)), None)
            if at is not None:
                if bindings[at] in old:  # a contact named twice in one request is not out of order
                    _in_order(bindings[at], base.call_id, base.cseq)
                if wish.expires == 0:
                    changes.append(Change(ChangeKind.REMOVED, bindings.pop(at)))
                    continue
            elif wish.expires == 0:
                continue
            binding = replace(
                base,
                contact=wish.contact.uri.without_headers(),
                expires_at=now + wish.expires,
                since=now if at is None else bindings[at].since,
                q=wish.q,
                instance=wish.instance,
            )
            if at is None:
                bindings.append(binding)
                changes.append(Change(ChangeKind.ADDED, binding))
            else:
                bindings[at] = binding
                changes.append(Change(ChangeKind.REFRESHED, binding))
        if len(bindings) > self._max_bindings:
            raise _Refused(403, f"Forbidden (more than {self._max_bindings} contacts)")
        return bindings, changes

    def _all(self) -> Iterator[Binding]:
        return (binding for bindings in self._bindings.values() for binding in bindings)

    def _drop(self, kind: ChangeKind, gone: list[Binding]) -> tuple[Change, ...]:
        for binding in gone:
            self._bindings[binding.user].remove(binding)
        return tuple(Change(kind, binding) for binding in gone)


def _in_order(binding: Binding, call_id: str, cseq: int) -> None:
    """Within one Call-ID only a higher CSeq may change a binding; else nothing of the request is done."""
    if binding.call_id == call_id and cseq <= binding.cseq:
        raise _Refused(500, "Server Internal Error (CSeq out of order)")


def _means(wish: _Wish, binding: Binding) -> bool:
    """The same contact by RFC 3261 section 19.1.4, or the same device under a new one (RFC 5626 section
    4.1).
    """
    if wish.instance is not None and wish.instance == binding.instance:
        return True
    return wish.contact.uri.without_headers().equivalent(binding.contact)


def _contact(binding: Binding, now: float) -> str:
    left = max(1, math.ceil(binding.expires_at - now - 1e-6))  # now + 3600 - now may exceed 3600
    contact = NameAddr("", binding.contact)
    if binding.q != 1.0:
        contact = contact.with_parameter("q", f"{binding.q:g}")
    if binding.instance is not None:
        quoted = binding.instance.replace("\\", "\\\\").replace('"', '\\"')
        contact = contact.with_parameter("+sip.instance", f'"{quoted}"')
    return str(contact.with_parameter("expires", str(left)))


def _same_host(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return False
