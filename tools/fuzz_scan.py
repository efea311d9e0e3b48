"""Fuzzes the native message scanner against its pure twin; ends at the first difference, or never.

    python tools/fuzz_scan.py [-max_total_time=60] [other options of libFuzzer] [corpus folder]

Needs atheris (`pip install '.[fuzz]'`) and the built extension. The torture messages are the first corpus.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["callwright.sip"]):
    from callwright.sip import message, scan
    from callwright.sip.message import DEFAULT_LIMITS, MalformedMessage, MessageLimits, parse_datagram
    from callwright.sip.validity import find_faults, is_sound

from callwright.sip import _scan

TORTURE = Path(__file__).resolve().parents[1] / "tests" / "data" / "torture"
SMALL = MessageLimits(start_line=60, head=400, header_count=9, header_name=64, header_value=50, body=40)


def measures(limits: MessageLimits) -> tuple[int, int, int, int, int]:
    return (
        limits.start_line, limits.head, limits.header_count, limits.header_name, limits.header_value,
    )  # fmt: skip


def scanned(twin: object, data: bytes, limits: MessageLimits) -> object:
    """What a scanner says, errors included."""
    try:
        return tuple(twin.scan(data, *measures(limits)))  # type: ignore[attr-defined]
    except scan.ScanError as error:
        return error.reason, error.line, error.status, error.start_line, error.fields


def parsed(twin: object, data: bytes, limits: MessageLimits) -> object:
    """What the parser says on that scanner, errors included."""
    message.scan, message.read_sound = twin.scan, twin.read_sound  # type: ignore[attr-defined]
    try:
        found = parse_datagram(data, limits)
    except MalformedMessage as error:
        return str(error), error.header, error.status, error.message, error.line, error.rfc
    return found, dict(found.headers.by_key)


def compare(data: bytes) -> None:
    """One input, under the usual limits and under small ones."""
    for limits in (DEFAULT_LIMITS, SMALL):
        ours, theirs = scanned(_scan, data, limits), scanned(scan, data, limits)
        if ours != theirs:
            raise AssertionError(f"scan differs: {ours!r} is not {theirs!r}")
        ours, theirs = parsed(_scan, data, limits), parsed(scan, data, limits)
        if ours != theirs:
            raise AssertionError(f"parse differs: {ours!r} is not {theirs!r}")
        read = _scan.read_sound(data, *measures(limits))
        if read is not None:
            method, _, uri, _, index, _, _ = read
            target = None if method is None else uri
            if not is_sound(index, method, target) or find_faults(index, method, target):
                raise AssertionError(f"a message with faults was called sound: {data!r}")


def main() -> None:
    arguments = sys.argv
    if all(argument.startswith("-") for argument in arguments[1:]):
        corpus = Path(tempfile.mkdtemp(prefix="callwright-fuzz-"))
        for case in sorted(TORTURE.rglob("*.dat")):
            (corpus / case.name).write_bytes(case.read_bytes())
        arguments = [*arguments, str(corpus)]
    atheris.Setup(arguments, compare)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
