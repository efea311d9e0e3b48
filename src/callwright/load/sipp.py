"""A scenario of SIPp on real sockets: where it may send, what it plays, and what is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callwright.evidence.redaction import Redactor
from callwright.evidence.shown import one_line, shown_octets
from callwright.load.outcome import PERCENTILES
from callwright.load.plan import Plan
from callwright.load.preparation import CannotLoad
from callwright.load.sipp_wills import SippWills
from callwright.net.clock import Clock, SystemClock
from callwright.net.driver import BindFailed, Driver
from callwright.net.entropy import Entropy, system_entropy
from callwright.phone.guard import Estate, Guard, Testator
from callwright.phone.permission import NotPermitted, Permission
from callwright.policy.destination import Decision, Purpose, Rules
from callwright.policy.remedy import Worded
from callwright.policy.way import before_dns
from callwright.sip.digest import Credentials
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.transport import Address, PermittedHop, Transport
from callwright.sip.uri import Uri
from callwright.sipp.call import Call
from callwright.sipp.capture import Capture, CaptureError, read_capture
from callwright.sipp.counting import Durations
from callwright.sipp.injection import Injection
from callwright.sipp.machine import Ended, Logged, Machine, Pace
from callwright.sipp.message import Received, received
from callwright.sipp.scenario import Recv, Scenario, Send
from callwright.sipp.words import Setting

__all__ = ["SippLoad", "SippResult", "SippWishes", "sounds_of", "told"]

_MOST_SHOWN = 5  # failed calls whose messages are kept
_MOST_LINES = 1_000  # of a scenario's own log
_PLACES = ("via", "contact", "route", "record-route")
_LATE = 0.1  # seconds (p99 of our own timers): with more, a failure may be ours
_RAW_PACKET = 160  # octets of 20 ms of G.711


@dataclass(frozen=True, slots=True, kw_only=True)
class SippWishes:
    """``remote``: where calls go, permitted by now, None: the scenario answers at ``listen``; ``uri``: what
    was typed."""

    scenario: Scenario
    plan: Plan
    rules: Rules
    uri: str = ""
    service: str = "service"
    remote: Address | None = None
    listen: Address | None = None
    bind: str | None = None
    rtp_ports: tuple[int, int] = (16384, 32767)
    pause: float = 0.0
    patience: float = 180.0
    calls: int = 0
    concurrent: int = 0
    credentials: Credentials | None = None
    given: dict[str, str] = field(default_factory=dict)
    injections: tuple[Injection, ...] = ()
    sounds: dict[str, Capture] = field(default_factory=dict)


@dataclass(slots=True)
class SippResult:
    """What was counted, and the first failed calls. ``lines``: what the scenario logged."""

    machine: Machine
    elapsed: float
    interrupted: bool
    failed: list[Call] = field(default_factory=list)
    lines: list[Logged] = field(default_factory=list)


def sounds_of(scenario: Scenario, folder: Path) -> dict[str, Capture]:
    """The audio that a scenario names, from beside it. Raises CannotLoad."""
    found: dict[str, Capture] = {}
    for step in scenario.steps:
        for action in step.actions:
            for attribute in ("play_pcap_audio", "rtp_stream"):
                value = action.attributes.get(attribute)
                if value is not None and value not in found:
                    try:
                        found[value] = _sound(attribute, value, folder)
                    except (OSError, CaptureError) as error:
                        said = error.strerror if isinstance(error, OSError) and error.strerror else error
                        raise CannotLoad(
                            f"line {action.line}: the audio {value} cannot be read: {said}",
                            "Put the file where the scenario says, beside it or by its whole path.",
                        ) from None
    return found


def _sound(attribute: str, value: str, folder: Path) -> Capture:
    name, *more = value.split(",")
    data = (folder / name.strip()).read_bytes()
    if attribute == "play_pcap_audio":
        return read_capture(data)
    numbers = [int(word) if word.strip().lstrip("-").isdigit() else 0 for word in more]
    loops, payload_type = (numbers + [1, 0][len(numbers) :])[:2]
    return raw_audio(data, loops if loops > 0 else 1000, payload_type & 0x7F)


def raw_audio(data: bytes, loops: int, payload_type: int) -> Capture:
    """RTP (RFC 3550 section 5.1) of 20 ms packets, from octets of 8,000 a second, ``loops`` times; at most an
    hour of it. Raises CaptureError."""
    pieces = [data[at : at + _RAW_PACKET] for at in range(0, len(data) - _RAW_PACKET + 1, _RAW_PACKET)]
    if not pieces:
        raise CaptureError("It has less than 20 ms of audio.")
    packets = []
    for number in range(min(len(pieces) * loops, 180_000)):
        marker = 0x80 if number == 0 else 0
        head = bytes((0x80, payload_type | marker)) + (number & 0xFFFF).to_bytes(2, "big")
        head += (number * _RAW_PACKET & 0xFFFFFFFF).to_bytes(4, "big") + b"SIPp"
        packets.append((number * 0.02, head + pieces[number % len(pieces)]))
    return Capture(tuple(packets))


class _Gate:
    """What a scenario may say to whom: its texts are written by a person, and may be written by anybody."""

    def __init__(self, permission: Permission, rules: Rules, worded: Worded, ours: Sequence[str]) -> None:
        self._permission, self._rules, self._worded = permission, rules, worded
        self._ours = set(ours)
        self._proxy: Uri | None = None
        self._known: dict[str, str] = {}

    def leads_to(self, remote: Address) -> None:
        self._ours.add(remote.host)
        self._proxy = Uri.parse(f"sip:{remote}")

    def refused(self, text: str) -> str:
        """Why a message may not leave: the number that it calls, or a place that it names; "": it may."""
        message = received(text.encode("utf-8", "surrogateescape"))
        if message is None:
            return ""  # wrong on purpose: it goes to the target, and names no place that could be read
        wanted = [("uri", message.target)] if not message.status else []
        wanted += [("uri", _address_of(value)) for _, value in message.every("refer-to")]
        wanted += [("host", host) for host in _hosts(message)]
        for kind, what in wanted:
            key = f"{kind} {what}"
            if key not in self._known:
                if len(self._known) > 10_000:
                    self._known.clear()
                self._known[key] = self._uri(what) if kind == "uri" else self._host(what)
            if self._known[key]:
                return self._known[key]
        return ""

    def _uri(self, text: str) -> str:
        try:
            uri = Uri.parse(text)
        except SipSyntaxError as error:
            return f"the URI {text[:60]!r} cannot be read, so nobody knows whom it calls: {error.reason}"
        return self._said(before_dns(Purpose.LOAD, uri, self._rules, self._proxy), (uri.host,))

    def _host(self, host: str) -> str:
        try:
            uri = Uri.parse(f"sip:{host}")
        except SipSyntaxError:
            return ""
        return self._said(before_dns(Purpose.LOAD, uri, self._rules), (uri.host,))

    def _said(self, decisions: Sequence[Decision], hosts: tuple[str, ...]) -> str:
        for decision in decisions:
            if decision.allowed or (decision.undecided and all(host in self._ours for host in hosts)):
                continue
            remedy = self._worded(decision.remedy) if decision.remedy is not None else ""
            return f"{decision.reason} {remedy}".rstrip()
        return ""

    def media_refused(self, address: Address, peer: str) -> str:
        """Why audio may not go there, "": it may."""
        decision = self._permission.media(address.host, address.port, peer)
        return "" if decision.allowed else self._permission.said(decision)


def _hosts(message: Received) -> list[str]:
    """The hosts that a message leads its reader to."""
    found: dict[str, None] = {}
    for name in _PLACES:
        for _, value in message.every(name):
            for part in value.split(","):
                host = _host_of(part, via=name == "via")
                if host:
                    found[host] = None
    for line in message.body.splitlines():
        if line.startswith("c=IN IP"):
            host = line[9:].strip().partition("/")[0]
            found[f"[{host}]" if ":" in host else host] = None
    return list(found)


def _host_of(value: str, *, via: bool) -> str:
    if via:
        _, _, place = value.strip().partition(" ")
        place = place.strip()
    else:
        place = _address_of(value).partition(":")[2].rpartition("@")[2]
    place = place.partition(";")[0].partition("?")[0].strip()
    if place.startswith("["):
        return place.partition("]")[0] + "]"
    return place.partition(":")[0]


def _address_of(value: str) -> str:
    """The URI of a Contact, a Route or a Refer-To."""
    return (value.partition("<")[2].partition(">")[0] if "<" in value else value.partition(";")[0]).strip()


class SippLoad:
    """One run. ``worded``: a remedy in words for whoever runs it; ``guard``: what ends its calls when this
    process is killed."""

    def __init__(
        self,
        wishes: SippWishes,
        *,
        worded: Worded,
        version: str,
        clock: Clock | None = None,
        entropy: Entropy = system_entropy,
        guard: Guard | None = None,
    ) -> None:
        self._guard = guard
        self._wishes, self._worded, self._version = wishes, worded, version
        self._clock: Clock = clock or SystemClock()
        self._entropy = entropy
        self.machine: Machine | None = None
        self.local: Address | None = None

    async def run(
        self, stop: asyncio.Event, *, on_ready: Callable[[SippLoad], None] = lambda _: None
    ) -> SippResult:
        """Until the plan is over, or ``stop`` is set. Raises CannotLoad."""
        wishes = self._wishes
        done = asyncio.Event()
        result: list[SippResult] = []
        wills = SippWills(wishes.credentials)
        shell = _Shell(wills)

        def handle(event: Ended | Logged) -> None:
            if isinstance(event, Ended):
                wills.over(event.call.facts.call_id)
            if result:
                _kept(result[0], event)
            if machine.done:
                done.set()

        async with Driver(shell, handler=handle, bind=wishes.bind, clock=self._clock) as driver:
            permission = Permission(Purpose.LOAD, wishes.rules, self._worded)
            hop, local = await self._opened(driver, permission)
            if self._guard is not None:
                estate = Estate(Purpose.LOAD, wishes.rules, bind=wishes.bind)
                shell.testator = Testator(
                    self._guard, estate=lambda: estate, wills=wills.news, descriptor_of=driver.descriptor_of
                )
            gate = _Gate(permission, wishes.rules, self._worded, (local.host,))
            media = await self._media(driver, local)
            if hop is not None:
                gate.leads_to(hop.remote)
            setting = Setting(
                scenario=wishes.scenario,
                service=wishes.service,
                local=local,
                remote=None if hop is None else hop.remote,
                media=media,
                pause=wishes.pause,
                patience=wishes.patience,
                pid=int.from_bytes(self._entropy(3), "big"),
                credentials=wishes.credentials,
                given=wishes.given,
                injections=wishes.injections,
                version=self._version,
            )
            plan = wishes.plan
            machine = shell.machine = self.machine = Machine(
                setting,
                Pace(plan.rate_at, wishes.calls or plan.calls, plan.concurrent, plan.seconds),
                hop=hop,
                entropy=self._entropy,
                refused=gate.refused,
                media_refused=gate.media_refused,
                sounds=wishes.sounds,
                wall=self._clock.wall,
            )
            self.local = local
            began = self._clock.now()
            result.append(SippResult(machine, 0.0, False))
            machine.start(self._clock.now())
            on_ready(self)
            driver.drain()
            await self._until(done, stop, plan if hop is None else None)
            interrupted = stop.is_set() and not machine.done
            machine.stop(self._clock.now(), gently=False)
            driver.drain()
            result[0].elapsed, result[0].interrupted = self._clock.now() - began, interrupted
            if machine.counts.active or interrupted:
                await asyncio.sleep(0.2)  # what ends the calls leaves
            if shell.testator is not None:
                shell.testator.close()
        return result[0]

    async def _until(self, done: asyncio.Event, stop: asyncio.Event, plan: Plan | None) -> None:
        waiting = [asyncio.ensure_future(done.wait()), asyncio.ensure_future(stop.wait())]
        limit = plan.seconds if plan is not None and plan.seconds < 1e9 else None
        try:
            await asyncio.wait(waiting, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def _opened(
        self, driver: Driver[Any], permission: Permission
    ) -> tuple[PermittedHop | None, Address]:
        wishes = self._wishes
        try:
            if wishes.remote is None:
                listen = wishes.listen or Address("127.0.0.1", 5060)
                return None, await driver.listen(Transport.UDP, listen.host, listen.port)
            hop = driver.hop_for(wishes.remote.host, wishes.remote.port, Transport.UDP)
            return permission.resolved(hop, wishes.remote.host, ""), hop.local
        except BindFailed as error:
            raise CannotLoad(error.reason, blame="platform") from None
        except NotPermitted as refused:
            raise CannotLoad(refused.decision.reason, refused.decision.remedy) from None

    async def _media(self, driver: Driver[Any], local: Address) -> Address:
        """A port of ours for audio, where the scenario names one or sends some."""
        low, high = self._wishes.rtp_ports
        for port in range(low + (low & 1), high, 2):  # the odd ones are RTCP's (RFC 3550 section 11)
            try:
                return await driver.listen(Transport.UDP, local.host, port)
            except BindFailed:
                continue
        raise CannotLoad(f"no port for audio is free from {low} to {high}", blame="platform")


class _Shell:
    """Stands for the machine until sockets are open, and their addresses known."""

    machine: Machine | None = None
    testator: Testator | None = None

    def __init__(self, wills: SippWills) -> None:
        self._wills = wills

    def receive(self, data: bytes, hop: Any, now: float) -> None:
        if self.machine is not None:
            if self.testator is not None:
                self._wills.received(data, hop)
            self.machine.receive(data, hop, now)

    def transport_failed(self, hop: Any, reason: str, now: float) -> None:
        if self.machine is not None:
            self.machine.transport_failed(hop, reason, now)

    def wake(self, now: float) -> None:
        if self.machine is not None:
            self.machine.wake(now)

    def next_wake(self) -> float | None:
        return None if self.machine is None else self.machine.next_wake()

    def transmissions(self) -> Sequence[Any]:
        if self.machine is None:
            return ()
        leaving = self.machine.transmissions()
        if self.testator is not None:
            for one in leaving:
                self._wills.sent(one.data, one.hop)
            self.testator.tell()  # before it leaves
        return leaving

    def events(self) -> Sequence[Any]:
        return () if self.machine is None else self.machine.events()


def _kept(result: SippResult, event: Ended | Logged) -> None:
    if isinstance(event, Logged):
        if len(result.lines) < _MOST_LINES:
            result.lines.append(event)
    elif event.call.outcome not in ("succeeded", "canceled") and len(result.failed) < _MOST_SHOWN:
        result.failed.append(event.call)


def _times(durations: Durations) -> dict[str, Any]:
    def of(value: float | None) -> float | None:
        return None if value is None else round(value * 1000.0, 3)

    some = durations.count > 0
    found: dict[str, Any] = {"count": durations.count, "min": of(durations.least if some else None)}
    found |= {f"p{percent:g}": of(durations.percentile(percent)) for percent in PERCENTILES}
    return found | {"max": of(durations.most if some else None), "mean": of(durations.mean)}


def told(result: SippResult, wishes: SippWishes, *, version: str, started_at: float) -> dict[str, Any]:
    """The JSON of `callwright load --sipp`. Names that a load of ours has too mean the same here; what a
    scenario's own text decides is under `steps` and `response_times_ms`."""
    counts = result.machine.counts
    verdict, reason = _verdict(result)
    redactor = Redactor(_secrets(wishes))
    return {
        "verdict": verdict,
        "blame": None,
        "reason": reason,
        "conditions": [],
        "name": "sipp",
        "role": "answerer" if wishes.scenario.answers else "caller",
        "scenario": wishes.scenario.name,
        "target": wishes.uri,
        "started_at": started_at,
        "version": version,
        "seconds": round(result.elapsed, 3),
        "attempted": counts.attempted,
        "succeeded": counts.succeeded,
        "canceled": counts.canceled,
        "failed": counts.failed,
        "failures": dict(counts.failures.most_common()),
        "concurrent_peak": counts.peak,
        "rate": {"mean": round(counts.attempted / result.elapsed, 2) if result.elapsed > 0 else 0.0},
        "messages": {
            "sent": counts.sent,
            "received": counts.received,
            "retransmitted": counts.resent,
            "repeated_by_peer": counts.repeated,
            "malformed": counts.malformed,
            "stray": counts.stray,
        },
        "send_errors": counts.send_errors,
        "lateness_ms": _times(counts.lateness),
        "rtp": {
            "sent": counts.rtp_sent,
            "received": counts.rtp_received,
            "withheld": counts.rtp_withheld,
        },
        "length_ms": _times(counts.length),
        "response_times_ms": {name: _times(each) for name, each in sorted(counts.response_times.items())},
        "steps": [
            {
                "line": step.line,
                "step": type(step).__name__.lower(),
                "message": step.words if isinstance(step, Send | Recv) else None,
                "done": each.done,
                "retransmitted": each.resent,
                "unexpected": each.unexpected,
                "late": each.late,
                "lost": each.lost,
            }
            for step, each in zip(wishes.scenario.steps, counts.steps, strict=True)
        ],
        "log": [
            {"call": line.number, "warning": line.warning, "text": redactor.text(line.line)}
            for line in result.lines
        ],
        "ladders": [
            {
                "outcome": call.outcome,
                "why": call.sentence,
                "number": call.facts.number,
                "at": round(call.began - result.failed[0].began, 3),
                "whole": call.whole,
                "messages": [
                    {
                        "at_ms": round(said.at * 1000.0, 3),
                        "direction": "sent" if said.sent else "received",
                        "summary": one_line(text.partition("\n")[0]),
                        "text": text,
                    }
                    for said in call.said
                    for text in (_shown(said.text, redactor),)
                ],
            }
            for call in result.failed
        ],
    }


def _secrets(wishes: SippWishes) -> list[str]:
    """Passwords that the run and the scenario name."""
    found = [wishes.credentials.password] if wishes.credentials is not None else []
    for step in wishes.scenario.steps:
        if isinstance(step, Send):
            found += [keyword.parameters.get("password", "") for keyword in step.template.keywords]
    return [password for password in found if password]


def _shown(text: str, redactor: Redactor) -> str:
    return shown_octets(redactor.message(text.encode("utf-8", "surrogateescape")))


def _verdict(result: SippResult) -> tuple[str, str]:
    counts = result.machine.counts
    late = counts.lateness.percentile(99) or 0.0
    if counts.failed and late > _LATE:
        said = f"this process was late by {late * 1000:.0f} ms (p99), so they may be its own"
        return "invalid", f"{counts.failed} of {counts.attempted} calls failed, and {said}: lower the rate"
    if counts.failed:
        first = result.failed[0] if result.failed else None
        why = f"; the first: {first.sentence}" if first is not None and first.sentence else ""
        return "failed", f"{counts.failed} of {counts.attempted} calls did not go as the scenario says{why}"
    if result.interrupted:
        return "canceled", f"interrupted after {counts.succeeded} calls that went as the scenario says"
    if not counts.succeeded:
        return "invalid", "no call went through the scenario, so nothing is known"
    return "passed", f"all {counts.succeeded} calls went as the scenario says"
