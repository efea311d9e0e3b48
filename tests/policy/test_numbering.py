"""What the numbering plans of the world say, at the edges of what `phonenumbers` is asked."""

from __future__ import annotations

import pytest

from callwright.policy.numbering import (
    calling_codes,
    emergency_behind,
    is_country,
    is_emergency_in,
    is_premium_abroad,
    is_premium_in,
    starts_emergency_in,
    without_prefix_of,
)

EVERYWHERE = ("112", "911")


def test_country_is_two_capitals_of_iso_3166() -> None:
    assert [is_country(code) for code in ("AT", "US", "at", "UK", "001", "")] == [True, True, *[False] * 4]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("12125551234", "1"),
        ("43123456", "43"),
        ("35312345", "353"),
        ("43", "43"),
        ("4", None),
        ("", None),
        ("2101234", None),
        ("a43", None),
    ],
)
def test_number_begins_with_one_country_code_or_none(number: str, code: str | None) -> None:
    assert list(calling_codes(number)) == ([] if code is None else [code])


@pytest.mark.parametrize(
    ("number", "behind"),
    [
        ("43112", True),
        ("353112", True),
        ("43133", True),
        ("3315", True),
        ("4315", False),
        ("112", False),
        ("210112", False),
        ("4690000", True),
        ("691320221", True),
        ("43112112", False),
        ("431121121", False),
        ("4311211211", False),
        ("883112", True),
        ("883110", False),
    ],
)
def test_emergency_number_behind_a_country_code(number: str, behind: bool) -> None:
    assert emergency_behind(number, EVERYWHERE) is behind


@pytest.mark.parametrize(
    ("country", "number", "emergency"),
    [
        ("US", "911", True),
        ("US", "1911", True),
        ("US", "2911", False),
        ("US", "9111", False),
        ("US", "1912", False),
        ("FR", "15", True),
        ("FR", "1112", False),
        ("FR", "1", False),
        ("DE", "1110", False),
        ("DE", "15", False),
    ],
)
def test_emergency_number_of_a_country_is_the_whole_number(
    country: str, number: str, emergency: bool
) -> None:
    assert is_emergency_in(country, number) is emergency


@pytest.mark.parametrize(
    ("country", "number", "starts"),
    [
        ("IN", "100", True),
        ("IN", "1001", True),
        ("US", "91112", True),
        ("US", "9111" * 10, True),
        ("US", "2001", False),
        ("IN", "1123456789", False),
        ("FR", "1512", True),
        ("BR", "1901", False),
        ("BR", "190", True),
    ],
)
def test_switch_that_connects_as_digits_come_in(country: str, number: str, starts: bool) -> None:
    assert starts_emergency_in(country, number) is starts


def test_premium_number_is_one_with_up_to_four_digits_too_many() -> None:
    told = [is_premium_abroad("48700123456" + "1" * surplus) for surplus in range(7)]
    assert told == [True] * 5 + [False] * 2
    told = [is_premium_in("PL", "700123456" + "1" * count, short=False, long=True) for count in range(7)]
    assert told == [True] * 5 + [False] * 2
    told = [is_premium_in("PL", "700123456" + "1" * count, short=False, long=False) for count in range(3)]
    assert told == [True, False, False]
    assert not is_premium_abroad("48221234567" + "1")


@pytest.mark.parametrize(
    ("country", "number", "premium"),
    [
        ("PL", "700123456", True),
        ("PL", "70012345", True),
        ("PL", "7001234", False),
        ("GB", "0906123456", True),
        ("GB", "090612345", True),
        ("GB", "09061234", False),
        ("FR", "089912345", True),
        ("FR", "08991234", True),
        ("FR", "0899123", False),
        ("PL", "22123456", False),
        ("PL", "abc", False),
    ],
)
def test_premium_number_is_one_with_up_to_two_digits_missing(
    country: str, number: str, premium: bool
) -> None:
    assert is_premium_in(country, number, short=True, long=False) is premium


def test_digits_are_missing_only_where_some_may_still_come() -> None:
    assert is_premium_in("FR", "0899123456", short=False, long=False)
    assert not is_premium_in("FR", "089912345", short=False, long=False)


@pytest.mark.parametrize(
    ("country", "number", "behind"),
    [
        ("AU", "001143123", "43123"),
        ("JP", "01043123", "43123"),
        ("AT", "0043123", "43123"),
        ("AT", "43123", ""),
        ("AU", "43123", ""),
        ("XX", "0043123", ""),
    ],
)
def test_international_prefix_is_that_of_the_country(country: str, number: str, behind: str) -> None:
    assert without_prefix_of(country, number) == behind


@pytest.mark.parametrize("number", ["2101234567", "43316123456", "4369912345678", "1", ""])
def test_number_that_is_ordinary_or_none_is_not_premium(number: str) -> None:
    assert is_premium_abroad(number) is False
