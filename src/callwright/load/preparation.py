"""From what is wished of a load to the configurations of its loops: where it goes, what it says and plays."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from callwright.load.accounts import Accounts, AccountsError
from callwright.load.document import Flow
from callwright.load.messages import Wording, answerer_messages, caller_messages
from callwright.net.address import Unreachable, bracketed, source_address
from callwright.net.entropy import system_entropy
from callwright.net.loading import LoopConfig, MediaConfig, networks_of
from callwright.net.ports import free_udp_port
from callwright.net.resolver import ResolutionFailed, resolve
from callwright.policy.destination import Destination, Purpose, Rules, decide
from callwright.sip.transport import Address, Transport
from callwright.sip.uri import Uri

_COLUMN = re.compile(r"\{(\w+)\}")


class CannotLoad(Exception):
    """A load that cannot be: `reason` is a sentence, `remedy` what to do. `blame` None: the asker's."""

    def __init__(
        self, reason: str, remedy: str = "", *, blame: str | None = None, policy: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.remedy, self.blame, self.policy = reason, remedy, blame, policy


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
    media: str = "none"
    codec: str = "PCMU"
    play: str = "tone"
    rtp_ports: tuple[int, int] = (16384, 32767)
    accounts: Accounts | None = None
    random_accounts: bool = False
    flow: Flow = field(default_factory=Flow)
    register: bool = False
    rules: Rules = field(default_factory=Rules)
    bind: str | None = None
    cores: int = 1
    calls: int = 0
    silent: bool = False
    """The answering side does not ring (180)."""
    contact_user: str = "callwright"
    ladders: int = 0
    """Failed calls of each class of which the messages are kept; loads of documents tell none."""


def dialled(uri: str, accounts: Accounts | None) -> list[str]:
    """Every user part that a load calls: one, or one of each account where the URI names a column."""
    user = uri.partition(":")[2].rpartition("@")[0].partition(":")[0]
    if "{" not in user or accounts is None:
        return [user]
    found: dict[str, None] = {}
    for row in accounts.rows:
        filled = user
        for column, value in zip(accounts.columns, row, strict=True):
            filled = filled.replace(f"{{{column}}}", value.decode())
        found[filled] = None
    return list(found)


def locate(uri: str, users: Sequence[str], rules: Rules, proxy: str | None = None) -> Address:
    """Where a load to `users` goes, permitted before and after DNS. Raises CannotLoad with what permits it.

    Blocks while names are resolved, and has a loop of its own: not to be called from one.
    """
    parsed = Uri.parse(_COLUMN.sub("x", uri))
    wanted = (parsed.parameter("transport") or "udp").lower()
    if parsed.scheme == "sips" or wanted != "udp":
        raise CannotLoad("a load goes over UDP", "Leave out sips: and ;transport=.")
    hops = [(parsed.host, parsed.port)]
    if proxy is not None:
        by_way = Uri.parse(f"sip:{proxy}")
        hops.append((by_way.host, by_way.port))
    for (host, port), user in itertools.product(hops, users):
        before = decide(Purpose.LOAD, Destination(host, (), port, user), rules)
        if not before.allowed and not before.undecided:
            raise CannotLoad(before.reason, before.remedy, policy=True)
    host, port = hops[-1]
    try:
        targets = asyncio.run(resolve(host, port, Transport.UDP, "sip"))
    except ResolutionFailed as error:
        raise CannotLoad(error.reason, blame="network") from None
    address = targets[0].address
    for user in users:
        after = decide(Purpose.LOAD, Destination(host, (address.host,), address.port, user), rules)
        if not after.allowed:
            raise CannotLoad(after.reason, after.remedy, policy=True)
    return address


def permitted_networks(rules: Rules, target: Address | None) -> tuple[tuple[bytes, int], ...]:
    """Where a Contact or a Record-Route may send our ACK and BYE: the target, what is named, and this machine
    where one person has it to himself.
    """
    texts = ["127.0.0.0/8", "::1/128"] if rules.embedded else []
    texts += [host for host, _ in rules.own]
    if target is not None:
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
    from callwright.phone.source import load_clip
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
    )


def loop_configs(wishes: Wishes) -> tuple[list[LoopConfig], Address | None]:
    """A configuration for each core, and where the load goes. Raises CannotLoad."""
    remote = None
    if wishes.uri is not None:
        users = dialled(wishes.flow.to or wishes.uri, wishes.accounts)
        remote = locate(wishes.uri, users, wishes.rules, wishes.proxy)
    return [_config(wishes, remote, index) for index in range(wishes.cores)], remote


def _config(wishes: Wishes, remote: Address | None, index: int) -> LoopConfig:
    accounts = wishes.accounts.part(index, wishes.cores) if wishes.accounts else None
    flow = wishes.flow
    if remote is None:
        local = wishes.listen or Address("127.0.0.1", 5060)
        if local.port == 0:
            local = Address(local.host, _free_port(local.host))
    else:
        try:
            host = wishes.bind or source_address(remote.host)
        except Unreachable as error:
            raise CannotLoad(error.reason, blame="network") from None
        local = Address(host, _free_port(host))
    media = _media(wishes, local.host, index, wishes.cores)
    salt = int.from_bytes(system_entropy(4), "big")
    from callwright.audio.codecs import codec

    row = codec(wishes.codec)
    common: dict[str, Any] = {
        "local": bracketed(local),
        "salt": salt,
        "media": media is not None,
        "payloads": ((row.payload_type or 0, f"{row.name}/{row.clock_rate}"),),
    }
    if remote is None:
        common |= {"headers": list(wishes.headers), "contact_user": wishes.contact_user}
        words = Wording(**common, challenge=wishes.challenge, nonce=system_entropy(12).hex())
        messages = answerer_messages(words)
    else:
        domain = bracketed(remote)
        words = Wording(
            **common,
            target=_filled(accounts, flow.to or wishes.uri or ""),
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
        ringing=not wishes.silent,
        accounts=accounts.rows if accounts else (),
        user_column=accounts.user_column if accounts else -1,
        password_column=accounts.password_column if accounts else -1,
        random_account=wishes.random_accounts,
        ladders=wishes.ladders,
        networks=permitted_networks(wishes.rules, remote),
        share_port=remote is None and wishes.cores > 1,
        media=media,
    )


def _caller(wishes: Wishes, accounts: Accounts | None, local: Address) -> str:
    text = wishes.flow.from_ or wishes.from_
    if text is not None:
        return text if text.startswith(("sip:", "sips:", "tel:")) else f"sip:{text}"
    if accounts is not None and accounts.user_column >= 0 and wishes.uri is not None:
        parsed = Uri.parse(wishes.uri)
        host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
        port = f":{parsed.port}" if parsed.port else ""
        return f"sip:{{{accounts.columns[accounts.user_column]}}}@{host}{port}"
    return f"sip:callwright@{bracketed(local)}"


def _filled(accounts: Accounts | None, text: str) -> str:
    if accounts is None:
        if "{" in text:
            raise CannotLoad(f"{text!r} names a column, but there is no --accounts FILE.csv")
        return text
    try:
        return accounts.fill(text)
    except AccountsError as error:
        raise CannotLoad(f"{text!r}: {error}") from None


def _free_port(host: str) -> int:
    try:
        return free_udp_port(host)
    except OSError as error:
        reason = f"{host} is no address to send from: {error.strerror or error}"
        raise CannotLoad(reason, blame="platform") from None
