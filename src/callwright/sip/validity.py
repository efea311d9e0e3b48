"""The checks every element makes before it processes a message (RFC 3261 section 8.1.1, RFC 4475 section 3).

`is_sound` is quick and says yes only to what is surely right; what it doubts is judged by `find_faults`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from callwright.sip.fields import MAX_CSEQ, CSeq, Via
from callwright.sip.grammar import TOKEN_CHARS, SipSyntaxError, parse_number, shorten, split_list
from callwright.sip.status import KNOWN_METHODS
from callwright.sip.uri import NameAddr, Uri

Index = Mapping[str, list[str]]
"""Field values by header key (`Headers.by_key`)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a message is malformed; `status` is what a request of that kind is answered."""

    message: str
    header: str | None
    rfc: str
    status: int
    value: str | None = None
    in_start_line: bool = False


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PORT = r"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4})"
_HOST = rf"(?:[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z][A-Za-z0-9-]*)*|{_OCTET}(?:\.{_OCTET}){{3}})"
_SIP_URI = rf"sips?:(?:[A-Za-z0-9\-_.!~*'()&=+$]++@)?{_HOST}(?::{_PORT})?"
_QUICK_URI = re.compile(rf"{_SIP_URI}(?:;[A-Za-z0-9\-_.]++(?:=[A-Za-z0-9\-_.]++)?)*+")
_QUICK_ADDRESS = re.compile(
    rf'(?:"[^"\\]*+" ?|[A-Za-z0-9.\- ]*+)<{_SIP_URI}(?:;[A-Za-z0-9\-_.]++(?:=[A-Za-z0-9\-_.]++)?)*+>'
    rf"(?:;[A-Za-z0-9\-_.]++(?:=[{TOKEN_CHARS}]++)?)*+"
    rf"|{_SIP_URI}(?:;[A-Za-z0-9\-_.]++(?:=[{TOKEN_CHARS}]++)?)*+"
)
_QUICK_VIA = re.compile(
    rf"SIP/2\.0/[A-Z]++ {_HOST}(?::{_PORT})?(?:;[A-Za-z0-9\-_.]++(?:=[{TOKEN_CHARS}]++)?)*+"
)
_QUICK_CSEQ = re.compile(rf"[0-9]{{1,9}} ([{TOKEN_CHARS}]+)")
_QUICK_NUMBER = re.compile(r"[0-9]{1,9}")
_NOT_IN_CALL_ID = re.compile(r"[\s\x00-\x1f\x7f]")
_ONCE = (
    ("Call-ID", "call-id"),
    ("CSeq", "cseq"),
    ("From", "from"),
    ("To", "to"),
    ("Max-Forwards", "max-forwards"),
    ("Content-Length", "content-length"),
    ("Content-Type", "content-type"),
)


def is_sound(index: Index, method: str | None, uri: str | None) -> bool:
    """True if the headers every element reads are surely right; False is a doubt, not a verdict.

    `method` and `uri` are None for a response.
    """
    try:
        (to,) = index["to"]
        (from_,) = index["from"]
        (call_id,) = index["call-id"]
        (cseq,) = index["cseq"]
        vias = index["via"]
    except (KeyError, ValueError):
        return False
    number = _QUICK_CSEQ.fullmatch(cseq)
    if number is None or not (_QUICK_ADDRESS.fullmatch(to) and _QUICK_ADDRESS.fullmatch(from_)):
        return False
    if method is not None and (number[1] != method or not _QUICK_URI.fullmatch(uri or "")):
        return False
    for via in vias:
        if not _QUICK_VIA.fullmatch(via):
            return False
    if not call_id or _NOT_IN_CALL_ID.search(call_id):
        return False
    for contact in index.get("contact", ()):
        if not _QUICK_ADDRESS.fullmatch(contact):
            return False
    for key in ("content-length", "max-forwards"):
        values = index.get(key)
        if values is not None and (len(values) > 1 or not _QUICK_NUMBER.fullmatch(values[0])):
            return False
    return len(index.get("content-type", ())) < 2


def find_faults(index: Index, method: str | None, uri: str | None) -> list[Fault]:
    """Everything that makes the message malformed, the gravest first; an empty list for a sound one."""
    faults: list[Fault] = []
    if uri is not None:
        faults += _request_uri_faults(uri)
    faults += _presence_faults(index)
    faults += _cseq_faults(index, method)
    for header, key in (("From", "from"), ("To", "to")):
        for value in index.get(key, ()):
            faults += _address_faults(header, value)
    for value in index.get("via", ()):
        faults += _via_faults(value)
    for value in index.get("contact", ()):
        for element in split_list(value):
            if element and element != "*":
                faults += _address_faults("Contact", element)
    faults += _call_id_faults(index) + _number_faults(index)
    return faults


def _request_uri_faults(uri: str) -> list[Fault]:
    try:
        Uri.parse(uri)
    except SipSyntaxError as error:
        reason = "the Request-URI is in <>" if uri[:1] == "<" else f"Request-URI: {error.reason}"
        return [Fault(reason, None, "RFC 3261 section 7.1", 400, in_start_line=True)]
    return []


def _presence_faults(index: Index) -> list[Fault]:
    faults: list[Fault] = []
    for header, key in (("Via", "via"), *_ONCE[:4]):
        if not index.get(key):
            faults.append(Fault(f"no {header} header", header, "RFC 3261 section 8.1.1", 400))
    for header, key in _ONCE:
        count = len(index.get(key, ()))
        if count > 1:
            values = index[key]
            faults.append(
                Fault(f"{header} stands {count} times", header, "RFC 3261 section 7.3.1", 400, values[1])
            )
    return faults


def _cseq_faults(index: Index, method: str | None) -> list[Fault]:
    values = index.get("cseq")
    if not values:
        return []
    try:
        cseq = CSeq.parse(values[0])
    except SipSyntaxError as error:
        return [Fault(error.reason, "CSeq", "RFC 3261 section 8.1.1.5", 400, values[0])]
    if method is not None and cseq.method != method:
        reason = f"CSeq is of {shorten(cseq.method)}, the request of {shorten(method)}"
        status = 400 if method in KNOWN_METHODS else 501
        return [Fault(reason, "CSeq", "RFC 3261 section 8.1.1.5", status, values[0])]
    return []


def _address_faults(header: str, value: str) -> list[Fault]:
    try:
        NameAddr.parse(value)
    except SipSyntaxError as error:
        return [Fault(error.reason, header, "RFC 3261 section 20.10", 400, value)]
    return []


def _via_faults(value: str) -> list[Fault]:
    for element in split_list(value):
        try:
            via = Via.parse(element)
        except SipSyntaxError as error:
            return [Fault(error.reason, "Via", "RFC 3261 section 20.42", 400, value)]
        if via.protocol.upper() != "SIP/2.0":
            reason = f"protocol {shorten(via.protocol)} is unknown"
            return [Fault(reason, "Via", "RFC 3261 section 20.42", 400, value)]
    return []


def _call_id_faults(index: Index) -> list[Fault]:
    for value in index.get("call-id", ()):
        if not value:
            return [Fault("empty Call-ID", "Call-ID", "RFC 3261 section 20.8", 400, value)]
        if _NOT_IN_CALL_ID.search(value):
            return [Fault("white space in the Call-ID", "Call-ID", "RFC 3261 section 20.8", 400, value)]
    return []


def _number_faults(index: Index) -> list[Fault]:
    faults: list[Fault] = []
    for value in index.get("content-length", ()):
        if parse_number(value, MAX_CSEQ) is None:
            reason = f"{shorten(value)} is not a length"
            faults.append(Fault(reason, "Content-Length", "RFC 3261 section 20.14", 400, value))
    for value in index.get("max-forwards", ()):
        # A number beyond 255 is read as if it were absent (RFC 4475 section 3.1.2.4); what is no number is
        # not.
        if not (value.isascii() and value.isdigit()):
            reason = f"{shorten(value)} is not a number"
            faults.append(Fault(reason, "Max-Forwards", "RFC 3261 section 20.22", 400, value))
    return faults
