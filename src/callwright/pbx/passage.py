"""What of one leg's message goes on to the other: parsed, known headers, written anew; never raw text.

Via, Route, Record-Route, Contact, credentials and all that belongs to one dialog or transaction stay behind:
each leg has its own. Headers that a tester made up (X-…) pass, since tests assert on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from callwright.pbx.accounts import PbxAccount
from callwright.sdp.description import SessionDescription
from callwright.sdp.formats import formats_of
from callwright.sdp.lines import SdpError
from callwright.sip.grammar import SipSyntaxError, is_token, parse_parameters
from callwright.sip.headers import Headers
from callwright.sip.message import Request, Response
from callwright.sip.multipart import SDP, redescribed, spot
from callwright.sip.uri import NameAddr, Uri

__all__ = [
    "NOTHING",
    "Carried",
    "asserted_by",
    "caller_address",
    "carried",
    "codec_of",
    "content_type_of",
    "escaped",
    "hides",
    "hops_left",
    "identity_headers",
    "onward",
    "passing",
    "reasons_of",
]

DEFAULT_MAX_FORWARDS = 70  # RFC 3261 16.3 item 3: what a request without the header is given
_MAX_FIELDS = 64
_MAX_OCTETS = 2_048
_REASON = re.compile(r"([^\s;]+)\s*(;.*)?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def passing(headers: Headers) -> list[tuple[str, str]]:
    """The headers of a request or response that go on to the other leg, in order.

    What breaks its grammar, is longer than 2 KiB, or comes after 64 others stays behind.
    """
    passed: list[tuple[str, str]] = []
    for name, value in headers:
        lowered = name.lower()
        read = _KNOWN.get(lowered)
        if read is None:
            if not (lowered.startswith("x-") and is_token(name)):
                continue
            read = _text
        if len(value) > _MAX_OCTETS or len(passed) >= _MAX_FIELDS:
            continue
        try:
            passed.append((name, read(value)))
        except SipSyntaxError:
            continue
    return passed


class Carried(NamedTuple):
    """A body as it goes on, its Content-Type, and the session description in it (b"" without one)."""

    body: bytes
    content_type: str
    description: bytes


NOTHING = Carried(b"", SDP, b"")


def carried(message: Request | Response, moved: Callable[[bytes], bytes]) -> Carried:
    """The body of a message as it goes on: `moved` changes the session description, nothing else changes.

    What `moved` raises for a description that cannot be used comes out.
    """
    if not message.body:
        return NOTHING
    kind = content_type_of(message.headers) or SDP
    place = spot(message.headers, message.body)
    if place is None:
        return Carried(message.body, kind, b"")
    description = moved(message.body[place.begin : place.end])
    return Carried(redescribed(message.body, place, description), kind, description)


def codec_of(description: bytes) -> str:
    """The first audio format of an answer, as `PCMA/8000`; empty without one."""
    try:
        parsed = SessionDescription.parse(description)
    except SdpError:
        return ""
    for media in parsed.media:
        if media.kind == "audio" and media.port:
            return next((str(one) for one in formats_of(media) if not one.is_telephone_event), "")
    return ""


def onward(headers: Headers, hops: int) -> list[tuple[str, str]]:
    """The headers of a request that goes on, with that Max-Forwards."""
    return [("Max-Forwards", str(hops)), *passing(headers)]


def reasons_of(headers: Headers | None) -> list[tuple[str, str]]:
    """The Reason headers (RFC 3326) of a BYE, CANCEL or response, for the other leg's."""
    if headers is None:
        return []
    found: list[tuple[str, str]] = []
    for value in headers.get_all("reason")[:8]:
        try:
            found.append(("Reason", _reason(value)))
        except SipSyntaxError:
            continue
    return found


def content_type_of(headers: Headers) -> str | None:
    """The Content-Type, parsed and written anew; None where there is none, or none that can be read."""
    try:
        found = headers.content_type
    except SipSyntaxError:
        return None
    return None if found is None else str(found)


def hops_left(request: Request) -> int:
    """Max-Forwards of the request as it goes on; below 0: it must not (483, RFC 3261 16.3)."""
    said = request.headers.max_forwards
    return DEFAULT_MAX_FORWARDS if said is None else said - 1


def caller_address(request: Request, account: PbxAccount | None, domain: str) -> NameAddr:
    """From towards the callee: the caller's own display name, and the address that the credentials prove.

    Who hides (anonymous.invalid, RFC 3323 section 4.1.1.3) stays hidden. Without an account From is what it
    claims.
    """
    claimed = request.headers.from_
    uri = replace(claimed.uri, password=None, parameters=(), headers=())
    if account is None or uri.host.lower() == "anonymous.invalid":
        return NameAddr(claimed.display_name, uri)
    user = uri.user if uri.unescaped_user == account.user else escaped(account.user)
    scheme = uri.scheme if uri.is_sip else "sip"
    return NameAddr(claimed.display_name or account.display_name, Uri(scheme, user, None, domain))


def hides(request: Request) -> bool:
    """Whether the caller asks not to be shown (RFC 3323, 3325)."""
    wishes = (request.headers.get("privacy") or "").lower().replace(",", ";").split(";")
    return any(wish.strip() in ("id", "user", "header") for wish in wishes)


def asserted_by(request: Request) -> list[tuple[str, str]]:
    """What a trusted trunk asserts of its caller (RFC 3325): one SIP and one tel URI at most."""
    found: list[tuple[str, str]] = []
    for value in request.headers.get_all("p-asserted-identity")[:2]:
        try:
            found.append(("P-Asserted-Identity", str(NameAddr.parse(value))))
        except SipSyntaxError:
            continue
    return found


def identity_headers(
    request: Request, account: PbxAccount | None, domain: str, *, trusted: bool = False
) -> list[tuple[str, str]]:
    """P-Asserted-Identity (RFC 3325) for the callee; none without credentials, or where privacy is asked of
    somebody who is not `trusted` with it."""
    if account is None:
        return []
    wishes = (request.headers.get("privacy") or "").lower().replace(",", ";").split(";")
    if not trusted and "id" in [wish.strip() for wish in wishes]:
        return []
    display = account.display_name or request.headers.from_.display_name
    identity = NameAddr(display, Uri("sip", escaped(account.user), None, domain))
    return [("P-Asserted-Identity", str(identity))]


def escaped(user: str) -> str:
    """A user part as it may stand in a URI."""
    return "".join(
        character if character.isascii() and (character.isalnum() or character in "-_.!~*'()&=+$,;?/")
        else "".join(f"%{octet:02X}" for octet in character.encode("utf-8", "surrogateescape"))
        for character in user
    )  # fmt: skip


# -- how each kind of header is read


def _text(value: str) -> str:
    if _CONTROL.search(value):
        raise SipSyntaxError("a control character in a header", 0)
    return value.strip(" \t")


def _tokens(value: str) -> str:
    words = [word.strip(" \t") for word in re.split("[,;]", value)]
    if not all(is_token(word) for word in words):
        raise SipSyntaxError("not a list of tokens", 0)
    return value.strip(" \t")


def _addresses(value: str) -> str:
    one = Headers([("Contact", value)]).get_all("contact")
    return ", ".join(str(NameAddr.parse(text)) for text in one)


def _reason(value: str) -> str:
    match = _REASON.fullmatch(value.strip(" \t"))
    if match is None or not is_token(match[1]):
        raise SipSyntaxError("not a Reason", 0)
    parameters = parse_parameters(match[2] or "", 0)
    return match[1] + "".join(f";{name}" + ("" if v is None else f"={v}") for name, v in parameters)


def _reasons(value: str) -> str:
    return ", ".join(_reason(text) for text in Headers([("Reason", value)]).get_all("reason"))


def _retry_after(value: str) -> str:
    match = re.match(r"\s*([0-9]{1,9})", value)
    if match is None:
        raise SipSyntaxError("not a number of seconds", 0)
    return match[1]


_KNOWN: dict[str, Callable[[str], str]] = {
    "accept": _text,
    "accept-encoding": _text,
    "accept-language": _text,
    "alert-info": _addresses,
    "call-info": _addresses,
    "content-disposition": _text,
    "content-encoding": _text,
    "content-language": _tokens,
    "diversion": _addresses,
    "error-info": _addresses,
    "identity": _text,  # signed by the caller, and of no use to anybody else
    "in-reply-to": _text,
    "mime-version": _text,
    "organization": _text,
    "priority": _tokens,
    "privacy": _tokens,
    "reason": _reasons,
    "retry-after": _retry_after,
    "subject": _text,
    "unsupported": _tokens,
    "user-to-user": _text,
    "warning": _text,
}
