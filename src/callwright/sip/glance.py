"""What every message is asked for, read without parsing whole headers.

For messages that have passed `parse_datagram`, which has checked these headers. Each function falls back to
the full parser for spellings out of the ordinary, so the results are the same.
"""

from __future__ import annotations

import re

from callwright.sip.fields import Via
from callwright.sip.headers import Headers
from callwright.sip.uri import NameAddr

_ORDINARY_VIA = re.compile(
    r"SIP/2\.0/([A-Z]{3}) ([A-Za-z0-9.\-]+)(?::([0-9]{1,5}))?;(rport;)?branch=([A-Za-z0-9.\-_]+)(;rport)?"
)
_ORDINARY_TAG = re.compile(r"[^\"]*>;tag=([A-Za-z0-9.\-_]+)")
_BRANCH = re.compile(r"[^\",]*;branch=([A-Za-z0-9.\-_]+)(?=[;,]|$)")


def tag_of(value: str) -> str | None:
    """The tag of a From or To value."""
    match = _ORDINARY_TAG.fullmatch(value)
    return match[1] if match is not None else NameAddr.parse(value).tag


def from_tag(headers: Headers) -> str:
    """The From tag, "" where there is none (RFC 2543)."""
    return tag_of(headers.by_key["from"][0]) or ""


def to_tag(headers: Headers) -> str | None:
    """The To tag, None where there is none."""
    return tag_of(headers.by_key["to"][0])


def cseq_of(headers: Headers) -> tuple[int, str]:
    """Number and method of the CSeq."""
    number, method = headers.by_key["cseq"][0].split()
    return int(number), method


def branch_of(headers: Headers) -> str | None:
    """The branch of the topmost Via."""
    match = _BRANCH.match(headers.by_key["via"][0])
    return match[1] if match is not None else headers.top_via.branch


def mark_source(headers: Headers, host: str, port: int) -> Via | None:
    """Write the source into an ordinary topmost Via with rport (RFC 3581); None when it is not that
    ordinary."""
    text = headers.by_key["via"][0]
    match = _ORDINARY_VIA.fullmatch(text)
    if match is None or (match[4] is None) == (match[6] is None):
        return None
    transport, sent_by, sent_port, _, branch, _ = match.groups()
    parameters = (("branch", branch), ("received", host), ("rport", str(port)))
    number = None if sent_port is None else int(sent_port)
    if number is not None and number > 65535:
        return None
    prefix = text[: match.start(5)].replace("rport;", "")
    headers.set_first("Via", f"{prefix}{branch};received={host};rport={port}")
    return Via(transport, sent_by, number, parameters)
