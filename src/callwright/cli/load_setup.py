"""From the flags of `callwright load` to the configurations of its loops."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from callwright.cli.console import EXIT_PLATFORM, Refused

if TYPE_CHECKING:
    from callwright.load.accounts import Accounts
    from callwright.load.document import Flow
    from callwright.net.loading import LoopConfig, MediaConfig
    from callwright.policy.destination import Target
    from callwright.sip.transport import Address

MOST_FILE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the flags say of the calls themselves. Times in seconds."""

    uri: str | None
    listen: str | None
    from_: str | None
    headers: Sequence[tuple[str, str]]
    hold: float
    ring_for: float
    ring_time: float
    reject: int
    challenge: bool
    media: str
    codec: str
    play: str
    rtp_ports: tuple[int, int]
    accounts: Accounts | None
    random_accounts: bool
    flow: Flow
    register: bool
    allow: Sequence[Target]
    bind: str | None
    cores: int
    calls: int


def read_text(path: Path, what: str) -> str:
    """A file that a person named. Raises Refused."""
    try:
        if path.stat().st_size > MOST_FILE:
            raise Refused(f"{what} {path} is larger than {MOST_FILE:,} octets")
        return path.read_text("utf-8")
    except OSError as error:
        raise Refused(f"{what} {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise Refused(f"{what} {path} is not UTF-8 text") from None


def read_accounts(path: Path | None) -> Accounts | None:
    from callwright.load.accounts import AccountsError, parse_accounts

    if path is None:
        return None
    try:
        return parse_accounts(read_text(path, "--accounts"))
    except AccountsError as error:
        raise Refused(f"--accounts {path}: {error}", "Its first line is such as: username,password") from None


def read_flow(path: Path | None) -> Flow:
    from callwright.load.document import DocumentError, Flow, parse_flow

    if path is None:
        return Flow()
    try:
        return parse_flow(read_text(path, "--scenario"))
    except DocumentError as error:
        problems = "\n".join(f"  {problem}" for problem in error.problems)
        raise Refused(f"--scenario {path}:\n{problems}", details={"errors": error.problems}) from None


def locate(uri: str, allow: Sequence[Target]) -> Address:
    """Where the load goes, permitted before and after DNS. Raises Refused with the flag that permits it."""
    from callwright.net.resolver import ResolutionFailed, resolve
    from callwright.policy.destination import Destination, Purpose, Rules, decide
    from callwright.sip.transport import Transport
    from callwright.sip.uri import Uri

    parsed = Uri.parse(uri)
    wanted = (parsed.parameter("transport") or "udp").lower()
    if parsed.scheme == "sips" or wanted != "udp":
        raise Refused("a load goes over UDP", "Leave out sips: and ;transport=.")
    rules = Rules(targets=tuple(allow))
    user = "" if "{" in (parsed.user or "") else parsed.user or ""
    before = decide(Purpose.LOAD, Destination(parsed.host, (), parsed.port, user), rules)
    if not before.allowed and not before.undecided:
        raise Refused(before.reason, before.remedy)
    try:
        targets = asyncio.run(resolve(parsed.host, parsed.port, Transport.UDP, "sip"))
    except ResolutionFailed as error:
        raise Refused(error.reason, code=EXIT_PLATFORM, blame="network") from None
    address = targets[0].address
    after = decide(Purpose.LOAD, Destination(parsed.host, (address.host,), address.port, user), rules)
    if not after.allowed:
        raise Refused(after.reason, after.remedy)
    return address


def permitted_networks(allow: Sequence[Target], target: Address | None) -> tuple[tuple[bytes, int], ...]:
    """Where a Contact or a Record-Route may send our ACK and BYE: this machine, the target, what is named."""
    from callwright.net.loading import networks_of

    texts = ["127.0.0.0/8", "::1/128"]
    if target is not None:
        texts.append(target.host.split("%")[0])
    for rule in allow:
        if rule.network is not None:
            texts.append(rule.network)
        elif rule.host is not None:
            try:
                texts.append(str(ipaddress.ip_address(rule.host)))
            except ValueError:
                continue
    return networks_of(texts)


def listen_address(text: str | None) -> Address:
    from callwright.net.address import numeric_host
    from callwright.sip.transport import Address

    if text is None:
        return Address("127.0.0.1", 5060)
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, "5060"
    numeric = numeric_host(host or "127.0.0.1")
    if numeric is None or not port.isdigit() or int(port) > 65535:
        raise Refused(f"--listen takes HOST:PORT, not {text!r}", "For example: --listen 127.0.0.1:5080")
    return Address(numeric, int(port))


def _media(wishes: Wishes, host: str, part: int, parts: int) -> MediaConfig | None:
    if wishes.media == "none":
        return None
    from callwright.audio.codecs import codec
    from callwright.audio.wav import AudioFileError
    from callwright.net.loading import MediaConfig
    from callwright.phone.source import load_clip
    from callwright.quality.codec_table import impairment as lookup
    from callwright.quality.e_model import Scale, path, rate

    try:
        row = codec(wishes.codec)
    except KeyError as error:
        raise Refused(f"--codec {wishes.codec}: {error.args[0]}") from None
    if row.payload_bytes(20) is None or row.payload_type is None:
        raise Refused(
            f"--codec {row.name}: a load sends codecs with packets of one size and a static number",
            "Use PCMU, PCMA or G722.",
        )
    low, high = wishes.rtp_ports
    if low < 10_000:
        raise Refused("--rtp-ports of a load begin at 10000", "For example: --rtp-ports 16384-32767")
    width = (high - low + 1) // parts
    try:
        clip = load_clip(wishes.play, row.sample_rate)
    except AudioFileError as error:
        raise Refused(f"--play: {error}") from None
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
    """A configuration for each core, and where the load goes. Raises Refused."""
    remote = locate(wishes.uri, wishes.allow) if wishes.uri is not None else None
    return [_config(wishes, remote, index) for index in range(wishes.cores)], remote


def _config(wishes: Wishes, remote: Address | None, index: int) -> LoopConfig:
    from callwright.load.messages import Wording, answerer_messages, caller_messages
    from callwright.net.address import Unreachable, bracketed, source_address
    from callwright.net.entropy import system_entropy
    from callwright.net.loading import LoopConfig
    from callwright.sip.transport import Address

    accounts = wishes.accounts.part(index, wishes.cores) if wishes.accounts else None
    flow = wishes.flow
    if remote is None:
        local = listen_address(wishes.listen)
        if local.port == 0:
            local = Address(local.host, free_port(local.host))
    else:
        try:
            host = wishes.bind or source_address(remote.host)
        except Unreachable as error:
            raise Refused(error.reason, code=EXIT_PLATFORM, blame="network") from None
        local = Address(host, free_port(host))
    media = _media(wishes, local.host, index, wishes.cores)
    salt = int.from_bytes(system_entropy(4), "big")
    from callwright.audio.codecs import codec

    row = codec(wishes.codec)
    common = {
        "local": bracketed(local),
        "salt": salt,
        "media": media is not None,
        "payloads": ((row.payload_type or 0, f"{row.name}/{row.clock_rate}"),),
    }
    if remote is None:
        words = Wording(**common, challenge=wishes.challenge, nonce=system_entropy(12).hex())  # type: ignore[arg-type]
        messages = answerer_messages(words)
    else:
        domain = bracketed(remote)
        words = Wording(
            **common,  # type: ignore[arg-type]
            target=_filled(accounts, flow.to or wishes.uri or ""),
            caller=_filled(accounts, _caller(wishes, accounts, local)),
            registrar=f"sip:{domain}",
            contact_user=f"{{field:{accounts.user_column}}}"
            if accounts is not None and accounts.user_column >= 0
            else "callwright",
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
        accounts=accounts.rows if accounts else (),
        user_column=accounts.user_column if accounts else -1,
        password_column=accounts.password_column if accounts else -1,
        random_account=wishes.random_accounts,
        networks=permitted_networks(wishes.allow, remote),
        share_port=remote is None and wishes.cores > 1,
        media=media,
    )


def _caller(wishes: Wishes, accounts: Accounts | None, local: Address) -> str:
    from callwright.net.address import bracketed
    from callwright.sip.uri import Uri

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
    from callwright.load.accounts import AccountsError

    if accounts is None:
        if "{" in text:
            raise Refused(f"{text!r} names a column, but there is no --accounts FILE.csv")
        return text
    try:
        return accounts.fill(text)
    except AccountsError as error:
        raise Refused(f"{text!r}: {error}") from None


def free_port(host: str) -> int:
    """A UDP port that is free now; it is opened again at once, so that two loops hardly meet."""
    import socket

    from callwright.net.address import family_of

    with socket.socket(family_of(host), socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))
        except OSError as error:
            raise Refused(
                f"{host} is no address to send from: {error.strerror or error}",
                code=EXIT_PLATFORM,
                blame="platform",
            ) from None
        return int(sock.getsockname()[1])
