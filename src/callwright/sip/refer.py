"""The grammar of transfers: Refer-To (RFC 3515), Replaces (RFC 3891), and message/sipfrag (RFC 3420)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, unquote

from callwright.sip.grammar import SipSyntaxError, is_token
from callwright.sip.headers import Headers
from callwright.sip.status import REASON_PHRASES
from callwright.sip.uri import NameAddr, Uri

__all__ = ["FRAGMENT", "Fragment", "ReferTo", "Replaces", "fragment", "fragment_of", "wants_news"]

FRAGMENT = "message/sipfrag;version=2.0"
_LONGEST = 512  # octets of a Replaces
_STATUS = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2})(?: ([^\r\n]{0,200}))?(?:\r?\n|$)")


class Replaces(NamedTuple):
    """A dialog, as the user agent sees it that is to give it up: `to_tag` is its own tag."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """The value of the header (RFC 3891 section 6.1). Raises SipSyntaxError."""
        if len(text) > _LONGEST:
            raise SipSyntaxError("Replaces is too long", _LONGEST)
        call_id, *parameters = (part.strip(" \t") for part in text.split(";"))
        found = {
            name.strip(" \t").lower(): value for name, _, value in (p.partition("=") for p in parameters)
        }
        to_tag, from_tag = (found.get(name, "").strip(" \t") for name in ("to-tag", "from-tag"))
        if not call_id or not is_token(to_tag) or not is_token(from_tag):
            raise SipSyntaxError("Replaces needs a Call-ID and both tags", 0)
        return cls(call_id, to_tag, from_tag, "early-only" in found)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"


@dataclass(frozen=True, slots=True)
class ReferTo:
    """Where a peer is to go: `target` without header fields, and the dialog that it is to take over there."""

    target: Uri
    replaces: Replaces | None = None

    @classmethod
    def of(cls, headers: Headers) -> ReferTo:
        """The only Refer-To of a REFER. Raises SipSyntaxError, also where it asks for more than an INVITE."""
        values = headers.get_all("refer-to")
        if len(values) != 1:
            raise SipSyntaxError("a REFER has one Refer-To", 0)
        uri = NameAddr.parse(values[0]).uri
        method = uri.parameter("method")
        if method is not None and method.upper() != "INVITE":
            raise SipSyntaxError(f"Refer-To asks for {method[:20]}, not for an INVITE", 0)
        text = next((value for name, value in uri.headers if name.lower() == "replaces"), None)
        return cls(uri.without_headers(), None if text is None else Replaces.parse(unquote(text)))

    def __str__(self) -> str:
        more = f"?Replaces={quote(str(self.replaces), safe='-_.!~*()')}" if self.replaces else ""
        return f"<{self.target}{more}>"


class Fragment(NamedTuple):
    """The status line of a message/sipfrag."""

    status: int
    reason: str


def fragment(status: int, reason: str | None = None) -> bytes:
    """The body that tells what became of a reference (RFC 3515 section 2.4.5)."""
    phrase = REASON_PHRASES.get(status, "") if reason is None else reason
    return f"SIP/2.0 {status} {phrase}\r\n".encode("utf-8", "surrogateescape")


def fragment_of(body: bytes) -> Fragment | None:
    """What such a body tells; None when it begins with no status line."""
    match = _STATUS.match(body)
    if match is None:
        return None
    return Fragment(int(match[1]), (match[2] or b"").decode("utf-8", "replace").strip())


def wants_news(headers: Headers) -> bool:
    """Whether a REFER asks to be told what becomes of it (RFC 4488 section 4)."""
    return (headers.get("refer-sub") or "").strip().lower() != "false"
