"""`callwright.Phone`: a softphone that a script holds in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from callwright.media.source import prepare
from callwright.net.tap import Tap
from callwright.net.tls import TlsSettings
from callwright.outcome.judgement import MIN_HEARD, MIN_MOS, judge_registration
from callwright.outcome.request import RegistrationOutcome
from callwright.phone.call import PhoneCall
from callwright.phone.guarding import guarded
from callwright.phone.permission import Permission
from callwright.phone.phone import LINGER
from callwright.phone.phone import Phone as Softphone
from callwright.phone.plan import DEFAULT_CODECS, Account, CallPlan, MediaPlan, PhoneConfig
from callwright.phone.registration import PhoneRegistration
from callwright.policy.destination import Purpose, Rules
from callwright.scripting.live_call import Invitation, LiveCall
from callwright.sip import events
from callwright.sip.transport import Address, Transport
from callwright.sip.uri import Uri
from callwright.srtp.key_file import KeysAgreed
from callwright.version import __version__

__all__ = ["Phone"]


class Phone:
    """A phone with one account, or with none; an async context manager.

    ``address``: its own, ``sip:1001@pbx.example.com``; empty: it places calls as nobody in particular.
    ``user``: the name for authentication, when it is not the user of the address. ``transport``: ``udp``,
    ``tcp`` or ``tls``; None: as the URI and DNS say (RFC 3263). ``bind``: a local address; ``advertise``:
    the one that peers see behind a NAT. ``taps`` see every packet.

    It sends only to what was typed (its own domain, its proxy, the destinations of its calls), to this
    machine and to private networks. On leaving, calls are hung up and the account is unregistered. Calls
    that fail are verdicts of their outcomes; exceptions are for what the script did wrong: ``ValueError``
    for an address, a codec or a file that cannot be read. ``further`` are calls that came of others: a
    transfer that was followed, a call that took another's place, a consultation.
    """

    def __init__(
        self,
        address: str = "",
        *,
        password: str = "",
        user: str | None = None,
        display_name: str = "",
        proxy: str | None = None,
        transport: str | None = None,
        bind: str | None = None,
        advertise: str | None = None,
        rtp_ports: tuple[int, int] = (16384, 32767),
        codecs: Sequence[str] = DEFAULT_CODECS,
        tls: TlsSettings | None = None,
        ws_path: str = "/ws",
        taps: Sequence[Tap] = (),
        on_warning: Callable[[str], None] = lambda _: None,
    ) -> None:
        own = Uri.parse(_with_scheme(address)) if address else None
        name = (own.unescaped_user if own else None) or "callwright"
        config = PhoneConfig(
            bind=bind,
            transport=Transport(transport.upper()) if transport else None,
            advertise=advertise,
            rtp_ports=rtp_ports,
            tls=tls or TlsSettings(),
            ws_path=ws_path,
            user_agent=f"Callwright/{__version__}",
            user=name,
            codecs=tuple(codecs),
        )
        typed = tuple(Uri.parse(_with_scheme(text)).host for text in (address, proxy) if text)
        self._prepare(config, Permission(Purpose.CALL, Rules(typed=typed)), taps, on_warning)
        self._own, self._proxy = own, proxy
        if password or user:
            self._account = Account(user or name, password, display_name)
        if own is not None:
            self._caller = f'"{display_name}" <{own}>' if display_name else str(own)

    _own: Uri | None = None
    _proxy: str | None = None
    _account: Account | None = None
    _caller: str | None = None
    _on_keys: Callable[[KeysAgreed], None] | None = None

    def _prepare(
        self,
        config: PhoneConfig,
        permission: Permission,
        taps: Sequence[Tap],
        on_warning: Callable[[str], None],
    ) -> None:
        self._config, self._permission, self._taps = config, permission, taps
        self._on_warning = on_warning
        self._softphone: Softphone | None = None
        self._registrations: list[PhoneRegistration] = []
        self._invitations: asyncio.Queue[Invitation] = asyncio.Queue()
        self.further: list[LiveCall] = []
        self._open = AsyncExitStack()

    @classmethod
    def of(
        cls,
        config: PhoneConfig,
        permission: Permission,
        *,
        taps: Sequence[Tap] = (),
        on_warning: Callable[[str], None] = lambda _: None,
        on_keys: Callable[[KeysAgreed], None] | None = None,
    ) -> Self:
        """From values that were checked elsewhere: the verbs of the command line make it so."""
        made = cls.__new__(cls)
        made._prepare(config, permission, taps, on_warning)
        made._on_keys = on_keys
        return made

    async def __aenter__(self) -> Self:
        guard = self._open.enter_context(guarded())
        self._softphone = Softphone(
            self._config,
            taps=self._taps,
            permission=self._permission,
            guard=guard,
            on_keys=self._on_keys,
            on_warning=self._on_warning,
        )
        self._softphone.on_invite = self._invited
        self._softphone.on_further = self._came_of_another
        return self

    async def __aexit__(self, *_: object) -> None:
        phone = self._phone
        await phone.hang_up_all()
        for registration in self._registrations:
            if registration.registered:
                await registration.unregister()
        await phone.close(linger=LINGER)
        await self._open.aclose()

    @property
    def _phone(self) -> Softphone:
        if self._softphone is None:
            raise RuntimeError("Use the phone inside of `async with Phone(…) as phone:`.")
        return self._softphone

    async def listen(self, host: str = "127.0.0.1", port: int = 0, transport: str = "udp") -> Address:
        """Take calls at an address of this machine; port 0 picks a free one. Raises BindFailed."""
        return await self._phone.listen(host, port, Transport(transport.upper()))

    async def register(self, registrar: str | None = None, *, expires: int = 3600) -> RegistrationOutcome:
        """Register the account, at its own domain if nothing else is said; refreshed until the phone closes.

        ``expires`` in seconds. The outcome has verdict, blame and reason, a refusal too.
        """
        if self._own is None or not self._own.user:
            raise ValueError('Nobody to register: make the phone with an address, Phone("sip:1001@…").')
        registrar = registrar or self._domain(self._own)
        self._permit(registrar)
        account = self._account or Account(self._own.unescaped_user or "")
        registration = self._phone.register(
            registrar, account=account, expires=expires, domain=self._own.host, proxy=self._proxy
        )
        self._registrations.append(registration)
        await registration.first
        outcome = registration.outcome()
        return outcome.judged(*judge_registration(outcome))

    async def call(
        self,
        destination: str,
        *,
        play: str = "speech",
        dtmf: str = "",
        record: Path | None = None,
        media: bool = True,
        codecs: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        caller: str | None = None,
        ring_for: float = 60.0,
        talk_for: float | None = None,
        follow: bool = False,
        min_mos: float = MIN_MOS,
        min_heard: float = MIN_HEARD,
    ) -> LiveCall:
        """Place a call; it is under way when this returns. Raises ValueError for what is no destination.

        ``destination``: a SIP URI, or a user of the phone's own domain. ``play``: ``speech``, ``tone``,
        ``silence``, ``echo`` or a WAV file; ``dtmf``: digits to send a second after the answer. ``record``:
        a stereo WAV, left sent, right received. ``ring_for``: seconds until CANCEL; ``talk_for``: seconds
        from the answer until BYE, None: until one side hangs up. ``min_mos`` (1 to 5) and ``min_heard``
        (percent) are the limits of the verdict.
        """
        uri = self._dialled(destination)
        self._permit(uri)
        plan = CallPlan(
            destination=uri,
            media=MediaPlan(play=play, codecs=tuple(codecs), dtmf=dtmf, record=record, enabled=media),
            caller=caller or self._caller,
            account=self._account,
            proxy=self._proxy,
            headers=tuple((headers or {}).items()),
            talk_for=talk_for,
            ring_for=ring_for,
            follow=follow,
        )
        return await self.place(plan, min_mos=min_mos, min_heard=min_heard)

    async def place(
        self, plan: CallPlan, *, min_mos: float = MIN_MOS, min_heard: float = MIN_HEARD
    ) -> LiveCall:
        """As ``call``, from a plan; the permission must know its destination."""
        if plan.media.enabled:
            codecs = plan.media.codecs or self._config.codecs
            await asyncio.to_thread(
                prepare, plan.media.play, codecs, plan.media.ptime or self._config.ptime, plan.media.voice
            )
        placed = self._phone.call(plan)
        return LiveCall(placed, min_mos=min_mos, min_heard=min_heard, phone=self._phone)

    async def invited(self, timeout: float | None = None) -> Invitation:
        """The next call that comes in; answer or reject it. Raises TimeoutError when none came in time."""
        async with asyncio.timeout(timeout):
            return await self._invitations.get()

    def _invited(self, received: events.CallReceived) -> None:
        if not isinstance(received, events.CallTurnedAway):
            self._invitations.put_nowait(Invitation(self._phone, received))

    def _came_of_another(self, _: PhoneCall, further: PhoneCall) -> None:
        self.further.append(LiveCall(further, phone=self._phone))

    def _dialled(self, destination: str) -> str:
        if destination.lower().startswith(("sip:", "sips:", "tel:")) or "@" in destination:
            return _with_scheme(destination)
        if self._own is None:
            raise ValueError(f"{destination!r} has no host, and the phone has no domain: dial a SIP URI.")
        return f"{self._own.scheme}:{destination}@{self._domain(self._own)}"

    @staticmethod
    def _domain(own: Uri) -> str:
        return f"{own.host}:{own.port}" if own.port else own.host

    def _permit(self, place: str) -> None:
        """A script that names a place has typed it."""
        host = Uri.parse(_with_scheme(place)).host
        rules = self._permission.rules
        if host and host not in rules.typed:
            self._permission.rules = replace(rules, typed=(*rules.typed, host))


def _with_scheme(text: str) -> str:
    return text if text.lower().startswith(("sip:", "sips:", "tel:")) else f"sip:{text}"
