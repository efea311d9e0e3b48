"""One slot of a monitor carried out, by the probe of its category."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Protocol

from callwright.agent.caps import Caps
from callwright.agent.carrier import rules_of
from callwright.dispatch.messages.monitors import Monitor
from callwright.dispatch.messages.runs import JobPolicy
from callwright.net.address import bracketed, numeric_host
from callwright.net.clock import Clock, SystemClock
from callwright.net.entropy import Entropy, system_entropy
from callwright.outcome.terms import Verdict
from callwright.phone.guard import Guard
from callwright.phone.permission import Permission
from callwright.phone.plan import Account, PhoneConfig
from callwright.policy.destination import PolicyError, Purpose
from callwright.policy.remedy import Worded
from callwright.probe.names import look_up
from callwright.probe.path import Steps
from callwright.probe.prober import Prober
from callwright.probe.result import Hop, ProbeResult, State
from callwright.probe.telephony import Telephone
from callwright.probe.train import Shape
from callwright.sip.transport import Transport
from callwright.sip.uri import SipSyntaxError, Uri
from callwright.version import __version__

#: Categories that place a call or register: the dead-man's switch holds them.
GUARDED = frozenset({"call", "register"})
_LEFT_OUT = ("kind", "target", "state", "verdict", "reason", "started_at", "packets")
_USER_AGENT = f"Callwright/{__version__}"


class Measure(Protocol):
    """Carries out one slot. Never raises for what the monitor asks. `stop` ends it early."""

    async def __call__(self, monitor: Monitor, stop: asyncio.Event) -> ProbeResult: ...

    async def path(self, monitor: Monitor, address: str, stop: asyncio.Event) -> tuple[Hop, ...]:
        """The way to where a slot was measured; empty where it cannot be known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurer:
    """See `agent.carrier.Carrier` for the fields."""

    worded: Worded
    bind: str | None = None
    rtp_ports: tuple[int, int] = (16384, 32767)
    guard: Guard | None = None
    caps: Caps | None = None
    clock: Clock = field(default_factory=SystemClock)
    entropy: Entropy = system_entropy

    async def __call__(self, monitor: Monitor, stop: asyncio.Event) -> ProbeResult:
        try:
            return await self._measure(monitor, stop)
        except (SipSyntaxError, PolicyError, ValueError) as error:
            reason = f"The monitor cannot be measured: {error}"
            return ProbeResult(kind=monitor.category, target=monitor.target, reason=reason)

    async def path(self, monitor: Monitor, address: str, stop: asyncio.Event) -> tuple[Hop, ...]:
        permission = Permission(Purpose.RUN, rules_of(monitor.policy or JobPolicy()), self.worded)
        prober = Prober(permission, bind=self.bind, clock=self.clock, entropy=self.entropy, stop=stop)
        return (await prober.path(_host_of(monitor), Steps(), address=address)).hops

    async def _measure(self, monitor: Monitor, stop: asyncio.Event) -> ProbeResult:
        """Raises SipSyntaxError, PolicyError, ValueError."""
        permission = Permission(Purpose.RUN, rules_of(monitor.policy or JobPolicy()), self.worded)
        shape = Shape(monitor.packets, monitor.interpacket_ms / 1000, codec=monitor.codec)
        prober = Prober(
            permission,
            bind=self.bind,
            user_agent=_USER_AGENT,
            clock=self.clock,
            entropy=self.entropy,
            stop=stop,
        )
        match monitor.category:
            case "ping":
                return await prober.ping(monitor.target, shape)
            case "udp":
                return await prober.udp(monitor.target, monitor.port, shape)
            case "sip":
                return await prober.options(uri_of(monitor), shape, transport_of(monitor))
            case "dns":
                return await look_up(monitor.target, self.clock)
            case "call":
                return await self._telephone(monitor, permission, stop).call(
                    uri_of(monitor), seconds=monitor.seconds, account=_account(monitor)
                )
            case "register":
                account = _account(monitor)
                if account is None:
                    raise ValueError("it has no credentials")
                return await self._telephone(monitor, permission, stop).register(
                    uri_of(monitor), account, monitor.credentials.get("domain")
                )
        raise ValueError(f"this agent knows no category {monitor.category!r}")

    def _telephone(self, monitor: Monitor, permission: Permission, stop: asyncio.Event) -> Telephone:
        config = PhoneConfig(
            bind=self.bind,
            transport=transport_of(monitor),
            rtp_ports=self.rtp_ports,
            user_agent=_USER_AGENT,
            user=monitor.credentials.get("user") or "callwright",
        )
        return Telephone(config, permission, self.guard, self.caps, self.clock, stop)


def uri_of(monitor: Monitor) -> str:
    """The target as a SIP URI, with the port of the monitor where the target has none."""
    if monitor.target.partition(":")[0].lower() in ("sip", "sips"):
        return monitor.target
    host = numeric_host(monitor.target) or monitor.target
    if monitor.port is not None:
        return f"sip:{bracketed((host, monitor.port))}"
    return f"sip:[{host}]" if ":" in host and numeric_host(host) else f"sip:{host}"


def transport_of(monitor: Monitor) -> Transport | None:
    """None: as the URI and DNS say. Raises ValueError."""
    if monitor.target.partition(":")[0].lower() in ("sip", "sips") and monitor.transport == "udp":
        return None
    return Transport(monitor.transport.upper())


def _host_of(monitor: Monitor) -> str:
    """Raises SipSyntaxError."""
    return Uri.parse(uri_of(monitor)).destination if monitor.category == "sip" else monitor.target


def _account(monitor: Monitor) -> Account | None:
    given = monitor.credentials
    user = given.get("user")
    return Account(user, given.get("password", "")) if user else None


def state_of(result: ProbeResult) -> State:
    """What did not get as far as measuring (policy, our own error, somebody's stop) was missed."""
    if result.verdict in (Verdict.ERROR, Verdict.CANCELED) or result.failure == "policy":
        return State.MISSED
    return State.FAILED if result.state is State.FAILED else State.DONE


def figures_of(result: ProbeResult) -> dict[str, Any]:
    """What is known, by name; what else the words of a result have is null."""
    document = result.to_json()
    return {
        name: value
        for name, value in document.items()
        if name not in _LEFT_OUT and value is not None and value != []
    }
