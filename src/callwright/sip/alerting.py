"""What an INVITE says of how its phone shall alert: whether it asks for an answer without a person.

No RFC but 5373 has it, so each PBX does it in its way: `Call-Info: <…>;answer-after=0` (Asterisk, FreeSWITCH,
Snom, Grandstream, Polycom), `Alert-Info: <…>;info=alert-autoanswer` (Yealink, Mitel, Fanvil).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callwright.sip.headers import Headers

__all__ = ["answers_itself", "asked_to_answer"]

_ANGLES = re.compile(r"<[^>]*>")
_AFTER = re.compile(r"(?:^|[;,\s])answer-after\s*=\s*\"?(\d{1,4})\b", re.IGNORECASE)
_INFO = re.compile(r"(?:^|[;,\s])info\s*=\s*\"?(?:alert-autoanswer|auto-?answer)\b", re.IGNORECASE)
_DELAY = re.compile(r"(?:^|[;,\s])delay\s*=\s*\"?(\d{1,4})\b", re.IGNORECASE)
_MODE = re.compile(r"\s*auto\b", re.IGNORECASE)  # RFC 5373 section 4


def answers_itself(uri: str) -> list[tuple[str, str]]:
    """Headers that ask the phone to answer at once; `uri`: of who asks."""
    return [
        ("Call-Info", f"<{uri}>;answer-after=0"),
        ("Alert-Info", f"<{uri}>;info=alert-autoanswer;delay=0"),
    ]


def asked_to_answer(headers: Headers) -> float | None:
    """Seconds after which the phone is asked to answer by itself; None: it is not asked."""
    for value in headers.get_all("call-info"):
        if match := _AFTER.search(_ANGLES.sub("", value)):
            return float(match[1])
    for value in headers.get_all("alert-info"):
        bare = _ANGLES.sub("", value)
        if _INFO.search(bare):
            delay = _DELAY.search(bare)
            return float(delay[1]) if delay else 0.0
    for name in ("answer-mode", "priv-answer-mode"):
        if _MODE.match(headers.get(name) or ""):
            return 0.0
    return None
