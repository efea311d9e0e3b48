"""From the host in a SIP URI to addresses to try, in order (RFC 3263, without NAPTR).

NAPTR is left out on purpose: hardly a domain publishes it, and each lookup costs a user whose resolver drops
unknown types a time-out. SRV decides the transport instead, as section 4.1 has it for absent NAPTR records.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import Any, NamedTuple, Protocol

from callwright.net.address import numeric_host
from callwright.net.entropy import Entropy, system_entropy, uniform
from callwright.sip.transport import Address, Transport

SRV_SECONDS = 1.0
"""A resolver that is silent about SRV for so long is taken to have none: names of /etc/hosts have to work."""
HOST_SECONDS = 2.0
TARGET_LIMIT = 16


class ResolutionFailed(Exception):
    """A host for which there is no address; `reason` is a sentence that names it."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(reason)
        self.host = host
        self.reason = reason


class HopTarget(NamedTuple):
    transport: Transport
    address: Address


class ServiceRecord(NamedTuple):
    priority: int
    weight: int
    port: int
    target: str


class NameService(Protocol):
    """What RFC 3263 asks of DNS."""

    async def addresses(self, host: str) -> list[str]:
        """Numeric addresses of a host, best first. Raises ResolutionFailed."""
        ...

    async def services(self, name: str) -> list[ServiceRecord]:
        """SRV records of a name; empty when there are none or nobody answers in time."""
        ...


class SystemNames:
    """Addresses by the system's getaddrinfo (so /etc/hosts counts), SRV by dnspython."""

    def __init__(self, *, srv_seconds: float = SRV_SECONDS, host_seconds: float = HOST_SECONDS) -> None:
        self._srv_seconds = srv_seconds
        self._host_seconds = host_seconds

    async def addresses(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()

        def settle(found: list[Any] | None, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(found or [])

        def ask() -> None:
            found: list[Any] | None = None
            problem: BaseException | None = None
            try:
                found = list(socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM))
            except (OSError, ValueError) as error:  # a label too long, a NUL
                problem = error
            try:
                loop.call_soon_threadsafe(settle, found, problem)
            except RuntimeError:
                return  # the loop closed while the name server kept silent

        # A daemon thread of its own: getaddrinfo cannot be interrupted, and exit would wait for an executor.
        threading.Thread(target=ask, name="getaddrinfo", daemon=True).start()
        try:
            found = await asyncio.wait_for(answer, self._host_seconds)
        except TimeoutError:
            raise ResolutionFailed(
                host, f"no name server answered for {host} within {self._host_seconds:g} s"
            ) from None
        except socket.gaierror as error:
            raise ResolutionFailed(host, _why(host, error)) from None
        except ValueError:
            raise ResolutionFailed(host, f"{host!r} is not a host name") from None
        except OSError as error:
            raise ResolutionFailed(host, f"{host} could not be resolved: {error.strerror}") from None
        hosts: dict[str, None] = {}
        for *_, name in found:
            numeric = numeric_host(str(name[0])) or str(name[0])
            hosts.setdefault(numeric)
        if not hosts:
            raise ResolutionFailed(host, f"the host {host} has no address")
        return list(hosts)

    async def services(self, name: str) -> list[ServiceRecord]:
        import dns.asyncresolver
        import dns.exception

        try:
            resolver = dns.asyncresolver.Resolver()
            answer = await resolver.resolve(name, "SRV", lifetime=self._srv_seconds, search=False)
        except (dns.exception.DNSException, OSError, ValueError):
            return []
        return [
            ServiceRecord(rr.priority, rr.weight, rr.port, rr.target.to_text(omit_final_dot=True))
            for rr in answer
        ]


def _why(host: str, error: socket.gaierror) -> str:
    if error.errno == socket.EAI_AGAIN:
        return f"{host} could not be resolved: no name server answers"
    if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
        return f"the host {host} does not exist (no address in DNS or /etc/hosts)"
    return f"{host} could not be resolved: {error.strerror}"


def order_services(records: Sequence[ServiceRecord], entropy: Entropy) -> list[ServiceRecord]:
    """RFC 2782: lowest priority first; within one, drawn by weight without putting back."""
    ordered: list[ServiceRecord] = []
    for priority in sorted({record.priority for record in records}):
        # Weight 0 first, so that it is drawn only when the random number is 0.
        left = sorted((r for r in records if r.priority == priority), key=lambda r: (r.weight != 0, r.target))
        while left:
            drawn = uniform(entropy, sum(r.weight for r in left) + 1)
            running = 0
            for index, record in enumerate(left):
                running += record.weight
                if running >= drawn:
                    ordered.append(left.pop(index))
                    break
    return ordered


async def resolve(
    host: str,
    port: int | None,
    transport: Transport | None,
    scheme: str,
    *,
    entropy: Entropy = system_entropy,
    names: NameService | None = None,
) -> list[HopTarget]:
    """The targets of a URI's host, in the order to try them (RFC 3263 section 4).

    `transport` is the URI's `transport` parameter or the user's choice, None when neither says.
    `sips` means TLS or, for WebSocket, WSS. Raises ResolutionFailed with a sentence.
    """
    if scheme.lower() == "sips":
        transport = Transport.asked(transport, secure=True)
    numeric = numeric_host(host)
    if numeric is not None:
        chosen = transport or Transport.UDP
        return [HopTarget(chosen, Address(numeric, port or chosen.default_port))]
    names = names or SystemNames()
    if port or not _may_have_services(host) or transport not in (*_SERVICES, None):
        chosen = transport or Transport.UDP
        return [
            HopTarget(chosen, Address(a, port or chosen.default_port)) for a in await names.addresses(host)
        ]
    # Both questions at once: a host without SRV records is not made to wait for them twice.
    plain = asyncio.ensure_future(names.addresses(host))
    plain.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        by_service = await _by_service(host, transport, entropy, names)
        if by_service:
            return by_service
        chosen = transport or Transport.UDP
        return [HopTarget(chosen, Address(a, chosen.default_port)) for a in await plain]
    finally:
        plain.cancel()


def interleaved(targets: Sequence[HopTarget]) -> list[HopTarget]:
    """The same, the two IP versions by turns where several addresses differ in nothing else (RFC 8305 section
    4): a version that leads nowhere costs one attempt. The version of the first stays first."""
    ordered: list[HopTarget] = []
    for _, group in groupby(targets, key=lambda target: (target.transport, target.address.port)):
        members = list(group)
        first = ":" in members[0].address.host
        sides = [[t for t in members if (":" in t.address.host) is side] for side in (first, not first)]
        for pair in zip_longest(*sides):
            ordered += [target for target in pair if target is not None]
    return ordered


_SERVICES = {Transport.UDP: "_sip._udp", Transport.TCP: "_sip._tcp", Transport.TLS: "_sips._tcp"}


async def _by_service(
    host: str, transport: Transport | None, entropy: Entropy, names: NameService
) -> list[HopTarget]:
    wanted = [transport] if transport else [Transport.UDP, Transport.TCP, Transport.TLS]
    answers = await asyncio.gather(*(names.services(f"{_SERVICES[t]}.{host}") for t in wanted))
    targets: list[HopTarget] = []
    failure: ResolutionFailed | None = None
    for chosen, records in zip(wanted, answers, strict=True):
        for record in order_services(records, entropy):
            if record.target in ("", "."):  # RFC 2782: decidedly not available
                failure = ResolutionFailed(host, f"{host} says in DNS that it offers no SIP over {chosen}")
                continue
            if len(targets) >= TARGET_LIMIT:
                break
            try:
                hosts = await names.addresses(record.target)
            except ResolutionFailed as error:
                failure = ResolutionFailed(host, f"{host} points to {record.target}: {error.reason}")
                continue
            targets += [HopTarget(chosen, Address(a, record.port)) for a in hosts]
    if not targets and failure is not None:
        raise failure
    return targets[:TARGET_LIMIT]


def _may_have_services(host: str) -> bool:
    """A single label ("localhost", "pbx") or a name of mDNS is a host, not a domain with services."""
    bare = host.rstrip(".")
    return "." in bare and not bare.endswith((".local", ".localhost"))
