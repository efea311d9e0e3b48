"""The scan step: octets to start line, header fields and the offset of the body, and nothing more.

This is the pure twin of the native scanner `callwright.sip._scan`, which is used in its place when it is there. The
contract, for both:

    scan(data, max_start_line, max_head, max_fields, max_name, max_value) -> Scan
        text is decoded from UTF-8 with surrogateescape; CRLFs before the start line are skipped; folded lines are
        joined with one space; names and values are stripped of LWS around them; names are tokens; order is kept.
        Raises ScanError (and nothing else) for what cannot be cut into fields, and for every limit.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from callwright.sip.grammar import TOKEN_CHARS


class Scan(NamedTuple):
    """`start_line` and `fields` as text; the body begins at `body_offset`; `bare_line_feeds`: lines end in LF only."""

    start_line: str
    fields: list[tuple[str, str]]
    body_offset: int
    bare_line_feeds: bool


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
_FOLD = re.compile(r"[ \t]*\n[ \t]+")
_TRAILING = re.compile(r"[ \t]\r?\n")


def scan(
    data: bytes, max_start_line: int, max_head: int, max_fields: int, max_name: int, max_value: int
) -> Scan:
    """Cut one message into its parts; see the contract above."""
    begin = 0
    if data[:1] in (b"\r", b"\n"):
        begin = len(data) - len(data.lstrip(b"\r\n"))
    end = data.find(b"\r\n\r\n", begin)
    offset = end + 4
    if end < 0 or data.find(b"\n\n", begin, end) >= 0:
        match = _END_OF_HEAD.search(data, begin)
        if match is None:
            raise _without_end(data[begin:], max_head)
        end, offset = match.start(), match.end()
        if data[end - 1 : end] == b"\r":
            end -= 1
    if end - begin > max_head:
        raise ScanError(f"the header is longer than {max_head} octets", status=513)
    head = data[begin:end].decode("utf-8", "surrogateescape")
    bare = False
    lines = head.count("\n")
    if head.count("\r") != lines or head.count("\r\n") != lines:
        bare = True
        head = head.replace("\r\n", "\n")
        if "\r" in head:
            raise ScanError("a CR without its LF", _line_with(head, "\r"), start_line=head.partition("\n")[0])
    start_line = head.partition("\n")[0].rstrip("\r")
    if len(start_line) > max_start_line:
        raise ScanError(f"the start line is longer than {max_start_line} octets", start_line, 414)
    if lines > max_fields:
        # Folded lines count too: they cost the same.
        raise ScanError(f"more than {max_fields} header lines", start_line=start_line)
    if "\n " in head or "\n\t" in head:
        head = _FOLD.sub(" ", head.replace("\r\n", "\n"))
        lines = head.count("\n")
        start_line = head.partition("\n")[0]
    fields: list[tuple[str, str]] = _FIELD.findall(head)
    if len(fields) != lines:
        raise _broken_line(head, start_line, fields)
    if " \r" in head or "\t\r" in head or " \n" in head or "\t\n" in head or head[-1:] in (" ", "\t"):
        fields = [(name, value.rstrip(" \t")) for name, value in fields]
    if len(head) > max_value:
        for name, value in fields:
            if len(value) > max_value:
                raise ScanError(f"the value of {name[:40]} is longer than {max_value}", name, 513, start_line)
    if len(head) > max_name:
        for name, _ in fields:
            if len(name) > max_name:
                raise ScanError(f"a header name is longer than {max_name}", name[:80], 400, start_line)
    return Scan(start_line, fields, offset, bare)


def _without_end(data: bytes, max_head: int) -> ScanError:
    if not data:
        return ScanError("empty: no start line")
    head = data[: max_head + 1].decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    start_line = head.partition("\n")[0]
    fields = _FIELD.findall(_FOLD.sub(" ", head))
    return ScanError("no empty line ends the header", start_line=start_line, fields=fields)


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
