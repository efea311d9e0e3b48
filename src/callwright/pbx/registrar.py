"""The registrar: which contacts an address-of-record has, and until when (RFC 3261 section 10.3), by which
path (RFC 3327) and over which flow of a device (RFC 5626) it is reached; addresses of devices (RFC 5627).

Pure: a REGISTER that digest has already proven, the flow it came over and ``now`` in; status and headers
out. An update is made whole or not at all.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from callwright.pbx.accounts import PbxAccounts
from callwright.pbx.passage import escaped
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.message import Request
from callwright.sip.transport import Address, Hop
from callwright.sip.uri import NameAddr, Uri

__all__ = ["Binding", "Change", "ChangeKind", "Registered", "Registrar"]

_DELTA_SECONDS = re.compile(r"[0-9]{1,10}\Z")
_MOST_PATH = 16
_MOST_TEMPORARY = 8  # temporary GRUUs of one device that stay valid
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
    path: tuple[str, ...] = ()  # the way to it, nearest proxy first
    reg_id: int | None = None  # of the flow, where the device asked to have it kept

    @property
    def behind_nat(self) -> bool:
        """The contact names another host than the one the REGISTER came from, with no path to it."""
        return not self.path and not _same_host(self.contact.host, self.hop.remote.host)

    @property
    def next_hop(self) -> Hop:
        """Where a request to this contact goes.

        Over the flow it registered on, for that is what a NAT lets through (RFC 3581, RFC 5626); only a UDP
        phone that says its own address is believed about its port.
        """
        if self.hop.transport.reliable or self.behind_nat or self.path or self.reg_id is not None:
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
    reg_id: int | None = None


class Registrar:
    """Bindings of all accounts. Times in seconds; ``min_expires`` below what is asked gives 423.
    ``flow_timer``: how often a device is to keep a stream alive. ``entropy``: without it no temporary GRUUs
    are given.
    """

    def __init__(
        self,
        accounts: PbxAccounts,
        *,
        min_expires: int = 60,
        max_expires: int = 3600,
        default_expires: int = 3600,
        max_bindings: int = 10,
        flow_timer: int = 120,
        entropy: Callable[[int], bytes] | None = None,
    ) -> None:
        if not 0 < min_expires <= default_expires <= max_expires:
            raise ValueError("Expiries have to rise: 0 < minimum <= default <= maximum.")
        self.accounts = accounts
        self._min, self._max, self._default = min_expires, max_expires, default_expires
        self._max_bindings = max_bindings
        self._flow_timer, self._entropy = flow_timer, entropy
        self._bindings: dict[str, list[Binding]] = {}
        self._temporary: dict[str, tuple[str, str]] = {}  # user part of a temporary GRUU -> user, instance

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

    def reachable(self, user: str, now: float, instance: str | None = None) -> tuple[Binding, ...]:
        """Those to ring: of the flows of one device only the latest (RFC 5626 section 7). ``instance``: that
        device alone."""
        found, devices = list[Binding](), set[str]()
        for binding in self.bindings(user, now):
            if instance is not None and _urn(binding.instance or "") != instance:
                continue
            if binding.instance is not None and binding.reg_id is not None:
                if binding.instance in devices:
                    continue
                devices.add(binding.instance)
            found.append(binding)
        return tuple(found)

    def device(self, gruu: Uri) -> tuple[str, str] | None:
        """User and instance that a GRUU of ours means; None where we gave no such address."""
        named = gruu.unescaped_user or ""
        if gruu.parameter("gr"):
            account = self.accounts.dialled(named)
            return None if account is None else (account.user, gruu.parameter("gr") or "")
        return self._temporary.get(named)

    def restore(self, kept: Iterable[Binding]) -> None:
        """Registrations that another process had, of accounts that are still there."""
        for binding in kept:
            held = self._bindings.setdefault(binding.user, [])
            if self.accounts.find(binding.user) is not None and len(held) < self._max_bindings:
                held.append(binding)

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
            wishes = self._wishes(request, texts)
            base = replace(base, path=_path_of(request))
            new, changes = self._update(old, wishes, base, now)
        self._bindings[user] = new
        gruus = self._gruus(request, user, new)
        listed = [
            ("Contact", _contact(binding, now, gruus.get(binding.instance or "", ())))
            for binding in self.bindings(user, now)
        ]
        return Registered(200, "OK", (*listed, *self._terms(request, new)), tuple(changes))

    def _terms(self, request: Request, new: list[Binding]) -> list[tuple[str, str]]:
        """What is agreed on beside the bindings."""
        call_id, cseq = request.headers.call_id, request.headers.cseq.number
        made = [binding for binding in new if (binding.call_id, binding.cseq) == (call_id, cseq)]
        found = [("Path", value) for binding in made[:1] for value in binding.path]
        kept = [binding for binding in made if binding.reg_id is not None]
        if kept:
            found.append(("Require", "outbound"))
        if any(
            binding.hop.transport.reliable for binding in kept
        ):  # UDP: as RFC 5626 has it, every 24 to 29 s
            found.append(("Flow-Timer", str(self._flow_timer)))
        return found

    def _gruus(self, request: Request, user: str, new: list[Binding]) -> dict[str, tuple[str, ...]]:
        """The GRUUs of each device of a user: public, and a fresh temporary one (RFC 5627 section 5.4)."""
        devices = {binding.instance for binding in new if binding.instance}
        self._temporary = {
            name: whose
            for name, whose in self._temporary.items()
            if whose[0] != user or whose[1] in {_urn(device) for device in devices}
        }
        if not request.headers.has_option("supported", "gruu"):
            return {}
        found: dict[str, tuple[str, ...]] = {}
        for device in devices:
            at = f"{escaped(user)}@{self.accounts.domain}"
            found[device] = (f"sip:{at};gr={_urn(device)}",)
            if self._entropy is not None:
                mine = [name for name, whose in self._temporary.items() if whose == (user, _urn(device))]
                for name in mine[: 1 - _MOST_TEMPORARY]:
                    del self._temporary[name]
                name = f"tgruu.{self._entropy(10).hex()}"
                self._temporary[name] = user, _urn(device)
                found[device] += (f"sip:{name}@{self.accounts.domain};gr",)
        return found

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
            reg_id = self._flow(contact, request)
            if reg_id is not None and expires and any(one.reg_id is not None for one in wishes):
                raise _Refused(400, "Bad Request (more than one contact with a reg-id)")
            q = contact.parameter("q")
            value = float(q) if q is not None and _Q.match(q) else 1.0
            instance = contact.parameter("+sip.instance") or None
            wishes.append(_Wish(contact, min(expires, self._max), value, instance, reg_id))
        return wishes

    def _flow(self, contact: NameAddr, request: Request) -> int | None:
        """The number of the flow that is to be kept (RFC 5626 section 6); None: it asks for none."""
        said = contact.parameter("reg-id")
        if said is None or not contact.parameter("+sip.instance"):
            return None
        if not request.headers.has_option("supported", "outbound"):
            return None
        if not _DELTA_SECONDS.match(said) or not 0 < int(said) < 2**31:
            raise _Refused(400, "Bad Request (reg-id is no number of a flow)")
        first = _path_of(request)[-1:]
        if len(request.headers.get_all("via")) > 1 and not any(
            NameAddr.parse(text).uri.parameter("ob") is not None for text in first
        ):
            raise _Refused(439, "First Hop Lacks Outbound Support")
        return int(said)

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
                reg_id=wish.reg_id,
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
        return wish.reg_id == binding.reg_id or None in (wish.reg_id, binding.reg_id)
    if wish.reg_id is not None or binding.reg_id is not None:
        return False
    return wish.contact.uri.without_headers().equivalent(binding.contact)


def _path_of(request: Request) -> tuple[str, ...]:
    """The Path of a REGISTER. Raises what is answered 400."""
    values = request.headers.get_all("path")
    if len(values) > _MOST_PATH:
        raise _Refused(400, f"Bad Request (more than {_MOST_PATH} values of Path)")
    found = [NameAddr.parse(text) for text in values]
    if not all(one.uri.is_sip and one.uri.host for one in found):
        raise _Refused(400, "Bad Request (a Path that is not a SIP URI)")
    return tuple(str(one) for one in found)


def _urn(instance: str) -> str:
    """The URN of an instance, which stands in angle brackets within quotes."""
    return instance.strip().strip("<>")


def _contact(binding: Binding, now: float, gruus: tuple[str, ...] = ()) -> str:
    left = max(1, math.ceil(binding.expires_at - now - 1e-6))  # now + 3600 - now may exceed 3600
    contact = NameAddr("", binding.contact)
    if binding.q != 1.0:
        contact = contact.with_parameter("q", f"{binding.q:g}")
    if binding.instance is not None:
        quoted = binding.instance.replace("\\", "\\\\").replace('"', '\\"')
        contact = contact.with_parameter("+sip.instance", f'"{quoted}"')
    if binding.reg_id is not None:
        contact = contact.with_parameter("reg-id", str(binding.reg_id))
    for name, gruu in zip(("pub-gruu", "temp-gruu"), gruus, strict=False):
        contact = contact.with_parameter(name, f'"{gruu}"')
    return str(contact.with_parameter("expires", str(left)))


def _same_host(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return False
