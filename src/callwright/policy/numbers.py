"""Numbers that nobody calls by mistake: emergency services, premium rates, satellites.

A switch strips what people dial around a number (escapes, separators, service codes, the digit for an
outside line), so `danger` reads a user part in every way a switch might. `number_matches` permits, so it
reads it in one way only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import unquote

from callwright.policy.numbering import (
    calling_codes,
    emergency_behind,
    is_emergency_in,
    is_premium_abroad,
    is_premium_in,
    starts_emergency_in,
    without_prefix_of,
)

__all__ = ["LONGEST", "danger", "normalize", "number_matches"]

# Emergency numbers. Some of them are harmless extensions somewhere: there a target permits them.
EMERGENCY = frozenset(
    ("000", "110", "111", "112", "113", "115", "117", "118", "119", "122", "133", "144", "911", "999")
)
_SERVICE = re.compile(r"(?:urn:service:)?sos(?:[.:].*)?", re.DOTALL)  # RFC 5031 section 4.2

# Behind the digit for an outside line: 9 in America and Britain, 0 elsewhere. Extensions begin with 9, none
# with 0, so behind 9 only what is dialled for help in many countries counts.
_BEHIND_ANY_LINE = re.compile(r"[09]*(?:112|911|999|000)")
_BEHIND_ZEROS = re.compile(rf"0+(?:{'|'.join(sorted(EMERGENCY))})")
_BEHIND_LONG_DISTANCE = re.compile(r"[09]+1(?:112|911)")  # 9 1 911: the 1 of North America
# In Italy the 0 belongs to the number, but no subscriber's number is this short: a switch hears 0 and 112.
_BEHIND_ITALIAN_ZERO = re.compile(rf"390{{1,3}}(?:{'|'.join(sorted(EMERGENCY))})")
# 999 behind a 9 is an extension like any other, unless the target's country has 999.
_EXTENSIONS = frozenset(("9999",))

# Premium rates: international forms first, then the national ones that mean the same nearly everywhere.
_PREMIUM_ABROAD = re.compile(
    r"""1900\d | 1[2-9]\d\d976\d{4}\Z | 979\d | 43(900|901|930|931)\d | 49(900|137|190)\d | 41(900|901|906)\d
      | 449\d | 338[9]\d | 31(900|906|909)\d | 39(89[0-9])\d | 34(803|806|807)\d | 61190\d""",
    re.VERBOSE,
)
_DIALLED = frozenset("0123456789abcdefghijklmnopqrstuvwxyz+_")  # what a wildcard stands for
_PREMIUM_AT_HOME = re.compile(r"0900\d\d | 0930\d\d | 0137\d\d | 1900\d{7}\Z | 900\d{7}\Z", re.VERBOSE)
# What `phonenumbers` has forgotten since it went out of use, and switches have not.
_PREMIUM_ONCE = {"DE": re.compile(r"0190\d")}
# Inmarsat, UPT and the networks of E.164 Annex A: calls to them cost more than premium rates.
_SATELLITE = re.compile(r"87[0-48]\d | 88[1-3]\d", re.VERBOSE)
_ITALIAN = "39"  # the only code behind which a 0 is part of the number

_KINDS = ("emergency", "satellite", "premium", "emergency prefix")  # the worst first

_SCHEME = re.compile(r"(?:tel|sips?):", re.IGNORECASE)
_CONTEXT = re.compile(r"phone-context\s*(?:=(.*))?", re.IGNORECASE | re.DOTALL)  # RFC 3966 section 5.1.5
_SEPARATORS = re.compile(r"[\s.()/-]+")
_SERVICE_CODE = re.compile(r"[*#]+\d{1,4}[*#]|\*\d\d")  # *31#, #31#, **21*; *67 in America
# A digit for the line, then a service code or a pause for the dial tone: 0#31#112, 9w112.
_LINE_FIRST = re.compile(r"[09]{1,2}(?:[,pw]+|(?=[*#]))")
_LINES = 8  # switches one behind the other; more are a text that wants to cost time
_PAUSED = re.compile(r"([\d+]+)(?:,|[*#]|(?:[pwx;]|ext)[\d,pwx*#]*\Z)")
_INTERNATIONAL = re.compile(r"(?:0011|011|00)(?=\d)")
_OUTSIDE = ("", "0", "9", "00", "09", "90", "99")
LONGEST = 1024
_E164_WITHOUT_PLUS = 11  # digits; fewer may be a national number of North America, which looks the same


def normalize(user: str) -> str:
    """The number in a user part, for comparison: no escapes, separators, scheme; 00 is +.

    ``%31%31%32`` and ``1-1-2`` are both 112. A number with a global ``;phone-context`` is a number of that
    country (``43123;phone-context=+1`` is +143123); one with a domain keeps it, since it belongs there. A
    user part that is no number comes back lower-cased.
    """
    whole = _clear(user)
    if _SERVICE.fullmatch(whole.lower()):
        return _global(_SEPARATORS.sub("", whole).lower())
    # The end is looked for before escapes are resolved: 43123%40b is another user than 43123.
    scheme = _SCHEME.match(user)
    own = user[scheme.end() if scheme else 0 :].partition("@")[0].partition(":")[0]
    number, contexts = _contexts(_clear(own))
    number = _SEPARATORS.sub("", number).lower()
    if not contexts or number.startswith("+"):
        return _global(number)
    context = _SEPARATORS.sub("", contexts[0])
    if len(contexts) == 1 and re.fullmatch(r"\+\d+", context):
        return context + number
    return "".join([number, *(f";phone-context={context.lower()}" for context in contexts)])


def danger(user: str, country: str | None = None) -> str | None:
    """One of the kinds, or None. ``country``: an ISO code; what is dangerous in it alone counts too.

    ``emergency``; ``emergency prefix``: an extension in which a line would hear an emergency number before
    all of its digits are dialled; ``premium``; ``satellite``. Raises ValueError for more than `LONGEST`
    characters, which nothing dials.
    """
    if len(user) > LONGEST:
        raise ValueError(f"A user part of {len(user)} characters is longer than {LONGEST}.")
    return _danger(user, country)


def number_matches(pattern: str, user: str, *, kind: str | None = None) -> bool:
    """Whether a pattern (``*`` any digits, ``?`` one) means this number.

    A dangerous number has to be meant: an emergency number literally, one that costs by three digits at
    least, an extension that begins like an emergency number by one.
    """
    wanted, number = normalize(pattern), normalize(user)
    if wanted == number:
        return True
    if kind == "emergency" and ("*" in wanted or "?" in wanted):
        return False
    least = 0 if kind is None else 1 if kind == "emergency prefix" else 3
    if sum(character.isdigit() for character in wanted) < least:
        return False
    return _wildcards_match(wanted, number)


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


# -- reading


def _clear(user: str) -> str:
    """Without escapes, in the digits of ASCII, without what cannot be seen."""
    text = user
    for _ in range(4):  # a proxy on the way may resolve an escaped escape
        text, before = unquote(text), text
        if text == before:
            break
    shown = []
    for character in unicodedata.normalize("NFKC", text):
        digit = unicodedata.digit(character, None)
        if digit is not None:
            shown.append(str(digit))
        elif (kind := unicodedata.category(character)) == "Pd":
            shown.append("-")
        elif kind not in ("Cf", "Cc", "Mn", "Me"):
            shown.append(character)
    return "".join(shown).strip()


def _parts(text: str) -> tuple[str, list[str]]:
    """The number, and the values of its ``;phone-context``."""
    if _SERVICE.fullmatch(text.lower()):
        return text, []
    scheme = _SCHEME.match(text)
    number, contexts = _contexts(text[scheme.end() if scheme else 0 :])
    return number.partition("@")[0].partition(":")[0], [
        each.partition("@")[0].strip(' "') for each in contexts
    ]


def _contexts(text: str) -> tuple[str, list[str]]:
    """What stands before the parameters, and the values of ``;phone-context``."""
    number, *parameters = text.split(";")
    found = [_CONTEXT.fullmatch(parameter.strip()) for parameter in parameters]
    return number, [(match[1] or "").strip(' "') for match in found if match is not None]


def _global(number: str) -> str:
    for prefix in ("00", "011"):
        rest = number.removeprefix(prefix)
        if rest != number and rest.isdigit() and len(rest) >= 5:
            return "+" + rest
    return number


def _readings(text: str) -> Iterator[tuple[str, bool]]:
    """Digits, and whether a + is before them: every way in which a switch may take this text."""
    head, contexts = _parts(text)
    number = re.sub(r"[^0-9a-z+*#,]", "", head.lower())
    dialled = [number]
    lines = 0
    while first := _SERVICE_CODE.match(dialled[-1]) or _LINE_FIRST.match(dialled[-1]):
        lines += first.re is _LINE_FIRST
        if lines > _LINES:
            break
        dialled.append(dialled[-1][first.end() :])
    for one in dialled:
        bare = one.lstrip("*#,")
        paused = _PAUSED.match(bare)
        joined = re.sub(r"[*#,]|(?<=[\d,*#])[pw]+(?=[\d,*#+])", "", bare)
        for words in {bare, joined, paused[1] if paused else bare}:
            word = words.rstrip("+")
            if not re.fullmatch(r"[\d+]+", word):
                continue
            digits = word.replace("+", "")
            last = word.rpartition("+")[2]
            yield digits, word.startswith("+")
            if last != digits:
                yield last, True
            for context in contexts:
                if "+" in context:
                    of = re.sub(r"\D", "", context)
                    yield of + digits, True


def _abroad(digits: str, plus: bool, country: str | None) -> set[str]:
    """The digits of E.164 that a switch may make of these; with or without a trunk 0 behind the code."""
    bare = len(digits) >= _E164_WITHOUT_PLUS and digits[0] != "0"
    found = {digits} if plus or bare else set()
    for outside in _OUTSIDE:
        if not digits.startswith(outside):
            continue
        rest = digits[len(outside) :]
        prefix = _INTERNATIONAL.match(rest)
        if prefix:
            found.add(rest[prefix.end() :])
        if country is not None:
            found.add(without_prefix_of(country, rest))
    found = {number.lstrip("0") or number for number in found} - {""}  # 000 is a number of its own
    for number in tuple(found):
        for code in calling_codes(number):
            rest = number[len(code) :]
            for _ in range(3):
                if code == _ITALIAN or not rest.startswith("0"):
                    break
                rest = rest[1:]
                found.add(code + rest)
    return found


@lru_cache(maxsize=1024)
def _danger(user: str, country: str | None) -> str | None:
    text = _clear(user)
    if _SERVICE.fullmatch(text.lower()) or _SERVICE.fullmatch(_parts(text)[0].strip().lower()):
        return "emergency"
    kinds = {kind for digits, plus in _readings(text) for kind in _kinds(digits, plus, country)}
    return next((kind for kind in _KINDS if kind in kinds), None)


def _kinds(digits: str, plus: bool, country: str | None) -> Iterator[str]:
    if digits in EMERGENCY or _BEHIND_ZEROS.fullmatch(digits) or _BEHIND_LONG_DISTANCE.fullmatch(digits):
        yield "emergency"
    if _BEHIND_ANY_LINE.fullmatch(digits) and digits not in _EXTENSIONS:
        yield "emergency"
    for number in _abroad(digits, plus, country):
        if number in EMERGENCY or (country is not None and is_emergency_in(country, number)):
            yield "emergency"  # 011 911: a prefix for abroad is a plus
        if emergency_behind(number, EMERGENCY) or _BEHIND_ITALIAN_ZERO.fullmatch(number):
            yield "emergency"
        if _SATELLITE.match(number):
            yield "satellite"
        if _PREMIUM_ABROAD.match(number) or is_premium_abroad(number):
            yield "premium"
    at_home = {digits} if plus else _behind(digits)
    if any(_PREMIUM_AT_HOME.match(number) for number in at_home):
        yield "premium"
    if country is not None and not plus:
        yield from _kinds_in(country, digits)


def _kinds_in(country: str, digits: str) -> Iterator[str]:
    if is_emergency_in(country, digits):
        yield "emergency"
    elif starts_emergency_in(country, digits):
        yield "emergency prefix"
    for start in range(1, len(digits) - 1):
        outside, number = digits[:start], digits[start:]
        if outside.strip("09"):
            break
        if (len(number) >= 3 or not outside.strip("0")) and is_emergency_in(country, number):
            yield "emergency"
    once = _PREMIUM_ONCE.get(country)
    for number in _behind(digits):
        stripped = len(digits) - len(number)
        obsolete = once is not None and once.match(number)
        if obsolete or is_premium_in(country, number, short=stripped == 0, long=stripped < 2):
            yield "premium"


def _behind(digits: str) -> set[str]:
    """As dialled, and without up to two digits for an outside line."""
    return {digits[len(outside) :] for outside in _OUTSIDE if digits.startswith(outside)} - {""}
