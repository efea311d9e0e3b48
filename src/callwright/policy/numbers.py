"""Numbers that nobody calls by mistake: emergency services and premium rates."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

__all__ = ["danger", "normalize", "number_matches"]

# Emergency numbers. Some of them are harmless extensions somewhere: there a target permits them.
EMERGENCY = frozenset(
    ("000", "110", "111", "112", "113", "115", "117", "118", "119", "122", "133", "144", "911", "999", "sos")
)

# The two that gateways dial even behind the digit for an outside line.
_BEHIND_A_PREFIX = frozenset(f"{digit}{number}" for digit in "09" for number in ("112", "911"))

# Premium rates: international forms first, then the national ones that mean the same nearly everywhere.
_PREMIUM = re.compile(
    r"""\+1900\d | \+979\d | \+88[23]\d | \+43(900|901|930|931)\d | \+49(900|137)\d | \+41(900|901|906)\d
      | \+449\d | \+338[9]\d | \+31(900|906|909)\d | \+39(89[0-9])\d | \+34(803|806|807)\d | \+61190\d
      | 0900\d\d | 0930\d\d | 0137\d\d | 1900\d{7}\Z | 900\d{7}\Z""",
    re.VERBOSE,
)
_DIALLED = frozenset("0123456789abcdefghijklmnopqrstuvwxyz+_")  # what a wildcard stands for
_SEPARATORS = re.compile(r"[\s.()/-]+")


def normalize(user: str) -> str:
    """The number in a user part as a switch reads it: no escapes, parameters, separators; 00 is +.

    ``%31%31%32`` and ``1-1-2;phone-context=x`` are both 112. A user part that is no number comes back
    lower-cased.
    """
    text = unicodedata.normalize("NFKC", unquote(user)).partition(";")[0].partition(":")[0]
    text = _SEPARATORS.sub("", text).lower()
    for prefix in ("00", "011"):
        if text.startswith(prefix) and len(text) > 7:
            return "+" + text.removeprefix(prefix)
    return text


def danger(user: str) -> str | None:
    """``emergency``, ``premium`` or None."""
    number = normalize(user)
    if number.removeprefix("+") in EMERGENCY or number in _BEHIND_A_PREFIX:
        return "emergency"
    if _PREMIUM.match(number):
        return "premium"
    return None


def number_matches(pattern: str, user: str, *, kind: str | None = None) -> bool:
    """Whether a pattern (``*`` any digits, ``?`` one) means this number.

    A dangerous number has to be meant: an emergency number literally, a premium one by three digits at least.
    """
    wanted = normalize(pattern)
    if kind == "emergency" and ("*" in wanted or "?" in wanted):
        return False
    if kind == "premium" and sum(character.isdigit() for character in wanted) < 3:
        return False
    return _wildcards_match(wanted, normalize(user))


def _wildcards_match(wanted: str, number: str) -> bool:
    """`*` any digits, `?` one. Only the last `*` is tried again, so it takes no longer than both lengths
    multiplied."""
    at, star, resumed = 0, -1, 0
    position = 0
    while position < len(number):
        symbol = wanted[at : at + 1]
        if symbol == "*":
            star, resumed, at = at, position, at + 1
        elif number[position] in _DIALLED if symbol == "?" else symbol == number[position]:
            at, position = at + 1, position + 1
        elif star >= 0 and number[resumed] in _DIALLED:
            resumed += 1
            at, position = star + 1, resumed
        else:
            return False
    return not wanted[at:].strip("*")
