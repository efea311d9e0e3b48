"""What the numbering plans of the world say, by `phonenumbers`: imported when the first number asks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import phonenumbers

__all__ = [
    "calling_codes",
    "emergency_behind",
    "is_country",
    "is_emergency_in",
    "is_premium_abroad",
    "is_premium_in",
    "starts_emergency_in",
    "without_prefix_of",
]

_OVERDIALLED = 4  # digits behind a whole number, which switches ignore
_MISSING = 2  # digits that may still come; more, and it is no number but an extension
_LIKE_A_NUMBER = 8  # digits
_LONGEST = 24


def is_country(code: str) -> bool:
    """Whether this is an ISO 3166-1 code, in capitals, that has a numbering plan."""
    import phonenumbers

    return code in phonenumbers.SUPPORTED_REGIONS


def calling_codes(number: str) -> Iterator[str]:
    """The country code that these digits of E.164 begin with; at most one, since no code begins another."""
    import phonenumbers

    for length in (1, 2, 3):
        if number[:length].isdigit() and int(number[:length]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            yield number[:length]
            return


def emergency_behind(number: str, everywhere: Collection[str]) -> bool:
    """Whether these digits of E.164 are a country code, and behind it an emergency number: +43 112."""
    import phonenumbers

    if len(number) > 9:  # a code of three digits, and six, as in Micronesia
        return False
    for code in calling_codes(number):
        rest = number[len(code) :]
        if rest in everywhere:
            return True
        countries = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]
        return any(is_emergency_in(country, rest) for country in countries if is_country(country))
    return False


def is_emergency_in(country: str, number: str) -> bool:
    """Exactly this number, or it behind the long-distance 1 where the country has one."""
    import phonenumbers
    from phonenumbers.shortnumberinfo import is_emergency_number

    if is_emergency_number(number, country):
        return True
    long_distance = number[:1] == "1" and phonenumbers.ndd_prefix_for_region(country, True) == "1"
    return long_distance and is_emergency_number(number[1:], country)


def starts_emergency_in(country: str, number: str) -> bool:
    """Whether a switch of the country connects to an emergency service as these digits come in.

    Digits behind the emergency number do not matter where that is how it works, except where all of them are
    a subscriber's number.
    """
    import phonenumbers
    from phonenumbers.shortnumberinfo import connects_to_emergency_number

    if not connects_to_emergency_number(number[:_LONGEST], country):
        return False
    parsed = _parsed(number, country)
    return parsed is None or not phonenumbers.is_valid_number(parsed)


def is_premium_abroad(number: str) -> bool:
    """Digits of E.164."""
    return _is_premium("+" + number[:_LONGEST], None)


def is_premium_in(country: str, number: str, *, short: bool, long: bool) -> bool:
    """Digits as dialled in the country; ``short``: some may still come; ``long``: some may be too many."""
    if _is_premium(number[:_LONGEST], country, surplus=_OVERDIALLED if long else 0):
        return True
    if not short or len(number) < _LIKE_A_NUMBER or _is_whole(_parsed(number, country)):
        return False
    return any(_is_premium(number + "1" * count, country) for count in range(1, _MISSING + 1))


def without_prefix_of(country: str, number: str) -> str:
    """What is behind the country's own international prefix (0011 in AU, 010 in JP); "" when it has none."""
    from phonenumbers.phonemetadata import PhoneMetadata

    metadata = PhoneMetadata.metadata_for_region(country, None)
    prefix = metadata.international_prefix if metadata is not None else None
    match = re.match(prefix, number) if prefix else None
    return number[match.end() :] if match else ""


def _is_premium(number: str, country: str | None, *, surplus: int = _OVERDIALLED) -> bool:
    import phonenumbers

    for too_many in range(surplus + 1):
        parsed = _parsed(number[: len(number) - too_many], country)
        if parsed is None:
            return False
        if phonenumbers.number_type(parsed) == phonenumbers.PhoneNumberType.PREMIUM_RATE:
            return True
        if _is_whole(parsed):
            return False
    return False


def _is_whole(parsed: object) -> bool:
    import phonenumbers

    return isinstance(parsed, phonenumbers.PhoneNumber) and phonenumbers.is_valid_number(parsed)


def _parsed(number: str, country: str | None) -> phonenumbers.PhoneNumber | None:
    import phonenumbers

    try:
        return phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None
