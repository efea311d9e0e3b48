"""From the flags of `callwright load` to what is wished of it: files that are read, addresses, refusals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from callwright.host.operator import EXIT_PLATFORM, Refused

if TYPE_CHECKING:
    from callwright.cli.load_document import LoadDocument
    from callwright.load.accounts import LoadAccounts
    from callwright.load.document import Flow
    from callwright.net.tls import TlsSettings
    from callwright.sip.transport import Address, Transport

MOST_FILE = 64 * 1024 * 1024


@contextmanager
def refusing() -> Iterator[None]:
    """What cannot be loaded, as the refusal that a command ends with."""
    from callwright.cli.remedies import with_allow
    from callwright.load.preparation import CannotLoad

    try:
        yield
    except CannotLoad as error:
        advice = error.advice(with_allow)
        if error.blame is None:
            raise Refused(error.reason, advice) from None
        raise Refused(error.reason, advice, code=EXIT_PLATFORM, blame=error.blame) from None


def load_uri(text: str) -> str:
    """The URI of a load, which may name columns of the accounts. Raises Refused."""
    from callwright.cli.softphone import sip_uri

    full = text if text.partition(":")[0].lower() in ("sip", "sips") else f"sip:{text}"
    sip_uri(re.sub(r"\{\w+\}", "x", full))
    return full


_ANSWERING = ("listen", "ring-time", "reject", "challenge")
_CALLING = ("rate", "ramp", "steps", "concurrent", "accounts", "register", "find-capacity")
_PLANNED = ("ramp", "steps", "calls", "for", "fail-if")


def refuse_conflicts(given: Mapping[str, object], *, answer: bool) -> None:
    """Flags that would be of no effect beside the others. Raises Refused."""
    names = {name for name, value in given.items() if value}
    for name in _CALLING if answer else _ANSWERING:
        if name in names:
            side = "for the side that calls, not for --answer" if answer else "for the other side, --answer"
            raise Refused(f"--{name} is {side}")
    if "find-capacity" in names:
        for name in _PLANNED:
            if name in names:
                raise Refused(
                    f"--find-capacity and --{name} exclude each other",
                    "It has conditions of its own, and chooses rates from --rate on, --trial seconds each.",
                )


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


def read_accounts(path: Path | None) -> LoadAccounts | None:
    from callwright.load.accounts import AccountsError, parse_accounts

    if path is None:
        return None
    try:
        return parse_accounts(read_text(path, "--accounts"))
    except AccountsError as error:
        raise Refused(f"--accounts {path}: {error}", "Its first line is such as: username,password") from None


def read_document(path: Path | None, *, answer: bool) -> LoadDocument | None:
    """A test document, known by its steps; None for a flow of the loop's own words."""
    from callwright.cli.load_document import read_load_document

    if path is None:
        return None
    text = read_text(path, "--scenario")
    if not re.search(r"^[\"']?steps[\"']?\s*:", text, re.MULTILINE):
        return None
    return read_load_document(path, text, answer=answer)


def read_flow(path: Path | None) -> Flow:
    from callwright.load.document import DocumentError, Flow, parse_flow

    if path is None:
        return Flow()
    try:
        return parse_flow(read_text(path, "--scenario"))
    except DocumentError as error:
        problems = "\n".join(f"  {problem}" for problem in error.problems)
        raise Refused(f"--scenario {path}:\n{problems}", details={"errors": error.problems}) from None


def transport_named(text: str | None) -> Transport | None:
    from callwright.sip.transport import Transport

    if text is None:
        return None
    if text.lower() not in ("udp", "tcp", "tls"):
        raise Refused(f"--transport of a load is udp, tcp or tls, not {text!r}")
    return Transport(text.upper())


def ip_version(four: bool, six: bool, *, answer: bool) -> int:
    if four and six:
        raise Refused("--ipv4 and --ipv6 exclude each other")
    if (four or six) and answer:
        raise Refused(f"--{'ipv4' if four else 'ipv6'} is for the side that calls, not for --answer")
    return 4 if four else 6 if six else 0


def connections_named(text: str, *, answer: bool) -> str:
    if text not in ("one", "per-call"):
        raise Refused(f"--connections is one or per-call, not {text!r}")
    if answer and text != "one":
        raise Refused("--connections is for the side that calls, not for --answer")
    return text


def tls_settings(
    ca: Path | None,
    cert: Path | None,
    keys: Sequence[str],
    sni: str | None,
    insecure: bool,
    client_certificate: bool,
) -> TlsSettings:
    from callwright.net.tls import TlsSettings

    if len(keys) > 1:
        raise Refused("--key is given once: the private key of --cert")
    key = Path(keys[0]) if keys else None
    for flag, file in (("--ca", ca), ("--cert", cert), ("--key", key)):
        if file is not None and not file.exists():
            raise Refused(f"{flag} {file}: there is no such file")
    return TlsSettings(ca, cert, key, sni, insecure, client_certificate)


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
