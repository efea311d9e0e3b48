"""From what is wished of a load to the configurations of its loops: where it goes, what it says and plays."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from callwright.generator.loop import LoopConfig, MediaConfig, networks_of
from callwright.load.accounts import AccountsError, LoadAccounts
from callwright.load.document import Flow
from callwright.load.messages import Wording, answerer_messages, caller_messages
from callwright.net.address import Unreachable, bracketed, source_address
from callwright.net.bulk_streams import StreamPlan
from callwright.net.entropy import system_entropy
from callwright.net.ports import free_tcp_port, free_udp_port
from callwright.net.resolver import ResolutionFailed, resolve
from callwright.net.tls import TlsSettings
from callwright.phone.permission import NotPermitted, Permission, Way
from callwright.policy.destination import Purpose, Rules, Target
from callwright.policy.remedy import Remedy, Worded
from callwright.policy.way import before_dns
from callwright.sip.session_timer import NO_WISH, SessionWish
from callwright.sip.transport import Address, Hop, Transport
from callwright.sip.uri import SipSyntaxError, Uri

_COLUMN = re.compile(r"\{(\w+)\}")


class CannotLoad(Exception):
    """A load that cannot be: `reason` is a sentence, `remedy` what to do, a value where the policy refused.
    `blame` None: the asker's."""

    def __init__(self, reason: str, remedy: Remedy | str | None = None, *, blame: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.remedy, self.blame = reason, remedy, blame

    def advice(self, worded: Worded) -> str:
        """The remedy as a sentence, "" where there is none."""
        return worded(self.remedy) if isinstance(self.remedy, Remedy) else self.remedy or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a load is to be. Times in seconds. Without a `uri` it is the side that answers, at `listen`."""

    uri: str | None = None
    proxy: str | None = None
    """Host or host:port where requests go instead of to the URI's."""
    listen: Address | None = None
    """Port 0: any."""
    from_: str | None = None
    display_name: str = ""
    headers: Sequence[tuple[str, str]] = ()
    hold: float = 0.0
    ring_for: float = 180.0
    ring_time: float = 0.0
    reject: int = 0
    challenge: bool = False
    prack: str = "offered"
    session: SessionWish = NO_WISH
    media: str = "none"
    codec: str = "PCMU"
    play: str = "tone"
    min_heard: float = 90.0
    """Percent of a call that has to be without a gap in what is heard; 0 does not ask."""
    rtp_ports: tuple[int, int] = (16384, 32767)
    accounts: LoadAccounts | None = None
    random_accounts: bool = False
    flow: Flow = field(default_factory=Flow)
    register: bool = False
    rules: Rules = field(default_factory=Rules)
    bind: str | None = None
    ip_version: int = 0
    """4 or 6: of a name that has addresses of both; 0: the first that DNS has."""
    transport: Transport | None = None
    connections: str = "one"
    """Over TCP and TLS, of the side that calls: `one`, or `per-call`."""
    tls: TlsSettings = field(default_factory=TlsSettings)
    cores: int = 1
    calls: int = 0
    silent: bool = False
    """The answering side does not ring (180)."""
    contact_user: str = "callwright"
    ladders: int = 0
    """Failed calls of each class of which the messages are kept; loads of documents tell none."""

    @property
    def proxy_uri(self) -> str:
        """Of the host that the load goes to."""
        return f"sip:{self.proxy}" if self.proxy is not None else self.uri or ""


def dialled(uri: str, accounts: LoadAccounts | None) -> list[str]:
    """Every user part that a load calls: one, or one of each account where the URI names a column."""
    return _each(uri.partition(":")[2].rpartition("@")[0].partition(":")[0], accounts)


def _each(text: str, accounts: LoadAccounts | None) -> list[str]:
    """A text, or that of each account where it names columns."""
    if "{" not in text or accounts is None:
        return [text]
    found: dict[str, None] = {}
    for row in accounts.rows:
        filled = text
        for column, value in zip(accounts.columns, row, strict=True):
            filled = filled.replace(f"{{{column}}}", value.decode("utf-8", "surrogateescape"))
        found[filled] = None
    return list(found)


def _parsed(text: str) -> Uri:
    try:
        return Uri.parse(text)
    except SipSyntaxError as error:
        raise CannotLoad(f"a load needs a SIP URI, and this is not one: {error.reason}") from None


class _Directory:
    """What the permission asks of DNS. A load goes to the first address of a name, whichever URI has it."""

    def __init__(self, transport: Transport, version: int) -> None:
        self._transport, self._version = transport, version
        self._found: dict[tuple[str, int | None], list[Address]] = {}

    async def hops(self, uri: Uri) -> list[Hop]:
        found = await self._resolve(uri.destination, uri.port)
        fit = [one for one in found if not self._version or (":" in one.host) == (self._version == 6)]
        if not fit:
            raise ResolutionFailed(uri.host, f"the host {uri.host} has no IPv{self._version} address")
        return [Hop(self._transport, Address("", 0), fit[0])]

    async def addresses(self, uri: Uri) -> list[Address]:
        try:
            return await self._resolve(uri.host, uri.port)
        except ResolutionFailed:
            return []

    async def _resolve(self, host: str, port: int | None) -> list[Address]:
        if (host, port) not in self._found:
            scheme = "sips" if self._transport.secure else "sip"
            targets = await resolve(host, port, self._transport, scheme)
            self._found[host, port] = [target.address for target in targets]
        return self._found[host, port]


def locate(uri: str, users: Sequence[str], rules: Rules, proxy: str | None = None) -> Address:
    """Where a load to `users` goes, permitted before and after DNS. Raises CannotLoad with what permits it.

    Blocks while names are resolved, and has a loop of its own: not to be called from one.
    """
    called = _called(uri, users)
    if any((one.parameter("transport") or "udp").lower() != "udp" for one in called):
        raise CannotLoad("this load goes over UDP", "Leave out ;transport=.")
    return _located(called, rules, _parsed(f"sip:{proxy}") if proxy is not None else None)[0]


def _called(uri: str, users: Sequence[str]) -> list[Uri]:
    parsed = _parsed(_COLUMN.sub("x", uri))
    return [replace(parsed, user=_parsed(f"sip:{user}@x").user if user else None) for user in users]


def transport_of(wishes: Wishes) -> Transport:
    """The one that is wished, else that of the URI, else UDP. Raises CannotLoad."""
    if wishes.uri is None:
        return wishes.transport or Transport.UDP
    uri = _parsed(_COLUMN.sub("x", wishes.flow.to or wishes.uri))
    if uri.is_secure and wishes.transport is not None and not wishes.transport.secure:
        raise CannotLoad("a sips: URI goes over TLS alone", "Leave out --transport, or write sip:.")
    if wishes.transport is not None:
        return wishes.transport
    text = "TLS" if uri.is_secure else (uri.parameter("transport") or "UDP").upper()
    if text not in ("UDP", "TCP", "TLS"):
        raise CannotLoad(f"a load goes over UDP, TCP or TLS, not {text}", "Leave out ;transport=.")
    return Transport(text)


def _locate(wishes: Wishes, uri: str) -> tuple[Address, tuple[Target, ...]]:
    """The same for all that accounts and a flow make of the URI, with the targets whose caps hold."""
    text, accounts = wishes.flow.to or uri, wishes.accounts
    _filled(accounts, text)
    host = text.rpartition("@")[2]
    if "{" in host:
        called = [_parsed(each) for each in _each(text, accounts)]
    else:
        called = _called(text, dialled(text, accounts))
    proxy = None
    if wishes.proxy is not None:
        proxy = _parsed(f"sip:{wishes.proxy}")
    elif text != uri:  # a flow calls another than the URI, which is then the way there
        proxy = _parsed(_COLUMN.sub("x", uri))
    return _located(called, wishes.rules, proxy, transport_of(wishes), wishes.ip_version)


def _located(
    called: Sequence[Uri],
    rules: Rules,
    proxy: Uri | None,
    transport: Transport = Transport.UDP,
    version: int = 0,
) -> tuple[Address, tuple[Target, ...]]:
    for uri in called:
        if transport is Transport.UDP and uri.is_secure:
            raise CannotLoad("this load goes over UDP", "Leave out sips:.")
        for before in before_dns(Purpose.LOAD, uri, rules, proxy):
            if not before.allowed and not before.undecided:
                raise CannotLoad(before.reason, before.remedy)
    try:
        ways = asyncio.run(_ways(called, rules, proxy, transport, version))
    except ResolutionFailed as error:
        raise CannotLoad(error.reason, blame="network") from None
    except NotPermitted as refused:
        raise CannotLoad(refused.decision.reason, refused.decision.remedy) from None
    found = {way.hops[0].remote for way in ways}
    if len(found) > 1:
        shown = ", ".join(sorted(bracketed(address) for address in found)[:3])
        raise CannotLoad(
            f"the accounts lead to {len(found)} addresses ({shown}), and a load can go to one only",
            "Name the one that knows the way with --proxy.",
        )
    return found.pop(), tuple(dict.fromkeys(target for way in ways for target in way.targets))


async def _ways(
    uris: Sequence[Uri], rules: Rules, proxy: Uri | None, transport: Transport, version: int
) -> set[Way]:
    permission, directory = Permission(Purpose.LOAD, rules), _Directory(transport, version)
    return {await permission.way(uri, directory, proxy) for uri in uris}


def permitted_networks(rules: Rules, target: Address | None) -> tuple[tuple[bytes, int], ...]:
    """Where a peer may lead our ACK, BYE and RTP at any port: the target's host, and what is named.

    Our own PBX is no such host: its port alone is permitted, for requests (`LoopConfig.own`).
    """
    texts = []
    if target is not None and tuple(target) not in rules.own:
        texts.append(target.host.split("%")[0])
    for rule in rules.targets:
        if rule.network is not None:
            texts.append(rule.network)
        elif rule.host is not None:
            try:
                texts.append(str(ipaddress.ip_address(rule.host)))
            except ValueError:
                continue
    return networks_of(texts)


def _media(wishes: Wishes, host: str, part: int, parts: int) -> MediaConfig | None:
    if wishes.media == "none":
        return None
    from callwright.audio.codecs import codec
    from callwright.audio.wav import AudioFileError
    from callwright.media.source import load_clip
    from callwright.quality.codec_table import impairment as lookup
    from callwright.quality.e_model import Scale, path, rate

    try:
        row = codec(wishes.codec)
    except KeyError as error:
        raise CannotLoad(f"--codec {wishes.codec}: {error.args[0]}") from None
    if row.payload_bytes(20) is None or row.payload_type is None:
        raise CannotLoad(
            f"--codec {row.name}: a load sends codecs with packets of one size and a static number",
            "Use PCMU, PCMA or G722.",
        )
    low, high = wishes.rtp_ports
    if low < 10_000:
        raise CannotLoad("--rtp-ports of a load begin at 10000", "For example: --rtp-ports 16384-32767")
    width = (high - low + 1) // parts
    try:
        clip = load_clip(wishes.play, row.sample_rate)
    except AudioFileError as error:
        raise CannotLoad(f"play: {error}") from None
    frames = list(row.frames(clip.pcm[: 2 * row.sample_rate * 30], 20))
    frame = row.payload_bytes(20) or 160
    payload = b"".join(item for item in frames if len(item) == frame) or bytes(frame)
    impairment = lookup(row.name, Scale.NARROWBAND, concealment=True)
    # One way: a packet, and the jitter buffer. What the network takes is not known without RTCP.
    delay = 20.0 + 50.0
    best = rate(path(ie=0.0, bpl=impairment.bpl, ta=delay))
    return MediaConfig(
        mode=wishes.media,
        host=host,
        low=low + part * width,
        high=low + (part + 1) * width - 1,
        payload=payload,
        frame=frame,
        payload_type=row.payload_type,
        clock_rate=row.clock_rate,
        r_best=best.r,
        ie=impairment.ie,
        bpl=impairment.bpl,
        min_heard=wishes.min_heard,
    )


def loop_configs(wishes: Wishes) -> tuple[list[LoopConfig], Address | None]:
    """A configuration for each core, and where the load goes. Raises CannotLoad."""
    configs, remote, _ = capped_configs(wishes)
    return configs, remote


def capped_configs(wishes: Wishes) -> tuple[list[LoopConfig], Address | None, tuple[Target, ...]]:
    """The same, and the targets whose caps hold. Raises CannotLoad."""
    remote, targets = None, tuple[Target, ...]()
    if wishes.uri is not None:
        remote, targets = _locate(wishes, wishes.uri)
    return [_config(wishes, remote, index) for index in range(wishes.cores)], remote, targets


def _config(wishes: Wishes, remote: Address | None, index: int) -> LoopConfig:
    accounts = wishes.accounts.part(index, wishes.cores) if wishes.accounts else None
    flow = wishes.flow
    transport = transport_of(wishes)
    if remote is None:
        local = wishes.listen or Address("127.0.0.1", 5060)
        if local.port == 0:
            local = Address(local.host, _free_port(local.host, transport))
    else:
        try:
            host = wishes.bind or source_address(remote.host)
        except Unreachable as error:
            raise CannotLoad(error.reason, blame="network") from None
        local = Address(host, _free_port(host, transport))
    media = _media(wishes, local.host, index, wishes.cores)
    streams = None
    if transport is not Transport.UDP:
        name = "" if wishes.uri is None else _parsed(_COLUMN.sub("x", wishes.proxy_uri)).host
        streams = StreamPlan(local=local, remote=remote, name=name, secure=transport.secure, tls=wishes.tls)
    salt = int.from_bytes(system_entropy(4), "big")
    from callwright.audio.codecs import codec

    row = codec(wishes.codec)
    common: dict[str, Any] = {
        "local": bracketed(local),
        "salt": salt,
        "media": media is not None,
        "payloads": ((row.payload_type or 0, f"{row.name}/{row.clock_rate}"),),
        "prack": wishes.prack,
        "min_se": wishes.session.minimum,
        "transport": transport.value,
    }
    if remote is None:
        common |= {"headers": list(wishes.headers), "contact_user": wishes.contact_user}
        words = Wording(**common, challenge=wishes.challenge, nonce=system_entropy(12).hex())
        messages = answerer_messages(words)
    else:
        domain = bracketed(remote)
        words = Wording(
            **common,
            target=_filled(accounts, (flow.to or wishes.uri or "").replace("#", "%23")),  # RFC 3261 25.1
            caller=_filled(accounts, _caller(wishes, accounts, local)),
            display_name=_filled(accounts, wishes.display_name),
            registrar=f"sip:{domain}",
            contact_user=f"{{field:{accounts.user_column}}}"
            if accounts is not None and accounts.user_column >= 0
            else wishes.contact_user,
            headers=[(name, _filled(accounts, value)) for name, value in (*wishes.headers, *flow.headers)],
        )
        messages = caller_messages(words)
    ring_for = wishes.ring_for if flow.ring_for is None else flow.ring_for
    return LoopConfig(
        local=local,
        remote=remote,
        salt=salt,
        seed=system_entropy(16),
        messages=messages,
        caller=remote is not None,
        answerer=remote is None,
        hold=wishes.hold if flow.hold is None else flow.hold,
        hold_spread=flow.hold_spread,
        ring_for=ring_for,
        cancel_after=flow.cancel_after,
        ring_time=wishes.ring_time if flow.ring_time is None else flow.ring_time,
        reject=flow.reject or wishes.reject,
        prack=wishes.prack,
        session_expires=wishes.session.interval or 0,
        min_se=wishes.session.minimum,
        refresher=wishes.session.refresher.value if wishes.session.refresher else None,
        refresh_by=wishes.session.method,
        ringing=not wishes.silent,
        accounts=accounts.rows if accounts else (),
        user_column=accounts.user_column if accounts else -1,
        password_column=accounts.password_column if accounts else -1,
        random_account=wishes.random_accounts,
        ladders=wishes.ladders,
        networks=permitted_networks(wishes.rules, remote),
        own=tuple(Address(host, port) for host, port in wishes.rules.own),
        near=wishes.rules.embedded,
        share_port=remote is None and wishes.cores > 1,
        media=media,
        streams=streams,
        connections=wishes.connections,
    )


def _caller(wishes: Wishes, accounts: LoadAccounts | None, local: Address) -> str:
    text = wishes.flow.from_ or wishes.from_
    if text is not None:
        return text if text.startswith(("sip:", "sips:", "tel:")) else f"sip:{text}"
    if accounts is not None and accounts.user_column >= 0 and wishes.uri is not None:
        host = re.split("[;?]", wishes.uri.partition(":")[2].rpartition("@")[2])[0]  # may be a column
        return f"sip:{{{accounts.columns[accounts.user_column]}}}@{host}"
    return f"sip:callwright@{bracketed(local)}"


def _filled(accounts: LoadAccounts | None, text: str) -> str:
    if accounts is None:
        if "{" in text:
            raise CannotLoad(f"{text!r} names a column, but there is no --accounts FILE.csv")
        return text
    try:
        return accounts.fill(text)
    except AccountsError as error:
        raise CannotLoad(f"{text!r}: {error}") from None


def _free_port(host: str, transport: Transport) -> int:
    try:
        return free_udp_port(host) if transport is Transport.UDP else free_tcp_port(host)
    except OSError as error:
        reason = f"{host} is not an address to send from: {error.strerror or error}"
        raise CannotLoad(reason, blame="platform") from None
