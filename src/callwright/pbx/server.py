"""The reference PBX as a process part: the B2BUA on a driver, with sockets, relay and a log of calls.

pbx = Pbx(PbxConfig("pbx.test", [Account("1001", "secret"), Account("1002", "secret")]))
address = await pbx.start()
...
await pbx.close()
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from callwright.net.address import WILDCARDS, Unreachable, is_local, numeric_host
from callwright.net.clock import Clock, SystemClock
from callwright.net.driver import BindFailed, Driver, log_error
from callwright.net.entropy import Entropy, system_entropy
from callwright.net.forwarder import Forwarder
from callwright.net.forwarder_choice import media_forwarder
from callwright.net.media_choice import media_engine
from callwright.net.ports import MediaPorts
from callwright.net.resolver import ResolutionFailed
from callwright.net.tap import Tap
from callwright.net.tls import TlsSettings
from callwright.pbx.accounts import PbxAccount, PbxAccounts
from callwright.pbx.b2bua import B2bua, B2buaConfig
from callwright.pbx.guard import Ban, GuardLimits, GuessGuard
from callwright.pbx.kept import KeptBindings
from callwright.pbx.messages import Mailboxes
from callwright.pbx.news import NewsOfCalls, news_of
from callwright.pbx.path import DirectPaths, MediaPaths
from callwright.pbx.plan import PbxPlan
from callwright.pbx.record import (
    BindingChanged,
    CallEvent,
    CallRecord,
    PbxEvent,
    SourceBanned,
    SourceReleased,
)
from callwright.pbx.recording import Recorded, Recordings
from callwright.pbx.registrar import Binding, Registrar
from callwright.pbx.relay import RelayPaths
from callwright.pbx.routing import Refuse, Strategy
from callwright.pbx.studio import StudioStages
from callwright.phone.guard import Estate, Testator
from callwright.phone.guard import Guard as CallGuard
from callwright.phone.permission import NotPermitted, Permission
from callwright.phone.plan import PhoneConfig
from callwright.policy.destination import Purpose, Rules
from callwright.sip.transport import Address, Hop, PermittedHop, Transport
from callwright.sip.uri import Uri

__all__ = ["Pbx", "PbxConfig", "PbxListener"]


_log = logging.getLogger(__name__)
_Done = TypeVar("_Done")
_LOCATE_EVERY = 300.0  # seconds
_is_local = lru_cache(maxsize=256)(is_local)


@dataclass(frozen=True, slots=True)
class PbxListener:
    """One address to listen on; `host` numeric, `port` 0 for a free one."""

    transport: Transport = Transport.UDP
    host: str = "127.0.0.1"
    port: int = 0


@dataclass(frozen=True, slots=True)
class PbxConfig:
    """A PBX. `domain` is the realm and the host part of its addresses; durations in seconds.

    `also` are further names of it; the addresses it listens on are among them by themselves. `rules` say
    where media may go that is relayed, and requests within calls. `plan`: further accounts, and all other
    numbers. `messages`: the folder of voice messages; None: no message is taken. `recordings`: the folder of
    recorded calls; None: none is recorded. `registrations`: a file in which phones outlive this process.
    `algorithms` of digest: see B2buaConfig.
    `permitted`: addresses and networks that are never banned, besides loopback and this machine's own;
    `limits` of the guard. `websocket_trust`: see Driver.
    """

    domain: str
    accounts: Sequence[PbxAccount]
    listen: Sequence[PbxListener] = (PbxListener(),)
    also: Sequence[str] = ()
    relay: bool = False
    rtp_ports: tuple[int, int] = (16_384, 32_767)
    advertise: str | None = None
    open_methods: frozenset[str] = frozenset()
    strategy: Strategy = Strategy.ALL
    min_expires: int = 60
    max_expires: int = 3_600
    ring_limit: float = 180.0
    duration_limit: float = 4 * 3_600.0
    idle_limit: float = 300.0
    max_calls: int = 1_000
    tls: TlsSettings = field(default_factory=TlsSettings)
    rules: Rules = field(default_factory=Rules)
    user_agent: str = "Callwright PBX"
    algorithms: tuple[str, ...] = ("MD5",)
    permitted: Sequence[str] = ()
    limits: GuardLimits = field(default_factory=GuardLimits)
    messages: Path | None = None
    registrations: Path | None = None
    recordings: Path | None = None
    plan: PbxPlan = field(default_factory=PbxPlan)
    websocket_trust: str = field(default="", repr=False)


class Pbx:
    """Make, start, use and close it on one running loop; an async context manager too.

    `taps` see every SIP packet, and with a relay every RTP and RTCP packet; `on_event` gets PbxEvents (a
    registration, a step of a call, credentials refused); `news` carries the steps of calls beyond this
    process. `call_guard` keeps what ends the calls at both phones though this process is killed.
    """

    def __init__(
        self,
        config: PbxConfig,
        clock: Clock | None = None,
        entropy: Entropy = system_entropy,
        taps: Sequence[Tap] = (),
        *,
        call_guard: CallGuard | None = None,
        news: NewsOfCalls | None = None,
        on_event: Callable[[PbxEvent], None] = lambda _: None,
        on_recorded: Callable[[Recorded], None] = lambda _: None,
        on_warning: Callable[[str], None] = lambda _: None,
        on_error: Callable[[BaseException], None] = log_error,
    ) -> None:
        self.config = config
        self.listening: list[tuple[Transport, Address]] = []
        self._permission = Permission(Purpose.CALL, config.rules)
        self._clock: Clock = clock or SystemClock()
        self._entropy = entropy
        self._taps = tuple(taps)
        self._call_guard = call_guard
        self._testator: Testator | None = None
        self._news = news
        self._kept: KeptBindings | None = None
        self._on_event = on_event
        self._on_recorded = on_recorded
        self._recordings: Recordings | None = None
        self._on_warning = on_warning
        self._on_error = on_error
        self._forwarder: Forwarder | None = None
        self._driver: Driver[PbxEvent] | None = None
        self._machine: B2bua | None = None
        self._stages: StudioStages | None = None
        self._locating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Pbx:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> Address:
        """Open the sockets; the first address that it listens on.

        Raises BindFailed or TlsConfigurationError, with a sentence, and leaves nothing open.
        """
        config = self.config
        self._machine = machine = self._make_machine()
        self._driver = driver = Driver(
            machine,
            handler=self._told,
            clock=self._clock,
            taps=self._taps,
            tls=config.tls,
            entropy=self._entropy,
            on_warning=self._on_warning,
            on_error=self._on_error,
            websocket_trust=config.websocket_trust,
            before_sending=self._before_sending,
        )
        if self._call_guard is not None:
            self._testator = Testator(
                self._call_guard,
                estate=self._estate,
                wills=machine.endpoint.wills,
                descriptor_of=driver.descriptor_of,
            )
        try:
            for wanted in config.listen:
                self.listening.append((wanted.transport, await self._listen(driver, wanted)))
        except BaseException:
            await driver.close()
            raise
        machine.know_own(self._is_own)
        self._restore(machine)
        self._locate_trunks()
        return self.address

    @property
    def address(self) -> Address:
        """The first address that it listens on."""
        return self.listening[0][1]

    @property
    def accounts(self) -> PbxAccounts:
        """Who may register and be called."""
        return self._running.registrar.accounts

    @property
    def plan(self) -> PbxPlan:
        """Accounts and all other numbers, as they are now."""
        return self._running.plan

    def adopt(self, plan: PbxPlan, rules: Rules | None = None) -> None:
        """From now on this plan: accounts and numbers come, change and go while calls go on.

        Contacts of accounts that stay are kept. One account: `pbx.adopt(pbx.plan.with_account(account))`.
        `rules`: from now on they say where trunks may be; calls that are up go on.
        """
        if rules is not None:
            self._permission.rules = rules
        self._running.adopt(plan, self._clock.now())
        if self._driver is not None:
            self._driver.drain()
            self._locate_trunks()

    @property
    def calls(self) -> list[CallRecord]:
        """Records of the last 1,000 finished calls and of all live ones, oldest first."""
        return self._running.calls

    @property
    def live_calls(self) -> list[tuple[CallRecord, bool]]:
        """The records of calls that are not over, oldest first, each with whether it is on hold."""
        return self._running.live_calls

    def click(self, user: str, number: str) -> CallRecord | None:
        """Ring the phones of an account, and connect the one that answers to a number; None: it has none."""
        return self._drained(self._running.click(user, number, self._clock.now()))

    def join_numbers(self, first: str, number: str, asked_by: str) -> CallRecord | Refuse:
        """Call a number, and connect who answers there to another; both by the rights of an account."""
        return self._drained(self._running.join_numbers(first, number, asked_by, self._clock.now()))

    def send_text(self, user: str, to: str, text: str, done: Callable[[int, str], None]) -> None:
        """A MESSAGE (RFC 3428) to the phones of an account, as another. `done(status, reason)` comes once,
        maybe at once: the first 2xx, else the best of the answers; 480 when no phone is registered."""
        self._running.send_text(user, to, text, done, self._clock.now())
        self._drained(None)

    def mailbox_changed(self, user: str) -> None:
        """Somebody else than a phone has heard or deleted messages of that account: its phones are told."""
        self._running.mailbox_changed(user, self._clock.now())
        self._drained(None)

    def hang_up(self, call: str) -> bool:
        """End a call by the id of its record; False: it is over already."""
        return self._drained(self._running.hang_up(call, self._clock.now()))

    def record(self, call: str) -> bool:
        """Record a call that is up from now on; False: it cannot be, or there is none."""
        return self._running.record(call, self._clock.now())

    def stop_recording(self, call: str) -> bool:
        """Record a call no longer, though it goes on; False: it is not recorded."""
        return self._running.stop_recording(call, self._clock.now())

    @property
    def recorded(self) -> frozenset[str]:
        """The calls that are recorded now, by the ids of their records."""
        return self._running.recorded

    def tell_to_answer(self, call: str, user: str | None = None) -> bool:
        """Ask a phone that rings for a call, of that account or of any, to answer; False: none of them can be
        asked."""
        return self._drained(self._running.tell_to_answer(call, user, self._clock.now()))

    def transfer(self, call: str, number: str, by: str | None = None) -> CallRecord | None:
        """Connect the peer of that account, by default the caller, to a number. The new call's record; None:
        there is no such call, or nobody has answered it."""
        return self._drained(self._running.transfer(call, number, by, self._clock.now()))

    @property
    def registered(self) -> list[tuple[Binding, float]]:
        """Every contact of every account, with the seconds for which it is still registered."""
        now = self._clock.now()
        found = (binding for one in self.accounts for binding in self.bindings(one.user))
        return [(binding, binding.expires_at - now) for binding in found]

    def bindings(self, user: str) -> tuple[Binding, ...]:
        """Where an account is registered now."""
        return self._running.registrar.bindings(user, self._clock.now())

    def bans(self) -> list[tuple[Ban, float]]:
        """Addresses that are answered 403 for their guesses, and for how many seconds more; oldest first."""
        now = self._clock.now()
        return [(ban, ban.until - now) for ban in self._running.guard.bans(now)]

    @property
    def permitted(self) -> list[str]:
        """Addresses and networks that a person has permitted: they are never banned."""
        return self._running.guard.permitted

    def permit(self, place: str) -> list[Ban]:
        """Never ban an address or network; the bans that ended. Raises ValueError with a sentence."""
        now = self._clock.now()
        return self._ended(self._running.guard.permit(place, now), "it is permitted now", now)

    def release(self, place: str) -> list[Ban]:
        """End the bans of an address or network; gives them. Raises ValueError with a sentence."""
        now = self._clock.now()
        return self._ended(self._running.guard.release(place, now), "a person released it", now)

    async def close(self, *, patience: float = 0.5) -> None:
        """Hang up all calls, wait at most `patience` seconds for the goodbyes, close everything."""
        driver, machine = self._driver, self._machine
        if driver is None or machine is None:
            return
        self._driver = None
        if self._locating is not None:
            self._locating.cancel()
        if machine.live:
            machine.hang_up_all(self._clock.now())
            driver.drain()
            until = self._clock.now() + patience
            while not machine.endpoint.quiescent and self._clock.now() < until:
                await asyncio.sleep(0.01)
        await driver.close()
        if self._testator is not None:
            self._testator.close()
        if self._kept is not None:
            self._kept.close()
        if self._recordings is not None:
            await self._recordings.close()
        if self._stages is not None:
            await self._stages.close()
        if self._forwarder is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._forwarder.close)

    # -- inside

    def _drained(self, done: _Done) -> _Done:
        """What came of a wish, after what it makes us send was sent."""
        if self._driver is not None:
            self._driver.drain()
        return done

    def _before_sending(self) -> None:
        """What ends calls is kept before what makes them is sent, and what became of calls and registrations
        before the phones hear of it: a process that is killed has forgotten nothing that it said."""
        if self._testator is not None:
            self._testator.tell()
        events = self._running.upcoming
        if not events:
            return
        if self._kept is not None:
            self._kept.note(event.change for event in events if isinstance(event, BindingChanged))
        if self._news is not None:
            for event in events:
                if isinstance(event, CallEvent):
                    self._news.tell(news_of(event))

    def _restore(self, machine: B2bua) -> None:
        """Phones that an earlier process knew, where they registered at an address that is ours still."""
        if self.config.registrations is None:
            return
        self._kept = kept = KeptBindings(self.config.registrations, self._wall_at)
        here = {address.port for transport, address in self.listening if transport is Transport.UDP}
        found = [one for one in kept.open(self._clock.now()) if one.hop.local.port in here]
        machine.restore(found)
        if found:
            _log.info("%d registrations are kept from before", len(found))

    def _estate(self) -> Estate:
        config = self.config
        return Estate.of(
            PhoneConfig(user_agent=config.user_agent, advertise=config.advertise, tls=config.tls),
            self._permission,
        )

    def _ended(self, bans: list[Ban], reason: str, now: float) -> list[Ban]:
        self._running.released(bans, reason, now)
        if self._driver is not None:
            self._driver.drain()
        return bans

    def _told(self, event: PbxEvent) -> None:
        """Bans stand in the log, whoever else listens."""
        if isinstance(event, SourceBanned):
            _log.warning(
                "%s is banned for %.0f s: wrong passwords for %d accounts",
                event.source,
                event.until - event.at,
                event.accounts,
            )
        elif isinstance(event, SourceReleased):
            _log.warning("%s is no longer banned: %s", event.source, event.reason)
        self._on_event(event)

    @property
    def _running(self) -> B2bua:
        if self._machine is None:
            raise RuntimeError("the PBX has not been started")
        return self._machine

    def _make_machine(self) -> B2bua:
        config = self.config
        plan = replace(config.plan, accounts=(*config.accounts, *config.plan.accounts))
        accounts = PbxAccounts(config.domain, plan.accounts, also=self._names(), is_ours=self._is_ours)
        registrar = Registrar(
            accounts,
            min_expires=config.min_expires,
            max_expires=config.max_expires,
            default_expires=config.max_expires,
            entropy=self._entropy,
        )
        machine_config = B2buaConfig(
            user_agent=config.user_agent,
            open_methods=config.open_methods,
            strategy=config.strategy,
            ring_limit=config.ring_limit,
            duration_limit=config.duration_limit,
            idle_limit=config.idle_limit,
            max_calls=config.max_calls,
            advertise_host=config.advertise,
            hop_for=self._hop_for,
            permission=self._permission,
            algorithms=config.algorithms,
            keep_wills=self._call_guard is not None,
        )
        paths: MediaPaths = DirectPaths()
        ports = MediaPorts(*config.rtp_ports, entropy=self._entropy)
        if config.relay:
            self._forwarder = media_forwarder(ports=ports, clock=self._clock, taps=self._taps)
            paths = RelayPaths(self._forwarder, config.rules, self._on_loop())
        self._stages = StudioStages(
            lambda: media_engine(ports=ports, clock=self._clock, taps=self._taps),
            self._clock,
            self._entropy,
            self._permission,
            lambda hop: config.advertise or hop.local.host,
            self._heard,
        )
        mailboxes = Mailboxes(config.messages) if config.messages is not None else None
        if config.recordings is not None:
            self._recordings = Recordings(config.recordings, self._clock, self._on_recorded)
        guard = GuessGuard(config.limits, is_ours=_is_local, permitted=config.permitted)
        return B2bua(
            registrar,
            machine_config,
            self._entropy,
            self._wall_at,
            paths,
            guard,
            plan,
            self._stages,
            mailboxes,
            self._recordings,
        )

    def _locate_trunks(self) -> None:
        """Ask DNS where the trunks are, now and again; those that cannot be found keep what was known."""
        if self._locating is not None:
            self._locating.cancel()
            self._locating = None
        if self.plan.trunks:
            self._locating = asyncio.get_running_loop().create_task(self._keep_locating())

    async def _keep_locating(self) -> None:
        while True:
            for trunk in self.plan.trunks:
                driver = self._driver
                if driver is None:
                    return
                uri = Uri.parse(trunk.uri)
                transport = Transport.asked(uri.parameter("transport"))
                try:
                    hops = await driver.locate(uri.destination, uri.port, transport, uri.scheme.lower())
                except ResolutionFailed as error:
                    self._on_warning(f"trunk {trunk.name}: {error}")
                    continue
                self._running.locate_trunk(trunk.name, hops, self._clock.now())
                driver.drain()
            await asyncio.sleep(_LOCATE_EVERY)

    def _heard(self, act: Callable[[float], None]) -> None:
        """Something was heard on a stage."""
        if self._driver is not None:
            self._running.after_audio(act, self._clock.now())
            self._driver.drain()

    def _on_loop(self) -> Callable[[Callable[[float], None]], None]:
        """Has other threads do something on this loop; what comes after its end is lost."""
        loop = asyncio.get_running_loop()

        def run(act: Callable[[float], None]) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._heard, act)

        return run

    def _wall_at(self, now: float) -> float:
        return self._clock.wall() - self._clock.now() + now

    async def _listen(self, driver: Driver[PbxEvent], wanted: PbxListener) -> Address:
        """With port 0, the port that another transport has on that host already, where it is free."""
        if wanted.port == 0:
            for transport, address in self.listening:
                if transport is not wanted.transport and address.host == wanted.host:
                    with contextlib.suppress(BindFailed):
                        return await driver.listen(wanted.transport, wanted.host, address.port)
        return await driver.listen(wanted.transport, wanted.host, wanted.port)

    def _names(self) -> list[str]:
        names = [*self.config.also, *(wanted.host for wanted in self.config.listen)]
        return names if self.config.advertise is None else [*names, self.config.advertise]

    def _is_ours(self, host: str) -> bool:
        """Listening on a wildcard, every address of this machine is a name of ours."""
        numeric = numeric_host(host)
        if numeric is None or numeric in WILDCARDS:
            return False
        return any(wanted.host in WILDCARDS for wanted in self.config.listen) and _is_local(numeric)

    def _is_own(self, hop: Hop) -> bool:
        """The hop ends where we listen."""
        host, port = hop.remote
        for transport, address in self.listening:
            if transport is hop.transport and address.port == port:
                if address.host == host:
                    return True
                if address.host in WILDCARDS and _is_local(host):
                    return True
        return False

    def _hop_for(self, uri: Uri, along: Hop) -> PermittedHop | None:
        """The way to a Contact or Route within a call, as far as the rules allow; else the way it came."""
        host = numeric_host(uri.destination)
        if host is None or self._driver is None:
            return None
        transport = Transport.asked(uri.parameter("transport"), secure=uri.is_secure) or along.transport
        port = uri.port or transport.default_port
        if transport is along.transport and Address(host, port) == along.remote:
            return None
        try:
            return self._permission.led(
                self._driver.hop_for(host, uri.port, transport, name=along.name), along
            )
        except (NotPermitted, Unreachable, BindFailed):
            return None
