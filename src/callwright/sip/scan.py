"""The scan step: octets to start line, header fields and the offset of the body, and nothing more.

This is the pure twin of the native scanner `callwright.sip._scan`, which is used in its place when it is
there. The contract, for both:

    scan(data, max_start_line, max_head, max_fields, max_name, max_value) -> Scan
        text is decoded from UTF-8 with surrogateescape; CRLFs before the start line are skipped; folded lines
        are joined with one space; names and values are stripped of LWS around them; names are tokens; order
        is kept. Raises ScanError (and nothing else) for what cannot be cut into fields, and for every limit.

    read_sound(data, max_start_line, max_head, max_fields, max_name, max_value) -> Sound | None
        a surely sound message (`validity.is_sound`), read in one step; None is a doubt, not a verdict.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from callwright.sip.grammar import TOKEN_CHARS


class Scan(NamedTuple):
    """`start_line` and `fields` as text; the body begins at `body_offset`; `bare_line_feeds`: lines end in LF
    only."""

    start_line: str
    fields: list[tuple[str, str]]
    body_offset: int
    bare_line_feeds: bool


Sound = tuple[str | None, int, str, list[tuple[str, str]], dict[str, list[str]], int, int]
"""Method (None: a response), status (0: a request), Request-URI or reason, fields, the same by `header_key`,
offset of the body, and Content-Length (-1: there is none)."""


class ScanError(ValueError):
    """The octets are not a SIP message. `line` is the offending text, `status` what a request of it deserves.

    `start_line` and `fields` are what was understood until then.
    """

    def __init__(
        self,
        reason: str,
        line: str = "",
        status: int = 400,
        start_line: str = "",
        fields: list[tuple[str, str]] | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.status = status
        self.start_line = start_line
        self.fields = fields if fields is not None else []


_FIELD = re.compile(rf"\n([{TOKEN_CHARS}]+)[ \t]*:[ \t]*([^\r\n]*)")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
# Possessive and anchored behind no white space: 64 KiB of spaces cost no more than once their length.
_FOLD = re.compile(r"(?<![ \t])[ \t]*+(?:\n[ \t]++)++")
# Names that were seen and found to be tokens; bounded, since strangers choose what is in it.
_PLAIN_NAMES: set[str] = set()
_MAX_PLAIN_NAMES = 512
_MAX_PLAIN_NAME = 64
# Enough of a message that is refused for its size to answer it.
_MAX_PARTIAL = 64
_PLAIN_NAME = re.compile(rf"[{TOKEN_CHARS}]{{1,64}}")


def scan(
    data: bytes, max_start_line: int, max_head: int, max_fields: int, max_name: int, max_value: int
) -> Scan:
    """Cut one message into its parts; see the contract above."""
    begin = 0
    if data[:1] in (b"\r", b"\n"):
        begin = len(data) - len(data.lstrip(b"\r\n"))
    end = data.find(b"\r\n\r\n", begin)
    if 0 <= end - begin <= max_head and max_name >= _MAX_PLAIN_NAME:
        head = data[begin:end].decode("utf-8", "surrogateescape")
        lines = head.split("\r\n")
        breaks = len(lines) - 1
        if head.count("\n") == breaks == head.count("\r") and breaks <= max_fields:
            fields = _cut_plain(lines, len(head) > max_value, max_value)
            if fields is not None and len(lines[0]) <= max_start_line:
                return Scan(lines[0], fields, end + 4, False)
    return _scan_any(data, begin, max_start_line, max_head, max_fields, max_name, max_value)


def read_sound(
    data: bytes, max_start_line: int, max_head: int, max_fields: int, max_name: int, max_value: int
) -> Sound | None:
    """Nothing is gained by one step in Python: this twin always doubts."""
    return None


def _cut_plain(lines: list[str], check_length: bool, max_value: int) -> list[tuple[str, str]] | None:
    """The way of nearly every message: lines of known names, nothing folded. None where that does not
    hold."""
    fields: list[tuple[str, str]] = []
    known = _PLAIN_NAMES
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name not in known:
            if not _PLAIN_NAME.fullmatch(name) or len(name) == len(line):
                return None
            if len(known) < _MAX_PLAIN_NAMES:
                known.add(name)
        elif len(name) == len(line):
            return None
        if check_length and len(value) > max_value:
            return None
        fields.append((name, value.strip(" \t")))
    return fields


def _scan_any(
    data: bytes,
    begin: int,
    max_start_line: int,
    max_head: int,
    max_fields: int,
    max_name: int,
    max_value: int,
) -> Scan:
    """The way of folded lines, bare line feeds, and all that is wrong."""
    match = _END_OF_HEAD.search(data, begin)
    if match is None:
        raise _without_end(data[begin:], max_head)
    end = match.start()
    if data[end - 1 : end] == b"\r":
        end -= 1
    if end - begin > max_head:
        raise _beyond(f"the header is longer than {max_head} octets", data[begin : begin + max_head], 513)
    head = data[begin:end].decode("utf-8", "surrogateescape")
    lines = head.count("\n")
    bare = head.count("\r\n") != lines or match[0] == b"\n\n"
    head = head.replace("\r\n", "\n")
    start_line = head.partition("\n")[0]
    if "\r" in head:
        raise ScanError("a CR without its LF", _line_with(head, "\r"), start_line=start_line)
    if len(start_line) > max_start_line:
        reason = f"the start line is longer than {max_start_line} octets"
        raise _beyond(reason, data[begin:end], 414)
    if lines > max_fields:
        # Folded lines count too: they cost the same.
        raise _beyond(f"more than {max_fields} header lines", data[begin:end], 400)
    if "\n " in head or "\n\t" in head:
        head = _FOLD.sub(" ", head)
        start_line = head.partition("\n")[0]
    fields: list[tuple[str, str]] = _FIELD.findall(head)
    if len(fields) != head.count("\n"):
        raise _broken_line(head, start_line, fields)
    fields = [(name, value.rstrip(" \t")) for name, value in fields]
    for name, value in fields:
        if len(value) > max_value:
            reason = f"the value of {name[:40]} is longer than {max_value} octets"
            raise ScanError(reason, status=513, start_line=start_line, fields=fields)
        if len(name) > max_name:
            reason = f"a header name is longer than {max_name} octets"
            raise ScanError(reason, start_line=start_line, fields=fields)
    return Scan(start_line, fields, match.end(), bare)


def _without_end(data: bytes, max_head: int) -> ScanError:
    if not data:
        return ScanError("empty: no start line")
    if len(data) > max_head:
        return _beyond(f"the header is longer than {max_head} octets", data[:max_head], 513)
    return _beyond("no empty line ends the header", data, 400)


def _beyond(reason: str, data: bytes, status: int) -> ScanError:
    """The error with what can be read of the header, which ends somewhere or is too long."""
    head = _FOLD.sub(" ", data.decode("utf-8", "surrogateescape").replace("\r\n", "\n"))
    return ScanError(
        reason, status=status, start_line=head.partition("\n")[0], fields=_FIELD.findall(head)[:_MAX_PARTIAL]
    )


def _broken_line(head: str, start_line: str, fields: list[tuple[str, str]]) -> ScanError:
    for line in head.replace("\r\n", "\n").split("\n")[1:]:
        if not _FIELD.fullmatch("\n" + line):
            reason = (
                "a header line without a colon" if ":" not in line else "a header name that is not a token"
            )
            return ScanError(reason, line, start_line=start_line, fields=fields)
    return ScanError("a broken header line", start_line=start_line, fields=fields)


def _line_with(head: str, text: str) -> str:
    return next((line for line in head.split("\n") if text in line), "")
