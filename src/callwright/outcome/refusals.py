"""What a refusal says, and what is likely: the words after "was refused with 488 Not Acceptable Here".

The first half quotes the message (Unsupported, Require, Warning, Reason, a reason phrase of its own); a guess
follows in a sentence that says that it is one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from callwright.outcome.call import CallOutcome
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.sip.digest import Challenge, hash_name
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.status import REASON_PHRASES

__all__ = ["explained", "unanswerable"]

_LONGEST = 90  # characters of a text that is quoted
_WARNING = re.compile(r'\s*[0-9]{3}\s+\S+\s+"((?:[^"\\]|\\.)*)"')
_TEXT = re.compile(r'(?i);\s*text\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,\s]+))')

# What a status usually means. Only where one may say so, and where the message itself says no more.
_MEANING = {
    403: "it does not permit this",
    404: "it does not know the number",
    408: "it gave up waiting for the far end",
    480: "the called party is not there now",
    484: "the number is too short for it",
    486: "the called party is busy",
    500: "it had an error of its own",
    502: "the next hop answered it badly",
    503: "it is overloaded or out of service",
    504: "its next hop did not answer in time",
    603: "the called party declined",
}
# Header that names what the refusal is about; what is said with its value, and without it.
_NAMED = {
    415: ("Accept", "it takes bodies of {}", ""),
    405: ("Allow", "it takes {}", ""),
    422: (
        "Min-SE",
        "it wants a session timer of at least {} s (Min-SE)",
        "it does not name the timer it wants",
    ),
    423: ("Min-Expires", "it wants at least {} s (Min-Expires)", "it does not name the time it wants"),
    420: (
        "Unsupported",
        "it does not have {}, which we required",
        "it does not name the extension that it lacks",
    ),
    421: (
        "Require",
        "it demands {}, which our INVITE did not offer",
        "it does not name the extension that it demands",
    ),
}
_SILENT = "it did not say why"
# Warnings that leave open what of the media was wrong (RFC 3261 section 20.43); None: there was none.
_ABOUT_MEDIA = (None, 304, 305, 399)
_CHALLENGES = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}


def explained(outcome: CallOutcome | RegistrationOutcome | RequestOutcome, code: int) -> str:
    """``: why. Perhaps so.`` without its last point, "" where nothing is known; `code` is the status."""
    said = _said(outcome, code)
    quoted = f'it says "{said}"' if said else ""
    if code in _NAMED:
        header, with_value, without = _NAMED[code]
        values = _values(outcome.messages, code, header)
        text = with_value.format(", ".join(values)[:_LONGEST]) if values else quoted or without
        return f": {text}" if text else ""
    if code in (488, 606) and isinstance(outcome, CallOutcome):
        if quoted and _warned(outcome, code) not in _ABOUT_MEDIA:
            return f": {quoted}"
        return f": {quoted or _SILENT}. {_of_media(outcome)}"
    if code == 403 and outcome.authenticated:
        return (
            f": {quoted or _SILENT}. Perhaps the password is wrong, or this is not permitted to the account"
        )
    if quoted:
        return f": {quoted}"
    meaning = _MEANING.get(code) if isinstance(outcome, CallOutcome) else None
    return f": {meaning}" if meaning else ""


def _of_media(outcome: CallOutcome) -> str:
    offered = " and ".join(outcome.codecs_offered[:4]) or "the codecs offered"
    return f"Perhaps it takes none of {offered}, or disagrees on encryption (SRTP)"


def unanswerable(outcome: CallOutcome | RegistrationOutcome | RequestOutcome, code: int) -> str:
    """What a 401 or 407 asks for that no password can answer; "" where one can, or nothing is known."""
    asked: list[str] = []
    for value in _values(outcome.messages, code, _CHALLENGES[code]):
        try:
            challenge = Challenge.parse(value)
        except SipSyntaxError as error:
            asked.append(f"its challenge cannot be read ({error})")
            continue
        if challenge is None:
            scheme = _plain(value.strip().partition(" ")[0])
            asked.append(f"it asks for {scheme} authentication, which is not supported")
        elif challenge.is_supported:
            return ""
        elif hash_name(challenge.algorithm) is None:
            asked.append(
                f"it asks for the digest algorithm {_plain(challenge.algorithm)}, which is not supported"
            )
        else:
            asked.append(f"it asks for qop={_plain(','.join(challenge.qop))}, which is not supported")
    return asked[0] if asked else ""


def _warned(outcome: CallOutcome, code: int) -> int | None:
    """The code of its first Warning; None without one."""
    found = (_WARNING.match(value) for value in _values(outcome.messages, code, "Warning"))
    return next((int(match[0].split()[0]) for match in found if match), None)


def _said(outcome: CallOutcome | RegistrationOutcome | RequestOutcome, code: int) -> str:
    """Words of the refusal itself: Warning (RFC 3261 20.43), Reason (RFC 3326), or a phrase of its own."""
    for value in _values(outcome.messages, code, "Warning"):
        found = _WARNING.match(value)
        if found:
            return _plain(found[1])
    for value in _values(outcome.messages, code, "Reason"):
        found = _TEXT.search(value)
        return _plain((found[1] or found[2]) if found else value)
    phrase = (outcome.sip_reason or "").strip()
    usual = REASON_PHRASES.get(code)
    return _plain(phrase) if usual and phrase and phrase.lower() != usual.lower() else ""


def _values(messages: Sequence[CapturedMessage], code: int, header: str) -> list[str]:
    return [value for message in messages if message.start == str(code) for value in message.values(header)]


def _plain(text: str) -> str:
    """On one line, without what would end the quotation, and not longer than a sentence bears."""
    words = " ".join(re.sub(r"\\(.)", r"\1", text).replace('"', "'").split()).rstrip(".")
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1].rstrip() + "…"
