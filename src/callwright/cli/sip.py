"""`callwright sip`: look at one SIP message the way an element would."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from callwright.sip.lint import Finding, Lint

WELL_FORMED = 0
MALFORMED = 1
USAGE = 2
_MAX_OCTETS = 1 << 24
_MAX_DATAGRAM = 65535

app = typer.Typer(
    name="sip",
    help="Look at SIP messages.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def sip() -> None:
    """Look at SIP messages."""


@app.command(
    epilog="Examples:\n\n"
    "callwright sip parse invite.sip\n\n"
    "callwright sip parse --json invite.sip | jq .would_answer\n\n"
    "nc -ul 5060 | callwright sip parse -"
)
def parse(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A file with one message; - is stdin.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show every header as it was read.")
    ] = False,
    trace_sip: Annotated[bool, typer.Option("--trace-sip", help="Show the octets on stderr.")] = False,
) -> None:
    """Lint one SIP message, taken as one datagram.

    Exit codes: 0 well-formed, maybe with warnings; 1 malformed; 2 the file cannot be read.
    """
    try:
        data = _read(file)
    except OSError as error:
        reason = f"{file}: {error.strerror or error}"
        if as_json:
            _print_json(_document(None, reason))
        else:
            typer.echo(f"callwright sip parse: {reason}", err=True)
        raise typer.Exit(USAGE) from None
    from callwright.sip.lint import lint

    if trace_sip:
        typer.echo(printable(data.decode("utf-8", "surrogateescape"), lines=True), err=True)
    result = lint(data)
    if len(data) > _MAX_DATAGRAM:
        result.warn(f"{len(data)} octets do not fit into one datagram", None, "RFC 3261 section 18.1.1")
    if as_json:
        _print_json(_document(result))
    else:
        _print_human(result, verbose)
    raise typer.Exit(WELL_FORMED if result.well_formed else MALFORMED)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(_MAX_OCTETS)
    with Path(file).open("rb") as stream:
        return stream.read(_MAX_OCTETS)


def printable(text: str, *, lines: bool = False) -> str:
    """The text with control characters and octets that are no UTF-8 as escapes, so that no terminal obeys
    them."""
    shown: list[str] = []
    for character in text.replace("\r\n", "\n") if lines else text:
        if character.isprintable() or (lines and character == "\n"):
            shown.append(character)
        elif "\udc80" <= character <= "\udcff":
            shown.append(f"\\x{ord(character) - 0xDC00:02x}")
        else:
            shown.append(character.encode("unicode_escape").decode())
    return "".join(shown)


def _clean(text: str) -> str:
    """The text as JSON can carry it: octets that are no UTF-8 as `\\xNN`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _document(result: Lint | None, unread: str | None = None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "well_formed": None if result is None else result.well_formed,
        "kind": None,
        "method": None,
        "uri": None,
        "status": None,
        "reason_phrase": None,
        "headers": [],
        "body_length": None,
        "errors": [{"message": unread, "header": None, "rfc": None}] if unread is not None else [],
        "warnings": [],
        "would_answer": None,
        "ignored_octets": 0,
    }
    if result is None:
        return document
    from callwright.sip.headers import COMPACT_NAMES, full_name
    from callwright.sip.lint import describe

    if result.message is not None:
        for key, value in describe(result.message).items():
            document[key] = _clean(value) if isinstance(value, str) else value
        document["headers"] = [
            {"name": full_name(name), "value": _clean(value), "compact": name.lower() in COMPACT_NAMES}
            for name, value in result.message.headers
        ]
        document["body_length"] = len(result.message.body)
    document["errors"] = [_finding(finding) for finding in result.errors]
    document["warnings"] = [_finding(finding) for finding in result.warnings]
    document["would_answer"] = result.would_answer
    document["ignored_octets"] = result.ignored_octets
    return document


def _finding(finding: Finding) -> dict[str, str | None]:
    return {"message": _clean(finding.message), "header": finding.header, "rfc": finding.rfc}


def _print_json(document: dict[str, Any]) -> None:
    from callwright.evidence.shown import shown_json

    typer.echo(shown_json(json.dumps(document, indent=2, ensure_ascii=False)))


def _print_human(result: Lint, verbose: bool) -> None:
    lines = _human_lines(result, verbose)
    if not sys.stdout.isatty():
        for text, _ in lines:
            typer.echo(text)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for text, style in lines:
        console.print(Text(text, style=style), soft_wrap=True)


def _human_lines(result: Lint, verbose: bool) -> list[tuple[str, str]]:
    """What a person reads, line by line, each with its style."""
    from callwright.sip.message import start_line_of
    from callwright.sip.status import reason_phrase

    lines: list[tuple[str, str]] = []
    if result.message is not None:
        lines.append((printable(start_line_of(result.message)), "bold"))
        if verbose:
            lines += [(f"  {name}: {printable(value)}", "dim") for name, value in result.message.headers]
            lines.append((f"  ({len(result.message.body)} octets of body)", "dim"))
    counts = [_count(len(result.errors), "error"), _count(len(result.warnings), "warning")]
    verdict = "well-formed" if result.well_formed else "malformed"
    lines.append((", ".join([verdict, *[c for c in counts if c]]), "green" if result.well_formed else "red"))
    if result.would_answer is not None:
        answer = f"{result.would_answer} {reason_phrase(result.would_answer)}"
        lines.append((f"an element answers {answer}", "yellow"))
    for kind, style, findings in (("error", "red", result.errors), ("warning", "yellow", result.warnings)):
        for finding in findings:
            subject = f"{finding.header}: " if finding.header is not None else ""
            said = f"{subject}{printable(finding.message)}"
            lines += [("", ""), (f"{kind}: {said} ({finding.rfc})", style)]
            if finding.line:
                lines.append((f"    {_cut(printable(finding.line))}", ""))
    return lines


def _count(number: int, noun: str) -> str:
    return "" if number == 0 else f"{number} {noun}{'' if number == 1 else 's'}"


def _cut(text: str, width: int = 200) -> str:
    return text if len(text) <= width else f"{text[:width]}… ({len(text)} characters)"
